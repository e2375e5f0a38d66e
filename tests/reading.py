"""What a reader's eye would notice in a picture: texts on each other or cut off, small letters, plain symbols, odd colours."""

import re

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import Collection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text

from didsim.plotting import typeset


def texts(figure: Figure) -> list[Text]:
    """All texts that are drawn."""
    figure.draw_without_rendering()
    unseen = {label for ax in figure.axes for label in _unseen(ax)}
    return [one for one in figure.findobj(Text) if one.get_visible() and one.get_text().strip() and one not in unseen]


def _unseen(ax: Axes) -> list[Text]:
    """Labels of ticks beyond the ends of their axis, and all labels where axes are off."""
    labels = [] if ax.axison else [ax.xaxis.label, ax.yaxis.label]
    for axis in (ax.xaxis, ax.yaxis):
        low, high = sorted(axis.get_view_interval())
        slack = 1e-9 * (high - low)
        for tick in [*axis.majorTicks, *axis.minorTicks]:
            if not (ax.axison and low - slack <= tick.get_loc() <= high + slack):
                labels += [tick.label1, tick.label2]
    return labels


def written_over(figure: Figure, *, step: float = 1.0) -> list[str]:
    """Words inside a panel that a curve runs through."""
    figure.draw_without_rendering()
    found = []
    for ax in figure.axes:
        legend = ax.get_legend()
        words = [one for one in [*ax.texts, *(legend.get_texts() if legend else [])] if one.get_text().strip()]
        curves = [line for line in ax.lines if line.get_linestyle() not in ("None", "none") and line.get_zorder() > 0]
        for word in words:
            box = word.get_window_extent().padded(-2.0 * figure.dpi / 72.0)
            for line in curves:
                points = line.get_transform().transform(line.get_xydata())
                points = points[np.isfinite(points).all(1)]
                if len(points) > 1 and _inside(box, points, step) and word.get_bbox_patch() is None:
                    found.append(f"{word.get_text()!r} under {line.get_color()}")
    return found


def _inside(box, points: np.ndarray, step: float) -> bool:
    lengths = np.linalg.norm(np.diff(points, axis=0), axis=1)
    for first, second, length in zip(points, points[1:], lengths, strict=False):
        share = np.linspace(0, 1, min(int(length / step) + 2, 2000))[:, None]
        dense = first + share * (second - first)
        if np.any((dense > [box.x0, box.y0]).all(1) & (dense < [box.x1, box.y1]).all(1)):
            return True
    return False


def clashes(figure: Figure, *, slack: float = 1.0) -> list[str]:
    """Texts that overlap one another or leave the figure, beyond ``slack`` points."""
    boxes = [(one.get_text(), one.get_window_extent()) for one in texts(figure)]
    slack *= figure.dpi / 72.0
    found = []
    for place, (text, box) in enumerate(boxes):
        for other, rest in boxes[place + 1 :]:
            wide = min(box.x1, rest.x1) - max(box.x0, rest.x0)
            high = min(box.y1, rest.y1) - max(box.y0, rest.y0)
            if wide > slack and high > slack:
                found.append(f"{text!r} on {other!r}")
        page = figure.bbox
        if box.x0 < -slack or box.y0 < -slack or box.x1 > page.x1 + slack or box.y1 > page.y1 + slack:
            found.append(f"{text!r} is cut off")
    return found


def plain_symbols(figure: Figure) -> list[str]:
    """Texts with symbols that are not typeset."""
    return [one.get_text() for one in texts(figure) if typeset(one.get_text()) != one.get_text()]


def statement_numbers(figure: Figure) -> list[str]:
    """Titles and labels that only a reader of the ledger understands."""
    return [one.get_text() for one in texts(figure) if re.search(r"\b[DSLKF]\d{1,2}\b", one.get_text())]


def smallest_letters(figure: Figure) -> float:
    """Size of the smallest text, in points."""
    return min(float(one.get_fontsize()) for one in texts(figure))


def colours(figure: Figure) -> set[str]:
    """Colours of all lines, areas and marks, without how transparent they are."""
    seen: set[str] = set()
    for ax in figure.axes:
        for one in [*ax.lines, *ax.patches, *ax.collections]:
            seen |= {to_hex(colour).upper() for colour in _of(one) if colour is not None}
    return seen


def _of(one: Line2D | Patch | Collection) -> list:
    if isinstance(one, Line2D):
        drawn = [one.get_color()] if one.get_linestyle() not in ("None", "none") else []
        marked = one.get_marker() not in (None, "None", "none", "")
        return drawn + [c for c in (one.get_markeredgecolor(), one.get_markerfacecolor()) if marked and str(c) != "none"]
    if isinstance(one, Patch):
        return [one.get_facecolor()] if one.get_facecolor()[-1] > 0 else []
    return [] if one.get_array() is not None else [*one.get_facecolor(), *one.get_edgecolor()]
