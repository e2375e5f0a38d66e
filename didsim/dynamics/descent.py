"""What happens along the way when an objective is minimised by gradient steps?

One run is one compiled scan over recorded moments, with a loop of steps between them.  Gradients are exact population
gradients or come from freshly drawn pairs; a gradient rule may bend them, and the optimiser is any optax transformation.
A run is a pure function of its arguments and its key, ends early when the gradient is small enough, and says how it ended.
"""

from collections.abc import Callable
from typing import Any, final

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Key

from didsim.dynamics.metrics import measure
from didsim.dynamics.rules import GradientRule, check_rule
from didsim.landscape.solvers import Status
from didsim.numerics.pytrees import pytree, static
from didsim.objectives import Comparisons, Objective, comparisons_for, draw_pairs, laid_out
from didsim.policies import Policy
from didsim.samplers import Sampler
from didsim.worlds import Problem
from didsim.worlds.preferences import Labels

Metrics = Callable[..., dict[str, Array]]


@final
@pytree
class Trajectory:
    """One training run.

    Attributes:
        moments: step numbers of the recorded moments, the first 0; part of the structure, the same for all runs of a batch.
        metrics: name to values, each of shape (records,) or (records, ...).
        log_policy: log-probabilities at the end, shape (prompts, n).
        params: parameters at the end.
        gradient_norm: Euclidean norm of the gradient at the end.
        steps_taken: steps until the end or the early stop.
        status: a `Status`: CONVERGED if the early stop was reached, OUT_OF_STEPS if not, NOT_FINITE on NaN.
    """

    moments: tuple[int, ...] = static()
    metrics: dict[str, Array]
    log_policy: Float[Array, "... prompts n"]
    params: Any
    gradient_norm: Float[Array, "..."]
    steps_taken: Int[Array, "..."]
    status: Int[Array, "..."]

    @property
    def steps(self) -> Int[np.ndarray, " records"]:
        """Step numbers of the recorded moments, the first 0."""
        return np.asarray(self.moments, np.int32)


def record_steps(steps: int, records: int) -> np.ndarray:
    """Log-spaced step numbers from 0 to ``steps``, about ``records`` of them, without repeats."""
    spaced = np.geomspace(1, max(steps, 1), num=max(records - 1, 1))
    return np.unique(np.concatenate([[0], np.round(spaced).astype(int), [steps]]))


def descend(
    key: Key[Array, ""],
    problem: Problem,
    objective: Objective,
    sampler: Sampler,
    labels: Labels,
    policy: Policy,
    stop_below: Float[Array, ""] | float | None,
    *,
    rule: GradientRule,
    optimiser: optax.GradientTransformation,
    pairs: int | None,
    moments: tuple[int, ...],
    metrics: Metrics = measure,
) -> Trajectory:
    """One run, unchecked and traceable, for use under ``vmap``; ``moments`` starts with 0."""
    check_rule(rule, objective, problem.log_ref.shape[-1], pairs)
    params = policy.init(problem.log_ref)
    shown = _population_rule(objective, problem, sampler, labels)

    def gradient(params, key):
        def drawn(log_policy):
            return draw_pairs(key, problem, sampler, labels, log_policy, pairs or 1)

        return rule.gradient(problem, objective, policy, params, shown if pairs is None else drawn)

    def moved(count, params, opt_state, grads):
        updates, opt_state = optax_update(optimiser, grads, opt_state, params)
        return count + 1, jax.tree.map(jnp.add, params, updates), opt_state

    def step(state):
        count, params, opt_state, stopped = state
        grads = gradient(params, jax.random.fold_in(key, count))
        if stop_below is None:
            return *moved(count, params, opt_state, grads), stopped
        stop = optax.tree.norm(grads) <= stop_below
        return *_select(stop, (count, params, opt_state), moved(count, params, opt_state, grads)), stop

    def advance(state, until):
        def going(state):
            return state[0] < until if stop_below is None else (state[0] < until) & ~state[3]

        return jax.lax.while_loop(going, step, state)

    @jax.jit
    def look(state):
        log_policy = policy.log_probs(state[1], problem.log_ref)
        return metrics(problem, objective, log_policy, shown(log_policy))

    state = (jnp.int32(0), params, optimiser.init(params), jnp.asarray(False))
    if looks_at_every_step(moments, stop_below):
        state, recorded = _recorded_at_every_step(step, look, state, len(moments) - 1)
    else:
        state, recorded = _recorded(advance, look, state, moments)
    count, params, _, stopped = state
    log_policy = policy.log_probs(params, problem.log_ref)
    status = jnp.where(stopped, Status.CONVERGED, Status.OUT_OF_STEPS)
    return Trajectory(
        moments=moments,
        metrics=recorded,
        log_policy=log_policy,
        params=params,
        gradient_norm=optax.tree.norm(gradient(params, jax.random.fold_in(key, count))),
        steps_taken=count,
        status=jnp.where(jnp.any(jnp.isnan(log_policy)), Status.NOT_FINITE, status),
    )


def looks_at_every_step(moments: tuple[int, ...], stop_below: Any) -> bool:
    """Whether a run needs no loop over the steps between two looks."""
    return stop_below is None and moments == tuple(range(len(moments)))


def optax_update(optimiser: optax.GradientTransformation, grads, opt_state, params):
    """One optax update, typed loosely because optax's own types are."""
    updates, new_state = optimiser.update(grads, opt_state, params)
    return updates, new_state


def _population_rule(objective, problem, sampler, labels) -> Callable[[Array], Comparisons]:
    """Population at a policy; computed once, outside the loop, where the sampler does not look at the policy."""
    if sampler.follows_policy:
        return lambda log_policy: comparisons_for(objective, problem, sampler, labels, jax.lax.stop_gradient(log_policy))
    fixed = laid_out(objective, comparisons_for(objective, problem, sampler, labels, problem.log_ref))
    return lambda log_policy: fixed


def _recorded(advance, look, state, moments):
    """The state at the last moment, and what ``look`` sees at all of them, by ``advance(state, until)``.

    A loop and not a scan: under ``vmap`` it leaves constants' runs on the axis they are on.
    """
    until = jnp.asarray(moments, jnp.int32)

    def next_moment(carry):
        place, state, seen = carry
        state = advance(state, until[place])
        return place + 1, state, _noted(look, state, seen, place)

    start = (0, state, _unseen(look, state, len(moments)))
    _, state, seen = jax.lax.while_loop(lambda carry: carry[0] < len(moments), next_moment, start)
    return state, seen


def _recorded_at_every_step(step, look, state, steps):
    """``_recorded`` where no step goes unseen: one loop instead of two, whose look and step share the policy's law.

    A tenth less time for one run of 20 responses.
    """

    def next_step(carry):
        place, state, seen = carry
        return place + 1, step(state), _noted(look, state, seen, place)

    start = (0, state, _unseen(look, state, steps + 1))
    place, state, seen = jax.lax.while_loop(lambda carry: carry[0] < steps, next_step, start)
    return state, _noted(look, state, seen, place)


def _unseen(look, state, count):
    return jax.tree.map(lambda row: jnp.zeros((count, *row.shape), row.dtype), jax.eval_shape(look, state))


def _noted(look, state, seen, place):
    return jax.tree.map(lambda rows, row: rows.at[place].set(row), seen, look(state))


def _select(condition, if_true, if_false):
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), if_true, if_false)
