"""Whose likelihood rises and whose falls?  Claims D9 and D10."""

import jax
import jax.numpy as jnp

from didsim import did
from didsim.claims.ledger import claim
from didsim.claims.statements.conditions import BEST_REJECTED, above, floored, off, reach, same, sets
from didsim.claims.variables import between, law
from didsim.numerics import simplex

PATH = {"ref": law(), "target": law()}
DATA = {"ref": law(), "chosen": law(), "rejected": law(), "beta": between(0.05, 5.0)}
ON_PATH = sets("the chosen law lies on the path", chosen=lambda m, v: v["ref"] + v["place"] * (v["target"] - v["ref"]))
FROM_CHOSEN = same("the reference is the chosen law", "ref", "chosen")
FROM_REJECTED = same("the reference is the rejected law", "ref", "rejected")
OPTIMUM = sets(
    "training has reached its optimum",
    policy=lambda m, v: v["ref"] + (v["chosen"] - v["rejected"]) / v["beta"] + v["policy"] * 0,
)


def _laws(v, *names):
    return [simplex.normalize(v[name]) for name in names]


def _cumulant(m, v, place):
    """Λ at a place of the path, by hand."""
    ref, target = m.log_law(v["ref"]), m.log_law(v["target"])
    return m.log(m.exp((1 - place) * ref + place * target).sum(-1))


def _change(m, v, law, policy, ref):
    return m.mean(law, m.log_law(policy) - m.log_law(ref))


@claim(
    "D9.ends",
    "The path's cumulant function vanishes at the reference and at the target.",
    "Λ(0) = Λ(1) = 0",
    source="derived",
    proof="Λ(0) and Λ(1) are the logs of the sums of π_ref and of π*, both one.",
    given=PATH | {"place": between(-2.0, 3.0)},
    hypotheses=(sets("the place is an end", place=lambda m, v: m.where(v["place"] < 0.5, v["place"] * 0, v["place"] * 0 + 1)),),
    exact=lambda m, v: _cumulant(m, v, v["place"]),
)
def _ends(v):
    ref, target = _laws(v, "ref", "target")
    return off(did.path_cumulant(ref, target, v["place"]), jnp.zeros(()), 1.0 + reach(ref, target))


def _between(v):
    return v["share"] * v["low"] + (1 - v["share"]) * v["high"]


@claim(
    "D9.convex",
    "The cumulant function is convex along the whole line through reference and target.",
    "Λ(ws + (1-w)t) ≤ wΛ(s) + (1-w)Λ(t), 0 ≤ w ≤ 1",
    source="derived",
    proof="The log of a sum of exponentials of functions linear in t is convex (Hölder).",
    given=PATH | {"low": between(-2.0, 3.0), "high": between(-2.0, 3.0), "share": between(-0.5, 1.5)},
    hypotheses=(
        sets(
            "the place lies between the two",
            share=lambda m, v: m.smaller(m.larger(v["share"], v["share"] * 0), v["share"] * 0 + 1),
        ),
    ),
    exact=lambda m, v: (
        _cumulant(m, v, _between(v)) - v["share"] * _cumulant(m, v, v["low"]) - (1 - v["share"]) * _cumulant(m, v, v["high"])
    ),
    kind="inequality",
)
def _below_chord(v):
    ref, target = _laws(v, "ref", "target")
    one, other, inside = (did.path_cumulant(ref, target, t) for t in (v["low"], v["high"], _between(v)))
    return above(inside, v["share"] * one + (1.0 - v["share"]) * other, 5.0 * (1.0 + reach(ref, target)))


@claim(
    "D9.one-path",
    "If the chosen law lies on the path from reference to target, so does the best rejected law, β before it.",
    "π_w = π_a  ⇒  π_l = π_{a-β}",
    source="derived",
    proof="The best rejected law (D7) is log π_l = log π_w - βs + const: β back along the same path.",
    given=PATH | {"chosen": law(), "place": between(-1.0, 2.0), "beta": between(0.05, 3.0)},
    hypotheses=(ON_PATH,),
    exact=lambda m, v: (
        m.law(v["chosen"] + v["beta"] * (v["ref"] - v["target"]))
        - m.law(v["ref"] + (v["place"] - v["beta"]) * (v["target"] - v["ref"]))
    ),
)
def _in_line(v):
    chosen, ref, target = _laws(v, "chosen", "ref", "target")
    rejected = did.optimal_rejected(chosen, ref, target, v["beta"])
    wanted = did.path_law(ref, target, v["place"] - v["beta"])
    return off(jnp.exp(rejected), jnp.exp(wanted), (1.0 + v["beta"]) * (1.0 + reach(chosen, ref, target)))


