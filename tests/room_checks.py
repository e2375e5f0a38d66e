"""What must hold in each room, by oracles that import nothing of what they judge beyond the function called."""

import functools
import math
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np

from didsim import objectives, preferences, simplex, solve
from didsim.claims.ledger import LEDGER, Control, Finding
from didsim.claims.trials import Trial
from didsim.did import estimators, weights
from didsim.dynamics.iterated import endings, maps, stability
from didsim.figures import verdicts
from didsim.landscape import designs, finite_sample, rates, signal
from didsim.landscape.solvers import Status, counts, krylov
from didsim.numerics import linalg, search, texts
from didsim.numerics.pair_sums import kernel_sum
from didsim.objectives import links
from didsim.samplers import Product, behaviours, laws, ranks
from didsim.samplers.data import Data
from didsim.worlds import problem


def log_softmax(x):
    x = np.asarray(x, float)
    return x - np.log(np.exp(x - x.max(-1, keepdims=True)).sum(-1, keepdims=True)) - x.max(-1, keepdims=True)


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-np.asarray(x)))


RNG = np.random.default_rng(12)
REF, CHOSEN, REJECTED = log_softmax(RNG.standard_normal((3, 1, 4)))
REWARD = RNG.standard_normal((1, 4))
GAPS = REWARD[0][:, None] - REWARD[0]


@functools.cache
def world(**numbers):
    return problem(REF, reward=REWARD, log_chosen=CHOSEN, log_rejected=REJECTED, **numbers)


def on(function, *args):
    """The function on arrays of JAX, which its annotations ask for."""
    return function(*(jnp.asarray(one) if isinstance(one, np.ndarray) else one for one in args))


def near(got, wanted, rtol=1e-9, atol=1e-11):
    np.testing.assert_allclose(np.asarray(got), wanted, rtol=rtol, atol=atol)


# Oracles.


def divergences_of_laws():
    p, q = np.exp(REF[0]), np.exp(CHOSEN[0])
    kl = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    back = sum(b * math.log(b / a) for a, b in zip(p, q, strict=True))
    near(on(simplex.kl, REF[0], CHOSEN[0]), kl)
    near(on(simplex.jeffreys, REF[0], CHOSEN[0]), kl + back)
    near(simplex.entropy(jnp.asarray(REF[0])), -sum(a * math.log(a) for a in p))
    middle = (p + q) / 2
    near(on(simplex.jsd, REF[0], CHOSEN[0]), sum((p * np.log(p / middle) + q * np.log(q / middle)) / 2))
    # Close laws: δ²/8 on a response of mass ½, where differences of logs keep nothing.
    tiny = 1e-9
    close = simplex.jsd(jnp.log(jnp.asarray([0.5, 0.5])), simplex.normalize(jnp.asarray([tiny, -tiny]) + math.log(0.5)))
    near(close, tiny**2 / 8, rtol=1e-6, atol=0)
    for alpha in (0.3, 2.0):
        near(on(simplex.renyi, REF[0], CHOSEN[0], alpha), math.log(sum(p**alpha * q ** (1 - alpha))) / (alpha - 1))
    near(on(simplex.renyi, REF[0], CHOSEN[0], 1.0), kl)
    escaping, narrow = jnp.log(jnp.asarray([0.5, 0.5])), jnp.asarray([0.0, -jnp.inf])
    assert np.isinf(simplex.renyi(escaping, narrow, 1.0))
    assert np.isinf(simplex.renyi(escaping, narrow, 2.0))
    near(simplex.renyi(escaping, narrow, 0.5), math.log(2.0))
    values = REWARD[0]
    mean = p @ values
    near(on(simplex.cumulants, REF[0], values), [mean, p @ (values - mean) ** 2, p @ (values - mean) ** 3])
    near(on(simplex.clr, values), values - values.mean())


def sums_over_pairs():
    """The documented 1e-12 at every distance, the far field included."""
    targets, sources = np.linspace(0.0, 80.0, 161), np.array([0.0, 0.3, 1.7])
    mass = np.array([0.5, 0.3, 0.2])
    got = kernel_sum("sigmoid", jnp.asarray(-targets), jnp.asarray(sources), jnp.asarray(mass), method="fast")
    near(got, sigmoid(-targets[:, None] - sources) @ mass, rtol=0, atol=1e-12)


