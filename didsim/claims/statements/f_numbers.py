"""What does a number of a training run mean?  Claims F1 to F5."""

import jax
import jax.numpy as jnp

from didsim import did, landscape, objectives
from didsim.claims.arithmetic import gaps, turned
from didsim.claims.ledger import claim
from didsim.claims.statements.conditions import BRADLEY_TERRY, above, odds_of, off, reach, sets, zero
from didsim.claims.statements.one_prompt import drawn_apart, labelled, population_loss, shown, slope, world
from didsim.claims.variables import between, law, real
from didsim.landscape import explain
from didsim.numerics import simplex
from didsim.numerics.quadrature import panel_rule
from didsim.worlds import preferences

ANY_DATA = {"ref": law(), "policy": law(), "joint": law("n", "n"), "beta": between(0.05, 5.0), "drift": real("n", "n")}
TWO_LAWS = {"ref": law(), "policy": law(), "chosen": law(), "rejected": law(), "beta": between(0.05, 5.0), "drift": real()}
OWN_DATA = zero("the loss is that of the data whose floor it is", "drift")
APART = zero("chosen and rejected draws are independent", "odd")


def _table(m, logits):
    return m.law(logits.reshape(-1)).reshape(logits.shape)


def _scale(v, *names):
    return 1.0 + v["beta"] * (1.0 + reach(*(v[name] for name in names)))


def _floor(m, joint):
    return (joint * m.log(1 + turned(joint) / joint)).sum()


def _floor_exact(m, v):
    losses = m.log(1 + m.exp(-v["beta"] * gaps(v["policy"] - v["ref"])))
    return _floor(m, _table(m, v["joint"])) - (_table(m, v["joint"] + v["drift"]) * losses).sum()


def _dpo(v, joint, policy):
    problem = world(v["ref"], v["beta"], target=v["ref"])
    return population_loss(objectives.Dpo(v["beta"]), problem, shown(joint), preferences.AsShown(), policy)


def _law(joint):
    return jnp.exp(joint - jax.nn.logsumexp(joint))


@claim(
    "F1.floor",
    "No policy brings the population DPO loss below what the asymmetry of the data allows.",
    "L_DPO(π) ≥ ln 2 - JSD(ν‖νᵀ)",
    source="derived",
    proof="No loss of a pair is below the entropy of its label; the mean entropy is ln 2 - JSD(ν‖νᵀ).",
    given=ANY_DATA,
    hypotheses=(OWN_DATA,),
    exact=_floor_exact,
    kind="inequality",
)
def _no_lower(v):
    return above(landscape.dpo_floor(_law(v["joint"])), _dpo(v, v["joint"] + v["drift"], v["policy"]), _scale(v, "ref", "policy"))


def _apart(m, v):
    joint = m.law(v["chosen"])[:, None] * m.law(v["rejected"])[None, :] * m.exp(v["odd"])
    return joint / joint.sum()


@claim(
    "F1.reached",
    "Independent draws reach the floor: the law that DPO learns has exactly that loss.",
    "L_DPO(π_ref (π_w/π_l)^{1/β}) = ln 2 - JSD(ν‖νᵀ)",
    source="derived",
    proof="Independent draws have additive log-odds (D3), so DPO's margins match them on every pair at once.",
    given={"ref": law(), "chosen": law(), "rejected": law(), "beta": between(0.05, 5.0), "odd": real("n", "n")},
    hypotheses=(APART,),
    exact=lambda m, v: (_apart(m, v) * m.log(1 + m.exp(-gaps(v["chosen"] - v["rejected"])))).sum() - _floor(m, _apart(m, v)),
)
def _reached(v):
    chosen, rejected = simplex.normalize(v["chosen"]), simplex.normalize(v["rejected"])
    joint = chosen[:, None] + rejected[None, :] + v["odd"]
    learned = did.learned_policy(chosen, rejected, simplex.normalize(v["ref"]), v["beta"])
    return off(_dpo(v, joint, learned), landscape.dpo_floor(_law(joint)), 1.0 + reach(chosen, rejected, v["ref"]))


