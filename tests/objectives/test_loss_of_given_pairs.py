"""`pair_losses`: the batch of a trainer against the oracles of single pairs, its contracts, and what it refuses."""

import itertools

import jax
import jax.numpy as jnp
import loss_oracles as oracle
import numpy as np
import pytest
from objective_cases import NUMBERS, make, with_slopes
from sampling import picked, sampled
from tolerance import tolerance

import didsim
from didsim.numerics.checks import ArgumentError
from didsim.objectives import OBJECTIVES, Dpo, PairLosses, Sft, UnderDivergence, WeightedSum, loss, population
from didsim.samplers import ChosenRejected
from didsim.worlds.preferences import AsShown

M = 6
RNG = np.random.default_rng(21)
POLICY, REF = -RNG.uniform(1.0, 9.0, (2, 2, M))
LENGTHS = RNG.integers(1, 6, (2, M)).astype(float)
REWARDS, WINS = RNG.standard_normal((2, M)), RNG.uniform(size=(2, M))
PROMPTS, PROMPT_LENGTHS = -RNG.uniform(1.0, 9.0, M), RNG.integers(1, 4, M).astype(float)
KL = 0.4
PAIRS = (*POLICY, *REF)
MORE = {
    **{f"{role}_lengths": LENGTHS[i] for i, role in enumerate(("chosen", "rejected"))},
    **{f"{role}_rewards": REWARDS[i] for i, role in enumerate(("chosen", "rejected"))},
    **{f"{role}_win_rates": WINS[i] for i, role in enumerate(("chosen", "rejected"))},
    "kl": KL,
    "policy_prompts": PROMPTS,
    "prompt_lengths": PROMPT_LENGTHS,
}
each_objective = pytest.mark.parametrize("name", sorted(oracle.PAIRS))


def constant(name):
    if name in oracle.TOKEN_MEAN:
        return LENGTHS[0].mean() + (PROMPT_LENGTHS.mean() if name == "orpo[prompt]" else 0.0)
    if name == "bco[batch]":
        return NUMBERS[name]["beta"] * (POLICY - REF).mean()
    return KL


def by_hand(name):
    """Losses and slopes, pair by pair."""
    columns = [
        [oracle.Seen(*x) for x in zip(POLICY[i], (POLICY - REF)[i], LENGTHS[i], REWARDS[i], WINS[i], strict=True)] for i in (0, 1)
    ]
    more = [{"prompt": x} if name == "orpo[prompt]" else {} for x in PROMPTS]
    rows = [
        oracle.PAIRS[name](*pair, constant(name), **NUMBERS[name], **extra) for *pair, extra in zip(*columns, more, strict=True)
    ]
    return [np.array(column) for column in zip(*rows, strict=True)]


@each_objective
def test_every_objective_by_hand(name):
    """Losses, mean and slopes in both log-probabilities; a NumPy array, a JAX array and a list are the same."""
    losses, *slopes = by_hand(name)
    got = didsim.pair_losses(name, *PAIRS, **MORE, **NUMBERS[name])
    slack = tolerance(condition=200.0)
    np.testing.assert_allclose(got.losses, losses, atol=slack, rtol=slack)
    np.testing.assert_allclose(got.mean, losses.mean(), atol=slack, rtol=slack)
    found = jax.jit(jax.grad(lambda c, r: didsim.pair_losses(make(name), c, r, *REF, **MORE).mean, argnums=(0, 1)))(*POLICY)
    np.testing.assert_allclose(found, np.array(slopes) / M, atol=slack, rtol=slack)
    listed = didsim.pair_losses(name, *(x.tolist() for x in PAIRS), **MORE, **NUMBERS[name])
    np.testing.assert_array_equal(listed.losses, got.losses)


@each_objective
def test_roles_and_references_matter(name):
    """Control: with chosen and rejected exchanged it is another loss."""
    swapped = didsim.pair_losses(name, *POLICY[::-1], *REF[::-1], **MORE, **NUMBERS[name]).losses
    assert np.abs(swapped - by_hand(name)[0]).max() > 1e-3


