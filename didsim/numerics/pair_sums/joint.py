"""What does a logistic mean over all pairs of a written-out law cost when many runs share a program?

``E log σ(x_a - y_b)`` under a law ``ν`` of shape (n, n).  Training needs its gradient alone: the row and column sums of
``ν_ab σ(y_b - x_a)``.  They take two exponentials per response and one division per pair (K2); many runs at once lie on the
minor axis, where the vector units are: measured on two cores, 6 times as fast as a logistic function per pair for 64 runs of
20 responses.
"""

import functools
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Float

from didsim.numerics.pair_sums.sums import same_mesh_axes

LANES = 64  # runs whose pairs stay in the cache together: measured


@jax.custom_jvp
def expected_log_sigmoid(
    law: Float[Array, "*batch m n"], first: Float[Array, "*batch m"], second: Float[Array, "*batch n"]
) -> Float[Array, "*batch"]:
    """``Σ_ab ν_ab log σ(x_a - y_b)`` for a written-out law ν (K2).

    Args:
        law: ν, any sign, shape (..., m, n).
        first: x, shape (..., m).
        second: y, shape (..., n).

    Returns:
        One sum per leading index.
    """
    return jnp.sum(law * jax.nn.log_sigmoid(first[..., :, None] - second[..., None, :]), axis=(-2, -1))


def _jvp(primals, tangents):
    law, first, second = primals
    law_dot, first_dot, second_dot = tangents
    rows, columns = _slopes(law, first, second)
    total = jnp.zeros(rows.shape[:-1], rows.dtype)
    if not _is_zero(first_dot):
        total = total + jnp.sum(rows * first_dot, -1)
    if not _is_zero(second_dot):
        total = total - jnp.sum(columns * second_dot, -1)
    if not _is_zero(law_dot):
        total = total + expected_log_sigmoid(law_dot, first, second)
    return expected_log_sigmoid(law, first, second), total


expected_log_sigmoid.defjvp(_jvp, symbolic_zeros=True)


@jax.custom_jvp
def expected_log_sigmoid_of_one(law: Float[Array, "*batch n n"], reward: Float[Array, "*batch n"]) -> Float[Array, "*batch"]:
    """``Σ_ab ν_ab log σ(x_a - x_b)``: `expected_log_sigmoid` where both responses have one reward, with half the divisions.

    The gradient is ``Σ_b (ν_ab X_b - ν_ba X_a) / (X_a + X_b)`` with ``X = e^x`` (derived, K2).

    Args:
        law: ν, any sign, shape (..., n, n).
        reward: x, shape (..., n).

    Returns:
        One sum per leading index.
    """
    return expected_log_sigmoid(law, reward, reward)


def _jvp_of_one(primals, tangents):
    (law, reward), (law_dot, reward_dot) = primals, tangents
    (pull,) = _slopes(law, reward)
    total = jnp.zeros(pull.shape[:-1], pull.dtype)
    if not _is_zero(reward_dot):
        total = total + jnp.sum(pull * reward_dot, -1)
    if not _is_zero(law_dot):
        total = total + expected_log_sigmoid_of_one(law_dot, reward)
    return expected_log_sigmoid_of_one(law, reward), total


expected_log_sigmoid_of_one.defjvp(_jvp_of_one, symbolic_zeros=True)


def _is_zero(tangent: object) -> bool:
    return isinstance(tangent, jax.custom_derivatives.SymbolicZero)


def batch_last(law: Float[Array, "*batch m n"]) -> Float[Array, "*batch m n"]:
    """The same law; under ``vmap`` the batch moves to the last axis, where `expected_log_sigmoid` wants them.

    Done once before a training loop it spares a transposition of all pairs at every step: XLA does not hoist it, and it
    is two fifths of a step of 64 runs of 20 responses.
    """
    return _batch_last_p.bind(law)


_batch_last_p = Primitive("didsim_batch_last")
_batch_last_p.def_impl(lambda law: law)
_batch_last_p.def_abstract_eval(lambda law: law)
ad.primitive_jvps[_batch_last_p] = lambda primals, tangents: (_batch_last_p.bind(*primals), *tangents)
batching.primitive_batchers[_batch_last_p] = lambda xs, axes: (jnp.moveaxis(xs[0], axes[0], -1), xs[0].ndim - 1)
mlir.register_lowering(_batch_last_p, lambda _, law: [law])


@jax.custom_jvp
def _slopes(law: Array, *rewards: Array) -> list[Array]:
    """Of two rewards ``Σ_b ν_ab σ(y_b - x_a)`` and ``Σ_a ν_ab σ(y_b - x_a)``; of one their difference, response by response."""
    return _slopes_p.bind(*same_mesh_axes(law, *rewards))


@_slopes.defjvp
def _slopes_jvp(primals, tangents):
    return jax.jvp(_direct_slopes, primals, tangents)  # curvature is rarely asked for: the plain form will do


def _direct_slopes(law: Array, *rewards: Array) -> list[Array]:
    slope = law * jax.nn.sigmoid(rewards[-1][..., None, :] - rewards[0][..., :, None])
    sums = [slope.sum(-1), slope.sum(-2)]
    return sums if len(rewards) == 2 else [sums[0] - sums[1]]