def _labelled_law(m, v):
    first = _table(m, v["joint"]) * m.sigmoid(odds_of(v["odds"]))
    return first + turned(_table(m, v["joint"]) * m.sigmoid(-odds_of(v["odds"])))


@claim(
    "F1.bradley-terry",
    "Under Bradley-Terry labels the target reaches the floor, whatever the sampler.",
    "L_DPO(π*) = ln 2 - JSD(ν‖νᵀ)",
    source="derived",
    proof="Bradley-Terry log-odds are additive, and the target's margins are equal to them.",
    given={"ref": law(), "reward": real(), "joint": law("n", "n"), "odds": real("n", "n"), "beta": between(0.05, 5.0)},
    hypotheses=(BRADLEY_TERRY,),
    exact=lambda m, v: (_labelled_law(m, v) * m.log(1 + m.exp(-gaps(v["reward"])))).sum() - _floor(m, _labelled_law(m, v)),
)
def _reached_by_target(v):
    problem = world(v["ref"], v["beta"], reward=v["reward"])
    sampler, labels = shown(v["joint"]), labelled(odds_of(v["odds"]))
    found = population_loss(objectives.Dpo(v["beta"]), problem, sampler, labels, problem.log_target[0])
    ordered = objectives.population(problem, sampler, labels, problem.log_ref).ordered[0]
    return off(found, landscape.dpo_floor(ordered), 1.0 + reach(v["reward"], v["ref"]))


def _apart_world(v):
    return world(v["ref"], v["beta"], target=v["ref"], log_chosen=v["chosen"] + v["drift"], log_rejected=v["rejected"])


def _bco_exact(m, v):
    chosen, rejected, moved = m.law(v["chosen"]), m.law(v["rejected"]), m.law(v["chosen"] + v["drift"])
    value = v["beta"] * (m.log_law(v["policy"]) - m.log_law(v["ref"]))
    floor = (chosen * m.log(1 + rejected / chosen)).sum() + (rejected * m.log(1 + chosen / rejected)).sum()
    return floor - (moved * m.log(1 + m.exp(-value)) + rejected * m.log(1 + m.exp(value))).sum()


@claim(
    "F1.bco",
    "No policy brings the BCO loss below twice ln 2 less the divergence of chosen from rejected responses.",
    "L_BCO(π) ≥ 2 ln 2 - 2 JSD(π_w‖π_l)",
    source="derived",
    proof="BCO tells chosen from rejected one by one; the best classifier's loss is 2 ln 2 - 2 JSD.",
    given=TWO_LAWS,
    hypotheses=(OWN_DATA,),
    exact=_bco_exact,
    kind="inequality",
)
def _no_lower_bco(v):
    floor = landscape.bco_floor(simplex.normalize(v["chosen"]), simplex.normalize(v["rejected"]))
    found = population_loss(objectives.BcoNone(v["beta"]), _apart_world(v), *drawn_apart(), v["policy"])
    return above(floor, found, _scale(v, "ref", "policy", "chosen", "rejected"))


def _kldo_exact(m, v):
    value = v["beta"] * (v["policy"] - v["ref"])
    moved = m.law(v["chosen"] + v["drift"])
    return -m.kl(v["chosen"], v["rejected"]) + (moved * value).sum() - m.log((m.law(v["rejected"]) * m.exp(value)).sum())


@claim(
    "F1.kldo",
    "No policy brings the KLDO loss below minus the divergence of chosen from rejected responses.",
    "-E_w[βh] + ln E_l[e^{βh}] ≥ -KL(π_w‖π_l)",
    source="2502.00657",
    proof="The bound of Donsker and Varadhan: E_w f - ln E_l e^f ≤ KL(π_w‖π_l), with f = βh.",
    given=TWO_LAWS,
    hypotheses=(OWN_DATA,),
    exact=_kldo_exact,
    kind="inequality",
)
def _no_lower_kldo(v):
    floor = landscape.kldo_floor(simplex.normalize(v["chosen"]), simplex.normalize(v["rejected"]))
    found = population_loss(objectives.Kldo(v["beta"]), _apart_world(v), *drawn_apart(), v["policy"])
    return above(floor, found, _scale(v, "ref", "policy") + reach(v["chosen"], v["rejected"]))


