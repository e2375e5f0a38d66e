"""How fast does descent go, whichever pairs are shown, and how much do finitely many pairs say?  Claims S4 to S7."""

from typing import Any

import jax
import jax.numpy as jnp

from didsim import landscape, objectives, samplers
from didsim.claims.arithmetic import gaps, turned
from didsim.claims.ledger import claim
from didsim.claims.statements.conditions import ANY_LABELS, BRADLEY_TERRY, above, odds_of, off, reach, sets, zero
from didsim.claims.statements.d_learning import pair_slope
from didsim.claims.statements.one_prompt import labelled, population_loss, shown, slope, world
from didsim.claims.variables import between, law, real
from didsim.landscape import finite_sample
from didsim.numerics import simplex
from didsim.worlds import preferences

PAIRS = {"ref": law(), "reward": real(), "joint": law("n", "n"), "odds": real("n", "n"), "beta": between(0.2, 5.0)}
AT_OPTIMUM = sets("the policy is the target", policy=lambda m, v: v["ref"] + v["reward"] / v["beta"])


@claim(
    "S4.laplacian",
    "The Hessian at the optimum is a weighted graph Laplacian; who wins the labels does not matter to it.",
    "∇²L = β² Lap(w), w_ab = (μ_ab + μ_ba) σ'(r_a - r_b)",
    source="derived",
    proof=(
        "Differentiate twice: the pair (a, b) adds β² σ'(m) (e_a - e_b)(e_a - e_b)ᵀ. Labels stand only in the part linear in m."
    ),
    given=PAIRS | {"policy": law()},
    hypotheses=(
        AT_OPTIMUM,
        ANY_LABELS,
    ),
)
def _hessian(v):
    odds, problem = odds_of(v["odds"]), world(v["ref"], v["beta"], reward=v["reward"])
    sampler, labels = shown(v["joint"]), labelled(odds)
    found = jax.hessian(lambda x: population_loss(objectives.Dpo(v["beta"]), problem, sampler, labels, x))(v["policy"])
    wanted = landscape.hessian_at_optimum(
        jax.nn.softmax(v["joint"].reshape(-1)).reshape(v["joint"].shape), v["reward"], v["beta"]
    )
    scale = (1.0 + v["beta"]) * (1.0 + reach(v["ref"], v["policy"])) + reach(v["reward"])
    return off(found / v["beta"] ** 2, wanted / v["beta"] ** 2, scale)


BESIDE = {
    "ref": law(),
    "reward": between(-2.0, 2.0, "n"),
    "joint": between(-1.5, 1.5, "n", "n"),
    "beta": between(0.5, 2.0),
}
ONE_STEP: dict[str, Any] = {
    "hypotheses": (sets("the step is the best one", haste=lambda m, v: v["haste"] * 0 + 1),),
    "kind": "rate",
    "rounding": 0.0,
    "allowance": 1e-4,
    "share": 0.2,
    "smooth": False,
    "needs_double": True,
    "other_sizes": (2, 12),
}
AWAY = 1e-6  # nats beside the optimum, where what is quadratic is far below the allowance


def _left(v, towards, problem, force):
    """Size of an error of one nat along a unit direction after the step, and the rate that the Hessian's ends predict."""
    pairs = jax.nn.softmax(v["joint"].reshape(-1)).reshape(v["joint"].shape)
    smallest, largest, step = landscape.descent_rate(landscape.hessian_at_optimum(pairs, v["reward"], v["beta"]))
    start = problem.log_target[0] + AWAY * towards
    end = start - v["haste"] * step * force(start)
    left = jnp.linalg.norm(simplex.clr(end - problem.log_target[0])) / AWAY
    return left, (largest - smallest) / (largest + smallest)


def _beside(v):
    """The world, and the loss's slope at logits."""
    problem = world(v["ref"], v["beta"], reward=v["reward"])
    return problem, lambda logits: slope(
        objectives.Dpo(v["beta"]), problem, shown(v["joint"]), preferences.BradleyTerry(), logits
    )