@pytest.mark.parametrize(
    "name", picked(["dpo", "simpo", "bco[batch]", "sft[token_mean]", "kto", "aot", "f-dpo[alpha]"], ["simpo", "kto"])
)
def test_single_precision_shapes_and_batches(name):
    numbers = NUMBERS.get(name, {"beta": 0.8})
    arrays = {key: np.asarray(value, np.float32) for key, value in MORE.items()}
    got = didsim.pair_losses(name, *(np.asarray(x, np.float32) for x in PAIRS), **arrays, **numbers)
    wide = didsim.pair_losses(name, *PAIRS, **MORE, **numbers)
    assert got.losses.dtype == got.mean.dtype == got.chosen_rewards.dtype == np.float32
    np.testing.assert_allclose(got.losses, wide.losses, rtol=tolerance(np.float32), atol=tolerance(np.float32))
    square = {key: np.reshape(value, (2, 3)) if np.ndim(value) else value for key, value in MORE.items()}
    again = didsim.pair_losses(name, *(x.reshape(2, 3) for x in PAIRS), **square, **numbers)
    np.testing.assert_array_equal(again.losses, wide.losses.reshape(2, 3))
    stacked = [jnp.stack([x, 0.9 * x]) for x in PAIRS]
    many = jax.vmap(lambda *x: didsim.pair_losses(name, *x, **MORE, **numbers))(*stacked)
    alone = didsim.pair_losses(name, *(x[1] for x in stacked), **MORE, **numbers)
    np.testing.assert_allclose(many.losses[1], alone.losses, rtol=1e-12)
    assert isinstance(many, PairLosses)


def test_sorted_losses_by_hand():
    """AOT sorts the batch, smoothed as trainers do; one pair alone is DPO."""
    for smoothing in (0.0, 0.2):
        paired = np.sort(POLICY[0] - POLICY[1]) - np.sort(REF[0] - REF[1])
        alone = np.sort((POLICY - REF)[0]) - np.sort((POLICY - REF)[1])
        for name, gaps in (("aot", paired), ("aot_unpaired", alone)):
            value = np.mean([oracle.smoothed(0.8 * gap, smoothing)[0] for gap in gaps])
            got = didsim.pair_losses(name, *PAIRS, beta=0.8, smoothing=smoothing)
            np.testing.assert_allclose(got.losses, value, rtol=1e-12)
    one = [x[:1] for x in PAIRS]
    np.testing.assert_allclose(didsim.pair_losses("aot", *one, beta=0.8).mean, didsim.pair_losses("dpo", *one, beta=0.8).mean)


def test_rewards_and_accuracy():
    got = didsim.pair_losses("dpo", *PAIRS, beta=0.3)
    np.testing.assert_allclose(got.chosen_rewards, 0.3 * (POLICY - REF)[0])
    np.testing.assert_allclose(got.rejected_rewards, 0.3 * (POLICY - REF)[1])
    assert got.accuracy == np.mean((POLICY - REF)[0] > (POLICY - REF)[1])
    tied = didsim.pair_losses("dpo", [-1.0], [-1.0], [-2.0], [-2.0])
    assert tied.accuracy == 0.0
    np.testing.assert_allclose(didsim.pair_losses("kto", *PAIRS, kl=KL, beta=0.3).chosen_rewards, got.chosen_rewards)


def test_weights_are_factors_of_the_losses():
    """WPO's: the mean divides by the number of pairs; a pair of weight 0 has no slope however wrong it is."""
    weights = RNG.uniform(size=M)
    plain, weighted = didsim.pair_losses("dpo", *PAIRS), didsim.pair_losses("dpo", *PAIRS, weights=weights)
    np.testing.assert_allclose(weighted.losses, weights * plain.losses)
    np.testing.assert_allclose(weighted.mean, np.mean(weights * plain.losses))
    out = jax.grad(lambda c: didsim.pair_losses("f-dpo[forward_kl]", c, [-1.0], [-1.0], [-1.0], weights=[0.0]).mean)
    assert out(jnp.array([-1000.0])) == 0.0


