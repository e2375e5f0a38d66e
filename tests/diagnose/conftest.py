"""The logs that several files put to `didsim diagnose`."""

import functools
import json

import preference_logs
import preference_runs
import pytest


@pytest.fixture
def sample():
    """The rows of the sample log."""
    return [json.loads(line) for line in preference_runs.SAMPLE.read_text().splitlines()]


@pytest.fixture
def few(sample):
    """The sample's first twenty pairs, at every step."""
    return [row for row in sample if row["example_id"] < 20]


@pytest.fixture(scope="session")
def real_run(tmp_path_factory):
    """The log of a real run by its kind, trained when it is first asked for."""
    folder = tmp_path_factory.mktemp("runs")

    @functools.cache
    def log(kind):
        return preference_logs.written(folder, preference_runs.run(kind), f"{kind.replace(' ', '-')}.jsonl")

    return log
