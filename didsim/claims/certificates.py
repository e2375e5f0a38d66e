"""Does a claim hold at an instance beyond rounding?

The instance's floats are exact numbers.  In ball arithmetic the claim's exact residual at them is enclosed in an interval
that certainly contains it; precision rises until the interval lies within ±1e-30 of zero (equalities) or, for inequalities,
on the side that the claim says.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from didsim.claims.arithmetic import balls
from didsim.claims.definition import Claim

PRECISIONS = (128, 256, 512, 1024)
SMALL = 1e-30


@dataclass(frozen=True)
class Certificate:
    """What ball arithmetic proves about one instance.

    Attributes:
        verdict: "zero" (within 1e-30), "negative" (an inequality holds strictly), "positive" (it fails, or a difference
            does not vanish) or "undecided".
        low: lower end of the enclosure of the largest entry.
        high: upper end.
        bits: precision at which this was settled.
    """

    verdict: str
    low: float
    high: float
    bits: int

    @property
    def ok(self) -> bool:
        """Whether the claim is proved at this instance, to 1e-30."""
        return self.verdict in ("zero", "negative")

    def __str__(self) -> str:
        said = {"zero": "= 0 ± 1e-30", "negative": "< 0", "positive": "> 0", "undecided": "undecided"}[self.verdict]
        return f"{said} ({self.bits} bits)"


def certify(claim: Claim, raw: Mapping[str, Any], *, dropped: int | None = None) -> Certificate | None:
    """Encloses the exact residual of one instance at rising precision; None where the claim has no exact form.

    Raises:
        ArgumentError: python-flint is not installed.
    """
    if claim.exact is None:
        return None
    enclosure = Certificate("undecided", -np.inf, np.inf, 0)
    for bits in PRECISIONS:
        with balls(bits) as m:
            values = claim.exact(m, claim.imposed(m, {name: m.number(value) for name, value in raw.items()}, dropped))
            enclosure = _settle([_ends(value) for value in np.ravel(np.asarray(values, dtype=object))], claim.kind, bits)
        if enclosure.verdict != "undecided":
            break
    return enclosure


def _settle(ends: list[tuple[float, float]], kind: str, bits: int) -> Certificate:
    low, high = max(low for low, _ in ends), max(high for _, high in ends)
    bottom = min(low for low, _ in ends)
    if kind == "inequality":
        verdict = "negative" if high < 0 else "zero" if high < SMALL else "positive" if low > 0 else "undecided"
        return Certificate(verdict, low, high, bits)
    if max(high, -bottom) < SMALL:
        return Certificate("zero", bottom, high, bits)
    apart = any(low > 0 or high < 0 for low, high in ends)
    return Certificate("positive" if apart else "undecided", bottom, high, bits)


def _ends(value: Any) -> tuple[float, float]:
    """Floats outside the ball: a ball that is no ball, or no number, encloses nothing."""
    if not value.is_finite():
        return -np.inf, np.inf
    low, high = float(value.lower()), float(value.upper())
    return (np.nextafter(low, -np.inf) if low else 0.0), (np.nextafter(high, np.inf) if high else 0.0)
