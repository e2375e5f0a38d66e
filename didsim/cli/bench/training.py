"""How fast is training: one run, many at once, and very many as a sweep?"""

import functools
import timeit
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from didsim.cli.bench import available
from didsim.cli.bench.pairs import blocking, rival_seconds
from didsim.cli.bench.timing import Row, fastest
from didsim.dynamics import Adam, Run, Sgd
from didsim.dynamics.run import execute, run_key
from didsim.objectives import Dpo, loss
from didsim.samplers import Uniform
from didsim.sweeps import sweep
from didsim.worlds import Given, Problem, RandomReward, RandomTarget
from didsim.worlds.preferences import BradleyTerry

N = 20
STEPS = 100
BATCH = 64
BETA, LEARNING_RATE = 0.5, 0.02
PUBLISHED_BETA, PUBLISHED_RATE = 3.0, 10.0  # Shi et al.'s (2409.19605) exact setting
WIDTH = 1000  # runs per block of the sweeps


def loss_alone(problem: Problem, objective: Any, log_policy: Any, comparisons: Any) -> dict[str, Any]:
    """The only metric that the tight PyTorch loop records as well."""
    return {"loss": loss(objective, problem, log_policy, comparisons)}


def published_metrics(problem: Problem, objective: Any, log_policy: Any, comparisons: Any) -> dict[str, Any]:
    """The two metrics of Shi et al.'s (2409.19605) script: value, and mean error of the implicit margins."""
    excess = problem.reward - problem.beta * log_policy
    return {
        "value": jnp.sum(jnp.exp(log_policy) * excess),
        "error": jnp.mean(jnp.abs(excess[:, :, None] - excess[:, None, :])),
    }


def tight_run(problem: Problem, steps: int = STEPS) -> Run:
    """The run that the tight PyTorch loop does too: exact gradients over all pairs, Adam."""
    optimiser = Adam(learning_rate=LEARNING_RATE)
    return Run(Given(problem), Dpo(beta=BETA), optimiser=optimiser, steps=steps, records=2, metrics=loss_alone)


def published_run(problem: Problem, steps: int = STEPS) -> Run:
    """Shi et al.'s (2409.19605) exact setting with its uniform sampler, both metrics recorded at every step."""
    return Run(
        Given(problem),
        Dpo(beta=PUBLISHED_BETA),
        Uniform(),
        BradleyTerry(),
        optimiser=Sgd(PUBLISHED_RATE),
        steps=steps,
        records=30 * steps,
        metrics=published_metrics,
    )


def worlds(runs: int, n: int = N) -> Problem:
    """So many random problems, one per run."""
    return jax.jit(jax.vmap(RandomTarget(n).draw))(jax.random.split(jax.random.key(0), runs))


def lane(problems: Problem, place: int) -> Problem:
    """One of the problems."""
    return jax.tree.map(lambda leaf: leaf[place], problems)


def torch_arrays(problems: Problem) -> tuple[np.ndarray, ...]:
    """What the tight PyTorch loop needs, shape (runs, n)."""
    return tuple(np.asarray(law)[:, 0] for law in (problems.log_ref, problems.log_chosen, problems.log_rejected))


def torch_rows(seconds: float) -> list[Row]:
    """One run and a batch against PyTorch: the published script's loop and a tight one, in float32 and float64."""
    rows = []
    for double in (False, True):
        with jax.enable_x64(double):
            rows += _published_rows(seconds, double) + _tight_rows(seconds, double)
    return rows


def _published_rows(seconds: float, double: bool) -> list[Row]:
    problems = jax.jit(jax.vmap(RandomReward(N, beta=PUBLISHED_BETA).draw))(jax.random.split(jax.random.key(0), BATCH))
    rewards = np.asarray(problems.reward)[:, 0]
    settings = {"beta": PUBLISHED_BETA, "learning_rate": PUBLISHED_RATE, "loop": "train_as_published"}
    what = f"N={N}, {STEPS} exact steps as Shi et al.'s (2409.19605) script takes and records them"
    return _pair_of_rows("vs_torch", published_run, problems, ((rewards[:1],), (rewards,)), settings, what, seconds, double)


