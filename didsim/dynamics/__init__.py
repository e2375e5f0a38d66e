"""What happens along the way?  Training runs as values, compiled into one scan each."""

from didsim.dynamics.descent import Metrics, Trajectory, descend, record_steps
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
from didsim.dynamics.rounds import Rounds, descend_rounds
from didsim.dynamics.rules import RULES, GradientRule, Plain, ProjectedGradient
from didsim.dynamics.run import Run, execute, run_key, run_world, train

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
    "Metrics",
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
    "descend",
    "descend_rounds",
    "execute",
    "record_steps",
    "run_key",
    "run_world",
    "train",
]
