"""Where is the exact minimum when there can be a matrix of all pairs?

Newton's method with the pseudo-inverse of the closed Hessian (`didsim.objectives.curvature`), scaled to unit diagonal;
kinked losses through a sequence of rounded ones, losses that are not convex from several starts.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from didsim.landscape.solvers.result import Solution, Status, solved
from didsim.numerics import linalg, simplex
from didsim.numerics.compilation import QUICKLY
from didsim.numerics.search import longest_step
from didsim.numerics.traces import jit
from didsim.objectives import Objective, population
from didsim.objectives.comparisons import prompt_losses, view
from didsim.objectives.curvature import Expansion, expand
from didsim.samplers.data import Data
from didsim.worlds import Problem
from didsim.worlds.random import normal

NARROWING = 0.25
DECOMPOSED = 256
LONGEST = 10.0
FAR = 1000.0
SHORT = 1e-3
PLACES = 400
GOLDEN = 0.6180339887498949


class State(NamedTuple):
    """Turns of the loop and, for every prompt, the point, the last direction's longest entry, whether it is done, its steps."""

    turns: Array
    x: Float[Array, "prompts n"]
    size: Float[Array, " prompts"]
    done: Bool[Array, " prompts"]
    taken: Int[Array, " prompts"]


def iterate(step: Callable[[Array], tuple[Array, Array, Array]], log_start: Float[Array, "prompts n"], steps: int) -> State:
    """Newton's iteration on log-laws, prompt by prompt: ``step`` gives direction, length, and whether that was the last.

    A prompt is done when its direction is shorter than ``eps^0.75``, not finite, or leads no lower (length zero).
    """
    tolerance = jnp.finfo(log_start.dtype).eps ** 0.75

    def body(state: State) -> State:
        direction, length, last = step(state.x)
        move = jnp.where(state.done[:, None], 0.0, length[:, None] * direction)
        size = jnp.where(state.done, state.size, jnp.max(jnp.abs(direction), -1))
        done = state.done | last | (size <= tolerance) | (length == 0.0) | ~jnp.isfinite(size)
        return State(state.turns + 1, simplex.normalize(state.x + move), size, done, state.taken + ~state.done)

    none = jnp.zeros(log_start.shape[:1], int)
    start = State(jnp.int32(0), simplex.normalize(log_start), jnp.full(none.shape, jnp.inf, log_start.dtype), none > 0, none)
    return jax.lax.while_loop(lambda s: (s.turns < steps) & ~jnp.all(s.done), body, start)


def _newton_from_starts(problem: Problem, objective: Objective, data: Data, log_start, seed, count: int, steps: int) -> Solution:
    """Newton's method from ``count`` starts; arguments as `didsim.solve` has checked them."""
    # Draw the starts and solve from each.
    noise = normal(jax.random.key(seed), (count, *log_start.shape)).astype(log_start.dtype)
    starts = log_start + noise.at[0].set(0.0)
    # A sampler or a label model may hold one law per prompt: starts are an axis of their own, not more prompts.
    ends = jax.vmap(lambda logits: _through_widths(problem, objective, data, logits, steps))(starts)
    # Keep the best end of every prompt, and count the starts that agree with it.
    value = jnp.where(jnp.isfinite(ends.value), ends.value, jnp.inf)
    unit = 1.0 + jnp.abs(value.min(0))
    # Among equal values the first start wins: where the data leaves directions open, it is the one the caller chose.
    best = jnp.argmax(value <= value.min(0) + 64.0 * jnp.finfo(value.dtype).eps * unit, axis=0)
    slack = jnp.sqrt(jnp.finfo(value.dtype).eps) * unit
    chosen = jax.tree.map(lambda leaf: leaf[best, jnp.arange(best.size)], ends)
    if objective.convex:
        bound = jnp.where(solved(chosen.status), chosen.value, -jnp.inf)
    else:
        bound = _least_of_pairs(problem, objective, data, log_start)
    return replace(
        chosen,
        agreeing=jnp.sum(value <= value.min(0) + slack, axis=0),
        starts=jnp.full_like(chosen.iterations, count),
        lower_bound=jnp.broadcast_to(bound, chosen.value.shape),
    )


