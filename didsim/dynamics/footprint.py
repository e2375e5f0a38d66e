"""How much memory does a run take?  Read off its traced program; nothing is computed."""

import functools
from collections.abc import Iterator
from typing import Any

from jax.extend.core import ClosedJaxpr, Jaxpr


@functools.lru_cache(maxsize=1024)  # JAX hands out the same program for the same run again
def largest_arrays(program: Jaxpr, *, outside: int) -> tuple[int, int]:
    """Bytes of the largest array within one training step, and anywhere in a program whose steps lie in ``outside`` loops.

    A step is what lies within all of a run's loops; what was recorded before is only carried through it.
    """
    within, anywhere = 1, 1
    for equation in program.eqns:
        own = max((_bytes(variable.aval) for variable in equation.outvars), default=1)
        a_row_of_it = equation.primitive.name == "scatter"
        parts = [(own if outside <= 0 and not a_row_of_it else 1, own)]
        inner = outside - (equation.primitive.name in ("while", "scan"))
        parts += [largest_arrays(one, outside=inner) for value in equation.params.values() for one in _programs(value)]
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
