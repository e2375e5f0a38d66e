"""How do arrays and datasets become axes?  Nothing here computes a result or knows the mathematics.

`trajectory` draws runs, `sweep` a sweep, `law` laws, `portrait` a loss on three responses, `displacement_map` who falls and
who rises, `compare` what was measured against what was predicted; ``with style():`` puts pictures of one's own into the same
style.  A colour keeps its meaning across figures (`MEANING`), what theory predicts is dashed (`PREDICTED`) and what was
measured is solid.  A function that draws on axes takes them as ``ax`` and gives them back.
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
    from didsim.plotting.displacement import displacement_key, displacement_map
    from didsim.plotting.drawing import PREDICTED, STYLE, band, new_figure, style, styled
    from didsim.plotting.laws import compare, law
    from didsim.plotting.names import name_of
    from didsim.plotting.runs import sweep, trajectory
    from didsim.plotting.triangles import portrait
    from didsim.plotting.typesetting import typeset

__all__ = [
    "BLACK", "BLUE", "GREEN", "GREY", "KINDS", "MEANING", "ORANGE", "PREDICTED", "RED", "SKY", "STYLE", "band", "colour_of",
    "colours_of", "compare", "curves_by_beta", "displacement_key", "displacement_map", "intervals", "law", "name_of",
    "new_figure", "portrait", "shades", "style", "styled", "sweep", "temperature_path", "trajectory", "triangles", "typeset",
]  # fmt: skip
_HOMES = {
    "curves": ("curves_by_beta", "intervals", "temperature_path"),
    "displacement": ("displacement_key", "displacement_map"),
    "drawing": ("PREDICTED", "STYLE", "band", "new_figure", "style", "styled"),
    "laws": ("compare", "law"),
    "names": ("name_of",),
    "runs": ("sweep", "trajectory"),
    "triangles": ("portrait",),
    "typesetting": ("typeset",),
}
_HOME = {name: f"colours:{name}" for name in __all__} | {"triangles": "triangles"}
_HOME |= {name: f"{home}:{name}" for home, names in _HOMES.items() for name in names}

__getattr__, __dir__ = lazy(__name__, _HOME)
