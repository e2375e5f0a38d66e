"""What do better responses, and more of them, do to the first steps?  Claims S8 to S10."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from didsim import objectives, samplers
from didsim.claims.arithmetic import gaps
from didsim.claims.ledger import claim
from didsim.claims.statements.conditions import BRADLEY_TERRY, above, capped, odds_of, off, reach, same, sets, zero
from didsim.claims.statements.d_learning import pair_slope
from didsim.claims.statements.one_prompt import labelled, shown, slope, world
from didsim.claims.variables import between, law, real, whole
from didsim.landscape import signal
from didsim.numerics import simplex
from didsim.worlds import preferences

PAIRS = {"ref": law(), "reward": real(), "joint": law("n", "n"), "odds": real("n", "n"), "beta": between(0.2, 5.0)}
TWO_LEVELS = {"reward": real(), "good": whole(0, 1, "n"), "gap": between(0.05, 6.0)}


def _signal(m, joint, margins):
    """``½ E_μ[m tanh(m/2)]``, by hand."""
    return (joint * margins * m.tanh(margins / 2)).sum(-1).sum(-1) / 2


def _first_gradient_exact(m, v):
    joint = m.law(v["joint"].reshape(-1)).reshape(v["joint"].shape)
    away = pair_slope(m, joint, odds_of(v["odds"]), v["beta"] * gaps(v["policy"] - v["ref"]))
    return -(away * v["reward"]).sum() - _signal(m, joint, gaps(v["reward"]))


@claim(
    "S8.signal",
    "At the reference the first gradient points to the target with the spread of reward gaps that the sampler shows.",
    "⟨-∇L, θ*⟩ = ½ E_μ[m* tanh(m*/2)]",
    source="paper B, made exact",
    proof="At margin zero the pull is σ(m*) - ½ = ½ tanh(m*/2); its product with m* is the pair's share.",
    given=PAIRS | {"policy": law()},
    hypotheses=(BRADLEY_TERRY, same("training is at the reference", "policy", "ref")),
    exact=_first_gradient_exact,
)
def _first_gradient(v):
    odds = odds_of(v["odds"])
    problem = world(v["ref"], v["beta"], reward=v["reward"])
    away = slope(objectives.Dpo(v["beta"]), problem, shown(v["joint"]), labelled(odds), v["policy"])
    pull = -jnp.sum(away * v["reward"]) / v["beta"]
    margins = gaps(v["reward"])
    pairs = jax.nn.softmax(v["joint"].reshape(-1)).reshape(v["joint"].shape)
    wanted = 0.5 * jnp.sum(pairs * margins * jnp.tanh(0.5 * margins))
    told = signal.first_gradient_signal(shown(v["joint"]).pair_law(problem, problem.log_ref), problem.reward)[0]
    scale = (1.0 + v["beta"]) * (1.0 + reach(v["ref"], v["policy"])) * (1.0 + reach(v["reward"]))
    return jnp.maximum(off(pull, wanted, scale), off(told, wanted, scale))


def _two_level(m, share, gap):
    return share * (1 - share) * gap * m.tanh(gap / 2)


def _levels(m, v):
    return v["gap"] * v["good"] + v["reward"] * 0


def _levels_exact(m, v):
    joint = m.law(v["base"])[:, None] * m.law(v["base"])[None, :] * m.exp(v["odd"])
    share = (m.law(v["base"]) * v["good"]).sum()
    return _signal(m, joint / joint.sum(), gaps(v["reward"])) - _two_level(m, share, v["gap"])


@claim(
    "S9.two-levels",
    "With a share ε of good responses in independent draws the first signal is ε(1-ε) times a function of the gap.",
    "signal = ε(1-ε) g tanh(g/2)",
    source="paper B, with its boundary",
    needs_double=True,
    proof="Only mixed pairs have a gap, and a share 2ε(1-ε) of the pairs is mixed; put it into S8.",
    given=TWO_LEVELS | {"base": law(), "odd": real("n", "n")},
    hypotheses=(
        sets("there are two reward levels", reward=_levels),
        zero("the two draws are independent", "odd"),
    ),
    exact=_levels_exact,
)
def _levels_signal(v):
    law_ = jax.nn.softmax(v["base"])
    pairs = law_[:, None] * law_[None, :] * jnp.exp(v["odd"])
    problem = world(v["base"], jnp.ones(()), reward=v["reward"])
    away = slope(objectives.Dpo(1.0), problem, shown(jnp.log(pairs)), preferences.BradleyTerry(), problem.log_ref[0])
    share = jnp.sum(law_ * v["good"])
    wanted = share * (1.0 - share) * v["gap"] * jnp.tanh(v["gap"] / 2.0)
    told = signal.two_level_signal(share, share, v["gap"])
    scale = (1.0 + reach(v["base"])) * (1.0 + reach(v["reward"]) + v["gap"])
    return jnp.maximum(off(-jnp.sum(away * v["reward"]), wanted, scale), off(told, wanted, scale))


def _rises(m, v):
    """How much signal the smaller share has over the larger, which must not be positive."""
    return _two_level(m, v["low"], v["gap"]) - _two_level(m, v["high"], v["gap"])


def _ordered_shares(m, v):
    return m.smaller(v["low"], v["high"])


def _signal_of_share(share, gap):
    base = jnp.stack([jnp.log(share), jnp.log1p(-share)])
    problem = world(base, jnp.ones(()), reward=jnp.stack([gap, 0.0 * gap]))
    away = slope(objectives.Dpo(1.0), problem, samplers.ReferencePairs(), preferences.BradleyTerry(), problem.log_ref[0])
    return -jnp.sum(away * problem.reward[0])


claim(
    "S9.peak",
    "More good responses raise the first signal up to a share of one half; beyond, they lower it.",
    "ε ≤ ε' ≤ ½  ⇒  signal(ε) ≤ signal(ε')",
    source="paper B, with its boundary",
    proof="ε(1-ε) rises up to ½.",
    given={"low": between(0.01, 0.99), "high": between(0.01, 0.99), "gap": between(0.05, 6.0)},
    hypotheses=(
        capped("the share stays below one half", "high", 0.5),
        sets("the second share is the larger", low=_ordered_shares),
    ),
    exact=_rises,
    kind="inequality",
)(lambda v: above(_signal_of_share(v["low"], v["gap"]), _signal_of_share(v["high"], v["gap"]), 1.0 + v["gap"]))


def _one_sided(m, base, share, gap):
    return (base + share * (1 - 2 * base)) * gap * m.tanh(gap / 2) / 2


def _against_base(base, share, gap):
    laws = [jnp.stack([jnp.log(one), jnp.log1p(-one)])[None] for one in (base, share)]
    problem = world(laws[0][0], jnp.ones(()), reward=jnp.stack([gap, 0.0 * gap]))
    sampler = samplers.Product(*laws)
    away = slope(objectives.Dpo(1.0), problem, sampler, preferences.BradleyTerry(), problem.log_ref[0])
    return -jnp.sum(away * problem.reward[0])


@claim(
    "S9.one-sided",
    "Improving one side against a weak base always raises the first signal; against a strong base it lowers it.",
    "signal = ½[ε₀ + ε(1-2ε₀)] g tanh(g/2) rises with ε iff ε₀ < ½",
    source="derived",
    proof="Mixed pairs have the share ε(1-ε₀) + ε₀(1-ε), whose slope in ε is 1 - 2ε₀.",
    given={
        "base": between(0.01, 0.99),
        "low": between(0.01, 0.99),
        "high": between(0.01, 0.99),
        "gap": between(0.05, 6.0),
    },
    hypotheses=(
        capped("less than half of the base is good", "base", 0.5),
        sets("the second share is the larger", low=_ordered_shares),
    ),
    exact=lambda m, v: _one_sided(m, v["base"], v["low"], v["gap"]) - _one_sided(m, v["base"], v["high"], v["gap"]),
    kind="inequality",
)
def _one_sided_rises(v):
    signals = [_against_base(v["base"], share, v["gap"]) for share in (v["low"], v["high"])]
    wanted = 0.5 * (v["base"] + v["low"] * (1.0 - 2.0 * v["base"])) * v["gap"] * jnp.tanh(v["gap"] / 2.0)
    told = signal.two_level_signal(v["base"], v["low"], v["gap"])
    apart = jnp.maximum(off(signals[0], wanted, 1.0 + v["gap"]), off(told, wanted, 1.0 + v["gap"]))
    return jnp.maximum(above(signals[0], signals[1], 1.0 + v["gap"]), apart)


def _best_of(base, reward, k):
    problem = world(base, jnp.ones(()), reward=reward)
    return samplers.BestOf(samplers.FromReference(), k).log_law(problem, problem.log_ref)[0]


def _best_exact(m, v):
    """Best of two draws, by listing all draws; ties go to either."""
    mass, n = m.law(v["base"]), v["reward"].shape[-1]
    won = [mass[0] * 0 for _ in range(n)]
    for a, b in itertools.product(range(n), repeat=2):
        chance = mass[a] * mass[b]
        tie = v["reward"][a] == v["reward"][b]
        ahead = v["reward"][a] > v["reward"][b]
        won[a] = won[a] + (chance / 2 if tie else chance if ahead else chance * 0)
        won[b] = won[b] + (chance / 2 if tie else chance * 0 if ahead else chance)
    return won


@claim(
    "S10.best-of-k",
    "The best of K draws has the law F^K - F⁻^K over reward levels, and the base law within a level.",
    "Pr(y) = [F(y)^K - F(y⁻)^K] π(y)/π(level of y)",
    source="standard",
    proof="The best is at or below a level exactly if all K draws are.",
    given={"base": law(), "reward": real(), "ties": whole(0, 1), "k": whole(1, 5)},
    hypotheses=(
        sets("as many draws are listed", k=lambda m, v: v["k"] * 0 + 3),
        sets("no two rewards are equal", needed=False, reward=lambda m, v: _untied(m, v["reward"])),
    ),
    share=0.2,
    other_sizes=(2, 10),
)
def _listed(v):
    mass, n = jax.nn.softmax(v["base"]), v["reward"].shape[-1]
    places = np.array(list(itertools.product(range(n), repeat=3)))
    chance, score = mass[places].prod(-1), v["reward"][places]
    first = score == score.max(-1, keepdims=True)
    share = chance[:, None] * first / first.sum(-1, keepdims=True)
    won = jnp.zeros(n).at[places.reshape(-1)].add(share.reshape(-1))
    return off(jnp.exp(_best_of(v["base"], v["reward"], v["k"])), won, 4.0)


def _untied(m, reward):
    """Rewards on whole numbers, ties broken by tiny steps in the order of the responses."""
    return _rounded(m, reward) + np.arange(reward.shape[-1]) * 0.01


@claim(
    "S10.divergence",
    "The best of K draws stays within log K - (K-1)/K of the base law, for fractional K as well.",
    "KL(best of K‖π) ≤ log K - (K-1)/K",
    source="standard",
    proof=(
        "With continuous rewards the density ratio is K F^{K-1}, whose mean log is log K - (K-1)/K; ties only lose information."
    ),
    given={"base": law(), "reward": real(), "k": between(1.0, 64.0), "extra": real()},
    hypotheses=(
        zero("the law is that of the best draw", "extra"),
        sets("K is a whole number", needed=False, k=lambda m, v: _rounded(m, v["k"])),
    ),
    kind="inequality",
)
def _best_divergence(v):
    chosen = simplex.normalize(_best_of(v["base"], v["reward"], v["k"]) + v["extra"])
    most = jnp.log(v["k"]) - (v["k"] - 1.0) / v["k"]
    return above(simplex.kl(chosen, simplex.normalize(v["base"])), most, 1.0 + reach(v["base"]))


def _rounded(m, k):
    return jnp.round(k) if isinstance(k, jax.Array) else np.round(k)
