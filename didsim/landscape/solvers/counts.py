"""Which policy makes a table of wins and losses likeliest?

The finite-sample counterpart of `didsim.solve` for DPO: ``wins[a, b]`` counts how often a was preferred to b, and
the maximum-likelihood implicit reward is found by Newton's method, many tables at once.
"""

from typing import final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from didsim.numerics import linalg
from didsim.numerics.pytrees import pytree

LONGEST = 2.0


@final
@pytree
class CountsFit:
    """Maximum-likelihood implicit rewards of many tables.

    Attributes:
        margin: implicit reward ``β log(π/π_ref)`` with mean zero, shape (..., n).
        step: largest change in the last Newton step.
        converged: whether there is a finite maximum and it was reached; without a chain of wins from every response to
            every other there is none.
    """

    margin: Float[Array, "*batch n"]
    step: Float[Array, "*batch"]
    converged: Bool[Array, "*batch"]


def fit_counts(wins: Float[Array, "*batch n n"], *, steps: int = 40) -> CountsFit:
    """Maximum of ``Σ_ab wins_ab log σ(u_a - u_b)`` over implicit rewards u (standard; S7).

    Args:
        wins: how often the response of the row was preferred to that of the column, >= 0.
        steps: most Newton steps.

    Returns:
        `CountsFit`.  The policy is ``π ∝ π_ref e^{u/β}``.

    Example:
        >>> import jax.numpy as jnp
        >>> fit = fit_counts(jnp.array([[0.0, 30.0], [10.0, 0.0]]))
        >>> print((fit.margin[0] - fit.margin[1]).round(4))  # log 3
        1.0986
    """
    n, dtype = wins.shape[-1], wins.dtype
    total = wins + jnp.swapaxes(wins, -1, -2)
    off = 1.0 - jnp.eye(n, dtype=dtype)
    tolerance = float(jnp.finfo(dtype).eps) ** 0.75

    def body(state):
        count, margin, size = state
        chance = jax.nn.sigmoid(margin[..., :, None] - margin[..., None, :])
        slope = jnp.sum((wins - total * chance) * off, -1)
        weight = total * chance * (1.0 - chance) * off
        degree = weight.sum(-1)
        # The constant gets the mean degree as eigenvalue, so that the Cholesky factor exists and the step has mean zero.
        ridge = jnp.mean(degree, -1)[..., None, None] / n
        hessian = degree[..., :, None] * jnp.eye(n, dtype=dtype) - weight + ridge
        direction = linalg.cholesky_solve(hessian, slope)
        direction = jnp.where(jnp.isfinite(direction), direction, 0.0)
        longest = jnp.max(jnp.abs(direction), -1)
        short = direction * jnp.minimum(1.0, LONGEST / jnp.maximum(longest, LONGEST))[..., None]
        done = (size <= tolerance)[..., None]
        return count + 1, jnp.where(done, margin, margin + short), jnp.where(done[..., 0], size, longest)

    start = (jnp.int32(0), jnp.zeros(wins.shape[:-1], dtype), jnp.full(wins.shape[:-2], jnp.inf, dtype))
    _, margin, size = jax.lax.while_loop(lambda s: (s[0] < steps) & jnp.any(s[2] > tolerance), body, start)
    # Without a chain of wins between any two the maximum lies at infinity or is not one point, however short the steps get.
    steady = (size <= tolerance) & linalg.strongly_connected(wins * off > 0)
    return CountsFit(margin - margin.mean(-1, keepdims=True), size, steady & jnp.all(jnp.isfinite(margin), -1))
