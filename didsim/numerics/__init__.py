"""How is arithmetic done that knows no paper?  Laws in log space, matrices, sums over pairs, and whether an input is allowed.

`simplex` holds the laws on a finite set, `sequences` those on strings of tokens, `linalg` what matrices with a null space
need, `pair_sums` the sums over all pairs of responses; `checks` refuses what is not allowed, `pytrees` makes a class a
pytree, and `provenance` says what a result was made by.
"""

from typing import TYPE_CHECKING

from didsim.numerics.lazy import lazy

if TYPE_CHECKING:
    from didsim.numerics.pytrees import positive, pytree, static

_HOME = {
    "positive": "pytrees:positive",
    "pytree": "pytrees:pytree",
    "static": "pytrees:static",
}
__all__ = ["positive", "pytree", "static"]

__getattr__, __dir__ = lazy(__name__, _HOME)
