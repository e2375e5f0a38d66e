"""Sums over all pairs against NumPy float64 brute force, over ordinary and adversarial data."""

import functools

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from didsim.numerics import pair_sums
from didsim.numerics.pair_sums import KERNELS
from didsim.numerics.pair_sums import sums as fast
from didsim.numerics.pair_sums.kernels import kernel_derivative
from didsim.numerics.pair_sums.sums import CROSSOVER, panels_for, picks_dense

ANALYTIC = ("log_sigmoid", "sigmoid", "co_sigmoid", "slope", "curvature", "third", "fourth")
POLYNOMIAL = ("square", "double", "two")
RAMP = ("hinge", "step")
FAMILIES = (ANALYTIC, POLYNOMIAL, RAMP)
M, N = 61, 83


def kernel_sum(kernel, *arrays, **settings):
    return pair_sums.kernel_sum(kernel, *map(jnp.asarray, arrays), **settings)


def kernel_sums(kernels, *arrays, **settings):
    return fast.kernel_sums(kernels, *map(jnp.asarray, arrays), **settings)


def expected_kernel(kernel, *arrays, **settings):
    return pair_sums.expected_kernel(kernel, *map(jnp.asarray, arrays), **settings)


# --- the oracle: formulas written again, pairs visited one block of targets at a time -----------------------------------------


def sigma(d):
    return np.where(d >= 0, 1 / (1 + np.exp(-np.abs(d))), np.exp(-np.abs(d)) / (1 + np.exp(-np.abs(d))))


ORACLE = {
    "log_sigmoid": lambda d: -np.logaddexp(0, -d),
    "sigmoid": sigma,
    "co_sigmoid": lambda d: sigma(-d),
    "slope": lambda d: sigma(d) * sigma(-d),
    "curvature": lambda d: sigma(d) * sigma(-d) * (sigma(-d) - sigma(d)),
    "third": lambda d: sigma(d) * sigma(-d) * (1 - 6 * sigma(d) * sigma(-d)),
    "fourth": lambda d: sigma(d) * sigma(-d) * (sigma(-d) - sigma(d)) * (1 - 12 * sigma(d) * sigma(-d)),
    "square": lambda d: d**2,
    "double": lambda d: 2 * d,
    "two": lambda d: 2 + 0 * d,
    "hinge": lambda d: np.where(d > 0, d, 0),
    "step": lambda d: np.where(d > 0, 1.0, np.where(d < 0, 0.0, 0.5)),
}
SLOPE = {
    "log_sigmoid": ORACLE["co_sigmoid"],
    "sigmoid": ORACLE["slope"],
    "co_sigmoid": lambda d: -ORACLE["slope"](d),
    "slope": ORACLE["curvature"],
    "curvature": ORACLE["third"],
    "third": ORACLE["fourth"],
    "square": ORACLE["double"],
    "double": ORACLE["two"],
    "two": lambda d: 0 * d,
    "hinge": ORACLE["step"],
    "step": lambda d: 0 * d,
}


def brute(value, u, v, w):
    u, v, w = (np.asarray(x, np.float64) for x in (u, v, w))
    blocks = [(value(u[i : i + 50, None] - v) * w).sum(-1) for i in range(0, len(u), 50)]
    return np.concatenate(blocks)


def scale(name, u, v, w):
    """sum |w| times the size of the kernel that `kernel_sum` promises its error relative to."""
    far = max(np.max(u) - np.min(v), np.max(v) - np.min(u), 0)
    size = {"log_sigmoid": max(1, far), "square": far**2, "double": far, "hinge": far}.get(name, 1)
    return np.abs(np.asarray(w, np.float64)).sum() * size + np.finfo(np.float64).tiny


def worst(name, got, u, v, w, value=None):
    error = np.abs(np.asarray(got, np.float64) - brute(value or ORACLE[name], u, v, w)).max()
    return error / scale(name, u, v, w)


