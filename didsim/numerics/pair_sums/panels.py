"""How is a smooth kernel summed over all pairs of a million responses in the time of a few passes over them?

The logistic function and its relatives are analytic in the strip |Im d| < pi, so on a cell of width 1/2 a handful of Chebyshev
polynomials T_k carry them to rounding (error ~ 25^-n for n of them).  Four steps, all linear in the weights:

1. cells       x = h (k + (1+t)/2): every number gets an integer cell k and a coordinate t in [-1, 1];
2. moments     M_{j,l} = sum_{b in cell j} w_b T_l(t_b)                                       N n additions
3. interaction C_{p,k} = sum_{|j-p| <= D} sum_l A_{p-j,l,k} M_{j,l}; beyond D cells K is constant or a line: prefix sums
4. evaluation  S_a = sum_k C_{p(a),k} T_k(t_a)                                                Clenshaw, N n multiply-adds

Cells are aligned to multiples of h, a power of two, so k and t are exact for numbers of any size and the error does not grow with
the range.  A window holds `panels` cells of targets.  Whatever lies outside its reach is saturated and needs sums only; a `while`
loop moves the window to the next target not yet served, so any range is right and only its speed depends on the window.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from didsim.numerics.pair_sums.kernels import KERNELS
from didsim.numerics.pair_sums.nodes import chebyshev, chebyshev_rule

WIDTH = 0.5  # cell width h, a power of two
MAX_PANELS = 4096  # largest window: 2048 units of u
_CHUNK = 2**17  # numbers anterpolated at once: their n moments still fit the cache
_RUN = 4096  # additions in a row into one accumulator; keeps the rounding of long sums at about _RUN * eps


class Rule(NamedTuple):
    """How many polynomials a cell carries and after how many cells the kernel is saturated."""

    order: int
    reach: int


class Far(NamedTuple):
    """Sums over the sources beyond the reach of a window: weights on either side and first moment on the right."""

    left: Float[Array, " batch"]
    right: Float[Array, " batch"]
    right_moment: Float[Array, " batch"]


def panel_rule(dtype: DTypeLike) -> Rule:
    """Give order and reach for a precision: errors 25^-order and exp(-reach h) below its rounding."""
    return Rule(13, 76) if jnp.dtype(dtype) == jnp.float64 else Rule(7, 40)


def panel_sums(
    kernels: tuple[str, ...],
    targets: Float[Array, "#batch m"],
    sources: Float[Array, "#batch n"],
    weights: Float[Array, "batch n"],
    panels: int = 256,
) -> list[Float[Array, "batch m"]]:
    """Sum smooth kernels over all sources in O(m + n): sum_b w_b K(u_a - v_b), one output per kernel.

    Source: derived (K1).  The error is below 1e-13 (float64) or 2e-6 (float32) times sum_b |w_b| times max(1, max|K|).
    A row with a number that is not finite gives NaN throughout.

    Args:
      kernels: names of "analytic" kernels; they share the moments.
      targets, sources: points; a leading axis of size 1 is broadcast against that of the weights.
      weights: of either sign.
      panels: cells in a window, a power of two; more windows are used when the targets spread wider.
    """
    rule, batch = panel_rule(weights.dtype), weights.shape[0]
    shape = (batch, targets.shape[-1])
    cell_u, t_u = (jnp.broadcast_to(x, shape) for x in _cells(targets))
    cell_v, t_v = _cells(sources)

    def serve(state):
        low, sums = state
        moments, far = _anterpolate(cell_v - low[:, None], t_v, weights, panels, rule)
        offset = cell_u - low[:, None]
        inside = (offset >= 0) & (offset < panels)
        used = jnp.max(jnp.where(inside, offset, 0)) + 1
        index = jnp.clip(offset, 0, panels - 1).astype(jnp.int32)
        index += jnp.arange(batch, dtype=jnp.int32)[:, None] * panels
        coefficients = _interact(kernels, moments, far, used, rule)
        sums = [jnp.where(inside, _clenshaw(c, index, t_u), s) for c, s in zip(coefficients, sums, strict=True)]
        return jnp.min(jnp.where(offset >= panels, cell_u, jnp.inf), -1), sums

    start = [jnp.zeros_like(t_u) + 0 * weights[:, :1] for _ in kernels]
    _, sums = lax.while_loop(lambda s: jnp.any(s[0] < jnp.inf), serve, (jnp.min(cell_u, -1) + 0 * weights[:, 0], start))
    sound = _all_finite(targets) & _all_finite(sources) & _all_finite(weights)
    return [jnp.where(sound, s, jnp.nan) for s in sums]


def _all_finite(x: Float[Array, "batch n"]) -> Array:
    return jnp.all(jnp.isfinite(x), -1, keepdims=True)


def _cells(x: Array) -> tuple[Array, Array]:
    """Split x = h (k + (1+t)/2) into the cell number k (a float, exact at any size) and t in [-1, 1]."""
    scaled = x / WIDTH
    cell = jnp.floor(scaled)
    return cell, 2 * (scaled - cell) - 1


# --- step 2: moments ----------------------------------------------------------------------------------------------------------


def _anterpolate(offset: Array, t: Array, weights: Array, panels: int, rule: Rule) -> tuple[Array, Far]:
    """Moments (batch, panels + 2 reach, order) of the sources around a window that starts at offset 0, and the far sums.

    Long inputs go chunk by chunk, so that the memory beyond input and output does not grow with n.
    """
    batch, n = weights.shape
    width = panels + 2 * rule.reach
    size = min(n, max(_CHUNK // batch, 256))
    if size == n:
        return _chunk_moments(offset, t, weights, width, rule)
    pad = -n % size
    split = lambda x: jnp.moveaxis(jnp.pad(x, ((0, 0), (0, pad))).reshape(x.shape[0], -1, size), 1, 0)  # noqa: E731
    zero = 0 * weights[:, 0]
    start = (jnp.zeros((batch, width, rule.order), weights.dtype) + zero[:, None, None], Far(zero, zero, zero))
    add = lambda total, part: jax.tree.map(jnp.add, total, _chunk_moments(part[0], part[1], part[2], width, rule))  # noqa: E731
    return lax.scan(lambda total, part: (add(total, part), None), start, (split(offset), split(t), split(weights)))[0]


def _chunk_moments(offset: Array, t: Array, weights: Array, width: int, rule: Rule) -> tuple[Array, Far]:
    """Moments and far sums of one chunk; accumulators are replicated so that no one takes more than `_RUN` terms."""
    batch, size = weights.shape
    copies = min(32, -(-size // _RUN))
    column = offset + rule.reach
    inside = (column >= 0) & (column < width)
    row = jnp.arange(batch)[:, None] * copies + jnp.arange(size) % copies
    bucket = row * width + jnp.clip(column, 0, width - 1).astype(row.dtype)
    inner = jnp.where(inside, weights, 0)
    moments = [
        _bucket_sum(bucket, inner * value, batch * copies * width).reshape(batch, copies, width).sum(1)
        for value in chebyshev(t, rule.order)
    ]
    right = jnp.where(column >= width, weights, 0)
    beyond = jnp.where(column >= width, WIDTH * (column - width + (t + 1) / 2), 0)
    far = Far(jnp.where(column < 0, weights, 0).sum(-1), right.sum(-1), (right * beyond).sum(-1))
    return jnp.stack(moments, -1), far


def _bucket_sum(bucket: Array, values: Array, size: int) -> Array:
    """Add values into buckets; in float32 as leading 12 bits plus rest, so that long sums of equal terms stay exact."""
    put = lambda x: jnp.zeros(size, x.dtype).at[bucket].add(x, mode="promise_in_bounds")  # noqa: E731
    if values.dtype == jnp.float64:
        return put(values)
    lead = lax.reduce_precision(values, 8, 11)
    return put(lead) + put(values - lead)


# --- step 3: interaction ------------------------------------------------------------------------------------------------------


def _interact(kernels: tuple[str, ...], moments: Array, far: Far, used: Array, rule: Rule) -> list[Array]:
    """Coefficients (batch, panels, order) per kernel: near cells by matrices, far cells by prefix sums."""
    batch, width, order = moments.shape
    panels = width - 2 * rule.reach
    block = min(panels, max(4, min(64, 2048 // batch)))
    table = jnp.asarray(_near_table(kernels, rule), moments.dtype)
    window = jnp.arange(block)[:, None] + jnp.arange(2 * rule.reach + 1)

    def near(i, out):
        piece = lax.dynamic_slice_in_dim(moments, i * block, block + 2 * rule.reach, axis=1)
        patches = piece[:, window].reshape(batch, block, -1)
        new = jnp.matmul(patches, table, precision=lax.Precision.HIGHEST)
        return lax.dynamic_update_slice_in_dim(out, new, i * block, axis=1)

    out = jnp.zeros((batch, panels, order * len(kernels)), moments.dtype) + 0 * far.left[:, None, None]
    blocks = jnp.ceil(used / block).astype(jnp.int32)
    out = lax.fori_loop(0, blocks, near, out)
    return [c + _far_part(k, moments, far, rule) for k, c in zip(kernels, jnp.split(out, len(kernels), -1), strict=True)]


@functools.lru_cache(maxsize=64)
def _near_table(kernels: tuple[str, ...], rule: Rule) -> np.ndarray:
    """Matrices A_{delta,l,k} from moment l of the cell `delta - reach` away to coefficient k, flattened to two axes.

    A = F K F^T with K the kernel at the Chebyshev nodes of both cells and F the discrete cosine transform.
    """
    order, reach = rule
    nodes, cosines = chebyshev_rule(order)
    nodes = nodes * WIDTH / 2
    centres = WIDTH * np.arange(reach, -reach - 1, -1.0)
    differences = centres[:, None, None] + nodes[:, None] - nodes
    tables = [np.einsum("ki,dij,lj->dlk", cosines, KERNELS[k].value(differences, np), cosines) for k in kernels]
    return np.concatenate(tables, -1).reshape(-1, order * len(kernels))


def _far_part(name: str, moments: Array, far: Far, rule: Rule) -> Array:
    """What saturated sources add to the coefficients: K(+-inf) times their weight, or a line in the target."""
    kernel, reach = KERNELS[name], rule.reach
    panels = moments.shape[1] - 2 * reach
    mass = moments[..., 0]
    left = far.left[:, None] + jnp.cumsum(mass, -1)[:, :panels] - mass[:, :panels]
    tail = lambda x: jnp.pad(lax.cumsum(x, 1, reverse=True)[:, 2 * reach + 1 :], ((0, 0), (0, 1)))  # noqa: E731
    inner = tail(mass)
    right = inner + far.right[:, None]
    constant, slope = kernel.right * left + kernel.left * right, jnp.zeros_like(right)
    if kernel.left_linear:
        distance = WIDTH * (lax.cumsum(inner, 1, reverse=True) + reach * inner) + WIDTH / 2 * tail(moments[..., 1])
        edge = WIDTH * (panels + reach - jnp.arange(panels) - 0.5)
        constant -= distance + far.right_moment[:, None] + far.right[:, None] * edge
        slope = WIDTH / 2 * right
    return jnp.pad(jnp.stack([constant, slope], -1), ((0, 0), (0, 0), (0, rule.order - 2)))


# --- step 4: evaluation -------------------------------------------------------------------------------------------------------


def _clenshaw(coefficients: Array, index: Array, t: Array) -> Array:
    """sum_k C_{index,k} T_k(t) by Clenshaw's recurrence, reading one coefficient at a time."""
    table = jnp.moveaxis(coefficients.reshape(-1, coefficients.shape[-1]), -1, 0)
    first = second = jnp.zeros_like(t)
    for row in table[:0:-1]:
        first, second = row.at[index].get(mode="promise_in_bounds") + 2 * t * first - second, first
    return table[0].at[index].get(mode="promise_in_bounds") + t * first - second
