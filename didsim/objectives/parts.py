"""What is a preference objective made of?

Every objective here is reward × link × regulariser, elementwise in the responses:

    L(π) = E_{(a,b)~ν} ℓ(g_w(a) - g_l(b)) + E_{a~ν_w} f_w(a) + E_{b~ν_l} f_l(b) + Σ_y h(y)

with ν the law of (chosen, rejected) pairs, ν_w and ν_l its marginals, ``ℓ`` the link, ``g_w`` and ``g_l`` the implicit
rewards of a chosen and of a rejected response, ``f`` per-response terms that need no partner, and ``h`` a term summed
over all responses.  Each of g, f, h sees one response only (its log-probability, reference log-probability, length and
true reward), which is what lets one Newton solver and one O(N) pair sum serve the whole catalogue.
"""

import abc
from typing import ClassVar, final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from didsim import simplex
from didsim.records import record, static
from didsim.worlds import Problem


@final
@record
class Term:
    """One kernel of a link: ``scale · K(sign · m + shift)`` with K a name in `didsim.allpairs.KERNELS`."""

    kernel: str = static()
    scale: float | Float[Array, "..."] = 1.0
    sign: int = static(default=1)
    shift: float | Float[Array, "..."] = 0.0


@final
@record
class LinkSum:
    """A link as a sum of kernels, so that its mean over a product law costs O(N) (K1).

    Attributes:
        terms: the kernels; their sum is ``ℓ(m)``.
        odd_slope: κ if ``ℓ(m) - ℓ(-m) = -κ m`` for all m, which makes soft labels a term linear in the rewards; else None.
    """

    terms: tuple[Term, ...]
    odd_slope: float | Float[Array, "..."] | None = None


@final
@record
class Responses:
    """What an implicit reward may look at, one entry per response; all arrays of shape (prompts, n).

    Attributes:
        log_policy: ``log π_θ(y|x)``, summed over tokens.
        log_ref: ``log π_ref(y|x)``.
        lengths: number of tokens.
        reward: true reward, for objectives that are shown it.
        divergence: ``KL(π_θ‖π_ref)`` of the prompt, broadcast, under a stop-gradient.
    """

    log_policy: Float[Array, "... prompts n"]
    log_ref: Float[Array, "... prompts n"]
    lengths: Float[Array, "... prompts n"]
    reward: Float[Array, "... prompts n"]
    divergence: Float[Array, "... prompts n"]

    @property
    def log_ratio(self) -> Float[Array, "prompts n"]:
        """``log(π_θ/π_ref)``, the a and b of the objectives' formulas."""
        return self.log_policy - self.log_ref

    @property
    def log_odds(self) -> Float[Array, "prompts n"]:
        """``log(π/(1-π))`` of the per-token mean probability ``π = e^{mean log-prob}`` (ORPO's odds)."""
        mean = self.mean_log_policy
        return mean - jnp.log(-jnp.expm1(jnp.minimum(mean, -jnp.finfo(mean.dtype).tiny)))

    @property
    def mean_log_policy(self) -> Float[Array, "prompts n"]:
        """Log-probability per token."""
        return self.log_policy / self.lengths


def responses(problem: Problem, log_policy: Float[Array, "prompts n"]) -> Responses:
    """The view of a policy in a problem that objectives are given."""
    divergence = jax.lax.stop_gradient(simplex.kl(log_policy, problem.log_ref))[..., None]
    return Responses(log_policy, problem.log_ref, problem.lengths, problem.reward, jnp.broadcast_to(divergence, log_policy.shape))


class Objective(abc.ABC):
    """One preference objective; subclasses override the parts they have.

    Class attributes:
        name: how the command line and tables call it.
        convex: the population loss is convex in a table's logits.
        paired: it has a link on margins.
        reference_free: its implicit reward does not look at π_ref.
        kinked: it is not differentiable everywhere; ``smoothed`` rounds the kinks.
    """

    name: ClassVar[str]
    convex: ClassVar[bool] = True
    paired: ClassVar[bool] = True
    kinked: ClassVar[bool] = False
    reference_free: ClassVar[bool] = False

    def link(self, margin: Float[Array, "*any"]) -> Float[Array, "*any"]:
        """Loss ``ℓ(m)`` of a pair from its margin, elementwise."""
        raise TypeError(f"objective {self.name!r} has no link")

    def link_sum(self) -> LinkSum | None:
        """The link as a sum of kernels, or None if it is none; must agree with ``link``."""
        return None

    def chosen_reward(self, seen: Responses) -> Float[Array, "prompts n"]:
        """``g_w``, the implicit reward of a response in the role of the chosen one."""
        raise TypeError(f"objective {self.name!r} has no implicit reward")

    def rejected_reward(self, seen: Responses) -> Float[Array, "prompts n"]:
        """``g_l``, the implicit reward in the role of the rejected one; the same as ``g_w`` unless overridden."""
        return self.chosen_reward(seen)

    @property
    def one_reward(self) -> bool:
        """Whether chosen and rejected responses share one implicit reward."""
        return type(self).rejected_reward is Objective.rejected_reward

    def chosen_term(self, seen: Responses) -> Float[Array, "prompts n"]:
        """``f_w``, a loss on the chosen response alone."""
        return jnp.zeros_like(seen.log_policy)

    def rejected_term(self, seen: Responses) -> Float[Array, "prompts n"]:
        """``f_l``, a loss on the rejected response alone."""
        return jnp.zeros_like(seen.log_policy)

    def policy_term(self, seen: Responses) -> Float[Array, "prompts n"]:
        """``h``, summed over all responses, always exactly."""
        return jnp.zeros_like(seen.log_policy)

    def smoothed(self, width: float | Float[Array, ""]) -> "Objective":
        """The same objective with its kinks rounded at the scale ``width``; itself if it has none."""
        del width
        return self


@jax.custom_jvp
def logistic(margin: Float[Array, "*any"]) -> Float[Array, "*any"]:
    """Logistic link ``-log σ(m)``; its derivative is ``-σ(-m)``, one exponential instead of three."""
    return jax.nn.softplus(-margin)


@logistic.defjvp
def _logistic_jvp(primals, tangents):
    (margin,), (tangent,) = primals, tangents
    return logistic(margin), -jax.nn.sigmoid(-margin) * tangent


def logistic_sum(
    scale: float | Float[Array, "..."] = 1.0, shift: float | Float[Array, "..."] = 0.0, *, odd: bool = True
) -> LinkSum:
    """``-scale · log σ(m + shift)`` as a kernel sum; its odd part is linear where the shift is zero (``odd``)."""
    return LinkSum((Term("log_sigmoid", -scale, 1, shift),), scale if odd else None)


def ramp(x: Float[Array, "*any"], width: float | Float[Array, ""]) -> Float[Array, "*any"]:
    """``max(0, x)``, rounded to ``w log(1 + e^{x/w})`` where ``width`` w is positive; both are convex and increasing."""
    scale = jnp.where(jnp.asarray(width) > 0, width, 1.0)
    return jnp.where(jnp.asarray(width) > 0, scale * jax.nn.softplus(x / scale), jnp.maximum(x, 0.0))