newton = jit(_newton_from_starts, static_argnames=("count", "steps"))
newton_quickly = jit(_newton_from_starts, static_argnames=("count", "steps"), compiler_options=QUICKLY)
"""`newton` compiled in a quarter of the time, for problems so small that half as much time again for the run is less."""


def _least_of_pairs(problem: Problem, objective: Objective, data: Data, log_policy: Array) -> Array:
    """``Σ_{a<b} min_m [ν_ab ℓ(m) + ν_ba ℓ(-m)]``, the loss with every pair's margin free; -inf where it is no such sum.

    A lower bound of the loss (derived), reached where the best margins are differences of one reward.  The minima are
    found on a grid over 10⁴ nats either way and then by golden sections.
    """
    plain = all(
        getattr(type(objective), part) is getattr(Objective, part) for part in ("chosen_term", "rejected_term", "policy_term")
    )
    if not (objective.paired and objective.one_reward and plain) or data.sampler.follows_policy:
        return jnp.asarray(-jnp.inf, log_policy.dtype)
    ordered = population(problem, data.sampler, data.labels, log_policy).ordered
    back = jnp.swapaxes(ordered, 1, 2)

    def at(margin: Array) -> Array:
        return jnp.where(ordered > 0, ordered * objective.link(margin), 0.0) + jnp.where(
            back > 0, back * objective.link(-margin), 0.0
        )

    def look(best: tuple, place: Array) -> tuple:
        value = at(jnp.full_like(ordered, jnp.sinh(place)))
        return (jnp.where(value < best[0], value, best[0]), jnp.where(value < best[0], place, best[1])), None

    places = jnp.linspace(-PLACES / 40, PLACES / 40, PLACES + 1, dtype=log_policy.dtype)
    nowhere = jnp.full_like(ordered, jnp.inf), jnp.zeros_like(ordered)
    (least, place), _ = jax.lax.scan(look, nowhere, places)
    low, high = place - 0.05, place + 0.05

    def cut(_: Array, ends: tuple) -> tuple:
        low, high = ends
        one, two = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        lower = at(jnp.sinh(one)) < at(jnp.sinh(two))
        return jnp.where(lower, low, one), jnp.where(lower, two, high)

    low, high = jax.lax.fori_loop(0, 60, cut, (low, high))
    least = jnp.minimum(least, at(jnp.sinh(0.5 * (low + high))))
    # A pair and its reverse are one pair; a response shown with itself has the margin zero.
    own = jnp.diagonal(ordered, axis1=1, axis2=2) * objective.link(jnp.zeros(()))
    apart = jnp.where(jnp.eye(ordered.shape[-1], dtype=bool), 0.0, least)
    return 0.5 * apart.sum((1, 2)) + own.sum(-1)


def _through_widths(problem: Problem, objective: Objective, data: Data, logits, steps: int) -> Solution:
    """Newton at each rounding width of the kinks in turn, each started where the last one ended."""
    sharpest = 1e-10 if logits.dtype == jnp.float64 else 1e-3
    stages = 1 + math.ceil(math.log(sharpest) / math.log(NARROWING)) if objective.kinked else 1
    widths = jnp.asarray([max(NARROWING**k, sharpest) for k in range(stages)], logits.dtype)

    def stage(logits, width):
        x, taken, done = _newton(problem, objective.smoothed(width), data, logits, steps)
        return x, (taken, done)

    first, _, _ = _judge(problem, objective.smoothed(widths[0]), data, simplex.normalize(logits))
    end, (taken, done) = jax.lax.scan(stage, logits, widths)
    last, onwards, null = _judge(problem, objective.smoothed(widths[-1]), data, simplex.normalize(end))
    settled = _settle_null(problem, objective.smoothed(widths[-1]), data, logits, last, null)
    status = _classify(objective, first, last)
    # A loss that rises again far out has a minimum on the way there, which rounding hides; so does one with pairs whose
    # mass is too small for a number.
    law = data.sampler.pair_law(problem, last.log_policy)
    lost = jnp.any((law.matrix() == 0) & jnp.isfinite(law.log_matrix()), (1, 2))
    way = jnp.where(jnp.max(jnp.abs(onwards), -1, keepdims=True) > SHORT, onwards, last.log_policy - first.log_policy)
    finite = lost | _rises_beyond(problem, objective.smoothed(widths[-1]), data, last.log_policy, way)
    status = jnp.where((status == Status.UNBOUNDED) & finite, Status.STALLED, status)
    status = jnp.where((status == Status.STALLED) & ~done[-1], Status.OUT_OF_STEPS, status)
    return replace(settled, iterations=taken.sum(0), status=status)


