"""Are the log-margins of several laws in order, in proportion, or neither?

Writing ``u`` for what the data says, ``log(π_w/π_l)``, and ``v`` for what should be learned, ``log(π*/π_ref)``:
proportional margins (the power law, D4) let DPO reach π*; margins that are only in order (D8) let it rank responses as π*
does, at any β, and still miss π*; margins out of order teach some pairs backwards.
"""

from typing import final

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from didsim.did import inputs
from didsim.numerics import simplex
from didsim.numerics.pytrees import pytree

ALL_PAIRS = 1024  # beyond, pairs are counted without a matrix of them


@final
@pytree
class MarginOrder:
    """How two log-margin increments agree over all pairs of responses.

    Attributes:
        slope: least-squares slope of ``u``'s margins against ``v``'s.
        residual: relative residual; zero iff the margins are proportional.
        ordered: share of pairs that both order the same way.
        reversed: share of pairs that they order opposite ways; the rest are ties.
    """

    slope: Float[Array, "..."]
    residual: Float[Array, "..."]
    ordered: Float[Array, "..."]
    reversed: Float[Array, "..."]

    def is_collinear(self, tolerance: float) -> Array:
        """Whether the power law holds with a positive exponent: DPO at ``β = slope`` reaches the target."""
        return (self.residual <= tolerance) & (self.slope > 0)

    @property
    def is_ordered(self) -> Array:
        """Whether every pair is strictly in order: with ``π_w = π_ref``, ``M_{π_l} < M_{π_ref} < M_{π*}`` on every pair."""
        return self.ordered == 1

    @property
    def is_comonotone(self) -> Array:
        """Whether no pair is reversed, ties allowed: no pair is taught backwards, some may be taught nothing."""
        return self.reversed == 0


def margin_order(increments: Float[Array, "*#batch n"], base_increments: Float[Array, "*#batch n"]) -> MarginOrder:
    """Slope, residual and shares of ordered and reversed pairs (D8): collinear ⇒ ordered ⇒ comonotone."""
    slope, residual = margin_slope(increments, base_increments)
    shares = ordered_share(increments, base_increments), ordered_share(increments, -base_increments)
    return MarginOrder(slope, residual, *shares)


def margin_slope(
    increments: Float[Array, "*#batch n"], base_increments: Float[Array, "*#batch n"]
) -> tuple[Float[Array, "*#batch"], Float[Array, "*#batch"]]:
    """Least-squares slope of one log-margin increment against another over all pairs, with its relative residual.

    For log-ratios ``u`` and ``v`` (one per response), pairs contribute ``u(a)-u(b)`` and ``v(a)-v(b)``; their slope is
    ``⟨clr u, clr v⟩ / ‖clr v‖²`` and the residual is ``‖clr u - slope clr v‖ / ‖clr u‖``, zero iff the power law holds
    with exponent ``slope``.  Source: theory D8 (paper A's log-margin order, made precise here).
    """
    u, v = simplex.clr(increments), simplex.clr(base_increments)
    slope = jnp.sum(u * v, -1) / jnp.sum(v * v, -1)
    residual = jnp.linalg.norm(u - slope[..., None] * v, axis=-1) / jnp.linalg.norm(u, axis=-1)
    return slope, residual


def ordered_share(increments: Float[Array, "*#batch n"], base_increments: Float[Array, "*#batch n"]) -> Float[Array, "*#batch"]:
    """Share of pairs that both increments order the same way: 1 iff each is an increasing function of the other (D8)."""
    n = increments.shape[-1]
    count = _dense if n <= ALL_PAIRS else _counted
    return count(*jnp.broadcast_arrays(increments, base_increments)) / (0.5 * n * (n - 1))


def _dense(u: Float[Array, "*batch n"], v: Float[Array, "*batch n"]) -> Float[Array, "*batch"]:
    """Pairs in the same strict order, from the matrix of all pairs."""

    def signs(values: Float[Array, "*batch n"]) -> Float[Array, "*batch n n"]:
        return jnp.sign(values[..., :, None] - values[..., None, :])

    return 0.5 * jnp.sum(signs(u) * signs(v) > 0, axis=(-2, -1))