@claim(
    "S4.rate",
    "Near the optimum one step of the best size contracts the error by (κ-1)/(κ+1) at least, κ the condition number.",
    "‖e'‖ ≤ (λ_max-λ₂)/(λ_max+λ₂) ‖e‖ at η = 2/(λ₂+λ_max)",
    source="derived",
    proof="Along the eigenvector of λ the error is multiplied by 1 - ηλ; the best η makes the two ends equal.",
    given=BESIDE | {"away": real(), "haste": between(1.2, 2.0)},
    **ONE_STEP,
)
def _contraction(v):
    away = simplex.clr(v["away"]) / (1e-300 + jnp.linalg.norm(simplex.clr(v["away"])))
    left, rate = _left(v, away, *_beside(v))
    return left - rate


@claim(
    "S4.slowest",
    "The rate is no better than stated: an error along the slowest direction shrinks by just that factor.",
    "e = v₂  ⇒  ‖e'‖ = (λ_max-λ₂)/(λ_max+λ₂) ‖e‖ at η = 2/(λ₂+λ_max)",
    source="derived",
    proof="At the best step both ends of the spectrum have the factor (κ-1)/(κ+1), and v₂ is an eigenvector of one of them.",
    given=BESIDE | {"haste": between(0.3, 0.8)},
    **ONE_STEP,
)
def _slowest(v):
    problem, force = _beside(v)
    # The direction comes from the loss itself, by its second derivative.
    bent = jax.jacfwd(force)(problem.log_target[0])
    left, rate = _left(v, jnp.linalg.eigh(0.5 * (bent + bent.T))[1][:, 1], problem, force)
    return jnp.abs(left - rate)


def _flat_exact(m, v):
    margins, n = gaps(v["reward"]), v["reward"].shape[-1]
    law = 2 + m.exp(margins) + m.exp(-margins)
    law = (1 - v["even"]) * law / law.sum() + v["even"] / (n * n)
    weights = law * m.sigmoid(margins) * m.sigmoid(-margins)
    return (weights - weights[0, 0]) / weights[0, 0]


@claim(
    "S5.mix-r",
    "Mix-R gives every pair the same weight in the Hessian: condition number one.",
    "μ_ab ∝ 2 + e^{r_a-r_b} + e^{r_b-r_a}  ⇒  w_ab constant",
    source="Shi et al. 2409.19605, explained here",
    proof="1/σ'(d) = 2 + e^d + e^{-d}: the sampler cancels the curvature's weight.",
    given={"reward": between(-3.0, 3.0, "n"), "even": between(0.2, 1.0)},
    hypotheses=(zero("pairs come from Mix-R, not uniformly", "even"),),
    exact=_flat_exact,
    other_sizes=(3, 40),
)
def _flat(v):
    n = v["reward"].shape[-1]
    problem = world(v["reward"] * 0.0, jnp.ones(()), reward=v["reward"])
    law = samplers.MixR().pair_law(problem, problem.log_ref).matrix()[0]
    law = (1.0 - v["even"]) * law + v["even"] / n**2
    weights = landscape.laplacian_weights(law, v["reward"])
    wanted = jnp.max(weights) * (1.0 - jnp.eye(n))
    return off(weights / jnp.max(weights), wanted / jnp.max(weights), 1.0 + reach(v["reward"]))


STEEPEST = 0.09622504486493764  # largest |second derivative of σ|, 1/(6√3), rounded up
QUADRATIC = {
    "ref": law(),
    "reward": between(-2.0, 2.0, "n"),
    "beta": between(0.3, 2.0),
    "away": between(-1.0, 1.0, "n"),
    "size": between(1e-3, 0.3),
    "even": between(0.5, 1.0),
}


def _error(v):
    """The error before the step, centred."""
    return v["size"] * (v["away"] - v["away"].sum(-1) / v["away"].shape[-1])


