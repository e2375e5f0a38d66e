"""Where is the minimum of a population loss over the parameters of a policy?

The limit of training for policies that are no free tables.  With shared parameters the loss is convex only for linear
models and convex objectives; a prefix table has one minimiser, in other coordinates; for a transformer there is no
such guarantee.  So the solver starts from several points, keeps the best end, and says where each of the others ended.
"""

import functools
from collections.abc import Callable
from typing import Any, final

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int, Key

from didsim.landscape.lanczos import largest_ritz
from didsim.landscape.solvers.quasinewton import minimum
from didsim.landscape.solvers.result import Status, evidence, in_double
from didsim.numerics import checks
from didsim.numerics.brief import called
from didsim.numerics.promotion import usual_promotion
from didsim.numerics.pytrees import pytree
from didsim.numerics.traces import jit
from didsim.objectives import Objective, loss
from didsim.objectives.comparisons import comparisons_for
from didsim.policies import Policy
from didsim.samplers import Sampler
from didsim.samplers.data import Data
from didsim.worlds import Problem
from didsim.worlds.preferences import Labels
from didsim.worlds.random import normal

SMALL = 1e-12
LOOKS = 24


@final
@pytree
class PolicySolution:
    """The best of several local minima over a policy's parameters, with the evidence; ``starts`` in the order started.

    Attributes:
        log_policy: log-probabilities at the best end, shape (prompts, n).
        params: its parameters.
        value: population loss there, nats.
        gradient_norm: largest gradient entry there.
        status: a `Status`: CONVERGED if the gradient is small enough and no curvature was found that is negative, SADDLE if
            one was, STALLED if no step lowered the loss before that, OUT_OF_STEPS, or NOT_FINITE.
        iterations: steps taken from the best start.
        ends: log-probabilities at every end, shape (starts, prompts, n).
        end_values: loss at every end.
        end_gradients: largest gradient entry at every end.
        end_statuses: status of every end.
        agreeing: how many starts ended at the best value, to the square root of the rounding unit.
    """

    log_policy: Float[Array, "... prompts n"]
    params: Any
    value: Float[Array, "..."]
    gradient_norm: Float[Array, "..."]
    status: Int[Array, "..."]
    iterations: Int[Array, "..."]
    ends: Float[Array, "... starts prompts n"]
    end_values: Float[Array, "... starts"]
    end_gradients: Float[Array, "... starts"]
    end_statuses: Int[Array, "... starts"]
    agreeing: Int[Array, "..."]

    def __repr__(self) -> str:
        return called("PolicySolution", evidence(self.status, self.gradient_norm), log_policy=self.log_policy, ends=self.ends)


@usual_promotion()
def solve_policy(
    problem: Problem,
    objective: Objective,
    policy: Policy,
    sampler: Sampler | None = None,
    labels: Labels | None = None,
    *,
    starts: int = 1,
    spread: float = 1.0,
    steps: int = 2000,
    seed: int = 0,
) -> PolicySolution:
    """Minimiser of a population loss over the parameters of a policy, by L-BFGS from several starts (K3).

    Args:
        problem: the preference world.
        objective: what is minimised; smooth, and with a loss whose gradient is its own (no stop-gradient inside).
        policy: how parameters become laws.
        sampler: which pairs are shown; independent chosen and rejected draws if missing.  It must not follow the policy.
        labels: who wins; "the first one shown" if both sampler and labels are missing.
        starts: number of starts, the first where training starts, the others with normal noise on all parameters.
        spread: standard deviation of that noise, > 0.
        steps: most L-BFGS steps from each start.
        seed: seed of the noise.

    Returns:
        `PolicySolution`; CONVERGED means a stationary point along which 24 Lanczos steps saw no way down, and no more
        where the loss is not convex: compare ``end_values``.

    Raises:
        ArgumentError: labels without a sampler, a number out of range, a sampler that follows the policy, or a pair law
            that has no mass.

    Example:
        >>> import jax
        >>> import didsim
        >>> from didsim.numerics.sequences import SequenceSpace
        >>> space = SequenceSpace(vocabulary=2, length=2)
        >>> world = didsim.worlds.RandomSequences(space).draw(jax.random.key(0))
        >>> end = didsim.solve_policy(world, didsim.objectives.Dpo(0.5), didsim.policies.prefix_table(space))
        >>> bool(didsim.simplex.jsd(world.log_target, end.log_policy)[0] < 1e-12)
        True
    """
    checks.part("objective", objective, Objective, "didsim.objectives.Dpo(beta=0.1)")
    data = Data.given(sampler, labels)
    checks.whole("starts", starts, least=1)
    checks.whole("steps", steps, least=1)
    checks.positive("spread", spread)
    data.check(problem, problem.log_ref)
    number = jnp.uint32(checks.seed(seed))
    noise = jnp.asarray(spread, problem.log_ref.dtype)
    return in_double(lambda *wide: _solved(*wide, number, starts, steps), (problem, objective, policy, data, noise))


