"""Which policy does each loss learn, and which data teach the target?  Claims D5 to D7 and D14."""

from dataclasses import replace

import jax
import jax.numpy as jnp

from didsim import did, objectives, samplers
from didsim.claims.arithmetic import gaps
from didsim.claims.ledger import claim
from didsim.claims.statements.conditions import BEST_REJECTED, POWER_LAW, above, off, reach, same, sets, zero
from didsim.claims.statements.one_prompt import drawn_apart, population_loss, shown, slope, world
from didsim.claims.variables import between, law, real
from didsim.dynamics import ProjectedGradient
from didsim.numerics import simplex
from didsim.policies import Table
from didsim.worlds import preferences

LAWS = {"ref": law(), "target": law(), "chosen": law(), "rejected": law(), "beta": between(0.05, 5.0)}


def pair_slope(m, joint, odds, margins):
    """Gradient over β of ``-Σ μ_ab [P log σ(m) + (1-P) log σ(-m)]`` in the rewards, by hand."""
    force = joint * (m.sigmoid(margins) - m.sigmoid(odds))
    return force.sum(-1) - force.sum(-2)


def data_slope(m, v, margins):
    """Gradient in the rewards of ``-Σ π_w(a) π_l(b) log σ(m_ab)``, by hand."""
    force = m.law(v["chosen"])[:, None] * m.law(v["rejected"])[None, :] * (m.sigmoid(margins) - 1)
    return force.sum(-1) - force.sum(-2)


def _data_world(v):
    return world(v["ref"], v["beta"], target=v["target"], log_chosen=v["chosen"], log_rejected=v["rejected"])


def _condition(v, *names):
    return (1.0 + v["beta"]) * (1.0 + reach(*(v[name] for name in names)))


@claim(
    "D5.target",
    "Where the data obey the power law, the target is a stationary point of the population DPO loss.",
    "∇L(π*) = 0",
    source="paper A",
    proof="At π* every margin is the label's own log-odds (D4), so P - σ(m) = 0 on every pair.",
    given=LAWS | {"beta_trained": between(0.05, 5.0)},
    hypotheses=(POWER_LAW, same("training uses the data's exponent", "beta_trained", "beta")),
    exact=lambda m, v: data_slope(m, v, v["beta_trained"] * gaps(v["target"] - v["ref"])),
)
def _at_target(v):
    found = slope(objectives.Dpo(v["beta_trained"]), _data_world(v), *drawn_apart(), v["target"])
    return off(
        found / v["beta_trained"],
        jnp.zeros(()),
        _condition(v, "ref", "target", "chosen") + v["beta_trained"] * reach(v["ref"], v["target"]),
    )


def _learned(v, beta):
    chosen, rejected, ref = (simplex.normalize(v[name]) for name in ("chosen", "rejected", "ref"))
    return did.learned_policy(chosen, rejected, ref, beta)


def _anyway_exact(m, v):
    joint = m.law(v["chosen"])[:, None] * m.law(v["rejected"])[None, :] * m.exp(v["odd"])
    force = joint / joint.sum() * (m.sigmoid(gaps(v["chosen"] - v["rejected"])) - 1)
    return force.sum(-1) - force.sum(-2)


@claim(
    "D5.any-data",
    "Without the power law the minimiser is known too: the reference tilted by the data's differential information.",
    "∇L = 0 at π ∝ π_ref (π_w/π_l)^{1/β}",
    source="derived",
    proof="The labels' log-odds are differences of log(π_w/π_l) (D3); margins equal to them make every pair's term vanish.",
    given={"ref": law(), "chosen": law(), "rejected": law(), "beta": between(0.05, 5.0), "odd": real("n", "n")},
    hypotheses=(zero("chosen and rejected draws are independent", "odd"),),
    exact=_anyway_exact,
)
def _anyway(v):
    table = simplex.normalize(v["chosen"])[:, None] + simplex.normalize(v["rejected"])[None, :] + v["odd"]
    learned = _learned(v, v["beta"])
    found = slope(
        objectives.Dpo(v["beta"]), world(v["ref"], v["beta"], target=v["chosen"]), shown(table), preferences.AsShown(), learned
    )
    return off(found / v["beta"], jnp.zeros(()), _condition(v, "chosen", "rejected", "ref"))


def _logits(v, x):
    return x + v["bend"] * x * x / 2


def _convex_exact(m, v):
    def loss(place):
        margins = v["beta"] * gaps(_logits(v, place) - v["ref"])
        return (m.law(v["chosen"])[:, None] * m.law(v["rejected"])[None, :] * m.log(1 + m.exp(-margins))).sum()

    return loss((v["one"] + v["other"]) / 2) - (loss(v["one"]) + loss(v["other"])) / 2