def _newton(problem, objective, data, logits, steps: int) -> tuple[Array, Array, Array]:
    """Log-law after Newton's iteration, the number of its steps, and whether it ended by itself, prompt by prompt."""
    factored = objective.convex and logits.shape[-1] > DECOMPOSED

    def step(x: Array) -> tuple[Array, Array, Array]:
        # Expand the loss, solve for the direction, search along it.
        at = _expansion(problem, objective, data, x)
        direction = _short(_factored_direction(at) if factored else _way_down(at, objective.kinked))
        length = _length(problem, objective, data, x, direction, at)
        # Where null directions are not cut off the step need not become short; its gain does.
        gain = -jnp.sum(at.gradient * direction, -1)
        spent = gain <= jnp.finfo(x.dtype).eps ** 1.75 * (1.0 + jnp.abs(at.value))
        return direction, length, spent & factored

    end = iterate(step, logits, steps)
    return end.x, end.taken, end.done


@jax.jit  # traced once, though it is asked twice
def _judge(problem, objective, data, x) -> tuple[Solution, Float[Array, "prompts n"], Float[Array, "prompts n n"]]:
    """A point with the evidence of its being a minimum, to first and to second order; the step that is left; null space."""
    at = _expansion(problem, objective, data, x)
    direction, nullity, null = _newton_direction(at)
    eps = jnp.finfo(x.dtype).eps
    scale = jnp.maximum(jnp.abs(jnp.diagonal(at.hessian, axis1=1, axis2=2)), jnp.finfo(x.dtype).tiny)
    relative = jnp.max(jnp.where(at.gradient == 0, 0.0, jnp.abs(at.gradient) / scale), -1)
    step = jnp.max(jnp.abs(direction), -1)
    # A step that stays long while the loss has nothing left to gain leads to a minimum at infinity.
    gain = -jnp.sum(at.gradient * direction, -1)
    ending = jnp.where(gain <= eps**1.5 * (1.0 + jnp.abs(at.value)), Status.UNBOUNDED, Status.STALLED)
    status = jnp.where(step <= eps**0.375, Status.CONVERGED, ending)
    # Where the loss falls along a direction in which it does not bend up, the step says nothing of it.
    _, falls, bends_down = _beside(at)
    status = jnp.where((status == Status.CONVERGED) & objective.kinked & falls, Status.STALLED, status)
    status = jnp.where((status == Status.CONVERGED) & (not objective.convex) & bends_down, Status.SADDLE, status)
    # Responses without mass are no unknowns: their rows are zero, but nothing about them is left open.
    absent = jnp.sum(~jnp.isfinite(x), -1)
    none = jnp.zeros_like(nullity)
    unknown = jnp.full_like(at.value, -jnp.inf)
    return Solution(x, at.value, relative, step, nullity - absent, status, none, none, none, unknown), direction, null


@jax.jit  # traced once, though the iteration and the judgements all ask it
def _expansion(problem, objective, data, x) -> Expansion:
    comparisons = population(problem, data.sampler, data.labels, x)
    return expand(objective, view(objective, problem, x, comparisons), comparisons)


