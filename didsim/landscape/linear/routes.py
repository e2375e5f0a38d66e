"""Which policy does each route reach: DPO, RLHF in two stages, online DPO?

All three see the same pairs and may say only what their classes can.  The value ``E_π r - β KL(π‖π_ref)`` of where they
end is what they are compared by; a class that holds what it should makes them agree, one that does not tells them apart
(Shi et al.'s (2505.19770) dichotomy; S6).
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from didsim.landscape.linear.minimum import Minimum, minimise, newton_direction
from didsim.landscape.linear.model import LinearModel
from didsim.landscape.solvers import Status
from didsim.numerics import simplex
from didsim.policies import LogLinear
from didsim.worlds import Problem
from didsim.worlds.preferences import reward_gaps


class TwoStage(NamedTuple):
    """RLHF in two stages: the fitted reward's parameters, then the policy's."""

    reward: Minimum
    policy: Minimum


def value(problem: Problem, log_policy: Float[Array, "prompts n"]) -> Float[Array, ""]:
    """``E_ρ[E_π r - β KL(π‖π_ref)]`` at the world's reward, reference and β (definition)."""
    per_prompt = simplex.expectation(log_policy, problem.reward) - problem.beta * simplex.kl(log_policy, problem.log_ref)
    return jnp.sum(jnp.exp(problem.log_prompts) * per_prompt)


def value_expansion(problem: Problem, features: Float[Array, "prompts n d"], theta: Float[Array, " d"]) -> tuple:
    """Value of ``π_θ ∝ π_ref e^{⟨θ,φ⟩}``, its gradient ``Cov_π(f, φ)`` and its Hessian, with ``f = r - β⟨θ,φ⟩``.

    The Hessian is ``E_π[(f - Ef)(φ - Eφ)(φ - Eφ)ᵀ] - β Cov_π(φ)``: where the class holds the target f is constant there
    and the value is concave; elsewhere it need not be (derived).
    """
    tilt = reward_of(features, theta)
    log_policy = simplex.normalize(problem.log_ref + tilt)
    mass = jnp.exp(problem.log_prompts)[:, None] * jnp.exp(log_policy)
    force = problem.reward - problem.beta * tilt
    force = force - simplex.expectation(log_policy, force)[:, None]
    centred = features - jnp.einsum("xn,xnd->xd", jnp.exp(log_policy), features)[:, None]
    gradient = jnp.einsum("xn,xnd->d", mass * force, centred)
    hessian = jnp.einsum("xn,xnd,xne->de", mass * (force - problem.beta), centred, centred)
    return value(problem, log_policy), gradient, hessian


def direct(model: LinearModel, start: Float[Array, " d"] | None = None) -> Minimum:
    """DPO's exact minimiser over θ by Newton's method with the closed Hessian (L1, K3)."""
    begin = jnp.zeros(model.features.shape[-1:], model.features.dtype) if start is None else start
    return minimise(lambda theta: (model.loss(theta), model.gradient(theta), model.hessian(theta)), model.loss, begin)


def fit_reward(model: LinearModel, features: Float[Array, "prompts n d"]) -> Minimum:
    """Maximum-likelihood reward ``⟨w, ψ⟩`` for the pairs and labels of a model: the first stage of RLHF."""
    return direct(replace(model, features=features, beta=jnp.ones((), features.dtype)))


def reward_of(features: Float[Array, "prompts n d"], weights: Float[Array, " d"]) -> Float[Array, "prompts n"]:
    """Linear reward ``⟨w, ψ(x,y)⟩``."""
    return jnp.einsum("xnd,d->xn", features, weights)


def best_in_class(problem: Problem, policy: LogLinear, starts: Float[Array, "starts d"]) -> Minimum:
    """Policy of highest value in a log-linear class: the second stage of RLHF on a problem's reward.

    ``-V`` is not convex in θ where the target is outside the class: the best end of several starts is returned.
    """
    features = jnp.broadcast_to(policy.features, (*problem.log_ref.shape, policy.features.shape[-1])).astype(starts.dtype)

    def cost(theta: Array) -> Array:
        return -value(problem, simplex.normalize(problem.log_ref + reward_of(features, theta)))

    def bend(theta: Array) -> tuple:
        return tuple(-part for part in value_expansion(problem, features, theta))

    ends = jax.vmap(lambda start: minimise(bend, cost, start))(starts)
    best = jnp.argmin(jnp.where(jnp.isfinite(ends.value), ends.value, jnp.inf))
    return jax.tree.map(lambda leaf: leaf[best], ends)


