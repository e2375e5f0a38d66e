"""The small sweep in memory and in a store."""

import shutil

import pytest
from sweep_cases import SWEEP

from didsim.sweeps import sweep


@pytest.fixture(scope="session")
def memory():
    return sweep(**SWEEP)


@pytest.fixture(scope="session")
def stored(tmp_path_factory):
    """Its store, to be read only."""
    out = tmp_path_factory.mktemp("stored") / "store"
    sweep(**SWEEP, out=out)
    return out


@pytest.fixture
def out(stored, tmp_path):
    """A copy of the store."""
    return shutil.copytree(stored, tmp_path / "store")
