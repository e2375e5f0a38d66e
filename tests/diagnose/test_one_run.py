"""Are the rows judged those of one run, all of them and in its order?  Else it is said which are not, or the log is refused."""

import json

import numpy as np
import pytest
import trainer_logs as made

from didsim import diagnose

FALLING = {"chosen": made.learned(-6.0), "rejected": made.learned(-25.0)}


@pytest.fixture
def rows():
    return made.styled(made.rows(**FALLING))


@pytest.fixture
def other():
    return made.styled(made.rows(seed=1))


def notes(rows):
    return " ".join(diagnose.read(rows).notes)


# Order


@pytest.mark.parametrize("seed", [None, 0, 1, 2])
def test_rows_in_no_order_are_sorted(rows, seed):
    order = range(len(rows))[::-1] if seed is None else np.random.default_rng(seed).permutation(len(rows))
    found = diagnose.diagnose([rows[at] for at in order])
    straight = diagnose.diagnose(rows)
    assert found.dictionary["findings"] == straight.dictionary["findings"]
    assert [one.found for one in found.signatures] == [one.found for one in straight.signatures]
    assert (found.log.notes, straight.log.notes) == (("Rows are not in the order of their steps: sorted.",), ())


def test_a_last_value_is_that_of_the_last_step(rows):
    held = made.styled(made.rows(steps=(90,)), prefix="eval_")
    held += [{"step": 60, "eval_loss": 9.0}]
    assert diagnose.read([*rows[::-1], *held]).held["loss"] == held[0]["eval_loss"]


def test_steps_come_twice_only_where_they_do(rows):
    resumed = [*rows[:12], *[{**row, "rewards/margins": 7.0} for row in rows[8:]]]
    log = diagnose.read(resumed)
    assert (len(log.step), list(log.gap[8:])) == (len(rows), [7.0] * (len(rows) - 8))
    assert log.notes == (f"Step {rows[8]['step']} and 3 more comes twice, as after a resume; the later row counts.",)
    tail = [{**row, "step": row["step"] + 4 * (at > 0)} for at, row in enumerate(rows[8:])]  # logged at other steps than before
    log = diagnose.read([*rows[:12], *tail])
    assert len(log.step) == len(rows)
    assert "3 steps between 88 and 106 came before a resume and not again: left out." in log.notes


def test_one_step_again_among_rows_in_no_order_drops_no_other(rows):
    order = np.random.default_rng(4).permutation(len(rows))
    log = diagnose.read([*(rows[at] for at in order), rows[5]])
    np.testing.assert_array_equal(log.step, [row["step"] for row in rows])


def test_most_steps_twice_are_no_resume(rows, other):
    with pytest.raises(diagnose.LogError, match="comes twice, as do most steps; is this one run"):
        diagnose.read([row for both in zip(rows, other, strict=True) for row in both])
    assert "comes twice" in notes([*rows[:4], other[3], *rows[4:]])


# Runs told by a column


RUNS = {"run": ("a", "b"), "run_id": (1, 2), "seed": (0, 1), "split": ("train", "held"), "model": ("small", "large")}


@pytest.mark.parametrize("name", RUNS)
def test_a_column_that_tells_runs_apart(rows, other, name):
    a, b = ([{**row, name: label} for row in part] for part, label in zip((rows, other), RUNS[name], strict=True))
    with pytest.raises(diagnose.LogError, match=f"column '{name}' has .* at the same steps"):
        diagnose.read([row for both in zip(a, b, strict=True) for row in both])
    assert notes(a) == ""


def test_columns_that_change_within_a_run(rows):
    def marked(mark):
        return [{**row, **mark(at)} for at, row in enumerate(rows)]

    parts = [*marked(lambda at: {"host": "one", "run": "x"})[:12], *marked(lambda at: {"host": "two", "run": "x"})[8:]]
    assert "4 more" not in notes(parts)
    assert "3 more comes twice" in notes(parts)  # a resume on another machine
    assert notes(marked(lambda at: {"status": ("ok", "spike")[at % 3 == 0], "note": f"text {at}"})) == ""
    assert notes(marked(lambda at: {"run": "first" if at < 9 else "second"})) == ""  # goes on under another name


