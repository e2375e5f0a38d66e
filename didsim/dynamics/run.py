"""What is one run, as a value that can be swept, saved and repeated?

A `Run` holds everything that decides a training run except its seed: world, objective, data, policy, optimiser, length.
It is a pytree whose leaves are the numbers and whose structure is the choices.  `execute` is the pure function from a run
and a key to its trajectory; `train` is the checked, compiled entry for one problem.
"""

import dataclasses
import functools
from typing import Any, final

import jax
import optax
from jaxtyping import Array, Float, Key

from didsim.dynamics.descent import Metrics, Task, descend, evaluates_at_every_step, record_steps
from didsim.dynamics.footprint import largest_arrays
from didsim.dynamics.metrics import measure
from didsim.dynamics.optimisers import Adam, Custom, Optimiser
from didsim.dynamics.rounds import Rounds, descend_rounds
from didsim.dynamics.rules import GradientRule, Plain
from didsim.dynamics.trajectory import Trajectory
from didsim.numerics import checks
from didsim.numerics.brief import called
from didsim.numerics.compilation import SHORT, lightly, on_processor
from didsim.numerics.memory import check_bytes
from didsim.numerics.promotion import usual_promotion
from didsim.numerics.pytrees import at_least, pytree, static, whole
from didsim.numerics.traces import jit, kept_value
from didsim.objectives import Objective
from didsim.policies import Policy, Table
from didsim.samplers import ChosenRejected, Sampler
from didsim.samplers.data import Data
from didsim.worlds import Given, Problem, World
from didsim.worlds.preferences import AsShown, Labels

MOST_RECORDS = 1_000_000


@final
@pytree
class Run:
    """One training run up to its seed.

    Attributes:
        world: law of the problem; drawn anew for every seed.
        objective: what is minimised.
        sampler: which pairs are shown.
        labels: who wins.
        policy: how parameters become laws.
        optimiser: how parameters move.
        steps: gradient steps, >= 1.
        pairs: pairs drawn per prompt and step; exact population gradients if None.
        records: about how many steps are recorded, log-spaced.
        stop_below: early stop when the gradient norm falls to this; None never checks, which is faster.
        metrics: function ``(problem, objective, log_policy, population) -> {name: array}``.
        rule: what the optimiser is given: the gradient itself, or that of each pair without its conflict (D14).
        rounds: how data and reference are renewed in rounds; every step sees fresh data and the world's reference if None.
    """

    world: World
    objective: Objective
    sampler: Sampler = ChosenRejected()
    labels: Labels = AsShown()
    policy: Policy = Table()
    optimiser: Optimiser = Adam()
    steps: int = whole(1, default=2000)
    pairs: int | None = whole(1, default=None)
    records: int = whole(2, default=50)
    stop_below: float | Float[Array, "..."] | None = at_least(0.0, default=None)
    metrics: Metrics = static(default=measure)
    rule: GradientRule = Plain()
    rounds: Rounds | None = None

    def __post_init__(self) -> None:
        rounds = 0 if self.rounds is None else self.rounds.count(self.steps)
        most = max(min(self.records, self.steps), rounds)
        if most > MOST_RECORDS:
            name = "records" if most > rounds else "inner"
            raise checks.ArgumentError(f"Argument `{name}` must leave at most {MOST_RECORDS:,} records, but leaves {most:,}.")
        if self.rounds is not None:
            self.rounds.check_restart(self.policy)

    def __repr__(self) -> str:
        fields = dataclasses.fields(self)
        return called("Run", **{one.name: held for one in fields if (held := getattr(self, one.name)) is not one.default})

    @property
    def data(self) -> Data:
        """Sampler and labels."""
        return Data(self.sampler, self.labels)

    @property
    def moments(self) -> tuple[int, ...]:
        """Recorded step numbers, the first 0."""
        if self.rounds is not None:
            return tuple(self.rounds.moments(self.steps, self.records).tolist())
        return _moments(self.steps, self.records)

    @property
    def loops(self) -> int:
        """Nested loops that a step lies in: over rounds, recorded steps and the steps between them."""
        if self.rounds is not None:
            return 3
        return 1 if evaluates_at_every_step(self.moments, self.stop_below) else 2


@functools.lru_cache(maxsize=256)
def _moments(steps: int, records: int) -> tuple[int, ...]:
    return tuple(record_steps(steps, records).tolist())


def run_key(seed: int | Array) -> Key[Array, ""]:
    """Key of a seed: the same whatever else a run holds, so that runs of one seed share their world and their luck."""
    return jax.random.fold_in(jax.random.key(0), seed)


def run_world(run: Run, key: Key[Array, ""]) -> Problem:
    """The problem that a run draws from its key."""
    return run.world.draw(jax.random.split(key)[0])


