"""Is NaN told from NaN?  A frame holds it for what is missing, a run that has diverged for what it has lost."""

import json
import math

import pytest
import trainer_logs as made

from didsim import diagnose

NAN = math.nan
CLOSING = {"step": 187, "train_runtime": 9.5, "train_loss": 0.4}


def history(*, lost=0, loss=True, closing=CLOSING):
    """A trainer's rows: training, evaluations at steps of their own, a closing row; the last training rows may have lost all."""
    bare = [{k: v for k, v in row.items() if loss or k in ("step", "reward_chosen", "reward_rejected")} for row in made.rows()]
    rows = made.styled([row | ({"rate": 1e-6, "grad_norm": 2.0} if loss else {}) for row in bare])
    rows[len(rows) - lost :] = [
        row | dict.fromkeys(set(row) - {"step", "rate", "accuracy"}, NAN) for row in rows[len(rows) - lost :]
    ]
    held = [{"step": row["step"] + 2, "eval_loss": row["loss"], "eval_runtime": 3.0} for row in made.rows()[4::6]]
    return [*sorted([*rows, *held], key=lambda row: row["step"]), closing]


def as_frame(rows, tmp_path):
    return pytest.importorskip("pandas").DataFrame(rows)


def as_nullable(rows, tmp_path):
    return as_frame(rows, tmp_path).convert_dtypes()


def as_csv(rows, tmp_path, gap="NaN"):
    as_frame(rows, tmp_path).to_csv(tmp_path / "a.csv", na_rep=gap, index=False)
    return tmp_path / "a.csv"


def as_marked_csv(rows, tmp_path):
    return as_csv(rows, tmp_path, "<NA>")


def as_lines(rows, tmp_path):
    names = dict.fromkeys(name for row in rows for name in row)
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps({name: row.get(name, NAN) for name in names}) for row in rows))
    return tmp_path / "a.jsonl"


KINDS = [as_frame, as_nullable, as_csv, as_marked_csv, as_lines]


@pytest.mark.parametrize("closing", [CLOSING, {"step": 190, "train_runtime": 9.5, "train_loss": 0.4}])
@pytest.mark.parametrize("written", KINDS)
def test_a_frame_of_a_sound_run_is_the_run(tmp_path, written, closing):
    found = diagnose.diagnose(written(history(closing=closing), tmp_path))
    assert found.state == "healthy"
    assert found.dictionary["findings"] == diagnose.diagnose(history(closing=closing)).dictionary["findings"]


@pytest.mark.parametrize("loss", [True, False])
@pytest.mark.parametrize("lost", [1, 5])
@pytest.mark.parametrize("written", [as_frame, as_csv, as_lines])
def test_a_frame_of_a_diverged_run_is_that(tmp_path, written, lost, loss):
    found = diagnose.diagnose(written(history(lost=lost, loss=loss), tmp_path))
    steps = [row["step"] for row in made.rows()]
    assert found.state == "diverged"
    assert (found.log.diverged.after, found.log.diverged.at) == (steps[-lost - 1], steps[-lost])


@pytest.mark.parametrize("end", [0, 3])
def test_steps_at_which_nothing_was_logged(end):
    """Where a file has such rows between finite ones, those at its end are gaps as well; else numbers ended there."""
    rows = made.styled(made.rows())
    gap = dict.fromkeys(set(rows[0]) - {"step"}, NAN)
    after = [gap | {"step": rows[-1]["step"] + at} for at in range(1, 1 + end)]
    found = diagnose.diagnose([*rows[:5], gap | {"step": rows[5]["step"] - 1}, *rows[5:], *after])
    assert found.state == "healthy"
    assert f"{1 + end} row{'s' * bool(end)} without any number" in " ".join(found.log.notes)
    assert diagnose.diagnose([*rows, *after]).state == ("diverged" if end else "healthy")