def instances(dtype=np.float64):
    """Rows (names, u, v, w): all of one shape, so that one compiled call takes them together."""
    rng = np.random.default_rng(7)
    u, v = rng.normal(size=M), rng.normal(size=N)
    signed, law = rng.normal(size=N), rng.dirichlet(np.ones(N))
    table = {
        "ordinary": (2 * u, 2 * v, law),
        "signed": (5 * u, 5 * v, signed),
        "ties": (np.round(u), np.round(v), signed),
        "all equal": (np.full(M, 0.3), np.full(N, 0.3), signed),
        "cell edges": (rng.integers(-8, 8, M) / 2, rng.integers(-8, 8, N) / 2, signed),
        "one huge gap": (np.where(u > 1, 1e5, u), np.where(v > 1, 1e5, v), signed),
        "one outlier source": (u, np.where(np.arange(N) == 3, -900.0, v), law),
        "clusters": (rng.integers(-3, 4, M) * 170 + u / 9, rng.integers(-3, 4, N) * 170 + v / 9, signed),
        "far apart": (u + 300, v - 300, law),
        "far apart the other way": (u - 300, v + 300, law),
        "peaked": (u, v, np.where(np.arange(N) == 5, 1, 1e-30)),
        "cancelling": (u, v, signed - signed.mean()),
        "zero weights": (u, v, 0 * v),
        "large offset": (1e6 + np.round(u * 64) / 64, 1e6 + np.round(v * 64) / 64, signed),
    }
    for spread in (1e-12, 1e-3, 1, 30, 39, 41, 335, 350, 700, 1e4, 1e6, 1e12):
        table[f"spread {spread:g}"] = (spread * rng.uniform(-1, 1, M), spread * rng.uniform(-1, 1, N), signed)
    stacked = [np.stack([row[k] for row in table.values()]).astype(dtype) for k in range(3)]
    return list(table), *stacked


@functools.partial(jax.jit, static_argnames=("kernels", "method", "panels"))
def sums(kernels, u, v, w, method="auto", panels=None):
    return kernel_sums(kernels, u, v, w, method=method, panels=panels)


def bound(dtype):
    """1e-12 as promised in float64; 40 rounding units in float32."""
    return 1e-12 if dtype == np.float64 else 40 * np.finfo(np.float32).eps


# --- values -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("method", ["dense", "fast"])
@pytest.mark.parametrize("kernels", FAMILIES, ids=lambda k: k[0])
def test_equals_brute_force(kernels, method, dtype):
    names, u, v, w = instances(dtype)
    for i in range(len(names)):
        for kernel, got in zip(kernels, sums(kernels, u[i], v[i], w[i], method=method), strict=True):
            assert got.dtype == dtype
            error = worst(kernel, got, u[i], v[i], w[i])
            assert error <= bound(dtype), f"{kernel} on {names[i]}: {error:.1e}"


@pytest.mark.parametrize("method", ["dense", "fast"])
@pytest.mark.parametrize("kernels", FAMILIES, ids=lambda k: k[0])
def test_batch_equals_brute_force(kernels, method):
    names, u, v, w = instances()
    for kernel, got in zip(kernels, sums(kernels, u, v, w, method=method), strict=True):
        errors = [worst(kernel, got[i], u[i], v[i], w[i]) for i in range(len(names))]
        assert max(errors) <= 1e-12, f"{kernel} on {names[int(np.argmax(errors))]}: {max(errors):.1e}"


