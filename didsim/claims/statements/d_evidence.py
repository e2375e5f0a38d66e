"""What is differential information, and which preferences encode it?  Claims D1 to D4 and D8."""

import jax
import jax.numpy as jnp

from didsim import did, objectives
from didsim.claims.arithmetic import gaps
from didsim.claims.ledger import claim
from didsim.claims.statements.conditions import POWER_LAW, above, capped, off, reach, same, sets, zero
from didsim.claims.statements.one_prompt import drawn_apart, shown, world
from didsim.claims.variables import between, law, real, whole
from didsim.numerics import simplex
from didsim.worlds import preferences

FULL_SUPPORT = zero("the reference gives every response mass", "lost")


def _cut(ref, lost):
    """The reference without its first response, if that is lost."""
    gone = (jnp.arange(ref.shape[-1]) == 0) & (lost > 0)
    return simplex.normalize(jnp.where(gone, -jnp.inf, ref))


def _cut_mass(m, v):
    mass = m.law(v["ref"])
    mass[0] = mass[0] * (1 - v["lost"])
    return mass


def _posterior_exact(m, v):
    weights = _cut_mass(m, v) * m.law(v["target"]) / m.law(v["ref"])
    return weights / weights.sum() - m.law(v["target"])


@claim(
    "D1.posterior",
    "Evidence with likelihood proportional to the differential information turns the reference into the policy.",
    "π ∝ π_ref · q_{π/π_ref}",
    source="paper A",
    proof="Bayes: π_ref q over its sum, with q ∝ π/π_ref, is π, since π_ref cancels wherever it has mass.",
    given={"ref": law(), "target": law(), "lost": whole(0, 1)},
    hypotheses=(FULL_SUPPORT,),
    exact=_posterior_exact,
)
def _posterior(v):
    q = did.log_did(simplex.normalize(v["target"]), simplex.normalize(v["ref"]))
    return off(
        jnp.exp(simplex.normalize(_cut(v["ref"], v["lost"]) + q)), jax.nn.softmax(v["target"]), reach(v["ref"], v["target"])
    )


def _unique_exact(m, v):
    posterior = _cut_mass(m, v) * m.law(v["q"])
    found = posterior / m.law(v["ref"])
    return found / found.sum() - m.law(v["q"])


@claim(
    "D1.unique",
    "The evidence is determined: whatever law q made the policy, the differential information gives q back.",
    "π ∝ π_ref · q  ⇒  q_{π/π_ref} = q",
    source="paper A",
    proof="Where π_ref has mass, q must be π/π_ref up to a factor, and q sums to one.",
    given={"ref": law(), "q": law(), "lost": whole(0, 1)},
    hypotheses=(FULL_SUPPORT,),
    exact=_unique_exact,
)
def _unique(v):
    ref = _cut(v["ref"], v["lost"])
    found = did.log_did(simplex.normalize(ref + v["q"]), ref)
    return off(jnp.exp(found), jax.nn.softmax(v["q"]), reach(v["ref"], v["q"]))


def _event_exact(m, v):
    ratio = m.law(v["target"]) / m.law(v["ref"])
    pairs = ratio[:, None] / ratio[None, :]
    largest = [m.number(1) * 0 + row[0] for row in pairs]
    for column in range(1, len(ratio)):
        largest = [m.smaller(one, pairs[k, column]) for k, one in enumerate(largest)]
    return [v["scale"] * one - 1 for one in largest]


@claim(
    "D1.event",
    "An event with likelihood c·π/π_ref realises the evidence, as long as c is at most one over the largest ratio.",
    "P(X|y) = c·π(y)/π_ref(y) ≤ 1,  P(y|X) = π(y)",
    source="paper A",
    proof="P(y|X) ∝ P(X|y) π_ref(y) = c π(y). A chance is at most one, so c is at most one over the largest ratio.",
    given={"ref": law(), "target": law(), "scale": between(0.05, 3.0)},
    hypotheses=(capped("c is at most one over the largest ratio", "scale", 1),),
    exact=_event_exact,
    kind="inequality",
)
def _event(v):
    ref, target = simplex.normalize(v["ref"]), simplex.normalize(v["target"])
    chance = v["scale"] * jnp.exp(did.evidence_likelihood(target, ref))
    posterior = chance * jnp.exp(ref) / jnp.sum(chance * jnp.exp(ref))
    return jnp.maximum(above(chance, jnp.ones(())), off(posterior, jnp.exp(target), reach(ref, target)))


@claim(
    "D2.reverse",
    "Going back undoes the evidence: the two differential informations multiply to the uniform law.",
    "q_{π/π_ref} · q_{π_ref/π} ∝ 1",
    source="derived",
    proof="The two ratios are each other's reciprocals.",
    given={"ref": law(), "target": law(), "other": law()},
    hypotheses=(same("the way back ends at the reference", "other", "ref"),),
    exact=lambda m, v: m.law(v["target"] - v["ref"] + v["other"] - v["target"]) * len(v["ref"]) - 1,
)
def _reverse(v):
    ref, target, other = (simplex.normalize(v[name]) for name in ("ref", "target", "other"))
    forward, back = did.log_did(target, ref), did.log_did(other, target)
    return off(jnp.exp(did.compose(forward, back)), jnp.full(ref.shape, 1.0 / ref.shape[-1]), reach(ref, target, other))


