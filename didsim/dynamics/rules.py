"""What does a step follow: the gradient of the loss, or that gradient with each pair's conflict taken out?

The gradient of any loss on pairs is a weighted sum of scores ``g_y = ∇_θ log π_θ(y)``.  A gradient rule may change the
weights.  `Plain` leaves them alone.  `ProjectedGradient` takes out of each rejected response's score the part that lies
along the chosen one's, so that no pair works against its own chosen response (D14).  What it follows is then no longer
the gradient of any loss, and where it ends is not the loss's minimiser.
"""

import abc
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple, final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from didsim.numerics import checks
from didsim.numerics.registry import Registry
from didsim.numerics.search import slope
from didsim.objectives import Objective, Responses, loss
from didsim.objectives.comparisons import Population, ProductPopulation, SampledPairs, view
from didsim.objectives.parts import Comparisons
from didsim.policies import Policy, Table
from didsim.worlds import Problem
from didsim.worlds.preferences import gather

LARGEST_DENSE = 2048
Params = Any
Compare = Callable[[Array], Comparisons]


class GradientRule(abc.ABC):
    """From an objective and its pairs to the direction that the optimiser is given."""

    example = "didsim.dynamics.ProjectedGradient()"

    @abc.abstractmethod
    def gradient(self, problem: Problem, objective: Objective, policy: Policy, params: Params, compare: Compare) -> Params:
        """The direction to descend along, like ``params``; ``compare`` gives the pairs at a log-policy."""


RULES: Registry[type[GradientRule]] = Registry("rule")


@RULES.register("plain")
@final
class Plain(GradientRule):
    """The gradient of the loss."""

    def gradient(self, problem, objective, policy, params, compare):
        def value(params):
            log_policy = policy.log_probs(params, problem.log_ref)
            return loss(objective, problem, log_policy, compare(jax.lax.stop_gradient(log_policy)))

        return jax.grad(value)(params)


@RULES.register("projected")
@final
class ProjectedGradient(GradientRule):
    """Projected-gradient DPO: ``g_l`` of a pair loses its part along ``g_w`` where ``⟨g_w, g_l⟩ > 0`` (D14).

    With ``-∇ℓ = c_w g_w - c_l g_l`` for one pair (DPO: ``c_w = c_l = c = βσ(-m)``) the step follows
    ``c_w g_w - c_l (g_l - κ g_w)``, ``κ = max(0, ⟨g_w, g_l⟩) / ‖g_w‖²``, so that to first order the chosen likelihood rises
    by ``c_w ‖g_w‖²`` where the scores are in conflict and by more where they are not (derived).  The name is this
    project's own: the rule is written after paper A's description of a projected variant of DPO, whose details were not
    available.  A pair is in conflict only where it pushes the rejected response down, ``c_l > 0``; a response shown with
    itself keeps its plain gradient, which for a margin loss is zero.

    The direction is linear in the law of pairs, so drawn pairs give it without bias.
    """

    def gradient(self, problem, objective, policy, params, compare):
        log_policy, pull_back = jax.vjp(lambda free: policy.log_probs(free, problem.log_ref), params)
        here = jax.lax.stop_gradient(log_policy)
        comparisons = compare(here)
        seen = view(objective, problem, here, comparisons)
        pairs = _pairs(comparisons, policy, params, seen)
        weights = _projected_weights(objective, seen, pairs) + _slope(objective.policy_term, seen)
        return pull_back(jnp.exp(problem.log_prompts)[:, None] * weights)[0]


class _Pairs(NamedTuple):
    """Chosen-rejected pairs with their weights, and how to go from responses to pairs and back.

    ``inner`` and ``square`` are ``⟨g_w, g_l⟩`` and ``‖g_w‖²`` of each pair.
    """

    weight: Array
    same: Array
    inner: Array
    square: Array
    of_chosen: Callable[[Array], Array]
    of_rejected: Callable[[Array], Array]
    to_chosen: Callable[[Array], Array]
    to_rejected: Callable[[Array], Array]


def check_rule(rule: GradientRule, objective: Objective, n: int, pairs: int | None) -> None:
    """Nothing, if a rule can follow an objective on ``n`` responses.

    Raises:
        ArgumentError: the projected gradient with an objective that compares no pairs, or of the exact population where
            a dense law of pairs would be too large.
    """
    if not isinstance(rule, ProjectedGradient):
        return
    if not objective.paired:
        raise checks.ArgumentError(
            f"Argument `objective` must compare the responses of a pair for the projected gradient, but is {objective.name}."
        )
    if pairs is None and n > LARGEST_DENSE:
        raise checks.ArgumentError(
            f"Argument `pairs` must be given for the projected gradient of more than {LARGEST_DENSE} responses, but is None "
            f"for {n}."
        )