@claim(
    "F1.kldo-end",
    "KLDO reaches its floor where DPO ends, at the reference tilted by the data's differential information.",
    "L_KLDO = -KL(π_w‖π_l) at π ∝ π_ref (π_w/π_l)^{1/β}",
    source="derived",
    proof="Donsker and Varadhan's bound is met where βh = log(π_w/π_l) + const, which is DPO's end.",
    given={"ref": law(), "chosen": law(), "rejected": law(), "beta": between(0.05, 5.0), "policy": real()},
    hypotheses=(sets("training has ended", policy=lambda m, v: v["ref"] + (v["chosen"] - v["rejected"]) / v["beta"]),),
    exact=lambda m, v: _kldo_exact(m, v | {"drift": v["ref"] * 0}),
)
def _kldo_ends(v):
    problem = _apart_world(v | {"drift": jnp.zeros(())})
    found = population_loss(objectives.Kldo(v["beta"]), problem, *drawn_apart(), v["policy"])
    floor = landscape.kldo_floor(problem.log_chosen, problem.log_rejected)[0]
    end = objectives.Kldo(v["beta"]).closed_form(problem)[0]
    size = _scale(v, "ref", "policy") + reach(v["chosen"], v["rejected"])
    best = population_loss(objectives.Kldo(v["beta"]), problem, *drawn_apart(), end)
    return jnp.maximum(off(found, floor, size), off(best, floor, size))


MISFIT = {"ref": law(), "policy": law(), "chosen": law(), "rejected": law(), "beta": between(0.2, 5.0)}


def _fit(v):
    laws = (simplex.normalize(v[name]) for name in ("policy", "ref", "chosen", "rejected"))
    return did.power_law_misfit(*laws)


@claim(
    "F2.pythagoras",
    "An update splits without remainder into what the preference direction explains and the misfit.",
    "KL(π‖π_ref) = J + KL(q_γ*‖π_ref), q_γ ∝ π_ref (π_w/π_l)^γ, E_{q_γ*} R = E_π R",
    source="derived",
    proof="log(q_γ*/π_ref) is linear in R, and R has the same mean under π and under q_γ*: the cross term vanishes.",
    given=MISFIT | {"shift": between(0.3, 2.0)},
    hypotheses=(zero("the fit has the policy's own mean of the direction", "shift"),),
)
def _pythagoras(v):
    found, policy, ref = _fit(v), simplex.normalize(v["policy"]), simplex.normalize(v["ref"])
    direction = simplex.normalize(v["chosen"]) - simplex.normalize(v["rejected"])
    fit = simplex.tilt(found.log_fit, direction, v["shift"])
    wanted = simplex.kl(policy, fit) + simplex.kl(fit, ref)
    split = off(simplex.kl(policy, ref), wanted, 1.0 + reach(policy, ref, fit))
    return jnp.maximum(split, jnp.where(v["shift"] == 0, off(found.misfit, simplex.kl(policy, fit), 1.0 + reach(policy)), 0.0))


@claim(
    "F2.dpo-end",
    "Where DPO ends there is no misfit, for any data, and the fitted strength is one over β.",
    "J = 0 and γ* = 1/β at π ∝ π_ref (π_w/π_l)^{1/β}",
    source="power-law misfit of paper A's first author; exactness derived",
    proof="There log(π/π_ref) = R/β + const, so π is a member of the family, at γ = 1/β.",
    given=MISFIT,
    hypotheses=(sets("the policy is where DPO ends", policy=lambda m, v: v["ref"] + (v["chosen"] - v["rejected"]) / v["beta"]),),
    needs_double=True,  # the mean of a nearly deterministic fit rounds
)
def _no_misfit(v):
    found, ref = _fit(v), simplex.normalize(v["ref"])
    direction = simplex.normalize(v["chosen"]) - simplex.normalize(v["rejected"])
    spread = simplex.cumulants(found.log_fit, direction)[..., 1]
    size = (1.0 + reach(v["policy"], ref)) * (1.0 + reach(direction))
    return jnp.maximum(off(found.misfit, jnp.zeros(()), size), off(found.gamma * spread, spread / v["beta"], size))


