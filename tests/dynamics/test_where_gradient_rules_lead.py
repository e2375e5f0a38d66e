"""Where do gradient rules lead: against loops over pairs with written-out scores, what they promise, where they end (D14)."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from contracts import assert_close, assert_round_trip
from problem_cases import SHARES, N, P, given, narrow
from training_cases import watch

import didsim
from didsim.dynamics import Plain, ProjectedGradient, Run, Sgd, rules, train
from didsim.dynamics.run import execute, run_key
from didsim.numerics.checks import ArgumentError
from didsim.numerics.pytrees import pytree
from didsim.numerics.simplex import normalize
from didsim.objectives import Cpo, Dpo, IpoSum, Sft, loss, population
from didsim.objectives.comparisons import comparisons_for, draw_pairs
from didsim.policies import Policy, Table
from didsim.samplers import ChosenRejected, Joint, Uniform
from didsim.sweeps.toml import run_from
from didsim.worlds import Given, problem
from didsim.worlds.preferences import AsShown, Bernoulli, BradleyTerry

K, BETA = 3, 0.6
RNG = np.random.default_rng(5)
FEATURES = RNG.standard_normal((P, N, K))
LOGITS = 1.5 * RNG.standard_normal((P, N))
WEIGHTS = RNG.standard_normal(K)


@pytree
class Linear(Policy):
    """Parameters shared by all prompts, as a pytree of two leaves: ``π ∝ π_ref e^{φθ}``, the first feature apart."""

    def init(self, log_ref):
        return {"first": jnp.zeros(1), "rest": jnp.zeros(K - 1)}

    def log_probs(self, params, log_ref):
        theta = jnp.concatenate([params["first"], params["rest"]])
        return normalize(log_ref + jnp.asarray(FEATURES) @ theta)


def linear(theta):
    return {"first": jnp.asarray(theta[:1]), "rest": jnp.asarray(theta[1:])}


def table_scores(log_policy):
    return np.array([[np.eye(N)[y] - np.exp(row) for y in range(N)] for row in log_policy])


def linear_scores(log_policy):
    means = [sum(np.exp(p) * f for p, f in zip(row, FEATURES[x], strict=True)) for x, row in enumerate(log_policy)]
    return FEATURES - np.array(means)[:, None, :]


def by_hand(log_policy, scores, project=True):
    """Weighted sum of scores, pair by pair, for every prompt."""
    total = np.zeros((P, scores.shape[-1]))
    for x in range(P):
        for a in range(N):
            for b in range(N):
                law = given().shown[x, a, b] * given().soft[x, a, b] + given().shown[x, b, a] * (1 - given().soft[x, b, a])
                margin = BETA * (log_policy[x, a] - given().ref[x, a] - log_policy[x, b] + given().ref[x, b])
                c = BETA / (1 + np.exp(margin))
                won, lost = scores[x, a], scores[x, b]
                if project and a != b and won @ lost > 0:
                    lost = lost - (won @ lost) / (won @ won) * won
                total[x] -= SHARES[x] * law * c * (won - lost)
    return total


@functools.partial(jax.jit, static_argnums=0)
def moved(rule, world, objective, policy, params, data):
    return rule.gradient(world, objective, policy, params, lambda _: data)


def direction(rule, policy, params, objective):
    data = population(given().problem, given().pairs, BradleyTerry(), given().problem.log_ref)
    return moved(rule, given().problem, objective, policy, params, data)


def test_a_tables_direction_by_hand():
    wanted = by_hand(oracles.normalize(LOGITS), table_scores(oracles.normalize(LOGITS)))
    assert_close(direction(ProjectedGradient(), Table(), jnp.asarray(LOGITS), Dpo(BETA)), wanted)
    plain = by_hand(oracles.normalize(LOGITS), table_scores(oracles.normalize(LOGITS)), project=False)
    assert_close(direction(Plain(), Table(), jnp.asarray(LOGITS), Dpo(BETA)), plain)
    assert np.abs(wanted - plain).max() > 1e-3


def test_shared_parameters_by_hand():
    log_policy = oracles.normalize(given().ref + FEATURES @ WEIGHTS)
    got = direction(ProjectedGradient(), Linear(), linear(WEIGHTS), Dpo(BETA))
    wanted = by_hand(log_policy, linear_scores(log_policy))
    assert_close(got, linear(wanted.sum(0)))
    plain = by_hand(log_policy, linear_scores(log_policy), project=False)
    assert np.abs(wanted - plain).sum(0).max() > 1e-3


def test_terms_without_a_partner_keep_their_weight():
    """CPO's NLL term is projected with its pair's chosen side, which no projection touches."""
    with_nll, without = (direction(ProjectedGradient(), Table(), jnp.asarray(LOGITS), Cpo(BETA, w)) for w in (0.4, 0.0))
    data = population(given().problem, given().pairs, BradleyTerry(), given().problem.log_ref)
    nll = jax.jit(jax.grad(lambda t: loss(Sft(), given().problem, normalize(t), data)))(jnp.asarray(LOGITS))
    assert_close(with_nll - without, 0.4 * nll)


def test_a_loss_that_pulls_the_rejected_up_is_left_alone():
    """IPO beyond its margin lifts the rejected response: there is nothing to take out."""
    far = Joint(jnp.log(jnp.asarray(np.eye(N)[0][:, None] * np.eye(N)[1] * np.ones((P, 1, 1)))))
    logits = jnp.asarray(given().ref).at[:, 0].add(1.0).at[:, 1].add(-9.0)
    data = population(given().problem, far, AsShown(), given().problem.log_ref)
    both = [moved(rule, given().problem, IpoSum(1.0), Table(), logits, data) for rule in (Plain(), ProjectedGradient())]
    assert_close(*both)


def single_pairs():
    """Random tables, one pair each: log-policy, chosen, rejected."""
    rng = np.random.default_rng(8)
    for _ in range(300):
        logits = 2.0 * rng.standard_normal(N)
        yield logits, *rng.choice(N, 2, replace=False)


@pytest.mark.slow
def test_the_chosen_likelihood_rises_by_what_is_promised():
    """First-order rise ``c‖g_w‖²`` in conflict, more without; the plain gradient rises by less in every conflict."""
    step, conflicts = 1e-6, 0
    logits, won, lost = (np.array(column) for column in zip(*single_pairs(), strict=True))
    many = problem(np.broadcast_to(given().ref[0], logits.shape), reward=np.zeros(N), beta=0.7)
    shown = np.zeros((len(logits), N, N))
    shown[np.arange(len(logits)), won, lost] = 1.0
    data = population(many, Joint(jnp.asarray(oracles.log(shown))), AsShown(), many.log_ref)
    moves = {
        rule: np.asarray(len(logits) * moved(rule, many, Dpo(BETA), Table(), jnp.asarray(logits), data))
        for rule in (Plain(), ProjectedGradient())
    }
    for k, (row, a, b) in enumerate(zip(logits, won, lost, strict=True)):
        policy = np.exp(oracles.normalize(row))
        g_w, g_l = np.eye(N)[a] - policy, np.eye(N)[b] - policy
        margin = BETA * (row[a] - given().ref[0, a] - row[b] + given().ref[0, b])
        promised = BETA / (1 + np.exp(margin)) * (g_w @ g_w)
        rise = {}
        for rule, move in moves.items():
            ahead, behind = (oracles.normalize(row - sign * step * move[k]) for sign in (1, -1))
            rise[type(rule).__name__] = (ahead[a] - behind[a]) / (2 * step)
        if g_w @ g_l > 1e-6:
            conflicts += 1
            np.testing.assert_allclose(rise["ProjectedGradient"], promised, rtol=1e-6)
            assert rise["Plain"] < promised * (1 - 1e-7)
        else:
            assert rise["ProjectedGradient"] > promised * (1 - 1e-6)
            np.testing.assert_allclose(rise["ProjectedGradient"], rise["Plain"], rtol=1e-6)
    assert 30 < conflicts < 270


def drawn_directions(policy, params, pairs, draws=8000):
    def one(key):
        drawn = draw_pairs(key, given().problem, given().pairs, Bernoulli(BradleyTerry()), given().problem.log_ref, pairs)
        return ProjectedGradient().gradient(given().problem, Dpo(BETA), policy, params, lambda _: drawn)

    return jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(2), draws))


def z_scores(drawn, wanted):
    return np.abs((drawn.mean(0) - wanted) / (drawn.std(0) / np.sqrt(len(drawn)))).max()


def test_drawn_pairs_give_the_direction_without_bias():
    log_policy = oracles.normalize(LOGITS)
    scores = table_scores(log_policy)
    drawn = np.asarray(drawn_directions(Table(), jnp.asarray(LOGITS), 4))
    assert z_scores(drawn, by_hand(log_policy, scores)) < 4.5
    assert z_scores(drawn, by_hand(log_policy, scores, project=False)) > 8.0  # control


@pytest.mark.parametrize("pairs", [1, 8])
def test_drawn_pairs_of_shared_parameters(pairs):
    """With few pairs the scores of those drawn are taken, with many those of all responses."""
    log_policy = oracles.normalize(given().ref + FEATURES @ WEIGHTS)
    drawn = drawn_directions(Linear(), linear(WEIGHTS), pairs)
    drawn = np.concatenate([drawn["first"], drawn["rest"]], axis=1)
    assert z_scores(drawn, by_hand(log_policy, linear_scores(log_policy)).sum(0)) < 4.5
    assert z_scores(drawn, by_hand(log_policy, linear_scores(log_policy), project=False).sum(0)) > 8.0


def test_it_reinforces_and_misses_the_target():
    """From the same start the chosen likelihood ends higher than DPO's, and π* is not reached, on power-law data."""
    rng = np.random.default_rng(0)
    world = problem(oracles.normalize(1.5 * rng.standard_normal((4, 8))), reward=rng.standard_normal((4, 8)), beta=0.7)
    runs = [
        train(world, Dpo(0.7), steps=30_000, records=2, optimiser=Sgd(30.0), stop_below=1e-13, rule=rule)
        for rule in (Plain(), ProjectedGradient())
    ]
    far = [np.asarray(didsim.numerics.simplex.jsd(world.log_target, run.log_policy)) for run in runs]
    assert far[0].max() < 1e-12
    assert far[1].min() > 1e-3
    assert runs[1].metrics["chosen_change"][-1] > runs[0].metrics["chosen_change"][-1] + 1e-2
    assert runs[1].gradient_norm < 1e-6  # it has ended there, not stopped on the way


