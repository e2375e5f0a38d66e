"""What happens when data and reference are renewed only now and then?

A round collects data from the policy it starts with, takes its inner steps on them, and then moves the reference.  One
round over the whole run is offline training on a fixed data set; rounds of one step are online training; in between lie
warm-started iterations, stale data and replay.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple, final

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Key

from didsim.dynamics.descent import Metrics, Trajectory, optax_update, record_steps
from didsim.dynamics.metrics import measure
from didsim.dynamics.references import Anchor, FixedReference, Reference, Round
from didsim.dynamics.rules import GradientRule, check_rule
from didsim.landscape.solvers import Status
from didsim.numerics import checks
from didsim.numerics.pytrees import pytree, static
from didsim.objectives import Comparisons, Objective, comparisons_for, draw_pairs
from didsim.policies import Policy, Table
from didsim.samplers import Sampler
from didsim.worlds import Problem
from didsim.worlds.preferences import Labels


@final
@pytree
class Rounds:
    """How often data and reference are renewed, and which data a round trains on.

    Attributes:
        inner: steps per round, dividing the steps of the run; all of them, one data set drawn once, if None.
        reference: where the reference goes after a round.
        age: rounds that data lie before they are used: stale pairs from π_{t-age}.
        depth: how many rounds' data are used together, equally weighted: replay.
        restart: start every round at the reference of the round instead of where the last one ended.
    """

    inner: int | None = static(default=None)
    reference: Reference = FixedReference()
    age: int = static(default=0)
    depth: int = static(default=1)
    restart: bool = static(default=False)

    def __post_init__(self) -> None:
        if self.inner is not None:
            checks.whole("inner", self.inner, least=1)
        checks.whole("age", self.age, least=0)
        checks.whole("depth", self.depth, least=1)

    @property
    def kept(self) -> int:
        """Rounds whose data are kept."""
        return self.age + self.depth

    def count(self, steps: int) -> int:
        """Number of rounds in a run of ``steps`` steps.

        Raises:
            ArgumentError: the inner steps do not divide the steps.
        """
        inner = steps if self.inner is None else self.inner
        if steps % inner:
            raise checks.ArgumentError(f"Argument `inner` must divide the run's {steps} steps, but is {inner}.")
        return steps // inner

    def within(self, steps: int, records: int) -> np.ndarray:
        """Recorded steps of one round, log-spaced and ending with its last, so that a run has about ``records``."""
        count = self.count(steps)
        return record_steps(steps // count, max(2, -(-records // count)))[1:]

    def moments(self, steps: int, records: int) -> np.ndarray:
        """Recorded steps of the whole run, the first 0."""
        count = self.count(steps)
        starts = np.arange(count)[:, None] * (steps // count)
        return np.concatenate([[0], (starts + self.within(steps, records)).ravel()])


class _Task(NamedTuple):
    """What stays the same over the rounds."""

    key: Array
    problem: Problem
    objective: Objective
    sampler: Sampler
    labels: Labels
    policy: Policy
    rule: GradientRule
    optimiser: optax.GradientTransformation
    pairs: int | None
    metrics: Metrics

    def law(self, params: Any) -> Array:
        return self.policy.log_probs(params, self.problem.log_ref)

    def population(self, log_policy: Array) -> Comparisons:
        return comparisons_for(self.objective, self.problem, self.sampler, self.labels, jax.lax.stop_gradient(log_policy))

    def collect(self, log_policy: Array, population: Comparisons, number: Array) -> Comparisons:
        """Data of a round: the population itself, or pairs drawn from it with the round's own key."""
        if self.pairs is None:
            return population
        key = jax.random.fold_in(self.key, number)
        return draw_pairs(key, self.problem, self.sampler, self.labels, jax.lax.stop_gradient(log_policy), self.pairs)

    def record(self, params: Any, population: Comparisons) -> dict[str, Array]:
        return self.metrics(self.problem, self.objective, self.law(params), population)


@pytree
class _Anchored(Policy):
    """A policy whose own part in its law stays the world's reference, wherever the objective's reference has gone."""

    given: Policy
    log_start: Float[Array, "prompts n"]

    def init(self, log_ref):
        return self.given.init(log_ref)

    def log_probs(self, params, log_ref):
        del log_ref
        return self.given.log_probs(params, self.log_start)


class _State(NamedTuple):
    """What a round hands to the next; ``memory`` holds the data of the last rounds, the youngest first."""

    params: Any
    optimiser: Any
    anchor: Anchor
    memory: Comparisons
    norm: Float[Array, ""]
    taken: Array
    stopped: Array


