"""How does a population loss bend, to second order, in a table's logits?

Every objective is elementwise in the responses (see ``didsim.objectives.parts``), so its gradient and Hessian over the
N log-probabilities need one N×N array of link derivatives and nothing else; the chain rule through
``log π = θ - log Σ e^θ`` adds rank-two terms.  For DPO the result is β² times a graph Laplacian (S4).
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from didsim.objectives.comparisons import Population
from didsim.objectives.parts import Objective, Responses


class Expansion(NamedTuple):
    """Second-order expansion of every prompt's loss: value (prompts,), gradient (prompts, n), Hessian (prompts, n, n)."""

    value: Float[Array, " prompts"]
    gradient: Float[Array, "prompts n"]
    hessian: Float[Array, "prompts n n"]


class Jet(NamedTuple):
    """An elementwise function with its first and second derivative."""

    value: Array
    first: Array
    second: Array


def jet(function: Callable[[Array], Array], at: Array) -> Jet:
    """Value and two derivatives of an elementwise function, by two forward passes."""

    def slope(x: Array) -> tuple[Array, Array]:
        return jax.jvp(function, (x,), (jnp.ones_like(x),))

    (value, first), (_, second) = jax.jvp(slope, (at,), (jnp.ones_like(at),))
    return Jet(value, first, second)


def expand(objective: Objective, seen: Responses, comparisons: Population) -> Expansion:
    """Loss, gradient and Hessian of every prompt in the logits of a free table.

    With ``x = log π`` and derivatives ``g_x``, ``H_x``, the chain rule gives ``g = g_x - π Σ g_x`` and
    ``H = JᵀH_xJ - (Σ g_x)(diag π - ππᵀ)``, ``J = I - 1πᵀ`` (derived).
    """
    value, slope, bend, total, rows = _in_log_probs(objective, seen, comparisons)
    mass = jnp.exp(seen.log_policy)
    outer = mass[:, :, None] * mass[:, None, :]
    hessian = bend - mass[:, :, None] * rows[:, None, :] - rows[:, :, None] * mass[:, None, :]
    hessian = hessian + (rows.sum(-1) + total)[:, None, None] * outer - _diagonal(total[:, None] * mass)
    return Expansion(value, slope - mass * total[:, None], hessian)


def _in_log_probs(objective: Objective, seen: Responses, comparisons: Population):
    """Expansion in the log-probabilities themselves, as if they were free, with the sums of slope and of Hessian rows.

    The sums are taken pair by pair, where rewards that move alike cancel exactly: a response that no pair shows then has
    zero gradient and zero curvature to the last bit, and pairs of a response with itself drown nothing.
    """

    def part(method: Callable[[Responses], Array]) -> Jet:
        return jet(lambda x: method(replace(seen, log_policy=x)), seen.log_policy)

    ordered = comparisons.ordered
    chosen_mass, rejected_mass = ordered.sum(2), ordered.sum(1)
    chosen, rejected, policy = part(objective.chosen_term), part(objective.rejected_term), part(objective.policy_term)
    value = jnp.sum(chosen_mass * chosen.value + rejected_mass * rejected.value + policy.value, -1)
    slope = chosen_mass * chosen.first + rejected_mass * rejected.first + policy.first
    own = chosen_mass * chosen.second + rejected_mass * rejected.second + policy.second
    if not objective.paired:
        return value, slope, _diagonal(own), slope.sum(-1), own
    won, lost = part(objective.chosen_reward), part(objective.rejected_reward)
    link = jet(objective.link, won.value[:, :, None] - lost.value[:, None, :])
    force, stiffness = ordered * link.first, ordered * link.second
    value = value + jnp.sum(ordered * link.value, (1, 2))
    lean = won.first[:, :, None] - lost.first[:, None, :]
    bow = won.second - lost.second
    if type(objective).rejected_reward is Objective.rejected_reward:
        # A response shown with itself then has one and the same reward; fused multiply-adds would leave a rounding unit.
        lean, bow = _off_diagonal(lean), jnp.zeros_like(bow)
    pull, push = _off_diagonal(force).sum(2), _off_diagonal(force).sum(1)
    total = slope.sum(-1) + jnp.sum(force * lean, (1, 2))
    slope = slope + pull * won.first - push * lost.first + _entries(force * lean)
    curl = pull * won.second - push * lost.second + _entries(force) * bow
    rows = own + curl + won.first * jnp.sum(stiffness * lean, 2) - lost.first * jnp.sum(stiffness * lean, 1)
    apart = _off_diagonal(stiffness)
    own = own + curl + apart.sum(2) * won.first**2 + apart.sum(1) * lost.first**2 + _entries(stiffness * lean**2)
    cross = won.first[:, :, None] * apart * lost.first[:, None, :]
    return value, slope, _diagonal(own) - cross - jnp.swapaxes(cross, 1, 2), total, rows


def _diagonal(values: Float[Array, "prompts n"]) -> Float[Array, "prompts n n"]:
    return values[..., None] * jnp.eye(values.shape[-1], dtype=values.dtype)


def _entries(matrix: Float[Array, "prompts n n"]) -> Float[Array, "prompts n"]:
    return jnp.diagonal(matrix, axis1=1, axis2=2)


def _off_diagonal(matrix: Float[Array, "prompts n n"]) -> Float[Array, "prompts n n"]:
    return jnp.where(jnp.eye(matrix.shape[-1], dtype=bool), 0.0, matrix)
