"""How is an objective averaged over pairs: exactly over the population, or over a sample?

Both are a `Comparisons`: means of a link over (chosen, rejected) pairs and means over either marginal.  The population
form holds the law of ordered pairs ``ν_ab = μ_ab P_ab + μ_ba (1 - P_ba)`` (a chosen, b rejected); the sampled form holds
drawn pairs with the weight of "first wins".  `loss` is one function for both.
"""

import abc
from collections.abc import Callable
from typing import final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from didsim.objectives.parts import Objective, Responses, responses
from didsim.preferences import Labels, gather
from didsim.records import record
from didsim.samplers import Sampler
from didsim.worlds import Problem

Link = Callable[[Array], Array]


class Comparisons(abc.ABC):
    """Chosen-rejected pairs that a loss can be averaged over, per prompt."""

    @abc.abstractmethod
    def mean_link(
        self, link: Link, chosen_reward: Float[Array, "prompts n"], rejected_reward: Float[Array, "prompts n"]
    ) -> Float[Array, " prompts"]:
        """``E ℓ(g_w(chosen) - g_l(rejected))``."""

    @abc.abstractmethod
    def mean_chosen(self, values: Float[Array, "prompts n"]) -> Float[Array, " prompts"]:
        """``E f(chosen)``."""

    @abc.abstractmethod
    def mean_rejected(self, values: Float[Array, "prompts n"]) -> Float[Array, " prompts"]:
        """``E f(rejected)``."""


@final
@record
class Population(Comparisons):
    """The whole law ``ν`` of (chosen, rejected), shape (prompts, n, n)."""

    ordered: Float[Array, "... prompts n n"]

    def mean_link(self, link, chosen_reward, rejected_reward):
        return jnp.sum(self.ordered * link(chosen_reward[:, :, None] - rejected_reward[:, None, :]), axis=(1, 2))

    def mean_chosen(self, values):
        return jnp.sum(self.ordered.sum(2) * values, axis=1)

    def mean_rejected(self, values):
        return jnp.sum(self.ordered.sum(1) * values, axis=1)


@final
@record
class SampledPairs(Comparisons):
    """Drawn pairs: indices of first and second response, and the weight with which the first is the chosen one."""

    first: Int[Array, "... prompts m"]
    second: Int[Array, "... prompts m"]
    win: Float[Array, "... prompts m"]

    def mean_link(self, link, chosen_reward, rejected_reward):
        forward = link(gather(chosen_reward, self.first) - gather(rejected_reward, self.second))
        backward = link(gather(chosen_reward, self.second) - gather(rejected_reward, self.first))
        return jnp.mean(self.win * forward + (1.0 - self.win) * backward, axis=1)

    def mean_chosen(self, values):
        return jnp.mean(self.win * gather(values, self.first) + (1.0 - self.win) * gather(values, self.second), axis=1)

    def mean_rejected(self, values):
        return jnp.mean(self.win * gather(values, self.second) + (1.0 - self.win) * gather(values, self.first), axis=1)


def population(problem: Problem, sampler: Sampler, labels: Labels, log_policy: Float[Array, "prompts n"]) -> Population:
    """Exact law of (chosen, rejected) that a sampler and labels produce at a policy."""
    shown = sampler.pair_law(problem, log_policy).matrix()
    first_wins = labels.matrix(problem.reward)
    lost = shown * (1.0 - first_wins)
    return Population(shown * first_wins + jnp.swapaxes(lost, 1, 2))


def draw_pairs(
    key: Key[Array, ""],
    problem: Problem,
    sampler: Sampler,
    labels: Labels,
    log_policy: Float[Array, "prompts n"],
    pairs: int,
) -> SampledPairs:
    """Monte-Carlo pairs, ``pairs`` for every prompt; their mean loss estimates the population loss without bias."""
    pair_key, label_key = jax.random.split(key)
    first, second = sampler.pair_law(problem, log_policy).draw(pair_key, pairs)
    return SampledPairs(first, second, labels.win_weight(label_key, problem.reward, first, second))


def prompt_losses(objective: Objective, seen: Responses, comparisons: Comparisons) -> Float[Array, " prompts"]:
    """Loss of every prompt, ``E_ν ℓ + E f_w + E f_l + Σ h`` (see `didsim.objectives.parts`)."""
    total = comparisons.mean_chosen(objective.chosen_term(seen)) + comparisons.mean_rejected(objective.rejected_term(seen))
    total = total + objective.policy_term(seen).sum(-1)
    if objective.paired:
        rewards = objective.chosen_reward(seen), objective.rejected_reward(seen)
        total = total + comparisons.mean_link(objective.link, *rewards)
    return total


def loss(
    objective: Objective, problem: Problem, log_policy: Float[Array, "prompts n"], comparisons: Comparisons
) -> Float[Array, ""]:
    """Loss averaged over the prompt law: population value or sampled estimate, as ``comparisons`` is."""
    losses = prompt_losses(objective, responses(problem, log_policy), comparisons)
    return jnp.sum(jnp.exp(problem.log_prompts) * losses)
