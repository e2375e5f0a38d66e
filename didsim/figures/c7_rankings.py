"""C7: should annotators rank K responses, choose the best of K, or compare pairs?  Rank, and do not ask for the best alone.

Near indifference a full ranking of K is worth ``2(K - H_K)`` pairs and a best-of-K ``2(K - 1)/K`` (derived, F14).  Reading K
responses costs as much either way, and a pair costs two: a response read tells most in a ranking and least in a best-of-K.
Away from indifference the Fisher information, summed over the choices that a ranking is made of, says the covariance of the
fitted rewards.  Rankings, choices and pairs all lead to one target.
"""

import itertools
from collections.abc import Callable
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array
from pydantic import Field

from didsim.figures.settings import Positive, Seed, config
from didsim.figures.verdicts import Verdict, above, below, by_dtype, must_break
from didsim.numerics import simplex
from didsim.numerics.traces import jit
from didsim.objectives import Gvpo, Multinomial, PlackettLuce, loss, population
from didsim.objectives.rankings import log_best_of, log_plackett_luce
from didsim.samplers import Uniform
from didsim.worlds import Problem, problem
from didsim.worlds.preferences import BradleyTerry
from didsim.worlds.random import normal

KINDS = ("pairs", "best of K", "ranking")
STATED = (0.72087, 0.75345)  # rewards (2, 1, 0): Plackett-Luce loss of the ranking, and the sum of its three pairs' losses
NEWTON_STEPS = 12


@config
class Config:
    """Numbers of C7; the configuration is this project's own.

    Lists of ``k`` different responses are drawn uniformly.  Curves average ``repeats`` data sets of each number of
    ``questions``; the covariance is measured at the last.
    """

    FAST: ClassVar[dict] = {"repeats": 200, "questions": (300, 3000, 20_000)}

    n: int = Field(6, ge=3, le=7)
    k: int = Field(4, ge=3, le=7)
    reward_scale: Positive = 0.7
    questions: tuple[int, ...] = (300, 1000, 3000, 20_000)
    repeats: int = Field(1600, ge=50)
    seed: Seed = 0

    def __post_init__(self) -> None:
        if self.k > self.n or list(self.questions) != sorted(set(self.questions)) or self.questions[0] < 100:
            raise ValueError("k must not exceed n, and questions must increase from at least 100")


def run(settings: Config) -> xr.Dataset:
    """Worth of every kind of question by K, and simulated fits beside their predicted covariance."""
    key = jax.random.key(settings.seed)
    reward = settings.reward_scale * np.asarray(normal(jax.random.fold_in(key, 0), (settings.n,)), float)
    rng = np.random.default_rng([settings.seed, 7])
    sizes = np.arange(2, settings.n + 1)
    fits = {kind: _simulated(rng, settings, kind, reward) for kind in KINDS}
    names = ("error", "predicted", "ratio", "ratio_error", "mistaken", "slope_fit")
    dims = {"error": ("kind", "question"), "predicted": ("kind", "question")}
    columns = zip(names, zip(*fits.values(), strict=True), strict=True)
    return xr.Dataset(
        {
            **{name: (dims.get(name, ("kind",)), np.array(values)) for name, values in columns},
            "worth": (("kind", "size"), [_worths(reward, kind, sizes) for kind in KINDS]),
            "worth_even": (("kind", "size"), [_worths(0.0 * reward, kind, sizes) for kind in KINDS]),
            "worth_stated": (("kind", "size"), _stated_worths(sizes)),
            "read": ("kind", [2, settings.k, settings.k]),
            "stated_losses": ("loss", [*_losses_of_three()]),
            **_slopes(settings, jax.random.fold_in(key, 1)),
        },
        coords={"kind": list(KINDS), "size": sizes, "question": list(settings.questions)},
        attrs={"k": settings.k, "repeats": settings.repeats},
    )


def _stated_worths(sizes: np.ndarray) -> np.ndarray:
    """A question's information near indifference, in pairs: one, ``2(K - 1)/K`` and ``2(K - H_K)``."""
    harmonic = np.cumsum(1.0 / np.arange(1, sizes[-1] + 1))[sizes - 1]
    return np.stack([np.ones(len(sizes)), 2.0 * (sizes - 1.0) / sizes, 2.0 * (sizes - harmonic)])


def _worths(reward: np.ndarray, kind: str, sizes: np.ndarray) -> np.ndarray:
    """Trace of a question's information in units of a pair's, for every K."""
    pair = np.trace(_information(reward, "pairs", 2))
    return np.array([np.trace(_information(reward, kind, size)) / pair for size in sizes.tolist()])