def matrices():
    rows = RNG.standard_normal((5, 3))
    matrix = rows @ rows.T
    inverse = np.asarray(linalg.pseudo_inverse(jnp.asarray(matrix)))
    near(matrix @ inverse @ matrix, matrix, atol=1e-9)
    near(inverse, np.linalg.pinv(matrix, rcond=1e-10), atol=1e-7)
    mixed = np.diag([2.0, -0.5, 1e-3])
    near(linalg.saddle_free_solve(jnp.asarray(mixed), jnp.ones(3))[0], [0.5, 2.0, 1e3])
    ring = np.roll(np.eye(5, dtype=bool), 1, 1)
    assert bool(linalg.strongly_connected(jnp.asarray(ring)))
    ring[4, 0] = False
    assert not bool(linalg.strongly_connected(jnp.asarray(ring)))


def searches():
    rows = RNG.standard_normal((6, 6))
    matrix, right = rows @ rows.T + np.eye(6), RNG.standard_normal(6)
    found, _ = search.conjugate_gradients(
        lambda v: jnp.asarray(matrix) @ v, jnp.asarray(right), lambda r: r, tolerance=1e-12, steps=30
    )
    near(found, np.linalg.solve(matrix, right), rtol=1e-7)
    # (t - ¼)² from ½ to the left of its minimum: a step of one lies higher, one of ½ as high, one of ¼ is best.
    length = search.longest_step(lambda t: (t - 0.25) ** 2, jnp.asarray(0.0625), jnp.asarray(-0.5), jnp.asarray(1.0))
    assert float(length) == 0.25
    whole = search.longest_step(lambda t: (t - 1.0) ** 2, jnp.asarray(1.0), jnp.asarray(-2.0), jnp.asarray(1.0))
    assert float(whole) == 1.0
    assert float(search.longest_step(lambda t: t, jnp.asarray(0.0), jnp.asarray(-1.0), jnp.asarray(1.0))) < 1e-9


def values_in_text():
    assert texts.read_value("3") == 3
    assert texts.read_value("0.5") == 0.5
    assert texts.read_value("a") == "a"


def entropy_of_draws():
    log_u, s = np.array([0.3, -1.2, 2.0, 0.1]), np.array([0.5, 0.2, -1.0, 2.0])
    u = np.exp(log_u)
    near(on(estimators.self_normalised_entropy, log_u, s), math.log(u.mean()) - (u @ s) / u.sum())
    w = u / u.mean()
    centred = s - (u @ s) / u.sum()
    near(on(estimators.delta_error, log_u, s), math.sqrt(np.sum((w - 1 - w * centred) ** 2) / (4 * 3)))
    near(weights.effective_sample_size(jnp.asarray(log_u)), u.sum() ** 2 / (u @ u))


def labels_of_pairs():
    reward = jnp.asarray([[0.0, 0.5, 1.25]])
    gap = np.asarray(reward[0])[:, None] - np.asarray(reward[0])
    plain = preferences.BradleyTerry()
    near(plain.matrix(reward)[0], sigmoid(gap))
    wanted = [[sigmoid(g) if abs(g) >= 0.5 else 0.5 for g in row] for row in gap]
    near(preferences.Threshold(plain, 0.5).matrix(reward)[0], wanted)
    near(preferences.Flipped(plain, 0.2).matrix(reward)[0], 0.8 * sigmoid(gap) + 0.2 * sigmoid(-gap))
    near(preferences.Hard(plain).matrix(reward)[0], np.where(gap == 0, 0.5, gap > 0))
    near(preferences.Ties(0.3).matrix(reward)[0], (sigmoid(gap - 0.3) + sigmoid(gap + 0.3)) / 2)


