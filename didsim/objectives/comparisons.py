"""How is an objective averaged over pairs: exactly over the population, or over a sample?

Both are a `Comparisons`: means of a link over (chosen, rejected) pairs and means over either marginal.  The population
form holds the law of ordered pairs ``ν_ab = μ_ab P_ab + μ_ba (1 - P_ba)`` (a chosen, b rejected), written out or as a
mixture of products that never is; the sampled form holds drawn pairs with the weight of "first wins".  `loss` is one
function for all.
"""

from dataclasses import replace
from typing import Any, final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from didsim.numerics.pair_sums import expected_kernel, kernel_sum
from didsim.numerics.pair_sums.joint import batch_last, expected_log_sigmoid, expected_log_sigmoid_of_one
from didsim.numerics.pytrees import pytree, static
from didsim.objectives.links import Term, margin
from didsim.objectives.parts import Comparisons, Objective, Responses, responses
from didsim.samplers import ProductMixture, Sampler
from didsim.worlds import Problem
from didsim.worlds.preferences import AsShown, BradleyTerry, Labels, gather

WRITTEN_OUT = 24  # measured: below, all pairs written out are as fast
FEW = 4096
COUNTED = 4  # measured: drawn pairs for each ordered pair of responses from which on it is faster to count them first
LEAST = -80.0  # log-probability that stands for none where a difference of two is taken


@final
@pytree
class Population(Comparisons):
    """The whole law ``ν`` of (chosen, rejected), shape (prompts, n, n).

    Attributes:
        ordered: the law ν; a tied pair is half in either order.
        tied: the part of ν that is ties, a symmetric table; None where labels have none.
    """

    ordered: Float[Array, "... prompts n n"]
    tied: Float[Array, "... prompts n n"] | None = None

    def mean_link(self, link, chosen_reward, rejected_reward):
        if link.log_sigmoids is not None:
            total = jnp.zeros(chosen_reward.shape[:-1], chosen_reward.dtype)
            for term in link.log_sigmoids:
                total = total + term.scale * self._mean_log_sigmoid(term, chosen_reward, rejected_reward)
            return total
        margins = margin(*jnp.broadcast_arrays(chosen_reward[:, :, None], rejected_reward[:, None, :]))
        return jnp.sum(weighted(self.ordered, link(margins)), axis=(1, 2))

    def _mean_log_sigmoid(self, term: Term, chosen_reward, rejected_reward):
        first, second = term.sign * chosen_reward, term.sign * rejected_reward
        if chosen_reward is rejected_reward and isinstance(term.shift, float) and term.shift == 0.0:
            return expected_log_sigmoid_of_one(self.ordered, first)
        return expected_log_sigmoid(self.ordered, first + term.shift, second)

    def mean_chosen(self, values):
        return jnp.sum(weighted(self.ordered.sum(2), values), axis=1)

    def mean_rejected(self, values):
        return jnp.sum(weighted(self.ordered.sum(1), values), axis=1)

    def masses(self, n):
        del n
        return self.ordered.sum(2), self.ordered.sum(1)

    def margins(self, *values):
        prompts = self.ordered.shape[0]
        return self.ordered.reshape(prompts, -1), tuple((f[:, :, None] - f[:, None, :]).reshape(prompts, -1) for f in values)

    def tied_weights(self, weight):
        return jnp.zeros_like(weight) if self.tied is None else self.tied.reshape(weight.shape)


