"""What is a preference objective made of?

Every objective here is reward × link × regulariser, elementwise in the responses:

    L(π) = E_{(a,b)~ν} ℓ(g_w(a) - g_l(b)) + E_{a~ν_w} f_w(a) + E_{b~ν_l} f_l(b) + Σ_y h(y)

with ν the law of (chosen, rejected) pairs, ν_w and ν_l its marginals, ``ℓ`` the link, ``g_w`` and ``g_l`` the implicit
rewards of a chosen and of a rejected response, ``f`` per-response terms that need no partner, and ``h`` a term summed
over all responses.  Each of g, f, h sees one response only (its log-probability, reference log-probability, length and
true reward), which is what lets one Newton solver and one O(N) pair sum serve the whole catalogue.
"""

import abc
import enum
from dataclasses import dataclass, replace
from typing import ClassVar, final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from didsim.numerics import checks, simplex
from didsim.numerics.pytrees import positive, pytree
from didsim.numerics.registry import Registry
from didsim.objectives.links import Link, logistic_link
from didsim.worlds import Problem
from didsim.worlds.preferences import Labels

Scalar = float | Float[Array, "..."]


class Seen:
    """What an objective may look at, of all responses of a problem or of those of given pairs (attributes as `Responses`)."""

    log_policy: Float[Array, "... prompts n"]
    log_ref: Float[Array, "... prompts n"]
    lengths: Float[Array, "... prompts n"]
    reward: Float[Array, "... prompts n"]
    divergence: Float[Array, "... prompts n"]
    baseline: Float[Array, "... prompts n"]
    mean_length: Float[Array, "... prompts n"]
    prompt_log_policy: Float[Array, "... prompts n"]
    prompt_lengths: Float[Array, "... prompts n"]

    def win_rates(self, labels: Labels) -> Float[Array, "prompts n"]:
        """``P(y ≻ π_ref)`` of each response."""
        raise NotImplementedError

    @property
    def log_ratio(self) -> Float[Array, "prompts n"]:
        """``log(π_θ/π_ref)``, the a and b of the objectives' formulas."""
        return self.log_policy - self.log_ref

    @property
    def log_odds(self) -> Float[Array, "prompts n"]:
        """``log(π/(1-π))`` of the per-token mean probability ``π = e^{mean log-prob}`` (ORPO's odds)."""
        return log_odds(self.mean_log_policy)

    @property
    def mean_log_policy(self) -> Float[Array, "prompts n"]:
        """Log-probability per token."""
        return self.log_policy / self.lengths

    @property
    def mean_log_ratio(self) -> Float[Array, "prompts n"]:
        """Log-ratio per token."""
        return self.log_ratio / self.lengths


@final
@pytree
class Responses(Seen):
    """What an implicit reward may look at, one entry per response; all arrays of shape (prompts, n).

    Attributes:
        log_policy: ``log π_θ(y|x)``, summed over tokens.
        log_ref: ``log π_ref(y|x)``.
        lengths: number of tokens.
        reward: true reward, for objectives that are shown it.
        divergence: ``KL(π_θ‖π_ref)`` of the prompt, broadcast, under a stop-gradient.
        baseline: mean implicit reward of the prompt's data, broadcast, under a stop-gradient; zero unless the objective
            is ``centred``.
        mean_length: mean number of tokens of the data's chosen responses, broadcast; 1 unless the objective is ``token_mean``.
    """

    log_policy: Float[Array, "... prompts n"]
    log_ref: Float[Array, "... prompts n"]
    lengths: Float[Array, "... prompts n"]
    reward: Float[Array, "... prompts n"]
    divergence: Float[Array, "... prompts n"]
    baseline: Float[Array, "... prompts n"]
    mean_length: Float[Array, "... prompts n"]

    @property
    def prompt_log_policy(self) -> Float[Array, "prompts n"]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Log-probability of the prompt itself, which a law of responses does not have: 0."""
        return jnp.zeros_like(self.log_policy)

    @property
    def prompt_lengths(self) -> Float[Array, "prompts n"]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Number of the prompt's tokens: 0."""
        return jnp.zeros_like(self.log_policy)

    def win_rates(self, labels: Labels) -> Float[Array, "prompts n"]:
        """``P(y ≻ π_ref) = Σ_b π_ref(b) P_yb`` under a label model."""
        return jnp.sum(labels.matrix(self.reward) * jnp.exp(self.log_ref)[..., None, :], -1)


