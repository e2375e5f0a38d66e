"""Where is every population loss least, as the table of objectives says: closed forms, exact solves, and mass that is lost?"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from objective_cases import NUMBERS, both, make
from random_laws import Drawn
from sampling import picked, sampled
from tolerance import tolerance

from didsim import simplex, solve
from didsim.dynamics import Adam, train
from didsim.landscape.solvers import Status
from didsim.objectives import OBJECTIVES, Limit, population
from didsim.objectives.divergences import log_lambert
from didsim.objectives.inversion import policy_with_reward
from didsim.samplers import ChosenRejected
from didsim.worlds import problem
from didsim.worlds.preferences import AsShown

P, N, BETA = 3, 5, 0.7
RNG = np.random.default_rng(3)
LOG_REF = oracles.normalize(RNG.standard_normal((P, N)))
REWARD = RNG.standard_normal((P, N))
LENGTHS = RNG.integers(1, 4, (P, N)).astype(float)
L = Drawn(
    world=lambda: problem(LOG_REF, reward=REWARD, beta=BETA, lengths=LENGTHS),
    data=lambda: population(L.world, ChosenRejected(), AsShown(), L.world.log_ref),
)
CHANGES = {
    **{name: {"beta": BETA} for name in NUMBERS if "beta" in NUMBERS[name]},
    "rebel": {"eta": 1 / BETA},
    "sft": {},
    "sft[token_mean]": {},
    "kto[example_mean]": {"beta": BETA, "desirable": 1.0, "undesirable": 1.0},
    "kto": {"beta": BETA, "desirable": 1.0, "undesirable": 1.0},
    "apo_zero[example_mean]": {"beta": BETA, "desirable": 1.0, "undesirable": 1.0},
    "chi-po": {"beta": BETA, "reward_bound": 5.0},
    "simpo": {"beta": BETA, "gamma": 0.0, "smoothing": 0.0},
    "simpo[gamma_ratio]": {"beta": BETA, "gamma_ratio": 0.0, "smoothing": 0.0},
    "alphapo": {"beta": BETA, "gamma": 0.0, "alpha": 0.6, "smoothing": 0.0},
    "robust": {"beta": BETA, "smoothing": 0.05},
}
SOLVED = [name for name in OBJECTIVES if not OBJECTIVES[name].batch_level]
FORMULAS = [name for name in SOLVED if OBJECTIVES[name].card.limit in (Limit.TARGET, Limit.FORMULA)]
QUICK = ["dpo", "robust", "f-dpo[js]", "kto"]  # one of each limit


def objective(name):
    return make(name, **CHANGES.get(name, {}))


def slope(name, log_policy):
    return np.asarray(both(objective(name), jnp.asarray(log_policy), L.data, L.world)[1])


def away(log_policy, other=None):
    return float(simplex.jsd(jnp.asarray(log_policy), L.world.log_target if other is None else other).min())


@pytest.mark.parametrize("name", FORMULAS)
def test_closed_forms_are_stationary_and_least(name):
    """No slope at the closed form, a slope elsewhere, and a larger value at every one of many other laws."""
    best = objective(name).minimiser(L.world)
    np.testing.assert_allclose(jax.nn.logsumexp(best, -1), 0.0, atol=tolerance())
    assert np.abs(slope(name, best)).max() < tolerance(condition=100.0)
    assert np.abs(slope(name, best + 0.01 * np.arange(N))).max() > 1e-5
    value = both(objective(name), best, L.data, L.world)[0]
    others = best + np.geomspace(1e-3, 5.0, 40)[:, None, None] * np.random.default_rng(1).standard_normal((40, P, N))
    assert all(both(objective(name), jnp.asarray(other), L.data, L.world)[0] > value for other in others)
    at_target = float(jnp.abs(best - L.world.log_target).max())
    assert at_target < 1e-12 if objective(name).card.limit == Limit.TARGET else at_target > 1e-3


@pytest.mark.parametrize("name", [n for n in SOLVED if OBJECTIVES[n].card.limit == Limit.OWN])
def test_own_limits_are_not_the_target(name):
    assert objective(name).minimiser(L.world) is None
    if not OBJECTIVES[name].kinked:
        assert np.abs(slope(name, L.world.log_target)).max() > 1e-4


@pytest.mark.parametrize("name", picked(SOLVED, QUICK))
def test_the_solver_agrees(name):
    solution = solve(L.world, objective(name))
    kind, formula = objective(name).card.limit, objective(name).minimiser(L.world)
    if kind == Limit.NOWHERE:
        assert solution.log_policy.min(-1).max() < -40.0
        return
    assert {Status(int(s)).name for s in solution.status} <= {"CONVERGED", "NOT_UNIQUE"}
    assert solution.log_policy.min() > -40.0
    if kind == Limit.OWN:
        assert away(solution.log_policy) > 1e-8
    else:
        # A loss that is not convex may have higher minima too; the solver, whose starts are few, then claims no proof.
        least = solve(L.world, objective(name), start=formula, starts=1).value
        met = np.asarray(solution.value <= least + tolerance())
        np.testing.assert_allclose(solution.log_policy[met], formula[met], atol=1e-9)
        assert met.any()
        assert not np.any(solution.proved[~met])
        assert np.all(solution.value >= least - tolerance())


@pytest.mark.parametrize("name", ["kto", pytest.param("apo_zero", marks=pytest.mark.slow)])
def test_losers_lose_their_mass(name):
    """Responses with λ_D π_w < λ_U π_l end without mass; the winners keep theirs."""
    end = solve(L.world, objective(name)).log_policy
    losing = np.asarray(L.world.log_chosen < L.world.log_rejected)
    mass = np.where(losing, np.exp(end), 0.0).sum(-1)
    assert mass.max() < 1e-15
    assert np.where(losing, np.exp(LOG_REF), 0.0).sum(-1).min() > 0.05
    if name == "kto":  # control: where chosen responses count more, none is a loser and the minimum is finite
        assert solve(L.world, make("kto", beta=BETA, desirable=1.3, undesirable=0.7)).log_policy.min() > -10.0


def test_bco_is_dpo_at_one_shift():
    """At δ = -β log Σ π_ref (π_w/π_l)^{1/β}, and there alone."""
    dpo = objective("dpo").minimiser(L.world)
    shift = -BETA * jax.nn.logsumexp(L.world.log_ref + (L.world.log_chosen - L.world.log_rejected) / BETA, -1)
    for x in range(P):
        one = make("bco[running]", beta=BETA, delta=shift[x])
        assert np.abs(both(one, dpo, L.data, L.world)[1][x]).max() < tolerance()
        moved = make("bco[running]", beta=BETA, delta=shift[x] + 0.1)
        assert np.abs(both(moved, dpo, L.data, L.world)[1][x]).max() > 1e-4


def test_robust_reaches_the_target_on_flipped_labels():
    from didsim.samplers import Uniform
    from didsim.worlds.preferences import BradleyTerry, Flipped

    flipped = population(L.world, Uniform(), Flipped(BradleyTerry(), 0.2), L.world.log_ref)
    for smoothing, reaches in ((0.2, True), (0.1, False)):
        got = both(make("robust", beta=BETA, smoothing=smoothing), L.world.log_target, flipped, L.world)[1]
        assert (np.abs(got).max() < tolerance()) == reaches


@pytest.mark.slow
@pytest.mark.parametrize(("name", "gathers"), [("aot", False), ("aot_unpaired", True)])
def test_sorted_margins_by_training(name, gathers):
    """AOT on pairs ends at a law of its own; unpaired, all mass gathers on one response and margins grow for ever."""
    run = train(L.world, OBJECTIVES[name](BETA), steps=8000, optimiser=Adam(0.03, "cosine"), records=2)
    top = np.exp(np.asarray(run.log_policy)).max(-1)
    assert np.all(top > 0.999) if gathers else np.exp(run.log_policy).min() > 1e-6
    assert run.gradient_norm > 1e-9 if gathers else run.gradient_norm < 1e-12
    assert away(run.log_policy) > 1e-5


def test_names_of_other_limits():
    """Numbers decide: a margin takes SimPO's closed form away, no NLL gives CPO one, wide margins are clipped."""
    assert make("simpo").minimiser(L.world) is None
    assert make("simpo[gamma_ratio]").minimiser(L.world) is None
    assert make("alphapo").minimiser(L.world) is None
    assert make("chi-po", reward_bound=0.01).minimiser(L.world) is None
    free = make("cpo", beta=BETA, nll_weight=0.0, smoothing=0.0).minimiser(L.world)
    np.testing.assert_allclose(free, oracles.normalize(np.asarray(L.world.log_target) - LOG_REF), atol=1e-12)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0, 1.3])