def _information(reward: np.ndarray, kind: str, k: int) -> np.ndarray:
    """Fisher information of one question about the rewards: every choice from a set adds ``diag(p) - p pᵀ`` (derived)."""
    n, total = len(reward), np.zeros((len(reward),) * 2)
    sets = list(itertools.combinations(range(n), 2 if kind == "pairs" else k))
    for one in sets:
        total += _choice(reward, one)
        if kind == "ranking":
            # The further choices, each from what its predecessors leave, by the chance of getting there.
            for depth in range(1, len(one) - 1):
                for taken in itertools.permutations(one, depth):
                    total += _chance(reward, one, taken) * _choice(reward, [y for y in one if y not in taken])
    return total / len(sets)


def _choice(reward: np.ndarray, among) -> np.ndarray:
    among = np.array(list(among))
    mass = np.zeros(len(reward))
    mass[among] = np.exp(reward[among]) / np.exp(reward[among]).sum()
    return np.diag(mass) - np.outer(mass, mass)


def _chance(reward: np.ndarray, among, taken) -> float:
    """Chance that the best of a set are these, in this order."""
    left, chance = list(among), 1.0
    for best in taken:
        chance *= np.exp(reward[best]) / np.exp(reward[left]).sum()
        left.remove(best)
    return float(chance)


def _answers(n: int, k: int, kind: str) -> np.ndarray:
    """All answers: lists of responses, best first; of a choice only the first place is told."""
    if kind == "ranking":
        return np.array(list(itertools.permutations(range(n), k)))
    sets = itertools.combinations(range(n), 2 if kind == "pairs" else k)
    return np.array([[best, *(y for y in one if y != best)] for one in sets for best in one])


def _simulated(rng: np.random.Generator, settings: Config, kind: str, reward: np.ndarray) -> tuple:
    """Error by number of questions and its prediction; at the last number the covariance in units of the predicted one.

    The last numbers: the same with the information of the wrong kind of question, and the largest gradient of the mean
    log-likelihood at a fit.
    """
    answers = _answers(settings.n, settings.k, kind)
    log_chance: Callable = log_plackett_luce if kind == "ranking" else log_best_of
    chance = np.exp(np.asarray(log_chance(jnp.asarray(reward[answers])), float))
    chance /= chance.sum()
    counts = np.stack([rng.multinomial(m, chance, size=settings.repeats) for m in settings.questions])
    scores = _fitted(counts, answers, kind, settings.n)
    share = jnp.asarray(counts[-1] / settings.questions[-1])
    slope = jax.grad(lambda scores: jnp.sum(share * log_chance(scores[:, answers])))(jnp.asarray(scores[-1]))
    error = scores - (reward - reward.mean())
    information = _information(reward, kind, settings.k)
    wrong = _information(reward, "best of K" if kind == "ranking" else "ranking", settings.k)
    squares = 2.0 / (settings.n - 1) * (error**2).sum(-1)  # mean over pairs of responses
    per_question = 2.0 / (settings.n - 1) * np.trace(np.linalg.pinv(information, hermitian=True))
    m, last = settings.questions[-1], error[-1]
    worth, mistaken = (m * np.einsum("ra,ab,rb->r", last, table, last) / (settings.n - 1) for table in (information, wrong))
    deviation = worth.std() / np.sqrt(settings.repeats)
    predicted = per_question / np.array(settings.questions)
    at_fit = abs(np.asarray(slope)).max()
    return squares.mean(-1), predicted, worth.mean(), deviation, mistaken.mean(), at_fit


