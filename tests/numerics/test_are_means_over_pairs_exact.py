"""Are means over mixtures of product laws, their slopes and their curvature those of written-out laws?"""

import functools

import jax
import numpy as np
import pytest
from pair_sum_cases import ORACLE, SLOPE, expected_kernel


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
    mean = jax.jit(functools.partial(expected_kernel, "log_sigmoid"))
    got = mean(c, np.stack([p, p[::-1]]), q, np.stack([gw, 2 * gw]), gl)
    each = [mean(c, p, q, gw, gl), mean(c, p[::-1], q, 2 * gw, gl)]
    np.testing.assert_allclose(got, each, atol=1e-14)