def test_divergences_run_from_forward_kl_to_dpo_and_on(alpha):
    found = make("f-dpo[alpha]", beta=2.0, alpha=alpha).minimiser(L.world)
    same = {0.0: make("f-dpo[forward_kl]", beta=2.0), 1.0: make("dpo", beta=2.0)}
    if alpha in same:
        np.testing.assert_allclose(found, same[alpha].minimiser(L.world), atol=1e-9)
    assert np.abs(both(make("f-dpo[alpha]", beta=2.0, alpha=alpha), found, L.data, L.world)[1]).max() < tolerance(condition=100.0)


def test_lambert_by_its_definition():
    x = jnp.linspace(-40.0, 6.0, 47)
    np.testing.assert_allclose(log_lambert(x + jnp.exp(x)), x, rtol=1e-12, atol=1e-12)


def test_a_policy_has_the_reward_it_is_asked_for():
    wanted = jnp.asarray(RNG.standard_normal((P, N)))
    cubed = policy_with_reward(lambda reward: reward**3, wanted)
    back = jnp.cbrt(cubed) - wanted
    np.testing.assert_allclose(back - back.mean(-1, keepdims=True), 0.0, atol=1e-9)


# Sharp laws and missing support, against arithmetic of 1,200 bits.

INVERSES = {
    "f-dpo[forward_kl]": lambda u, p: 1 / -u if u < 0 else None,
    "f-dpo[js]": lambda u, p: 1 / ((-u).exp() - 1) if u < 0 else None,
    "f-dpo[alpha]": lambda u, p: (1 + (p - 1) * u) ** (1 / (p - 1)) if 1 + (p - 1) * u > 0 else None,
    "dpo": lambda u, p: u.exp(),
}