def descend_rounds(
    key: Key[Array, ""],
    problem: Problem,
    objective: Objective,
    sampler: Sampler,
    labels: Labels,
    policy: Policy,
    stop_below: Float[Array, ""] | float | None,
    *,
    rounds: Rounds,
    rule: GradientRule,
    optimiser: optax.GradientTransformation,
    pairs: int | None,
    steps: int,
    records: int,
    metrics: Metrics = measure,
) -> Trajectory:
    """One run in rounds, unchecked and traceable; `didsim.dynamics.Run` with ``rounds`` is its checked form.

    Data of a round come from the world's samplers at the policy that the round starts with: ``pairs`` drawn for every
    prompt, or the whole population if None.  Before the first round the memory holds data of the start.  Metrics are
    those of the world: its reference, and the population that the youngest data are from.

    Returns:
        `Trajectory` with moment 0 and the recorded moments of every round; ``steps_taken`` counts the steps up to the
        early stops of the rounds, ``status`` is that of the last round.
    """
    check_rule(rule, objective, problem.log_ref.shape[-1], pairs)
    task = _Task(key, problem, objective, sampler, labels, policy, rule, optimiser, pairs, metrics)
    params = policy.init(problem.log_ref)
    first = task.law(params)
    at_start = task.population(first)
    memory = _stack([task.collect(first, at_start, jnp.int32(k)) for k in range(rounds.kept)])
    state = _State(
        params=params,
        optimiser=optimiser.init(params),
        anchor=rounds.reference.begin(problem.log_ref, params),
        memory=memory,
        norm=jnp.asarray(jnp.inf, problem.log_ref.dtype),
        taken=jnp.int32(0),
        stopped=jnp.asarray(False),
    )
    within = jnp.asarray(rounds.within(steps, records), jnp.int32)
    numbers = jnp.arange(rounds.count(steps), dtype=jnp.int32)
    state, recorded = jax.lax.scan(lambda state, k: _round(task, rounds, stop_below, within, state, k), state, numbers)
    before = task.record(params, at_start)
    log_policy = task.law(state.params)
    status = jnp.where(state.stopped, Status.CONVERGED, Status.OUT_OF_STEPS)
    return Trajectory(
        moments=tuple(rounds.moments(steps, records).tolist()),
        metrics=jax.tree.map(lambda a, b: jnp.concatenate([a[None], b.reshape(-1, *b.shape[2:])]), before, recorded),
        log_policy=log_policy,
        params=state.params,
        gradient_norm=state.norm,
        steps_taken=state.taken,
        status=jnp.where(jnp.any(jnp.isnan(log_policy)), Status.NOT_FINITE, status),
    )


def _round(task: _Task, rounds: Rounds, stop_below, within: Array, state: _State, number: Array) -> tuple[_State, dict]:
    """Collects data, takes the inner steps on what the memory offers, moves the reference."""
    params, opt_state = state.params, state.optimiser
    if rounds.restart:
        params = task.policy.init(state.anchor.log_ref)
        opt_state = task.optimiser.init(params)
    log_policy = task.law(params)
    population = task.population(log_policy)
    memory = _push(state.memory, task.collect(log_policy, population, number + rounds.kept))
    used = jax.tree.map(lambda leaf: leaf[rounds.age :], memory)
    moved = replace(task.problem, log_ref=state.anchor.log_ref)

    policy = task.policy if isinstance(task.policy, Table) else _Anchored(task.policy, task.problem.log_ref)

    def on(params: Any, data: Comparisons) -> Any:
        return task.rule.gradient(moved, task.objective, policy, params, lambda log_policy: data)

    def gradient(params: Any) -> Any:
        if rounds.depth == 1:
            return on(params, jax.tree.map(lambda leaf: leaf[0], used))
        return jax.tree.map(lambda leaf: leaf.mean(0), jax.vmap(on, in_axes=(None, 0))(params, used))

    step = _stepper(gradient, task.optimiser, stop_below)
    begin = (jnp.int32(0), params, opt_state, jnp.full_like(state.norm, jnp.inf), jnp.asarray(False))

    def advance(inner, until):
        inner = jax.lax.while_loop(lambda s: (s[0] < until) & ~s[4], step, inner)
        return inner, task.record(inner[1], population)

    (taken, params, opt_state, norm, stopped), recorded = jax.lax.scan(advance, begin, within)
    ended = Round(task.policy, params, task.law(params), task.problem.log_ref)
    anchor = rounds.reference.advance(state.anchor, ended)
    return _State(params, opt_state, anchor, memory, norm, state.taken + taken, stopped), recorded


def _stepper(gradient: Callable, optimiser: optax.GradientTransformation, stop_below) -> Callable:
    """One optimiser step that stays where it is once the gradient is small."""

    def step(state):
        taken, params, opt_state, _, _ = state
        grads = gradient(params)
        norm = optax.tree.norm(grads)
        stop = jnp.asarray(False) if stop_below is None else norm <= stop_below
        updates, new_opt = optax_update(optimiser, grads, opt_state, params)
        new = jax.tree.map(jnp.add, params, updates), new_opt
        kept = jax.tree.map(lambda old, fresh: jnp.where(stop, old, fresh), (params, opt_state), new)
        return taken + jnp.where(stop, 0, 1), *kept, norm, stop

    return step


def _stack(data: list[Comparisons]) -> Comparisons:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *data)


def _push(memory: Comparisons, newest: Comparisons) -> Comparisons:
    """Memory with the newest data in front and the oldest forgotten."""
    return jax.tree.map(lambda old, new: jnp.concatenate([new[None], old[:-1]]), memory, newest)