def responses(problem: Problem, log_policy: Float[Array, "prompts n"]) -> Responses:
    """The view of a policy in a problem that objectives are given."""
    divergence = jax.lax.stop_gradient(simplex.kl(log_policy, problem.log_ref))[..., None]
    constant = jnp.broadcast_to(divergence, log_policy.shape)
    nothing = jnp.zeros_like(log_policy)
    return Responses(log_policy, problem.log_ref, problem.lengths, problem.reward, constant, nothing, nothing + 1.0)


def log_odds(log_probability: Float[Array, "*any"]) -> Float[Array, "*any"]:
    """``log(p/(1-p))`` from ``log p``; finite for a sure event, with the slope ``1/(1-p)`` that it has just short of it."""
    # The square root keeps 1/(1-p) times what vanishes with 1-p within the numbers' range.
    short = -(float(jnp.finfo(log_probability.dtype).tiny) ** 0.5)
    kept = log_probability + jax.lax.stop_gradient(jnp.minimum(short - log_probability, 0.0))
    return kept - jnp.log(-jnp.expm1(kept))


class Comparisons(abc.ABC):
    """Chosen-rejected pairs that a loss can be averaged over, per prompt."""

    @abc.abstractmethod
    def mean_link(
        self,
        link: Link,
        chosen_reward: Float[Array, "prompts n"],
        rejected_reward: Float[Array, "prompts n"],
    ) -> Float[Array, " prompts"]:
        """``E ℓ(g_w(chosen) - g_l(rejected))``."""

    @abc.abstractmethod
    def mean_chosen(self, values: Float[Array, "prompts n"]) -> Float[Array, " prompts"]:
        """``E f(chosen)``."""

    @abc.abstractmethod
    def mean_rejected(self, values: Float[Array, "prompts n"]) -> Float[Array, " prompts"]:
        """``E f(rejected)``."""

    @abc.abstractmethod
    def masses(self, n: int) -> tuple[Float[Array, "prompts n"], Float[Array, "prompts n"]]:
        """Probability of every response to be the chosen one, and to be the rejected one, of a pair; ``n`` responses."""

    @abc.abstractmethod
    def margins(
        self, *values: Float[Array, "prompts n"]
    ) -> tuple[Float[Array, "prompts pairs"], tuple[Float[Array, "prompts pairs"], ...]]:
        """Probabilities of all pairs as a list, and ``f(chosen) - f(rejected)`` of each for every ``f`` given."""

    def tied_weights(self, weight: Float[Array, "prompts pairs"]) -> Float[Array, "prompts pairs"]:
        """Which part of the probabilities of `margins` is ties; none unless the pairs tell ties apart."""
        return jnp.zeros_like(weight)


class Limit(enum.Enum):
    """Where the population loss is least, on independent draws ``π_w ⊗ π_l`` that follow the power law (D4).

    TARGET: at π*, if the objective's β is the data's.  FORMULA: at another law with a closed form.  OWN: at a law that
    only a solver finds.  NOWHERE: at no law; the loss falls for ever as some responses lose all their mass.
    """

    TARGET = "reaches π*"
    FORMULA = "another closed form"
    OWN = "its own limit"
    NOWHERE = "no finite minimiser"


@dataclass(frozen=True)
class Card:
    """What a table says of an objective.

    Attributes:
        reward: implicit reward of a response, or the whole loss where there is none.
        link: loss of a pair from the margin m.
        limit: what kind of law minimises the population loss.
        where: which law that is, or where the mass goes.
        source: paper that the formula is from.
    """

    reward: str
    link: str
    limit: Limit
    where: str
    source: str


