"""The small sweep in memory and in a store."""

import pytest
from sweep_cases import SWEEP

from didsim.sweeps import sweep


@pytest.fixture(scope="session")
def memory():
    return sweep(**SWEEP)


@pytest.fixture
def out(tmp_path):
    sweep(**SWEEP, out=tmp_path / "store")
    return tmp_path / "store"
