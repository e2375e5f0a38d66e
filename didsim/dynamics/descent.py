"""What happens along the way when an objective is minimised by gradient steps?

One run is one compiled loop over recorded steps, with a loop of the steps between them inside.  Gradients are exact
population gradients or come from freshly drawn pairs; a gradient rule may bend them, and the optimiser is any optax
transformation.  A run is a pure function of its task, ends early when the gradient is small enough, and says how it ended.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int

from didsim.dynamics.rules import GradientRule, check_rule
from didsim.dynamics.trajectory import Trajectory, ended
from didsim.numerics.promotion import usual_promotion
from didsim.objectives import Objective
from didsim.objectives.comparisons import COUNTED, comparisons_for, draw_pairs, laid_out
from didsim.objectives.parts import Comparisons
from didsim.policies import Policy
from didsim.samplers.data import Data
from didsim.worlds import Problem

Metrics = Callable[..., dict[str, Array]]


class Task(NamedTuple):
    """What stays the same along a run."""

    key: Array
    problem: Problem
    objective: Objective
    data: Data
    policy: Policy
    rule: GradientRule
    optimiser: optax.GradientTransformation
    pairs: int | None
    metrics: Metrics
    stop_below: Float[Array, ""] | float | None

    def check(self) -> None:
        """Nothing, if the gradient rule can follow the objective."""
        check_rule(self.rule, self.objective, self.problem.log_ref.shape[-1], self.pairs)

    def law(self, params: Any) -> Float[Array, "prompts n"]:
        """Log-policy of parameters."""
        return self.policy.log_probs(params, self.problem.log_ref)

    def population(self, log_policy: Float[Array, "prompts n"]) -> Comparisons:
        """All comparisons at a policy, which gradients do not look through."""
        log_policy = jax.lax.stop_gradient(log_policy)
        return comparisons_for(self.objective, self.problem, self.data.sampler, self.data.labels, log_policy)

    def drawn(self, key: Array, log_policy: Float[Array, "prompts n"]) -> Comparisons:
        """Pairs drawn at a policy, counted where they are many times more than there are different ones."""
        log_policy, pairs = jax.lax.stop_gradient(log_policy), self.pairs or 1
        drawn = draw_pairs(key, self.problem, self.data.sampler, self.data.labels, log_policy, pairs)
        n = log_policy.shape[-1]
        return drawn.counted(n) if pairs >= COUNTED * n**2 else drawn

    def moved(self, grads: Any, params: Any, optimiser_state: Any) -> tuple[Any, Any]:
        """Parameters and optimiser state after a step; optax's own types are loose."""
        updates, optimiser_state = self.optimiser.update(grads, optimiser_state, params)
        return jax.tree.map(jnp.add, params, updates), optimiser_state

    def evaluated(self, params: Any, population: Comparisons) -> dict[str, Array]:
        """Metrics of parameters."""
        return self.metrics(self.problem, self.objective, self.law(params), population)


class _State(NamedTuple):
    """What a step hands to the next."""

    taken: Int[Array, ""]
    params: Any
    optimiser: Any
    stopped: Bool[Array, ""]


class _Recorded(NamedTuple):
    """A state, how many steps have been recorded, and what was seen at them."""

    place: Int[Array, ""] | int
    state: _State
    seen: dict[str, Array]


def record_steps(steps: int, records: int) -> np.ndarray:
    """Log-spaced step numbers from 0 to ``steps``, about ``records`` of them, without repeats."""
    spaced = np.geomspace(1, max(steps, 1), num=min(max(records - 1, 1), max(steps, 1) * 64))
    return np.unique(np.concatenate([[0], np.round(spaced).astype(int), [steps]]))