@pytest.mark.parametrize(("rate", "state"), [(1e-6, "diverged"), (NAN, "healthy")])
def test_an_empty_row_at_the_end_is_of_training_by_its_learning_rate(rate, state):
    rows = [row | {"learning_rate": 1e-6} for row in made.styled(made.rows())]
    last = dict.fromkeys(rows[0], NAN) | {"step": rows[-1]["step"] + 1, "learning_rate": rate}
    assert diagnose.diagnose([*rows, last]).state == state


def test_losses_in_rows_of_their_own_in_a_frame(tmp_path):
    rows = made.rows()
    means = [{k: v for k, v in row.items() if k != "loss"} for row in rows]
    losses = [{"step": row["step"] + 1, "loss": row["loss"], "grad_norm": 2.0} for row in rows]

    def read():
        both = [row for pair in zip(means, losses, strict=True) for row in pair]
        return diagnose.diagnose(as_frame(made.styled(both), tmp_path)).log

    assert (read().diverged, list(read().means["loss"])) == (None, [row["loss"] for row in rows])
    means[-1] |= dict.fromkeys(("reward_chosen", "reward_rejected", "margin"), NAN)
    losses[-1] |= {"grad_norm": NAN}
    assert read().diverged.at == rows[-1]["step"]


@pytest.mark.parametrize("name", ["loss", "grad_norm"])
@pytest.mark.parametrize(("holes", "state"), [((3, 8, -1), "healthy"), ((-1,), "diverged"), ((3, -3, -2, -1), "diverged")])
def test_a_loss_or_gradient_that_comes_back_has_ended_nothing(name, holes, state):
    rows = [row | ({name: 2.0} if name == "grad_norm" else {}) for row in made.styled(made.rows())]
    for at in holes:
        rows[at][name] = NAN
    assert diagnose.diagnose(rows).state == state


def test_a_gradient_that_is_never_a_number_says_nothing():
    assert diagnose.diagnose([row | {"grad_norm": NAN} for row in made.styled(made.rows())]).state == "healthy"


def test_a_run_ends_where_its_gradients_do():
    rows = [row | {"grad_norm": 2.0} for row in made.styled(made.rows())]
    for row in rows[-6:]:
        row["grad_norm"] = NAN
    for row in rows[-4:]:
        row |= dict.fromkeys(("rewards/chosen", "rewards/rejected", "rewards/margins"), NAN)
    rows[5]["grad_norm"] = NAN
    assert diagnose.read(rows).diverged.at == rows[-6]["step"]


def test_rows_that_lost_their_rewards_without_a_nan_are_counted():
    rows = made.styled(made.rows())
    names = ("rewards/chosen", "rewards/rejected", "rewards/margins")
    cut = [*rows[:-3], *({k: v for k, v in row.items() if k not in names} for row in rows[-3:])]
    assert "3 rows without rewards or margins: left out, 3 of them at the end" in " ".join(diagnose.read(cut).notes)
    assert diagnose.read(rows).notes == ()


def test_pairs_without_a_reference_either_are_not_diverged(few):
    last = max(row["step"] for row in few)
    sides = ("chosen_logps", "rejected_logps")

    def ended(*names):
        return [row | dict.fromkeys(names, NAN) if row["step"] == last else row for row in few]

    assert diagnose.diagnose(ended(*sides), beta=1.0).state == "diverged"
    with pytest.raises(diagnose.LogError, match="must be a finite number, but is nan"):
        diagnose.read(ended(*sides, *(f"ref_{side}" for side in sides)))


def test_an_index_with_a_name_is_a_column(tmp_path):
    frame = as_frame(made.styled(made.rows()), tmp_path)
    assert list(diagnose.read(frame.set_index("step")).step) == list(frame["step"])
    with pytest.raises(diagnose.LogError, match="column names must differ, but 'loss' is there twice"):
        diagnose.read(frame.rename(columns={"rewards/margins": "loss"}))
