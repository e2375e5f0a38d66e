"""How fast is it on an accelerator: very many runs, one very large gradient, and one run alone?

The large gradient is held against the hardware: against the time in which the device could read its arguments and write
its result once, at the speed at which it copies an array in the same run.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from didsim.cli.bench import pairs, training
from didsim.cli.bench.timing import Row, fastest
from didsim.dynamics.run import execute, run_key

TOUCHED = 5  # arrays of N numbers: logits, log π_ref and both laws are read, the gradient is written


@dataclass(frozen=True)
class Sizes:
    """What is measured on an accelerator.

    Attributes:
        runs: of the large sweep, each a seed.
        fewer: runs of the sweep that the cost of one run is held against.
        width: runs in a block.
        steps: of each run.
        responses: N of the large gradient.
        seconds: spent on each call.
    """

    runs: int
    fewer: int
    width: int
    steps: int
    responses: int
    seconds: float


FULL = Sizes(runs=10**5, fewer=10**3, width=10**4, steps=1000, responses=10**7, seconds=1.0)
QUICK = Sizes(runs=10**4, fewer=10**3, width=10**4, steps=100, responses=10**6, seconds=0.2)


def rows(sizes: Sizes, tell: Callable[[str], object] = lambda text: None) -> list[Row]:
    """Rows for JAX's first device; ``tell`` is told what comes next."""
    tell("one run alone")
    found = [latency(sizes)]
    tell("one population of many responses")
    found.append(share_of_bandwidth(sizes))
    tell("very many runs")
    return [*found, many_runs(sizes)]


def many_runs(sizes: Sizes) -> Row:
    """Seconds of the whole sweep; the rival is what as many runs would take at the cost of one among fewer."""
    took = {n: training.sweep_seconds(n, sizes.width, sizes.steps, sizes.seconds) for n in (sizes.fewer, sizes.runs)}
    note = f"{sizes.runs} runs of {sizes.steps} exact steps, N={training.N}, {_kind()}; the rival is {sizes.fewer} runs, scaled"
    return Row("gpu_sweep", took[sizes.runs], took[sizes.fewer] * sizes.runs / sizes.fewer, note)


def share_of_bandwidth(sizes: Sizes) -> Row:
    """One exact gradient; the rival is the device's memory, which can be no slower: the ratio is the share of it in use."""
    gradient, arguments = pairs.population_gradient(sizes.responses)
    array = jnp.zeros(sizes.responses, arguments[0].dtype)
    copy = jax.jit(lambda x: x + 1)
    calls = {"ours": pairs.blocking(gradient, *arguments), "copy": pairs.blocking(copy, array)}
    best = fastest(calls, sizes.seconds)
    once = best["copy"] * TOUCHED / 2  # a copy reads one array and writes one
    speed = 2 * array.nbytes / best["copy"] / 1e9
    note = f"N={sizes.responses}, {_kind()}; rival: its {TOUCHED} arrays read or written once at a copy's {speed:,.0f} GB/s"
    return Row("gpu_gradient_vs_memory", best["ours"], once, note)


def latency(sizes: Sizes) -> Row:
    """One run from call to result."""
    run, key = training.tight_run(training.lane(training.worlds(1), 0), sizes.steps), run_key(0)
    took = fastest({"ours": pairs.blocking(jax.jit(execute), run, key)}, sizes.seconds)["ours"]
    return Row("gpu_single_run", took, None, f"one run of {sizes.steps} exact Adam steps, N={training.N}, {_kind()}; no rival")


def _kind() -> str:
    return jnp.zeros(()).dtype.name
