"""Where is the exact minimum of a population loss?  For free tables `solve`, for other policies `solve_policy`."""

from didsim.landscape.solvers.entry import check_pair_law, default_data, solve
from didsim.landscape.solvers.parametric import PolicySolution, minimise, solve_policy
from didsim.landscape.solvers.precision import in_double
from didsim.landscape.solvers.result import Solution, Status

__all__ = [
    "PolicySolution",
    "Solution",
    "Status",
    "check_pair_law",
    "default_data",
    "in_double",
    "minimise",
    "solve",
    "solve_policy",
]