def _tight_rows(seconds: float, double: bool) -> list[Row]:
    problems = worlds(BATCH)
    arrays = torch_arrays(problems)
    settings = {"beta": BETA, "learning_rate": LEARNING_RATE, "loop": "train"}
    one = tuple(array[:1] for array in arrays)
    what = f"N={N}, {STEPS} exact Adam steps and nothing else"
    return _pair_of_rows("vs_tight_torch", tight_run, problems, (one, arrays), settings, what, seconds, double)


def _pair_of_rows(name, run, problems: Problem, arrays, settings: dict, what: str, seconds: float, double: bool) -> list[Row]:
    """Row for one run and row for the batch."""
    key, kind, end = run_key(0), "float64" if double else "float32", "_float64" if double else ""

    def trained(problem: Problem, key: Any) -> Any:
        return execute(run(problem), key)  # settings are plain numbers and the problem an array, as in PyTorch

    one = blocking(jax.jit(trained), lane(problems, 0), key)
    many = blocking(jax.jit(jax.vmap(trained, in_axes=(0, None))), problems, key)
    return [
        _torch_row(f"single_run_{name}{end}", one, arrays[0], settings, f"{what}, one run, {kind}", seconds),
        _torch_row(f"batched_runs_{name}{end}", many, arrays[1], settings, f"{what}, {BATCH} runs, {kind}", seconds),
    ]


def _torch_row(name: str, ours: Any, arrays: tuple[np.ndarray, ...], settings: dict, note: str, seconds: float) -> Row:
    took, why = None, f"; {available.NO_TORCH}"
    calls = {"ours": ours}
    if (torch := available.torch_module()) is not None:
        calls |= _timed(torch, arrays=arrays, steps=STEPS, **settings)
    best = fastest(calls, seconds)
    if torch is not None:
        took, why = rival_seconds(best, "PyTorch")
    return Row(name, best["ours"], took, note + why)


def _timed(torch: Any, loop: str, arrays: tuple[np.ndarray, ...], **settings: Any) -> dict[str, Any]:
    """A loop of the rival, on the numbers of threads that are worth it."""
    loops: Any = available.rival("torch_loop")
    return loops.timed(torch, getattr(loops, loop), arrays, **settings)


def sweep_rows(counts: Sequence[int], steps: int, seconds: float) -> tuple[list[Row], dict[str, dict[int, float]]]:
    """Cost per run of sweeps over seeds against the number of runs, float64, and PyTorch's batched loop up to 1,000."""
    torch = available.torch_module()
    curves: dict[str, dict[int, float]] = {"didsim": {}, "PyTorch": {}}
    for count in counts:
        curves["didsim"][count] = sweep_seconds(count, WIDTH, steps, seconds if count <= WIDTH else 0.0) / count
        if torch is not None and count <= WIDTH:
            settings = {"beta": BETA, "learning_rate": LEARNING_RATE, "steps": steps}
            best = fastest(_timed(torch, "train", torch_arrays(worlds(count)), **settings), seconds / 4)
            curves["PyTorch"][count] = min(best.values()) / count
    note = f"N={N}, {steps} exact steps, float64, seconds per run"
    rows = []
    if {1000, 100_000} <= set(counts):
        ours = curves["didsim"]
        rows.append(Row("cost_per_run_1e5_vs_1e3", ours[100_000], ours[1000], f"{note}; the rival is the sweep of 1,000 runs"))
    why = "" if torch is not None else f"; {available.NO_TORCH}"
    for count, took in curves["didsim"].items():
        rival, word = curves["PyTorch"].get(count), "PyTorch batched" if count in curves["PyTorch"] else "no rival"
        rows.append(Row(f"cost_per_run_{count:.0e}".replace("e+0", "e"), took, rival, f"{note}; {word}{why}"))
    return rows, curves


def sweep_seconds(count: int, width: int, steps: int, seconds: float) -> float:
    """Seconds of a sweep over so many seeds, in blocks of at most ``width``, that is compiled already."""
    run = Run(RandomTarget(N), Dpo(beta=BETA), optimiser=Adam(learning_rate=LEARNING_RATE), steps=steps, records=2)
    width = min(count, width)
    sweep(run, seeds=width, width=width)  # compiles; more runs are more blocks of the same program
    return _seconds(functools.partial(sweep, run, seeds=count, width=width), seconds)


def _seconds(call: Any, seconds: float) -> float:
    """Least of several calls that are compiled already, or of two where no time is given."""
    if seconds:
        return fastest({"ours": call}, seconds)["ours"]
    return min(timeit.repeat(call, number=1, repeat=2))