@functools.partial(jit, static_argnames=("count", "steps"))
def _solved(problem, objective, policy, data: Data, noise, number, count: int, steps: int) -> PolicySolution:
    return minimise(jax.random.key(number), problem, objective, policy, data, noise, count=count, steps=steps)


def minimise(
    key: Key[Array, ""],
    problem: Problem,
    objective: Objective,
    policy: Policy,
    data: Data,
    spread: Float[Array, ""],
    *,
    count: int,
    steps: int,
) -> PolicySolution:
    """`solve_policy`, unchecked and traceable, for use under ``vmap``: a batch of policies and worlds as one program.

    Raises:
        ArgumentError: the sampler follows the policy.
    """
    if data.sampler.follows_policy:
        raise checks.ArgumentError(
            f"Argument `sampler` must not follow the policy, but is {type(data.sampler).__name__}: its loss has no one minimum."
        )
    # The loss as a function of one vector.
    shown = comparisons_for(objective, problem, data.sampler, data.labels, problem.log_ref)
    first, rebuild = ravel_pytree(policy.init(problem.log_ref))

    def value(flat: Array) -> tuple[Array, Array]:
        log_policy = policy.log_probs(rebuild(flat), problem.log_ref)
        return loss(objective, problem, log_policy, shown), log_policy

    # A minimum from every start, the first of them without noise, and how far each can be trusted.
    apart = spread * normal(key, (count, first.size)).astype(first.dtype)
    ends = jax.vmap(lambda start: minimum(value, start, SMALL, steps))(first + apart.at[0].set(0.0))
    gradients = jnp.max(jnp.abs(ends.slope), -1)
    statuses = jnp.where(gradients <= SMALL, Status.CONVERGED, jnp.where(ends.done, Status.STALLED, Status.OUT_OF_STEPS))
    statuses = jnp.where(jnp.isfinite(ends.value), statuses, Status.NOT_FINITE)
    tops = jax.vmap(lambda place: _bends_down(jax.grad(lambda x: value(x)[0]), place))(ends.x)
    statuses = jnp.where((statuses == Status.CONVERGED) & tops, Status.SADDLE, statuses)
    # The best of them.
    values = jnp.where(jnp.isfinite(ends.value), ends.value, jnp.inf)
    best = jnp.argmin(values)
    slack = jnp.finfo(values.dtype).eps ** 0.5 * (1.0 + jnp.abs(values[best]))
    return PolicySolution(
        log_policy=ends.beside[best],
        params=rebuild(ends.x[best]),
        value=ends.value[best],
        gradient_norm=gradients[best],
        status=statuses[best],
        iterations=ends.taken[best],
        ends=ends.beside,
        end_values=ends.value,
        end_gradients=gradients,
        end_statuses=statuses,
        agreeing=jnp.sum(values <= values[best] + slack),
    )


def _bends_down(slope: Callable[[Array], Array], place: Float[Array, " d"]) -> Bool[Array, ""]:
    """Whether a direction is found along which the Hessian is negative beyond the root of the rounding unit in its size."""
    keys = jax.random.split(jax.random.key(0))
    first = normal(keys[0], place.shape).astype(place.dtype)
    noise = normal(keys[1], (min(LOOKS, place.size), place.size)).astype(place.dtype)

    def product(vector: Array) -> Array:
        return jax.jvp(slope, (place,), (vector,))[1]

    down, _, _ = largest_ritz(lambda v: (-product(v), jnp.int32(0)), lambda v: v, first, noise)
    size = jnp.linalg.norm(product(first)) / jnp.linalg.norm(first)
    return down > jnp.sqrt(jnp.finfo(place.dtype).eps) * size
