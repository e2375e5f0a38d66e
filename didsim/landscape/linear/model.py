"""What is the loss of a policy that is linear in features, how does it bend, and what does it leave open?"""

from typing import NamedTuple, final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from didsim.numerics import linalg
from didsim.numerics.pytrees import positive, pytree
from didsim.objectives.links import logistic
from didsim.policies import LogLinear
from didsim.samplers import Sampler
from didsim.worlds import Problem
from didsim.worlds.preferences import Labels, reward_gaps


@final
@pytree
class LinearModel:
    """Logistic preference loss of a linear implicit reward, ``m_ab = β⟨θ, φ_a - φ_b⟩`` (L1; our reading of paper B's proxy).

    Attributes:
        features: φ, shape (prompts, n, d).
        shown: law μ of the pair shown, shape (prompts, n, n).
        wins: ``P_ab``, shape (prompts, n, n).
        log_prompts: log of the prompt law, shape (prompts,).
        beta: inverse temperature, > 0; one for a reward model.
    """

    features: Float[Array, "prompts n d"]
    shown: Float[Array, "prompts n n"]
    wins: Float[Array, "prompts n n"]
    log_prompts: Float[Array, " prompts"]
    beta: float | Float[Array, ""] = positive(default=1.0)

    def margins(self, theta: Float[Array, " d"]) -> Float[Array, "prompts n n"]:
        """``m_ab`` of every pair."""
        return reward_gaps(self.beta * jnp.einsum("xnd,d->xn", self.features, theta))

    def loss(self, theta: Float[Array, " d"]) -> Float[Array, ""]:
        """``-E_μ[P log σ(m) + (1-P) log σ(-m)]`` in nats."""
        margin = self.margins(theta)
        return jnp.sum(self._weight * (self.wins * logistic(margin) + (1.0 - self.wins) * logistic(-margin)))

    def gradient(self, theta: Float[Array, " d"]) -> Float[Array, " d"]:
        """``-β E_μ[(P - σ(m)) Δφ]`` (derived; L1)."""
        pull = self._weight * (self.wins - jax.nn.sigmoid(self.margins(theta)))
        return -self.beta * jnp.einsum("xn,xnd->d", pull.sum(2) - pull.sum(1), self.features)

    def hessian(self, theta: Float[Array, " d"]) -> Float[Array, "d d"]:
        """``β² E_μ[σ'(m) Δφ Δφᵀ]``: positive semi-definite, so the loss is convex (derived; L1)."""
        margin = self.margins(theta)
        slope = jax.nn.sigmoid(margin) * jax.nn.sigmoid(-margin)
        return self.beta**2 * _spread_of_differences(self.features, self._weight * slope)

    @property
    def _weight(self) -> Float[Array, "prompts n n"]:
        return jnp.exp(self.log_prompts)[:, None, None] * self.shown


class Bounds(NamedTuple):
    """Curvature of the loss on a ball of parameters: strong convexity, smoothness, and the factor by which one step of
    gradient descent at rate 1/smoothness shrinks the loss gap."""

    convexity: Float[Array, ""]
    smoothness: Float[Array, ""]
    rate: Float[Array, ""]


def linear_model(
    problem: Problem,
    policy: LogLinear,
    sampler: Sampler,
    labels: Labels,
    beta: Float[Array, ""] | float,
    log_policy: Float[Array, "prompts n"] | None = None,
) -> LinearModel:
    """DPO's loss of a log-linear policy as a `LinearModel`; pairs are shown at ``log_policy``, π_ref if missing."""
    at = problem.log_ref if log_policy is None else log_policy
    features = jnp.broadcast_to(policy.features, (*problem.log_ref.shape, policy.features.shape[-1])).astype(at.dtype)
    shown = sampler.pair_law(problem, at).matrix()
    return LinearModel(features, shown, labels.matrix(problem.reward), problem.log_prompts, beta)


def feature_covariance(model: LinearModel) -> Float[Array, "d d"]:
    """``E_μ Δφ Δφᵀ``: the minimisers are ``θ* + null`` of it (L2)."""
    return _spread_of_differences(model.features, jnp.exp(model.log_prompts)[:, None, None] * model.shown)


def open_directions(covariance: Float[Array, "d d"]) -> Float[Array, "d d"]:
    """Projector on the null space of the feature covariance; its trace is the number of open dimensions (L2)."""
    values, vectors = linalg.eigh(covariance)
    kept = jnp.where(linalg.vanishing(values), vectors, 0.0)
    return kept @ kept.T


def open_parts(model: LinearModel) -> Float[Array, "prompts n n"]:
    """Length of the part of ``φ_a - φ_b`` that no shown pair reaches; zero iff the pair's margin is learned (derived; L2).

    A response that is never shown is learned all the same if its differences lie in the span of the sampled ones.
    """
    projected = model.features @ open_directions(feature_covariance(model))
    return jnp.linalg.norm(projected[:, :, None] - projected[:, None], axis=-1)


def curvature_bounds(model: LinearModel, radius: Float[Array, ""] | float) -> Bounds:
    """Strong convexity and smoothness on ``‖θ‖ ≤ R``, and the rate that follows (standard; L3).

    ``β² σ'(βR max‖Δφ‖) λ_min(E ΔφΔφᵀ) ≤ ∇²L ≤ (β²/4) λ_max``, the maximum over shown pairs; a step of gradient descent at
    rate 1/L shrinks the loss gap at least by the factor ``1 - convexity/smoothness``.
    """
    values = linalg.eigvalsh(feature_covariance(model))
    difference = jnp.linalg.norm(model.features[:, :, None] - model.features[:, None], axis=-1)
    reach = model.beta * radius * jnp.max(jnp.where(model.shown > 0, difference, 0.0))
    slope = jax.nn.sigmoid(reach) * jax.nn.sigmoid(-reach)
    convexity = model.beta**2 * slope * jnp.maximum(values[0], 0.0)
    smoothness = model.beta**2 * values[-1] / 4.0
    return Bounds(convexity, smoothness, 1.0 - convexity / smoothness)


def _spread_of_differences(features: Float[Array, "prompts n d"], weight: Float[Array, "prompts n n"]) -> Float[Array, "d d"]:
    """``Σ_ab w_ab (φ_a - φ_b)(φ_a - φ_b)ᵀ`` as ``ΦᵀLap(w + wᵀ)Φ``, without an array of differences."""
    both = weight + jnp.swapaxes(weight, 1, 2)
    own = jnp.einsum("xn,xnd,xne->de", both.sum(2), features, features)
    return own - jnp.einsum("xab,xad,xbe->de", both, features, features)
