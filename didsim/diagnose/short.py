"""What does a diagnosis say in ten lines?  State, log, faults, a few sentences with numbers, what to do, a small picture."""

import math

import numpy as np

from didsim.diagnose.diagnosis import Diagnosis
from didsim.diagnose.likelihood import by_step, ends, nats
from didsim.diagnose.mean_signatures import optimum
from didsim.diagnose.means import MeanLog

BARS = "▁▂▃▄▅▆▇█"
WIDEST = 32  # columns of a row of bars
SENTENCES = 4


def lines(found: Diagnosis) -> list[str]:
    """The paragraphs of the short answer, gravest first; a console breaks those that are longer than it is wide."""
    made = [found.summary]
    made += [found.caution] if found.caution else []
    made += [
        f"✗ {fault.name}: {fault.title if fault.found and not fault.evidence else fault.evidence}." for fault in found.faults
    ]
    made += [" ".join(sentences(found))] if sentences(found) else []
    advice = next((fault.advice for fault in found.faults if fault.advice), "")
    made += [f"→ {advice}"] if advice else []
    return made + bars(found)


def sentences(found: Diagnosis) -> list[str]:
    """Why, with numbers, beyond what the faults say."""
    answers = {finding.name: finding for finding in found.findings}
    said = {fault.name for fault in found.faults}
    made = []
    if not said & {"displaced", "wrong reference"} and answers["displacement"].answered:
        made.append(_change(found))
    if len(found.log.step):
        made += [answers[name].answer for name in ("loss", "ranking", "band") if name in answers and answers[name].answered]
    if isinstance(found.log, MeanLog):
        made += [optimum(found.log)] if optimum(found.log) else []
    return [*made[:SENTENCES], *found.log.notes]


def _change(found: Diagnosis) -> str:
    log = found.log
    if not isinstance(log, MeanLog):
        answer = next(finding.answer for finding in found.findings if finding.name == "displacement")
        answer = answer.partition(": ")[2]
        return answer[:1].upper() + answer[1:]
    chosen, rejected = (ends(log, side, found.level) for side in ("chosen", "rejected"))
    in_nats = nats(log, chosen)
    also = f" = {in_nats.value:.3g} nats" if in_nats is not None and log.unit == "reward" else ""
    unit = " nats" if log.unit == "nats" else ""
    other = "" if math.isnan(rejected.value) else f", of rejected ones at {rejected.value:.3g}"
    return f"The mean {'change' if unit else 'reward'} of chosen responses ends at {chosen.value:.3g}{unit}{also}{other}."


def bars(found: Diagnosis) -> list[str]:
    """Margin and change of both sides over the steps, a bar each."""
    log = found.log
    if not len(log.step):
        return []
    if isinstance(log, MeanLog):
        series = {"margin": log.gap, "chosen": log.change("chosen"), "rejected": log.change("rejected")}
    else:
        changes = {"margin": log.margin, "chosen": log.change_chosen, "rejected": log.change_rejected}
        series = {name: np.array([one.value for one in by_step(log, values, found.level)]) for name, values in changes.items()}
    return [line for name, values in series.items() if (line := _bars(name, values[np.isfinite(values)]))]


def _bars(name: str, values: np.ndarray) -> str:
    if len(values) < 2:
        return ""
    at = np.unique(np.linspace(0, len(values) - 1, min(len(values), WIDEST)).round().astype(int))
    low, high = float(values.min()), float(values.max())
    heights = np.zeros(len(at), int) if high == low else ((values[at] - low) / (high - low) * (len(BARS) - 1)).round().astype(int)
    return f"{name:8}  {''.join(BARS[height] for height in heights)}  {values[0]:.3g} → {values[-1]:.3g}"