def _likelier(m, v):
    gap = v["ref"][1] - v["ref"][0] - (v["reward"][0] - v["reward"][1]) / v["beta"]
    return m.smaller(v["handicap"], -gap + v["handicap"] * 0)


@claim(
    "F3.misranked",
    "The optimum itself ranks the better response below the worse one where the reference prefers the worse by more than Δr/β.",
    "log π*(w) ≥ log π*(l)  ⇔  log π_ref(l)/π_ref(w) ≤ (r_w - r_l)/β",
    source="2405.19534",
    proof="log π* = log π_ref + r/β + const; compare the two responses.",
    given={"ref": law(), "reward": real(), "beta": between(0.05, 5.0), "handicap": real(1)},
    hypotheses=(sets("the reference's handicap is below the reward's advantage", handicap=_likelier),),
    exact=lambda m, v: v["ref"][1] + v["handicap"] - v["ref"][0] - (v["reward"][0] - v["reward"][1]) / v["beta"],
    kind="inequality",
)
def _ranked_right(v):
    ref = v["ref"].at[1].add(v["handicap"][0])
    target = world(ref, v["beta"], reward=v["reward"]).log_target[0]
    return above(target[1], target[0], 1.0 + reach(ref) + reach(v["reward"]) / v["beta"])


def _hypo_exact(m, v):
    """Gradient over β at ``√π_ref``, by hand: both orders of a pair pull alike without any preference."""
    margins, reference = gaps(v["ref"]) / 2, gaps(v["ref"])
    pull = m.sigmoid(-v["beta"] * (margins - m.larger(reference, reference * 0)))
    force = _labelled_law(m, v) * pull
    return force.sum(-2) - force.sum(-1)


@claim(
    "F3.hypo",
    "Labels without any preference still move HyPO: it ends at the square root of the reference.",
    "P = ½  ⇒  ∇L_HyPO(√π_ref) = 0",
    source="derived for the loss of 2602.11902",
    proof="With P = ½ both orders of a pair must have equal margins: 2Δ = max(0, Δ_ref) - max(0, -Δ_ref) = Δ_ref.",
    given={"ref": law(), "joint": law("n", "n"), "odds": real("n", "n"), "beta": between(0.05, 5.0)},
    hypotheses=(zero("the labels hold no preference", "odds"),),
    exact=_hypo_exact,
)
def _hypo(v):
    problem = world(v["ref"], v["beta"], target=v["ref"])
    found = slope(objectives.Hypo(v["beta"]), problem, shown(v["joint"]), labelled(odds_of(v["odds"])), v["ref"] / 2)
    return off(found / v["beta"], jnp.zeros(()), (1.0 + v["beta"]) * (1.0 + reach(v["ref"])))


D = 3
SCORES = {"chosen": real(D), "rejected": real(D), "ratio": between(0.01, 100.0)}


def _in_band(m, v):
    own, other = (v["chosen"] * v["chosen"]).sum(), (v["rejected"] * v["rejected"]).sum()
    cross = (v["chosen"] * v["rejected"]).sum()
    tied = cross > 0
    safe = m.where(tied, cross, cross * 0 + 1)
    low, high = m.where(tied, safe / own, cross * 0), m.where(tied, other / safe, cross * 0 + 1e6)
    return m.smaller(m.larger(v["ratio"], low), high)


def _band_exact(m, v):
    cross = (v["chosen"] * v["rejected"]).sum()
    falls = cross - v["ratio"] * (v["chosen"] * v["chosen"]).sum()
    rises = v["ratio"] * cross - (v["rejected"] * v["rejected"]).sum()
    return m.larger(falls, rises)


