"""Is the integral of a function with narrow peaks right to rounding, and is the rule's reason for it the true one?"""

import numpy as np
import pytest

from didsim.numerics.quadrature import panel_rule


def _ratio(panels, pole):
    """Integral of ``1/((x - c)² + pole²)`` over [0, 1], c in the middle of a panel, against its closed form."""
    places, weights = panel_rule(panels)
    middle = (panels // 2 + 0.5) / panels
    closed = (np.arctan((1.0 - middle) / pole) + np.arctan(middle / pole)) / pole
    return np.sum(weights / ((places - middle) ** 2 + pole**2)) / closed


@pytest.mark.parametrize("panels", [1, 7, 400])
def test_polynomials_are_integrated_exactly(panels):
    places, weights = panel_rule(panels)
    assert (weights.sum(), places.min() > 0, places.max() < 1) == (pytest.approx(1.0, rel=1e-14), True, True)
    for power in range(32):
        assert np.sum(weights * places**power) == pytest.approx(1.0 / (power + 1), rel=1e-13)


@pytest.mark.parametrize("panels", [1, 10, 1000])
def test_peaks_that_are_wide_enough_are_integrated_to_rounding(panels):
    assert _ratio(panels, 0.6 / panels) == pytest.approx(1.0, abs=1e-13)
    assert abs(_ratio(panels, 0.1 / panels) - 1.0) > 1e-4  # control: a pole within the bound