def _fitted(counts: np.ndarray, answers: np.ndarray, kind: str, n: int) -> np.ndarray:
    """Maximum-likelihood rewards of every data set, centred, shape (sizes, repeats, n), by Newton's method.

    An answer is a sequence of choices, each of one response from a set: data are how often which response was chosen, and
    how often each set was shown.
    """
    depth = answers.shape[1] - 1 if kind == "ranking" else 1
    won = np.stack([(answers[:, :depth] == y).sum(1) for y in range(n)], 1)
    sets = [[frozenset(answer[stage:]) for stage in range(depth)] for answer in answers]
    names = sorted({one for row in sets for one in row}, key=sorted)
    shown = np.array([[row.count(one) for one in names] for row in sets])
    among = np.array([[y in one for y in range(n)] for one in names])
    share = counts.reshape(-1, len(answers)) / counts.sum(-1).reshape(-1, 1)
    won, shown = share @ won, share @ shown
    scores = np.zeros((len(share), n))
    for _ in range(NEWTON_STEPS):
        mass = np.where(among, np.exp(scores)[:, None], 0.0)
        mass /= mass.sum(-1, keepdims=True)
        expected = np.einsum("rs,rsy->ry", shown, mass)
        # The likelihood does not see a constant: add its direction to the Hessian.
        bend = expected[:, :, None] * np.eye(n) - np.einsum("rs,rsy,rsz->ryz", shown, mass, mass) + 1.0 / n
        scores += np.linalg.solve(bend, (won - expected)[..., None])[..., 0]
    return (scores - scores.mean(-1, keepdims=True)).reshape(*counts.shape[:-1], n)


def _losses_of_three() -> tuple[float, float]:
    """Loss of the ranking of rewards (2, 1, 0), and the sum of its three pairs' losses."""
    scores = jnp.array([2.0, 1.0, 0.0])
    pairs = sum(-log_plackett_luce(scores[jnp.array(pair)]) for pair in ((0, 1), (1, 2), (0, 2)))
    return float(-log_plackett_luce(scores)), float(pairs)


def _slopes(settings: Config, key: Array) -> dict:
    """Largest gradient entry of the objectives of lists at π* and, as a control, at π_ref."""
    beta = 0.5
    ref, reward = normal(key, (2, settings.n))
    world = problem(simplex.normalize(ref), reward=settings.reward_scale * reward, beta=beta)
    shown = population(world, Uniform(), BradleyTerry(), world.log_ref)
    return {name: ("objective", np.asarray(_steepest(world, shown, at), float))
            for name, at in (("slope_target", world.log_target), ("slope_ref", world.log_ref))}  # fmt: skip


@jit
def _steepest(world: Problem, shown, logits: Array) -> Array:
    """Largest gradient entry of every objective of lists in a table's logits."""

    def slope(objective) -> Array:
        return jax.grad(lambda x: loss(objective, world, simplex.normalize(x), shown))(logits)

    return jnp.stack([jnp.abs(slope(kind(world.beta))).max() for kind in (PlackettLuce, Multinomial, Gvpo)])


def verdicts(data: xr.Dataset) -> list[Verdict]:
    """What must come out of C7."""
    larger = data.sel(size=data["size"] > 2)
    per_read = larger["worth"] / larger["size"]
    exact = by_dtype(1e-12, 1e-6)
    even = abs(larger["worth_even"] / larger["worth_stated"] - 1.0)
    off = abs(larger["worth"] / larger["worth_stated"] - 1.0).sel(kind=["best of K", "ranking"])
    curve = abs(data["error"] / data["predicted"] - 1.0).isel(question=-1)
    mistaken = abs(data["mistaken"] - 1.0) / data["ratio_error"]
    return [
        below("even rewards: worth of a question ÷ stated: |ratio - 1|, all K", even, exact),
        below("covariance ÷ inverse information: |ratio - 1| in standard errors",
              abs(data["ratio"] - 1.0) / data["ratio_error"], 4.0),
        # A mean of chi-squares with n - 1 degrees of freedom or fewer: four standard errors.
        below("mean squared error ÷ predicted, most questions: |ratio - 1|", curve, 4.0 * np.sqrt(2.0 / data.attrs["repeats"])),
        above("a response read: ranking's worth ÷ pair's, every K > 2", per_read.sel(kind="ranking") / 0.5, 1.0),
        below("a response read: best-of-K's worth ÷ pair's, every K > 2", per_read.sel(kind="best of K") / 0.5, 1.0),
        below("rewards (2, 1, 0): |losses of ranking and of pairs - stated|",
              abs(data["stated_losses"] - np.array(STATED)), 6e-6),
        below("fits are maxima of the likelihood: max |gradient|, a question", data["slope_fit"], by_dtype(1e-12, 1e-5)),
        below("objectives of lists are at rest at π*: max |gradient|", data["slope_target"], by_dtype(1e-12, 1e-5)),
        must_break("objectives of lists are at rest at π_ref: max |gradient|", data["slope_ref"], 1e-3),
        must_break("covariance from the information of another kind: |ratio - 1| in standard errors", mistaken, 4.0),
        must_break("uneven rewards: worth as near indifference: |ratio - 1|, largest K", off.isel(size=-1), 1e-3),
    ]  # fmt: skip
