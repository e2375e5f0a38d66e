"""The watchman's watchman: does the ledger notice each of the faults put into the library on purpose?"""

import jax
import pytest
from ledger_mutants import MUTANTS, Mutant

from didsim.claims import LEDGER
from didsim.claims.ledger import _judged
from didsim.claims.trials import judge_many

SAMPLE = {
    "best rejected law with 1/β",
    "displacement formula drops a term",
    "best of K - 1",
}


def catches(mutant: Mutant) -> list[str]:
    """Which of the claims that a mutant names notice it."""
    judge_many.cache_clear()
    jax.clear_caches()
    caught = []
    for id in mutant.claims:
        found = _judged(LEDGER[id], 300, 0)
        if not found.holds:
            caught.append(id)
    return caught


@pytest.fixture
def fresh():
    """No compiled program of the faulty library outlives its test."""
    yield
    judge_many.cache_clear()
    jax.clear_caches()


def test_there_are_thirty():
    assert len(MUTANTS) >= 30
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
    assert {mutant.name for mutant in MUTANTS} >= SAMPLE


def _marks(mutant):
    return [] if mutant.name in SAMPLE else [pytest.mark.slow]


@pytest.mark.parametrize("mutant", [pytest.param(m, id=m.name, marks=_marks(m)) for m in MUTANTS])
def test_mutant_is_caught(mutant, monkeypatch, fresh):
    before = getattr(mutant.home, mutant.attribute)
    monkeypatch.setattr(mutant.home, mutant.attribute, mutant.wrong)
    assert getattr(mutant.home, mutant.attribute) is not before
    caught = catches(mutant)
    print(f"{mutant.name}: caught by {', '.join(caught) or 'nobody'}")
    assert caught == list(mutant.claims)