@claim(
    "D2.chain",
    "Evidence adds up along a chain of laws.",
    "q_{a/c} ∝ q_{a/b} · q_{b/c}",
    source="derived",
    proof="(a/b)(b/c) = a/c, response by response.",
    given={"a": law(), "b": law(), "c": law(), "via": law()},
    hypotheses=(same("the chain passes through one middle law", "via", "b"),),
    exact=lambda m, v: m.law(v["a"] - v["b"] + v["via"] - v["c"]) - m.law(v["a"] - v["c"]),
)
def _compose(v):
    a, b, c, d = (simplex.normalize(v[name]) for name in ("a", "b", "c", "via"))
    chained = did.compose(did.log_did(a, b), did.log_did(d, c))
    return off(jnp.exp(chained), jnp.exp(did.log_did(a, c)), reach(a, b, c, d))


def _power_exact(m, v):
    mixed = m.log((1 - v["t"]) * m.law(v["ref"]) + v["t"] * m.law(v["target"]))
    straight = (1 - v["t"]) * v["ref"] + v["t"] * v["target"]
    there = (1 - v["bend"]) * straight + v["bend"] * mixed
    return m.law(there - v["ref"]) - m.law(v["t"] * (v["target"] - v["ref"]))


@claim(
    "D2.power",
    "Part of the way along the exponential path carries a power of the whole evidence.",
    "q_{π_t/π_ref} ∝ q_{π/π_ref}^t",
    source="derived",
    proof="The path is log π_t = log π_ref + t log(π/π_ref) + const; subtract log π_ref.",
    given={"ref": law(), "target": law(), "t": between(0.1, 0.9), "bend": between(0.3, 1.0)},
    hypotheses=(zero("the path is exponential, not a mixture", "bend"),),
    exact=_power_exact,
)
def _power(v):
    ref, target = simplex.normalize(v["ref"]), simplex.normalize(v["target"])
    mixed = jnp.log((1.0 - v["t"]) * jnp.exp(ref) + v["t"] * jnp.exp(target))
    there = simplex.normalize((1.0 - v["bend"]) * did.path_law(ref, target, v["t"]) + v["bend"] * mixed)
    wanted = simplex.normalize(v["t"] * did.log_did(target, ref))
    return off(jnp.exp(did.log_did(there, ref)), jnp.exp(wanted), reach(ref, target))


def _bayes_exact(m, v):
    joint = m.law(v["chosen"])[:, None] * m.law(v["rejected"])[None, :] * m.exp(v["even"] + v["even"].T + v["odd"])
    return joint / (joint + joint.T) - m.sigmoid(gaps(v["chosen"] - v["rejected"]))


@claim(
    "D3.bradley-terry",
    "Independent chosen and rejected draws are labelled by Bradley-Terry with the differential information as reward.",
    "Pr(a chosen | {a,b}) = σ(log q(a) - log q(b)), q = q_{π_w/π_l}",
    source="paper A",
    proof=(
        "Bayes over the two orders: π_w(a)π_l(b) against π_w(b)π_l(a); the log of their ratio is the difference of log "
        "π_w/π_l. A factor that is symmetric in a and b cancels."
    ),
    given={"chosen": law(), "rejected": law(), "odd": real("n", "n"), "even": real("n", "n")},
    hypotheses=(
        zero("no dependence that tells the two roles apart", "odd"),
        zero("no dependence that is symmetric in the two responses", "even", needed=False),
    ),
    exact=_bayes_exact,
)
def _bayes(v):
    table = simplex.normalize(v["chosen"])[:, None] + simplex.normalize(v["rejected"])[None, :]
    table = table + v["even"] + v["even"].T + v["odd"]
    problem = world(v["chosen"], jnp.ones(()), target=v["rejected"])
    _, as_shown = drawn_apart()
    ordered = objectives.population(problem, shown(table), as_shown, problem.log_ref).ordered[0]
    reward = did.log_did(simplex.normalize(v["chosen"]), simplex.normalize(v["rejected"]))
    wanted = preferences.BradleyTerry().matrix(reward)
    return off(ordered / (ordered + ordered.T), wanted, reach(v["chosen"], v["rejected"]))


@claim(
    "D4.encoding",
    "Under the power law the labels are Bradley-Terry with the differential information of target against reference.",
    "P_ab = σ(β log q(a) - β log q(b)), q = q_{π*/π_ref}",
    source="paper A",
    proof="Put the power law into D3; its constant cancels in the difference.",
    given={
        "ref": law(),
        "target": law(),
        "chosen": law(),
        "rejected": law(),
        "beta": between(0.05, 5.0),
        "beta_told": between(0.05, 5.0),
    },
    hypotheses=(POWER_LAW, same("the exponent is the data's", "beta_told", "beta")),
    exact=lambda m, v: m.sigmoid(gaps(v["chosen"] - v["rejected"])) - m.sigmoid(v["beta_told"] * gaps(v["target"] - v["ref"])),
)
def _encodes(v):
    problem = world(v["ref"], v["beta"], target=v["target"], log_chosen=v["chosen"], log_rejected=v["rejected"])
    ordered = objectives.population(problem, *drawn_apart(), problem.log_ref).ordered[0]
    reward = v["beta_told"] * did.log_did(problem.log_target[0], problem.log_ref[0])
    wanted = preferences.BradleyTerry().matrix(reward)
    scale = (1.0 + v["beta"]) * reach(v["ref"], v["target"]) + reach(v["chosen"])
    return off(ordered / (ordered + ordered.T), wanted, scale)