@claim(
    "D9.slope",
    "The slope of the cumulant function log Σ π_ref^{1-t} π*^t is the mean log-ratio under the path's law.",
    "Λ'(t) = E_{π_t} log(π*/π_ref)",
    source="derived",
    proof="Differentiate the log of the sum: the slope is the mean of s under the tilted law.",
    given=PATH | {"place": between(-1.0, 2.0), "law": law()},
    hypotheses=(sets("the mean is taken at the same place", law=lambda m, v: v["ref"] + v["place"] * (v["target"] - v["ref"])),),
)
def _slope(v):
    ref, target = _laws(v, "ref", "target")
    value, rate = jax.jvp(lambda t: simplex.log_partition(ref, target - ref, t), (v["place"],), (jnp.ones_like(v["place"]),))
    mean = simplex.expectation(simplex.normalize(v["law"]), target - ref)
    scale = 3.0 * (1.0 + reach(ref, target))
    found = did.path_cumulant(ref, target, v["place"]), did.path_slope(ref, target, v["place"]), mean
    return jnp.maximum(off(found[0], value, scale), jnp.maximum(off(found[1], rate, scale), off(found[2], rate, scale)))


def _on_path_exact(m, v):
    learned, ratio = v["ref"] + (v["chosen"] - v["rejected"]) / v["beta"], m.log_law(v["target"]) - m.log_law(v["ref"])
    places = (v["place"], v["place"] - v["beta"])
    laws = [v["ref"] + place * (v["target"] - v["ref"]) for place in places]
    data = (v["chosen"], v["rejected"])
    return [_change(m, v, one, learned, v["ref"]) - m.mean(other, ratio) for one, other in zip(data, laws, strict=True)]


@claim(
    "D10.path",
    "At the target chosen and rejected log-likelihoods have changed by the cumulant function's slope at their places.",
    "chosen Λ'(a), rejected Λ'(a-β)",
    source="derived; paper A v2 has the ends",
    proof="At π* the log-likelihoods have changed by s; its mean under π_a is Λ'(a) (D9.slope), and the rejected law is π_{a-β}.",
    given=PATH | {"chosen": law(), "rejected": law(), "place": between(-1.0, 2.0), "beta": between(0.05, 3.0)},
    hypotheses=(ON_PATH, BEST_REJECTED),
    exact=_on_path_exact,
)
def _on_path(v):
    chosen, rejected, ref, target = _laws(v, "chosen", "rejected", "ref", "target")
    general = did.displacement(chosen, rejected, ref, v["beta"])
    closed = did.path_displacement(ref, target, v["place"], v["beta"])
    scale = (1.0 + v["beta"] + 1.0 / v["beta"]) * (1.0 + reach(chosen, rejected, ref, target))
    return jnp.maximum(off(general.chosen, closed.chosen, scale), off(general.rejected, closed.rejected, scale))


def _gap_exact(m, v):
    gap = _change(m, v, v["chosen"], v["policy"], v["ref"]) - _change(m, v, v["rejected"], v["policy"], v["ref"])
    return gap - (m.kl(v["chosen"], v["rejected"]) + m.kl(v["rejected"], v["chosen"])) / v["beta"]


@claim(
    "D10.gap",
    "At DPO's optimum the chosen change exceeds the rejected one by the Jeffreys divergence over β, for any reference.",
    "E_{π_w} log(π_θ/π_ref) - E_{π_l} log(π_θ/π_ref) = J(π_w, π_l)/β",
    source="derived",
    proof="At the optimum log(π_θ/π_ref) = log(π_w/π_l)/β + const; the two means differ by J/β, whatever π_ref is.",
    given=DATA | {"policy": law(), "other": law()},
    hypotheses=(
        same("the reference is the chosen law", "ref", "chosen", needed=False),
        OPTIMUM,
    ),
    exact=_gap_exact,
)
def _gap(v):
    chosen, rejected, ref, policy = _laws(v, "chosen", "rejected", "ref", "policy")
    gap = did.mean_change(chosen, policy, ref) - did.mean_change(rejected, policy, ref)
    found = did.displacement(chosen, rejected, ref, v["beta"]).gap
    wanted = did.learned_margin(chosen, rejected, v["beta"])
    scale = (1.0 + 1.0 / v["beta"]) * (1.0 + reach(chosen, rejected, ref))
    return jnp.maximum(off(gap, wanted, scale), off(found, wanted, scale))