def _newton_direction(at: Expansion):
    """Saddle-free Newton direction ``-|H|⁺g``, the dimension of the null space beyond the constant, and a basis of it.

    The Hessian is scaled to unit diagonal first: a Laplacian with weights over many orders of magnitude is then well
    conditioned, and the cut between zero and non-zero eigenvalues is clean.  The common constant, null in every problem,
    is given the eigenvalue one.
    """
    scaled, scale = _scaled(at)
    move, vectors, null = linalg.saddle_free_solve(scaled, scale * at.gradient)
    return -scale * move, null.sum(-1), jnp.where(null[:, None, :], scale[:, :, None] * vectors, 0.0)


def _way_down(at: Expansion, kinked: bool) -> Float[Array, "prompts n"]:
    """Newton direction, and what it cannot see: slopes without curvature at kinks, and ways down from a saddle or a top."""
    direction = _newton_direction(at)[0]
    aside, falls, bends_down = _beside(at)
    if kinked:
        return direction + jnp.where(falls[:, None], aside[0], 0.0)
    stuck = bends_down & (jnp.max(jnp.abs(direction), -1) <= jnp.finfo(direction.dtype).eps ** 0.75)
    return jnp.where(stuck[:, None], aside[1], direction)


def _beside(at: Expansion) -> tuple[tuple[Array, Array], Bool[Array, " prompts"], Bool[Array, " prompts"]]:
    """Directions of one nat: downhill where the Hessian is null, and along its most negative curvature; and if there are any.

    Curvature counts as negative, and a slope as one, beyond the square root of the rounding unit in units in which the
    Hessian's diagonal is one.
    """
    scaled, scale = _scaled(at)
    some = jnp.sqrt(jnp.finfo(scaled.dtype).eps)
    values, vectors = linalg.eigh(scaled)
    slopes = jnp.einsum("xab,xa->xb", vectors, scale * at.gradient)
    null = linalg.vanishing(jnp.abs(values), 4.0) & (jnp.abs(slopes) > some)
    downhill = -scale * jnp.einsum("xab,xb->xa", vectors, jnp.where(null, slopes, 0.0))
    lowest = scale * vectors[:, :, 0]
    unit = (jnp.maximum(jnp.max(jnp.abs(way), -1, keepdims=True), jnp.finfo(way.dtype).tiny) for way in (downhill, lowest))
    downhill, lowest = (way / size for way, size in zip((downhill, lowest), unit, strict=True))
    return (downhill, lowest), jnp.any(null, -1), values[:, 0] < -some


def _factored_direction(at: Expansion) -> Float[Array, "prompts n"]:
    """Newton direction by a Cholesky factor, many times cheaper than eigenvectors; a trace of ridge covers null directions."""
    scaled, scale = _scaled(at)
    n = scaled.shape[-1]
    ridge = n * n**0.5 * jnp.finfo(scaled.dtype).eps * jnp.eye(n, dtype=scaled.dtype)
    direction = -scale * linalg.cholesky_solve(scaled + ridge, scale * at.gradient)
    # Rounding can leave an almost singular matrix with a negative eigenvalue, and then there is no factor.
    return jax.lax.cond(jnp.all(jnp.isfinite(direction)), lambda: direction, lambda: _newton_direction(at)[0])


def _short(direction: Float[Array, "prompts n"]) -> Float[Array, "prompts n"]:
    """The direction cut to at most `LONGEST` nats: where the loss is nearly flat its Hessian promises too much."""
    longest = jnp.max(jnp.abs(direction), -1, keepdims=True)
    return direction * jnp.minimum(1.0, LONGEST / jnp.maximum(longest, LONGEST))


