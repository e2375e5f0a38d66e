"""Which cases of a long list does `make test` run, and which are left to `make test-all`?"""

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def sampled(cases: Iterable[Any], every: int) -> list[Any]:
    """Parameters of a test: each ``every``-th case as it is, the others marked slow; tuples are several parameters."""
    return [
        pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=() if place % every == 0 else pytest.mark.slow)
        for place, case in enumerate(cases)
    ]


def picked(cases: Iterable[Any], quick: Collection[Any]) -> list[Any]:
    """Parameters of a test: the cases that are in ``quick`` as they are, the others marked slow."""
    return [pytest.param(case, marks=() if case in quick else pytest.mark.slow) for case in cases]