@final
@pytree
class ProductPopulation(Comparisons):
    """The law ``ν`` where pairs come from a mixture of products, never written out: O(N) in time and memory (K1).

    Attributes:
        law: law of the pair shown.
        first_wins: mass ``Σ_b μ_ab P_ab`` of each response shown first and chosen, shape (prompts, n).
        second_loses: mass ``Σ_a μ_ab P_ab`` of each response shown second and rejected.
        second_wins: mass ``Σ_a μ_ab (1 - P_ab)`` of each response shown second and chosen.
        first_loses: mass ``Σ_b μ_ab (1 - P_ab)`` of each response shown first and rejected.
        reward: reward of the soft Bradley-Terry labels, in units of their temperature.
        as_shown: whether the first response is always the chosen one; if not, labels are soft Bradley-Terry.
    """

    law: ProductMixture
    first_wins: Float[Array, "... prompts n"]
    second_loses: Float[Array, "... prompts n"]
    second_wins: Float[Array, "... prompts n"]
    first_loses: Float[Array, "... prompts n"]
    reward: Float[Array, "... prompts n"]
    as_shown: bool = static(default=True)

    @property
    def is_small(self) -> bool:
        """Whether all pairs could be written out for a link that is no sum of kernels."""
        return self.reward.shape[-1] <= FEW

    @property
    def scores(self) -> Float[Array, "... prompts n"] | None:
        """``s`` with ``log(ν_ab/ν_ba) = s_a - s_b`` on the pairs shown; None for a mixture shown in a fixed order.

        Bradley-Terry labels give the reward, one product ``log(π_w/π_l)``, a law without mass counting as ``e^-80``.
        """
        if not self.as_shown:
            return self.reward
        if self.law.weights.shape[-1] > 1:
            return None
        first, second = (jnp.maximum(law[..., 0, :], LEAST) for law in (self.law.log_first, self.law.log_second))
        return first - second

    def written_out(self) -> Population:
        """The same law with all pairs written out, N² numbers."""
        shown = self.law.matrix()
        if self.as_shown:
            return Population(shown)
        first_wins = BradleyTerry().matrix(self.reward)
        return Population(shown * first_wins + jnp.swapaxes(shown * (1.0 - first_wins), 1, 2))

    def mean_link(self, link, chosen_reward, rejected_reward):
        if link.terms is not None and self.as_shown:
            return self._mean_over_shown(link.terms, 1.0, chosen_reward, rejected_reward)
        if link.terms is None or link.odd_slope is None:
            return self.written_out().mean_link(link, chosen_reward, rejected_reward)
        # P ℓ(m) + (1-P) ℓ(-m) = ℓ(-m) - κ P m: the labels enter through a mean that is linear in the rewards.
        won = jnp.sum(self.first_wins * chosen_reward, -1) - jnp.sum(self.second_loses * rejected_reward, -1)
        return self._mean_over_shown(link.terms, -1.0, chosen_reward, rejected_reward) - link.odd_slope * won

    def _mean_over_shown(self, terms: tuple[Term, ...], turn: float, first_reward, second_reward):
        """``E_μ ℓ(turn · (g(first) - g(second)))``."""
        first, second = jnp.exp(self.law.log_first), jnp.exp(self.law.log_second)
        total = jnp.zeros(first_reward.shape[:-1], first_reward.dtype)
        for term in terms:
            sign = turn * term.sign
            rewards = sign * first_reward + term.shift, sign * second_reward
            total = total + term.scale * expected_kernel(term.kernel, self.law.weights, first, second, *rewards)
        return total

    def mean_chosen(self, values):
        return jnp.sum(weighted(self.first_wins + self.second_wins, values), axis=1)

    def mean_rejected(self, values):
        return jnp.sum(weighted(self.second_loses + self.first_loses, values), axis=1)

    def masses(self, n):
        del n
        return self.first_wins + self.second_wins, self.second_loses + self.first_loses

    def margins(self, *values):
        return self.written_out().margins(*values)


