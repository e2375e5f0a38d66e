"""Where does training of a policy end?

Minimisers over its parameters against closed forms and SciPy on a hand-written loss, and what must not converge.
"""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from contracts import assert_close
from sampling import picked
from scipy import optimize

import didsim
from didsim.landscape.solvers import Status, solve_policy
from didsim.landscape.solvers.quasinewton import minimum
from didsim.numerics.sequences import SequenceSpace
from didsim.objectives import DiscoPop, Dpo, Hinge
from didsim.policies import LogLinear, Transformer, k_gram, prefix_table
from didsim.samplers import OnPolicy, Uniform
from didsim.worlds import RandomSequences
from didsim.worlds.preferences import BradleyTerry

SPACE = SequenceSpace(2, 3)
JSD = didsim.numerics.simplex.jsd


@functools.cache
def world():
    return jax.jit(RandomSequences(SPACE, beta=0.5).draw)(jax.random.key(3))


def rosenbrock(x):
    return jnp.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2), 2.0 * x


def valley(x):
    """Bends by ten orders of magnitude more along one axis than along another, with log-cosh walls."""
    return jnp.sum(jnp.logaddexp(x - 1.0, 1.0 - x) * jnp.logspace(-8, 2, x.size)), x


def test_known_minima_are_found():
    find = jax.jit(lambda x: minimum(rosenbrock, x, 1e-10, 500))
    starts = np.random.default_rng(0).uniform(-1.0, 1.0, (4, 6))
    ends = jax.jit(jax.vmap(lambda x: minimum(rosenbrock, x, 1e-10, 500)))(jnp.asarray(starts))
    known = np.ones(6)
    for start, end in zip(starts, ends.x, strict=True):
        alone = find(jnp.asarray(start))
        assert bool(alone.done)
        # Rosenbrock's valley has a second minimum near (-1, 1, …, 1) from six dimensions on.
        assert_close(np.abs(alone.x), known, atol=1e-2 if float(alone.x[0]) < 0 else 1e-8)
        assert_close(end, alone.x, atol=1e-7)
        assert_close(alone.beside, 2.0 * alone.x)
    end = jax.jit(lambda x: minimum(valley, x, 1e-13, 500))(jnp.zeros(12))
    assert_close(end.x, np.ones(12), atol=1e-4)
    assert bool(end.done)
    assert not bool(jax.jit(lambda x: minimum(rosenbrock, x, 1e-10, 3))(jnp.asarray(starts[0])).done)


@functools.cache
def laws() -> dict[str, np.ndarray]:
    return {name: np.exp(np.asarray(getattr(world(), name)[0])) for name in ("log_ref", "log_chosen", "log_rejected")}


def brute_force_loss(logits: np.ndarray) -> float:
    """Population DPO loss of a bigram policy over π_ref, pair by pair, from its next-token logits."""
    ref, chosen, rejected = laws().values()
    listed = list(itertools.product((0, 1), repeat=3))
    log_policy = []
    for y in listed:
        total = 0.0
        for k in range(3):
            row = logits[0 if k == 0 else 1 + y[k - 1]]
            mass = [sum(p for z, p in zip(listed, ref, strict=True) if z[: k + 1] == (*y[:k], t)) for t in (0, 1)]
            weights = [m * math.exp(row[t]) for t, m in enumerate(mass)]
            total += math.log(weights[y[k]] / sum(weights))
        log_policy.append(total)
    margin = 0.5 * (np.array(log_policy) - np.log(ref))
    pairs = itertools.product(range(8), repeat=2)
    return sum(chosen[a] * rejected[b] * math.log1p(math.exp(margin[b] - margin[a])) for a, b in pairs)


def test_a_bigram_ends_where_scipy_does_on_the_loss_by_hand():
    end = solve_policy(world(), Dpo(0.5), k_gram(SPACE, 1), starts=3)
    by_hand = optimize.minimize(lambda x: brute_force_loss(x.reshape(3, 2)), np.zeros(6), method="BFGS", tol=1e-9)
    assert_close(end.value, by_hand.fun, atol=1e-9)
    assert_close(end.value, brute_force_loss(np.asarray(end.params)[0, :3]), atol=1e-13)
    assert int(end.agreeing) == 3
    assert np.all(end.end_statuses == Status.CONVERGED)
    assert float(JSD(world().log_target, end.log_policy)[0]) > 1e-3


RICH = {
    "prefix table": lambda: prefix_table(SPACE),
    "flat prefix table": lambda: prefix_table(SPACE, "flat"),
    "transformer": lambda: Transformer(SPACE, width=4),
}


