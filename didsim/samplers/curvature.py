"""Which pairs make the loss equally curved in every direction?

Samplers of Shi et al. 2409.19605 show a pair in proportion to ``1/σ'(d) = 2 + e^d + e^{-d}``, which cancels the
slope of the logistic function in the Hessian's weights: the Laplacian is that of the complete graph, κ = 1, and one step
is a Newton step (S5).
"""

from typing import final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from didsim.numerics.pytrees import positive
from didsim.samplers.basic import Independent, OnPolicy
from didsim.samplers.behaviours import FromPolicy, Tilt
from didsim.samplers.combinators import Mix
from didsim.samplers.laws import JointLaw, ProductMixture
from didsim.samplers.source import SAMPLERS, Number, Sampler
from didsim.worlds import Problem


@SAMPLERS.register("mix_r")
@final
class MixR(Sampler):
    """``μ_ab ∝ 1/σ'(r_a - r_b)`` with the true reward (Shi et al.'s (2409.19605) Mix-R; S5), a sum of three products."""

    def pair_law(self, problem, log_policy):
        return inverse_slope_law(problem.reward)


class FollowsMargin(Sampler):
    """A sampler that looks at the policy's margins ``m_ab = β log(π_t/π_ref)(a) - β log(π_t/π_ref)(b)``."""

    beta: Number | None

    @property
    def follows_policy(self):
        return True

    def implicit_reward(self, problem: Problem, log_policy: Float[Array, "prompts n"]) -> Float[Array, "prompts n"]:
        """``β log(π_t/π_ref)`` under a stop-gradient."""
        return self.margin_scale(problem) * (jax.lax.stop_gradient(log_policy) - problem.log_ref)

    def margin_scale(self, problem: Problem) -> Number:
        """β, the problem's if the sampler has none."""
        return problem.beta if self.beta is None else self.beta


@SAMPLERS.register("mix_p")
@final
class MixP(FollowsMargin):
    """``μ_ab ∝ 1/σ'(m_ab)`` with the current policy's margins (Shi et al.'s (2409.19605) Mix-P; S5), a sum of three products."""

    beta: Number | None = positive(default=None)

    def pair_law(self, problem, log_policy):
        return inverse_slope_law(self.implicit_reward(problem, log_policy))


@SAMPLERS.register("mix_p_star")
@final
class MixPStar(FollowsMargin):
    """Mix-P with entries capped at ``2 + e^R + e^{-R}``, ``R = max r - min r`` (Shi et al.'s (2409.19605) Mix-P*; S5); dense."""

    beta: Number | None = positive(default=None)

    def pair_law(self, problem, log_policy):
        implicit = self.implicit_reward(problem, log_policy)
        cap = (problem.reward.max(-1) - problem.reward.min(-1))[:, None, None]
        margin = jnp.minimum(jnp.abs(implicit[:, :, None] - implicit[:, None, :]), cap)
        log_joint = margin + 2.0 * jnp.log1p(jnp.exp(-margin))  # log(2 + e^m + e^-m) without overflow
        return JointLaw(log_joint - jax.nn.logsumexp(log_joint, axis=(-2, -1), keepdims=True))


@SAMPLERS.register("pilaf")
@final
class Pilaf(FollowsMargin):
    """PILAF: ``½ π⊗π + ½ π⁺⊗π⁻`` with ``π^± ∝ π^{1±β} π_ref^{∓β}``, the policy tilted by its own margins."""

    beta: Number | None = positive(default=None)

    def pair_law(self, problem, log_policy):
        beta = self.margin_scale(problem)
        up, down = (Tilt(FromPolicy(), sign * beta, "implicit") for sign in (1.0, -1.0))
        return Mix(OnPolicy(), Independent(up, down), 0.5).pair_law(problem, log_policy)


def inverse_slope_law(score: Float[Array, "prompts n"]) -> ProductMixture:
    """Pair law ``∝ 2 + e^{s_a - s_b} + e^{s_b - s_a} = 1/σ'(s_a - s_b)`` of a score: three products (S5).

    The components are uniform pairs, and soft-max against soft-min pairs in either order, with weights in proportion to
    ``2N²`` and ``(Σ e^s)(Σ e^{-s})`` twice.
    """
    n = score.shape[-1]
    flat = jnp.full_like(score, -jnp.log(float(n)))
    log_up, log_down = jax.nn.logsumexp(score, -1), jax.nn.logsumexp(-score, -1)
    even = jnp.full_like(log_up, jnp.log(2.0) + 2.0 * jnp.log(float(n)))
    weights = jax.nn.softmax(jnp.stack([even, log_up + log_down, log_up + log_down], axis=-1), axis=-1)
    up, down = score - log_up[:, None], -score - log_down[:, None]
    return ProductMixture(weights, jnp.stack([flat, up, down], 1), jnp.stack([flat, down, up], 1))
