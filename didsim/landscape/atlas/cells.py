"""What is said of one end: how far from the target, how it moved, which kind of end it is, and why there may be no number?"""

import enum

import jax.numpy as jnp
import numpy as np

from didsim.did import power_law_misfit
from didsim.landscape.atlas.departures import Case
from didsim.landscape.atlas.ends import Ends
from didsim.landscape.solvers import Status
from didsim.numerics.traces import jit

REACHED = 1e-10  # nats of JSD: the target to rounding
GOOD = 1e-8  # residual of an end that counts as solved
MEASURES = {
    "gap": "value that the end lacks against π*, ÷ what the reference lacks: 0 at π*, 1 no better than the reference",
    "jsd": "Jensen-Shannon divergence between the end and π*, nats",
    "chosen_change": "mean of log(π/π_ref) over the chosen responses shown, nats",
    "misfit": "J: the part of KL(π‖π_ref) that is not along the true reward, nats (F2)",
}


class Kind(enum.IntEnum):
    """What kind of end a cell has; shown as a word, stored as a number."""

    REACHED = 0
    OWN = 1
    SET = 2
    NOWHERE = 3
    UNSOLVED = 4
    UNDEFINED = 5

    def __str__(self) -> str:
        return WORDS[self]

    __repr__ = __str__


WORDS = {
    Kind.REACHED: "reaches π*",
    Kind.OWN: "own end",
    Kind.SET: "a set of minima; the point gradient descent finds",
    Kind.NOWHERE: "no minimum: some responses lose all their mass",
    Kind.UNSOLVED: "not solved",
    Kind.UNDEFINED: "not defined here",
}
MARKS = {Kind.REACHED: "*", Kind.OWN: "", Kind.SET: "s", Kind.NOWHERE: "n", Kind.UNSOLVED: "?", Kind.UNDEFINED: "-"}
NO_REWARD = "it looks at rewards, and no finite reward explains these labels"


def measured(ends: Ends, cases: Case, undefined: np.ndarray) -> dict[str, np.ndarray]:
    """Kind, residual, agreement of starts and all `MEASURES` of every cell; NaN where it is not defined."""
    truth, law = cases.truth, ends.log_policy
    target, reference = (np.asarray(one)[:, 0] for one in (truth.log_target, truth.log_ref))
    chosen = np.asarray(cases.ordered)[:, 0].sum(-1)
    jsd = _jsd(law, target)
    kind = np.select(
        [undefined, ends.status == Status.UNBOUNDED, ends.status == Status.NOT_UNIQUE, ends.status != Status.CONVERGED],
        [Kind.UNDEFINED, Kind.NOWHERE, Kind.SET, Kind.UNSOLVED],
        np.where(jsd <= REACHED, Kind.REACHED, Kind.OWN),
    )
    # Mass on its way to none is none, and its logarithm without bound.
    gone = (kind == Kind.NOWHERE)[:, None] & (law < np.log(REACHED) - 10.0)
    change = np.sum(np.where(chosen > 0, np.maximum(chosen, 1e-300) * np.where(gone, -np.inf, law - reference), 0.0), -1)
    found = {
        "kind": kind,
        "residual": np.where(undefined, np.nan, ends.residual),
        "agreeing": np.where(undefined, 0, ends.agreeing),
        "gap": value_gap(law, target, reference),
        "jsd": jsd,
        "chosen_change": change,
        "misfit": np.asarray(_misfit(law, truth.log_ref[:, 0], truth.reward[:, 0])),
    }
    nothing = undefined | (kind == Kind.UNSOLVED)
    return found | {name: np.where(nothing, np.nan, found[name]) for name in MEASURES}


def median_interval(values: np.ndarray) -> tuple[float, float, float]:
    """Median over worlds with the order statistics that hold it with at least 90 % chance, or the whole range (derived).

    A world's number is below the median with chance ½, so the k-th smallest of m is above it with chance
    ``Pr(Binomial(m, ½) < k)``, whatever the law of the numbers.
    """
    ordered = np.sort(values[~np.isnan(values)])
    m = ordered.size
    if not m:
        return np.nan, np.nan, np.nan
    counts = np.cumsum([1.0, *np.cumprod([(m - k) / (k + 1) for k in range(m)])]) * 0.5**m
    k = max((k for k in range(m // 2) if 2.0 * counts[k] <= 0.1), default=0)
    with np.errstate(invalid="ignore"):
        middle = ordered[m // 2] if m % 2 else _between(ordered[m // 2 - 1], ordered[m // 2])
    return float(middle), float(ordered[k]), float(ordered[m - 1 - k])


def _between(low: float, high: float) -> float:
    return low if np.isinf(low) else 0.5 * (low + high)


@jit
def _misfit(law, reference, reward):
    return power_law_misfit(law, reference, reward, jnp.zeros_like(reward)).misfit


def value_gap(law: np.ndarray, target: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """``KL(π‖π*)/KL(π_ref‖π*)``, which is the value that is lacking, ``J(π*) - J(π) = β KL(π‖π*)``, in units of the start's."""
    return _kl(law, target) / _kl(reference, target)


def _kl(law: np.ndarray, other: np.ndarray) -> np.ndarray:
    mass = np.exp(law)
    return np.maximum(np.sum(np.where(mass > 0, mass * (np.where(mass > 0, law, 0.0) - other), 0.0), -1), 0.0)


def _jsd(law: np.ndarray, other: np.ndarray) -> np.ndarray:
    middle = np.logaddexp(law, other) - np.log(2.0)
    return 0.5 * (_kl(law, middle) + _kl(other, middle))