@claim(
    "D10.never-rises",
    "With chosen responses from the reference their mean log-likelihood never rises, at any moment of any training.",
    "E_{π_ref} log(π_θ/π_ref) = -KL(π_ref‖π_θ) ≤ 0",
    source="derived",
    proof="This is the definition of the divergence, and divergences are not negative.",
    given={"ref": law(), "chosen": law(), "policy": law()},
    hypotheses=(same("chosen responses come from the reference", "chosen", "ref"),),
    exact=lambda m, v: _change(m, v, v["chosen"], v["policy"], v["ref"]),
    kind="inequality",
)
def _falls(v):
    chosen, ref, policy = _laws(v, "chosen", "ref", "policy")
    change, scale = did.mean_change(chosen, policy, ref), 1.0 + reach(chosen, ref, policy)
    direct = simplex.expectation(ref, policy - ref)
    apart = jnp.maximum(off(change, direct, scale), off(-simplex.kl(ref, policy), direct, scale))
    return jnp.maximum(above(change, jnp.zeros(()), scale), apart)


def _both_fall_exact(m, v):
    up, down = (_change(m, v, v[name], v["policy"], v["ref"]) for name in ("chosen", "rejected"))
    return [up, down - up]


@claim(
    "D10.both-fall",
    "After fine-tuning on the chosen responses, DPO lowers chosen and rejected likelihoods, the rejected more.",
    "π_ref = π_w  ⇒  rejected ≤ chosen ≤ 0",
    source="paper A v2, Theorem 4.1; derived",
    proof="Chosen: D10.never-rises. Rejected: the gap of D10.gap is not negative.",
    given=DATA | {"policy": law()},
    hypotheses=(FROM_CHOSEN, OPTIMUM),
    exact=_both_fall_exact,
    kind="inequality",
)
def _both_fall(v):
    chosen, rejected, ref, policy = _laws(v, "chosen", "rejected", "ref", "policy")
    up, down = did.mean_change(chosen, policy, ref), did.mean_change(rejected, policy, ref)
    scale = (1.0 + 1.0 / v["beta"]) * (1.0 + reach(chosen, rejected, ref))
    return jnp.maximum(above(up, jnp.zeros(()), scale), above(down, up, scale))


@claim(
    "D10.rejected-falls",
    "With rejected responses from the reference their mean log-likelihood never rises.",
    "π_ref = π_l  ⇒  E_{π_l} log(π_θ/π_ref) ≤ 0",
    source="derived",
    proof="D10.never-rises, with the rejected law in place of the chosen one.",
    given=DATA,
    hypotheses=(FROM_REJECTED,),
    exact=lambda m, v: _change(m, v, v["rejected"], v["ref"] + (v["chosen"] - v["rejected"]) / v["beta"], v["ref"]),
    kind="inequality",
)
def _rejected_falls(v):
    chosen, rejected, ref = _laws(v, "chosen", "rejected", "ref")
    return above(
        did.displacement(chosen, rejected, ref, v["beta"]).rejected,
        jnp.zeros(()),
        (1.0 + 1.0 / v["beta"]) * (1.0 + reach(chosen, rejected, ref)),
    )


def _chosen_rises_exact(m, v):
    ratio = m.log_law(v["target"]) - m.log_law(v["ref"])
    return m.kl(v["target"], v["ref"]) - m.mean(v["ref"] + v["beta"] * (v["target"] - v["ref"]), ratio)


@claim(
    "D10.chosen-rises",
    "With rejected responses from the reference and β of at least one, the chosen likelihood rises by KL(π*‖π_ref) or more.",
    "π_ref = π_l, β ≥ 1  ⇒  Λ'(β) ≥ KL(π*‖π_ref)",
    source="derived",
    proof="Λ' rises (D9.convex), so from β = 1 on Λ'(β) ≥ Λ'(1) = KL(π*‖π_ref).",
    given=PATH | {"beta": between(0.1, 4.0)},
    hypotheses=(floored("β is at least one", "beta", 1.0),),
    exact=_chosen_rises_exact,
    kind="inequality",
)
def _chosen_rises(v):
    ref, target = _laws(v, "ref", "target")
    return above(
        simplex.kl(target, ref),
        did.path_displacement(ref, target, v["beta"], v["beta"]).chosen,
        (1.0 + v["beta"]) * (1.0 + reach(ref, target)),
    )