@claim(
    "D5.convex",
    "The population DPO loss is convex in the logits of a free table.",
    "L((x+y)/2) ≤ (L(x) + L(y))/2",
    source="paper A",
    proof="-log σ is convex and the margins are linear in the logits.",
    given=LAWS | {"one": real(), "other": real(), "bend": between(0.5, 1.0)},
    hypotheses=(zero("the logits are linear in the parameters", "bend"),),
    exact=_convex_exact,
    kind="inequality",
)
def _convex(v):
    problem = _data_world(v)
    places = [_logits(v, place) for place in (v["one"], v["other"], 0.5 * (v["one"] + v["other"]))]
    losses = [population_loss(objectives.Dpo(v["beta"]), problem, *drawn_apart(), place) for place in places]
    return above(losses[2], 0.5 * (losses[0] + losses[1]), 1.0 + v["beta"] * reach(*places, v["ref"]))


@claim(
    "D5.other-beta",
    "Training with another inverse temperature ends on the path from reference to target, at β/β'.",
    "π_ref (π_w/π_l)^{1/β'} ∝ π_ref (π*/π_ref)^{β/β'}",
    source="derived",
    proof="D5.any-data at β', with (π_w/π_l) ∝ (π*/π_ref)^β put in.",
    given=LAWS | {"beta_trained": between(0.2, 5.0)},
    hypotheses=(POWER_LAW,),
    exact=lambda m, v: (
        m.law(v["ref"] + (v["chosen"] - v["rejected"]) / v["beta_trained"])
        - m.law(v["ref"] + (v["target"] - v["ref"]) * v["beta"] / v["beta_trained"])
    ),
)
def _other_beta(v):
    learned = _learned(v, v["beta_trained"])
    wanted = did.path_law(simplex.normalize(v["ref"]), simplex.normalize(v["target"]), v["beta"] / v["beta_trained"])
    scale = (reach(v["chosen"]) + (1.0 + v["beta"]) * reach(v["ref"], v["target"])) * (1.0 + 1.0 / v["beta_trained"])
    return off(jnp.exp(learned), jnp.exp(wanted), scale)


@claim(
    "D6.log-ratio",
    "The implicit reward must be the log-ratio: with part of the reference left out, fit no longer means the target.",
    "r_θ = β log(π_θ/π_ref) + C  ⇒  ∇L(π*) = 0",
    source="paper A",
    needs_double=True,
    proof="A fit on all pairs fixes the reward up to a constant: β log(π*/π_ref). Only the log-ratio takes that value at π*.",
    given=LAWS | {"free": between(0.2, 1.0)},
    hypotheses=(POWER_LAW, zero("the reward is the log-ratio", "free")),
    exact=lambda m, v: data_slope(m, v, v["beta"] * gaps(v["target"] - (1 - v["free"]) * v["ref"])),
)
def _other_reward(v):
    problem = _data_world(v)
    whole, plain = objectives.Dpo(v["beta"]), objectives.Cpo(beta=v["beta"], nll_weight=0.0)
    seen = objectives.responses(problem, simplex.normalize(v["target"])[None])
    reward = (1.0 - v["free"]) * whole.chosen_reward(seen) + v["free"] * plain.chosen_reward(seen)
    ordered = objectives.population(problem, *drawn_apart(), problem.log_ref).ordered
    margins = reward[0][:, None] - reward[0][None, :]
    force = ordered[0] * jax.nn.sigmoid(-margins)
    return off(force.sum(1), force.sum(0), _condition(v, "ref", "target", "chosen"))


def _reference_free_exact(m, v):
    log_policy = m.log_law((v["chosen"] - v["rejected"]) / v["beta"])
    return data_slope(m, v, v["beta"] * gaps(log_policy / v["lengths"]))


@claim(
    "D6.reference-free",
    "The reward β log π, SimPO's at length 1, learns the differential information of the data itself.",
    "∇L = 0 at π ∝ (π_w/π_l)^{1/β}",
    source="derived",
    proof="Set the differences of β log π to the labels' log-odds, those of log(π_w/π_l).",
    given={
        "ref": law(),
        "chosen": law(),
        "rejected": law(),
        "beta": between(0.05, 5.0),
        "lengths": between(1.0, 5.0, "n"),
    },
    hypotheses=(sets("all responses have one token", lengths=lambda m, v: v["lengths"] * 0 + 1),),
    exact=_reference_free_exact,
)
def _reference_free(v):
    problem = world(v["ref"], v["beta"], target=v["ref"], log_chosen=v["chosen"], log_rejected=v["rejected"])
    problem = replace(problem, lengths=v["lengths"][None])
    limit = did.reference_free_limit(simplex.normalize(v["chosen"]), simplex.normalize(v["rejected"]), v["beta"])
    found = slope(objectives.SimPo(beta=v["beta"]), problem, *drawn_apart(), limit)
    return off(found / v["beta"], jnp.zeros(()), 1.0 + reach(v["chosen"], v["rejected"]))


