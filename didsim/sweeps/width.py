"""How many runs make a block?

As many as keep the arrays of one training step in cache and those of a whole run in the memory allowed.  The sizes are
read off the traced program, so the answer follows from the run and the precision alone, never from the machine: other
widths give other last bits.
"""

import jax

from didsim.dynamics import Run, footprint
from didsim.dynamics.run import execute, run_key, sizes
from didsim.numerics import checks
from didsim.numerics.memory import check_bytes
from didsim.numerics.traces import kept_value
from didsim.sweeps.axes import Grid

CACHE_BYTES = 4 * 2**20
MOST_RUNS = 1024
MEMORY = 2**30
TEMPORARIES = 8  # arrays of the largest size that compiled runs hold at once; 5.0 to 6.3 were measured


def default_width(grid: Grid, memory: int = MEMORY) -> int:
    """Runs per block, at least 1, at most 1,024, evened out over the blocks.

    Args:
        grid: what is swept.
        memory: bytes that a block may take while it is computed.

    Returns:
        The largest width that every program of the grid can afford.

    Raises:
        ArgumentError: not even one run fits into the memory there is.
    """
    per_step, at_all = (max(sizes) for sizes in zip(*map(largest_arrays, grid.programs()), strict=True))
    check_bytes("run", sizes(grid.run), at_all)
    fitting = max(1, min(CACHE_BYTES // per_step, memory // (TEMPORARIES * at_all), MOST_RUNS, grid.size))
    blocks = -(-grid.size // fitting)
    return -(-grid.size // blocks)


@kept_value
def largest_arrays(run: Run) -> tuple[int, int]:
    """Bytes of the largest array within one training step, and anywhere in a run."""
    return footprint.largest_arrays(jax.make_jaxpr(execute)(run, run_key(0)).jaxpr, outside=run.loops)


def given_width(grid: Grid, width: int) -> int:
    """A width that the user chose, if a block of it fits into memory.

    Raises:
        ArgumentError: it is no positive integer, or a block of it does not fit.
    """
    runs = checks.whole("width", width, least=1)
    if runs > MOST_RUNS:
        check_bytes("width", width, runs * max(largest_arrays(run)[1] for run in grid.programs()))
    return runs
