"""Where is the exact minimum of a population loss?

Long training is no ground truth.  For a free table the population loss of every objective here has a closed Hessian
(`didsim.objectives.curvature`), so Newton's method with the Laplacian's pseudo-inverse reaches the minimiser in about ten steps;
kinked losses are reached through a sequence of rounded ones; losses that are not convex are started from several
points and the best end is kept.  Null directions of the Hessian are left where they started, so on data that does not
determine the policy the answer is the one gradient descent finds (S2).  The result says what kind of answer it is.
"""

import enum
import functools
import math
from dataclasses import replace
from typing import Any, final

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from didsim import checks, simplex
from didsim.objectives import Expansion, Objective, expand, population, prompt_losses, responses
from didsim.preferences import AsShown, Labels
from didsim.records import record
from didsim.samplers import ChosenRejected, Sampler
from didsim.worlds import Problem, normal

MAX_HALVINGS = 40
NARROWING = 0.25


class Status(enum.IntEnum):
    """How a solve or a run ended."""

    CONVERGED = 0
    NOT_UNIQUE = 1
    UNBOUNDED = 2
    STALLED = 3
    OUT_OF_STEPS = 4
    NOT_FINITE = 5


@final
@record
class Solution:
    """Exact minimiser of every prompt, with the evidence.

    Attributes:
        log_policy: log-probabilities of the minimiser, shape (prompts, n).
        value: population loss there, nats, shape (prompts,).
        gradient_norm: largest gradient entry relative to the curvature of its response, ``max |g_y|/H_yy``.
        step: largest logit change in the last Newton step.
        undetermined: dimensions of the Hessian's null space beyond the common constant.
        status: a `Status` per prompt.
        iterations: Newton steps taken.
        agreeing: how many starts ended at this value.
    """

    log_policy: Float[Array, "... prompts n"]
    value: Float[Array, "... prompts"]
    gradient_norm: Float[Array, "... prompts"]
    step: Float[Array, "... prompts"]
    undetermined: Int[Array, "... prompts"]
    status: Int[Array, "... prompts"]
    iterations: Int[Array, "... prompts"]
    agreeing: Int[Array, "... prompts"]


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
        ArgumentError: labels without a sampler, a number out of range, or a pair law that has no mass.

    Example:
        >>> import jax.numpy as jnp
        >>> import didsim
        >>> world = didsim.problem(jnp.log(jnp.array([0.5, 0.3, 0.2])), reward=jnp.array([0.0, 1.0, 2.0]), beta=0.5)
        >>> best = didsim.solve(world, didsim.objectives.Dpo(beta=0.5))
        >>> bool(jnp.abs(best.log_policy - world.log_target).max() < 1e-4)
        True
    """
    sampler, labels = default_data(sampler, labels)
    checks.whole("steps", steps, least=1)
    count = checks.whole("starts", starts, least=1) if starts is not None else (1 if objective.convex else 4)
    log_start = problem.log_ref if start is None else jnp.asarray(start, problem.log_ref.dtype)
    checks.same_shape("problem.log_ref", problem.log_ref, "start", log_start)
    check_pair_law(problem, sampler, log_start)
    everything = (problem, objective, sampler, labels, log_start)
    if checks.is_traced(everything):
        return _solve(*everything, jnp.uint32(checks.seed(seed)), count, steps)
    # A ground truth is worked out in double precision, whatever the precision of the question.
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda leaf: _cast(leaf, np.float64), everything)
        end = _solve(*wide, jnp.uint32(checks.seed(seed)), count, steps)
        return jax.tree.map(lambda leaf: _cast(leaf, problem.log_ref.dtype), end)


def _cast(leaf: Any, dtype: Any) -> Any:
    """Floating arrays in another precision, 64-bit integers in 32 bits when that is narrow; all else as it is."""
    if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jnp.floating):
        return leaf.astype(dtype)
    if isinstance(leaf, jax.Array) and leaf.dtype == jnp.int64 and dtype == jnp.float32:
        return leaf.astype(jnp.int32)
    return leaf


def default_data(sampler: Sampler | None, labels: Labels | None) -> tuple[Sampler, Labels]:
    """Sampler and labels with the default filled in: independent chosen and rejected draws (D3).

    Raises:
        ArgumentError: only one of the two is given.
    """
    if (sampler is None) != (labels is None):
        missing = "sampler" if sampler is None else "labels"
        raise checks.ArgumentError(f"Argument `{missing}` must be given when the other of sampler and labels is.")
    return (ChosenRejected(), AsShown()) if sampler is None or labels is None else (sampler, labels)


def check_pair_law(problem: Problem, sampler: Sampler, log_policy: Float[Array, "prompts n"]) -> None:
    """Nothing, if the sampler's pair law at a policy is a law.

    Raises:
        ArgumentError: it has NaN or does not sum to one, as after a restriction that leaves no mass.
    """
    if checks.is_traced(problem, sampler, log_policy):
        return
    total = sampler.pair_law(problem, log_policy).total()
    if not bool(jnp.all(jnp.abs(total - 1.0) < 1e-3)):
        raise checks.ArgumentError(
            f"Argument `sampler` must give every prompt a pair law of total probability 1, but {type(sampler).__name__} "
            f"gives {float(total[jnp.argmax(jnp.where(jnp.isnan(total), jnp.inf, jnp.abs(total - 1.0)))]):g}."
        )


@functools.partial(jax.jit, static_argnames=("count", "steps"))
def _solve(problem, objective, sampler, labels, log_start, seed, count: int, steps: int) -> Solution:
    noise = normal(jax.random.key(seed), (count, *log_start.shape)).astype(log_start.dtype)
    starts = log_start + noise.at[0].set(0.0)
    # A sampler or a label model may hold one law per prompt: starts are an axis of their own, not more prompts.
    ends = jax.vmap(lambda logits: _through_widths(problem, objective, sampler, labels, logits, steps))(starts)
    value = jnp.where(jnp.isfinite(ends.value), ends.value, jnp.inf)
    unit = 1.0 + jnp.abs(value.min(0))
    # Among equal values the first start wins: where the data leaves directions open, it is the one the caller chose.
    best = jnp.argmax(value <= value.min(0) + 64.0 * jnp.finfo(value.dtype).eps * unit, axis=0)
    slack = jnp.sqrt(jnp.finfo(value.dtype).eps) * unit
    chosen = jax.tree.map(lambda leaf: leaf[best, jnp.arange(best.size)], ends)
    return replace(chosen, agreeing=jnp.sum(value <= value.min(0) + slack, axis=0))


def _through_widths(problem, objective: Objective, sampler, labels, logits, steps: int) -> Solution:
    """Newton at each rounding width of the kinks in turn, each started where the last one ended."""
    sharpest = 1e-10 if logits.dtype == jnp.float64 else 1e-3
    stages = 1 + math.ceil(math.log(sharpest) / math.log(NARROWING)) if objective.kinked else 1
    widths = jnp.asarray([max(NARROWING**k, sharpest) for k in range(stages)], logits.dtype)

    def stage(logits, width):
        end = _newton(problem, objective.smoothed(width), sampler, labels, logits, steps)
        return end.log_policy, end

    first = _judge(problem, objective.smoothed(widths[0]), sampler, labels, simplex.normalize(logits))
    _, ends = jax.lax.scan(stage, logits, widths)
    last = jax.tree.map(lambda leaf: leaf[-1], ends)
    settled = _settle_null(problem, objective.smoothed(widths[-1]), sampler, labels, logits, last)
    return replace(
        settled,
        iterations=ends.iterations.sum(0),
        status=_classify(objective, first, last),
    )


def _newton(problem, objective, sampler, labels, logits, steps: int) -> Solution:
    dtype = logits.dtype
    tolerance = jnp.finfo(dtype).eps ** 0.75

    def going(state):
        count, _, _, done, _ = state
        return (count < steps) & ~jnp.all(done)

    def body(state):
        count, x, _, done, taken = state
        at = _expansion(problem, objective, sampler, labels, x)
        direction, _, _ = _newton_direction(at)
        length = _line_search(problem, objective, sampler, labels, x, direction, at)
        move = jnp.where(done[:, None], 0.0, length[:, None] * direction)
        size = jnp.where(done, 0.0, jnp.max(jnp.abs(direction), -1))
        finished = done | (size <= tolerance) | (length == 0.0) | ~jnp.isfinite(size)
        return count + 1, simplex.normalize(x + move), size, finished, taken + (~done)

    prompts = logits.shape[0]
    x0 = simplex.normalize(logits)
    state = (0, x0, jnp.full((prompts,), jnp.inf, dtype), jnp.zeros((prompts,), bool), jnp.zeros((prompts,), int))
    _, x, _, _, taken = jax.lax.while_loop(going, body, state)
    return replace(_judge(problem, objective, sampler, labels, x), iterations=taken)


def _judge(problem, objective, sampler, labels, x) -> Solution:
    """A point with the evidence of its being a minimum."""
    at = _expansion(problem, objective, sampler, labels, x)
    direction, nullity, _ = _newton_direction(at)
    eps = jnp.finfo(x.dtype).eps
    scale = jnp.maximum(jnp.abs(jnp.diagonal(at.hessian, axis1=1, axis2=2)), jnp.finfo(x.dtype).tiny)
    relative = jnp.max(jnp.where(at.gradient == 0, 0.0, jnp.abs(at.gradient) / scale), -1)
    step = jnp.max(jnp.abs(direction), -1)
    # A step that stays long while the loss has nothing left to gain leads to a minimum at infinity.
    gain = -jnp.sum(at.gradient * direction, -1)
    ending = jnp.where(gain <= eps**1.5 * (1.0 + jnp.abs(at.value)), Status.UNBOUNDED, Status.STALLED)
    status = jnp.where(step <= eps**0.375, Status.CONVERGED, ending)
    # Responses without mass are no unknowns: their rows are zero, but nothing about them is left open.
    absent = jnp.sum(~jnp.isfinite(x), -1)
    none = jnp.zeros_like(nullity)
    return Solution(x, at.value, relative, step, nullity - absent, status, none, none)


def _expansion(problem, objective, sampler, labels, x) -> Expansion:
    return expand(objective, responses(problem, x), population(problem, sampler, labels, x))


def _newton_direction(at: Expansion):
    """Saddle-free Newton direction ``-|H|⁺g``, the dimension of the null space beyond the constant, and a basis of it.

    The Hessian is scaled to unit diagonal first: a Laplacian with weights over many orders of magnitude is then well
    conditioned, and the cut between zero and non-zero eigenvalues is clean.  The common constant, null in every problem,
    is given the eigenvalue one.
    """
    diagonal = jnp.abs(jnp.diagonal(at.hessian, axis1=1, axis2=2))
    scale = jnp.where(diagonal > 0, jax.lax.rsqrt(jnp.where(diagonal > 0, diagonal, 1.0)), 1.0)
    constant = scale.min(-1, keepdims=True) / scale
    constant = constant / jnp.linalg.norm(constant, axis=-1, keepdims=True)
    scaled = at.hessian * scale[:, :, None] * scale[:, None, :] + constant[:, :, None] * constant[:, None, :]
    values, vectors = jnp.linalg.eigh(scaled)
    n = at.gradient.shape[-1]
    cut = 4.0 * n * jnp.finfo(values.dtype).eps * jnp.max(jnp.abs(values), -1, keepdims=True)
    null = jnp.abs(values) <= cut
    inverse = jnp.where(null, 0.0, 1.0 / jnp.where(null, 1.0, jnp.abs(values)))
    projected = jnp.einsum("xab,xa->xb", vectors, scale * at.gradient)
    direction = -scale * jnp.einsum("xab,xb->xa", vectors, inverse * projected)
    return direction, null.sum(-1), jnp.where(null[:, None, :], scale[:, :, None] * vectors, 0.0)


def _line_search(problem, objective, sampler, labels, x, direction, at: Expansion) -> Float[Array, " prompts"]:
    """Longest step 2^-k that lowers the loss enough (Armijo), with slack for rounding; zero if there is none."""
    comparisons = population(problem, sampler, labels, x)
    divergence = responses(problem, x).divergence
    slope = jnp.sum(at.gradient * direction, -1)
    slack = 8.0 * jnp.finfo(x.dtype).eps * (1.0 + jnp.abs(at.value))

    def value(length):
        seen = responses(problem, simplex.normalize(x + length[:, None] * direction))
        return prompt_losses(objective, replace(seen, divergence=divergence), comparisons)

    def good(length):
        return value(length) <= at.value + 1e-4 * length * slope + slack

    def halve(state):
        k, length, accepted = state
        length = jnp.where(accepted, length, 0.5 * length)
        return k + 1, length, accepted | good(length)

    ones = jnp.ones_like(at.value)
    _, length, accepted = jax.lax.while_loop(lambda s: (s[0] < MAX_HALVINGS) & ~jnp.all(s[2]), halve, (0, ones, good(ones)))
    return jnp.where(accepted, length, 0.0)


def _settle_null(problem, objective, sampler, labels, start, end: Solution) -> Solution:
    """Moves the answer along null directions only, back to where the start was in them, if that costs nothing.

    On a face of minimisers with corners the way back may leave the face; the answer then stays where it is.
    """
    _, _, basis = _newton_direction(_expansion(problem, objective, sampler, labels, end.log_policy))
    basis = jnp.concatenate([basis, jnp.ones_like(basis[:, :, :1])], axis=-1)
    basis = basis / jnp.maximum(jnp.linalg.norm(basis, axis=1, keepdims=True), jnp.finfo(start.dtype).tiny)
    left, sizes, _ = jnp.linalg.svd(basis, full_matrices=False)
    keep = sizes > start.shape[-1] * jnp.finfo(start.dtype).eps * sizes[:, :1]
    drift = jnp.where(jnp.isfinite(end.log_policy), end.log_policy - start, 0.0)
    along = jnp.where(keep, jnp.einsum("xab,xa->xb", left, drift), 0.0)
    settled = simplex.normalize(end.log_policy - jnp.einsum("xab,xb->xa", left, along))
    seen, comparisons = responses(problem, settled), population(problem, sampler, labels, end.log_policy)
    free = prompt_losses(objective, seen, comparisons) <= end.value + 64.0 * jnp.finfo(start.dtype).eps * (
        1.0 + jnp.abs(end.value)
    )
    return replace(end, log_policy=jnp.where(((end.undetermined > 0) & free)[:, None], settled, end.log_policy))


def _classify(objective: Objective, first: Solution, last: Solution) -> Int[Array, " prompts"]:
    status = jnp.where((last.status == 0) & (last.undetermined > 0), Status.NOT_UNIQUE, last.status)
    if not objective.kinked:
        vanished = jnp.any((jnp.exp(last.log_policy) == 0) & (jnp.exp(first.log_policy) > 0), -1)
        grew = (last.undetermined > first.undetermined) | ((last.undetermined > 0) & vanished)
        status = jnp.where(grew, Status.UNBOUNDED, status)
    return jnp.where(jnp.isfinite(last.value), status, Status.NOT_FINITE)
