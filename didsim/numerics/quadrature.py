"""How is a smooth function with narrow peaks integrated?  By Gauss's rule on each of many panels."""

import numpy as np


def panel_rule(panels: int, order: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Places in [0, 1] and their weights, which sum to one: Gauss-Legendre of an order on each of equal panels.

    At order 16 a function is integrated to rounding whose poles are all 0.6 of a panel's width away from the real line or more:
    there the rule's error falls as ``2.8^{-2·16}`` (Bernstein's ellipse).
    """
    nodes, weights = np.polynomial.legendre.leggauss(order)
    places = (np.arange(panels)[:, None] + 0.5 + 0.5 * nodes) / panels
    return places.ravel(), np.tile(0.5 * weights / panels, panels)