@usual_promotion()
def execute(run: Run, key: Key[Array, ""]) -> Trajectory:
    """Trajectory of a run for one key: the world from one half of the key, the drawn pairs from the other."""
    problem = run_world(run, key)
    task = Task(
        key=jax.random.split(key)[1],
        problem=problem,
        objective=run.objective,
        data=run.data,
        policy=run.policy,
        rule=run.rule,
        optimiser=run.optimiser.transform(run.steps),
        pairs=run.pairs,
        metrics=run.metrics,
        stop_below=run.stop_below,
    )
    return descend(task, run.moments) if run.rounds is None else descend_rounds(task, run.rounds, run.steps, run.records)


@usual_promotion()
def train(
    problem: Problem,
    objective: Objective,
    sampler: Sampler | None = None,
    labels: Labels | None = None,
    *,
    policy: Policy | None = None,
    optimiser: Optimiser | optax.GradientTransformation | None = None,
    steps: int = 2000,
    pairs: int | None = None,
    records: int = 50,
    stop_below: float | None = None,
    seed: int = 0,
    metrics: Metrics = measure,
    rule: GradientRule | None = None,
    rounds: Rounds | None = None,
) -> Trajectory:
    """Trains one policy on one problem and records metrics at log-spaced steps.

    Args:
        problem: the preference world.
        objective: what is minimised.
        sampler: which pairs are shown; independent chosen and rejected draws if missing.
        labels: who wins; "the first one shown" if both sampler and labels are missing.
        policy: a free table started at π_ref if missing.
        optimiser: a named optimiser or any optax transformation; Adam at 0.02 if missing.
        steps: gradient steps, >= 1.
        pairs: pairs drawn per prompt and step; exact population gradients if missing.
        records: about how many steps are recorded.
        stop_below: early stop when the gradient norm falls to this, >= 0; None never checks, which is faster.
        seed: seed of the drawn pairs, 0 <= seed < 2**32.
        metrics: function ``(problem, objective, log_policy, population) -> {name: array}``; if missing, what `didsim.metrics`
            measures and explains.
        rule: what the optimiser is given; the plain gradient if missing.
        rounds: how data and reference are renewed in rounds; every step sees fresh data if missing.

    Returns:
        `Trajectory` with the recorded metrics, the final policy and a `Status`.

    Raises:
        ArgumentError: a number out of range, inner steps that do not divide the steps, labels without a sampler, a pair
            law without mass, or a gradient rule that cannot follow the objective.

    Example:
        >>> import jax.numpy as jnp
        >>> import didsim
        >>> world = didsim.problem(jnp.log(jnp.array([0.5, 0.3, 0.2])), reward=jnp.array([0.0, 1.0, 2.0]), beta=0.5)
        >>> run = didsim.train(world, didsim.objectives.Dpo(beta=0.5), steps=1000)
        >>> bool(run.metrics["jsd_target"][-1] < 1e-5)
        True
    """
    checks.part("problem", problem, Problem, "didsim.problem(log_ref, reward=reward, beta=0.5)")
    data = Data.given(sampler, labels)
    run = Run(
        world=Given(problem),
        objective=objective,
        sampler=data.sampler,
        labels=data.labels,
        policy=Table() if policy is None else policy,
        optimiser=_optimiser(optimiser),
        steps=steps,
        pairs=pairs,
        records=records,
        stop_below=stop_below,
        metrics=metrics,
        rule=Plain() if rule is None else rule,
        rounds=rounds,
    )
    key = run_key(checks.seed(seed))
    program = _program(run, key)
    data.check(problem, problem.log_ref)
    return program(run, key)


def _program(run: Run, key: Key[Array, ""]) -> Any:
    """`execute`, to be compiled, once a run's largest array fits into memory; it is traced for that, as to compile it."""
    largest, n = _extent(run, key)
    check_bytes("run", sizes(run), largest)
    short = is_short(run, n)
    return _execute_short if short and not checks.is_traced((run, key)) else _execute


@kept_value
def _extent(run: Run, key: Key[Array, ""]) -> tuple[int, int]:
    """Bytes of a run's largest array, and its responses."""
    traced = _execute.trace(run, key)
    return largest_arrays(traced.jaxpr.jaxpr, outside=0)[1], traced.out_info.log_policy.shape[-1]


def is_short(run: Run, n: int) -> bool:
    """Whether a run over so many responses is as fast when it is compiled `lightly`."""
    return run.pairs is None and n <= SHORT and on_processor()


def sizes(run: Run) -> str:
    """The numbers that decide how large a run's arrays are, in words."""
    world = {name: getattr(run.world, name) for name in ("n", "space", "prompts") if hasattr(run.world, name)}
    return ", ".join(f"{name}={value}" for name, value in (world | {"pairs": run.pairs, "records": run.records}).items())


def run_once(run: Run, seed: int) -> Trajectory:
    """Trajectory of a run for one seed, compiled.

    Raises:
        ArgumentError: a seed out of range, or a run that does not fit into memory.
    """
    key = run_key(checks.seed(seed))
    return _program(run, key)(run, key)


def _optimiser(given: Optimiser | optax.GradientTransformation | None) -> Optimiser:
    if isinstance(given, optax.GradientTransformation):
        return Custom(given)
    return Adam() if given is None else given


_execute = jit(execute)
_execute_short = jit(execute, compiler_options=lightly())