@final
@pytree
class SampledPairs(Comparisons):
    """Drawn pairs: indices of first and second response, and the weight with which the first is the chosen one.

    Attributes:
        first: first response of each pair.
        second: the second one.
        win: weight of "first wins"; ½ for a tie.
        tied: chance that the pair is tied, 0 or 1 where labels are drawn; None where labels have no ties.
    """

    first: Int[Array, "... prompts m"]
    second: Int[Array, "... prompts m"]
    win: Float[Array, "... prompts m"]
    tied: Float[Array, "... prompts m"] | None = None

    def mean_link(self, link, chosen_reward, rejected_reward):
        forward = link(margin(gather(chosen_reward, self.first), gather(rejected_reward, self.second)))
        backward = link(margin(gather(chosen_reward, self.second), gather(rejected_reward, self.first)))
        return jnp.mean(weighted(self.win, forward) + weighted(1.0 - self.win, backward), axis=1)

    def mean_chosen(self, values):
        first, second = gather(values, self.first), gather(values, self.second)
        return jnp.mean(weighted(self.win, first) + weighted(1.0 - self.win, second), axis=1)

    def mean_rejected(self, values):
        first, second = gather(values, self.first), gather(values, self.second)
        return jnp.mean(weighted(self.win, second) + weighted(1.0 - self.win, first), axis=1)

    def masses(self, n):
        weight, chosen, rejected = self.both_ways()
        prompt = jnp.arange(chosen.shape[0])[:, None]
        nothing = jnp.zeros((chosen.shape[0], n), weight.dtype)
        return nothing.at[prompt, chosen].add(weight), nothing.at[prompt, rejected].add(weight)

    def margins(self, *values):
        weight, chosen, rejected = self.both_ways()
        return weight, tuple(gather(f, chosen) - gather(f, rejected) for f in values)

    def tied_weights(self, weight):
        half = jnp.zeros_like(self.win) if self.tied is None else 0.5 * self.tied / self.first.shape[1]
        return jnp.concatenate([half, half], axis=1)

    def counted(self, n: int) -> Population:
        """The same pairs as a law of all ordered pairs of ``n`` responses; its means are theirs but for rounding."""
        weight, chosen, rejected = self.both_ways()
        prompt = jnp.arange(chosen.shape[0])[:, None]

        def table(weight: Float[Array, "prompts k"]) -> Float[Array, "prompts n n"]:
            return jnp.zeros((chosen.shape[0], n, n), weight.dtype).at[prompt, chosen, rejected].add(weight)

        return Population(table(weight), None if self.tied is None else table(self.tied_weights(weight)))

    def both_ways(self) -> tuple[Float[Array, "prompts k"], Int[Array, "prompts k"], Int[Array, "prompts k"]]:
        """Every drawn pair in both orders: weight, chosen and rejected response."""
        weight = jnp.concatenate([self.win, 1.0 - self.win], axis=1) / self.first.shape[1]
        chosen = jnp.concatenate([self.first, self.second], axis=1)
        return weight, chosen, jnp.concatenate([self.second, self.first], axis=1)


@jax.jit
def weighted(weight: Float[Array, "*any"], value: Float[Array, "*any"]) -> Float[Array, "*any"]:
    """``weight · value``, where a pair that cannot be counts nothing even if its loss overflows."""
    return weight * jnp.where((weight == 0) & jnp.isinf(value), 0.0, value)


def population(problem: Problem, sampler: Sampler, labels: Labels, log_policy: Float[Array, "prompts n"]) -> Population:
    """Exact law of (chosen, rejected) that a sampler and labels produce at a policy, all pairs written out."""
    shown = sampler.pair_law(problem, log_policy).matrix()
    first_wins, ties = labels.matrix(problem.reward), labels.ties(problem.reward)
    lost = shown * (1.0 - first_wins)
    tied = None if ties is None else 0.5 * ties * (shown + jnp.swapaxes(shown, 1, 2))
    return Population(shown * first_wins + jnp.swapaxes(lost, 1, 2), tied)


def comparisons_for(
    objective: Objective, problem: Problem, sampler: Sampler, labels: Labels, log_policy: Float[Array, "prompts n"]
) -> Population | ProductPopulation:
    """Exact law of (chosen, rejected), never written out where the objective and the law allow it and N is large.

    From ``WRITTEN_OUT`` responses on, a mixture of products with labels "as shown" or soft Bradley-Terry is kept as it is.
    """
    n = problem.log_ref.shape[-1]
    if n < WRITTEN_OUT or not can_stay_product(objective, labels):
        return population(problem, sampler, labels, log_policy)
    law = sampler.pair_law(problem, log_policy)
    if not isinstance(law, ProductMixture):
        return population(problem, sampler, labels, log_policy)
    return product_population(problem, law, labels)


def laid_out(objective: Objective, comparisons: Comparisons) -> Comparisons:
    """The same comparisons as a training loop of many runs reads them fastest, for use before the loop."""
    if isinstance(comparisons, Population) and comparisons.ordered.shape[0] == 1 and _all_log_sigmoid(objective):
        return replace(comparisons, ordered=batch_last(comparisons.ordered))
    return comparisons


def _all_log_sigmoid(objective: Objective) -> bool:
    return objective.paired and objective.pair_link().log_sigmoids is not None