def chances_of_ties():
    """Win, tie and loss of Rao and Kupper's and of Davidson's model: what labels tell, what pairs carry, what a loss charges."""
    reward = jnp.asarray([[0.0, 0.5, 1.25]])
    gap = np.asarray(reward[0])[:, None] - np.asarray(reward[0])
    kupper = 1 - sigmoid(gap - 0.3) - sigmoid(-gap - 0.3)
    total = np.exp(gap / 2) + 1.6 + np.exp(-gap / 2)
    near(preferences.Ties(0.3).ties(reward)[0], kupper)
    near(preferences.Davidson(0.8).ties(reward)[0], 1.6 / total)
    near(preferences.Threshold(preferences.Ties(0.3), 0.5).ties(reward)[0], np.where(abs(gap) >= 0.5, kupper, 1.0))
    for costs, tie in ((objectives.DpoRk(margin=0.3).costs, kupper), (objectives.DpoD(tie=0.8).costs, 1.6 / total)):
        win, tied = (np.exp(-np.asarray(cost)) for cost in costs(jnp.asarray(gap)))
        near(tied, tie)
        near(win + win.T + tie, np.ones((3, 3)))
        near(win / win.T, np.exp(gap) if tie is not kupper else sigmoid(gap - 0.3) / sigmoid(-gap - 0.3))
    shown = np.outer([0.5, 0.3, 0.2], [0.1, 0.6, 0.3])
    sampler = Product(jnp.log(jnp.asarray([0.5, 0.3, 0.2])), jnp.log(jnp.asarray([0.1, 0.6, 0.3])))
    world = problem(simplex.uniform(3), reward=reward)
    told = objectives.population(world, sampler, preferences.Ties(0.3), world.log_ref)
    near(told.tied[0], kupper * (shown + shown.T) / 2)


def laws_of_one_response():
    halves = jnp.log(jnp.asarray([[0.5, 0.25, 0.25]]))
    one = problem(halves, reward=np.array([[0.0, 1.0, 2.0]]))
    start = behaviours.FromReference()
    near(np.exp(behaviours.TopP(start, 0.5).log_law(one, halves)[0]), [1.0, 0.0, 0.0])
    near(np.exp(behaviours.TopP(start, 0.6).log_law(one, halves)[0]), [0.5, 0.25, 0.25])
    near(behaviours.Temper(start, 2.0).log_law(one, halves)[0], log_softmax(np.asarray(halves[0]) / 2))
    target = np.array([0.2, 0.3, 0.5])
    aimed = problem(halves, log_target=np.log(target)[None])
    accept, p = 1 / max(target / np.exp(halves[0])), np.exp(halves[0])
    sampled = behaviours.RejectionSampled(start, 3)
    near(sampled.draws(aimed, halves), [1 + (1 - accept) + (1 - accept) ** 2])
    rest = (1 - accept) ** 2
    near(np.exp(sampled.log_law(aimed, halves)[0]), (1 - (1 - accept) * rest) * target + rest * (p - accept * target))


def ranks_of_draws():
    """Exact fractions, with a mass of 1e-30 that differences of powers lose."""
    mass = [Fraction(1, 2), Fraction(1, 10**30), Fraction(1, 3), Fraction(1, 6) - Fraction(1, 10**30)]
    standing = ranks.ranks(jnp.arange(4.0), jnp.asarray([math.log(one.numerator) - math.log(one.denominator) for one in mass]))
    below = [sum(mass[:i], Fraction(0)) for i in range(5)]

    def tail(p, least):
        return sum((math.comb(5, j) * p**j * (1 - p) ** (5 - j) for j in range(least, 6)), Fraction(0))

    near(ranks.log_best_of(standing, 5.0), [math.log(float(below[i + 1] ** 5 - below[i] ** 5)) for i in range(4)])
    for rank in (1, 2, 5):
        wanted = [math.log(float(tail(below[i + 1], 6 - rank) - tail(below[i], 6 - rank))) for i in range(4)]
        near(ranks.log_rank_of(standing, 5.0, float(rank)), wanted)
    joint, two = ranks.log_best_and_worst_of(standing, 5.0), ranks.log_two_ranks_of(standing, 5, 1, 5)
    for b in range(4):
        for a in range(b):
            inside = below[b] - below[a + 1]
            exact = (inside + mass[a] + mass[b]) ** 5 - (inside + mass[a]) ** 5 - (inside + mass[b]) ** 5 + inside**5
            near(joint[b, a], math.log(float(exact)))
            near(two[b, a], math.log(float(exact)))


