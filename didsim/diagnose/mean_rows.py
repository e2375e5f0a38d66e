"""Which rows of a file are the run's batch means, and in which order?  Training rows or evaluations, gaps and resumes apart."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from didsim.diagnose.columns import Names, exactly, is_finite, is_missing, means, missing, of_split, says, step_number
from didsim.diagnose.names import EVALUATION, TRAIN, meant
from didsim.diagnose.reading import LogError, Rows
from didsim.diagnose.runs import one_run

OWN = ("reward_chosen", "reward_rejected", "margin")
# What rows of any kind may hold.
EVERYWHERE = ("step", "epoch", "example", "beta", "rate")


# Which columns?


def _telling(names: Mapping[str, str]) -> bool:
    return "reward_chosen" in names or {"chosen", "ref_chosen"} <= set(names)


def _speaking(names: Mapping[str, str]) -> list[str]:
    """Columns whose entries make a row one of means."""
    own = [names[meaning] for meaning in OWN if meaning in names]
    return own or [names[meaning] for meaning in ("chosen", "ref_chosen") if meaning in names]


def judged_columns(rows: Rows, found: Names) -> tuple[dict[str, str], bool, dict[str, str]]:
    """Columns of the rows to judge, whether they are evaluations, and those of evaluations beside training rows."""
    training, held = of_split(found, "", TRAIN), of_split(found, EVALUATION)
    if _unmarked(rows, found):  # a notebook's table: one row an evaluation, whose loss alone says so
        return of_split(found, EVALUATION, ""), True, {}
    count = max((_count(rows, held[meaning]) for meaning in ("reward_chosen",) if meaning in held), default=0)
    trained = _telling(training) and any(_count(rows, name) for name in _speaking(training))
    if count >= 2 or (not trained and "margin" not in training and set(OWN) & set(held)):
        return held | {meaning: name for meaning, name in training.items() if meaning == "beta"}, True, {}
    return training, False, held


def _unmarked(rows: Rows, found: Names) -> bool:
    name, loss = found.get(("", "reward_chosen"), found.get(("", "margin"))), found.get((EVALUATION, "loss"))
    if name is None or loss is None or any(of and meaning in OWN for of, meaning in found):
        return False
    entries = [at for at, value in enumerate(rows.columns[name]) if says(value)]
    return len(entries) >= 2 and sum(says(rows.columns[loss][at]) for at in entries) >= 0.8 * len(entries)


def _count(rows: Rows, name: str) -> int:
    return sum(map(says, rows.columns[name]))


# Which rows?


def speaking_rows(rows: Rows, found: Names, names: Mapping[str, str], notes: list[str]) -> tuple[Rows, list[int]]:
    """The rows, in the order of their steps, and which of them hold means of the judged columns.

    Raises:
        LogError: there are none, or they are of several runs.
    """
    if not _telling(names) and "margin" not in names:
        raise missing(rows, {**names, **of_split(found, EVALUATION)})
    entries = [at for at in range(len(rows)) if any(not is_missing(rows.columns[name][at]) for name in _speaking(names))]
    if not entries:
        raise missing(rows, {})
    step = _step_name(found)
    one_run(rows, step, entries)
    kinds = _of_another_kind(rows, names, step, entries)
    empty = _empty_between(rows, names, step, [at for at in entries if at not in kinds])
    if empty:
        notes.append(f"{_rows(len(empty))} without any number of the run: missing data, left out.")
    rows, kept = _in_order(rows, step, [at for at in entries if at not in kinds | empty], notes)
    _count_silent(rows, names, kept, notes)
    return rows, kept


def _count_silent(rows: Rows, names: Mapping[str, str], kept: Sequence[int], notes: list[str]) -> None:
    """Notes how many rows hold what those with rewards do, but no rewards: NaN may have been written as nothing."""
    finite = _finite(rows, names, kept)
    shared = {name for name in _telling_columns(names) if any(is_finite(rows.columns[name][at]) for at in finite)}
    missing_ = [at for at in range(len(rows)) if all(is_missing(rows.columns[name][at]) for name in _speaking(names))]
    silent = [at for at in missing_ if any(is_finite(rows.columns[name][at]) for name in shared)]
    if silent:
        end = sum(at > kept[-1] for at in silent)
        last = f", {end} of them at the end, where numbers may have ended" if end else ""
        notes.append(f"{_rows(len(silent))} without rewards or margins: left out{last}.")


def _rows(count: int) -> str:
    return f"{count} row{'' if count == 1 else 's'}"


def _step_name(found: Names) -> str | None:
    return of_split(found, "", TRAIN, EVALUATION).get("step")


def _finite(rows: Rows, names: Mapping[str, str], kept: Sequence[int]) -> list[int]:
    return [at for at in kept if any(is_finite(rows.columns[name][at]) for name in _speaking(names))]


def _of_another_kind(rows: Rows, names: Mapping[str, str], step: str | None, kept: Sequence[int]) -> set[int]:
    """Rows in which NaN stands for what is missing: a frame holds evaluations, losses or closing numbers beside the means.

    They share no number with the rows that have finite means, but for steps and the like, and have numbers where those have none;
    or they are empty and come at the step of one, or without the learning rate that all of them have, which cannot diverge.
    """
    finite = _finite(rows, names, kept)
    others = set(kept) - set(finite)
    if not finite or not others:
        return set()
    filled = {name for name, column in rows.columns.items() if any(is_finite(column[at]) for at in finite)}
    shared = filled & _telling_columns(names)
    steps = {step_number(rows.columns[step][at]) for at in finite} if step else set()
    rate = {names["rate"]} & filled if "rate" in names else set()
    rate = {name for name in rate if all(is_finite(rows.columns[name][at]) for at in finite)}

    def other(at: int) -> bool:
        here = {name for name, column in rows.columns.items() if is_finite(column[at])}
        beside = (step is not None and step_number(rows.columns[step][at]) in steps) or bool(rate - here)
        return not here & shared and (bool(here - filled) or (beside and not here & _telling_columns(names)))

    return {at for at in others if other(at)}


def _telling_columns(names: Mapping[str, str]) -> set[str]:
    return {name for meaning, name in names.items() if meaning not in EVERYWHERE}


def _empty_between(rows: Rows, names: Mapping[str, str], step: str | None, kept: Sequence[int]) -> set[int]:
    """Rows without a number, if such come between finite ones too; where all come at the end, numbers have ended."""
    empty = {at for at in kept if not any(is_finite(rows.columns[name][at]) for name in _telling_columns(names))}
    steps = {at: step_number(rows.columns[step][at]) if step else None for at in kept}
    when = {at: float(at) if value is None else value for at, value in steps.items()}
    last = max((when[at] for at in _finite(rows, names, kept)), default=-math.inf)
    return empty if any(when[at] < last for at in empty) else set()


def _in_order(rows: Rows, step: str | None, kept: list[int], notes: list[str]) -> tuple[Rows, list[int]]:
    """The rows sorted by step, unless they are or go back only to steps that they repeat, as after a resume."""
    steps = [step_number(value) for value in rows.columns[step]] if step else []
    own = [steps[at] for at in kept] if step else []
    known = [value for value in own if value is not None and math.isfinite(value)]
    if len(known) < len(own) or _resumes(np.array(known)):
        return rows, kept
    notes.append("Rows are not in the order of their steps: sorted.")
    when, before = [], -math.inf
    for value in steps:  # a row without a step stays behind the one before it
        before = value if value is not None and not math.isnan(value) else before
        when.append(before)
    order = sorted(range(len(rows)), key=when.__getitem__)
    columns = {name: [column[at] for at in order] for name, column in rows.columns.items()}
    own_rows = set(kept)
    return replace(rows, columns=columns, places=[rows.places[at] for at in order]), [
        place for place, at in enumerate(order) if at in own_rows
    ]


def without_rewards(rows: Rows, names: Mapping[str, str], kept: Sequence[int], notes: list[str]) -> None:
    """Notes how many rows have margins alone."""
    if "reward_chosen" in names:
        without = sum(is_missing(rows.columns[names["reward_chosen"]][at]) for at in kept)
        if without:
            notes.append(f"{without} of {len(kept)} rows have no rewards of either side; their margins are used.")


def _resumes(steps: np.ndarray) -> bool:
    """Whether steps rise, but where they go back and then come again."""
    back = np.flatnonzero(np.diff(steps) < 0) + 1
    return all({*after} & {*steps[:at]} for at, after in zip(back, np.split(steps, back)[1:], strict=True))


# Which steps?


def steps_of(rows: Rows, found: Names, kept: list[int], notes: list[str]) -> tuple[np.ndarray, list[int]]:
    """Step of each row that counts: after a resume the later of two rows, and rows numbered where there is no step.

    Raises:
        LogError: a step is no number, or steps come again in another way than after a resume.
    """
    name = _step_name(found)
    entries = [None if name is None else step_number(rows.columns[name][at]) for at in kept]
    by_epoch = name is not None and (known := meant(name)) is not None and known.meaning == "epoch"
    if name is None or any(is_missing(rows.columns[name][at]) for at in kept) or (by_epoch and len(set(entries)) < len(kept)):
        notes.append(
            "No column of steps: rows are numbered." if name is None else f"{name!r} does not number the rows: they are."
        )
        return np.arange(1.0, len(kept) + 1), kept
    given, lost = means(rows, name, "step", kept)
    if lost.any():
        raise LogError(f"{rows.where(kept[int(np.argmax(lost))])}: column {name!r} must be a finite number, but is not.")
    if np.all(np.diff(given) > 0):
        return given, kept
    _not_doubled(rows, name, given, kept)
    places = _counting(rows, name, given, kept, notes)
    return given[places], [kept[place] for place in places]


def _not_doubled(rows: Rows, name: str, given: np.ndarray, kept: Sequence[int]) -> None:
    """Nothing, unless most steps come again in the very next row: of two runs by turns neither may be left out."""
    again = np.flatnonzero(np.diff(given) == 0) + 1
    if len(again) >= 3 and 2 * len(set(given[again])) > len(set(given)):
        raise LogError(
            f"{rows.where(kept[again[0]])}: column {name!r} must rise from row to row, but {exactly(given[again[0]])} comes "
            "twice, as do most steps; is this one run?"
        )


def _counting(rows: Rows, name: str, given: np.ndarray, kept: Sequence[int], notes: list[str]) -> list[int]:
    """Places of the rows that count where some steps come again: of each step the later one; which are left out is said."""
    places = _after_resumes(rows, name, given, kept)
    values, count = np.unique(given, return_counts=True)
    again = [value for value in dict.fromkeys(given) if count[values == value][0] > 1]
    many = "" if len(again) == 1 else f" and {len(again) - 1} more"
    notes.append(f"Step {exactly(again[0])}{many} comes twice, as after a resume; the later row counts.")
    left = sorted({*given} - {*given[places]})
    if left:
        notes.append(
            f"{len(left)} steps between {exactly(left[0])} and {exactly(left[-1])} came before a resume and not again: left out."
        )
    return places


def _after_resumes(rows: Rows, name: str, given: np.ndarray, kept: Sequence[int]) -> list[int]:
    """Where a run goes back to a step, what it had logged from there on is not of the run that went on."""
    out: list[int] = []
    for place, value in enumerate(given):
        if out and value < given[out[-1]] and value <= given[out[0]]:
            raise LogError(
                f"{rows.where(kept[place])}: column {name!r} must not decrease from row to row, but {exactly(value)} follows "
                f"{exactly(given[out[-1]])}; is this one run, in order?"
            )
        while out and value <= given[out[-1]]:
            out.pop()
        out.append(place)
    return out