def can_stay_product(objective: Objective, labels: Labels) -> bool:
    """Whether an objective can be averaged over a mixture of products without writing the pairs out."""
    if not objective.paired:
        return isinstance(labels, AsShown | BradleyTerry)
    link = objective.pair_link()
    if link.terms is None:
        return False
    soft = isinstance(labels, BradleyTerry) and link.odd_slope is not None and objective.one_reward
    return isinstance(labels, AsShown) or soft


def product_population(problem: Problem, law: ProductMixture, labels: Labels) -> ProductPopulation:
    """Masses of each response in each role, by sums over all pairs of the Bradley-Terry kernel (K1)."""
    first, second = jnp.exp(law.log_first), jnp.exp(law.log_second)
    weights = law.weights[..., None]
    shown_first, shown_second = jnp.sum(weights * first, -2), jnp.sum(weights * second, -2)
    if isinstance(labels, AsShown):
        nothing = jnp.zeros_like(shown_first)
        return ProductPopulation(law, shown_first, shown_second, nothing, nothing, problem.reward, True)
    assert isinstance(labels, BradleyTerry)
    scaled = problem.reward / labels.temperature
    reward = scaled[:, None, :]
    wins = jnp.sum(weights * first * kernel_sum("sigmoid", reward, reward, second), -2)
    loses = jnp.sum(weights * second * kernel_sum("sigmoid", -reward, -reward, first), -2)
    return ProductPopulation(law, wins, loses, shown_second - loses, shown_first - wins, scaled, False)


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
    win = labels.win_weight(label_key, problem.reward, first, second)
    return SampledPairs(first, second, win, _tied(labels, problem.reward, first, second, win))


def _tied(labels: Labels, reward: Array, first: Array, second: Array, win: Array) -> Array | None:
    """Chance of each drawn pair to be tied; of a drawn label it is seen: a tie is half a win."""
    ties = labels.ties(reward)
    if ties is None:
        return None
    if labels.is_drawn:
        return (win == 0.5).astype(win.dtype)
    return gather(jnp.take_along_axis(ties, first[..., None], axis=-2).reshape(*first.shape, -1), second[..., None])[..., 0]


def view(objective: Objective, problem: Problem, log_policy: Float[Array, "prompts n"], comparisons: Comparisons) -> Responses:
    """What an objective sees of a policy in a problem, with the means over the data that it looks at."""
    return with_means(objective, responses(problem, log_policy), comparisons)


def with_means(objective: Objective, seen: Any, comparisons: Comparisons) -> Any:
    """The same view with the data's mean implicit reward and mean length, if the objective looks at them."""
    if objective.centred:
        means = comparisons.mean_chosen(objective.chosen_reward(seen)) + comparisons.mean_rejected(
            objective.rejected_reward(seen)
        )
        constant = jax.lax.stop_gradient(0.5 * means)[:, None]
        seen = replace(seen, baseline=jnp.broadcast_to(constant, seen.log_policy.shape))
    if objective.token_mean:
        length = comparisons.mean_chosen(objective.tokens(seen))[:, None]
        seen = replace(seen, mean_length=jnp.broadcast_to(length, seen.log_policy.shape))
    return seen


def prompt_losses(objective: Objective, seen: Responses, comparisons: Comparisons) -> Float[Array, " prompts"]:
    """Loss of every prompt, ``E_ν ℓ + E f_w + E f_l + Σ h`` (see `Objective`)."""
    total = comparisons.mean_chosen(objective.chosen_term(seen)) + comparisons.mean_rejected(objective.rejected_term(seen))
    total = total + objective.policy_term(seen).sum(-1)
    if objective.paired:
        chosen = objective.chosen_reward(seen)
        rewards = chosen, chosen if objective.one_reward else objective.rejected_reward(seen)
        total = total + comparisons.mean_link(objective.pair_link(), *rewards)
    return total + objective.batch_term(seen, comparisons) if objective.batch_level else total


def loss(
    objective: Objective, problem: Problem, log_policy: Float[Array, "prompts n"], comparisons: Comparisons
) -> Float[Array, ""]:
    """Loss averaged over the prompt law: population value or sampled estimate, as ``comparisons`` is."""
    losses = prompt_losses(objective, view(objective, problem, log_policy, comparisons), comparisons)
    return jnp.sum(jnp.exp(problem.log_prompts) * losses)
