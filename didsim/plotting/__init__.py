"""How do arrays and datasets become axes?  Nothing here computes a result or knows the mathematics.

A colour keeps its meaning across figures (`MEANING`), what theory predicts is dashed (`PREDICTED`) and what was measured is
solid.  A function that draws on axes takes them as ``ax`` and gives them back; ``@styled`` runs a whole drawing in the house
style, and `triangles` shows a loss on three responses.
"""

from typing import TYPE_CHECKING

from didsim.numerics.lazy import lazy

if TYPE_CHECKING:
    from didsim.plotting import triangles
    from didsim.plotting.curves import curves_by_beta, intervals, temperature_path
    from didsim.plotting.style import (
        BLACK,
        BLUE,
        GREEN,
        GREY,
        MEANING,
        ORANGE,
        PREDICTED,
        RED,
        SKY,
        STYLE,
        band,
        new_figure,
        styled,
    )

__all__ = [
    "BLACK", "BLUE", "GREEN", "GREY", "MEANING", "ORANGE", "PREDICTED", "RED", "SKY", "STYLE", "band", "curves_by_beta",
    "intervals", "new_figure", "styled", "temperature_path", "triangles",
]  # fmt: skip
_HOME = {name: f"style:{name}" for name in __all__} | {"triangles": "triangles"}
_HOME |= {name: f"curves:{name}" for name in ("curves_by_beta", "intervals", "temperature_path")}

__getattr__, __dir__ = lazy(__name__, _HOME)
