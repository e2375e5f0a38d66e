"""Is every hostile or broken log refused in one line with exit code 2, whatever is wrong with it?"""

import json
import math
import pathlib

import pytest
import trainer_logs as made

from didsim import cli

ROWS = made.styled(made.rows())
LINES = "\n".join(map(json.dumps, ROWS))


def changed(at=4, **entries):
    """The log as lines, with entries of one row changed."""
    return "\n".join(json.dumps(row | entries if place == at else row) for place, row in enumerate(ROWS))


HOSTILE = {
    "nothing": ("a.jsonl", ""),
    "blank lines": ("a.jsonl", "\n \n\t\n"),
    "empty object": ("a.json", "{}"),
    "numbered nothing": ("a.json", '{"0": {}, "1": {}}'),
    "columns without rows": ("a.json", '{"columns": ["step", "loss"], "data": [[1]]}'),
    "empty list": ("a.json", "[]"),
    "empty history": ("a.json", '{"log_history": []}'),
    "empty table": ("a.tsv", "\n"),
    "header alone": ("a.csv", "step,rewards/chosen,rewards/rejected\n"),
    "one row": ("a.jsonl", json.dumps(ROWS[0])),
    "one row in a state": ("a.json", json.dumps({"log_history": ROWS[:1]})),
    "a number": ("a.json", "3.5"),
    "a text": ("a.json", '"rewards"'),
    "null": ("a.json", "null"),
    "list of numbers": ("a.json", "[1, 2, 3]"),
    "list of lists": ("a.jsonl", "[[1, 2], [3, 4]]"),
    "deep lists": ("a.json", "[" * 100_000 + "]" * 100_000),
    "deep objects": ("a.json", '{"a":' * 100_000 + "1" + "}" * 100_000),
    "deep objects in a line": ("a.jsonl", '{"a":' * 50_000 + "1" + "}" * 50_000),
    "deep row": ("a.jsonl", '{"a":' * 40 + "1" + "}" * 40),
    "duplicate names": ("a.jsonl", LINES.replace('"loss":', '"step":')),
    "duplicate names deep in a file": (
        "a.json",
        json.dumps({"log_history": ROWS}).replace('"rewards/margins"', '"rewards/chosen"'),
    ),
    "duplicate columns": ("a.csv", "step,rewards/chosen,rewards/chosen\n0,1,2\n1,2,3\n"),
    "thousands": ("a.csv", "step,rewards/chosen,rewards/rejected\n1,000,0.1,0.2\n2,000,0.3,0.4\n"),
    "quoted thousands": ("a.csv", 'step,rewards/chosen,rewards/rejected\n"1,000",0.1,0.2\n"2,000",0.3,0.4\n'),
    "huge integer": ("a.jsonl", changed(step=1).replace('"step": 1,', f'"step": 1{"0" * 5000},')),
    "huge number": ("a.jsonl", changed(**{"rewards/chosen": 1e300})),
    "huge step": ("a.jsonl", changed(at=len(ROWS) - 1, step=1e200)),
    "integer beyond floats": ("a.jsonl", changed(at=len(ROWS) - 1, step=10**400)),
    "negative step": ("a.jsonl", changed(at=0, step=-7)),
    "truth value": ("a.jsonl", changed(**{"rewards/chosen": True})),
    "underscore": ("a.jsonl", changed(**{"rewards/chosen": "1_0"})),
    "other digits": ("a.jsonl", changed(**{"rewards/chosen": "١٢"})),
    "object for a number": ("a.jsonl", changed(**{"rewards/chosen": [1.0, 2.0], "rewards/rejected": [1.0]})),
    "word for a number": ("a.jsonl", changed(**{"rewards/chosen": "high"})),
    "accuracy in percent": ("a.jsonl", changed(**{"rewards/accuracies": 71.0})),
    "NaN as a step": ("a.jsonl", changed(step=math.nan)),
    "most steps twice": ("a.jsonl", "\n".join(json.dumps(row) for row in ROWS for _ in range(2))),
    "one name in two ways": ("a.jsonl", changed(**{"rewards": {"chosen": 0.01}})),
    "a share for a number": ("a.jsonl", changed(**{"rewards/chosen": "1/10"})),
    "two runs": ("a.jsonl", f"{LINES}\n{LINES}"),
    "UTF-16": ("a.jsonl", LINES.encode("utf-16")),
    "UTF-32": ("a.csv", "step,loss\n1,2\n".encode("utf-32")),
    "latin letters": ("a.csv", "schritt,größe\n1,2\n".encode("latin-1")),
    "mixed encodings": ("a.jsonl", LINES.encode() + b"\n" + '{"step": 900, "x": "ß"}'.encode("cp1252")),
    "zero bytes": ("a.jsonl", b"\x00" * 64),
    "binary": ("a.parquet", b"PAR1\x00\x01\x02PAR1"),
    "Parquet called CSV": ("a.csv", b"PAR1\xff\xfe\x00\x01"),
    "JSON called CSV": ("a.csv", LINES),
    "CSV called JSON": ("a.json", "step,rewards/chosen\n1,2\n"),
    "lines called JSON": ("a.json", LINES),
    "printed rows": ("a.jsonl", "\n".join(map(str, ROWS))),
    "cut off": ("a.jsonl", LINES[:-25]),
    "cut off state": ("a.json", json.dumps({"log_history": ROWS})[:-9]),
    "no ending": ("log", LINES),
    "wrong ending": ("a.txt", LINES),
    "loss alone": ("a.jsonl", '{"step": 1, "loss": 0.6}\n{"step": 2, "loss": 0.5}'),
    "groups of runs": ("a.csv", "Step,Group: a - margin,Group: a - margin__MIN,Group: a - margin__MAX\n1,0,0,0\n2,1,1,1\n"),
    "short line": ("a.tsv", "step\trewards/chosen\trewards/rejected\n1\t0.1\n"),
    "open quote": ("a.csv", 'step,rewards/chosen\n1,"0.1\n'),
    "no step has numbers": ("a.jsonl", '{"rewards/chosen": null, "step": 1}\n{"rewards/chosen": null, "step": 2}'),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_log_is_one_line_and_exit_2(tmp_path, capsys, case):
    name, content = HOSTILE[case]
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert cli.main(["diagnose", str(tmp_path / name)]) == 2
    seen = capsys.readouterr()
    assert seen.out == ""
    assert seen.err.count("\n") == 1
    assert seen.err.startswith("error: ")
    assert len(seen.err) < 400


@pytest.mark.parametrize("name", ["no.jsonl", "a" * 300 + ".jsonl", "."])
def test_a_path_that_cannot_be_read_is_one_line(tmp_path, capsys, name):
    assert cli.main(["diagnose", str(tmp_path / name)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.skipif(not pathlib.Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_a_full_device_is_one_line(tmp_path, capsys, monkeypatch):
    (tmp_path / "a.jsonl").write_text(LINES)
    with open("/dev/full", "w", encoding="utf-8") as full:
        monkeypatch.setattr("sys.stdout", full)
        assert cli.main(["diagnose", str(tmp_path / "a.jsonl")]) == 2
    assert "No space left" in capsys.readouterr().err