def test_examples_that_are_no_pairs():
    """Unpaired losses of unequal counts: each kind its own mean, or one mean over all examples."""
    few = POLICY[1][:2], REF[1][:2]
    got = didsim.pair_losses("kto", POLICY[0], few[0], REF[0], few[1], kl=KL, **NUMBERS["kto"])
    beta, up, down = (NUMBERS["kto"][key] for key in ("beta", "desirable", "undesirable"))
    chosen = [up * (1 - oracle.sigmoid(beta * (x - KL))) for x in (POLICY - REF)[0]]
    rejected = [down * (1 - oracle.sigmoid(beta * (KL - x))) for x in few[0] - few[1]]
    np.testing.assert_allclose(got.losses, chosen + rejected, rtol=1e-12)
    np.testing.assert_allclose(got.mean, np.mean(chosen) + np.mean(rejected), rtol=1e-12)
    assert np.isnan(got.accuracy)
    mean = didsim.pair_losses("kto[example_mean]", POLICY[0], few[0], REF[0], few[1], kl=KL, **NUMBERS["kto"]).mean
    np.testing.assert_allclose(mean, np.mean(chosen + rejected), rtol=1e-12)


def test_an_estimated_divergence_below_zero_is_zero_and_held_still():
    kto = [didsim.pair_losses("kto", *PAIRS, kl=kl).mean for kl in (-0.7, 0.0, 0.7)]
    assert kto[0] == kto[1] != kto[2]
    assert jax.grad(lambda kl: didsim.pair_losses("kto", *PAIRS, kl=kl).mean)(0.7) == 0.0


def test_weighted_sums():
    """RPO by hand, in a batch and as a population that is trained."""
    rpo = WeightedSum((Dpo(beta=0.3), Sft()), (1.0, 0.25))
    got = didsim.pair_losses(rpo, *PAIRS)
    wanted = didsim.pair_losses("dpo", *PAIRS, beta=0.3).losses - 0.25 * POLICY[0]
    np.testing.assert_allclose(got.losses, wanted, rtol=1e-12)
    world = didsim.worlds.RandomTarget(n=4, beta=0.5).draw(jax.random.key(0))
    run = didsim.train(world, rpo, steps=20)
    shown = population(world, ChosenRejected(), AsShown(), world.log_ref)
    parts = [loss(part, world, world.log_ref, shown) for part in rpo.parts]
    np.testing.assert_allclose(run.metrics["loss"][0], parts[0] + 0.25 * parts[1], rtol=1e-9)
    with pytest.raises(ArgumentError, match="Argument `weights` must be as many numbers as there are parts"):
        WeightedSum((Dpo(),), (1.0, 2.0))


# Reward over β and its slope, 0 at the reference (2309.16240).
BENT = {
    "f-dpo[forward_kl]": ({}, lambda x: 1 - np.exp(-x), lambda x: np.exp(-x)),
    "f-dpo[js]": ({}, lambda x: np.log(2) + oracle.log_sigmoid(x), lambda x: oracle.sigmoid(-x)),
    "f-dpo[alpha]": ({"alpha": 0.3}, lambda x: (np.exp(-0.7 * x) - 1) / -0.7, lambda x: np.exp(-0.7 * x)),
    "f-dpo[alpha_authors]": ({"alpha": 0.6}, lambda x: (1 - np.exp(-0.6 * x)) / 0.6, lambda x: np.exp(-0.6 * x)),
}
UNDER = ["dpo", "dpo_norm", "hinge", "ipo[token_mean]", "exo_pair", "robust", "discopop"]


@pytest.mark.parametrize(("name", "divergence"), sampled(itertools.product(UNDER, BENT), 5))
def test_other_losses_under_other_divergences(name, divergence):
    """The loss's own oracle at bent log-ratios, its slopes by the chain rule; the part alone is another loss."""
    numbers, bend, slope = BENT[divergence]
    kind = UnderDivergence(make(name), OBJECTIVES[divergence](beta=0.3, **numbers))
    rows = []
    for i in range(M):
        ratios = (POLICY - REF)[:, i] / 4  # so that the exponentials stay of ordinary size
        won, lost = (oracle.Seen(0.0, bend(x), n) for x, n in zip(ratios, LENGTHS[:, i], strict=True))
        value, *slopes = oracle.PAIRS[name](won, lost, KL, **NUMBERS[name])
        rows.append((value, *(s * slope(x) for s, x in zip(slopes, ratios, strict=True))))
    losses, *slopes = np.array(rows).T
    chosen, rejected = (POLICY - REF) / 4
    lengths = {f"{role}_lengths": LENGTHS[i] for i, role in enumerate(("chosen", "rejected"))}
    none = np.zeros(M)

    def mean(c, r):
        return didsim.pair_losses(kind, c, r, none, none, **lengths).mean

    slack = tolerance(condition=200.0)
    got = didsim.pair_losses(kind, chosen, rejected, none, none, **lengths).losses
    np.testing.assert_allclose(got, losses, atol=slack, rtol=slack)
    found = jax.jit(jax.grad(mean, argnums=(0, 1)))(chosen, rejected)
    np.testing.assert_allclose(found, np.array(slopes) / M, atol=slack, rtol=slack)
    plain = didsim.pair_losses(make(name), chosen, rejected, none, none, **lengths).losses
    assert np.abs(got - plain).max() > 1e-3


