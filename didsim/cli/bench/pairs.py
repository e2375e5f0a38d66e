"""How fast are sums over all pairs: many runs of few responses, and one population of very many?"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from didsim.cli.bench import available
from didsim.cli.bench.timing import Row, fastest
from didsim.numerics.pair_sums import kernel_sum
from didsim.objectives import Dpo, loss
from didsim.objectives.comparisons import comparisons_for
from didsim.samplers import ChosenRejected
from didsim.worlds import Problem, RandomTarget
from didsim.worlds.preferences import AsShown

MOST_C = 20_000  # from here on the C kernel's time is scaled by N²
MOST_NUMPY = 2_000
MISSING = {"C": available.NO_C, "NumPy": available.NO_NUMPY, "PyTorch": available.NO_TORCH}


def small_n_rows(kernel: Any | None, sizes: Sequence[tuple[int, int]], seconds: float) -> list[Row]:
    """Sums for many runs of few responses, float32, against C, plain XLA and NumPy; ``*_vs_*`` alone is the worst size."""
    ours = jax.jit(lambda u, w: kernel_sum("sigmoid", u, u, w))
    names = {"C": "c", "dense": "dense", "NumPy": "numpy"}
    rows: dict[str, list[Row]] = {name: [] for name in names}
    for n, runs in sizes:
        u, w = pair_data(n, runs, np.float32)
        on_device = jnp.asarray(u), jnp.asarray(w)
        calls = {"ours": blocking(ours, *on_device), "dense": blocking(xla_dense, *on_device)}
        best = fastest({**calls, **c_calls(kernel, u, w)}, seconds)
        if sums := numpy_calls(u, w):
            best |= fastest(sums, seconds / 4)
        rate = f"ours {n * n * runs / best['ours'] / 1e9:.1f}·10⁹ pairs/s"
        for rival, name in names.items():
            took, why = rival_seconds(best, rival)
            rows[rival].append(Row(f"small_n{n}_vs_{name}", best["ours"], took, f"N={n}, {runs} runs, float32, {rate}{why}"))
    worst = [_worst(f"small_n_vs_{name}", rows[rival]) for rival, name in names.items()]
    return worst + [row for rival in names for row in rows[rival]]


def gradient_rows(kernel: Any | None, sizes: Sequence[int], seconds: float) -> tuple[list[Row], dict[str, dict[int, float]]]:
    """Exact population gradients of DPO on a product law, float64, against C and NumPy, and all times by label and N."""
    rows, curves = [], {"didsim": {}, "C": {}, "C scaled": {}, "NumPy": {}, "NumPy scaled": {}}
    for n in sizes:
        gradient, arguments = population_gradient(n)
        calls = {"ours": blocking(gradient, *arguments)}
        if n <= MOST_C:
            u, w = pair_data(n, 1, np.float64)
            calls |= c_calls(kernel, u, w)
            if n <= MOST_NUMPY:
                calls |= numpy_calls(u, w)
        best = fastest(calls, seconds)
        curves["didsim"][n] = best["ours"]
        for rival in ("C", "NumPy"):
            took, _ = rival_seconds(best, rival)
            if took is not None:
                curves[rival][n] = took
    _scale(curves, sizes)
    for n in sizes:
        rows += [_gradient_row(curves, n, rival, why) for rival, why in (("C", available.NO_C), ("NumPy", available.NO_NUMPY))]
    return rows, curves


def crossover_rows(sizes: Sequence[int], seconds: float) -> list[Row]:
    """The fast path against all pairs for four rows of responses: a ratio of one marks `pair_sums.sums.CROSSOVER`."""
    rows = []
    for kernel in ("sigmoid", "log_sigmoid", "hinge"):
        for dtype in (np.float32, np.float64):
            for n in sizes:
                data = [jnp.asarray(x) for x in pair_data(n, 4, dtype)]
                paths = {m: jax.jit(functools.partial(kernel_sum, kernel, method=m)) for m in ("fast", "dense")}
                best = fastest({m: blocking(path, data[0], *data) for m, path in paths.items()}, seconds)
                note = f"N={n}, 4 rows; the rival visits all pairs"
                rows.append(Row(f"crossover_{kernel}_{dtype.__name__}", best["fast"], best["dense"], note))
    return rows


def population_gradient(n: int, key: int = 0) -> tuple[Callable[..., Array], tuple[Any, ...]]:
    """Compiled gradient in the logits of DPO's population loss, chosen and rejected drawn independently, and its arguments."""
    objective, sampler, labels = Dpo(beta=0.5), ChosenRejected(), AsShown()

    @jax.jit
    def laws(key: Array) -> tuple[Problem, Any]:
        problem = RandomTarget(n).draw(key)
        return problem, comparisons_for(objective, problem, sampler, labels, problem.log_ref)

    def value(logits: Float[Array, "1 n"], problem: Problem, comparisons: Any) -> Array:
        return loss(objective, problem, jax.nn.log_softmax(logits), comparisons)

    problem, comparisons = laws(jax.random.key(key))
    return jax.jit(jax.grad(value)), ((problem.log_ref + problem.log_target) / 2, problem, comparisons)


