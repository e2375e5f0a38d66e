"""Where is the exact minimum of a population loss?  One entry, `solve`, and what its answer says of itself."""

from didsim.solvers.entry import check_pair_law, default_data, solve
from didsim.solvers.result import Solution, Status

__all__ = ["Solution", "Status", "check_pair_law", "default_data", "solve"]