@pytest.mark.parametrize(("divergence", "name", "dtype"), sampled(itertools.product(BENT, UNDER, [np.float32, np.float64]), 5))
def test_bent_log_ratios_of_a_thousand_give_no_nan(divergence, name, dtype):
    far = jnp.asarray([-1000.0, -1000.0, 1000.0, 1000.0], dtype), jnp.asarray([-1000.0, 1000.0, -1000.0, 1000.0], dtype)
    more = {key: jnp.ones(4, dtype) for key in ("ref_chosen", "ref_rejected", "chosen_lengths", "rejected_lengths")}
    kind = UnderDivergence(make(name), OBJECTIVES[divergence](**BENT[divergence][0]))

    @jax.jit
    def losses_and_slopes(*far):
        return with_slopes(lambda c, r: didsim.pair_losses(kind, c, r, **more).losses, *far)

    losses, slopes = losses_and_slopes(*far)
    assert losses.dtype == dtype
    assert not np.any(np.isnan(losses))
    assert not np.any(np.isnan(slopes))
    # An infinite loss is one of a chosen response that is too unlikely, or of a rejected one, or of both.
    worst = np.isinf(losses) & (np.asarray(far[0]) < 0)
    assert np.all(np.asarray(slopes[0])[worst & (np.asarray(far[1]) > 0)] < 0)


@pytest.mark.parametrize("part", ["kto", "simpo", "apo_down", "cpo", "aot", "bco[batch]"])
def test_only_margins_of_log_ratios_are_bent(part):
    with pytest.raises(ArgumentError, match="Argument `part` must be an objective of margins of log-ratios alone, but is "):
        UnderDivergence(make(part) if part in NUMBERS else OBJECTIVES[part](), make("f-dpo[js]"))
    with pytest.raises(ArgumentError, match=r"Argument `divergence` must be one of .*, but is 'dpo'\."):
        UnderDivergence(Dpo(), Dpo())