def _of_one_run(law: Array, *rewards: Array) -> list[Array]:
    turned = jnp.swapaxes(law, -1, -2)

    # Sums over the axis before the last run along the vector units, sums over the last do not.
    def ratios(x: Array, y: Array) -> list[Array]:
        rows = turned * (y[..., :, None] / (x[..., None, :] + y[..., :, None]))
        return [rows.sum(-2), (law * (y[..., None, :] / (x[..., :, None] + y[..., None, :]))).sum(-2)]

    def ratios_of_one(x: Array) -> list[Array]:
        above, here = x[..., :, None], x[..., None, :]
        return [((turned * above - law * here) / (here + above)).sum(-2)]

    return _by_range(ratios if len(rewards) == 2 else ratios_of_one, lambda *r: _direct_slopes(law, *r), rewards, -1)


def _of_many_runs(operands: Sequence[Array], axes: Sequence[int | None]) -> tuple[list[Array], list[int]]:
    """Batching rule: runs and whatever lies before the pairs are turned to the last axis."""
    size = next(x.shape[a] for x, a in zip(operands, axes, strict=True) if a is not None)
    law, *rewards = (
        jnp.broadcast_to(x[..., None], (*x.shape, size)) if a is None else jnp.moveaxis(x, a, -1)
        for x, a in zip(operands, axes, strict=True)
    )  # the law is there already if it has been through `batch_last`
    batch = law.shape[:-3]
    sums = _slopes_by_groups(*(_batch_minor(x, len(batch)) for x in (law, *rewards)))
    return [_batch_first(x, batch, size) for x in sums], [0] * len(sums)


_slopes_p = Primitive("didsim_logistic_slopes")
_slopes_p.multiple_results = True
_slopes_p.def_impl(jax.jit(_of_one_run))
_slopes_p.def_abstract_eval(lambda _, *rewards: [reward.update(weak_type=False) for reward in rewards])
batching.primitive_batchers[_slopes_p] = _of_many_runs
mlir.register_lowering(_slopes_p, mlir.lower_fun(_of_one_run, multiple_results=True))


def _batch_minor(x: Array, count: int) -> Array:
    """Leading axes, ``count`` of them, merged with the runs on the last axis; nothing moves where all are of size one."""
    inner = x.shape[count:-1]
    if math.prod(x.shape[:count]) > 1:
        x = jnp.moveaxis(x, range(count), range(-count - 1, -1))
    return x.reshape(*inner, -1)


def _batch_first(x: Array, batch: tuple[int, ...], size: int) -> Array:
    """From (m, batch and runs merged) to (runs, *batch, m)."""
    return jnp.moveaxis(x.reshape(-1, *batch, size), (-1, 0), (0, -1))


def _slopes_by_groups(law: Float[Array, "m n runs"], *rewards: Float[Array, "_ runs"]) -> list[Array]:
    """`_turned_slopes`, `LANES` runs at a time; the last group overlaps the one before it."""
    runs = law.shape[-1]
    if runs <= LANES:
        return _turned_slopes(law, *rewards)

    def group(place: Array, sums: list[Array]) -> list[Array]:
        start = jnp.minimum(place * LANES, runs - LANES)
        own = (lax.dynamic_slice_in_dim(x, start, LANES, -1) for x in (law, *rewards))
        found = zip(sums, _turned_slopes(*own), strict=True)
        return [lax.dynamic_update_slice_in_dim(whole, part, start, -1) for whole, part in found]

    return lax.fori_loop(0, -(-runs // LANES), group, [jnp.zeros_like(reward) for reward in rewards])


def _turned_slopes(law: Float[Array, "m n runs"], *rewards: Float[Array, "_ runs"]) -> list[Array]:
    def sums(slope: Array) -> list[Array]:
        along, across = slope.sum(1), slope.sum(0)
        return [along, across] if len(rewards) == 2 else [along - across]

    # For one reward too: to read the law a second time, turned, costs many runs more than the sum it spares.
    return _by_range(
        lambda *x: sums(law * (x[-1] / (x[0][:, None] + x[-1]))),
        lambda *r: sums(law * jax.nn.sigmoid(r[-1] - r[0][:, None])),
        rewards,
        0,
    )


def _by_range(ratios: Callable, direct: Callable, rewards: Sequence[Array], axis: int) -> list[Array]:
    """The ratio form of the exponentials where they stay within the numbers' range, else one logistic function per pair."""
    low = functools.reduce(jnp.minimum, [reward.min(axis, keepdims=True) for reward in rewards])
    high = functools.reduce(jnp.maximum, [reward.max(axis, keepdims=True) for reward in rewards])
    middle = low / 2 + high / 2
    limit = 1400.0 if low.dtype == jnp.float64 else 160.0
    return lax.cond(
        jnp.all(high - low <= limit),
        lambda: ratios(*(jnp.exp(reward - middle) for reward in rewards)),
        lambda: direct(*rewards),
    )
