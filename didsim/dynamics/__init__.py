"""What happens along the way?  Training runs as values, compiled into one program each."""

from didsim.dynamics.descent import record_steps
from didsim.dynamics.games import exploitability, mirror_step, play, win_rates
from didsim.dynamics.grpo import grpo_step, success_recursion
from didsim.dynamics.optimisers import Adam, Custom, Sgd
from didsim.dynamics.references import (
    FixedReference,
    GeometricAverage,
    IteratedReference,
    NoReference,
    ParameterAverage,
)
from didsim.dynamics.rounds import Rounds
from didsim.dynamics.rules import Plain, ProjectedGradient
from didsim.dynamics.run import Run, train
from didsim.dynamics.trajectory import Trajectory

__all__ = [
    "Adam",
    "Custom",
    "FixedReference",
    "GeometricAverage",
    "IteratedReference",
    "NoReference",
    "ParameterAverage",
    "Plain",
    "ProjectedGradient",
    "Rounds",
    "Run",
    "Sgd",
    "Trajectory",
    "exploitability",
    "grpo_step",
    "mirror_step",
    "play",
    "record_steps",
    "success_recursion",
    "train",
    "win_rates",
]  # fmt: skip