def _projected_weights(objective: Objective, seen: Responses, pairs: _Pairs) -> Float[Array, "prompts n"]:
    """Weight of every response's score: ``Σ (A - κB)`` where it is chosen plus ``Σ B`` where it is rejected.

    ``A`` and ``B`` are a pair's derivatives in the log-probabilities of its chosen and its rejected response.
    """
    won, lost = objective.chosen_reward(seen), objective.rejected_reward(seen)
    margin = pairs.of_chosen(won) - pairs.of_rejected(lost)
    force = slope(objective.link, margin)
    chosen = force * pairs.of_chosen(_slope(objective.chosen_reward, seen)) + pairs.of_chosen(_slope(objective.chosen_term, seen))
    rejected = pairs.of_rejected(_slope(objective.rejected_term, seen))
    rejected = rejected - force * pairs.of_rejected(_slope(objective.rejected_reward, seen))
    conflict = (pairs.inner > 0) & (rejected > 0) & ~pairs.same
    share = jnp.where(conflict, pairs.inner / jnp.where(conflict, pairs.square, 1.0), 0.0)
    return pairs.to_chosen(pairs.weight * (chosen - share * rejected)) + pairs.to_rejected(pairs.weight * rejected)


def _slope(part: Callable[[Responses], Array], seen: Responses) -> Float[Array, "prompts n"]:
    """Derivative of an elementwise part in the response's own log-probability."""
    return slope(lambda log_policy: part(replace(seen, log_policy=log_policy)), seen.log_policy)


def _pairs(comparisons: Comparisons, policy: Policy, params: Params, seen: Responses) -> _Pairs:
    if isinstance(comparisons, SampledPairs):
        return _drawn(comparisons, policy, params, seen)
    if isinstance(comparisons, ProductPopulation):
        comparisons = comparisons.written_out()
    assert isinstance(comparisons, Population)
    inner = _score_products(policy, params, seen)
    return _Pairs(
        comparisons.ordered,
        jnp.eye(inner.shape[-1], dtype=bool),
        inner,
        jnp.diagonal(inner, axis1=1, axis2=2)[:, :, None],
        lambda values: values[:, :, None],
        lambda values: values[:, None, :],
        lambda by_pair: by_pair.sum(2),
        lambda by_pair: by_pair.sum(1),
    )


def _drawn(drawn: SampledPairs, policy: Policy, params: Params, seen: Responses) -> _Pairs:
    """Each drawn pair both ways round, weighted by the label."""
    weight, chosen, rejected = drawn.both_ways()
    prompt = jnp.arange(chosen.shape[0])[:, None]
    inner, square = _products_at(policy, params, seen, chosen, rejected)
    nothing = jnp.zeros_like(seen.log_policy)
    return _Pairs(
        weight,
        chosen == rejected,
        inner,
        square,
        lambda values: gather(values, chosen),
        lambda values: gather(values, rejected),
        lambda by_pair: nothing.at[prompt, chosen].add(by_pair),
        lambda by_pair: nothing.at[prompt, rejected].add(by_pair),
    )


def _score_products(policy: Policy, params: Params, seen: Responses) -> Float[Array, "prompts n n"]:
    """``⟨g_a, g_b⟩`` for all responses of each prompt; a table's scores are ``g_a = e_a - π``."""
    if isinstance(policy, Table):
        mass = jnp.exp(seen.log_policy)
        square = jnp.sum(mass**2, -1)[:, None, None]
        return jnp.eye(mass.shape[-1], dtype=mass.dtype) - mass[:, :, None] - mass[:, None, :] + square
    scores = jax.jacrev(lambda free: policy.log_probs(free, seen.log_ref))(params)
    rows = [leaf.reshape(*seen.log_policy.shape, -1) for leaf in jax.tree.leaves(scores)]
    products = [jnp.einsum("xak,xbk->xab", row, row) for row in rows]
    return sum(products[1:], products[0])


def _products_at(
    policy: Policy, params: Params, seen: Responses, chosen: Int[Array, "prompts m"], rejected: Int[Array, "prompts m"]
) -> tuple[Float[Array, "prompts m"], Float[Array, "prompts m"]]:
    """``⟨g_w, g_l⟩`` and ``‖g_w‖²`` of given pairs, from the scores of all responses or, if fewer, of those drawn."""
    if isinstance(policy, Table):
        mass = jnp.exp(seen.log_policy)
        square = jnp.sum(mass**2, -1, keepdims=True)
        won, lost = gather(mass, chosen), gather(mass, rejected)
        return (chosen == rejected) - won - lost + square, 1.0 - 2.0 * won + square
    if seen.log_policy.shape[-1] <= chosen.shape[1]:
        table = _score_products(policy, params, seen)
        prompt = jnp.arange(chosen.shape[0])[:, None]
        return table[prompt, chosen, rejected], table[prompt, chosen, chosen]
    half = chosen.shape[1] // 2
    scores = _scores_at(policy, params, seen, chosen)
    squares = [jnp.sum(leaf**2, -1) for leaf in scores]
    inner = [jnp.sum(leaf * jnp.roll(leaf, half, axis=1), -1) for leaf in scores]
    return sum(inner[1:], inner[0]), sum(squares[1:], squares[0])


def _scores_at(policy: Policy, params: Params, seen: Responses, index: Int[Array, "prompts m"]) -> list[Array]:
    """Scores of given responses, one backward pass each: per parameter leaf an array (prompts, m, size)."""
    _, pull_back = jax.vjp(lambda free: policy.log_probs(free, seen.log_ref), params)
    prompts, many = index.shape
    flat = jnp.repeat(jnp.arange(prompts), many), index.reshape(-1)

    def score(x: Array, y: Array) -> Params:
        return pull_back(jnp.zeros_like(seen.log_policy).at[x, y].set(1.0))[0]

    return [leaf.reshape(prompts, many, -1) for leaf in jax.tree.leaves(jax.vmap(score)(*flat))]
