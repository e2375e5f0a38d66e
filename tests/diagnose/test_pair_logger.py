"""Does the callback write the pairs that it should, at the steps that it should, and go on after a resume?"""

import json
from types import SimpleNamespace

import pytest

from didsim import diagnose

ROWS = [{"prompt_ids": [1, 2], "chosen_ids": [3] * (at + 1), "rejected_ids": [4, 5]} for at in range(9)]


class Drifting(diagnose.PairLogger):
    """A logger whose policy loses a tenth of a nat a step on chosen responses and a fifth on rejected ones."""

    def sums(self, *, reference):
        step = 0 if reference else self.trainer.state.global_step
        return [-9.0 - at - 0.1 * step for at in range(len(self.pairs))], [
            -7.0 - at - 0.2 * step for at in range(len(self.pairs))
        ]


def trained(path, steps, *, start=0, first=True, **more):
    state = SimpleNamespace(global_step=start, is_world_process_zero=first)
    logger = Drifting(SimpleNamespace(train_dataset=ROWS, state=state), path, **{"every": 10, "count": 7} | more)
    logger.on_train_begin(None, state, None)
    for step in range(start + 1, steps + 1):
        state.global_step = step
        logger.on_step_begin(None, state, None)
        logger.on_step_end(None, state, None)
    logger.on_train_end(None, state, None)
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else None


def test_pairs_are_logged_and_diagnosed(tmp_path):
    rows = trained(tmp_path / "a.jsonl", 34)
    assert sorted({row["step"] for row in rows}) == [0, 10, 20, 30, 34]
    assert len(rows) == 5 * 7
    assert rows[2]["chosen_length"] == 3
    found = diagnose.diagnose(tmp_path / "a.jsonl")
    assert found.state == "displaced"
    assert found.log.tracks.shape == (5, 7)


def test_a_resumed_run_goes_on_where_it_was(tmp_path):
    whole = trained(tmp_path / "whole.jsonl", 40)
    trained(tmp_path / "a.jsonl", 27)  # stopped, its last checkpoint at step 20
    with (tmp_path / "a.jsonl").open("a") as out:
        out.write('{"step": 27, "exam')
    assert trained(tmp_path / "a.jsonl", 40, start=20) == whole


def test_a_new_run_replaces_the_file_and_other_processes_write_none(tmp_path):
    one = trained(tmp_path / "a.jsonl", 20)
    assert trained(tmp_path / "a.jsonl", 20) == one
    assert trained(tmp_path / "b.jsonl", 20, first=False) is None


def test_what_is_not_allowed_is_named(tmp_path):
    with pytest.raises(ValueError, match="`every` must be finite and at least 1"):
        trained(tmp_path / "a.jsonl", 5, every=0)
    trainer = SimpleNamespace(train_dataset=ROWS[:3])
    with pytest.raises(ValueError, match="at least 5 pairs, but has one of 3"):
        diagnose.PairLogger(trainer, tmp_path / "a.jsonl")
    trainer = SimpleNamespace(train_dataset=[{"prompt": "a"}] * 9)
    with pytest.raises(ValueError, match="must have a data set with prompt_ids"):
        diagnose.PairLogger(trainer, tmp_path / "a.jsonl")
    with pytest.raises(AttributeError, match="no attribute 'step'"):
        _ = diagnose.PairLogger(SimpleNamespace(train_dataset=ROWS), tmp_path / "a.jsonl").step