def mixtures_of_products():
    law = laws.ProductMixture(
        jnp.asarray([[0.3, 0.7]]), jnp.asarray(np.stack([REF, CHOSEN], 1)), jnp.asarray(np.stack([CHOSEN, REJECTED], 1))
    )
    wanted = 0.3 * np.outer(np.exp(REF), np.exp(CHOSEN)) + 0.7 * np.outer(np.exp(CHOSEN), np.exp(REJECTED))
    near(law.matrix()[0], wanted)
    near(law.total(), [1.0])


def links_by_hand():
    margin = np.array([-3.0, -0.4, 0.0, 0.7, 2.5])
    log = lambda x: -np.log(sigmoid(x))  # noqa: E731
    near(objectives.Hinge().link(jnp.asarray(margin)), np.maximum(0.0, 1.0 - margin))
    near(links.clip(jnp.asarray(margin), 1.0, 0.0), np.clip(margin, -1.0, 1.0))
    s = sigmoid(margin / 0.05)
    near(objectives.DiscoPop().link(jnp.asarray(margin)), (1 - s) * log(margin) + s * np.exp(-margin))
    keep = sigmoid(margin) * (-log(margin) - math.log(0.9)) + sigmoid(-margin) * (-log(-margin) - math.log(0.1))
    near(objectives.ExoPair(smoothing=0.1).link(jnp.asarray(margin)), keep)
    near(objectives.ConservativeDpo(smoothing=0.2).link(jnp.asarray(margin)), 0.8 * log(margin) + 0.2 * log(-margin))
    near(objectives.IpoSum(beta=0.25).link(jnp.asarray(margin)), (margin - 2.0) ** 2)
    published = {"dpop": {"penalty": 50.0}, "simpo": {"beta": 2.0}, "discopop": {"beta": 0.05, "temperature": 0.05}}
    for name, numbers in published.items():
        assert {field: getattr(objectives.OBJECTIVES[name](), field) for field in numbers} == numbers


def sharp_minimisers():
    """At laws of 60 nats the implicit rewards are the log-ratios of the data, by the published rewards in plain NumPy."""
    ref, chosen, rejected = log_softmax([[[-20.0, 0.0, -3.0]], [[0.0, -30.0, -9.0]], [[-40.0, 0.0, -14.0]]])
    sharp = problem(ref, reward=np.zeros((1, 3)), log_chosen=chosen, log_rejected=rejected)
    fit = (chosen - rejected)[0]
    rewards = {
        "f-dpo[forward_kl]": lambda x: -np.exp(-x),
        "f-dpo[js]": lambda x: -np.log1p(np.exp(-x)),
        "f-dpo[alpha]": lambda x: np.expm1(-0.75 * x) / -0.75,
    }
    for name, reward in rewards.items():
        loss = objectives.OBJECTIVES[name](beta=2.0, **({"alpha": 0.25} if "alpha" in name else {}))
        best = np.asarray(loss.minimiser(sharp))
        near(np.exp(best).sum(), 1.0)
        implied = 2.0 * reward((best - ref)[0])
        # A reward at its upper end says nothing any more: compare those below it, from the worst up.
        near(implied - implied[fit.argmin()], fit - fit.min(), rtol=1e-6)
    near(np.asarray(objectives.Dpo(0.5).minimiser(sharp)), log_softmax(ref + 2.0 * fit), atol=1e-9)
    assert (
        objectives.Dpo(0.5).minimiser(
            problem(
                ref, reward=np.zeros((1, 3)), log_chosen=chosen, log_rejected=np.array([[-np.inf, math.log(0.5), math.log(0.5)]])
            )
        )
        is None
    )


def words_of_the_solver():
    """Whoever says CONVERGED is there: after one step, two, three, and at the end."""
    wanted = log_softmax(REF + (CHOSEN - REJECTED) / 0.5)
    for steps in (1, 2, 3, 4, 60):
        end = solve(world(), objectives.Dpo(beta=0.5), steps=steps)
        if int(end.status[0]) == Status.CONVERGED:
            near(end.log_policy, wanted, rtol=0, atol=1e-3)
        else:
            assert int(end.status[0]) == Status.OUT_OF_STEPS
    assert int(end.status[0]) == Status.CONVERGED