def _counted(u: Float[Array, "*batch n"], v: Float[Array, "*batch n"]) -> Float[Array, "*batch"]:
    """The same count in O(N log² N): ascents of ``v`` in the order of ``u``, one bit of the ranks at a time."""
    return jnp.vectorize(_ascents, signature="(n),(n)->()")(u, v)


def _ascents(u: Float[Array, " n"], v: Float[Array, " n"]) -> Float[Array, ""]:
    """Pairs ``i < j`` with ``v_i < v_j`` after sorting by ``u``, where ties of ``u`` are put in falling order of ``v``.

    Two ranks compare as their highest differing bit does: within each group of equal higher bits, every one counts the
    zeros before it.
    """
    n = u.shape[0]
    v = v[jnp.lexsort((-v, u))]
    rank = jnp.searchsorted(jnp.sort(v), v, side="left").astype(jnp.int32)

    def level(total, bit):
        order = jnp.argsort(rank >> (bit + 1), stable=True)
        ordered = rank[order]
        group, is_one = ordered >> (bit + 1), (ordered >> bit) & 1
        zeros = jnp.concatenate([jnp.zeros(1, jnp.int32), jnp.cumsum(1 - is_one, dtype=jnp.int32)])
        before = zeros[:-1] - zeros[jnp.searchsorted(group, group, side="left")]
        return total + jnp.sum((is_one * before).astype(u.dtype)), None

    return jax.lax.scan(level, jnp.zeros((), u.dtype), jnp.arange((n - 1).bit_length(), dtype=jnp.int32))[0]


@final
@pytree
class PowerLaw:
    """How nearly ``π_w/π_l ∝ (π*/π_ref)^β``.

    Attributes:
        beta: the exponent of the nearest power law, by least squares over all pairs; none exists where it is not positive.
        residual: relative residual, ``|sin|`` of the angle.
        angle: angle between ``log(π_w/π_l)`` and ``log(π*/π_ref)`` as centred vectors, radians in [0, π]; zero iff it holds.
    """

    beta: Float[Array, "..."]
    residual: Float[Array, "..."]
    angle: Float[Array, "..."]


def power_law(log_chosen: ArrayLike, log_rejected: ArrayLike, log_ref: ArrayLike, log_target: ArrayLike) -> PowerLaw:
    """Whether preferences between π_w and π_l encode the differential information of π* against π_ref (D4).

    Source: the power law is paper A's; exponent, residual and angle are derived from D8.

    Args:
        log_chosen: log-law π_w of chosen responses, shape (..., n), full support.
        log_rejected: log-law π_l of rejected responses, full support.
        log_ref: log-law π_ref, full support.
        log_target: log-law π*, full support.

    Returns:
        `PowerLaw` with fitted exponent, residual and angle.

    Raises:
        ArgumentError: a law is not normalised or lacks support, or sizes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> from didsim import did, optimal_rejected
        >>> ref, target = jnp.log(jnp.array([0.5, 0.3, 0.2])), jnp.log(jnp.array([0.1, 0.2, 0.7]))
        >>> found = did.power_law(ref, optimal_rejected(ref, ref, target, 0.7), ref, target)
        >>> print(f"{found.beta:.3f}", bool(found.angle < 1e-5))
        0.700 True
    """
    laws = inputs.laws(
        log_chosen=log_chosen, log_rejected=log_rejected, log_ref=log_ref, log_target=log_target, full_support=True
    )
    chosen, rejected, ref, target = laws
    slope, residual = margin_slope(chosen - rejected, target - ref)
    return PowerLaw(slope, residual, angle(simplex.clr(chosen - rejected), simplex.clr(target - ref)))


def angle(u: Float[Array, "*#batch n"], v: Float[Array, "*#batch n"]) -> Float[Array, "*#batch"]:
    """Angle between two vectors in [0, π], ``2 atan2(‖û - v̂‖, ‖û + v̂‖)``: accurate for small ones, as arccos is not."""
    u, v = (w / jnp.linalg.norm(w, axis=-1, keepdims=True) for w in (u, v))
    return 2.0 * jnp.arctan2(jnp.linalg.norm(u - v, axis=-1), jnp.linalg.norm(u + v, axis=-1))