def test_pairs_of_two_runs_by_a_column(few):
    both = [{**row, "example_id": None, "run": run} for row in few for run in ("a", "b")]
    with pytest.raises(diagnose.LogError, match="column 'run' has 'a' and 'b'"):
        diagnose.read(both)
    assert diagnose.read([{**row, "run": "a"} for row in few]).tracks is not None


# Runs told by the names of columns, and by places in a file


def test_columns_of_two_runs():
    rows = made.rows()
    names = {"reward_chosen": "train/rewards/chosen", "reward_rejected": "train/rewards/rejected"}

    def table(*runs):
        return [{"Step": row["step"], **{f"{run}{names[k]}": row[k] for run in runs for k in names}} for row in rows]

    with pytest.raises(diagnose.LogError, match="'a - train/rewards/chosen' and 'b - train/rewards/chosen' are of two"):
        diagnose.read(table("a - ", "b - "))
    halves = [{k: v for k, v in row.items() if k not in ("a - train/rewards/chosen", "b - train/rewards/rejected")}
              for row in table("a - ", "b - ")]  # fmt: skip
    with pytest.raises(diagnose.LogError, match="are of two"):
        diagnose.read(halves)
    sides = [{"step": row["step"], "a/logps/chosen": -1.0, "b/logps/rejected": -2.0, "loss": 1.0} for row in rows]
    with pytest.raises(diagnose.LogError, match="'a/logps/chosen' and 'b/logps/rejected' are of two"):
        diagnose.read(sides)
    assert diagnose.diagnose(table("a - ")).state == "healthy"
    log = diagnose.read(
        [{**one, **{k: 9.0 for k in two if k != "Step"}} | one for one, two in zip(table(""), table("ema/"), strict=True)]
    )
    np.testing.assert_allclose(log.gap, [row["reward_chosen"] - row["reward_rejected"] for row in rows])


def one(rows):
    return {"name": "x", "log_history": rows}


FILES = {
    "in a list": lambda rows: [one(rows)],
    "in a list of runs": lambda rows: {"runs": [one(rows)], "step": 3},
    "deep": lambda rows: {"a": [{"b": [{"c": [], "d": rows}]}]},
    "with its own series": lambda rows: (
        one(rows)
        | {"series": {"rewards/chosen": [{k: row[k] for k in ("step", "rewards/chosen")} for row in rows]}, "again": rows[:]}
    ),
    "with its best row": lambda rows: one(rows) | {"best": [rows[3] | {"rewards/chosen": 4.0}]},
}


@pytest.mark.parametrize("case", FILES)
def test_a_history_is_found_wherever_it_is(tmp_path, rows, case):
    (tmp_path / "a.json").write_text(json.dumps(FILES[case](rows)))
    np.testing.assert_array_equal(diagnose.read(tmp_path / "a.json").step, [row["step"] for row in rows])


@pytest.mark.parametrize(
    ("made_of", "paths"),
    [
        (lambda a, b: {"runs": {"a": one(a), "b": one(b)}}, "runs/a/log_history and runs/b/log_history"),
        (lambda a, b: [one(a), one(b[:9])], "0/log_history and 1/log_history"),
        (lambda a, b: {"a": {k: [row[k] for row in a] for k in a[0]}, "b": b}, "a and b"),
    ],
)
def test_several_histories_are_refused_by_their_paths(tmp_path, rows, other, made_of, paths):
    (tmp_path / "a.json").write_text(json.dumps(made_of(rows, other)))
    with pytest.raises(diagnose.LogError, match=f"of one run, but {paths} hold one each"):
        diagnose.read(tmp_path / "a.json")