def _newton_like(sampler, own_margins):
    def residual(v):
        n, error = v["reward"].shape[-1], _error(v)
        problem = world(v["ref"], v["beta"], reward=v["reward"])
        start = problem.log_target[0] + error
        law_ = sampler(v["beta"]).pair_law(problem, simplex.normalize(start)[None]).matrix()[0]
        law_ = (1.0 - v["even"]) * law_ + v["even"] / n**2
        seen = v["reward"] + own_margins * v["beta"] * error
        step = (n - 1) / (v["beta"] ** 2 * jnp.sum(landscape.laplacian_weights(law_, seen)))
        force = slope(objectives.Dpo(v["beta"]), problem, shown(jnp.log(law_)), preferences.BradleyTerry(), start)
        left = jnp.sum(jnp.abs(error - step * force))
        most = step * v["beta"] ** 3 * STEEPEST * jnp.sum(law_ * gaps(error) ** 2)
        scale = (1.0 + step * v["beta"] ** 2) * (1.0 + 1.0 / v["beta"]) * (1.0 + reach(v["ref"], v["reward"]))
        return above(left, most, scale)

    return residual


def _newton_like_exact(own_margins):
    def exact(m, v):
        n, error = v["reward"].shape[-1], _error(v)
        seen = gaps(v["reward"] + own_margins * v["beta"] * error)
        weight = 2 + m.exp(seen) + m.exp(-seen)
        law_ = (1 - v["even"]) * weight / weight.sum() + v["even"] / (n * n)
        curvature = 2 * law_ * m.sigmoid(seen) * m.sigmoid(-seen)
        step = (n - 1) / (v["beta"] * v["beta"] * sum(curvature[a, b] for a in range(n) for b in range(n) if a != b))
        force = v["beta"] * pair_slope(m, law_, gaps(v["reward"]), gaps(v["reward"] + v["beta"] * error))
        apart = gaps(error)
        most = step * v["beta"] * v["beta"] * v["beta"] * m.number(STEEPEST) * (law_ * apart * apart).sum()
        return m.size(error - step * force).sum() - most

    return exact


_WHY = (
    "With even weights the gradient step is Newton's; what is left is Taylor's remainder, and |σ''| ≤ 1/(6√3).",
    "The curvature at the policy's own margins differs from the optimum's by the error itself; the rest is Taylor's remainder.",
)
for _name, _sampler, _own in (("mix-r", lambda beta: samplers.MixR(), 0), ("mix-p", lambda beta: samplers.MixP(beta), 1)):
    claim(
        f"S5.quadratic-{_name}",
        f"With {_name.title()} one step of the right size squares the error, with a stated constant.",
        "‖e'‖₁ ≤ η β³ E_μ[(e_a - e_b)²] / (6√3)",
        source="Shi et al. 2409.19605, explained here; constant derived",
        needs_double=True,
        proof=_WHY[_own],
        given=QUADRATIC,
        hypotheses=(zero("pairs come from the mixture, not uniformly", "even"),),
        exact=_newton_like_exact(_own),
        kind="inequality",
        other_sizes=(2, 12),
    )(_newton_like(_sampler, _own))


def _any_sampler_exact(m, v):
    fitted = (v["features"] * v["theta"]).sum(-1)
    joint = m.law(v["joint"].reshape(-1)).reshape(v["joint"].shape)
    return (v["features"] * pair_slope(m, joint, odds_of(v["odds"]), gaps(fitted))[:, None]).sum(0)


def _true_reward(v):
    return (v["features"] * v["theta"]).sum(-1) + v["misfit"]


@claim(
    "S6.sampler-free",
    "Which pairs are shown does not move the optimum if labels are Bradley-Terry and the policy class holds the target.",
    "∇L(θ*) = 0 for every μ",
    source="Chen et al. 2602.12180; derived",
    proof="At π* every pair's term is zero by itself, so its weight does not matter.",
    given={
        "ref": law(),
        "features": real("n", 3),
        "theta": between(-1.0, 1.0, 3),
        "misfit": real(),
        "joint": law("n", "n"),
        "odds": real("n", "n"),
        "beta": between(0.2, 5.0),
    },
    hypotheses=(
        zero("the policy class holds the target", "misfit"),
        sets("labels are Bradley-Terry", odds=lambda m, v: gaps(_true_reward(v)) + v["odds"] * 0),
    ),
    exact=_any_sampler_exact,
)
def _any_sampler(v):
    odds, problem = odds_of(v["odds"]), world(v["ref"], v["beta"], reward=v["features"] @ v["theta"] + v["misfit"])
    sampler, labels = shown(v["joint"]), labelled(odds)

    def restricted(theta):
        return population_loss(
            objectives.Dpo(v["beta"]), problem, sampler, labels, problem.log_ref[0] + v["features"] @ theta / v["beta"]
        )

    found = jax.grad(restricted)(v["theta"])
    scale = (
        (1.0 + reach(v["features"])) * (1.0 + v["beta"]) * (1.0 + reach(v["features"] @ v["theta"], v["ref"]) + reach(v["theta"]))
    )
    return off(found, jnp.zeros(()), scale)