@usual_promotion()
def descend(task: Task, moments: tuple[int, ...]) -> Trajectory:
    """One run, traceable, for use under ``vmap``; ``moments`` are the recorded steps, the first 0."""
    task.check()
    stop_below = task.stop_below

    # The population: at every policy anew, or once and outside the loop where the sampler does not look at the policy.
    params = task.policy.init(task.problem.log_ref)
    shown = task.population
    if not task.data.sampler.follows_policy:
        fixed = laid_out(task.objective, task.population(task.problem.log_ref))
        shown = lambda log_policy: fixed  # noqa: E731

    # A step, which stays where it is once the gradient is small.
    def gradient(params: Any, taken: Array) -> Any:
        key = jax.random.fold_in(task.key, taken)
        compare = shown if task.pairs is None else lambda log_policy: task.drawn(key, log_policy)
        return task.rule.gradient(task.problem, task.objective, task.policy, params, compare)

    def step(state: _State) -> _State:
        grads = gradient(state.params, state.taken)
        stop = state.stopped if stop_below is None else optax.tree.norm(grads) <= stop_below
        moved = _State(state.taken + 1, *task.moved(grads, state.params, state.optimiser), state.stopped)
        return moved if stop_below is None else select(stop, state, moved)._replace(stopped=stop)

    def advance(state: _State, until: Array) -> _State:
        def going(state: _State) -> Array:
            return state.taken < until if stop_below is None else (state.taken < until) & ~state.stopped

        return jax.lax.while_loop(going, step, state)

    # An evaluation of the metrics.
    @jax.jit
    def evaluate(state: _State) -> dict[str, Array]:
        log_policy = task.law(state.params)
        return task.metrics(task.problem, task.objective, log_policy, shown(log_policy))

    # The run.
    state = _State(jnp.int32(0), params, task.optimiser.init(params), jnp.asarray(False))
    if evaluates_at_every_step(moments, stop_below):
        state, recorded = _recorded_at_every_step(step, evaluate, state, len(moments) - 1)
    else:
        state, recorded = _recorded(advance, evaluate, state, moments)
    log_policy = task.law(state.params)
    norm = optax.tree.norm(gradient(state.params, state.taken))
    return ended(moments, recorded, log_policy, state.params, norm, state.taken, state.stopped)


def evaluates_at_every_step(moments: tuple[int, ...], stop_below: Any) -> bool:
    """Whether a run needs no loop over the steps between two recorded ones."""
    return stop_below is None and moments == tuple(range(len(moments)))


def select(condition: Bool[Array, ""], if_true: Any, if_false: Any) -> Any:
    """One of two trees of the same structure."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), if_true, if_false)


def _recorded(advance: Callable, evaluate: Callable, state: _State, moments: tuple[int, ...]) -> tuple[_State, dict]:
    """The state at the last moment, and what ``evaluate`` sees at all of them, by ``advance(state, until)``.

    A loop and not a scan: under ``vmap`` it leaves the runs of constants on the axis they are on.
    """
    until = jnp.asarray(moments, jnp.int32)

    def next_moment(now: _Recorded) -> _Recorded:
        state = advance(now.state, until[now.place])
        return _Recorded(now.place + 1, state, _noted(evaluate, state, now.seen, now.place))

    start = _Recorded(0, state, _unseen(evaluate, state, len(moments)))
    end = jax.lax.while_loop(lambda now: now.place < len(moments), next_moment, start)
    return end.state, end.seen


def _recorded_at_every_step(step: Callable, evaluate: Callable, state: _State, steps: int) -> tuple[_State, dict]:
    """``_recorded`` where every step is recorded: one loop instead of two, whose evaluation and step share the policy's law.

    A tenth less time for one run of 20 responses.
    """

    def next_step(now: _Recorded) -> _Recorded:
        return _Recorded(now.place + 1, step(now.state), _noted(evaluate, now.state, now.seen, now.place))

    start = _Recorded(0, state, _unseen(evaluate, state, steps + 1))
    end = jax.lax.while_loop(lambda now: now.place < steps, next_step, start)
    return end.state, _noted(evaluate, end.state, end.seen, end.place)


def _unseen(evaluate: Callable, state: _State, count: int) -> dict[str, Array]:
    return jax.tree.map(lambda row: jnp.zeros((count, *row.shape), row.dtype), jax.eval_shape(evaluate, state))


def _noted(evaluate: Callable, state: _State, seen: dict[str, Array], place: Any) -> dict[str, Array]:
    return jax.tree.map(lambda rows, row: rows.at[place].set(row), seen, evaluate(state))
