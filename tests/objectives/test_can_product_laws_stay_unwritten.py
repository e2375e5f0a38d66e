"""Can product laws stay unwritten: the numbers of all pairs written out, and exact minima at large N?"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_laws import Drawn
from tolerance import tolerance

import didsim
from didsim import objectives, preferences, samplers, worlds
from didsim.landscape.solvers import entry
from didsim.objectives import comparisons, loss, population, product_population
from didsim.objectives.comparisons import can_stay_product

L = Drawn(
    problem=lambda: worlds.RandomTarget(n=9, prompts=2, beta=0.5).draw(jax.random.key(3)),
    policy=lambda: worlds.RandomTarget(n=9, prompts=2, beta=0.5).draw(jax.random.key(4)).log_target,
)
LAWS = {
    "chosen-rejected": samplers.ChosenRejected(),
    "mixture": samplers.Mix(samplers.Uniform(), samplers.ReferencePairs(), 0.3),
}
LABELS = {"as shown": preferences.AsShown(), "soft": preferences.BradleyTerry(1.5)}
OBJECTIVES = [
    objectives.Dpo(0.5),
    objectives.ConservativeDpo(0.5, 0.2),
    objectives.IpoSum(0.7),
    objectives.Hinge(0.5),
    objectives.Slic(1.0, 0.3),
    objectives.SimPo(0.5, 0.4),
    objectives.Cpo(0.5, 0.2),
    objectives.Orpo(0.3),
    objectives.Dpop(0.5, 2.0),
    objectives.Kto(0.5),
    objectives.Sft(),
    objectives.Rlhf(0.5),
    objectives.RobustDpo(0.5, 0.2),
    objectives.DpoNorm(0.5),
    objectives.OffsetDpo(0.5, 0.3),
    objectives.LengthDpo(0.5, 0.3),
    objectives.IpoTokenMean(0.7),
    objectives.IpoMargin(0.7),
    objectives.Rebel(0.7),
    objectives.AlphaPo(0.5),
    objectives.JensenShannonDpo(0.5),
    objectives.OrpoSum(0.3),
    objectives.BcoBatch(0.5),
    objectives.NcaPair(0.5),
    objectives.Sppo(0.5),
    objectives.ApoZero(0.5),
    objectives.BestOfSft(3),
]
QUICK = 4  # the others share their kernels with one of these, and are taken in the slow run
QUICK_DATA = ("chosen-rejected", "as shown"), ("mixture", "as shown"), ("mixture", "soft")
CASES = [
    pytest.param(o, law, label, marks=() if place < QUICK and (law, label) in QUICK_DATA else pytest.mark.slow)
    for place, o in enumerate(OBJECTIVES)
    for law in LAWS
    for label in LABELS
    if can_stay_product(o, LABELS[label])
]


@jax.jit
def value_and_slope(objective, at, averaged):
    return jax.value_and_grad(lambda at: loss(objective, L.problem, jax.nn.log_softmax(at), averaged))(at)


def _both(objective, law, label):
    sampler, labels = LAWS[law], LABELS[label]
    written = population(L.problem, sampler, labels, L.policy)
    kept = product_population(L.problem, sampler.pair_law(L.problem, L.policy), labels)

    return partial(value_and_slope, objective), written, kept


@pytest.mark.parametrize(("objective", "law", "label"), CASES, ids=lambda c: c if isinstance(c, str) else c.name)
def test_value_and_gradient_equal_all_pairs(objective, law, label):
    evaluate, written, kept = _both(objective, law, label)
    (one, slope), (other, other_slope) = evaluate(L.policy, written), evaluate(L.policy, kept)
    assert abs(one - other) <= tolerance(condition=1.0 + abs(float(one)))
    np.testing.assert_allclose(slope, other_slope, atol=tolerance(condition=1.0 + float(jnp.abs(slope).max())))


def test_the_comparison_can_fail():
    evaluate, written, kept = _both(objectives.Dpo(0.5), "mixture", "soft")
    spoiled = kept.__class__(**{**{f: getattr(kept, f) for f in kept.__dataclass_fields__}, "first_wins": kept.first_wins * 1.01})
    assert abs(evaluate(L.policy, written)[0] - evaluate(L.policy, spoiled)[0]) > 1e-4


@pytest.mark.parametrize("objective", [o for o in OBJECTIVES if o.pair_link().terms], ids=lambda o: o.name)
def test_kernel_sums_are_the_links_they_stand_for(objective):
    margin = jnp.linspace(-7.0, 7.0, 41)
    as_sum = objective.pair_link()
    kernels = {
        "log_sigmoid": jax.nn.log_sigmoid,
        "square": jnp.square,
        "hinge": lambda d: jnp.maximum(d, 0.0),
    }
    total = sum(t.scale * kernels[t.kernel](t.sign * margin + t.shift) for t in as_sum.terms)
    np.testing.assert_allclose(total, objective.link(margin), atol=1e-13)
    if as_sum.odd_slope is not None:
        odd = objective.link(margin) - objective.link(-margin)
        np.testing.assert_allclose(odd, -as_sum.odd_slope * margin, atol=1e-12)


def test_which_laws_stay_products():
    assert not can_stay_product(objectives.ExoPair(0.5), preferences.AsShown())
    assert not can_stay_product(objectives.DiscoPop(0.5), preferences.AsShown())
    assert not can_stay_product(objectives.ChiPo(0.5), preferences.AsShown())
    assert can_stay_product(objectives.Rebel(0.5), preferences.BradleyTerry())
    assert not can_stay_product(objectives.SimPo(0.5, 0.5), preferences.BradleyTerry())
    assert not can_stay_product(objectives.Dpop(0.5), preferences.BradleyTerry())
    assert not can_stay_product(objectives.Hinge(0.5, 0.1), preferences.AsShown())
    assert not can_stay_product(objectives.Dpo(0.5), preferences.Hard(preferences.BradleyTerry()))


@pytest.mark.parametrize("label", LABELS)
def test_metrics_do_not_depend_on_how_pairs_are_kept(label):
    _, written, kept = _both(objectives.Dpo(0.5), "mixture", label)
    measure = jax.jit(didsim.dynamics.metrics.measure)
    one, other = (measure(L.problem, objectives.Dpo(0.5), L.policy, c) for c in (written, kept))
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_allclose(one[name], other[name], atol=1e-12, err_msg=name)


@pytest.mark.slow
def test_very_many_soft_pairs_leave_accuracy_out(monkeypatch):
    _, _, kept = _both(objectives.Dpo(0.5), "mixture", "soft")
    monkeypatch.setattr(comparisons, "FEW", 4)
    assert "accuracy" not in didsim.dynamics.metrics.measure(L.problem, objectives.Dpo(0.5), L.policy, kept)


@pytest.mark.parametrize(
    "objective",
    [
        objectives.Dpo(0.5),
        pytest.param(objectives.IpoSum(0.7), marks=pytest.mark.slow),
        pytest.param(objectives.Cpo(0.5, 0.2), marks=pytest.mark.slow),
    ],
    ids=lambda o: o.name,
)
@pytest.mark.parametrize("label", [pytest.param("as shown", marks=pytest.mark.slow), "soft"])
def test_newton_cg_finds_newtons_minimum(objective, label, monkeypatch):
    sampler, labels = LAWS["mixture"], LABELS[label]
    newton = didsim.solve(L.problem, objective, sampler, labels)
    monkeypatch.setattr(entry, "LARGEST_DENSE", 4)
    krylov = didsim.solve(L.problem, objective, sampler, labels)
    np.testing.assert_array_equal(krylov.status, didsim.Status.CONVERGED)
    np.testing.assert_allclose(krylov.log_policy, newton.log_policy, atol=1e-9)
    np.testing.assert_allclose(krylov.value, newton.value, rtol=1e-13)


def test_large_problems_that_cannot_be_solved_say_so():
    big = worlds.RandomTarget(n=3000).draw(jax.random.key(0))
    with pytest.raises(didsim.ArgumentError, match="at most 2048 responses for hinge"):
        didsim.solve(big, objectives.Hinge(0.5))


@pytest.mark.slow
def test_ten_thousand_responses_reach_the_target():
    big = worlds.RandomTarget(n=10_000, beta=0.5).draw(jax.random.key(0))
    best = didsim.solve(big, objectives.Dpo(0.5))
    assert float(didsim.numerics.simplex.jsd(best.log_policy, big.log_target)[0]) < 1e-20
    assert int(best.status[0]) == didsim.Status.CONVERGED


@pytest.mark.slow
def test_a_million_responses():
    """Exact minimiser with gradient norm below 1e-12, and 200 exact training steps (K1, K3)."""
    big = worlds.RandomTarget(n=1_000_000, beta=0.5).draw(jax.random.key(0))
    best = didsim.solve(big, objectives.Dpo(0.5))
    law = product_population(big, samplers.ChosenRejected().pair_law(big, big.log_ref), preferences.AsShown())
    slope = jax.grad(lambda x: loss(objectives.Dpo(0.5), big, jax.nn.log_softmax(x), law))(best.log_policy)
    assert float(jnp.linalg.norm(slope)) <= 1e-12
    run = didsim.train(big, objectives.Dpo(0.5), steps=200, records=5)
    assert run.metrics["loss"][-1] < run.metrics["loss"][0]
    assert np.all(np.isfinite(run.log_policy))
