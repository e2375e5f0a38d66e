"""How are sums over pairs computed: under transformations, by which path, and what is refused?"""

import functools

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from jax.sharding import PartitionSpec
from pair_sum_cases import brute, expected_kernel, kernel_sum, kernel_sums, sigma, sums
from sampling import sampled

from didsim.numerics.pair_sums.sums import CROSSOVER, picks_dense


@pytest.mark.parametrize("method", ["dense", "fast"])
def test_jit_and_vmap_change_nothing(method):
    rng = np.random.default_rng(2)
    u, v, w = rng.normal(size=(4, 30)), rng.normal(size=(4, 40)), rng.normal(size=(4, 40))
    one = functools.partial(kernel_sum, "sigmoid", method=method, panels=256)
    together = one(u, v, w)
    np.testing.assert_allclose(jax.jit(one)(u, v, w), together, atol=1e-14)
    np.testing.assert_allclose(jax.jit(jax.vmap(one))(u, v, w), together, atol=1e-14)
    np.testing.assert_allclose(one(u[3], v[3], w[3]), together[3], atol=1e-14)
    for axes in ((None, 0, 0), (0, None, None)):
        row = [x if a == 0 else x[0] for x, a in zip((u, v, w), axes, strict=True)]
        full = [x if a == 0 else np.broadcast_to(x[0], x.shape) for x, a in zip((u, v, w), axes, strict=True)]
        np.testing.assert_allclose(jax.jit(jax.vmap(one, axes, 1))(*row), one(*full).T, atol=1e-14)


def test_leading_axes_broadcast():
    rng = np.random.default_rng(2)
    u, v, w = rng.normal(size=(3, 1, 9)), rng.normal(size=8), rng.normal(size=(2, 8))
    for method in ("dense", "fast"):
        got = jax.jit(functools.partial(kernel_sum, "sigmoid", method=method))(u, v, w)
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


@pytest.mark.parametrize(("method", "check_vma"), sampled([("fast", True), ("dense", True), ("dense", False)], 2))
def test_inside_shard_map(method, check_vma):
    mesh = jax.make_mesh((1,), ("run",), axis_types=(jax.sharding.AxisType.Auto,))
    rng = np.random.default_rng(0)
    runs, q = jnp.asarray(rng.normal(size=(2, 20))), jnp.asarray(rng.dirichlet(np.ones(20)))

    def body(runs, q):
        slopes = jax.grad(lambda u, q: expected_kernel("log_sigmoid", jnp.ones(1), q[None], q[None], u, u, method=method), (0, 1))
        return jax.lax.map(lambda u: slopes(u, jax.lax.pcast(q, ("run",), to="varying") if check_vma else q), runs)

    spec = PartitionSpec("run")
    sharded = jax.shard_map(body, mesh=mesh, in_specs=(spec, PartitionSpec()), out_specs=spec, check_vma=check_vma)
    plain = jax.jit(
        jax.vmap(
            lambda u: jax.grad(lambda u, q: expected_kernel("log_sigmoid", jnp.ones(1), q[None], q[None], u, u), (0, 1))(u, q)
        )
    )(runs)
    for a, b in zip(jax.jit(sharded)(runs, q), plain, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-13)


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