class Objective(abc.ABC):
    """One preference objective; subclasses override the parts they have.

    Class attributes:
        name: how the command line and tables call it.
        convex: the population loss is convex in a table's logits.
        paired: it has a link on margins.
        reference_free: its implicit reward does not look at π_ref.
        kinked: it is not differentiable everywhere; ``smoothed`` rounds the kinks.
        centred: it looks at the mean implicit reward of the data, ``Responses.baseline``.
        token_mean: a term of it is a mean over the tokens of the data's chosen responses; it looks at ``Responses.mean_length``.
        example_mean: it is a mean over examples, chosen and rejected alike, so that one pair counts as two.
        batch_level: it is no mean over pairs but a function of all of them, ``batch_term``; no exact solver takes it.
        of_pairs: given pairs have a loss of their own, which `pair_losses` gives; off where it is one of whole laws.
        card: what the table of objectives says of it.
    """

    example = "didsim.objectives.Dpo(beta=0.1)"

    name: ClassVar[str]
    card: ClassVar[Card]
    convex: ClassVar[bool] = True
    paired: ClassVar[bool] = True
    kinked: ClassVar[bool] = False
    reference_free: ClassVar[bool] = False
    centred: ClassVar[bool] = False
    token_mean: ClassVar[bool] = False
    example_mean: ClassVar[bool] = False
    batch_level: ClassVar[bool] = False
    of_pairs: ClassVar[bool] = True

    @property
    def share(self) -> float:
        """Weight of a response's own term: ½ in a mean over examples, of which a pair has two."""
        return 0.5 if self.example_mean else 1.0

    def link(self, margin: Float[Array, "*any"]) -> Float[Array, "*any"]:
        """Loss ``ℓ(m)`` of a pair from its margin, elementwise."""
        if type(self).pair_link is Objective.pair_link:
            raise TypeError(f"objective {self.name!r} has no link")
        return self.pair_link()(margin)

    def pair_link(self) -> Link:
        """The link as one value; whoever overrides ``link`` alone has one that is no sum of kernels."""
        return Link(self.link)

    def chosen_reward(self, seen: Seen) -> Float[Array, "prompts n"]:
        """``g_w``, the implicit reward of a response in the role of the chosen one."""
        raise TypeError(f"objective {self.name!r} has no implicit reward")

    def rejected_reward(self, seen: Seen) -> Float[Array, "prompts n"]:
        """``g_l``, the implicit reward in the role of the rejected one; the same as ``g_w`` unless overridden."""
        return self.chosen_reward(seen)

    @property
    def one_reward(self) -> bool:
        """Whether chosen and rejected responses share one implicit reward."""
        return type(self).rejected_reward is Objective.rejected_reward

    def chosen_term(self, seen: Seen) -> Float[Array, "prompts n"]:
        """``f_w``, a loss on the chosen response alone."""
        return jnp.zeros_like(seen.log_policy)

    def rejected_term(self, seen: Seen) -> Float[Array, "prompts n"]:
        """``f_l``, a loss on the rejected response alone."""
        return jnp.zeros_like(seen.log_policy)

    def policy_term(self, seen: Seen) -> Float[Array, "prompts n"]:
        """``h``, summed over all responses, always exactly."""
        return jnp.zeros_like(seen.log_policy)

    def tokens(self, seen: Seen) -> Float[Array, "prompts n"]:
        """Number of tokens of a chosen response that the mean of a ``token_mean`` term is over."""
        return seen.lengths

    def batch_term(self, seen: Seen, comparisons: Comparisons) -> Float[Array, " prompts"]:
        """Loss of all pairs together, where it is no mean over them."""
        raise TypeError(f"objective {self.name!r} is a mean over pairs")

    def minimiser(self, problem: Problem) -> Float[Array, "prompts n"] | None:
        """Log-law that minimises the population loss on the problem's ``π_w ⊗ π_l`` in closed form; None if there is none.

        There is none either where data leave a response open: one that neither law gives, or that a logistic link is never
        shown as rejected.  Under ``jit`` or ``vmap``, where values cannot decide, such prompts hold NaN.
        """
        found = self.closed_form(problem)
        return None if found is None or (not checks.is_traced(found) and bool(jnp.any(jnp.isnan(found)))) else found

    def closed_form(self, problem: Problem) -> Float[Array, "prompts n"] | None:
        """`minimiser` as it is written: None where no formula is known, NaN where data leave it without a value."""
        del problem
        return None

    def smoothed(self, width: float | Float[Array, ""]) -> "Objective":
        """The same objective with its kinks rounded at the scale ``width``, its field of that name; itself if it has none."""
        return replace(self, width=width) if self.kinked else self  # type: ignore[type-var]


class Logistic(Objective):
    """What objectives with the logistic link ``-log σ(m)`` share."""

    def pair_link(self):
        return logistic_link()


@pytree
class LogRatio(Objective):
    """What objectives share whose implicit reward is ``β log(π/π_ref)``."""

    beta: Scalar = positive(default=0.1)

    def chosen_reward(self, seen):
        return self.beta * seen.log_ratio


class OfLaws(Objective):
    """What objectives share that are functions of whole laws, not means over pairs."""

    paired: ClassVar[bool] = False
    batch_level: ClassVar[bool] = True
    of_pairs: ClassVar[bool] = False


OBJECTIVES: Registry[type[Objective]] = Registry("objective")
register = OBJECTIVES.register