def two_stage(
    problem: Problem,
    policy: LogLinear,
    model: LinearModel,
    reward_features: Float[Array, "prompts n d"],
    starts: Float[Array, "starts d"],
) -> TwoStage:
    """RLHF: reward by maximum likelihood in its class, then the KL-regularised optimum in the policy's class.

    Args:
        problem: the world; only its reference, prompts and β are used in the second stage.
        policy: the policy class.
        model: the pairs and labels, as DPO sees them.
        reward_features: ψ of the reward class.
        starts: where the second stage starts, shape (starts, d).

    Returns:
        Both minima; the policy's ``value`` is minus its value under the *fitted* reward.
    """
    fitted = fit_reward(model, reward_features)
    believed = replace(problem, reward=reward_of(reward_features, fitted.theta))
    return TwoStage(fitted, best_in_class(believed, policy, starts))


def online(model_at: Callable[[Array], LinearModel], start: Float[Array, " d"], steps: int = 300) -> Minimum:
    """Where DPO on pairs from its own policy comes to rest: ``E_{μ_θ}[(P - σ(m_θ)) Δφ] = 0`` (S11).

    Each step is half a Newton step on the loss over the pairs of the moment, at most a half long: whole ones can overshoot,
    because the pairs move with the step.

    Args:
        model_at: parameters to the loss on the pairs that are shown there.
        start: where to start.
        steps: most steps.

    Returns:
        `Minimum` whose ``value`` is the loss on the resting point's own pairs; CONVERGED if the equation holds there,
        STALLED if the steps ran out.
    """
    tolerance = jnp.finfo(start.dtype).eps ** 0.75

    def body(state):
        count, theta, _, _, _ = state
        model = model_at(theta)
        force = model.gradient(theta)
        step, nullity = newton_direction(force, model.hessian(theta))
        size = jnp.max(jnp.abs(step))
        return count + 1, theta + 0.5 * step / jnp.maximum(size, 1.0), size, jnp.max(jnp.abs(force)), nullity

    unknown = jnp.asarray(jnp.inf, start.dtype)
    begin = (jnp.int32(0), start, unknown, unknown, jnp.asarray(0))
    going = jax.lax.while_loop(lambda s: (s[0] < steps) & (s[2] > tolerance), body, begin)
    taken, theta, step, force, nullity = going
    status = jnp.where(step <= jnp.finfo(theta.dtype).eps ** 0.375, Status.CONVERGED, Status.STALLED)
    return Minimum(theta, model_at(theta).loss(theta), force, step, nullity, status, taken)


def value_weights(
    problem: Problem, log_policy: Float[Array, "prompts n"], beta: Float[Array, ""] | float
) -> Float[Array, "prompts n n"]:
    """Pair weights under which DPO's gradient is the value's: ``π_a π_b (Δr - m)/(σ(Δr) - σ(m))`` (derived).

    With them ``-∇L = β E_{π⊗π}[(Δr - m) Δφ] = 2β ∇V`` for every log-linear policy and Bradley-Terry labels: online DPO
    then climbs the value itself.  They do not sum to one; on-policy pairs without the ratio climb it to first order only.
    """
    margin = reward_gaps(beta * (log_policy - problem.log_ref))
    ratio = _secant(reward_gaps(problem.reward), margin)
    mass = jnp.exp(log_policy)
    return mass[:, :, None] * mass[:, None] * ratio


def _secant(one: Float[Array, "*any"], two: Float[Array, "*any"]) -> Float[Array, "*any"]:
    """``(x - y)/(σ(x) - σ(y))`` as ``2(x-y) cosh(x/2) cosh(y/2)/sinh((x-y)/2)``, with its limit ``1/σ'`` where x = y."""
    half = 0.5 * (one - two)
    near = jnp.abs(half) < 1e-4
    safe = jnp.where(near, 1.0, half)
    quotient = jnp.where(near, 1.0 - half**2 / 6.0, safe / jnp.sinh(safe))
    return 4.0 * quotient * jnp.cosh(0.5 * one) * jnp.cosh(0.5 * two)
