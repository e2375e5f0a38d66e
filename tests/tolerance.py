"""One place that says how close is close: a multiple of the dtype's rounding unit times the problem's condition."""

import numpy as np


def tolerance(dtype=np.float64, *, condition: float = 1.0, factor: float = 64.0) -> float:
    """``factor · eps(dtype) · condition``."""
    return factor * float(np.finfo(dtype).eps) * condition
