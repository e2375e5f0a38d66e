"""How do arrays and datasets become axes?  Nothing here computes a result or knows the mathematics.

A colour keeps its meaning across figures (`MEANING`), what theory predicts is dashed (`PREDICTED`) and what was measured is
solid.  A function that draws on axes takes them as ``ax`` and gives them back; ``@styled`` runs a whole drawing in the house
style, and `triangles` shows a loss on three responses.
"""

from typing import TYPE_CHECKING

from didsim.numerics.lazy import lazy

if TYPE_CHECKING:
    from didsim.plotting import triangles
    from didsim.plotting.colours import (
        BLACK,
        BLUE,
        GREEN,
        GREY,
        KINDS,
        MEANING,
        ORANGE,
        RED,
        SKY,
        colour_of,
        colours_of,
        shades,
    )
    from didsim.plotting.curves import curves_by_beta, intervals, temperature_path
    from didsim.plotting.names import name_of
    from didsim.plotting.style import PREDICTED, STYLE, band, new_figure, styled
    from didsim.plotting.typesetting import typeset

__all__ = [
    "BLACK", "BLUE", "GREEN", "GREY", "KINDS", "MEANING", "ORANGE", "PREDICTED", "RED", "SKY", "STYLE", "band", "colour_of",
    "colours_of", "curves_by_beta", "intervals", "name_of", "new_figure", "shades", "styled", "temperature_path", "triangles",
    "typeset",
]  # fmt: skip
_HOME = {name: f"colours:{name}" for name in __all__} | {
    "triangles": "triangles",
    "typeset": "typesetting:typeset",
    "name_of": "names:name_of",
}
_HOME |= {name: f"style:{name}" for name in ("PREDICTED", "STYLE", "band", "new_figure", "styled")}
_HOME |= {name: f"curves:{name}" for name in ("curves_by_beta", "intervals", "temperature_path")}

__getattr__, __dir__ = lazy(__name__, _HOME)
