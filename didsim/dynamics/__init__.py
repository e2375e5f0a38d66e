"""What happens along the way?  Training runs as values, compiled into one scan each."""

from didsim.dynamics.descent import Metrics, Trajectory, descend, record_steps
from didsim.dynamics.optimisers import OPTIMISERS, Adam, Custom, Optimiser, Sgd
from didsim.dynamics.rules import RULES, GradientRule, Plain, ProjectedGradient
from didsim.dynamics.run import Run, execute, run_key, run_world, train

__all__ = [
    "OPTIMISERS",
    "RULES",
    "Adam",
    "Custom",
    "GradientRule",
    "Metrics",
    "Optimiser",
    "Plain",
    "ProjectedGradient",
    "Run",
    "Sgd",
    "Trajectory",
    "descend",
    "execute",
    "record_steps",
    "run_key",
    "run_world",
    "train",
]
