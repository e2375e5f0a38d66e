"""How strong is the first step, and where is it strongest?  S8 and S9 against loops and differentiation, and at the boundary."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from contracts import assert_close, assert_jit_and_vmap
from tolerance import tolerance

from didsim import objectives, preferences, samplers
from didsim.landscape.signal import first_gradient_signal, two_level_signal
from didsim.numerics.checks import ArgumentError
from didsim.samplers.laws import JointLaw, ProductMixture, product_law
from didsim.worlds import problem

PROMPTS, N = 2, 6
WEIGHTS = ((0.3, 0.7), (1.0, 0.0))


@functools.cache
def reward() -> np.ndarray:
    """An offset must not matter."""
    return np.random.default_rng(4).standard_normal((PROMPTS, N)) + 5.0


def mixture(dtype=np.float64) -> ProductMixture:
    sides = oracles.log_laws(3, (2, 2, PROMPTS, N), widest=1.0)
    first, second = (jnp.asarray(np.moveaxis(side, 0, 1), dtype) for side in sides)
    return ProductMixture(jnp.asarray(WEIGHTS, dtype), first, second)


def looped(matrix, values) -> np.ndarray:
    total = np.zeros(len(matrix))
    for x, table in enumerate(matrix):
        for a in range(len(table)):
            for b in range(len(table)):
                gap = values[x][a] - values[x][b]
                total[x] += 0.5 * table[a, b] * gap * np.tanh(gap / 2)
    return total


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_signal_is_half_the_mean_of_gap_times_tanh(dtype):
    law, values = mixture(dtype), jnp.asarray(reward(), dtype)
    wanted = looped(np.asarray(mixture().matrix()), reward())
    near = tolerance(dtype, condition=10.0)
    signal = jax.jit(first_gradient_signal)
    assert_close(signal(law, values), wanted.astype(dtype), atol=near)
    assert_close(signal(JointLaw(jnp.log(law.matrix())), values), wanted.astype(dtype), atol=near)


def test_signal_is_the_gradient_of_the_loss_along_the_target():
    """``⟨-∇L, θ*⟩`` by differentiation at π_ref, for samplers of either form; at another policy it is something else."""
    ref = oracles.log_laws(8, (1, N), widest=1.0)
    world = problem(ref, reward=reward()[:1], beta=0.3)
    objective, labels = objectives.Dpo(0.3), preferences.BradleyTerry()
    truth = world.log_target - world.log_ref

    def slope(sampler, log_policy):
        shown = objectives.population(world, sampler, labels, world.log_ref)
        gradient = jax.grad(lambda logits: objectives.loss(objective, world, jax.nn.log_softmax(logits), shown))
        return -jnp.vdot(gradient(log_policy), truth)

    @jax.jit
    def everything(sampler):
        formula = first_gradient_signal(sampler.pair_law(world, world.log_ref), world.reward)[0]
        return formula, slope(sampler, world.log_ref), slope(sampler, world.log_target)

    for sampler in (samplers.BestOfBase(k=3), samplers.SAMPLERS["best_worst"](k=3)):
        formula, at_reference, at_target = map(float, everything(sampler))
        assert abs(at_reference - formula) < tolerance(condition=10.0)
        assert abs(at_target - formula) > 0.1 * formula


def shares_law(first, second, good: int):
    sides = [np.where(np.arange(N) < good, share / good, (1 - share) / (N - good)) for share in (first, second)]
    return product_law(*(jnp.asarray(oracles.log(side))[None] for side in sides))


@pytest.mark.parametrize("shares", [(0.2, 0.2), (0.9, 0.1), (0.0, 0.7), (1.0, 1.0)])
def test_two_levels(shares):
    levels = jnp.where(jnp.arange(N) < 2, 1.7, 0.0)[None]
    signal = first_gradient_signal(shares_law(*shares, 2), levels)
    assert_close(signal, two_level_signal(*shares, 1.7)[None], atol=tolerance(condition=10.0))


def test_the_peak_is_at_one_half_and_the_other_side_decides_the_sign():
    share = np.linspace(0.0, 1.0, 1001)
    both = np.asarray(two_level_signal(share, share, 2.0))
    assert share[both.argmax()] == 0.5
    np.testing.assert_allclose(both, share * (1 - share) * 2.0 * np.tanh(1.0), atol=1e-15)
    for base in (0.1, 0.49, 0.51, 0.9):
        assert np.all(np.sign(np.diff(two_level_signal(base, share, 2.0))) == np.sign(0.5 - base))
    assert np.ptp(two_level_signal(0.5, share, 2.0)) < 1e-15


@pytest.mark.slow
def test_a_million_responses():
    n = 1_000_000
    even_steps = jnp.linspace(0.0, 3.0, n)[None]
    even = jnp.full((1, n), -np.log(n))
    # gaps of two even draws on [0, 3] have density 2(3-g)/9
    gap = np.linspace(0.0, 3.0, 20_001)
    density = 2 * (3 - gap) / 9
    wanted = 0.5 * np.trapezoid(density * gap * np.tanh(gap / 2), gap)
    signal = jax.jit(first_gradient_signal)(product_law(even, even), even_steps)
    assert abs(float(signal[0]) - wanted) < 1e-5


def test_contracts():
    calls = [(mixture(), jnp.asarray(reward() * scale)) for scale in (0.5, 1.0, 2.0)]
    assert_jit_and_vmap(first_gradient_signal, *calls)


@pytest.mark.parametrize(("shares", "name"), [((1.2, 0.5), "share_first"), ((0.5, -0.1), "share_second")])
def test_refused(shares, name):
    with pytest.raises(ArgumentError, match=f"^Argument `{name}` must be in"):
        two_level_signal(*shares, 1.0)
