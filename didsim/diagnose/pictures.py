"""What is drawn of a log?  Numbers for the pictures of a page, and each as markup with a text for those who do not see it."""

import io
import math
import re
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from didsim.diagnose import charts as draw
from didsim.diagnose.diagnosis import Diagnosis
from didsim.diagnose.intervals import Estimate, share, slope
from didsim.diagnose.likelihood import by_step
from didsim.diagnose.logs import MeanLog, PairLog

BINS = 6


@dataclass(frozen=True)
class Picture:
    """A picture for a page: title, text alternative, and SVG markup."""

    name: str
    title: str
    alt: str
    svg: str


def pictures(found: Diagnosis) -> list[Picture]:
    """The pictures that the log allows."""
    log = found.log
    return _of_means(log) if isinstance(log, MeanLog) else _of_pairs(log, found.level)


def _of_pairs(log: PairLog, level: float) -> list[Picture]:
    sides = [by_step(log, change, level) for change in (log.change_chosen, log.change_rejected)]
    unit, sure = "change since the reference (nats)", f", {level:.0%} intervals"
    figure = draw.likelihoods(log.steps, _band(sides[0]), _band(sides[1]), unit, sure)
    alt = f"Mean change at the last step: chosen {sides[0][-1]}, rejected {sides[1][-1]} nats."
    made = [_picture("likelihood", "Likelihood of chosen and rejected responses", alt, figure)]
    if log.tracks is not None and len(log.steps) > 2 and log.margin[log.tracks[-1]].any():
        middle = len(log.steps) // 2
        before, after = log.margin[log.tracks[middle]], log.margin[log.tracks[-1]]
        fitted = slope(after, before, level)
        names = [f"step {log.steps[at]:g}" for at in (middle, -1)]
        alt = f"Gains in log-margin by {names[0]} are {fitted} times those by {names[1]}."
        made.append(_picture("growth", "Do margins grow along one line?", alt, draw.growth(before, after, fitted.value, names)))
    if log.beta:
        made += _sizes(log, log.beta, level)
    return made


def _sizes(log: PairLog, beta: float, level: float) -> list[Picture]:
    loss = np.array([np.logaddexp(0.0, -beta * log.margin[log.at(step)]).mean() for step in log.steps])
    alt = f"The loss goes from {loss[0]:.3f} to {loss[-1]:.3f}; ln 2 is 0.693."
    made = [_picture("learning", "Loss", alt, draw.learning(log.steps, loss))]
    margin = log.margin[log.last]
    margin = margin[margin != 0]
    if len(margin) >= 4 * BINS:
        groups = np.array_split(margin[np.argsort(np.abs(margin))], BINS)
        won = [share(group > 0, level) for group in groups]
        size = np.array([np.abs(group).mean() for group in groups])
        alt = "; ".join(f"margin {at:.3g}: won {hits}" for at, hits in zip(size, won, strict=True))
        made.append(
            _picture("reliability", "Is the policy as sure as it should be?", alt, draw.reliability(size, _band(won), beta))
        )
    return made


def _of_means(log: MeanLog) -> list[Picture]:
    chosen, rejected = log.means["reward_chosen"], log.means["reward_rejected"]
    figure = draw.likelihoods(log.step, (chosen,) * 3, (rejected,) * 3, "mean reward, β·log(π_θ/π_ref)", "")
    alt = f"Mean rewards end at {chosen[-1]:.3g} for chosen and {rejected[-1]:.3g} for rejected responses."
    made = [_picture("likelihood", "Rewards of chosen and rejected responses", alt, figure)]
    if "loss" in log.means:
        loss = log.means["loss"]
        alt = f"The loss goes from {loss[0]:.3f} to {loss[-1]:.3f}; ln 2 is 0.693."
        made.append(_picture("learning", "Loss", alt, draw.learning(log.step, loss)))
    return made


def _band(found: list[Estimate]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    value, low, high = (np.array([getattr(one, name) for one in found]) for name in ("value", "low", "high"))
    return value, np.where(np.isfinite(low), low, value), np.where(np.isfinite(high), high, value)


def _picture(name: str, title: str, alt: str, figure: Figure) -> Picture:
    out = io.StringIO()
    figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = out.getvalue()[out.getvalue().index("<svg") :]
    # Several pictures share a page: names that one picture refers to itself by must not meet another's.
    for kind in (r'id="', r"#"):
        svg = re.sub(rf"({kind})(?=[A-Za-z_])(?![0-9a-fA-F]{{6}}\b)", rf"\1{name}-", svg)
    width, height = (round(72 * inches, 1) for inches in figure.get_size_inches())
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-labelledby="{name}-title">'
    return Picture(
        name,
        title,
        alt if math.isfinite(width) else "",
        head + f'<title id="{name}-title">{_escape(title)}. {_escape(alt)}</title>' + svg[svg.index(">") + 1 :],
    )


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