def test_rules_are_parts_of_runs():
    data, settings = (given().pairs, BradleyTerry()), {"steps": 2, "optimiser": Sgd(1.0), "metrics": watch}
    run = Run(Given(given().problem), Dpo(BETA), *data, rule=ProjectedGradient(), **settings)
    assert_round_trip(run)
    end = jax.jit(execute)(run, run_key(0))
    plain = train(given().problem, Dpo(BETA), *data, **settings)
    assert np.abs(end.params - plain.params).max() > 1e-3
    table = {"world": {"name": "random_target", "n": 4}, "objective": "dpo", "rule": "projected"}
    assert run_from(table).rule == ProjectedGradient()


def test_single_precision():
    world, pairs = narrow((given().problem, given().pairs))
    data = population(world, pairs, BradleyTerry(), world.log_ref)
    got = moved(ProjectedGradient(), world, Dpo(BETA), Table(), jnp.asarray(LOGITS, jnp.float32), data)
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, by_hand(oracles.normalize(LOGITS), table_scores(oracles.normalize(LOGITS))), atol=1e-5)


def test_what_cannot_be_projected_says_so(monkeypatch):
    with pytest.raises(ArgumentError, match="must compare the responses of a pair for the projected gradient, but is sft"):
        train(given().problem, Sft(), rule=ProjectedGradient(), steps=1)
    monkeypatch.setattr(rules, "LARGEST_DENSE", 4)
    with pytest.raises(ArgumentError, match="`pairs` must be given for the projected gradient of more than 4 responses"):
        train(given().problem, Dpo(BETA), rule=ProjectedGradient(), steps=1)


@pytest.mark.parametrize("sampler", [Uniform(), ChosenRejected()], ids=["uniform", "chosen-rejected"])
def test_product_laws_are_written_out(sampler):
    big = didsim.worlds.RandomTarget(n=30, beta=0.5).draw(jax.random.key(1))
    labels = BradleyTerry() if isinstance(sampler, Uniform) else AsShown()
    kept = comparisons_for(Dpo(BETA), big, sampler, labels, big.log_ref)
    written = population(big, sampler, labels, big.log_ref)
    assert type(kept) is not type(written)
    both = [moved(ProjectedGradient(), big, Dpo(BETA), Table(), big.log_target, data) for data in (kept, written)]
    assert_close(*both)
