"""How does one ask for a sum over all pairs, differentiate it, and get the fastest way to it?

`kernel_sum` is S_a = sum_b w_b K(u_a - v_b).  It is a JAX primitive of its own (the documented extension interface), because the
sum is linear in w and its derivatives are sums of the same kind, which no automatic rule can know:

    dS_a = du_a sum_b w_b K'(u_a-v_b) + sum_b dw_b K(u_a-v_b) - sum_b w_b dv_b K'(u_a-v_b)
    transpose in w:  sum_a g_a K(u_a - v_b), the sum with targets -v, sources -u and weights g

So forward, reverse and any mixture of the two work to the end of the kernel chain, and each order costs a few fast sums.
"""

import functools

import jax
import jax.core
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from didsim.numerics.pair_sums import nodes
from didsim.numerics.pair_sums.dense import dense_sums
from didsim.numerics.pair_sums.kernels import kernel_derivative, kernel_named
from didsim.numerics.pair_sums.panels import MAX_PANELS, WIDTH, panel_sums
from didsim.numerics.pair_sums.piecewise import polynomial_sums, ramp_sums

CROSSOVER = {
    ("log_sigmoid", 8): 640,
    ("log_sigmoid", 4): 576,
    ("analytic", 8): 768,
    ("analytic", 4): 576,
    ("ramp", 8): 1536,
    ("ramp", 4): 2048,
}
"""From how many responses (geometric mean of m and n) the fast path wins, by kernel or family and item size.

Measured on two AVX-512 cores for one and for sixteen rows, to within a factor of 1.5 (`didsim.cli.bench.pairs.crossover_rows`).
"""

METHODS = ("auto", "dense", "fast")
_DEFAULT_PANELS = 256  # under tracing, where the range is unknown: a window of 128 units, more windows if needed


def kernel_sum(
    kernel: str,
    targets: Float[Array, "*#batch m"],
    sources: Float[Array, "*#batch n"],
    weights: Float[Array, "*#batch n"],
    *,
    method: str = "auto",
    panels: int | None = None,
) -> Float[Array, "*batch m"]:
    """Sum a kernel of the difference over all sources, for every target.

    S_a = sum_b w_b K(u_a - v_b).  Source: derived (K1, K2).  Differentiable in u, v and w, in both modes and to higher order.
    The error is normwise: below 1e-12 (float64) or 1e-5 (float32) times sum_b |w_b| times the kernel's scale, which is
    max(1, max |K|) for the logistic family, max d^2 for "square" and max |d| for "double" and "hinge".  A result much smaller
    than that (a tail e^{-50}, cancelling weights) has no relative accuracy.

    Args:
      kernel: a name in `KERNELS`.
      targets: points u (..., m), finite.
      sources: points v (..., n), finite.
      weights: w (..., n), of either sign.
      method: "auto" picks by size and dtype (`CROSSOVER`); "dense" visits all pairs; "fast" is O(m + n) or sorts.
      panels: where many or widely spread responses are summed by cells of width 1/2, how many of them a window holds, a power of
        two.  By default taken from the range of the targets when they are concrete, else 256; any range is right with any window,
        a wider window only saves passes over the data.

    Returns:
      S (..., m), in the common dtype of the arguments.

    Raises:
      ValueError: unknown kernel or method; weights and sources differ in length; an empty axis; `panels` not a power of two.

    Example:
      >>> print(kernel_sum("sigmoid", jnp.array([0.0]), jnp.array([0.0, 0.0]), jnp.array([1.0, 2.0])))
      [1.5]
    """
    return kernel_sums((kernel,), targets, sources, weights, method=method, panels=panels)[0]


