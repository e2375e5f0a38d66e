"""Where is the exact minimum when there are too many responses for a matrix of their pairs?

Newton's method again, each step by conjugate gradients: gradients and Hessian products are sums over all pairs of a
product law, O(N) each (K1), so a million responses cost seconds.  The Hessian of such a law is close to a complete graph's
Laplacian once it is scaled by its diagonal, so few products are needed a step.
"""

import functools
from collections.abc import Callable
from dataclasses import replace

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from didsim.landscape.solvers.newton import iterate
from didsim.landscape.solvers.result import Solution, Status, solved
from didsim.numerics import linalg, simplex
from didsim.numerics.search import conjugate_gradients, longest_step, slope
from didsim.numerics.traces import jit
from didsim.objectives import Objective, Responses, responses
from didsim.objectives.comparisons import comparisons_for, prompt_losses, view
from didsim.samplers.data import Data
from didsim.worlds import Problem

INNER_STEPS = 200
INNER_TOLERANCE = 1e-3


@functools.partial(jit, static_argnames=("steps",))
def newton_krylov(problem: Problem, objective: Objective, data: Data, log_start, steps: int) -> Solution:
    """Newton-CG from a log-law; arguments as `didsim.solve` has checked them."""

    def losses(x: Array, around: Array) -> Array:
        # Pairs drawn from the policy do not move with it.
        comparisons = comparisons_for(objective, problem, data.sampler, data.labels, jax.lax.stop_gradient(around))
        return prompt_losses(objective, view(objective, problem, simplex.normalize(x), comparisons), comparisons)

    def gradient(x: Array, around: Array) -> Array:
        return jax.grad(lambda at: losses(at, around).sum())(x)

    def step(x: Array) -> tuple[Array, Array, Array]:
        # Expand the loss at the point: gradient, and the Hessian as products and a diagonal.
        downhill = -simplex.clr(gradient(x, x))
        scale = _diagonal(objective, problem, data, x)

        def product(v: Array) -> Array:
            return simplex.clr(jax.jvp(lambda at: gradient(at, x), (x,), (v,))[1])

        def scaled(residual: Array) -> Array:
            return linalg.divide(residual, scale, scale > 0)

        # Solve for the direction.  The constant is in the Hessian's null space; what rounding leaves of it is taken out.
        direction, _ = conjugate_gradients(product, downhill, scaled, tolerance=INNER_TOLERANCE, steps=INNER_STEPS)
        direction = simplex.clr(direction)
        # Search along it.
        at, fall = losses(x, x), -jnp.sum(downhill * direction, -1)
        length = longest_step(lambda t: losses(x + t[:, None] * direction, x), at, fall, jnp.ones_like(at), slack=64.0)
        return direction, length, length == 0.0

    end = iterate(step, log_start, steps)
    # Judge where it ended.
    scale, pull, value = _diagonal(objective, problem, data, end.x), gradient(end.x, end.x), losses(end.x, end.x)
    open_directions = jnp.sum(scale <= 0, -1)
    converged = jnp.where(open_directions > 0, Status.NOT_UNIQUE, Status.CONVERGED)
    status = jnp.where(
        end.size <= jnp.finfo(end.size.dtype).eps ** 0.375, converged, jnp.where(end.done, Status.STALLED, Status.OUT_OF_STEPS)
    )
    status = jnp.where(jnp.isfinite(value), status, Status.NOT_FINITE)
    return Solution(
        log_policy=end.x,
        value=value,
        gradient_norm=jnp.max(linalg.divide(jnp.abs(pull), jnp.maximum(scale, jnp.finfo(pull.dtype).tiny), pull != 0), -1),
        step=end.size,
        undetermined=open_directions,
        status=status,
        iterations=end.taken,
        agreeing=jnp.ones_like(end.taken),
        starts=jnp.ones_like(end.taken),
        lower_bound=jnp.where(solved(status) & objective.convex, value, -jnp.inf),
    )


def _diagonal(objective: Objective, problem: Problem, data: Data, x: Float[Array, "prompts n"]) -> Float[Array, "prompts n"]:
    """Diagonal of the link's Hessian: perturbing one role's rewards alone, it has no other entries."""
    if not objective.paired:
        return jnp.exp(x)
    seen = responses(problem, x)
    comparisons = comparisons_for(objective, problem, data.sampler, data.labels, x)
    won, lost = objective.chosen_reward(seen), objective.rejected_reward(seen)

    def mean_link(won: Array, lost: Array) -> Array:
        return comparisons.mean_link(objective.pair_link(), won, lost).sum()

    def of_log_policy(reward: Callable[[Responses], Array]) -> Array:
        return slope(lambda free: reward(replace(seen, log_policy=free)), x)

    of_chosen = slope(jax.grad(lambda free: mean_link(free, lost)), won) * of_log_policy(objective.chosen_reward) ** 2
    return of_chosen + slope(jax.grad(lambda free: mean_link(won, free)), lost) * of_log_policy(objective.rejected_reward) ** 2
