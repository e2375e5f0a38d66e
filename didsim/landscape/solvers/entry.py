"""Where is the exact minimum of a population loss?

Long training is no ground truth.  For a free table the population loss of every objective here has a closed Hessian
(`didsim.objectives.curvature`), so Newton's method with the Laplacian's pseudo-inverse reaches the minimiser in about ten steps;
kinked losses are reached through a sequence of rounded ones; losses that are not convex are started from several
points and the best end is kept.  Null directions of the Hessian are left where they started, so on data that does not
determine the policy the answer is the one gradient descent finds (S2).  The result says what kind of answer it is.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from didsim.landscape.solvers.krylov import newton_krylov
from didsim.landscape.solvers.newton import newton, newton_quickly
from didsim.landscape.solvers.result import Solution, in_double
from didsim.numerics import checks
from didsim.numerics.compilation import on_processor
from didsim.numerics.promotion import usual_promotion
from didsim.objectives import Objective
from didsim.objectives.comparisons import can_stay_product
from didsim.samplers import ProductMixture, Sampler
from didsim.samplers.data import Data
from didsim.worlds import Problem
from didsim.worlds.preferences import Labels

LARGEST_DENSE = 2048
BRIEF = 2**17  # pairs of all prompts and starts whose minimum is found in less time than compiling with care takes


@usual_promotion()
def solve(
    problem: Problem,
    objective: Objective,
    sampler: Sampler | None = None,
    labels: Labels | None = None,
    *,
    start: Float[Array, "prompts n"] | None = None,
    starts: int | None = None,
    steps: int = 100,
    seed: int = 0,
) -> Solution:
    """Exact minimiser of a population loss over free tables, prompt by prompt (K3).

    Up to 2,048 responses by Newton's method with a dense Hessian; beyond, for smooth convex objectives on
    mixtures of products, by Newton-CG with Hessian products in O(N) (K1).

    Args:
        problem: the preference world.
        objective: what is minimised.
        sampler: which pairs are shown; independent chosen and rejected draws if missing.
        labels: who wins; "the first one shown" if both sampler and labels are missing.
        start: log-law to start from, π_ref if missing; null directions of the Hessian keep its value.
        starts: number of starts, the first at ``start`` and the others with normal noise on the logits; 1 for a convex
            objective and 4 otherwise if missing.
        steps: most Newton steps at each rounding of the kinks, > 0.
        seed: seed of the extra starts.

    Returns:
        `Solution` with the minimiser, its residuals and a `Status` for each prompt.

    Raises:
        ArgumentError: labels without a sampler, a number out of range, a pair law that has no mass, or an objective that
            is no mean over pairs.

    Example:
        >>> import jax.numpy as jnp
        >>> import didsim
        >>> world = didsim.problem(jnp.log(jnp.array([0.5, 0.3, 0.2])), reward=jnp.array([0.0, 1.0, 2.0]), beta=0.5)
        >>> best = didsim.solve(world, didsim.objectives.Dpo(beta=0.5))
        >>> bool(jnp.abs(best.log_policy - world.log_target).max() < 1e-4)
        True
    """
    checks.part("objective", objective, Objective, "didsim.objectives.Dpo(beta=0.1)")
    data = Data.given(sampler, labels)
    checks.whole("steps", steps, least=1)
    count = checks.whole("starts", starts, least=1) if starts is not None else (1 if objective.convex else 4)
    log_start = problem.log_ref if start is None else jnp.asarray(start, problem.log_ref.dtype)
    checks.same_shape("problem.log_ref", problem.log_ref, "start", log_start)
    data.check(problem, log_start)
    if objective.batch_level:
        raise checks.ArgumentError(
            f"Argument `objective` must be a mean over pairs or responses, but {objective.name} sorts them; train it instead."
        )
    everything = (problem, objective, data, log_start)
    if problem.log_ref.shape[-1] > LARGEST_DENSE:
        _check_large(problem, objective, data)
        return in_double(lambda *wide: newton_krylov(*wide, steps), everything)
    number = jnp.uint32(checks.seed(seed))
    if checks.is_traced(everything):
        return newton(*everything, number, count, steps)
    brief = count * problem.log_ref.size * problem.log_ref.shape[-1] <= BRIEF
    method = newton_quickly if brief and on_processor() else newton
    return in_double(lambda *wide: method(*wide, number, count, steps), everything)


def _check_large(problem: Problem, objective: Objective, data: Data) -> None:
    is_product = isinstance(data.sampler.pair_law(problem, problem.log_ref), ProductMixture)
    if objective.kinked or not objective.convex or not is_product or not can_stay_product(objective, data.labels):
        raise checks.ArgumentError(
            f"Argument `problem` must have at most {LARGEST_DENSE} responses for {objective.name} with "
            f"{type(data.sampler).__name__} and {type(data.labels).__name__}, but has {problem.log_ref.shape[-1]}; "
            "beyond that solve takes smooth convex objectives on mixtures of products with labels as shown or soft Bradley-Terry."
        )