def _scaled(at: Expansion) -> tuple[Array, Array]:
    """Hessian scaled to unit diagonal with the constant's eigenvalue set to one, and the scale."""
    diagonal = jnp.abs(jnp.diagonal(at.hessian, axis1=1, axis2=2))
    scale = jnp.where(diagonal > 0, jax.lax.rsqrt(jnp.where(diagonal > 0, diagonal, 1.0)), 1.0)
    constant = scale.min(-1, keepdims=True) / scale
    constant = constant / jnp.linalg.norm(constant, axis=-1, keepdims=True)
    return at.hessian * scale[:, :, None] * scale[:, None, :] + constant[:, :, None] * constant[:, None, :], scale


def _length(problem, objective, data, x, direction, at: Expansion) -> Float[Array, " prompts"]:
    """Length of the step along a direction, at most one; zero if none lowers the loss."""
    comparisons = population(problem, data.sampler, data.labels, x)
    here = view(objective, problem, x, comparisons)

    def value(length: Array) -> Array:
        # What is under a stop-gradient stays as it is at x.
        seen = replace(here, log_policy=simplex.normalize(x + length[:, None] * direction))
        return prompt_losses(objective, seen, comparisons)

    slope = jnp.sum(at.gradient * direction, -1)
    return longest_step(value, at.value, slope, jnp.ones_like(slope))


def _settle_null(problem, objective, data, start, end: Solution, basis) -> Solution:
    """Moves the answer along the null directions in ``basis`` only, back to where the start was, if that costs nothing.

    On a face of minimisers with corners the way back may leave the face; the answer then stays where it is.
    """
    # An orthonormal basis of the null space, the constant among it.
    basis = jnp.concatenate([basis, jnp.ones_like(basis[:, :, :1])], axis=-1)
    basis = basis / jnp.maximum(jnp.linalg.norm(basis, axis=1, keepdims=True), jnp.finfo(start.dtype).tiny)
    left, sizes = linalg.left_singular(basis)
    keep = sizes > start.shape[-1] * jnp.finfo(start.dtype).eps * sizes[:, :1]
    # Undo what the iteration did along it.
    drift = jnp.where(jnp.isfinite(end.log_policy), end.log_policy - start, 0.0)
    along = jnp.where(keep, jnp.einsum("xab,xa->xb", left, drift), 0.0)
    settled = simplex.normalize(end.log_policy - jnp.einsum("xab,xb->xa", left, along))
    # Take that where the loss does not rise.
    comparisons = population(problem, data.sampler, data.labels, end.log_policy)
    value = prompt_losses(objective, view(objective, problem, settled, comparisons), comparisons)
    free = value <= end.value + 64.0 * jnp.finfo(start.dtype).eps * (1.0 + jnp.abs(end.value))
    return replace(end, log_policy=jnp.where(((end.undetermined > 0) & free)[:, None], settled, end.log_policy))


def _rises_beyond(problem, objective, data, end, way) -> Bool[Array, " prompts"]:
    """Whether the loss rises at `FAR` nats beyond the end, the way that the steps were going."""
    way = jnp.where(jnp.isfinite(way), way, 0.0)
    way = way / jnp.maximum(jnp.max(jnp.abs(way), -1, keepdims=True), jnp.finfo(way.dtype).tiny)
    # Slopes far out are tiny numbers: what does not really move must not add its rounding to them.
    way = jnp.where(jnp.abs(way) > SHORT, way, 0.0)
    return jnp.sum(_expansion(problem, objective, data, simplex.normalize(end + FAR * way)).gradient * way, -1) > 0


def _classify(objective: Objective, first: Solution, last: Solution) -> Int[Array, " prompts"]:
    status = jnp.where((last.status == 0) & (last.undetermined > 0), Status.NOT_UNIQUE, last.status)
    if not objective.kinked:
        vanished = jnp.any((jnp.exp(last.log_policy) == 0) & (jnp.exp(first.log_policy) > 0), -1)
        grew = (last.undetermined > first.undetermined) | ((last.undetermined > 0) & vanished)
        status = jnp.where(grew, Status.UNBOUNDED, status)
    return jnp.where(jnp.isfinite(last.value), status, Status.NOT_FINITE)
