"""What happens along the way?  Training runs as values, compiled into one program each."""

from didsim.dynamics.descent import record_steps
from didsim.dynamics.optimisers import OPTIMISERS, Adam, Custom, Optimiser, Sgd
from didsim.dynamics.references import (
    REFERENCES,
    FixedReference,
    GeometricAverage,
    IteratedReference,
    NoReference,
    ParameterAverage,
    Reference,
)
from didsim.dynamics.rounds import Rounds
from didsim.dynamics.rules import RULES, GradientRule, Plain, ProjectedGradient
from didsim.dynamics.run import Run, execute, run_key, run_world, train
from didsim.dynamics.trajectory import Trajectory

__all__ = [
    "OPTIMISERS",
    "REFERENCES",
    "RULES",
    "Adam",
    "Custom",
    "FixedReference",
    "GeometricAverage",
    "GradientRule",
    "IteratedReference",
    "NoReference",
    "Optimiser",
    "ParameterAverage",
    "Plain",
    "ProjectedGradient",
    "Reference",
    "Rounds",
    "Run",
    "Sgd",
    "Trajectory",
    "execute",
    "record_steps",
    "run_key",
    "run_world",
    "train",
]
