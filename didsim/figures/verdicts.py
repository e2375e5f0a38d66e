"""When does a figure's claim hold?  Named numbers with the bound they must meet, and controls that must not meet it."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np


@dataclass(frozen=True, repr=False)
class Verdict:
    """A measured number against its bound.

    Attributes:
        name: what is measured.
        value: the measured number, worst over seeds.
        bound: what it is compared with.
        sense: "<=" or ">=".
        control: whether this is the same check under a broken assumption, whose bound is then the one it must break.
    """

    name: str
    value: float
    bound: float
    sense: str
    control: bool = False

    @property
    def ok(self) -> bool:
        """Whether the number meets the bound; NaN never does."""
        return bool(self.value <= self.bound if self.sense == "<=" else self.value >= self.bound)

    def __str__(self) -> str:
        sense = {"<=": "≤", ">=": "≥"}[self.sense]
        return f"{'ok    ' if self.ok else 'FAILED'}  {self.name}: {self.value:.3g} {sense} {self.bound:.3g}"

    def __repr__(self) -> str:
        return f"Verdict({' '.join(str(self).split())})"

    def to_json(self) -> dict:
        """Fields and outcome as plain values."""
        return {**dataclasses.asdict(self), "ok": self.ok}


def below(name: str, values, bound: float) -> Verdict:
    """The largest of the values must not exceed the bound; where there are none nothing is shown, and it fails."""
    return Verdict(name, _furthest(np.max, values), float(bound), "<=")


def above(name: str, values, bound: float) -> Verdict:
    """The smallest of the values must reach the bound."""
    return Verdict(name, _furthest(np.min, values), float(bound), ">=")


def must_break(name: str, values, bound: float) -> Verdict:
    """Negative control: with an assumption dropped even the smallest of the values must exceed the claim's bound."""
    return Verdict(f"control: {name}", _furthest(np.min, values), float(bound), ">=", control=True)


def _furthest(of: Callable, values: Any) -> float:
    """The value that decides, NaN where there is none."""
    every = np.asarray(values)
    return float(of(every)) if every.size else float("nan")


def by_dtype(double: float, single: float) -> float:
    """The bound for the precision in use: float64 or float32."""
    return double if jax.dtypes.canonicalize_dtype(float) == np.float64 else single
