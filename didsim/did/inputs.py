"""Are these laws and this inverse temperature allowed?"""

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from didsim.numerics import checks


def laws(*, full_support: bool = False, **given: ArrayLike) -> list[Float[Array, "*batch n"]]:
    """The given log-laws as arrays over the same responses.

    Raises:
        ArgumentError: one is no normalised log-law, lacks support (with ``full_support``), or sizes differ.
    """
    arrays = {name: checks.log_law(name, law, full_support=full_support) for name, law in given.items()}
    checks.same_responses(**arrays)
    return list(arrays.values())


def inverse_temperature(beta: ArrayLike) -> Float[Array, "*#batch 1"]:
    """``β`` with an axis for the responses.

    Raises:
        ArgumentError: it is not positive and finite.
    """
    return jnp.asarray(checks.positive("beta", beta))[..., None]
