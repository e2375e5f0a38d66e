"""Where numbers span little, are sums taken on Chebyshev nodes right, and are others left to the cells?"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pair_sum_cases import ANALYTIC, worst

from didsim.numerics.pair_sums import nodes

MOST = {np.float64: 1e-13, np.float32: 2e-6}  # what `node_sums` promises


def spread(span, shift, dtype, seed=0):
    rng = np.random.default_rng(seed)
    u, v = (np.concatenate([[0, span], rng.uniform(0, span, size)]).astype(dtype) for size in (61, 83))
    return u, (v + dtype(shift)).clip(max=dtype(shift) + dtype(nodes.SPAN)), rng.normal(size=85).astype(dtype)


def compiled():
    return jax.jit(lambda u, v, w: nodes.node_sums(ANALYTIC, u, v, w))


sums = compiled()


def errors(u, v, w, sums=sums):
    return [worst(kernel, got[0], u, v, w) for kernel, got in zip(ANALYTIC, sums(u[None], v[None], w[None]), strict=True)]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_equals_brute_force_up_to_the_widest_span(dtype):
    for span in (0.0, 1e-9, 1.0, 7.0, nodes.SPAN):
        for shift in (0.0, 3.0, nodes.SPAN, 1e4):
            u, v, w = spread(span, shift, dtype)
            alone = np.where(np.arange(w.size) == 7, dtype(1), dtype(0))  # one source: nothing averages out
            for weights in (w, alone):
                assert max(errors(u, v, weights)) <= MOST[dtype], (span, shift)


def test_negative_control_beyond_the_span_or_with_fewer_polynomials_it_fails(monkeypatch):
    assert max(errors(*spread(3 * nodes.SPAN, 0.0, np.float64))) > MOST[np.float64]
    monkeypatch.setattr(nodes, "factor", lambda dtype: 6)
    assert max(errors(*spread(nodes.SPAN, 0.0, np.float64), sums=compiled())) > MOST[np.float64]


def test_only_narrow_and_finite_numbers_are_near():
    u, v, w = (jnp.asarray(x)[None] for x in spread(nodes.SPAN, 0.0, np.float64))
    assert bool(nodes.near(u, v, w))
    assert not bool(nodes.near(1.01 * u, v, w))
    assert not bool(nodes.near(u, 1.01 * v, w))
    for bad in (np.nan, np.inf, -np.inf):
        assert not bool(nodes.near(u.at[0, 3].set(bad), v, w))
        assert not bool(nodes.near(u, v.at[0, 3].set(bad), w))
        assert not bool(nodes.near(u, v, w.at[0, 3].set(bad)))
