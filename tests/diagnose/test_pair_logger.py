"""Does the callback write the pairs that it should, at the steps that it should, and go on after a resume?"""

import json
import math
from types import SimpleNamespace

import pytest

from didsim import diagnose

ROWS = [{"prompt_ids": [1, 2], "chosen_ids": [3] * (at + 1), "rejected_ids": [4, 5]} for at in range(9)]
SIZES = (0.0, 0.5, 3.0, 2.0, 1.0, 1.0, 1.0)


class Drifting(diagnose.PairLogger):
    """A logger whose policy loses a tenth of a nat a step on chosen responses and a fifth on rejected ones."""

    def sums(self, *, reference):
        step = 0 if reference else self.trainer.state.global_step
        return [-9.0 - at - 0.1 * step for at in range(len(self.pairs))], [
            -7.0 - at - 0.2 * step for at in range(len(self.pairs))
        ]

    def slopes(self):
        """The two gradients of pair k are (1, 0) and size·(cos, sin) of k/3."""
        return [
            {"grad_norm_chosen": 1.0, "grad_norm_rejected": size, "grad_cosine": math.cos(at / 3)}
            for at, size in enumerate(SIZES)
        ]


def trained(path, steps, *, start=0, first=True, rows=ROWS, settings=None, **more):
    state = SimpleNamespace(global_step=start, is_world_process_zero=first)
    trainer = SimpleNamespace(train_dataset=rows, state=state, args=settings)
    logger = Drifting(trainer, path, **{"every": 10, "count": 7} | more)
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


def test_a_log_goes_on_wherever_the_run_was_stopped(tmp_path):
    """At steps that are none to log, and after an end that wrote its own rows."""
    whole = trained(tmp_path / "whole.jsonl", 40)
    for stop, start in ((27, 25), (25, 25), (30, 30), (7, 3)):
        trained(tmp_path / "a.jsonl", stop)
        assert trained(tmp_path / "a.jsonl", 40, start=start) == whole


def test_a_log_of_other_pairs_is_not_gone_on_with(tmp_path):
    trained(tmp_path / "a.jsonl", 20)
    rows = trained(tmp_path / "a.jsonl", 40, start=20, rows=ROWS[1:])
    assert {row["step"] for row in rows} == {20, 30, 40}
    (tmp_path / "a.jsonl").write_text('[1]\n3\n{"step": 2}\n')
    assert {row["step"] for row in trained(tmp_path / "a.jsonl", 40, start=20)} == {20, 30, 40}


def test_gradients_are_logged_and_answer_the_band(tmp_path):
    rows = trained(tmp_path / "a.jsonl", 20, gradients=True)
    assert all({"grad_norm_chosen", "grad_norm_rejected", "grad_cosine"} <= set(row) for row in rows)
    found = diagnose.diagnose(tmp_path / "a.jsonl")
    band = next(one for one in found.findings if one.name == "band")
    # A step along s_w - s_l changes the chosen side by s_w·(s_w - s_l) and the rejected one by s_l·(s_w - s_l).
    won = [(1.0, 0.0)] * 7
    lost = [(size * math.cos(at / 3), size * math.sin(at / 3)) for at, size in enumerate(SIZES)]
    step = [(a - c, b - d) for (a, b), (c, d) in zip(won, lost, strict=True)]
    up = [x * a + y * b >= 0 for (a, b), (x, y) in zip(won, step, strict=True)]
    down = [x * a + y * b <= 1e-12 for (a, b), (x, y) in zip(lost, step, strict=True)]
    assert 0 < sum(up) < 7
    assert 0 < sum(down) < 7
    assert band.numbers["chosen falls"].value == pytest.approx(1 - sum(up) / 7)
    assert band.numbers["rejected rises"].value == pytest.approx(1 - sum(down) / 7)
    assert band.numbers["inside the band"].value == pytest.approx(sum(map(min, up, down)) / 7)
    assert not next(one for one in diagnose.diagnose(plain(rows)).findings if one.name == "band").answered


def plain(rows):
    return [{name: value for name, value in row.items() if not name.startswith("grad")} for row in rows]


def test_a_resumed_run_logs_gradients_as_before(tmp_path):
    whole = trained(tmp_path / "whole.jsonl", 40, gradients=True)
    trained(tmp_path / "a.jsonl", 20, gradients=True)
    assert trained(tmp_path / "a.jsonl", 40, start=20, gradients=True) == whole
    with pytest.raises(ValueError, match="`gradients` must be True as in the rows of a"):
        trained(tmp_path / "a.jsonl", 40, start=20)
    spread = SimpleNamespace(train_dataset=ROWS, is_fsdp_enabled=True)
    with pytest.raises(ValueError, match="`gradients` must be False where is_fsdp_enabled"):
        diagnose.PairLogger(spread, tmp_path / "a.jsonl", gradients=True)


@pytest.mark.parametrize(("mode", "lengths"), [("keep_start", [1, 2, 2, 2, 2, 2, 2]), ("keep_end", [1, 2, 3, 4, 4, 4, 4])])
def test_texts_are_cut_as_the_trainer_cuts_them(tmp_path, mode, lengths):
    rows = trained(tmp_path / "a.jsonl", 10, settings=SimpleNamespace(max_length=4, truncation_mode=mode))
    assert [row["chosen_length"] for row in rows[:7]] == lengths
    with pytest.raises(ValueError, match="at least 5 pairs, but has one of 0"):
        trained(tmp_path / "a.jsonl", 10, settings=SimpleNamespace(max_length=2, truncation_mode="keep_start"))


def test_a_reference_computed_before_training_is_taken(tmp_path):
    rows = [row | {"ref_chosen_logps": -20.0 - at, "ref_rejected_logps": -30.0 - at} for at, row in enumerate(ROWS)]
    trainer = SimpleNamespace(train_dataset=iter(rows), args=SimpleNamespace(precompute_ref_log_probs=True))
    logger = diagnose.PairLogger(trainer, tmp_path / "a.jsonl", count=6)
    assert [pair.known for pair in logger.pairs] == [(-20.0 - at, -30.0 - at) for at in range(6)]
    trainer = SimpleNamespace(train_dataset=iter(rows), args=SimpleNamespace(precompute_ref_log_probs=False))
    assert {pair.known for pair in diagnose.PairLogger(trainer, tmp_path / "a.jsonl").pairs} == {None}
