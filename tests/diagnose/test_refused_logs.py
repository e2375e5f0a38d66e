"""How is a log that is not allowed refused?  In one line that names the place, with exit code 2."""

import math
import sys

import preference_logs as logs
import preference_runs
import pytest

from didsim import cli

MALFORMED = {
    "not a number": (
        "a.jsonl",
        lambda s: logs.lines(logs.broken(s, 7, chosen_logps=math.nan)),
        "a.jsonl, line 7: column 'chosen_logps' must be a finite number, but is nan.",
    ),
    "positive": (
        "a.jsonl",
        lambda s: logs.lines(logs.broken(s, 9, ref_rejected_logps=0.25)),
        "a.jsonl, line 9: column 'ref_rejected_logps' must be a log-probability, at most 0, but is 0.25.",
    ),
    "missing value": (
        "a.jsonl",
        lambda s: logs.lines([*s[:4], {k: v for k, v in s[4].items() if k != "rejected_logps"}, *s[5:]]),
        "line 5: column 'rejected_logps' must be a finite number, but is missing.",
    ),
    "missing column": (
        "a.jsonl",
        lambda s: logs.lines([{k: v for k, v in row.items() if k != "ref_chosen_logps"} for row in s]),
        "must have a column for ref_chosen, but has only",
    ),
    "mixed types": (
        "a.jsonl",
        lambda s: logs.lines(logs.broken(s, 12, chosen_logps="-3_5")),
        "line 12: column 'chosen_logps' must be a finite number, but is '-3_5'.",
    ),
    "truth value": (
        "a.jsonl",
        lambda s: logs.lines(logs.broken(s, 3, step=False)),
        "line 3: column 'step' must be a finite number, but is False.",
    ),
    "text in CSV": (
        "a.csv",
        lambda s: "step,chosen_logps,rejected_logps,ref_chosen_logps,ref_rejected_logps\n0,-1,-2,-1,-2\n0,-1,n/a,-1,-2\n",
        "a.csv, line 3: column 'rejected_logps' must be a finite number, but is missing.",
    ),
    "unequal fields": ("a.csv", lambda s: "step,loss\n0,1\n1\n", "a.csv, line 3: a line must have 2 fields"),
    "unequal lists": (
        "a.jsonl",
        lambda s: '{"step": 0, "chosen_logps": [-1, -2], "rejected_logps": [-1]}',
        "line 1: lists of a row must be equally long, but 'chosen_logps' has 2 entries and 'rejected_logps' 1.",
    ),
    "unsorted": (
        "a.jsonl",
        lambda s: logs.lines([*s[20:40], *s[:20]]),
        "line 21: column 'step' must not decrease from row to row, but 0 follows 6",
    ),
    "twice": (
        "a.jsonl",
        lambda s: logs.lines([*s[:10], s[3], *s[10:]]),
        "line 11: a pair must come once a step, but 3 comes again at step 0.",
    ),
    "two runs of means": (
        "a.jsonl",
        lambda s: logs.lines([*(m := logs.means_of(s)), *m]),
        "line 8: column 'step' must not decrease from row to row, but 0 follows 36; is this one run",
    ),
    "cut off": ("a.jsonl", lambda s: logs.lines(s)[:-30], "line 140: a line must be one JSON object, but is not"),
    "no object": ("a.jsonl", lambda s: "[1, 2]", "line 1: a row must be a JSON object, but is list."),
    "not JSON": ("a.json", lambda s: '[\n{"step": 1},\n{"step" 2}]', "a.json, line 3: the file must be JSON, but is not"),
    "scalar JSON": ("a.json", lambda s: "3", "a.json: the file must hold an array of rows, but holds int."),
    "empty": ("a.jsonl", lambda s: "\n\n", "must hold at least one row, but a.jsonl is empty."),
    "empty JSON": ("a.json", lambda s: "", "must hold at least one row, but a.json is empty."),
    "empty CSV": ("a.csv", lambda s: "", "must hold at least one row, but a.csv is empty."),
    "ending": ("a.log", logs.lines, "must end in .jsonl, .ndjson, .json, .csv, .tsv, .parquet, but is a.log."),
    "not UTF-8": ("a.csv", lambda s: b"step,loss\n0,1\n1,\xff\n", "a.csv, line 3: a log must be UTF-8 text, but byte 17 is not."),
    "one step": ("a.jsonl", lambda s: logs.lines(s[:20]), "a.jsonl: a log must have at least two steps, but has only step 0."),
    "one pair": (
        "a.jsonl",
        lambda s: logs.lines(s[::20]),
        "line 1: every step must have at least 5 pairs, one a row, but step 0 has 1.",
    ),
    "beta in the log": (
        "a.jsonl",
        lambda s: logs.lines(logs.changed(s, lambda row: {"beta": -0.1})),
        "line 1: column 'beta' must be positive, but is -0.1.",
    ),
    "beta as a share": (
        "a.jsonl",
        lambda s: logs.lines(logs.changed(s, lambda row: {"beta": "1/10"})),
        "line 1: column 'beta' must be a finite number, but is '1/10'.",
    ),
    "huge": (
        "a.jsonl",
        lambda s: logs.lines(logs.broken(s, 4, chosen_logps=-1e16)),
        "line 4: column 'chosen_logps' must be less than 1e+15 in size, but is -1e+16.",
    ),
    "huge mean": (
        "a.jsonl",
        lambda s: logs.lines(logs.changed(logs.means_of(s), lambda row: {"rewards/chosen": 1e16})),
        "line 1: column 'rewards/chosen' must be less than 1e+15 in size, but is 1e+16.",
    ),
    "a little above": (
        "a.jsonl",
        lambda s: logs.lines(logs.changed(logs.means_of(s), lambda row: {"rewards/accuracies": 1.0000001})),
        "line 1: column 'rewards/accuracies' must be in [0, 1], but is 1.0000001.",
    ),
    "one name in two ways": (
        "a.jsonl",
        lambda s: logs.lines(logs.changed(s, lambda row: {"rewards/chosen": -5, "rewards": {"chosen": 0.01}})),
        "line 1: names in an object must differ, but 'rewards/chosen' is there twice.",
    ),
    "two betas": (
        "a.jsonl",
        lambda s: logs.lines([{**row, "beta": 0.1 if at < 9 else 0.2} for at, row in enumerate(s)]),
        "line 10: column 'beta' must be the same in every row, 0.1, but is 0.2.",
    ),
    "length": (
        "a.jsonl",
        lambda s: logs.lines(logs.broken(s, 2, chosen_length=0)),
        "line 2: column 'chosen_length' must be at least 1, but is 0.",
    ),
    "no column twice": (
        "a.csv",
        lambda s: "step,loss,loss\n0,1,1\n",
        "line 1: column names must differ, but 'loss' is there twice.",
    ),
    "quote": ("a.csv", lambda s: 'step,loss\n0,1\n1,"2\n', "the file must be CSV, but is not"),
    "no Parquet": ("a.parquet", lambda s: "PAR1", "a.parquet: the file must be Parquet, but is not"),
    "accuracy": (
        "a.jsonl",
        lambda s: logs.lines(logs.changed(logs.means_of(s), lambda row: {"rewards/accuracies": 71})),
        "line 1: column 'rewards/accuracies' must be in [0, 1], but is 71.",
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_log_is_one_line_and_exit_2(tmp_path, capsys, few, case):
    name, text, message = MALFORMED[case]
    content = text(few)
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert cli.main(["diagnose", str(tmp_path / name)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--beta", "0"), "Argument `--beta` must be positive and finite, but is 0."),
        (("--beta", "-0.1"), "Argument `--beta` must be positive and finite, but is -0.1."),
        (("--level", "1"), "Argument `--level` must be in [1e-09, 1 - 1e-09], but is 1."),
        (("--level", "0.9999999999"), "must be in [1e-09, 1 - 1e-09], but is 0.9999999999."),
        (("--drawn", "chose"), "Did you mean 'chosen'?"),
        (("--chosen", "chosen_logp"), "Did you mean 'chosen_logps'?"),
        (("--html", "no/such/folder.html"), "Argument `--html` must lie in a folder that exists"),
        (("--json", str(preference_runs.SAMPLE), "--overwrite"), "must be a file other than that of `LOGS`"),
    ],
)
def test_bad_words_are_one_line_and_exit_2(capsys, words, message):
    assert cli.main(["diagnose", str(preference_runs.SAMPLE), *words]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error


def test_a_missing_file_and_missing_pyarrow(tmp_path, capsys, monkeypatch):
    assert cli.main(["diagnose", str(tmp_path / "none.csv")]) == 2
    assert "must be a readable file" in capsys.readouterr().err
    (tmp_path / "a.parquet").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert cli.main(["diagnose", str(tmp_path / "a.parquet")]) == 2
    assert "pip install pyarrow" in capsys.readouterr().err
