"""The exact laboratory for preference-optimisation theory.

The names in ``__all__`` are the whole public surface.  They load on first use, so that ``import didsim`` and the command
line's help do not wait for JAX.
"""

import importlib
from typing import TYPE_CHECKING, Any

from didsim.numerics.version import __version__

if TYPE_CHECKING:
    from didsim import (
        alignment,
        claims,
        diagnose,
        did,
        dynamics,
        exercises,
        explain,
        iterated,
        landscape,
        metrics,
        objectives,
        policies,
        preferences,
        samplers,
        signal,
        survey,
        sweeps,
        worlds,
    )
    from didsim.did import learned_policy, log_did, optimal_rejected
    from didsim.dynamics import Run, Trajectory, train
    from didsim.figures import triangle
    from didsim.numerics import sequences, simplex
    from didsim.numerics.checks import ArgumentError
    from didsim.solvers import PolicySolution, Solution, Status, solve, solve_policy
    from didsim.sweeps import sweep
    from didsim.worlds import Problem, problem

__all__ = [
    "ArgumentError",
    "PolicySolution",
    "Problem",
    "Run",
    "Solution",
    "Status",
    "Trajectory",
    "__version__",
    "alignment",
    "claims",
    "diagnose",
    "did",
    "dynamics",
    "exercises",
    "explain",
    "iterated",
    "landscape",
    "learned_policy",
    "log_did",
    "metrics",
    "objectives",
    "optimal_rejected",
    "policies",
    "preferences",
    "problem",
    "samplers",
    "sequences",
    "signal",
    "simplex",
    "solve",
    "solve_policy",
    "survey",
    "sweep",
    "sweeps",
    "train",
    "triangle",
    "worlds",
]

_ROOMS = frozenset(
    {
        "claims",
        "alignment",
        "diagnose",
        "did",
        "dynamics",
        "exercises",
        "explain",
        "iterated",
        "landscape",
        "metrics",
        "objectives",
        "policies",
        "preferences",
        "samplers",
        "sequences",
        "signal",
        "simplex",
        "survey",
        "sweeps",
        "triangle",
        "worlds",
    }
)
_MOVED = {"triangle": "figures.triangle", "simplex": "numerics.simplex", "sequences": "numerics.sequences"}
_HOME = {
    "ArgumentError": "numerics.errors",
    "PolicySolution": "solvers",
    "Problem": "worlds",
    "Run": "dynamics",
    "Solution": "solvers",
    "Status": "solvers",
    "Trajectory": "dynamics",
    "learned_policy": "did",
    "log_did": "did",
    "optimal_rejected": "did",
    "problem": "worlds",
    "solve": "solvers",
    "solve_policy": "solvers",
    "sweep": "sweeps",
    "train": "dynamics",
}


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"didsim.{_MOVED.get(name, name)}")
    if name in _HOME:
        return getattr(importlib.import_module(f"didsim.{_HOME[name]}"), name)
    raise AttributeError(f"module 'didsim' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