@claim(
    "D6.ends-at-did",
    "Under the power law reference-free training ends at the differential information, not at the target.",
    "(π_w/π_l)^{1/β} ∝ q_{π*/π_ref}",
    source="derived",
    proof="Under the power law (π_w/π_l)^{1/β} ∝ π*/π_ref, which is q.",
    given=LAWS,
    hypotheses=(POWER_LAW,),
    exact=lambda m, v: m.law((v["chosen"] - v["rejected"]) / v["beta"]) - m.law(v["target"] - v["ref"]),
)
def _limit_is_did(v):
    chosen, ref, target = (simplex.normalize(v[name]) for name in ("chosen", "ref", "target"))
    limit = did.reference_free_limit(chosen, simplex.normalize(v["rejected"]), v["beta"])
    scale = (1.0 + 1.0 / v["beta"]) * _condition(v, "ref", "target", "chosen")
    return off(jnp.exp(limit), jnp.exp(did.log_did(target, ref)), scale)


@claim(
    "D7.best-rejected",
    "One rejected law makes DPO's optimum the target.",
    "π_l ∝ π_w (π_ref/π*)^β  ⇒  π_θ = π*",
    source="paper A",
    proof="Solve the power law π_w/π_l ∝ (π*/π_ref)^β for π_l; D5 does the rest.",
    given=LAWS,
    hypotheses=(BEST_REJECTED,),
    exact=lambda m, v: m.law(v["ref"] + (v["chosen"] - v["rejected"]) / v["beta"]) - m.law(v["target"]),
)
def _best_rejected(v):
    chosen, rejected, ref, target = (simplex.normalize(v[name]) for name in ("chosen", "rejected", "ref", "target"))
    best = did.optimal_rejected(chosen, ref, target, v["beta"])
    reached = did.learned_policy(chosen, rejected, ref, v["beta"])
    scale = (1.0 + 1.0 / v["beta"]) * _condition(v, "ref", "target", "chosen")
    return jnp.maximum(off(jnp.exp(reached), jnp.exp(target), scale), off(jnp.exp(best), jnp.exp(rejected), scale))


def _projected_exact(m, v):
    mass, n = m.law(v["policy"]), len(v["policy"])
    won, lost = ([(1 if k == place else 0) - mass[k] for k in range(n)] for place in (0, 1))
    inner, square = sum(a * b for a, b in zip(won, lost, strict=True)), sum(a * a for a in won)
    kept = (1 - v["plain"]) * m.larger(inner, inner * 0)
    # The pull's positive factor is left out on both sides.
    return square - (square - inner + kept)


@claim(
    "D14.projected",
    "A projected-gradient step on one pair raises the chosen likelihood by at least the pull times its score squared.",
    "d log π(y_w) ≥ βσ(-m) ‖g_w‖²",
    source="derived",
    proof="The projected g_l has no positive part along g_w, so the step's inner product with g_w is at least βσ(-m)‖g_w‖².",
    given={"ref": law(), "policy": law(), "beta": between(0.05, 5.0), "plain": between(0.3, 1.0)},
    hypotheses=(zero("the rejected score is projected", "plain"),),
    exact=_projected_exact,
    kind="inequality",
    other_sizes=(3, 40),
)
def _projected(v):
    n = v["policy"].shape[-1]
    pair = samplers.Joint(jnp.where(jnp.arange(n * n).reshape(n, n) == 1, 0.0, -jnp.inf))
    problem = world(v["ref"], v["beta"], target=v["ref"])
    objective, labels = objectives.Dpo(v["beta"]), preferences.AsShown()
    log_policy = simplex.normalize(v["policy"])[None]

    def pairs(current):
        return objectives.population(problem, pair, labels, current)

    projected = ProjectedGradient().gradient(problem, objective, Table(), log_policy, pairs)[0]
    plain = slope(objective, problem, pair, labels, log_policy[0])
    step = -(v["plain"] * plain + (1.0 - v["plain"]) * projected)
    mass = jnp.exp(log_policy[0])
    score = (jnp.arange(n) == 0) - mass
    ratio = log_policy[0] - problem.log_ref[0]
    pull = v["beta"] * jax.nn.sigmoid(-v["beta"] * (ratio[0] - ratio[1]))
    return above(pull * jnp.sum(score**2), jnp.sum(score * step), 1.0 + v["beta"])
