"""What is one run, as a value that can be swept, saved and repeated?

A `Run` holds everything that decides a training run except its seed: world, objective, data, policy, optimiser, length.
It is a pytree whose leaves are the numbers and whose structure is the choices.  `execute` is the pure function from a run
and a key to its trajectory; `train` is the checked, compiled entry for one problem.
"""

from typing import final

import jax
import optax
from jaxtyping import Array, Float, Key

from didsim.dynamics.descent import Metrics, Trajectory, descend, looks_at_every_step, record_steps
from didsim.dynamics.metrics import measure
from didsim.dynamics.optimisers import Adam, Custom, Optimiser
from didsim.dynamics.rounds import Rounds, descend_rounds
from didsim.dynamics.rules import GradientRule, Plain
from didsim.numerics import checks
from didsim.numerics.pytrees import pytree, static
from didsim.objectives import Objective
from didsim.policies import Policy, Table
from didsim.samplers import ChosenRejected, Sampler
from didsim.samplers.data import Data
from didsim.worlds import Given, Problem, World
from didsim.worlds.preferences import AsShown, Labels


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
        records: about how many moments are recorded, log-spaced.
        stop_below: early stop when the gradient norm falls to this; None never looks, which is faster.
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
    steps: int = static(default=2000)
    pairs: int | None = static(default=None)
    records: int = static(default=50)
    stop_below: float | Float[Array, "..."] | None = None
    metrics: Metrics = static(default=measure)
    rule: GradientRule = Plain()
    rounds: Rounds | None = None

    def __post_init__(self) -> None:
        checks.whole("steps", self.steps, least=1)
        checks.whole("records", self.records, least=2)
        if self.stop_below is not None:
            checks.leaf_at_least("stop_below", self.stop_below, 0.0)
        if self.pairs is not None:
            checks.whole("pairs", self.pairs, least=1)
        if isinstance(self.rounds, Rounds):
            self.rounds.count(self.steps)

    @property
    def moments(self) -> tuple[int, ...]:
        """Recorded step numbers, the first 0."""
        if self.rounds is not None:
            return tuple(self.rounds.moments(self.steps, self.records).tolist())
        return tuple(record_steps(self.steps, self.records).tolist())

    @property
    def loops(self) -> int:
        """Nested loops that a step lies in: over rounds, recorded moments and the steps between them."""
        if self.rounds is not None:
            return 3
        return 1 if looks_at_every_step(self.moments, self.stop_below) else 2


def run_key(seed: int | Array) -> Key[Array, ""]:
    """Key of a seed: the same whatever else a run holds, so that runs of one seed share their world and their luck."""
    return jax.random.fold_in(jax.random.key(0), seed)


def run_world(run: Run, key: Key[Array, ""]) -> Problem:
    """The problem that a run draws from its key."""
    return run.world.draw(jax.random.split(key)[0])


def execute(run: Run, key: Key[Array, ""]) -> Trajectory:
    """Trajectory of a run for one key: the world from one half of the key, the drawn pairs from the other."""
    pairs_key, world = jax.random.split(key)[1], run_world(run, key)
    parts = (pairs_key, world, run.objective, run.sampler, run.labels, run.policy, run.stop_below)
    same = {"rule": run.rule, "optimiser": run.optimiser.transform(run.steps), "pairs": run.pairs, "metrics": run.metrics}
    if run.rounds is not None:
        return descend_rounds(*parts, rounds=run.rounds, steps=run.steps, records=run.records, **same)
    return descend(*parts, moments=run.moments, **same)


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
        records: about how many moments are recorded.
        stop_below: early stop when the gradient norm falls to this, >= 0; None never looks, which is faster.
        seed: seed of the drawn pairs, 0 <= seed < 2**32.
        metrics: function ``(problem, objective, log_policy, population) -> {name: array}``.
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
    data = Data.given(sampler, labels)
    data.check(problem, problem.log_ref)
    chosen = Adam() if optimiser is None else optimiser if isinstance(optimiser, Optimiser) else Custom(optimiser)
    parts = (Given(problem), objective, data.sampler, data.labels, policy or Table(), chosen)
    run = Run(*parts, steps, pairs, records, stop_below, metrics, rule or Plain(), rounds)
    return _execute(run, run_key(checks.seed(seed)))


_execute = jax.jit(execute)
