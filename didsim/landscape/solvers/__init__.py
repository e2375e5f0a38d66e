"""Where is the exact minimum of a population loss?  For free tables `solve`, for other policies `solve_policy`."""

from didsim.landscape.solvers.entry import solve
from didsim.landscape.solvers.parametric import PolicySolution, solve_policy
from didsim.landscape.solvers.result import Solution, Status

__all__ = ["PolicySolution", "Solution", "Status", "solve", "solve_policy"]