NOT_THERE = ("ref_rejected", "rejected_lengths", "rejected_rewards", "rejected_win_rates")
REFUSED = [
    ("no such", {}, "Argument `objective` must be one of"),
    ("rlhf", {}, "Argument `objective` must be a loss of pairs, but 'rlhf' is one of whole laws."),
    ("sft[best_of_k]", {}, "Argument `objective` must be a loss of pairs"),
    ("dpo", {"betta": 0.1}, "Argument `betta` must be a number of objective 'dpo', which has beta."),
    ("dpo", {"beta": -1.0}, "Argument `beta` must be positive and finite, but is -1."),
    ("dpo", {"ref_chosen": None}, "Argument `ref_chosen` must be given for objective 'dpo'."),
    ("dpo", {"policy_rejected": None}, "Argument `policy_rejected` must be given for objective 'dpo'."),
    ("dpo", dict.fromkeys(NOT_THERE) | {"policy_rejected": POLICY[1][:2]}, "Argument `policy_rejected` must be in pairs"),
    ("dpo", {"ref_chosen": REF[0][:2]}, "Argument `ref_chosen` must have the shape of `policy_chosen`"),
    ("dpo", {"policy_chosen": [np.nan] * M}, "Argument `policy_chosen` must be finite, but is nan at index 0."),
    ("dpo", {"policy_chosen": []}, "Argument `policy_chosen` must hold at least one number, but is empty."),
    ("dpo", {"policy_chosen": ["a"] * M}, "Argument `policy_chosen` must be a number or an array of numbers"),
    ("dpo", {"weights": [-1.0] * M}, "Argument `weights` must be finite and at least 0, but is -1 at index 0."),
    ("aot", {"weights": [1.0] * M}, "Argument `weights` must be left out for objective 'aot'"),
    ("kto", {"kl": None}, "Argument `kl` must be given for objective 'kto'."),
    ("rebel", {"chosen_rewards": None}, "Argument `chosen_rewards` must be given for objective 'rebel'."),
    ("odpo[gap]", {"rejected_rewards": None}, "Argument `rejected_rewards` must be given for objective 'odpo[gap]'."),
    ("sppo", {"chosen_win_rates": None}, "Argument `chosen_win_rates` must be given for objective 'sppo'."),
    ("sppo", {"chosen_win_rates": [1.5] * M}, "Argument `chosen_win_rates` must be in [0, 1], but is 1.5 at index 0."),
    ("kto", {"kl": [0.1, 0.2]}, f"Argument `kl` must have the shape of `policy_chosen`, ({M},), but has (2,)."),
    ("dpo", {"weights": [1.0, 2.0]}, f"Argument `weights` must have shape ({M},), but has shape (2,)."),
    ("dpo", {"policy_chosen": np.ma.array([-1.0] * M, mask=True)}, "Argument `policy_chosen` must be a number or an array of"),
    ("dpo", {"policy_chosen": [True] * M}, "Argument `policy_chosen` must be a number or an array of numbers"),
    ("dpo", {"policy_chosen": np.full(M, -1j)}, "Argument `policy_chosen` must be a number or an array of numbers"),
    ("dpo", {"policy_chosen": [[-1.0, -2.0], [-3.0]]}, "Argument `policy_chosen` must be a number or an array of numbers"),
    ("dpo", {"policy_chosen": POLICY[:1]}, "Argument `ref_chosen` must have the shape of `policy_chosen`"),
    ("dpo", {"policy_chosen": np.zeros((M, 0))}, "Argument `policy_chosen` must hold at least one number, but is empty."),
    ("simpo", {"policy_chosen": -POLICY[0]}, "Argument `policy_chosen` must be in [-inf, 0], but is "),
    ("orpo", {"policy_rejected": -POLICY[1]}, "Argument `policy_rejected` must be in [-inf, 0], but is "),
    ("orpo[prompt]", {"policy_prompts": -PROMPTS}, "Argument `policy_prompts` must be in [-inf, 0], but is "),
    ("orpo[prompt]", {"prompt_lengths": None}, "Argument `prompt_lengths` must be given for objective 'orpo[prompt]'."),
]
DIVIDED = ["dpo_norm", "r-dpo", "ipo[token_mean]", "ipo[reference_free]", "simpo", "simpo[gamma_ratio]", "alphapo", "orpo"]
DIVIDED += ["cpo-simpo", "orpo[prompt]"]
REFUSED += [(name, {"rejected_lengths": None}, "Argument `rejected_lengths` must be given") for name in DIVIDED]
REFUSED += [
    (name, {"chosen_lengths": [0.0] * M}, "Argument `chosen_lengths` must be finite and at least 1, but is 0 at index 0.")
    for name in [*DIVIDED, "sft[token_mean]", "cpo[token_mean]"]
]


@pytest.mark.parametrize(("name", "changed", "message"), REFUSED)
def test_what_is_missing_or_meaningless_is_refused(name, changed, message):
    arguments = dict(zip(("policy_chosen", "policy_rejected", "ref_chosen", "ref_rejected"), PAIRS, strict=True)) | MORE
    with pytest.raises(ArgumentError) as raised:
        didsim.pair_losses(name, **{**arguments, **changed})
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)


def test_reference_free_losses_ask_for_no_reference():
    """And those that look at it are not called reference-free."""
    for name in OBJECTIVES:
        if not OBJECTIVES[name].of_pairs:
            with pytest.raises(ArgumentError, match="is one of whole laws"):
                didsim.pair_losses(name, *PAIRS, **MORE)
        elif OBJECTIVES[name].reference_free:
            didsim.pair_losses(name, *POLICY, **MORE)
        else:
            with pytest.raises(ArgumentError, match="Argument `ref_"):
                didsim.pair_losses(name, *POLICY, **MORE)
