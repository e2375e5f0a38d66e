"""Are sums over all pairs those of NumPy float64 brute force, over ordinary and adversarial data, few and many?"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pair_sum_cases import ANALYTIC, FAMILIES, ORACLE, bound, brute, instances, kernel_sum, scale, sigma, sums, worst
from sampling import sampled

from didsim.numerics.pair_sums.sums import panels_for

# Where one of these is slow, the batch below is not.
EACH = [
    pytest.param(method, dtype, marks=pytest.mark.slow if (method, dtype) == ("dense", np.float64) else ())
    for method in ("dense", "fast")
    for dtype in (np.float64, np.float32)
]


@pytest.mark.parametrize(("method", "dtype"), EACH)
@pytest.mark.parametrize("kernels", FAMILIES, ids=lambda k: k[0])
def test_equals_brute_force(kernels, method, dtype):
    names, u, v, w = instances(dtype)
    for i in range(len(names)):
        for kernel, got in zip(kernels, sums(kernels, u[i], v[i], w[i], method=method), strict=True):
            assert got.dtype == dtype
            error = worst(kernel, got, u[i], v[i], w[i])
            assert error <= bound(dtype), f"{kernel} on {names[i]}: {error:.1e}"


# Of the slow one, the windows below take a batch too.
BATCHES = [
    pytest.param(
        kernels, method, marks=pytest.mark.slow if (kernels, method) == (ANALYTIC, "fast") else (), id=f"{kernels[0]}-{method}"
    )
    for kernels in FAMILIES
    for method in ("dense", "fast")
]


@pytest.mark.parametrize(("kernels", "method"), BATCHES)
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


SIZES = [("fast", (1, 1)), ("dense", (1, 1)), ("fast", (2, 2)), ("dense", (2, 300)),
         ("fast", (2, 300)), ("dense", (2, 2)), ("fast", (257, 65)), ("dense", (257, 65))]  # fmt: skip


@pytest.mark.parametrize(("method", "sizes"), sampled(SIZES, 3))
def test_sizes(method, sizes):
    rng = np.random.default_rng(sum(sizes))
    u, v, w = 3 * rng.normal(size=sizes[0]), 3 * rng.normal(size=sizes[1]), rng.normal(size=sizes[1])
    kernels = ("sigmoid", "square", "hinge")
    each = jax.jit(lambda *rows: [kernel_sum(kernel, *rows, method=method) for kernel in kernels])
    for kernel, got in zip(kernels, each(u, v, w), strict=True):
        assert worst(kernel, got, u, v, w) <= 1e-12


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
    dense = sums(ANALYTIC, u, v, w, method="dense")
    fast = zip(*[sums(ANALYTIC, *rows, method="fast") for rows in zip(u, v, w, strict=True)], strict=True)
    for got in (dense, map(np.stack, fast)):
        values = dict(zip(ANALYTIC, got, strict=True))
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


@pytest.mark.parametrize(
    ("kernel", "dtype", "most"),
    sampled([("log_sigmoid", np.float64, 1e-12), ("hinge", np.float64, 1e-12), ("sigmoid", np.float32, 5e-6)], 2),
)
def test_large_population(kernel, dtype, most):
    check_population(200_000, dtype, most, (kernel,))


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
