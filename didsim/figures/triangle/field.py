"""In which direction, and how fast, does the exact gradient move a policy from anywhere on the triangle?"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from didsim.landscape import explain
from didsim.numerics import checks
from didsim.numerics.traces import jit
from didsim.objectives import Objective
from didsim.policies import Table
from didsim.samplers import Sampler
from didsim.worlds import Problem
from didsim.worlds.preferences import Labels

MOST_DIVISIONS = 1000  # half a million points, far more than a page shows


def inner_points(divisions: int) -> np.ndarray:
    """Points ``(i, j, k)/d`` with ``i, j, k ≥ 1``: a triangular grid that keeps off the edges, shape (points, 3).

    Raises:
        ArgumentError: fewer than three divisions, which leave no point inside.

    Example:
        >>> inner_points(4) * 4
        array([[1., 1., 2.],
               [1., 2., 1.],
               [2., 1., 1.]])
    """
    d = checks.whole("divisions", divisions, least=3, below=MOST_DIVISIONS + 1)
    return np.asarray([(i, j, d - i - j) for i in range(1, d) for j in range(1, d - i)], float) / d


def motion(
    problem: Problem, objective: Objective, sampler: Sampler, labels: Labels, points: ArrayLike
) -> Float[Array, "points 3"]:
    """Change of probabilities per unit of gradient-descent time on free logits, ``dπ/dt = -(diag π - ππᵀ) ∇_θ L``.

    ``dπ(y)/dt = π(y) d log π(y)/dt`` with the rates of `didsim.explain` (L4; derived).  A sampler that follows the policy
    sees each point as its policy.  Probabilities of zero count as the smallest normal number, so that edges and corners
    have a value; it never points out of the triangle.

    Args:
        problem: world of one prompt and three responses.
        objective: what is minimised.
        sampler: which pairs are shown.
        labels: who wins.
        points: probabilities, shape (points, 3).

    Returns:
        ``dπ/dt``, shape (points, 3); every row sums to zero.

    Raises:
        ArgumentError: the world has not one prompt and three responses, or the points are no laws on them.

    Example:
        >>> import jax.numpy as jnp
        >>> import didsim
        >>> world = didsim.triangle.three_responses(beta=0.5)
        >>> parts = didsim.objectives.Dpo(0.5), didsim.samplers.Uniform(), didsim.preferences.BradleyTerry()
        >>> moved = didsim.triangle.motion(world, *parts, jnp.exp(world.log_target))
        >>> bool(jnp.abs(moved).max() < 1e-6)  # the target does not move
        True
    """
    check_three(problem)
    laws = jnp.asarray(points, problem.log_ref.dtype)
    if laws.ndim != 2 or laws.shape[-1] != 3:
        raise checks.ArgumentError(f"Argument `points` must have shape (points, 3), but has {laws.shape}.")
    checks.between("points", laws, 0.0, 1.0)
    return _motion(problem, objective, sampler, labels, laws)


@jit
def _motion(problem, objective, sampler, labels, laws: Float[Array, "points 3"]) -> Float[Array, "points 3"]:
    floored = jnp.log(jnp.maximum(laws, jnp.finfo(laws.dtype).tiny))

    def one(log_law):
        return explain.likelihood_rates(problem, objective, sampler, labels, Table(), log_law[None])[0]

    moved = laws * jax.vmap(one)(floored)
    return moved - laws * moved.sum(-1, keepdims=True)  # rounding would lift it off the triangle


def check_three(problem: Problem) -> None:
    """Nothing, if the world has one prompt and three responses.

    Raises:
        ArgumentError: it has another shape.
    """
    if problem.log_ref.shape != (1, 3):
        raise checks.ArgumentError(
            f"Argument `problem` must have one prompt and three responses, but has shape {problem.log_ref.shape}."
        )
