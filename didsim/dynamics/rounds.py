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
from jaxtyping import Array, Bool, Float, Int

from didsim.dynamics.descent import Task, record_steps, select
from didsim.dynamics.references import Anchor, FixedReference, GeometricAverage, NoReference, Reference, Round
from didsim.dynamics.trajectory import Trajectory, ended
from didsim.numerics import checks
from didsim.numerics.pytrees import pytree, static, whole
from didsim.objectives.parts import Comparisons
from didsim.policies import Policy, Table


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

    example = "didsim.dynamics.Rounds(inner=10)"

    inner: int | None = whole(1, default=None)
    reference: Reference = FixedReference()
    age: int = whole(0, default=0)
    depth: int = whole(1, default=1)
    restart: bool = static(default=False)

    def check_restart(self, policy: Policy) -> None:
        """Nothing, unless rounds restart at a reference of which no parameters of the policy are known.

        Raises:
            ArgumentError: they do.
        """
        if self.restart and not isinstance(policy, Table) and isinstance(self.reference, (GeometricAverage, NoReference)):
            raise checks.ArgumentError(
                f"Argument `restart` must be False where {type(self.reference).__name__} is the reference of "
                f"{type(policy).__name__}, whose parameters cannot hold it, but is True."
            )

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
    taken: Int[Array, ""]
    stopped: Bool[Array, ""]


class _Inner(NamedTuple):
    """What a step hands to the next within a round."""

    taken: Int[Array, ""]
    params: Any
    optimiser: Any
    norm: Float[Array, ""]
    stopped: Bool[Array, ""]


def descend_rounds(task: Task, rounds: Rounds, steps: int, records: int) -> Trajectory:
    """One run in rounds, unchecked and traceable; `didsim.dynamics.Run` with ``rounds`` is its checked form.

    Data of a round come from the world's samplers at the policy that the round starts with: pairs drawn for every
    prompt, or the whole population if the task has no number of pairs.  Before the first round the memory holds data of
    the start.  Metrics are those of the world: its reference, and the population that the youngest data are from.

    Returns:
        `Trajectory` with step 0 and the recorded steps of every round; ``steps_taken`` counts the steps up to the
        early stops of the rounds, ``status`` is that of the last round.
    """
    task.check()

    # The start.
    params = task.policy.init(task.problem.log_ref)
    first = task.law(params)
    at_start = task.population(first)
    state = _State(
        params=params,
        optimiser=task.optimiser.init(params),
        anchor=rounds.reference.begin(task.problem.log_ref, params),
        memory=_stack([_collect(task, first, at_start, jnp.int32(k)) for k in range(rounds.kept)]),
        norm=jnp.asarray(jnp.inf, task.problem.log_ref.dtype),
        taken=jnp.int32(0),
        stopped=jnp.asarray(False),
    )

    # The rounds.
    within = jnp.asarray(rounds.within(steps, records), jnp.int32)
    numbers = jnp.arange(rounds.count(steps), dtype=jnp.int32)
    state, recorded = jax.lax.scan(lambda state, number: _round(task, rounds, within, state, number), state, numbers)

    # The records of all of them, after that of the start.
    before = task.evaluated(params, at_start)
    metrics = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b.reshape(-1, *b.shape[2:])]), before, recorded)
    moments = tuple(rounds.moments(steps, records).tolist())
    return ended(moments, metrics, task.law(state.params), state.params, state.norm, state.taken, state.stopped)


def _round(task: Task, rounds: Rounds, within: Array, state: _State, number: Array) -> tuple[_State, dict]:
    # Where the round starts.
    params, optimiser = state.params, state.optimiser
    if rounds.restart:
        params = _start(task.policy, state.anchor)
        optimiser = task.optimiser.init(params)

    # Its data, and what the memory offers.
    log_policy = task.law(params)
    population = task.population(log_policy)
    memory = _push(state.memory, _collect(task, log_policy, population, number + rounds.kept))
    gradient = _gradient(task, rounds, state.anchor, memory)

    # The inner steps.
    def step(inner: _Inner) -> _Inner:
        grads = gradient(inner.params)
        norm = optax.tree.norm(grads)
        stop = jnp.asarray(False) if task.stop_below is None else norm <= task.stop_below
        moved = task.moved(grads, inner.params, inner.optimiser)
        params, optimiser = select(stop, (inner.params, inner.optimiser), moved)
        return _Inner(inner.taken + jnp.where(stop, 0, 1), params, optimiser, norm, stop)

    def advance(inner: _Inner, until: Array) -> tuple[_Inner, dict]:
        inner = jax.lax.while_loop(lambda now: (now.taken < until) & ~now.stopped, step, inner)
        return inner, task.evaluated(inner.params, population)

    begin = _Inner(jnp.int32(0), params, optimiser, jnp.full_like(state.norm, jnp.inf), jnp.asarray(False))
    inner, recorded = jax.lax.scan(advance, begin, within)

    # The reference of the next round.
    end = Round(task.policy, inner.params, task.law(inner.params), task.problem.log_ref)
    new = _State(
        params=inner.params,
        optimiser=inner.optimiser,
        anchor=rounds.reference.advance(state.anchor, end),
        memory=memory,
        norm=inner.norm,
        taken=state.taken + inner.taken,
        stopped=inner.stopped,
    )
    return new, recorded


def _start(policy: Policy, anchor: Anchor) -> Any:
    """Parameters whose law is the round's reference: a table holds any law, other policies need to be told."""
    return policy.init(anchor.log_ref) if isinstance(policy, Table) or anchor.params is None else anchor.params


def _gradient(task: Task, rounds: Rounds, anchor: Anchor, memory: Comparisons) -> Callable[[Any], Any]:
    """Direction of a step on the data that are due, against the reference of the round."""
    used = jax.tree.map(lambda leaf: leaf[rounds.age :], memory)
    problem = replace(task.problem, log_ref=anchor.log_ref)
    policy = task.policy if isinstance(task.policy, Table) else _Anchored(task.policy, task.problem.log_ref)

    def on(params: Any, data: Comparisons) -> Any:
        return task.rule.gradient(problem, task.objective, policy, params, lambda log_policy: data)

    def gradient(params: Any) -> Any:
        if rounds.depth == 1:
            return on(params, jax.tree.map(lambda leaf: leaf[0], used))
        return jax.tree.map(lambda leaf: leaf.mean(0), jax.vmap(on, in_axes=(None, 0))(params, used))

    return gradient


def _collect(task: Task, log_policy: Array, population: Comparisons, number: Array) -> Comparisons:
    """Data of a round: the population itself, or pairs drawn from it with the round's own key."""
    return population if task.pairs is None else task.drawn(jax.random.fold_in(task.key, number), log_policy)


def _stack(data: list[Comparisons]) -> Comparisons:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *data)


def _push(memory: Comparisons, newest: Comparisons) -> Comparisons:
    """Memory with the newest data in front and the oldest forgotten."""
    return jax.tree.map(lambda old, new: jnp.concatenate([new[None], old[:-1]]), memory, newest)
