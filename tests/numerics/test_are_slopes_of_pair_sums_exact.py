"""Are the derivatives of sums over pairs those of brute force, at every order the kernels know?"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pair_sum_cases import ORACLE, SLOPE, M, brute, instances, kernel_sum, scale

from didsim.numerics.pair_sums import KERNELS
from didsim.numerics.pair_sums.kernels import kernel_derivative

MORE = (("co_sigmoid", "fast"), ("third", "fast"), ("co_sigmoid", "dense"))


@functools.partial(jax.jit, static_argnames=("kernel", "method"))
def gradients(kernel, u, v, w, g, method):
    return jax.grad(lambda *x: jnp.vdot(g, kernel_sum(kernel, *x, method=method)), (0, 1, 2))(u, v, w)


@pytest.mark.parametrize(
    ("kernel", "method"),
    [(k, "fast") for k in ("log_sigmoid", "square", "two", "hinge", "step")]
    + [(k, "dense") for k in ("log_sigmoid", "hinge")]
    + [pytest.param(*one, marks=pytest.mark.slow) for one in MORE],
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
        np.testing.assert_allclose(jax.jit(jax.vmap(jax.grad(KERNELS[name].value)))(d), slope, atol=1e-13)
        np.testing.assert_allclose(KERNELS[name].value(jnp.asarray(d)), ORACLE[name](d), atol=1e-13)


def test_chain_ends_with_an_error():
    with pytest.raises(NotImplementedError, match="last of its chain"):
        jax.grad(lambda u: kernel_sum("fourth", u, u, u).sum())(jnp.ones(3))
