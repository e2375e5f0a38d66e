"""How many runs make a block?

As many as keep the arrays of one training step in cache and those of a whole run in the memory allowed.  The sizes are
read off the traced program, so the answer follows from the run and the precision alone, never from the machine: other
widths give other last bits.
"""

from collections.abc import Iterator
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr

from didsim.dynamics import Run
from didsim.dynamics.run import execute, run_key
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
    """
    per_step, at_all = (max(sizes) for sizes in zip(*map(largest_arrays, grid.programs()), strict=True))
    fitting = max(1, min(CACHE_BYTES // per_step, memory // (TEMPORARIES * at_all), MOST_RUNS, grid.size))
    blocks = -(-grid.size // fitting)
    return -(-grid.size // blocks)


def largest_arrays(run: Run) -> tuple[int, int]:
    """Bytes of the largest array within one training step, and anywhere in a run."""
    return _largest(jax.make_jaxpr(execute)(run, run_key(0)).jaxpr, outside=run.loops)


def _largest(program: Jaxpr, *, outside: int) -> tuple[int, int]:
    """A step is what lies within all of a run's loops; what was recorded before is only carried through it."""
    within, anywhere = 1, 1
    for equation in program.eqns:
        own = max((_bytes(variable.aval) for variable in equation.outvars), default=1)
        a_row_of_it = equation.primitive.name == "scatter"
        parts = [(own if outside <= 0 and not a_row_of_it else 1, own)]
        inner = outside - (equation.primitive.name in ("while", "scan"))
        parts += [_largest(one, outside=inner) for value in equation.params.values() for one in _programs(value)]
        within, anywhere = max(within, *(part[0] for part in parts)), max(anywhere, *(part[1] for part in parts))
    return within, anywhere


def _programs(value: Any) -> Iterator[Jaxpr]:
    """Programs inside an equation's parameter."""
    if isinstance(value, ClosedJaxpr):
        yield value.jaxpr
    elif isinstance(value, Jaxpr):
        yield value
    elif isinstance(value, (tuple, list)):
        for one in value:
            yield from _programs(one)


def _bytes(kind: Any) -> int:
    return getattr(kind, "size", 1) * getattr(getattr(kind, "dtype", None), "itemsize", 8)
