"""Are logistic means over written-out laws brute force's, beyond the range of the ratio form, and many runs as one?"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sampling import sampled

from didsim.numerics.pair_sums.joint import batch_last, expected_log_sigmoid, expected_log_sigmoid_of_one

M, N = 5, 7


def brute(law, x, y):
    """Sum and slopes, by loops over pairs in float64."""
    total, rows, columns = 0.0, np.zeros(M), np.zeros(N)
    for a in range(M):
        for b in range(N):
            m = float(x[a]) - float(y[b])
            total -= law[a, b] * np.logaddexp(0.0, -m)
            slope = law[a, b] * np.exp(-np.logaddexp(0.0, m))
            rows[a] += slope
            columns[b] -= slope
    return total, rows, columns


def case(seed, scale):
    random = np.random.default_rng(seed)
    return random.random((M, N)), random.normal(size=M) * scale, random.normal(size=N) * scale


both = jax.jit(jax.value_and_grad(lambda law, x, y: expected_log_sigmoid(law, x, y), argnums=(0, 1, 2)))
of_one = jax.jit(jax.value_and_grad(lambda law, x: expected_log_sigmoid_of_one(law, x), argnums=(0, 1)))


@jax.jit
def bends(law, x):
    """Hessians of the two forms."""
    one, two = (lambda x: expected_log_sigmoid_of_one(law, x)), (lambda x: expected_log_sigmoid(law, x, x))
    return jax.hessian(one)(x), jax.hessian(two)(x)


@pytest.mark.parametrize("scale", [1.0, 30.0, 600.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_against_loops(dtype, scale):
    law, x, y = (part.astype(dtype) for part in case(0, scale))
    value, (law_slope, *slopes) = both(law, x, y)
    total, *wanted = brute(law, x, y)
    slack = 64 * np.finfo(dtype).eps
    np.testing.assert_allclose(value, total, rtol=slack)
    np.testing.assert_allclose(law_slope, -np.logaddexp(0.0, y[None] - x[:, None]), rtol=slack * (1 + scale), atol=slack)
    for got, want in zip(slopes, wanted, strict=True):
        np.testing.assert_allclose(got, want, rtol=slack * (1 + scale), atol=slack)


@pytest.mark.parametrize("runs", [3, 150])
@pytest.mark.parametrize("scale", [1.0, 600.0])
def test_many_runs_are_each_run(runs, scale):
    """Groups of runs side by side, filled up, and one run beyond the range of the ratio form among them."""
    cases = [np.stack(part) for part in zip(*(case(seed, scale if seed == 2 else 1.0) for seed in range(runs)), strict=True)]
    many = jax.jit(jax.vmap(jax.grad(lambda law, x, y: expected_log_sigmoid(law, x, y), argnums=(1, 2))))
    rows, columns = many(*cases)
    for run in (0, 2, runs - 1):
        _, *wanted = brute(*(part[run] for part in cases))
        np.testing.assert_allclose(rows[run], wanted[0], atol=1e-13)
        np.testing.assert_allclose(columns[run], wanted[1], atol=1e-13)


def test_one_law_for_many_runs_and_curvature():
    law, x, y = (jnp.asarray(part) for part in case(1, 1.0))
    slope = jax.grad(expected_log_sigmoid, argnums=1)
    shared = jax.jit(jax.vmap(slope, in_axes=(None, 0, None)))(law, jnp.stack([x, 2 * x]), y)
    np.testing.assert_allclose(shared[1], brute(law, 2 * x, y)[1], atol=1e-13)
    curvature = jax.jit(jax.jacfwd(slope, argnums=1))(law, x, y)
    step = 1e-5
    for a in range(M):
        moved = [brute(law, x + sign * step * np.eye(M)[a], y)[1] for sign in (1, -1)]
        np.testing.assert_allclose(curvature[:, a], (moved[0] - moved[1]) / (2 * step), atol=1e-8)


@pytest.mark.parametrize("scale", [1.0, 600.0])
def test_one_reward_is_two_that_agree(scale):
    law, x = jnp.asarray(np.random.default_rng(0).random((M, M))), jnp.asarray(case(0, scale)[1])
    value, (law_slope, slope) = of_one(law, x)
    wanted = np.zeros(M)
    for a in range(M):
        for b in range(M):
            lost = np.exp(-np.logaddexp(0.0, x[a] - x[b]))  # σ(x_b - x_a)
            wanted[a] += law[a, b] * lost
            wanted[b] -= law[a, b] * lost
    np.testing.assert_allclose(value, -np.sum(law * np.logaddexp(0.0, x[None] - x[:, None])), rtol=1e-14)
    np.testing.assert_allclose(law_slope, -np.logaddexp(0.0, x[None] - x[:, None]), atol=1e-12)
    np.testing.assert_allclose(slope, wanted, atol=1e-13)
    np.testing.assert_allclose(*bends(law, x), atol=1e-12)


@pytest.mark.parametrize(("runs", "prompts"), sampled([(3, 2), (3, 1), (150, 2), (150, 1)], 2))
def test_a_law_with_its_batch_last_before_a_loop_is_the_same_law(runs, prompts):
    """Within a loop, where the runs of a law that was not turned lie first."""
    random = np.random.default_rng(runs)
    law, x = jnp.asarray(random.random((runs, prompts, M, M))), jnp.asarray(random.normal(size=(runs, prompts, M)))

    def descended(law, x, turn):
        law = turn(law)
        slope = jax.grad(lambda x: expected_log_sigmoid_of_one(law, x).sum())
        return jax.lax.fori_loop(0, 3, lambda _, x: x + slope(x), x)

    plain, turned = (jax.jit(jax.vmap(lambda law, x, f=f: descended(law, x, f)))(law, x) for f in (lambda law: law, batch_last))
    np.testing.assert_allclose(turned, plain, atol=1e-13)
    alone = jax.jit(lambda law, x: descended(law, x, batch_last))(law[runs - 1], x[runs - 1])
    np.testing.assert_allclose(turned[runs - 1], alone, atol=1e-13)
    np.testing.assert_array_equal(jax.grad(lambda law: batch_last(law).sum())(law[0, 0]), np.ones((M, M)))