@claim(
    "D10.critical",
    "One critical β between 0 and 1 decides: before it on the path chosen responses fall, after it they rise.",
    "sign Λ'(t) = sign(t - β_c), 0 < β_c < 1",
    source="derived",
    proof="Λ vanishes at 0 and 1 and is convex, so its slope changes sign once, between them.",
    given=PATH | {"chosen": law(), "place": between(-1.0, 2.0)},
    hypotheses=(ON_PATH,),
    kind="inequality",
    smooth=False,
)
def _critical(v):
    ref, target, chosen = _laws(v, "ref", "target", "chosen")
    root = did.critical_beta(ref, target)
    change = simplex.expectation(chosen, target - ref)
    wrong_side = -jnp.sign(v["place"] - root) * change
    clear = jnp.abs(v["place"] - root) > 1e-9
    outside = jnp.maximum(-root, root - 1.0)
    apart = reach(simplex.clr(target - ref)) > 0
    return jnp.where(apart, jnp.maximum(jnp.where(clear, wrong_side, 0.0) / (1.0 + reach(ref, target, chosen)), outside), 0.0)


def _renyi_from(closed):
    def residual(v):
        chosen, rejected, ref = _laws(v, "chosen", "rejected", "ref")
        general, special = did.displacement(chosen, rejected, ref, v["beta"]), closed(chosen, rejected, v["beta"])
        scale = (1.0 + 1.0 / v["beta"]) ** 2 * (1.0 + reach(chosen, rejected, ref))
        return jnp.maximum(off(general.chosen, special.chosen, scale), off(general.rejected, special.rejected, scale))

    return residual


def _renyi(m, p, q, order):
    return m.log(m.exp(order * m.log_law(p) + (1 - order) * m.log_law(q)).sum()) / (order - 1)


def _from_chosen_exact(m, v):
    learned, alpha = v["ref"] + (v["chosen"] - v["rejected"]) / v["beta"], 1 / v["beta"]
    shared = _renyi(m, v["chosen"], v["rejected"], 1 + alpha)
    chosen = alpha * (m.kl(v["chosen"], v["rejected"]) - shared)
    rejected = -alpha * (m.kl(v["rejected"], v["chosen"]) + shared)
    changes = (_change(m, v, v[name], learned, v["ref"]) for name in ("chosen", "rejected"))
    return [one - other for one, other in zip(changes, (chosen, rejected), strict=True)]


def _from_rejected_exact(m, v):
    learned, alpha = v["ref"] + (v["chosen"] - v["rejected"]) / v["beta"], 1 / v["beta"]
    shared = m.log(m.exp(alpha * m.log_law(v["chosen"]) + (1 - alpha) * m.log_law(v["rejected"])).sum())
    chosen, rejected = alpha * m.kl(v["chosen"], v["rejected"]) - shared, -alpha * m.kl(v["rejected"], v["chosen"]) - shared
    changes = (_change(m, v, v[name], learned, v["ref"]) for name in ("chosen", "rejected"))
    return [one - other for one, other in zip(changes, (chosen, rejected), strict=True)]


claim(
    "D10.renyi-chosen",
    "With the reference at the chosen law both changes are Kullback-Leibler and Rényi divergences of the data.",
    "chosen α[KL(π_w‖π_l) - D_{1+α}(π_w‖π_l)], α = 1/β",
    source="derived",
    proof="The log-normaliser of π_w (π_w/π_l)^α is αD_{1+α}; subtract it from the mean of α log(π_w/π_l).",
    given=DATA,
    hypotheses=(FROM_CHOSEN,),
    exact=_from_chosen_exact,
)(_renyi_from(lambda *laws: did.displacement_from_chosen(*laws)))
claim(
    "D10.renyi-rejected",
    "With the reference at the rejected law both changes are Kullback-Leibler and Rényi divergences of the data.",
    "chosen αKL(π_w‖π_l) - (α-1)D_α(π_w‖π_l), α = 1/β",
    source="derived",
    proof="The log-normaliser of π_l (π_w/π_l)^α is (α-1)D_α; subtract it from the mean of α log(π_w/π_l).",
    given=DATA,
    hypotheses=(FROM_REJECTED,),
    exact=_from_rejected_exact,
)(_renyi_from(lambda *laws: did.displacement_from_rejected(*laws)))
