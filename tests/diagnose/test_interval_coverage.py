"""Do the intervals of a diagnosis cover what they should?"""

import math

import numpy as np
import pytest

from didsim.diagnose import intervals


def test_logistic_slope_covers():
    random = np.random.default_rng(1)
    size = np.abs(random.normal(size=(600, 150))) * 2
    won = random.random(size.shape) < 1 / (1 + np.exp(-0.7 * size))
    hits = [intervals.logistic_slope(np.where(row, s, -s), 0.95).holds(0.7) for row, s in zip(won, size, strict=True)]
    assert abs(np.mean(hits) - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 600)


def test_normaliser_covers_and_finds_bias():
    random = np.random.default_rng(2)
    draws = random.normal(size=(300, 400)) * 0.5
    known = [intervals.normaliser(row - 0.125, 0.95).log_mean.holds(0.0) for row in draws]  # E e^{c} = 1
    off = [intervals.normaliser(row, 0.95).log_mean.holds(0.0) for row in draws]
    assert abs(np.mean(known) - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 300)
    assert np.mean(off) < 0.05


def test_slopes_of_no_evidence_or_certainty():
    assert intervals.logistic_slope(np.array([1.0, 2.0, 3.0]), 0.95).value == math.inf
    assert intervals.logistic_slope(-np.array([1.0, 2.0, 3.0]), 0.95).value == -math.inf
    assert math.isnan(intervals.logistic_slope(np.zeros(3), 0.95).value)
    assert math.isnan(intervals.slope(np.zeros(3), np.ones(3), 0.95).value)
    assert intervals.correlation(np.arange(5.0), 2 * np.arange(5.0), 0.95).value == pytest.approx(1)