@claim(
    "F4.band",
    "The chosen response does not fall and the rejected does not rise exactly while the pulls' ratio stays in a band.",
    "ρt ≤ d_w/d_l ≤ t/ρ  ⇒  d⟨log π_w⟩ ≥ 0 ≥ d⟨log π_l⟩",
    source="2604.18239",
    proof="Take the step d_w s_w - d_l s_l and its inner products with s_w and s_l; divide by d_l ‖s_w‖² and by d_l ‖s_w‖‖s_l‖.",
    given=SCORES,
    hypotheses=(sets("the ratio of the pulls lies in the band", ratio=_in_band),),
    kind="inequality",
)
def _band(v):
    own, other = jnp.sum(v["chosen"] ** 2), jnp.sum(v["rejected"] ** 2)
    cross, size = jnp.sum(v["chosen"] * v["rejected"]), (1.0 + v["ratio"]) * (1.0 + reach(v["chosen"], v["rejected"])) ** 2
    low, high = explain.disentanglement_band(own, other, cross)
    outside = jnp.maximum(above(low, v["ratio"], size * (1 + low)), above(v["ratio"], high, size))
    harm = jnp.maximum(above(cross, v["ratio"] * own, size), above(v["ratio"] * cross, other, size))
    # The library's band and the harm itself must agree: no harm inside, and inside where there is none.
    return jnp.maximum(harm, jnp.minimum(outside, 1.0))


MEANS = {"ref": law(), "gold": real(), "proxy": real(), "time": between(0.0, 3.0), "other": real()}


@claim(
    "F5.turn",
    "Under a policy that follows a proxy the gold reward changes by its covariance with the proxy: it turns where that vanishes.",
    "d/dt E_{π_t} g = Cov_{π_t}(g, r̂), π_t ∝ π_ref e^{t r̂}",
    source="derived",
    proof="The derivative of a mean in an exponential family is a covariance with its statistic.",
    given=MEANS,
    hypotheses=(zero("the policy follows the proxy alone", "other"),),
)
def _turn(v):
    def gold(time):
        return simplex.expectation(simplex.tilt(simplex.normalize(v["ref"]), v["proxy"] + v["other"], time), v["gold"])

    policy = simplex.tilt(simplex.normalize(v["ref"]), v["proxy"] + v["other"], v["time"])
    found = landscape.gold_slope(policy, v["gold"], v["proxy"])
    return off(found, jax.grad(gold)(v["time"]), (1.0 + reach(v["gold"])) * (1.0 + reach(v["proxy"], v["other"])))


# The variance along the way has poles at π over the range of Δr/β from it: near, where the error is large, so the rule is a
# composite one, good for a range of 300.
PLACES, SHARES = panel_rule(32)


@claim(
    "F5.gap",
    "What a policy loses against the optimum is the mean square of its reward error along the way, weighted by the distance.",
    "β KL(π‖π*) = β ∫₀¹ s Var_{π_s}(Δr/β) ds, Δr = β log(π/π*) up to a constant",
    source="derived",
    proof=(
        "The path from π* to π is exponential with statistic Δr/β; a divergence is the integral of s times the variance along it."
    ),
    given={"target": law(), "error": real(), "beta": between(0.3, 5.0), "time": between(0.0, 0.9)},
    hypotheses=(sets("the way is walked to its end", time=lambda m, v: v["time"] * 0 + 1),),
    kind="rate",
    allowance=1e-7,
)
def _gap(v):
    target = simplex.normalize(v["target"])
    s, weights = (jnp.asarray(part, target.dtype) * v["time"] for part in (PLACES, SHARES))
    way = simplex.tilt(target[None], v["error"][None] / v["beta"], s[:, None])
    errors = simplex.cumulants(way, v["error"][None] / v["beta"])[:, 1]
    policy = simplex.tilt(target, v["error"], 1.0 / v["beta"])
    size = 1.0 + (reach(v["error"]) / v["beta"]) * (1.0 + reach(target))
    return off(jnp.sum(weights * s * errors), simplex.kl(policy, target), size)