@claim(
    "D8.power-law",
    "Under the power law the data's log-margins are the target's against the reference's, times the exponent.",
    "M_{π_w} - M_{π_l} = β (M_{π*} - M_{π_ref}) on all pairs",
    source="paper A, made precise here",
    proof="Take logarithms of the power law at two responses; the constant cancels.",
    given={"ref": law(), "target": law(), "chosen": law(), "rejected": law(), "beta": between(0.05, 5.0)},
    hypotheses=(POWER_LAW,),
    exact=lambda m, v: gaps(v["chosen"] - v["rejected"]) - v["beta"] * gaps(v["target"] - v["ref"]),
    other_sizes=(40,),
)
def _proportional(v):
    chosen, rejected, ref, target = (simplex.normalize(v[name]) for name in ("chosen", "rejected", "ref", "target"))
    order = did.margin_order(chosen - rejected, target - ref)
    wide = jnp.linalg.norm(simplex.clr(target - ref))
    scale = (1.0 + v["beta"]) * reach(chosen, ref, target) / (jnp.minimum(wide, 1.0) * jnp.minimum(v["beta"], 1.0))
    worst = jnp.maximum(off(order.slope, v["beta"], scale), off(order.residual, jnp.zeros(()), scale))
    return jnp.where(wide > 0, worst, 0.0)  # equal laws have margins of zero and any exponent


def _link(m, v):
    """The target's log-ratio as a function of the data's."""
    data = v["ref"] - v["rejected"]
    return v["line"] * data + v["cube"] * data * data * data


@claim(
    "D8.order",
    "With chosen responses from the reference, margins of rejected, reference and target are in order on all pairs "
    "whenever the target's log-ratio is an increasing function of the data's, linear or not.",
    "M_{π_l} < M_{π_ref} ⇒ M_{π_ref} < M_{π*}",
    source="paper A, made precise here",
    proof=(
        "Both margins are differences of two functions of the response of which one is an increasing function of the "
        "other, so their signs agree."
    ),
    given={"ref": law(), "rejected": law(), "line": between(-1.0, 2.0), "cube": between(0.0, 0.5)},
    hypotheses=(
        sets("the link is increasing", line=lambda m, v: m.size(v["line"])),
        zero("the link is linear", "cube", needed=False),
    ),
    exact=lambda m, v: -gaps(v["ref"] - v["rejected"]) * gaps(_link(m, v)),
    kind="inequality",
)
def _ordered(v):
    ref, rejected = simplex.normalize(v["ref"]), simplex.normalize(v["rejected"])
    data = ref - rejected
    learned = simplex.clr(v["line"] * data + v["cube"] * data * data * data)
    order = did.margin_order(simplex.clr(data), learned)
    products = -gaps(data) * gaps(learned)
    scale = 1.0 + reach(data) * reach(learned)
    worst = jnp.max(products) / scale
    # A strict share of reversed pairs counts only where a reversal is no rounding.
    return jnp.maximum(worst, jnp.where(worst > 1e-9, order.reversed, 0.0))


def _mean_margin_exact(m, v):
    ratio = v["target"] - v["ref"]
    mean = m.mean(v["chosen"], ratio) - m.mean(v["rejected"], ratio)
    return mean - (m.kl(v["chosen"], v["rejected"]) + m.kl(v["rejected"], v["chosen"])) / v["beta"]


@claim(
    "D8.mean-margin",
    "On the data the mean log-margin to be learned is the Jeffreys divergence of the data over the exponent.",
    "E[M_{π*} - M_{π_ref}] = J(π_w, π_l)/β",
    source="derived",
    proof="Take the mean of D8.power-law over π_w ⊗ π_l: E_w log(π_w/π_l) - E_l log(π_w/π_l) is the Jeffreys divergence.",
    given={"ref": law(), "target": law(), "chosen": law(), "rejected": law(), "beta": between(0.05, 5.0)},
    hypotheses=(POWER_LAW,),
    exact=_mean_margin_exact,
)
def _mean_margin(v):
    chosen, rejected, ref, target = (simplex.normalize(v[name]) for name in ("chosen", "rejected", "ref", "target"))
    ratio = target - ref
    mean = simplex.expectation(chosen, ratio) - simplex.expectation(rejected, ratio)
    return off(
        mean, did.learned_margin(chosen, rejected, v["beta"]), (1.0 + 1.0 / v["beta"]) * (1.0 + reach(chosen, rejected, ref))
    )