def exact_law(name, world, beta, alpha):
    """``π_ref g⁻¹((log(π_w/π_l) + C)/β)`` with C by bisection; None from ``g⁻¹`` says that C is too large."""
    flint = pytest.importorskip("flint")
    before, flint.ctx.prec = flint.ctx.prec, 1200
    try:
        ref, chosen, rejected = (
            [flint.arb(float(x)) for x in law[0]] for law in (world.log_ref, world.log_chosen, world.log_rejected)
        )
        reward = [w - lost for w, lost in zip(chosen, rejected, strict=True)]
        low, high = flint.arb(-(10**7)), flint.arb(10**7)
        for _ in range(1100):
            middle = ((low + high) / 2).mid()
            mass = [INVERSES[name]((one + middle) / beta, flint.arb(alpha)) for one in reward]
            masses = [None if m is None else m * p.exp() for m, p in zip(mass, ref, strict=True)]
            over = any(m is None for m in masses) or sum(masses, flint.arb(0)) > 1
            low, high = (low, middle) if over else (middle, high)
        return np.array(
            [
                float((INVERSES[name]((one + low) / beta, flint.arb(alpha)) * p.exp()).log())
                for one, p in zip(reward, ref, strict=True)
            ]
        )
    finally:
        flint.ctx.prec = before


SHARP = [[(-25.66, -45.33, 0.0), (-28.39, 0.0, -39.03), (-57.94, -109.95, 0.0)]]
SHARP += [np.random.default_rng(seed).uniform(-scale, 0.0, (3, 4)) for seed, scale in enumerate((3.0, 30.0, 150.0, 500.0))]


@pytest.mark.parametrize(("name", "case", "beta"), sampled(itertools.product(INVERSES, range(len(SHARP)), [1e-3, 0.1, 50.0]), 4))
def test_closed_forms_hold_at_sharp_laws(name, case, beta):
    ref, chosen, rejected = (oracles.normalize(np.array([law])) for law in SHARP[case])
    world = problem(ref, reward=np.zeros(ref.shape), log_chosen=chosen, log_rejected=rejected)
    loss = make(name, beta=beta, **({"alpha": 0.25} if name == "f-dpo[alpha]" else {}))
    got = np.asarray(loss.minimiser(world))[0]
    wanted = exact_law(name, world, beta, 0.25)
    np.testing.assert_allclose(np.exp(got), np.exp(wanted), atol=1e-9)
    np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-9)


def test_a_reward_at_its_lower_end_leaves_no_closed_form():
    """Truncated, the formula is not the minimum: another law lies lower."""
    ref, target = (oracles.normalize(np.array([law])) for law in ((0.0, 1.0, 2.0), (0.0, -4.0, 1.0)))
    world = problem(ref, log_target=target, beta=0.5)
    loss = make("f-dpo[alpha]", beta=0.5, alpha=2.0)
    assert loss.minimiser(world) is None
    assert bool(jnp.isnan(jax.jit(loss.minimiser)(world)).all())
    near = problem(ref, log_target=0.02 * target + 0.98 * ref - np.log(np.exp(0.02 * target + 0.98 * ref).sum()), beta=0.5)
    assert loss.minimiser(near) is not None


ANSWERED = [name for name in FORMULAS if name not in ("rebel", "rlhf", "sft[best_of_k]")]


@pytest.mark.parametrize("name", sampled(ANSWERED, 2))
def test_missing_support_gives_a_law_or_none(name):
    """A response that no pair shows, or that is never rejected, leaves a logistic link without a minimum; else a law."""
    low = -np.inf
    even, none_first = np.log([[1 / 3] * 3]), np.array([[low, np.log(0.4), np.log(0.6)]])
    for chosen, rejected in ((none_first, none_first), (even, none_first), (none_first, even)):
        world = problem(even, reward=np.arange(3.0), log_chosen=chosen, log_rejected=rejected, beta=0.5)
        best = objective(name).minimiser(world)
        assert best is None or not bool(jnp.isnan(best).any())
        if best is not None:
            np.testing.assert_allclose(jax.nn.logsumexp(best, -1), 0.0, atol=tolerance())
            data = population(world, ChosenRejected(), AsShown(), world.log_ref)
            value = both(objective(name), jnp.maximum(best, -600.0), data, world)[0]
            for other in np.random.default_rng(0).standard_normal((20, 1, 3)):
                assert both(objective(name), jnp.maximum(best, -20.0) + other, data, world)[0] > value
    assert objective("dpo").minimiser(problem(even, reward=np.arange(3.0), log_chosen=even, log_rejected=none_first)) is None