def kernel_sums(
    kernels: tuple[str, ...],
    targets: Float[Array, "*#batch m"],
    sources: Float[Array, "*#batch n"],
    weights: Float[Array, "*#batch n"],
    *,
    method: str = "auto",
    panels: int | None = None,
) -> list[Float[Array, "*batch m"]]:
    """Sum several kernels of one family over the same pairs; they share the work that does not depend on the kernel.

    S_{k,a} = sum_b w_b K_k(u_a - v_b).  Source: derived (K1, K2).  Arguments, errors and accuracy as in `kernel_sum`.
    """
    targets, sources, weights = _promoted(targets, sources, weights)
    _check(kernels, targets, sources, weights, method, panels)
    if panels is None:
        panels = _DEFAULT_PANELS if _takes_dense(kernels, method, targets, sources) else panels_for(targets)
    batch = jnp.broadcast_shapes(targets.shape[:-1], sources.shape[:-1], weights.shape[:-1])
    weights = jnp.broadcast_to(weights, (*batch, weights.shape[-1]))
    targets, sources = (x.reshape((1,) * (len(batch) + 1 - x.ndim) + x.shape) for x in (targets, sources))
    operands = same_mesh_axes(targets, sources, weights)
    return list(_sum_p.bind(*operands, kernels=tuple(kernels), method=method, panels=panels))


def panels_for(targets: Float[Array, "*batch m"]) -> int:
    """Give the smallest power of two of cells that holds the targets in one window; the default under tracing."""
    if isinstance(targets, jax.core.Tracer):
        return _DEFAULT_PANELS
    span = float(jnp.max(targets.max(-1) / WIDTH - targets.min(-1) / WIDTH))
    panels = 64
    while panels < min(span + 2, MAX_PANELS):
        panels *= 2
    return panels


def picks_dense(kernels: tuple[str, ...], m: int, n: int, dtype: DTypeLike) -> bool:
    """Say whether "auto" visits all pairs for m targets and n sources (moments always win for polynomials)."""
    family = kernel_named(kernels[0]).family
    if family == "polynomial":
        return False
    group = "log_sigmoid" if "log_sigmoid" in kernels else family
    return m * n < CROSSOVER[group, jnp.dtype(dtype).itemsize] ** 2


def _takes_dense(kernels: tuple[str, ...], method: str, targets: Array, sources: Array) -> bool:
    if method == "auto":
        return picks_dense(kernels, targets.shape[-1], sources.shape[-1], targets.dtype)
    return method == "dense"


def _promoted(*arrays: Array) -> list[Array]:
    dtype = jnp.result_type(*arrays)
    dtype = dtype if dtype in (jnp.float32, jnp.float64) else jnp.result_type(float)
    return [jnp.asarray(x, dtype) for x in arrays]


def _check(kernels: tuple[str, ...], targets: Array, sources: Array, weights: Array, method: str, panels: int | None) -> None:
    families = {kernel_named(name).family for name in kernels}
    if len(families) != 1:
        raise ValueError(f"Argument `kernels` must name kernels of one family, but has {sorted(families)}.")
    if method not in METHODS:
        raise ValueError(f"Argument `method` must be one of {METHODS}, but is {method!r}.")
    if panels is not None and (panels < 4 or panels & (panels - 1)):
        raise ValueError(f"Argument `panels` must be a power of two of at least 4, but is {panels}.")
    if min(targets.ndim, sources.ndim, weights.ndim) < 1 or 0 in (targets.size, sources.size, weights.size):
        raise ValueError("Arguments `targets`, `sources` and `weights` must have a last axis that is not empty.")
    if sources.shape[-1] != weights.shape[-1]:
        raise ValueError(
            f"Arguments `sources` and `weights` must agree in length, but have {sources.shape[-1]} and {weights.shape[-1]}."
        )


# --- the primitive: evaluation, shapes, derivatives, batching -----------------------------------------------------------------

_sum_p = Primitive("didsim_kernel_sum")
_sum_p.multiple_results = True


def _evaluate(u: Array, v: Array, w: Array, *, kernels: tuple[str, ...], method: str, panels: int) -> list[Array]:
    """Flatten the leading axes (1 where broadcast) and take the path."""
    batch, flat = w.shape[:-1], (-1,)
    if u.shape[:-1] != batch and u.size != u.shape[-1]:
        u = jnp.broadcast_to(u, (*batch, u.shape[-1]))
    if v.shape[:-1] != batch and v.size != v.shape[-1]:
        v = jnp.broadcast_to(v, (*batch, v.shape[-1]))
    u, v, w = (x.reshape(flat + x.shape[-1:]) for x in (u, v, w))
    family = kernel_named(kernels[0]).family
    paths = {"analytic": functools.partial(_analytic_sums, panels=panels), "polynomial": polynomial_sums, "ramp": ramp_sums}
    sums = (dense_sums if _takes_dense(kernels, method, u, v) else paths[family])(kernels, u, v, w)
    return [s.reshape(*batch, s.shape[-1]) for s in sums]