@jax.jit
def xla_dense(u: Float[Array, "runs n"], w: Float[Array, "runs n"]) -> Float[Array, "runs n"]:
    """The plain form: a matrix of logistic functions times the weights."""
    return jnp.einsum("rab,rb->ra", jax.nn.sigmoid(u[:, :, None] - u[:, None, :]), w)


def pair_data(n: int, runs: int, dtype: type) -> tuple[np.ndarray, np.ndarray]:
    """Normal points and uniform weights of shape (runs, n)."""
    rng = np.random.default_rng(n)
    return rng.normal(size=(runs, n)).astype(dtype), rng.uniform(size=(runs, n)).astype(dtype)


def blocking(function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
    """A call that waits for its arrays."""
    return lambda: jax.block_until_ready(function(*arguments))


def c_calls(kernel: Any | None, u: np.ndarray, w: np.ndarray) -> dict[str, Callable[[], None]]:
    """The C kernel's forms, none without a compiler."""
    return {} if kernel is None else kernel.timed(u, w)


def numpy_calls(u: np.ndarray, w: np.ndarray) -> dict[str, Callable[[], Any]]:
    """The sums in NumPy, none from a wheel."""
    form = available.rival("numpy_form")
    return {} if form is None else {"NumPy": lambda: form.numpy_sums(u, w)}


def rival_seconds(best: Mapping[str, float], rival: str) -> tuple[float | None, str]:
    """Least time of a rival's forms and what to add to the note."""
    times = {name: took for name, took in best.items() if name.startswith(rival)}
    if not times:
        return None, f"; {MISSING[rival]}"
    winner = min(times, key=lambda name: times[name])
    return times[winner], "" if winner == rival else f"; {winner}"


def _worst(name: str, rows: list[Row]) -> Row:
    row = min(rows, key=lambda row: row.ratio or 0.0)
    return Row(name, row.ours_s, row.rival_s, f"the worst of {len(rows)} sizes: {row.note}")


def _scale(curves: dict[str, dict[int, float]], sizes: Sequence[int]) -> None:
    """Continues the rivals beyond their largest measured size by N²."""
    for rival in ("C", "NumPy"):
        if curves[rival]:
            last = max(curves[rival])
            curves[f"{rival} scaled"] |= {n: curves[rival][last] * (n / last) ** 2 for n in sizes if n >= last}


def _gradient_row(curves: dict[str, dict[int, float]], n: int, rival: str, why: str) -> Row:
    ours, measured, scaled = curves["didsim"][n], curves[rival], curves[f"{rival} scaled"]
    took = measured.get(n, scaled.get(n))
    how = "N² pairs once" if n in measured else f"N² pairs once, measured at N={max(measured)} and scaled" if measured else why
    return Row(f"gradient_n{n:.0e}_vs_{rival.lower()}".replace("e+0", "e"), ours, took, f"float64; {rival}: {how}")
