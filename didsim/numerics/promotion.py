"""How do dtypes and ranks meet in this library's own arithmetic?  As they do in JAX by default, whatever a user has set.

``jax_numpy_dtype_promotion="strict"`` and ``jax_numpy_rank_promotion="raise"`` are there to find slips in one's own code; what
calls into this library keeps them, and the functions that compute here leave them aside until they return.
"""

import contextlib
from collections.abc import Iterator

import jax


@contextlib.contextmanager
def usual_promotion() -> Iterator[None]:
    """Within it, or in a function that it decorates, dtypes and ranks are promoted as by default.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from didsim.numerics.promotion import usual_promotion
        >>> with jax.numpy_rank_promotion("raise"), usual_promotion():
        ...     (jnp.ones((2, 3)) + jnp.ones(3)).shape
        (2, 3)
    """
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield
