"""How does plain text become mathematics?  ``π_ref`` in a name of the data is drawn as π with an upright subscript."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter

NAMES = (
    "alpha beta gamma delta varepsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma varsigma tau upsilon varphi chi "
    "psi omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega"
)
GREEK = dict(zip("αβγδεζηθικλμνξπρσςτυφχψωΓΔΘΛΞΠΣΦΨΩ", NAMES.split(" "), strict=True))
SMALL = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-" * 2, strict=True))
LOW, HIGH = "₀₁₂₃₄₅₆₇₈₉₊₋", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻"
# A letter with what hangs on it: π_ref, λ_max, π*, λ₂, q₊, Λ'.  A Latin letter alone stays a word.
_GREEK = "".join(GREEK)
_SIGN = rf"[{LOW}{HIGH}]|[*'’](?![A-Za-z])"
SYMBOL = re.compile(
    rf"([{_GREEK}]|(?<![A-Za-z])[A-Za-z](?=_[A-Za-z0-9{_GREEK}∞]|{_SIGN}))((?:_[A-Za-z]+|_[0-9]+|_[{_GREEK}∞]|{_SIGN})*)"
)
HANGING = re.compile(rf"_[A-Za-z0-9]+|_.|[*'’]|[{LOW}]+|[{HIGH}]+")


def typeset(text: str) -> str:
    """Plain text with its symbols as mathtext; what stands between dollar signs already stays as it is.

    Example:
        >>> from didsim.plotting import typeset
        >>> print(typeset("JSD(π*‖π_ref), λ_max"))
        JSD($\\pi^*$‖$\\pi_{\\mathrm{ref}}$), $\\lambda_{\\mathrm{max}}$
    """
    parts = re.split(r"(\$[^$]*\$)", text)
    return "".join(part if place % 2 else SYMBOL.sub(_symbol, part) for place, part in enumerate(parts))


def typeset_all(drawn: Figure | Axes) -> None:
    """Typesets every text of a figure or of axes, also tick labels that were given."""
    for ax in drawn.axes if isinstance(drawn, Figure) else [drawn]:
        for axis in (ax.xaxis, ax.yaxis):
            given = axis.get_major_formatter()
            if isinstance(given, FuncFormatter):  # what set_xticks(places, texts) leaves behind
                given.func = partial(_typeset_tick, given.func)
    for one in drawn.findobj(Text):
        if typeset(one.get_text()) != one.get_text():
            one.set_text(typeset(one.get_text()))


def _typeset_tick(text_at: Callable[..., str], *where: Any) -> str:
    return typeset(text_at(*where))


def _symbol(found: re.Match) -> str:
    letter, hanging = found[1], found[2]
    low, high = "", ""
    for part in HANGING.findall(hanging):
        if part[0] == "_":
            low = " ".join([low, _subscript(part[1:])]).strip()
        elif part[0] in LOW:
            low += "".join(SMALL[one] for one in part)
        elif part[0] in HIGH:
            high += "".join(SMALL[one] for one in part)
        else:
            high += "*" if part == "*" else r"\prime"
    base = "\\" + GREEK[letter] if letter in GREEK else letter
    return "$" + base + (f"_{{{low}}}" if low else "") + (f"^{high}" if high == "*" else f"^{{{high}}}" if high else "") + "$"


def _subscript(word: str) -> str:
    if word in GREEK:
        return "\\" + GREEK[word]
    if word == "∞":
        return r"\infty"
    return word if len(word) == 1 or word.isdigit() else rf"\mathrm{{{word}}}"
