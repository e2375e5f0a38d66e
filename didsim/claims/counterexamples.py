"""What is the smallest instance on which a claim fails without one of its hypotheses?

Fewest responses first, then the roundest numbers: laws in whole weights, rewards in small integers.  A failing instance is
made simpler number by number as long as it still fails.  What is left fits in a table that a reader checks by hand.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from rich.table import Table

from didsim.claims.arithmetic import FLOATS
from didsim.claims.definition import Claim
from didsim.claims.trials import batch_size, judge_many, mask
from didsim.claims.variables import complexity, from_round, round_values
from didsim.numerics import checks

Round = dict[str, np.ndarray]
LEVELS = (1, 2, 3, 5, 9)
TRIED = 150
FAILS = 1e-3
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Counterexample:
    """A small instance on which a claim fails.

    Attributes:
        claim: id of the claim.
        dropped: hypothesis that is left out; None if the claim itself is refuted.
        n: number of responses.
        values: the variables, as fractions: weights for laws, the numbers themselves otherwise.
        residual: how far the claim is off there.
    """

    claim: str
    dropped: str | None
    n: int
    values: Round
    residual: float

    def to_json(self) -> dict:
        """Fields as plain values, fractions as text."""
        values = {name: _nested(lambda x: str(x), value) for name, value in self.values.items()}
        return {"claim": self.claim, "dropped": self.dropped, "n": self.n, "values": values, "residual": self.residual}

    @classmethod
    def from_json(cls, row: dict) -> "Counterexample":
        """The counterexample that `to_json` wrote."""
        values = {name: np.asarray(_nested(Fraction, value), dtype=object) for name, value in row["values"].items()}
        return cls(row["claim"], row["dropped"], row["n"], values, row["residual"])

    def table(self) -> Table:
        """The instance, one column per response; laws as probabilities."""
        title = f"{self.claim} without “{self.dropped}”" if self.dropped else f"{self.claim} refuted"
        made = Table(
            title=f"{title}: off by {self.residual:.3g}",
            title_justify="left",
            box=None,
            header_style="bold",
            min_width=len(title) + 20,
        )
        made.add_column("")
        for letter in LETTERS[: self.n]:
            made.add_column(letter, justify="right")
        for name, value in self.values.items():
            for label, row in _rows(name, value):
                cells = [str(entry) for entry in row]
                made.add_row(label, *cells[: self.n], *([""] * (self.n - len(cells))))
        return made


def residuals(claim: Claim, instances: Sequence[Round], n: int, dropped: int | None) -> np.ndarray:
    """How far a claim is off on round instances: from its exact form in floats, else from the library's residual."""
    if claim.exact is not None:
        return np.array([_exact(claim, values, dropped) for values in instances])
    raw = [{name: from_round(FLOATS, claim.variables[name], values[name]) for name in values} for values in instances]
    raw = raw + raw[:1] * (batch_size(claim, n) - len(raw))  # always as many, so that one program serves all
    stacked = {name: jnp.asarray(np.stack([one[name] for one in raw]), jnp.zeros(()).dtype) for name in claim.variables}
    found, _ = judge_many(claim, n, jnp.zeros(()).dtype)(stacked, mask(claim, dropped))
    return np.nan_to_num(np.asarray(found, np.float64)[: len(instances)], nan=0.0)


def smallest(claim: Claim, dropped: str | None = None, *, seed: int = 0, largest: int = 4) -> Counterexample | None:
    """Smallest failing instance found, of at most ``largest`` responses; None if none was.

    Raises:
        ArgumentError: the claim has no such hypothesis.
    """
    place = claim.place(dropped)
    rng = np.random.default_rng(seed)
    for n in _sizes(claim, largest):
        for candidates in _candidates(claim, rng, n):
            off = residuals(claim, candidates, n, place)
            failing = np.flatnonzero(off > FAILS)
            if len(failing):
                return _simplified(claim, dropped, place, n, candidates[failing[0]])
    return None


def save(path: Path, found: Sequence[Counterexample]) -> None:
    """Writes counterexamples to a JSON file."""
    path.write_text(json.dumps([one.to_json() for one in found], indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def load(path: Path) -> list[Counterexample]:
    """Reads the counterexamples of a JSON file.

    Raises:
        ArgumentError: the file is not such a list.
    """
    try:
        return [Counterexample.from_json(row) for row in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise checks.ArgumentError(f"Argument `path` must be a file of counterexamples, but {path} is not: {error}.") from None


def recheck(claim: Claim, example: Counterexample) -> float:
    """How far a claim is off on a saved counterexample, computed anew."""
    return float(residuals(claim, [example.values], example.n, claim.place(example.dropped))[0])


def _exact(claim: Claim, values: Round, dropped: int | None) -> float:
    raw = {name: from_round(FLOATS, claim.variables[name], values[name]) for name in values}
    with np.errstate(all="ignore"):
        off = np.asarray(claim.exact(FLOATS, claim.imposed(FLOATS, raw, dropped)), np.float64)  # type: ignore[misc]
    worst = np.max(off if claim.kind == "inequality" else np.abs(off))
    return 0.0 if np.isnan(worst) else float(worst)


def _candidates(claim: Claim, rng: np.random.Generator, n: int) -> Iterator[list[Round]]:
    """Batches of round instances, the simplest first."""
    for level in LEVELS:
        drawn = [{name: round_values(v, rng, n, level) for name, v in claim.variables.items()} for _ in range(TRIED)]
        yield sorted(drawn, key=_total)


def _sizes(claim: Claim, largest: int) -> range:
    """Numbers of responses to look at, from the fewest that the claim is about."""
    if len(claim.sizes) == 1:
        return range(claim.n, claim.n + 1)
    return range(min(claim.sizes), max(largest, min(claim.sizes)) + 1)


def _total(values: Round) -> int:
    return sum(complexity(entry) for value in values.values() for entry in np.ravel(value))


def _simplified(claim: Claim, dropped: str | None, place: int | None, n: int, values: Round) -> Counterexample:
    """Each number in turn becomes the simplest with which the claim still fails."""
    for name, value in values.items():
        variable = claim.variables[name]
        simplest = {"law": [Fraction(1), Fraction(2)], "whole": []}.get(variable.kind, [Fraction(0), Fraction(1), Fraction(1, 2)])
        allowed = [one for one in simplest if variable.kind == "law" or variable.low <= one <= variable.high]
        for at in np.ndindex(value.shape):
            tried = [
                _replaced(values, name, at, one) for one in allowed if complexity(one) < complexity(Fraction(str(value[at])))
            ]
            off = residuals(claim, tried, n, place) if tried else np.zeros(0)
            good = np.flatnonzero(off > FAILS)
            values = tried[good[0]] if len(good) else values
    return Counterexample(claim.id, dropped, n, values, float(residuals(claim, [values], n, place)[0]))


def _replaced(values: Round, name: str, at: tuple[int, ...], entry: Fraction) -> Round:
    value = values[name].copy()
    value[at] = entry
    return values | {name: value}


def _rows(name: str, value: np.ndarray) -> list[tuple[str, np.ndarray]]:
    if value.ndim < 2:
        return [(name, np.atleast_1d(value))]
    flat = value.reshape(-1, value.shape[-1])
    return [(f"{name}[{LETTERS[k % 26]}]", row) for k, row in enumerate(flat)]


def _nested(convert: Callable, value):
    """The same nesting with every entry converted."""
    if isinstance(value, (list, np.ndarray)) and np.ndim(value):
        return [_nested(convert, entry) for entry in value]
    return convert(value[()] if isinstance(value, np.ndarray) else value)
