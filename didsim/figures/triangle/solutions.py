"""At which policies is a loss least: at one, on a line, or everywhere?

Where a sampler never compares some responses with others, the data fixes the ratios within each component of the comparison
graph and nothing between them (S1).  With three responses the minimisers are then a point, a line from a corner to the
opposite edge, or the whole triangle.
"""

from typing import final

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from didsim import landscape
from didsim.figures.triangle.field import check_three
from didsim.landscape.solvers import Status, solve
from didsim.numerics.pytrees import pytree
from didsim.numerics.traces import jit
from didsim.objectives import Objective
from didsim.samplers import Sampler
from didsim.worlds import Problem
from didsim.worlds.preferences import Labels

NONE = -1


@final
@pytree
class SolutionSet:
    """Minimisers on the triangle.

    Attributes:
        dimension: 0 a point, 1 a line, 2 the whole triangle, -1 none inside it (the loss falls towards its border)
            or none that an exact solver can name (losses on a whole batch).
        ends: laws at the two ends of the line, equal for a point, shape (2, 3); they say nothing where there is no line.
        nearest: the minimiser at which gradient descent from the reference ends for DPO (S2), shape (3,).
    """

    dimension: Int[Array, ""]
    ends: Float[Array, "2 3"]
    nearest: Float[Array, "3"]


def solution_set(problem: Problem, objective: Objective, sampler: Sampler, labels: Labels) -> SolutionSet:
    """All minimisers of a population loss over three responses (S1; paper B's claim, made exact; D5).

    One minimiser is solved for; it may be scaled by a free factor on each component of the comparison graph as far as the
    Hessian's null space says so.  A loss whose other terms fix the factors has a single minimiser even where some responses are
    never shown.

    Args:
        problem: world of one prompt and three responses.
        objective: what is minimised.
        sampler: which pairs are shown.
        labels: who wins.

    Returns:
        `SolutionSet`.

    Raises:
        ArgumentError: not one prompt and three responses, or a sampler without mass.

    Example:
        >>> import jax.numpy as jnp
        >>> import didsim
        >>> world = didsim.triangle.three_responses(beta=0.5)
        >>> pair = didsim.samplers.Blocks(jnp.array([0, 0, -1]))  # the third response is never shown
        >>> found = didsim.triangle.solution_set(world, didsim.objectives.Dpo(0.5), pair, didsim.preferences.BradleyTerry())
        >>> int(found.dimension), found.ends[1].tolist()  # a line that ends where the third has all mass
        (1, [0.0, 0.0, 1.0])
    """
    check_three(problem)
    if objective.batch_level:
        return _nowhere(jnp.full((3,), jnp.nan, problem.log_ref.dtype))
    best = solve(problem, objective, sampler, labels)
    group = np.asarray(_groups(problem, sampler)[0])
    free = int(best.undetermined[0])
    found = Status(int(best.status[0]))
    law = jnp.exp(best.log_policy[0])
    if found not in (Status.CONVERGED, Status.NOT_UNIQUE) or free not in (0, len(np.unique(group)) - 1):
        return _nowhere(law)
    ends = jnp.stack([law, law]) if free != 1 else _line(law, group)
    return SolutionSet(jnp.int32(free), ends, law)


def distance(found: SolutionSet, laws: Float[Array, "... 3"]) -> Float[Array, "..."]:
    """Euclidean distance of laws from the solution set; NaN where there is none."""
    start, along = found.ends[0], found.ends[1] - found.ends[0]
    length = jnp.sum(along**2)
    share = jnp.clip((laws - start) @ along / jnp.where(length > 0, length, 1.0), 0.0, 1.0)
    off = jnp.linalg.norm(laws - start - share[..., None] * along, axis=-1)
    return jnp.where(found.dimension == 2, 0.0, jnp.where(found.dimension == NONE, jnp.nan, off))


def _nowhere(law: Float[Array, "3"]) -> SolutionSet:
    return SolutionSet(jnp.int32(NONE), jnp.full((2, 3), jnp.nan, law.dtype), law)


@jit
def _groups(problem: Problem, sampler: Sampler) -> Int[Array, "1 3"]:
    return landscape.components(landscape.comparison_graph(sampler.pair_law(problem, problem.log_ref).matrix()))


def _line(law: Float[Array, "3"], group: np.ndarray) -> Float[Array, "2 3"]:
    """From the edge, where the responses that are compared have all mass, to the corner of the one that is not."""
    labels, sizes = np.unique(group, return_counts=True)
    alone = jnp.asarray(group == labels[sizes == 1][0])
    edge = jnp.where(alone, 0.0, law)
    return jnp.stack([edge / edge.sum(), alone.astype(law.dtype)])