@pytest.mark.parametrize("name", picked(sorted(RICH), ["prefix table"]))
def test_rich_policies_reach_the_target_from_every_start(name):
    policy = RICH[name]()
    end = solve_policy(world(), Dpo(0.5), policy, starts=4, spread=0.5, steps=800)
    assert float(JSD(world().log_target, end.ends[:, 0]).max()) < 1e-16
    assert float(jnp.abs(end.ends - world().log_target).max()) < 1e-6
    wrong = solve_policy(world(), Dpo(1.0), policy, starts=4, spread=0.5, steps=800)
    assert_close(wrong.log_policy, didsim.numerics.simplex.geodesic(world().log_ref, world().log_target, 0.5), atol=1e-6)
    assert float(JSD(world().log_target, wrong.log_policy)[0]) > 1e-3


def test_log_linear_policies_on_uniform_pairs_fit_the_reward():
    """With a reward linear in the features the minimiser is its coefficient over β, whatever the reference (L1)."""
    features = np.random.default_rng(1).standard_normal((2, 12, 3))
    theta = np.array([0.5, -1.0, 2.0])
    linear = didsim.problem(oracles.log_laws(2, (2, 12), widest=1.0), reward=0.7 * features @ theta, beta=0.7)
    end = solve_policy(linear, Dpo(0.7), LogLinear(jnp.asarray(features)), Uniform(), BradleyTerry())
    assert_close(end.params, theta, atol=1e-8)
    assert_close(end.log_policy, linear.log_target, atol=1e-8)
    one = jnp.asarray(features * [1.0, 0.0, 0.0])
    narrow = solve_policy(linear, Dpo(0.7), LogLinear(one), Uniform(), BradleyTerry())
    assert float(jnp.abs(narrow.log_policy - linear.log_target).max()) > 0.1


@pytest.mark.slow
def test_answers_in_single_precision_are_worked_out_in_double():
    narrow = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), world())
    end = solve_policy(narrow, Dpo(0.5), prefix_table(SPACE))
    assert end.log_policy.dtype == jnp.float32
    assert_close(end.log_policy, np.asarray(narrow.log_target), atol=1e-5)
    assert int(end.status) == Status.CONVERGED


def test_too_few_steps_are_not_called_converged():
    assert int(solve_policy(world(), Dpo(0.5), prefix_table(SPACE), steps=2).status) == Status.OUT_OF_STEPS


@pytest.mark.slow
def test_kinks_are_not_called_converged():
    kinked = solve_policy(world(), Hinge(0.5), prefix_table(SPACE), steps=200)
    assert int(kinked.status) in (Status.STALLED, Status.OUT_OF_STEPS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"starts": 0}, "`starts` must be an integer of at least 1"),
        ({"steps": 0}, "`steps` must be an integer of at least 1"),
        ({"spread": 0.0}, "`spread` must be positive"),
        ({"seed": -1}, "`seed` must be an integer of at least 0"),
        ({"sampler": Uniform()}, "`labels` must be given"),
        ({"sampler": OnPolicy(), "labels": BradleyTerry()}, "`sampler` must not follow the policy, but is OnPolicy"),
    ],
)
def test_bad_arguments_are_refused(change, message):
    with pytest.raises(didsim.ArgumentError) as error:
        solve_policy(world(), Dpo(0.5), prefix_table(SPACE), **change)
    assert message in str(error.value)


def test_solutions_are_one_line():
    end = solve_policy(world(), Dpo(0.5), prefix_table(SPACE), steps=2)
    shown = repr(end)
    assert shown.startswith("PolicySolution(log_policy=float64[1,8], ends=float64[1,1,8], out of steps, gradient ")
    assert "\n" not in shown


def test_a_top_without_slope_is_no_minimum():
    """Equal laws and rewards: the start is stationary, a minimum of DPO and a maximum of DiscoPOP's dented loss."""
    flat = jnp.full((1, 4), -jnp.log(4.0))
    even = didsim.worlds.problem(flat, reward=jnp.zeros((1, 4)), log_chosen=flat, log_rejected=flat)
    policy = LogLinear(jnp.asarray([[-1.0], [0.0], [1.0], [2.0]]))
    ends = {objective: solve_policy(even, objective, policy) for objective in (Dpo(0.5), DiscoPop(0.05))}
    assert [Status(int(end.status)) for end in ends.values()] == [Status.CONVERGED, Status.SADDLE]
    assert all(float(end.gradient_norm) < 1e-12 for end in ends.values())