@pytest.mark.parametrize("kernel", ["sigmoid", "co_sigmoid"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_fractions_equal_brute_force(kernel, dtype):
    names, u, v, w = instances(dtype)
    for i, name in enumerate(names):
        error = worst(kernel, sums((kernel,), u[i], v[i], w[i], method="dense")[0], u[i], v[i], w[i])
        assert error <= bound(dtype), f"{kernel} on {name}: {error:.1e}"


@pytest.mark.parametrize("sizes", [(1, 1), (2, 2), (2, 300), (257, 65)])
@pytest.mark.parametrize("method", ["dense", "fast"])
def test_sizes(sizes, method):
    rng = np.random.default_rng(sum(sizes))
    u, v, w = 3 * rng.normal(size=sizes[0]), 3 * rng.normal(size=sizes[1]), rng.normal(size=sizes[1])
    for kernel in ("sigmoid", "square", "hinge"):
        assert worst(kernel, kernel_sum(kernel, u, v, w, method=method), u, v, w) <= 1e-12


@pytest.mark.parametrize("panels", [4, 1024])
def test_any_window_is_right(panels):
    names, u, v, w = instances()
    u, v, w = (x[[names.index(k) for k in ("ordinary", "clusters", "one huge gap", "spread 350")]] for x in (u, v, w))
    pair = ("sigmoid", "log_sigmoid")
    got = sums(pair, u, v, w, method="fast", panels=panels)
    for kernel, rows in zip(pair, got, strict=True):
        assert max(worst(kernel, *row) for row in zip(rows, u, v, w, strict=True)) <= 1e-12


def test_window_follows_the_range():
    assert panels_for(jnp.array([0.0, 1.0])) == 64
    assert panels_for(jnp.array([-350.0, 350.0])) == 2048
    assert panels_for(jnp.array([-1e9, 1e9])) == 4096
    assert jax.jit(lambda u: panels_for(u) + 0 * u)(jnp.array([0.0, 1e9]))[0] == 256


def test_negative_control_a_slightly_wrong_kernel_fails():
    names, u, v, w = instances()
    i = names.index("ordinary")
    got = kernel_sum("sigmoid", u[i], v[i], w[i], method="fast")
    assert worst("sigmoid", got, u[i], v[i], w[i]) <= 1e-12
    assert worst("sigmoid", got, u[i], v[i], w[i], value=lambda d: sigma(d * (1 + 1e-10))) > 1e-12
    assert worst("sigmoid", got, u[i], v[i], w[i], value=lambda d: sigma(d + 1e-11)) > 1e-12


def test_halves_add_up():
    _, u, v, w = instances()
    for method in ("dense", "fast"):
        values = dict(zip(ANALYTIC, sums(ANALYTIC, u, v, w, method=method), strict=True))
        total = np.broadcast_to(w.sum(-1, keepdims=True), u.shape)
        np.testing.assert_allclose(values["sigmoid"] + values["co_sigmoid"], total, atol=1e-12)


def test_tail_has_no_relative_accuracy_by_panels_but_the_dense_form_keeps_it():
    u, v, w = np.array([-60.0]), np.array([0.0]), np.array([1.0])
    assert abs(kernel_sum("sigmoid", u, v, w, method="fast")[0]) <= 1e-16
    assert kernel_sum("sigmoid", u, v, w, method="dense")[0] == pytest.approx(np.exp(-60.0), rel=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_not_hidden(bad):
    u, w = jnp.zeros((2, 30)), jnp.ones((2, 30))
    for arguments in ((u.at[0, 3].set(bad), u, w), (u, u.at[0, 3].set(bad), w), (u, u, w.at[0, 3].set(bad))):
        got = sums(("sigmoid",), *arguments, method="fast")[0]
        assert bool(jnp.all(jnp.isnan(got[0])))
        np.testing.assert_allclose(got[1], 15.0)


def test_large_population():
    check_population(200_000, np.float64, 1e-12, ("log_sigmoid", "hinge"))
    check_population(200_000, np.float32, 5e-6, ("sigmoid",))


@pytest.mark.slow
@pytest.mark.parametrize(("n", "dtype"), [(10**6, np.float64), (10**6, np.float32), (10**7, np.float64), (10**7, np.float32)])
def test_very_large_population(n, dtype):
    check_population(n, dtype, 1e-12 if dtype == np.float64 else 5e-6)


def check_population(n, dtype, most, kernels=("sigmoid", "log_sigmoid", "square", "hinge")):
    """Compare 12 targets of a large sum, with random and with constant weights (where rounding errors add up) and with ties."""
    rng = np.random.default_rng(0)
    u = (4 * rng.normal(size=n)).astype(dtype)
    u[: n // 2 : 2] = 0.3
    picked = rng.integers(0, n, 12)
    for w in (np.full(n, 1 / n), rng.normal(size=n)):
        w = w.astype(dtype)
        for kernel in kernels:
            got = np.asarray(kernel_sum(kernel, u, u, w))[picked]
            far = scale(kernel, u, u, w)
            error = max(abs(float(g) - brute(ORACLE[kernel], u[[a]], u, w)[0]) for g, a in zip(got, picked, strict=True)) / far
            assert error <= most, f"{kernel}: {error:.1e}"


# --- derivatives --------------------------------------------------------------------------------------------------------------


@functools.partial(jax.jit, static_argnames=("kernel", "method"))
def gradients(kernel, u, v, w, g, method):
    return jax.grad(lambda *x: jnp.vdot(g, kernel_sum(kernel, *x, method=method)), (0, 1, 2))(u, v, w)


@pytest.mark.parametrize(
    ("kernel", "method"),
    [(k, "fast") for k in ("log_sigmoid", "co_sigmoid", "third", "square", "two", "hinge", "step")]
    + [(k, "dense") for k in ("log_sigmoid", "co_sigmoid", "hinge")],
)
def test_gradients_equal_brute_force(kernel, method):
    names, u, v, w = instances()
    g = np.random.default_rng(3).normal(size=M)
    for i in [names.index(k) for k in ("ordinary", "ties", "clusters", "spread 350")]:
        x, y, z = u[i], v[i], w[i]
        du, dv, dw = gradients(kernel, x, y, z, g, method)
        size = scale(kernel, x, y, z) * np.abs(g).sum()
        np.testing.assert_allclose(du, g * brute(SLOPE[kernel], x, y, z), atol=1e-12 * size, rtol=0)
        np.testing.assert_allclose(dv, -z * brute(lambda d: SLOPE[kernel](-d), y, x, g), atol=1e-12 * size, rtol=0)
        size = scale(kernel, x, y, g)
        np.testing.assert_allclose(dw, brute(lambda d: ORACLE[kernel](-d), y, x, g), atol=1e-12 * size, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize(("kernel", "method"), [("log_sigmoid", "fast"), ("co_sigmoid", "dense"), ("square", "fast")])
def test_second_derivatives_in_both_orders(kernel, method):
    rng = np.random.default_rng(5)
    x = tuple(2 * rng.normal(size=(3, k)) for k in (12, 17, 17))
    t = tuple(rng.normal(size=a.shape) for a in x)
    g = rng.normal(size=(3, 12))

    def plain(u, v, w):
        return jnp.sum(g * jnp.sum(w[:, None] * KERNELS[kernel].value(u[..., None] - v[:, None]), -1))

    def ours(u, v, w):
        return jnp.sum(g * kernel_sum(kernel, u, v, w, method=method))

    def forward_over_reverse(f):
        return jax.jvp(jax.grad(f, (0, 1, 2)), x, t)[1]

    def reverse_over_reverse(f):
        return jax.grad(lambda *a: sum(map(jnp.vdot, jax.grad(f, (0, 1, 2))(*a), t)), (0, 1, 2))(*x)

    for got in (jax.jit(forward_over_reverse, static_argnums=0)(ours), jax.jit(reverse_over_reverse, static_argnums=0)(ours)):
        for a, b in zip(got, forward_over_reverse(plain), strict=True):
            np.testing.assert_allclose(a, b, atol=2e-12)


def test_every_derivative_in_the_table_is_one():
    d = np.linspace(-30, 30, 1201) + 1e-3
    for name in KERNELS:
        if name == "fourth":
            continue
        known = kernel_derivative(name)
        slope = 0 * d if known is None else known[0] * KERNELS[known[1]].value(jnp.asarray(d))
        np.testing.assert_allclose(jax.vmap(jax.grad(KERNELS[name].value))(d), slope, atol=1e-13)
        np.testing.assert_allclose(KERNELS[name].value(jnp.asarray(d)), ORACLE[name](d), atol=1e-13)


def test_chain_ends_with_an_error():
    with pytest.raises(NotImplementedError, match="last of its chain"):
        jax.grad(lambda u: kernel_sum("fourth", u, u, u).sum())(jnp.ones(3))


# --- transformations ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["dense", "fast"])
def test_jit_and_vmap_change_nothing(method):
    rng = np.random.default_rng(2)
    u, v, w = rng.normal(size=(4, 30)), rng.normal(size=(4, 40)), rng.normal(size=(4, 40))
    one = functools.partial(kernel_sum, "sigmoid", method=method, panels=256)
    together = one(u, v, w)
    np.testing.assert_allclose(jax.jit(one)(u, v, w), together, atol=1e-14)
    np.testing.assert_allclose(jax.vmap(one)(u, v, w), together, atol=1e-14)
    np.testing.assert_allclose(one(u[3], v[3], w[3]), together[3], atol=1e-14)
    for axes in ((None, 0, 0), (0, None, None)):
        row = [x if a == 0 else x[0] for x, a in zip((u, v, w), axes, strict=True)]
        full = [x if a == 0 else np.broadcast_to(x[0], x.shape) for x, a in zip((u, v, w), axes, strict=True)]
        np.testing.assert_allclose(jax.vmap(one, axes, 1)(*row), one(*full).T, atol=1e-14)


def test_leading_axes_broadcast():
    rng = np.random.default_rng(2)
    u, v, w = rng.normal(size=(3, 1, 9)), rng.normal(size=8), rng.normal(size=(2, 8))
    for method in ("dense", "fast"):
        got = kernel_sum("sigmoid", u, v, w, method=method)
        assert got.shape == (3, 2, 9)
        np.testing.assert_allclose(got[2, 1], brute(sigma, u[2, 0], v, w[1]), atol=1e-13)


def test_one_trace_in_a_loop():
    traces = []

    @jax.jit
    def step(u):
        traces.append(1)
        return u - 0.1 * jax.grad(lambda u: kernel_sum("log_sigmoid", u, u, jnp.ones_like(u), method="fast").sum())(u)

    u = jnp.linspace(-1, 1, 20)
    for _ in range(5):
        u = step(u)
    assert len(traces) == 1


@pytest.mark.parametrize(("method", "check_vma"), [("fast", True), ("dense", True), ("dense", False)])
def test_inside_shard_map(method, check_vma):
    mesh = jax.make_mesh((1,), ("run",), axis_types=(jax.sharding.AxisType.Auto,))
    rng = np.random.default_rng(0)
    runs, q = jnp.asarray(rng.normal(size=(2, 20))), jnp.asarray(rng.dirichlet(np.ones(20)))

    def body(runs, q):
        slopes = jax.grad(lambda u, q: expected_kernel("log_sigmoid", jnp.ones(1), q[None], q[None], u, u, method=method), (0, 1))
        return jax.lax.map(lambda u: slopes(u, jax.lax.pcast(q, ("run",), to="varying") if check_vma else q), runs)

    spec = PartitionSpec("run")
    sharded = jax.shard_map(body, mesh=mesh, in_specs=(spec, PartitionSpec()), out_specs=spec, check_vma=check_vma)
    plain = jax.vmap(
        lambda u: jax.grad(lambda u, q: expected_kernel("log_sigmoid", jnp.ones(1), q[None], q[None], u, u), (0, 1))(u, q)
    )(runs)
    for a, b in zip(jax.jit(sharded)(runs, q), plain, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-13)


# --- choice of path and errors ------------------------------------------------------------------------------------------------


def test_auto_takes_the_documented_path():
    for dtype in (jnp.float32, jnp.float64):
        size = CROSSOVER["analytic", jnp.dtype(dtype).itemsize]
        assert picks_dense(("sigmoid",), size - 1, size - 1, dtype)
        assert not picks_dense(("sigmoid",), size, size, dtype)
        assert not picks_dense(("square",), 2, 2, dtype)
    for n, method in ((CROSSOVER["log_sigmoid", 8], "fast"), (CROSSOVER["log_sigmoid", 8] - 1, "dense")):
        u = jnp.linspace(-1, 1, n)
        got = [sums(("log_sigmoid",), u, u, u, method=m)[0] for m in ("auto", method)]
        np.testing.assert_array_equal(*got)


def test_errors_say_what_is_wrong(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # users do not run the shape checker
    u = jnp.ones(3)
    with pytest.raises(ValueError, match="Argument `kernel` must be one of"):
        kernel_sum("sigmoyd", u, u, u)
    with pytest.raises(ValueError, match="Argument `method` must be one of"):
        kernel_sum("sigmoid", u, u, u, method="quick")
    with pytest.raises(ValueError, match="power of two"):
        kernel_sum("sigmoid", u, u, u, panels=100)
    with pytest.raises(ValueError, match="agree in length, but have 3 and 4"):
        kernel_sum("sigmoid", u, u, jnp.ones(4))
    with pytest.raises(ValueError, match="not empty"):
        kernel_sum("sigmoid", u, jnp.ones(0), jnp.ones(0))
    with pytest.raises(ValueError, match="one family"):
        kernel_sums(("sigmoid", "hinge"), u, u, u)
    with pytest.raises(ValueError, match="number of products"):
        expected_kernel("sigmoid", jnp.ones(2), u[None], u[None], u, u)
    with pytest.raises(ValueError, match="`first_laws` and `first_rewards` must agree"):
        expected_kernel("sigmoid", jnp.ones(1), u[None], u[None], jnp.ones(4), u)


# --- expectations -------------------------------------------------------------------------------------------------------------


def mixture(n=23, m=31):
    rng = np.random.default_rng(11)
    c, p, q = rng.normal(size=3), rng.dirichlet(np.ones(n), 3), rng.dirichlet(np.ones(m), 3)
    return c, p, q, 3 * rng.normal(size=n), 3 * rng.normal(size=m)


@pytest.mark.parametrize(("kernel", "method"), [("log_sigmoid", "dense"), ("log_sigmoid", "fast"), ("hinge", "fast")])
def test_expectation_and_its_gradient(kernel, method):
    c, p, q, gw, gl = mixture()
    law = np.einsum("k,ka,kb->ab", c, p, q)
    d = gw[:, None] - gl
    value, slope = ORACLE[kernel](d), SLOPE[kernel](d)
    loss = functools.partial(expected_kernel, kernel, method=method)
    got, grads = jax.jit(jax.value_and_grad(loss, (0, 1, 2, 3, 4)))(c, p, q, gw, gl)
    expected = (
        np.einsum("ka,kb,ab->k", p, q, value),
        np.einsum("k,kb,ab->ka", c, q, value),
        np.einsum("k,ka,ab->kb", c, p, value),
        (law * slope).sum(1),
        -(law * slope).sum(0),
    )
    assert got == pytest.approx((law * value).sum(), abs=1e-12)
    for a, b in zip(grads, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


@pytest.mark.parametrize("method", ["dense", "fast"])
def test_hessian_product_is_the_laplacian(method):
    """With one reward for both sides, the Hessian of -E log s(g_a - g_b) is the Laplacian of weights law * s' (theory S4)."""
    _, p, q, g, _ = mixture(23, 23)
    c = np.array([0.2, 0.3, 0.5])
    law = np.einsum("k,ka,kb->ab", c, p, q)
    edges = law * ORACLE["slope"](g[:, None] - g)
    edges = edges + edges.T
    laplacian = np.diag(edges.sum(1)) - edges
    step = np.random.default_rng(0).normal(size=23)
    loss = lambda g: -expected_kernel("log_sigmoid", c, p, q, g, g, method=method)  # noqa: E731
    product = jax.jit(lambda g, s: jax.jvp(jax.grad(loss), (g,), (s,))[1])(g, step)
    np.testing.assert_allclose(product, laplacian @ step, atol=1e-12)


def test_expectation_over_leading_axes():
    c, p, q, gw, gl = mixture()
    got = expected_kernel("log_sigmoid", c, np.stack([p, p[::-1]]), q, np.stack([gw, 2 * gw]), gl)
    each = [expected_kernel("log_sigmoid", c, p, q, gw, gl), expected_kernel("log_sigmoid", c, p[::-1], q, 2 * gw, gl)]
    np.testing.assert_allclose(got, each, atol=1e-14)
