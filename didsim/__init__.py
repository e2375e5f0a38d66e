"""The exact laboratory for preference-optimisation theory.

The names in ``__all__`` are the whole public surface.  They load on first use, so that ``import didsim`` and the command
line's help do not wait for JAX.
"""

from typing import TYPE_CHECKING

from didsim.numerics.lazy import lazy
from didsim.numerics.version import __version__

if TYPE_CHECKING:
    from didsim import claims, cli, diagnose, did, dynamics, figures, landscape, numerics, objectives, plotting, policies  # noqa: I001
    from didsim import samplers, sweeps, teaching, worlds
    from didsim import teaching as exercises
    from didsim.did import learned_policy, log_did, optimal_rejected
    from didsim.dynamics import Run, Trajectory, iterated, metrics, train
    from didsim.figures import triangle
    from didsim.landscape import atlas, explain, signal, survey
    from didsim.landscape import linear as alignment
    from didsim.landscape.solvers import PolicySolution, Solution, Status, solve, solve_policy
    from didsim.numerics import sequences, simplex
    from didsim.numerics.compilation import use_compilation_cache
    from didsim.numerics.errors import ArgumentError
    from didsim.objectives import pair_losses
    from didsim.sweeps import sweep
    from didsim.worlds import Problem, preferences, problem

_HOME = {  # public name: the module it is, or the module and the name in it
    "ArgumentError": "numerics.errors:ArgumentError",
    "PolicySolution": "landscape.solvers:PolicySolution",
    "Problem": "worlds:Problem",
    "Run": "dynamics:Run",
    "Solution": "landscape.solvers:Solution",
    "Status": "landscape.solvers:Status",
    "Trajectory": "dynamics:Trajectory",
    "alignment": "landscape.linear",
    "atlas": "landscape.atlas",
    "claims": "claims",
    "cli": "cli",
    "diagnose": "diagnose",
    "did": "did",
    "dynamics": "dynamics",
    "exercises": "teaching",
    "explain": "landscape.explain",
    "figures": "figures",
    "iterated": "dynamics.iterated",
    "landscape": "landscape",
    "learned_policy": "did:learned_policy",
    "log_did": "did:log_did",
    "metrics": "dynamics.metrics",
    "numerics": "numerics",
    "objectives": "objectives",
    "optimal_rejected": "did:optimal_rejected",
    "pair_losses": "objectives:pair_losses",
    "plotting": "plotting",
    "policies": "policies",
    "preferences": "worlds.preferences",
    "problem": "worlds:problem",
    "samplers": "samplers",
    "sequences": "numerics.sequences",
    "signal": "landscape.signal",
    "simplex": "numerics.simplex",
    "solve": "landscape.solvers:solve",
    "solve_policy": "landscape.solvers:solve_policy",
    "survey": "landscape.survey",
    "sweep": "sweeps:sweep",
    "sweeps": "sweeps",
    "teaching": "teaching",
    "train": "dynamics:train",
    "triangle": "figures.triangle",
    "use_compilation_cache": "numerics.compilation:use_compilation_cache",
    "worlds": "worlds",
}
__all__ = [
    "ArgumentError", "PolicySolution", "Problem", "Run", "Solution", "Status", "Trajectory", "__version__", "alignment", "atlas",
    "claims", "cli", "diagnose", "did", "dynamics", "exercises", "explain", "figures", "iterated", "landscape",
    "learned_policy", "log_did", "metrics", "numerics", "objectives", "optimal_rejected", "pair_losses", "plotting", "policies",
    "preferences", "problem", "samplers", "sequences", "signal", "simplex", "solve", "solve_policy", "survey", "sweep",
    "sweeps", "teaching", "train", "triangle", "use_compilation_cache", "worlds",
]  # fmt: skip


__getattr__, __dir__ = lazy(__name__, _HOME)
