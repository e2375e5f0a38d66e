"""Where is the exact minimum when there are too many responses to write out their pairs?

Newton's method again, each step by conjugate gradients: gradients and Hessian products are sums over all pairs of a
product law, O(N) each (K1), so a million responses cost seconds.  The Hessian of such a law is close to a complete graph's
Laplacian once it is scaled by its diagonal, so few products are needed a step.
"""

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from didsim.landscape.solvers.result import Solution, Status
from didsim.numerics import simplex
from didsim.objectives import Objective, Responses, comparisons_for, prompt_losses, responses

INNER_STEPS = 200
INNER_TOLERANCE = 1e-3
MAX_HALVINGS = 30


class _State(NamedTuple):
    taken: Array
    x: Float[Array, "prompts n"]
    size: Float[Array, " prompts"]
    done: Bool[Array, " prompts"]


@functools.partial(jax.jit, static_argnames=("steps",))
def newton_krylov(problem, objective: Objective, sampler, labels, log_start, steps: int) -> Solution:
    """Newton-CG from a log-law; arguments as `didsim.solvers.solve` has checked them."""
    tolerance = jnp.finfo(log_start.dtype).eps ** 0.75

    def losses(x: Array, around: Array) -> Array:
        comparisons = comparisons_for(objective, problem, sampler, labels, jax.lax.stop_gradient(around))
        return prompt_losses(objective, responses(problem, simplex.normalize(x)), comparisons)

    def gradient(x: Array, around: Array) -> Array:
        return jax.grad(lambda at: losses(at, around).sum())(x)

    def body(state: _State) -> _State:
        x = state.x
        slope = gradient(x, x)
        scale = _diagonal(objective, problem, sampler, labels, x)

        def product(v: Array) -> Array:
            return jax.jvp(lambda at: gradient(at, x), (x,), (v,))[1]

        direction = _conjugate_gradients(product, -slope, scale)
        length = _line_search(lambda at: losses(at, x), x, direction, jnp.sum(slope * direction, -1))
        size = jnp.max(jnp.abs(direction), -1)
        move = jnp.where(state.done[:, None], 0.0, length[:, None] * direction)
        return _State(state.taken + 1, simplex.normalize(x + move), size, state.done | (size <= tolerance) | (length == 0.0))

    prompts = log_start.shape[0]
    start = _State(jnp.int32(0), simplex.normalize(log_start), jnp.full((prompts,), jnp.inf), jnp.zeros((prompts,), bool))
    end = jax.lax.while_loop(lambda s: (s.taken < steps) & ~jnp.all(s.done), body, start)
    scale = _diagonal(objective, problem, sampler, labels, end.x)
    slope = gradient(end.x, end.x)
    open_directions = jnp.sum(scale <= 0, -1)
    converged = jnp.where(open_directions > 0, Status.NOT_UNIQUE, Status.CONVERGED)
    value = losses(end.x, end.x)
    status = jnp.where(end.size <= jnp.sqrt(tolerance), converged, Status.STALLED)
    return Solution(
        log_policy=end.x,
        value=value,
        gradient_norm=jnp.max(jnp.where(slope == 0, 0.0, jnp.abs(slope) / jnp.maximum(scale, jnp.finfo(slope.dtype).tiny)), -1),
        step=end.size,
        undetermined=open_directions,
        status=jnp.where(jnp.isfinite(value), status, Status.NOT_FINITE),
        iterations=jnp.broadcast_to(end.taken, (prompts,)),
        agreeing=jnp.ones((prompts,), jnp.int32),
    )


def _diagonal(objective: Objective, problem, sampler, labels, x: Float[Array, "prompts n"]) -> Float[Array, "prompts n"]:
    """Diagonal of the link's Hessian: perturbing one role's rewards alone, it has no other entries."""
    seen = responses(problem, x)
    comparisons = comparisons_for(objective, problem, sampler, labels, x)
    if not objective.paired:
        return jnp.exp(x)
    rewards = objective.chosen_reward(seen), objective.rejected_reward(seen)
    total = jnp.zeros_like(x)
    for role, method in enumerate((objective.chosen_reward, objective.rejected_reward)):

        def in_role(values: Array, role: int = role) -> Array:
            pair = (values, rewards[1]) if role == 0 else (rewards[0], values)
            return comparisons.mean_link(objective.pair_link(), *pair).sum()

        ones = jnp.ones_like(x)
        bend = jax.jvp(jax.grad(in_role), (rewards[role],), (ones,))[1]
        total = total + bend * _slope(method, seen) ** 2
    return total


def _slope(method: Callable[[Responses], Array], seen: Responses) -> Array:
    """Derivative of an elementwise reward in the log-probability."""
    at = seen.log_policy
    move = replace(jax.tree.map(jnp.zeros_like, seen), log_policy=jnp.ones_like(at))
    return jax.jvp(method, (seen,), (move,))[1]


def _conjugate_gradients(product: Callable[[Array], Array], right: Array, scale: Array) -> Array:
    """Solution of ``H x = right`` prompt by prompt, scaled by the diagonal, to a relative residual of 1e-3.

    The constant is in the null space of ``H``; whatever rounding leaves of it is taken out again and again.
    """
    right = simplex.clr(right)
    inverse = jnp.where(scale > 0, 1.0 / jnp.where(scale > 0, scale, 1.0), 0.0)

    def dot(a: Array, b: Array) -> Array:
        return jnp.sum(a * b, -1, keepdims=True)

    first = dot(right, inverse * right)

    def going(state):
        count, _, _, _, size = state
        return (count < INNER_STEPS) & jnp.any(size > INNER_TOLERANCE**2 * first)

    def body(state):
        count, x, residual, direction, size = state
        image = simplex.clr(product(direction))
        bend = dot(direction, image)
        length = jnp.where(bend > 0, size / jnp.where(bend > 0, bend, 1.0), 0.0)
        residual = residual - length * image
        new = dot(residual, inverse * residual)
        turn = jnp.where(size > 0, new / jnp.where(size > 0, size, 1.0), 0.0)
        return count + 1, x + length * direction, residual, inverse * residual + turn * direction, new

    start = (jnp.int32(0), jnp.zeros_like(right), right, inverse * right, first)
    return simplex.clr(jax.lax.while_loop(going, body, start)[1])


def _line_search(value: Callable[[Array], Array], x: Array, direction: Array, slope: Array) -> Array:
    """Longest step 2^-k that lowers the loss enough (Armijo), with slack for rounding; zero if there is none."""
    at = value(x)
    slack = 64.0 * jnp.finfo(x.dtype).eps * (1.0 + jnp.abs(at))

    def good(length: Array) -> Array:
        return value(x + length[:, None] * direction) <= at + 1e-4 * length * slope + slack

    def halve(state):
        count, length, accepted = state
        length = jnp.where(accepted, length, 0.5 * length)
        return count + 1, length, accepted | good(length)

    ones = jnp.ones_like(at)
    _, length, accepted = jax.lax.while_loop(
        lambda s: (s[0] < MAX_HALVINGS) & ~jnp.all(s[2]), halve, (jnp.int32(0), ones, good(ones))
    )
    return jnp.where(accepted, length, 0.0)
