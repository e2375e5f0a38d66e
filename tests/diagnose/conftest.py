"""The logs that several files put to `didsim diagnose`."""

import json

import preference_logs
import preference_runs
import pytest


@pytest.fixture
def sample():
    """The rows of the sample log."""
    return [json.loads(line) for line in preference_runs.SAMPLE.read_text().splitlines()]


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """The three real runs, as logs."""
    folder = tmp_path_factory.mktemp("runs")
    kinds = ("healthy", "displaced", "wrong reference")
    return {kind: preference_logs.written(folder, preference_runs.run(kind), f"{kind.replace(' ', '-')}.jsonl") for kind in kinds}
