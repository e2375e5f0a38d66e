"""How sure is a number that comes from finitely many pairs?  Means, shares, slopes and a normaliser with their intervals."""

import math
from dataclasses import dataclass
from statistics import NormalDist

import jax.numpy as jnp
import numpy as np
from scipy import optimize, special, stats

from didsim import did
from didsim.did import estimators
from didsim.numerics.traces import jit

SURE = 3.3  # standard errors; a chance of one in a thousand to refute what is true


@dataclass(frozen=True)
class Estimate:
    """A number with the ends of its confidence interval; NaN ends where there is none."""

    value: float
    low: float = math.nan
    high: float = math.nan

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "–"
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            return f"{self.value:.4g}"
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"

    def holds(self, number: float) -> bool:
        """Whether the number lies in the interval."""
        return bool(self.low <= number <= self.high)

    def times(self, factor: float) -> "Estimate":
        """The number in another unit, ``factor`` > 0."""
        return Estimate(self.value * factor, self.low * factor, self.high * factor)


def _student(value: float, error: float, freedom: int, level: float) -> Estimate:
    """Student's interval around a value with a standard error."""
    reach = float(stats.t.ppf(0.5 + 0.5 * level, freedom)) * error
    return Estimate(value, value - reach, value + reach)


def _normal(level: float) -> float:
    """Standard errors to either side that a normal interval takes."""
    return NormalDist().inv_cdf(0.5 + 0.5 * level)


def mean(values: np.ndarray, level: float) -> Estimate:
    """Mean with Student's interval over independent values.

    Example:
        >>> import numpy as np
        >>> from didsim.diagnose.intervals import mean
        >>> print(mean(np.array([1.0, 2.0, 3.0]), 0.95))
        2 [-0.4841, 4.484]
    """
    return _student(float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values))), len(values) - 1, level)


def share(hits: np.ndarray, level: float) -> Estimate:
    """Share of hits with Wilson's interval."""
    found = stats.binomtest(int(hits.sum()), len(hits)).proportion_ci(level, method="wilson")
    return Estimate(float(hits.mean()), float(found.low), float(found.high))


def slope(x: np.ndarray, y: np.ndarray, level: float) -> Estimate:
    """Least-squares ``b`` of ``y = bx`` with an interval that lets the scatter depend on x (standard; White's errors)."""
    power = float(x @ x)
    if power == 0.0:
        return Estimate(math.nan)
    found, freedom = float(x @ y) / power, max(len(x) - 1, 1)
    error = float(np.sqrt(np.sum((x * (y - found * x)) ** 2) * len(x) / freedom)) / power
    return _student(found, error, freedom, level)


def correlation(x: np.ndarray, y: np.ndarray, level: float) -> Estimate:
    """Pearson's correlation with Fisher's interval."""
    if np.ptp(x) == 0 or np.ptp(y) == 0 or len(x) < 4:
        return Estimate(math.nan)
    found = float(np.clip(np.corrcoef(x, y)[0, 1], -1.0, 1.0))
    if abs(found) == 1.0:
        return Estimate(found, found, found)
    reach = _normal(level) / math.sqrt(len(x) - 3)
    return Estimate(found, math.tanh(math.atanh(found) - reach), math.tanh(math.atanh(found) + reach))


def logistic_slope(margin: np.ndarray, level: float) -> Estimate:
    """``b`` at which log-margins explain who won best: the maximum of ``Σ log σ(b·m)``, with its sandwich interval.

    Under D4 the log-odds that a pair's chosen response beats its rejected one are ``β·m*``, ``m*`` the margin of π* against
    π_ref, so at DPO's optimum b = β: scaling the policy's margins by one factor must not lower the loss (derived).

    Returns:
        The estimate; infinite where every margin is positive, zero or less where more evidence speaks against them.

    Example:
        >>> import numpy as np
        >>> from didsim.diagnose.intervals import logistic_slope
        >>> won = np.array([2.0] * 73 + [-2.0] * 27)  # won 73 times out of 100 at a margin of 2: log-odds 0.995
        >>> print(round(logistic_slope(won, 0.95).value, 3))
        0.497
    """
    if np.all(margin >= 0) or np.all(margin <= 0):
        end = math.inf if np.any(margin > 0) else -math.inf if np.any(margin < 0) else math.nan
        return Estimate(end)
    unit = float(np.abs(margin).max())
    scaled = margin / unit

    def score(b: float) -> float:
        return float(np.mean(scaled * special.expit(-b * scaled)))

    reach = 1.0
    while score(-reach) < 0 or score(reach) > 0:
        reach *= 2.0
    found = float(optimize.root_scalar(score, bracket=(-reach, reach), method="brentq", xtol=1e-12 * reach).root)
    wrong = special.expit(-found * scaled)
    bread = float(np.mean(scaled**2 * wrong * (1.0 - wrong)))
    error = math.sqrt(float(np.mean((scaled * wrong) ** 2)) / len(margin)) / bread
    reach = _normal(level) * error
    return Estimate(found / unit, (found - reach) / unit, (found + reach) / unit)


@dataclass(frozen=True)
class Normaliser:
    """Mean of ``π_θ/π_ref`` over responses, which is 1 if they are draws from the reference.

    Attributes:
        log_mean: its logarithm, with the delta method's interval.
        error: standard error of that.
        effective: effective number of draws.
        shape: tail shape k̂ of the ratios; from its limit on the mean cannot be trusted.
        limit: largest k̂ that this number of draws allows.
    """

    log_mean: Estimate
    error: float
    effective: float
    shape: float
    limit: float

    @property
    def verdict(self) -> str:
        """``one`` (or too near to tell), ``below``, ``above``, or ``unknown`` where a few ratios decide."""
        if not self.shape <= self.limit:
            return "unknown"
        return "one" if abs(self.log_mean.value) <= SURE * self.error else "below" if self.log_mean.value < 0 else "above"


def normaliser(log_ratio: np.ndarray, level: float) -> Normaliser:
    """``log mean e^c`` of log-ratios ``c`` of independent responses.

    The influence of one draw on it is its weight less one, so that the standard error is ``√((K/ESS - 1)/(K - 1))``
    (standard delta method; D13).
    """
    middle, effective, shape = (float(number) for number in _weighed(jnp.asarray(log_ratio)))
    error = math.sqrt(max(len(log_ratio) / effective - 1.0, 0.0) / (len(log_ratio) - 1.0))
    return Normaliser(
        _student(middle, error, len(log_ratio) - 1, level), error, effective, shape, did.pareto_shape_limit(len(log_ratio))
    )


@jit  # the tail's fit is a loop, which would be compiled anew at every call
def _weighed(log_weights):
    return estimators.log_normaliser(log_weights), did.effective_sample_size(log_weights), did.pareto_shape(log_weights)
