"""Along which path does a run go, from the reference or from anywhere else?"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from didsim.dynamics import Run, Sgd, Trajectory
from didsim.dynamics.run import execute, run_key
from didsim.figures.triangle.field import check_three
from didsim.numerics import checks, simplex
from didsim.numerics.traces import jit
from didsim.objectives import Objective, loss
from didsim.objectives.comparisons import comparisons_for
from didsim.policies import StartedAt
from didsim.samplers import Sampler
from didsim.worlds import Given, Problem
from didsim.worlds.preferences import Labels

Laws = ArrayLike | Sequence[float] | Sequence[Sequence[float]]
LONGEST = 0.1  # nats a logit may move in one step


def follow(
    problem: Problem,
    objective: Objective,
    sampler: Sampler,
    labels: Labels,
    starts: Laws,
    *,
    steps: int = 20_000,
    records: int = 80,
) -> tuple[Trajectory, ...]:
    """Exact gradient-descent runs from given policies; ``metrics["law"]`` holds the path, shape (records, 1, 3).

    Plain gradient descent with one step size for all starts, ``safe_step``; a run stops when its gradient is 1e-9 of the
    rounding-free scale (1e-5 in single precision).

    Args:
        problem: world of one prompt and three responses.
        objective: what is minimised.
        sampler: which pairs are shown; one that follows the policy is asked anew at every step.
        labels: who wins.
        starts: probabilities, shape (starts, 3), all positive.
        steps: most gradient steps.
        records: about how many moments are recorded, log-spaced.

    Returns:
        One `Trajectory` per start.

    Raises:
        ArgumentError: not one prompt and three responses, a start without full support, or a number out of range.

    Example:
        >>> import didsim
        >>> world = didsim.triangle.three_responses(beta=0.5)
        >>> parts = didsim.objectives.Dpo(0.5), didsim.samplers.Uniform(), didsim.preferences.BradleyTerry()
        >>> (run,) = didsim.triangle.follow(world, *parts, [[0.2, 0.2, 0.6]])
        >>> bool(abs(run.log_policy - world.log_target).max() < 1e-3)
        True
    """
    check_three(problem)
    laws = jnp.atleast_2d(jnp.asarray(starts, problem.log_ref.dtype))
    checks.positive("starts", laws)
    logs = simplex.normalize(jnp.log(laws))
    rate = safe_step(problem, objective, sampler, labels, logs)
    stop = jnp.asarray(1e-9 if laws.dtype == jnp.float64 else 1e-5, laws.dtype)

    def run(log_start):
        parts = (Given(problem), objective, sampler, labels, StartedAt(log_start[None]), Sgd(rate))
        return Run(*parts, steps=steps, records=records, stop_below=stop, metrics=law)

    return tuple(_execute(run(log_start), run_key(0)) for log_start in logs)


_execute = jit(execute)


def law(problem, objective, log_policy, comparisons) -> dict[str, Array]:
    """Metric of a run that keeps the whole policy, beside the mean changes of log-likelihood and the loss."""
    ratio = log_policy - problem.log_ref
    return {
        "law": jnp.exp(log_policy),
        "loss": loss(objective, problem, log_policy, comparisons),
        "chosen_change": comparisons.mean_chosen(ratio)[0],
        "rejected_change": comparisons.mean_rejected(ratio)[0],
    }


@jit
def safe_step(problem, objective, sampler, labels, log_laws: Float[Array, "points 3"]) -> Float[Array, ""]:
    """Step size ``min(1/λ_max, 0.1/|∇L|_∞)``, worst over the given policies: it neither overshoots nor leaps (S4; derived)."""

    def value(logits, shown):
        return loss(objective, problem, simplex.normalize(logits)[None], shown)

    def one(log_law):
        shown = comparisons_for(objective, problem, sampler, labels, log_law[None])
        slope, bend = jax.grad(value)(log_law, shown), jax.hessian(value)(log_law, shown)
        return jnp.max(jnp.abs(slope)), jnp.linalg.norm(bend)  # Frobenius, at least λ_max

    slope, bend = jax.vmap(one)(log_laws)
    tiny = jnp.finfo(log_laws.dtype).tiny
    return jnp.minimum(1.0 / jnp.maximum(bend.max(), tiny), LONGEST / jnp.maximum(slope.max(), tiny))