def _analytic_sums(kernels: tuple[str, ...], u: Array, v: Array, w: Array, panels: int) -> list[Array]:
    """By nodes where the numbers are few and lie close together, else by panels."""
    by_panels = functools.partial(panel_sums, kernels, panels=panels)
    if max(u.shape[-1], v.shape[-1]) > nodes.MOST:
        return by_panels(u, v, w)
    return jax.lax.cond(nodes.near(u, v, w), functools.partial(nodes.node_sums, kernels), by_panels, u, v, w)


def _shapes(u, v, w, *, kernels, method, panels):
    return [w.update(shape=(*w.shape[:-1], u.shape[-1]), weak_type=False) for _ in kernels]


def _jvp(primals, tangents, *, kernels, method, panels):
    u, v, w = primals
    du, dv, dw = tangents
    bind = functools.partial(_sum_p.bind, method=method, panels=panels)
    moving = not (isinstance(du, ad.Zero) and isinstance(dv, ad.Zero))
    chain = [kernel_derivative(k) if moving else None for k in kernels]
    slopes = tuple(dict.fromkeys(c[1] for c in chain if c))
    extra = tuple(k for k in slopes if k not in kernels) if not isinstance(du, ad.Zero) else ()
    known = dict(zip(kernels + extra, bind(u, v, w, kernels=kernels + extra), strict=True))
    out = [jnp.zeros_like(known[k]) for k in kernels]
    if not isinstance(du, ad.Zero):
        out = [o if c is None else o + c[0] * du * known[c[1]] for o, c in zip(out, chain, strict=True)]
    if not isinstance(dw, ad.Zero):
        out = [o + s for o, s in zip(out, bind(u, v, dw, kernels=kernels), strict=True)]
    if not isinstance(dv, ad.Zero) and slopes:
        moved = dict(zip(slopes, bind(u, v, -w * dv, kernels=slopes), strict=True))
        out = [o if c is None else o + c[0] * moved[c[1]] for o, c in zip(out, chain, strict=True)]
    return [known[k] for k in kernels], out


def _transpose(cotangents, u, v, w, *, kernels, method, panels):
    parts = [
        _sum_p.bind(*same_mesh_axes(-v, -u, g), kernels=(k,), method=method, panels=panels)[0]
        for k, g in zip(kernels, cotangents, strict=True)
        if not isinstance(g, ad.Zero)
    ]
    return [None, None, functools.reduce(jnp.add, parts) if parts else ad.Zero(w.aval)]


def _batch(operands, axes, *, kernels, method, panels):
    size = next(x.shape[a] for x, a in zip(operands, axes, strict=True) if a is not None)
    u, v, w = (x[None] if a is None else jnp.moveaxis(x, a, 0) for x, a in zip(operands, axes, strict=True))
    w = jnp.broadcast_to(w, (size, *w.shape[1:]))
    return _sum_p.bind(u, v, w, kernels=kernels, method=method, panels=panels), [0] * len(kernels)


_sum_p.def_impl(functools.partial(jax.jit(_evaluate, static_argnames=("kernels", "method", "panels"))))
_sum_p.def_abstract_eval(_shapes)
ad.primitive_jvps[_sum_p] = _jvp
ad.primitive_transposes[_sum_p] = _transpose
batching.primitive_batchers[_sum_p] = _batch
mlir.register_lowering(_sum_p, mlir.lower_fun(_evaluate, multiple_results=True))


def same_mesh_axes(*arrays: Array) -> list[Array]:
    """Under `shard_map`, let all operands vary over the same mesh axes, so that the transpose sums where it must."""
    types = [getattr(jax.typeof(x), "manual_axis_type", None) for x in arrays]
    axes = [frozenset() if t is None else t.varying for t in types]
    every = frozenset().union(*axes)
    return [x if a == every else jax.lax.pcast(x, tuple(every - a), to="varying") for x, a in zip(arrays, axes, strict=True)]