def ways_down():
    """A kinked minimum by its linear programme's value; a top is left; the bound is the least over each pair's margin."""
    ref, chosen, rejected = log_softmax(
        [[[-1.6379, -4.6618, -0.228]], [[-3.3429, -0.3462, -1.3574]], [[-3.4039, -0.4648, -1.0832]]]
    )
    hinge = solve(problem(ref, reward=np.zeros((1, 3)), log_chosen=chosen, log_rejected=rejected), objectives.Hinge(beta=0.1))
    near(hinge.value, [0.9188145], rtol=0, atol=1e-6)
    flat = problem(np.log([[1 / 3] * 3]), reward=np.zeros((1, 3)))
    disco = solve(flat, objectives.DiscoPop(), starts=1)
    assert float(disco.value[0]) < 0.82
    margin = np.linspace(-3.0, 3.0, 200_001)
    s = sigmoid(margin / 0.05)
    one = (1 - s) * -np.log(sigmoid(margin)) + s * np.exp(-margin)
    least = 3 * 2 / 9 * np.min((one + one[::-1]) / 2) + 3 / 9 * one[margin.size // 2]
    near(disco.lower_bound, [least], rtol=0, atol=1e-6)


def large_solver():
    """Responses that no pair shows are left open, and counted."""
    shown = log_softmax(np.where(np.arange(16) < 12, 0.3 * np.arange(16), -np.inf))[None]
    large = problem(np.full((1, 16), -math.log(16)), reward=np.linspace(0, 2, 16)[None])
    data = Data(Product(jnp.asarray(shown), jnp.asarray(shown)), preferences.BradleyTerry())
    end = krylov.newton_krylov(large, objectives.Dpo(beta=0.5), data, large.log_ref, 40)
    assert int(end.undetermined[0]) == 4
    assert int(end.status[0]) == Status.NOT_UNIQUE
    short = krylov.newton_krylov(large, objectives.Dpo(beta=0.5), data, large.log_ref, 1)
    assert int(short.status[0]) == Status.OUT_OF_STEPS


def design_certificates():
    """Of three responses of equal reward the best λ₂ is known; no bound lies below a value that is reached."""
    weights = np.full((3, 3), 1 / 6) - np.eye(3) / 6
    even = jnp.asarray(weights)
    centred = jnp.eye(3) - 1 / 3
    e_bound, a_bound = designs.design_bounds(even, jnp.zeros(3), centred)
    laplacian = (np.eye(3) * 2 - (np.ones((3, 3)) - np.eye(3))) / 12
    near(e_bound, np.linalg.eigvalsh(laplacian)[1])
    near(a_bound, np.trace(np.linalg.pinv(laplacian)))


def tables_of_wins():
    fit = counts.fit_counts(jnp.asarray([[0.0, 30.0], [10.0, 0.0]]))
    near(fit.margin[0] - fit.margin[1], math.log(3.0))
    assert bool(fit.converged)
    assert not bool(counts.fit_counts(jnp.asarray([[0.0, 3, 0, 0], [2, 0, 0, 0], [0, 0, 0, 5], [0, 0, 4, 0]])).converged)


def first_signals():
    p, q = np.exp(CHOSEN[0]), np.exp(REJECTED[0])
    wanted = 0.5 * sum(p[a] * q[b] * GAPS[a, b] * math.tanh(GAPS[a, b] / 2) for a in range(4) for b in range(4))
    product = laws.product_law(jnp.asarray(CHOSEN), jnp.asarray(REJECTED))
    near(signal.first_gradient_signal(product, jnp.asarray(REWARD)), [wanted])
    near(signal.first_gradient_signal(laws.JointLaw(product.log_matrix()), jnp.asarray(REWARD)), [wanted])
    near(signal.two_level_signal(0.3, 0.8, 1.5), 0.5 * (0.3 * 0.2 + 0.8 * 0.7) * 1.5 * math.tanh(0.75))


def finite_samples():
    mu = np.exp(log_softmax(RNG.standard_normal(9))).reshape(3, 3)
    margin, chance = np.array([0.3, -0.2, 0.9]), np.full((3, 3), 0.6)
    chance = np.triu(chance, 1) + np.tril(1 - chance.T, -1) + np.eye(3) / 2
    wanted = np.zeros((3, 3))
    for a in range(3):
        for b in range(3):
            step = np.eye(3)[a] - np.eye(3)[b]
            for won, share in ((1.0, chance[a, b]), (0.0, 1 - chance[a, b])):
                wanted += 0.49 * mu[a, b] * share * (won - sigmoid(margin[a] - margin[b])) ** 2 * np.outer(step, step)
    near(on(finite_sample.score_covariance, mu, chance, margin, 0.7), wanted)
    near(rates.best_step(jnp.asarray(0.5), jnp.asarray(1.5)), 1.0)


def rounds_as_maps():
    flat = jnp.log(jnp.full(2, 0.5))
    reward = jnp.asarray([0.0, 20.0])
    fit = maps.dpo_fit(flat, jax.nn.sigmoid(reward[:, None] - reward), flat, 1.0)
    assert bool(fit.converged)
    near(fit.margin[1] - fit.margin[0], 20.0, rtol=1e-7)
    sure = maps.dpo_fit(flat, jnp.asarray([[0.5, 1.0], [0.0, 0.5]]), flat, 1.0)
    assert not bool(sure.converged)
    # In single precision a pull without end drowns in rounding, and Newton's steps come to rest at no optimum.
    third, won = jnp.full(3, -jnp.log(3.0)), jnp.asarray([[0.5, 1.0, 1.0], [0.0, 0.5, 0.7], [0.0, 0.3, 0.5]])
    third, won = third.astype(jnp.float32), won.astype(jnp.float32)
    sure = maps.dpo_fit(third, won, third, jnp.float32(0.5))
    assert float(sure.step) < 1e-6
    assert not bool(sure.converged)
    table = np.array([[0.5, 0.8, 0.3], [0.2, 0.5, 0.6], [0.7, 0.4, 0.5]])
    anchor, current = log_softmax([[0.0, 0.3, -1.0], [0.5, 0.0, 1.0]])
    mass = 0.7 * np.exp(current) + 0.3 * np.exp(anchor)
    wanted = log_softmax(0.6 * current + 0.4 * anchor + table @ mass / 0.5)
    near(maps.next_policy(maps.Iteration(jnp.asarray(table), jnp.asarray(anchor), 0.6, 0.7, 0.5), jnp.asarray(current)), wanted)
    modulus, angle = stability.cycle_multiplier(0.9, 0.5, 0.4, 4.0)
    near([modulus, angle], [abs(0.9 + 0.8j / math.sqrt(3)), np.angle(0.9 + 0.8j / math.sqrt(3))])
    turns = np.arange(128)[:, None] * 2 * np.pi / 8 + np.array([0.0, 2.0, 4.0])
    end = endings.ending(jnp.asarray(log_softmax(0.5 * np.cos(turns))))
    assert (int(end.fate), int(end.period)) == (endings.Fate.CYCLE, 8)
    near(end.turning, 8.0, rtol=1e-2)


def outcomes_of_figures():
    assert verdicts.below("x", [1.0, 3.0], 2.0).ok is False
    assert verdicts.below("x", [1.0, 2.0], 2.0).ok is True
    assert verdicts.above("x", [1.0, 3.0], 2.0).ok is False
    assert verdicts.must_break("x", [1.0, 3.0], 2.0).ok is False
    assert verdicts.below("x", [float("nan")], 2.0).ok is False


def outcomes_of_claims():
    def trial(worst=0.0, failures=0, violating=0):
        return Trial(instances=10, worst=worst, index=0, n=3, failures=failures, violating=violating)

    assert Control("a", True, trial(failures=3, violating=10)).ok
    assert not Control("a", True, trial(violating=10)).ok
    assert not Control("a", True, trial(failures=3, violating=10), least=0.5).ok
    assert not Control("a", False, trial()).ok
    assert not Control("a", False, trial(failures=1, violating=10)).ok
    fine, bad, one = trial(worst=0.5), trial(worst=2.0), next(iter(LEDGER.values()))
    assert Finding(one, 1.0, fine, []).holds
    assert not Finding(one, 1.0, bad, []).holds
    assert not Finding(one, 1.0, fine, [], others=[bad]).holds