def _information_exact(m, v):
    margins, odds = gaps(v["reward"]), odds_of(v["odds"])
    won, lost = m.sigmoid(margins), m.sigmoid(-margins)
    joint = m.law(v["joint"].reshape(-1)).reshape(v["joint"].shape)
    apart = joint * (m.sigmoid(odds) * lost * lost + m.sigmoid(-odds) * won * won - won * lost)
    return apart + turned(apart)


@claim(
    "S7.information",
    "With Bradley-Terry labels the scores' covariance is the Hessian, so the errors of n pairs are its inverse over n.",
    "E[∇ℓ ∇ℓᵀ] = ∇²L",
    source="derived",
    proof="With P = σ(m) the variance of a label is σ(m)σ(-m) = σ'(m), the curvature.",
    given=PAIRS,
    hypotheses=(BRADLEY_TERRY,),
    exact=_information_exact,
)
def _information(v):
    odds, problem = odds_of(v["odds"]), world(v["ref"], v["beta"], reward=v["reward"])
    pairs = jax.nn.softmax(v["joint"].reshape(-1)).reshape(v["joint"].shape)
    hessian = landscape.hessian_at_optimum(pairs, v["reward"], v["beta"]) / v["beta"] ** 2
    n = v["reward"].shape[-1]
    one = jnp.eye(n)
    direction = one[:, None, :] - one[None, :, :]
    margins = gaps(problem.reward[0])
    # A pair's score is ±(1 - σ(±m)) along the difference of its two responses.
    second = jax.nn.sigmoid(odds) * jax.nn.sigmoid(-margins) ** 2 + jax.nn.sigmoid(-odds) * jax.nn.sigmoid(margins) ** 2
    spread = jnp.einsum("ab,abi,abj->ij", pairs * second, direction, direction)
    told = landscape.score_covariance(pairs, jax.nn.sigmoid(odds), v["reward"], 1.0)
    scale = 1.0 + reach(v["reward"])
    return jnp.maximum(off(spread, hessian, scale), off(told, spread, scale))


@claim(
    "S7.resistance",
    "The variance of a log-margin learned from n pairs is the comparison graph's effective resistance over n.",
    "n Var(log π(a) - log π(b)) = (e_a - e_b)ᵀ H⁺ (e_a - e_b) = potential drop of a unit current from a to b",
    source="derived",
    proof=(
        "The covariance is the Laplacian's pseudo-inverse over n (S7.information); its quadratic form is the effective "
        "resistance."
    ),
    given={
        "reward": between(-2.0, 2.0, "n"),
        "joint": between(-1.5, 1.5, "n", "n"),
        "beta": between(0.5, 2.0),
        "grounded": between(0.3, 1.0),
    },
    hypotheses=(zero("current leaves at the other response alone", "grounded"),),
    share=0.2,
    smooth=False,
    other_sizes=(3, 12),
)
def _resistance(v):
    n = v["reward"].shape[-1]
    pairs = jax.nn.softmax(v["joint"].reshape(-1)).reshape(v["joint"].shape)
    hessian = landscape.hessian_at_optimum(pairs, v["reward"], v["beta"])
    # Kirchhoff's law by elimination: the last response is held at zero, a unit current goes in at the first, out at the last.
    leak = v["grounded"] * jnp.trace(hessian) * jnp.eye(n - 1)
    potential = jnp.linalg.solve(hessian[:-1, :-1] + leak, jnp.eye(n - 1)[0])[0]
    resistance = landscape.effective_resistance(hessian)[0, -1]
    variance = finite_sample.margin_variances(landscape.asymptotic_covariance(hessian))[0, -1]
    scale = (1.0 + potential) * 64.0 * jnp.exp(reach(v["reward"]))
    return jnp.maximum(off(resistance, potential, scale), off(variance, potential, scale))
