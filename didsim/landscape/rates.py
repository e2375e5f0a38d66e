"""How fast does gradient descent converge, by prediction and by measurement?

Locally the error is multiplied by ``I - ηH`` every step, so the rate is ``max |1 - ηλ|`` over the non-zero eigenvalues (S4);
where all of them are equal one step of size ``1/λ`` is a Newton step and the error is squared instead (S5).  A measured
rate is the slope of the log error over the later half of what lies above rounding, with its uncertainty.
"""

from typing import final

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from didsim.numerics import linalg
from didsim.numerics.pytrees import pytree

LEAST = 4  # points that a fitted slope needs


def descent_rate(hessian: Float[Array, "*#batch n n"]) -> tuple[Array, Array, Array]:
    """Smallest non-zero and largest eigenvalue, and the step ``2/(λ₂ + λ_max)`` that contracts fastest (S4).

    At that step gradient descent converges locally at the rate ``(κ-1)/(κ+1)``, ``κ = λ_max/λ₂``.
    """
    values = linalg.eigvalsh(hessian)
    smallest, largest = jnp.min(jnp.where(linalg.vanishing(values), jnp.inf, values), axis=-1), values[..., -1]
    return smallest, largest, best_step(smallest, largest)


def best_step(smallest: Float[Array, "*#batch"], largest: Float[Array, "*#batch"]) -> Float[Array, "*#batch"]:
    """The step ``2/(λ₂ + λ_max)`` that contracts fastest; its rate is ``(κ-1)/(κ+1)``, ``κ = λ_max/λ₂`` (S4)."""
    return 2.0 / (smallest + largest)


def slope_ratio_bound(reward: Float[Array, "*#batch n"]) -> Float[Array, "*#batch"]:
    """``max σ'/min σ'`` over all pairs: bounds κ of the uniform sampler, ``cosh²(R/2)``, R the range of r (derived; S5).

    ``σ'(d) = 1/(4 cosh²(d/2))`` is largest at 0 and smallest at the largest gap; a Laplacian with weights in ``[l, h]`` on
    the complete graph has its spectrum in ``[Nl, Nh]``.
    """
    return jnp.cosh(0.5 * (jnp.max(reward, -1) - jnp.min(reward, -1))) ** 2


@final
@pytree
class RateFit:
    """A measured rate of convergence.

    Attributes:
        rate: factor per step; NaN where too few errors lie above the floor.
        uncertainty: half-width of a 95 % range for ``rate``: twice the standard error of the slope or the difference of
            the slopes in the two halves of the window, whichever is larger; the latter sees a rate that has not settled.
        first: first step of the window.
        last: last step of the window.
        points: errors in the window.
    """

    rate: Float[Array, "*batch"]
    uncertainty: Float[Array, "*batch"]
    first: Float[Array, "*batch"]
    last: Float[Array, "*batch"]
    points: Int[Array, "*batch"]


def fit_rate(steps: ArrayLike, errors: Float[Array, "*#batch records"], floor: ArrayLike) -> RateFit:
    """Rate of convergence from a trajectory: regression of ``log e_t`` on ``t`` in the asymptotic window (derived; S4).

    The window ends at the last error before the first one at or below ``floor``, where rounding takes over, and starts
    half-way there: of modes ``Σ c_i ρ_i^t`` the slowest is then the most alone, with as many points left as before it.

    Args:
        steps: step numbers of the recorded errors, increasing, shape (records,).
        errors: distance to the limit, >= 0, shape (..., records).
        floor: size below which errors are rounding, in units of ``errors``, shape () or (...,).

    Returns:
        `RateFit`.

    Example:
        >>> import jax.numpy as jnp
        >>> steps = jnp.arange(40)
        >>> print(fit_rate(steps, 0.5**steps + 0.2**steps, 1e-9).rate.round(3))
        0.5
    """
    t = jnp.asarray(steps, errors.dtype)
    above = jnp.cumprod((errors > jnp.asarray(floor)[..., None]).astype(jnp.int32), -1).astype(bool)
    last = jnp.max(jnp.where(above, t, t[0]), -1)
    first = t[0] + 0.5 * (last - t[0])
    inside = above & (t >= first[..., None])
    height = jnp.log(jnp.where(inside, errors, 1.0))
    slope, error = _regression(t, height, inside)
    middle = 0.5 * (first + last)[..., None]
    early, _ = _regression(t, height, inside & (t <= middle))
    late, _ = _regression(t, height, inside & (t >= middle))
    points = inside.sum(-1)
    rate = jnp.where(points >= LEAST, jnp.exp(slope), jnp.nan)
    drift = jnp.where(jnp.isfinite(late - early), jnp.abs(late - early), 0.0)
    return RateFit(rate, rate * jnp.maximum(2.0 * error, drift), first, last, points)


def fit_order(errors: Float[Array, "*#batch records"], floor: ArrayLike) -> Float[Array, "*batch"]:
    """Order of convergence from the last three errors above the floor, one step apart (standard).

    ``p = log(e_{t+1}/e_t) / log(e_t/e_{t-1})``: 1 for linear, 2 for quadratic convergence; NaN with fewer than three.

    Args:
        errors: distance to the limit at consecutive steps, shape (..., records).
        floor: size below which errors are rounding, shape () or (...,).
    """
    above = jnp.cumprod((errors > jnp.asarray(floor)[..., None]).astype(jnp.int32), -1)
    end = above.sum(-1, keepdims=True)
    height = jnp.log(jnp.where(above > 0, errors, 1.0))
    one, two, three = (jnp.take_along_axis(height, jnp.maximum(end - k, 0), -1)[..., 0] for k in (3, 2, 1))
    return jnp.where(end[..., 0] >= 3, (three - two) / (two - one), jnp.nan)


def _regression(t: Array, height: Array, inside: Array) -> tuple[Array, Array]:
    """Least-squares slope over the points inside, and its standard error; NaN with fewer than two points."""
    weight = inside.astype(height.dtype)
    count = weight.sum(-1, keepdims=True)
    x = weight * (t - jnp.sum(weight * t, -1, keepdims=True) / count)
    y = weight * (height - jnp.sum(weight * height, -1, keepdims=True) / count)
    spread = jnp.sum(x * x, -1)
    slope = jnp.sum(x * y, -1) / spread
    left = jnp.sum((y - slope[..., None] * x) ** 2, -1)
    return slope, jnp.sqrt(left / jnp.maximum(count[..., 0] - 2.0, 1.0) / spread)
