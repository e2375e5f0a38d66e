"""How are few responses summed over all pairs, when every pair is visited anyway?

With X = e^u and Y = e^v the logistic function of a difference is a ratio, s(u-v) = X/(X+Y): N exponentials instead of N^2.
What is left is a division per pair, and four of them share one, by adding fractions or inverting a product.  All kernels of the
logistic family follow from s and c = Y/(X+Y).  Sources are taken in blocks that are unrolled into one loop over the targets,
which stay on the minor axis with the runs before them.  No array of N^2 numbers is made.

Using half the pairs by antisymmetry, s(-d) = 1 - s(d), would save part of a quarter of a division per pair and cost a second
accumulation across the vector axis; it is left out.
"""

from collections.abc import Callable

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from didsim.numerics.pair_sums.kernels import KERNELS

_GROUP = 4  # pairs that share a division
_WHOLE = 64  # up to so many sources fractions are added in one block,
_BLOCK = 32  # beyond, so many at a time;
_SMALL_BLOCK = 8  # other forms are longer: fewer at a time keep compilation short

_RATIO_FORMS: dict[str, Callable[[Array, Array], Array]] = {
    "log_sigmoid": lambda s, c: jnp.log(s),
    "sigmoid": lambda s, c: s,
    "co_sigmoid": lambda s, c: c,
    "slope": lambda s, c: s * c,
    "curvature": lambda s, c: s * c * (c - s),
    "third": lambda s, c: s * c * (1 - 6 * s * c),
    "fourth": lambda s, c: s * c * (c - s) * (1 - 12 * s * c),
}


def dense_sums(
    kernels: tuple[str, ...],
    targets: Float[Array, "#batch m"],
    sources: Float[Array, "#batch n"],
    weights: Float[Array, "batch n"],
) -> list[Float[Array, "batch m"]]:
    """Sum kernels over all sources pair by pair: sum_b w_b K(u_a - v_b), one output per kernel.

    Takes the ratio form (derived, K2) where the data's range keeps products of four terms X + Y from overflow and underflow
    (40 units in float32, 340 in float64), else one exponential per pair, which is sound for every finite difference.
    """
    if not all(name in _RATIO_FORMS for name in kernels):
        return direct_sums(kernels, targets, sources, weights)
    low = jnp.minimum(targets.min(-1), sources.min(-1))[:, None]
    high = jnp.maximum(targets.max(-1), sources.max(-1))[:, None]
    limit = 340.0 if weights.dtype == jnp.float64 else 40.0
    middle = low / 2 + high / 2
    return lax.cond(
        jnp.all(high - low <= limit),
        lambda u, v, w: ratio_sums(kernels, u - middle, v - middle, w),
        lambda u, v, w: direct_sums(kernels, u, v, w),
        targets,
        sources,
        weights,
    )


def direct_sums(
    kernels: tuple[str, ...],
    targets: Float[Array, "#batch m"],
    sources: Float[Array, "#batch n"],
    weights: Float[Array, "batch n"],
) -> list[Float[Array, "batch m"]]:
    """Evaluate every kernel at every difference, block by block: the plain form of sum_b w_b K(u_a - v_b)."""

    def block(totals: list[Array], v: list[Array], w: list[Array]) -> list[Array]:
        for j in range(len(v)):
            d = targets - v[j][:, None]
            totals = [t + w[j][:, None] * KERNELS[k].value(d) for k, t in zip(kernels, totals, strict=True)]
        return totals

    return _over_blocks(block, _SMALL_BLOCK, len(kernels), targets, sources, weights)


def ratio_sums(
    kernels: tuple[str, ...],
    targets: Float[Array, "#batch m"],
    sources: Float[Array, "#batch n"],
    weights: Float[Array, "batch n"],
) -> list[Float[Array, "batch m"]]:
    """Sum logistic kernels through s = X/(X+Y), c = Y/(X+Y); numbers must lie around 0 within the range of `dense_sums`."""
    x, y = jnp.exp(targets), jnp.exp(sources)
    if kernels == ("sigmoid",):
        return [x * _fraction_sum(targets, x, y, weights)]
    if kernels == ("co_sigmoid",):
        return [_fraction_sum(targets, x, y, y * weights)]

    def block(totals: list[Array], y: list[Array], w: list[Array]) -> list[Array]:
        for i in range(0, len(y), _GROUP):
            group = [y[j][:, None] for j in range(i, i + _GROUP)]
            pairs = [(x * r, g * r) for g, r in zip(group, _reciprocals([x + g for g in group]), strict=True)]
            terms = [[w[i + j][:, None] * _RATIO_FORMS[k](*pair) for j, pair in enumerate(pairs)] for k in kernels]
            totals = [t + ((a + b) + (c + d)) for t, (a, b, c, d) in zip(totals, terms, strict=True)]
        return totals

    return _over_blocks(block, _SMALL_BLOCK, len(kernels), targets, y, weights)


def _fraction_sum(like: Array, x: Array, y: Array, weights: Array) -> Array:
    """sum_b w_b / (X + Y_b), adding four fractions before dividing: p/a + q/b = (p b + q a) / (a b).

    The weights are scaled to at most one in size, so that the products neither overflow nor lose what matters to underflow.
    """
    scale = jnp.max(jnp.abs(weights), -1, keepdims=True)
    scale = jnp.where(scale > 0, scale, 1)

    def block(totals: list[Array], y: list[Array], w: list[Array]) -> list[Array]:
        total = totals[0]
        for i in range(0, len(y), _GROUP):
            fractions = [(w[j][:, None], x + y[j][:, None]) for j in range(i, i + _GROUP)]
            while len(fractions) > 1:
                fractions = [(p * b + q * a, a * b) for (p, a), (q, b) in zip(fractions[::2], fractions[1::2], strict=True)]
            total = total + fractions[0][0] / fractions[0][1]
        return [total]

    n = weights.shape[-1]
    size = n + -n % _GROUP if n <= _WHOLE else _BLOCK
    return scale * _over_blocks(block, size, 1, like, y, weights / scale)[0]


def _reciprocals(terms: list[Array]) -> list[Array]:
    """1/x for four numbers with one division: invert the product and multiply the others back."""
    a, b, c, d = terms
    ab, cd = a * b, c * d
    inverse = 1 / (ab * cd)
    inverse_ab, inverse_cd = inverse * cd, inverse * ab
    return [inverse_ab * b, inverse_ab * a, inverse_cd * d, inverse_cd * c]


def _over_blocks(
    block: Callable[[list[Array], list[Array], list[Array]], list[Array]],
    size: int,
    outputs: int,
    targets: Array,
    sources: Array,
    weights: Array,
) -> list[Array]:
    """Run totals = block(totals, sources of the block, weights of the block) over all sources, padded with weight 0.

    Sources are taken as columns where they lie: turning the block first was a third of the time of a single block.
    """
    pad = ((0, 0), (0, -weights.shape[-1] % size))
    split = lambda x: jnp.moveaxis(x.reshape(x.shape[0], -1, size), 1, 0)  # noqa: E731
    v, w = split(jnp.pad(sources, pad, mode="edge")), split(jnp.pad(weights, pad))
    totals = [jnp.zeros_like(targets) + 0 * weights[:, :1] for _ in range(outputs)]
    columns = lambda x: [x[:, j] for j in range(size)]  # noqa: E731
    step = lambda totals, v, w: block(totals, columns(v), columns(w))  # noqa: E731
    if v.shape[0] == 1:
        return step(totals, v[0], w[0])
    return lax.scan(lambda t, vw: (step(t, *vw), None), totals, (v, w))[0]
