"""Does the same run give the same log in whatever file, order and names it comes?"""

import csv
import json

import numpy as np
import preference_logs as logs
import preference_runs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from didsim import diagnose
from didsim.diagnose.reading import read_rows


def test_beta_from_rewards_or_a_column(tmp_path, sample, few):
    assert diagnose.read_log(logs.written(tmp_path, logs.rewarded(few, 0.3))).beta == pytest.approx(0.3)
    assert diagnose.read_log(logs.written(tmp_path, logs.changed(few, lambda row: {"beta": 0.2}))).beta == 0.2
    without = diagnose.diagnose(logs.written(tmp_path, sample))
    assert without.log.beta is None
    assert without.state == "displaced"  # which needs no β
    assert {one.name for one in without.signatures if one.found is None} >= {"stuck", "saturated", "β too small"}


def as_csv(rows, file):
    with file.open("w", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def as_parquet(rows, file):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(rows), file)


KINDS = {
    "run.csv": as_csv,
    "run.parquet": as_parquet,
    "run.json": lambda rows, file: file.write_text(json.dumps(rows)),
    "columns.json": lambda rows, file: file.write_text(json.dumps({name: [row[name] for row in rows] for name in rows[0]})),
    "batches.jsonl": lambda rows, file: preference_runs.write(logs.batched(rows), file),
    "bom.jsonl": lambda rows, file: file.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(map(json.dumps, rows)).encode()),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_file_gives_the_same_log(tmp_path, few, name):
    KINDS[name](few, tmp_path / name)
    one, other = (
        diagnose.read_log(logs.written(tmp_path, few, "rows.jsonl"), beta=1.0),
        diagnose.read_log(tmp_path / name, beta=1.0),
    )
    for field in ("step", "example", "chosen", "rejected", "ref_chosen", "ref_rejected"):
        np.testing.assert_array_equal(getattr(one, field), getattr(other, field))
    np.testing.assert_array_equal(one.tracks, other.tracks)


@settings(max_examples=25, deadline=None)
@given(
    order=st.permutations(range(8)),
    more=st.dictionaries(st.text(min_size=1).map("x".__add__), st.text() | st.none() | st.floats(), max_size=3),
    whole=st.booleans(),
)
def test_column_order_and_further_columns_do_not_matter(tmp_path_factory, order, more, whole):
    sample = [row for row in map(json.loads, preference_runs.SAMPLE.read_text().splitlines()) if row["example_id"] < 8]
    rows = []
    for row in sample:
        entries = list(row.items())
        row = dict(entries[place] for place in order) | more
        rows.append({name: float(value) if isinstance(value, int) else value for name, value in row.items()} if whole else row)
    log = diagnose.read_log(logs.written(tmp_path_factory.mktemp("order"), rows), beta=1.0)
    np.testing.assert_array_equal(log.chosen, [row["chosen_logps"] for row in sample])
    np.testing.assert_array_equal(log.step, [row["step"] for row in sample])


def test_own_names_are_mapped(tmp_path, few):
    own = [
        {
            "t": row["step"],
            "a": row["chosen_logps"],
            "b": row["rejected_logps"],
            "c": row["ref_chosen_logps"],
            "d": row["ref_rejected_logps"],
        }
        for row in few
    ]
    file = logs.written(tmp_path, own)
    with pytest.raises(diagnose.LogError, match=r"--step NAME, --chosen NAME.*maps others"):
        diagnose.read_log(file)
    names = {"step": "t", "chosen": "a", "rejected": "b", "ref_chosen": "c", "ref_rejected": "d"}
    log = diagnose.read_log(file, beta=1.0, names=names)
    assert log.tracks.shape == (7, 20)  # by place, since the reference is the same
    with pytest.raises(ValueError, match=r"`--chosen` must be one of a, b, c, d, t, but is 'aa'. Did you mean 'a'"):
        diagnose.read_log(file, names={**names, "chosen": "aa"})


def test_rows_remember_their_place(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text('{"a": 1}\n\n{"loss": [1, 2]}\n')
    rows = read_rows(file)
    assert rows.places == [1, 3, 3]
    assert rows.columns == {"a": [1, None, None], "loss": [None, 1, 2]}
    assert len(rows) == 3


def test_an_index_that_numbers_rows_names_no_pair(few):
    bare = [{name: value for name, value in row.items() if name != "example_id"} for row in few]
    for rows in (bare, few):
        counted = diagnose.read([{"index": at, **row} for at, row in enumerate(rows)], beta=1.0)
        np.testing.assert_array_equal(counted.tracks, diagnose.read(rows, beta=1.0).tracks)


def test_batches_of_other_pairs_are_taken_together(tmp_path, sample):
    """A training log: every pair once, a few a step.  One pair a batch is enough."""
    steps = sorted({row["step"] for row in sample})
    moved = logs.pulled(sample, lambda row: -0.05 * row["step"], lambda row: -0.1 * row["step"])
    for batch in (1, 5, 2):
        rows = [
            {**{k: v for k, v in row.items() if k != "example_id"}, "step": row["step"] * 100 + row["example_id"] // batch}
            for step in steps
            for row in moved
            if row["step"] == step
        ]
        log = diagnose.read_log(logs.written(tmp_path, rows), beta=1.0)
        assert log.tracks is None
        assert len(log.steps) == 12 + (batch == 5)
        assert log.pooled == 7 * 100 // batch
        assert np.all(np.diff(log.step) >= 0)
        assert log.step[-1] == rows[-1]["step"]
        assert np.unique(log.step, return_counts=True)[1].max() <= 700 / 12 + 2 * batch
    found = diagnose.diagnose(logs.written(tmp_path, rows), beta=1.0)
    assert found.state == "displaced"
    tail = [row["chosen_logps"] - row["ref_chosen_logps"] for row in rows[-int(log.last.sum()) :]]
    assert logs.numbers(found, "displacement")["chosen change (nats)"].value == pytest.approx(np.mean(tail))
    assert 50 <= len(tail) <= 70
    assert not logs.answer(found, "collinear").answered
    assert logs.answer(found, "size").answered
    assert "adjacent ones taken together" in found.summary
