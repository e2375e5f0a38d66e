"""The command line as a person meets it: exit codes, one-line errors, files, and no wait for help."""

import json
import os
import subprocess
import sys

import jax
import pytest

from didsim import ArgumentError, cli
from didsim.figures import make
from didsim.figures.catalogue import FIGURES
from didsim.figures.verdicts import below
from didsim.objectives import OBJECTIVES, Limit

TRAIN = '[world]\nname = "random_target"\nn = 4\n[objective]\nname = "dpo"\nbeta = 0.5\n'


def _didsim(*words, **kwargs):
    return subprocess.run([sys.executable, "-m", "didsim", *words], capture_output=True, text=True, timeout=120, **kwargs)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("reproduce", "A9"), "Argument `ID` must be one of"),
        (("reproduce", "A1", "--set", "betta=1"), "Did you mean 'beta'"),
        (("reproduce", "A1", "--set", "beta"), "must be name=value, but is 'beta'"),
        (("reproduce", "A1", "--set", "beta=-1"), "Argument `beta` must be valid (input should be greater than 0), but is -1"),
        (("reproduce", "A1", "--set", "n=three"), "Argument `n` must be valid"),
        (("reproduce", "A1", "--set", "B1.n=30"), "`--set` must be one of A1"),
        (("reproduce", "A1", "--seed", "-1"), "Argument `seed` must be an integer of at least 0"),
        (("reproduce", "A1", "--seed", "4294967296"), "below 4294967296"),
        (("verify", "D99"), "names (D, D1, D1.event, D1.posterior, …), but is 'D99'. Did you mean"),
        (("train", "none.toml"), "must be a readable file, but none.toml is not"),
    ],
)
def test_bad_words_are_one_line_and_exit_2(capsys, words, message):
    assert cli.main(list(words)) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error


def test_unknown_commands_and_flags_exit_2(capsys):
    for words in (["reprodce"], ["reproduce", "--fats"], []):
        with pytest.raises(SystemExit) as stop:
            cli.main(words)
        assert stop.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_mistyped_command_gets_the_nearest_and_none_gets_the_help(capsys):
    with pytest.raises(SystemExit):
        cli.main(["reprodce"])
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "Did you mean 'reproduce'?" in error
    with pytest.raises(SystemExit):
        cli.main([])
    assert "Try `didsim list`" in capsys.readouterr().out


@pytest.mark.parametrize("name", [kind.__name__.lower() for kind in cli.COMMANDS])
def test_every_help_page_opens_with_one_line_and_shows_no_empty_default(capsys, name):
    with pytest.raises(SystemExit) as stop:
        cli.main([name, "--help"])
    assert stop.value.code == 0
    page = capsys.readouterr().out
    summary = next(kind.__doc__ for kind in cli.COMMANDS if kind.__name__.lower() == name)
    assert len(summary.splitlines()) == 1 and len(summary) <= 82  # noqa: PT018
    assert "None" not in page
    assert "default: True" not in page
    assert "default: False" not in page


def test_unwritable_out_is_refused(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert cli.main(["reproduce", "B1", "--out", str(tmp_path / "file")]) == 2
    assert "must be a folder that can be written" in capsys.readouterr().err


def test_list_info_and_version(capsys):
    assert cli.main(["list"]) == cli.main(["info"]) == cli.main(["--version"]) == 0
    printed = capsys.readouterr().out
    assert all(id in printed for id in FIGURES)
    assert "float64" in printed
    assert "didsim 0." in printed


def test_objectives_are_listed_and_written(tmp_path, capsys):
    file = tmp_path / "rows.json"
    assert cli.main(["objectives", "--json", str(file)]) == 0
    printed = capsys.readouterr().out
    rows = {row["name"]: row for row in json.loads(file.read_text())}
    assert list(rows) == list(OBJECTIVES)
    assert len(rows) >= 28
    assert all(name[:6] in printed for name in rows)
    assert rows["dpo"]["minimiser"] == "reaches π*"
    assert rows["kto"]["minimiser"] == "no finite minimiser"
    assert rows["simpo"]["reference_free"] is True
    assert {row["minimiser"] for row in rows.values()} == {limit.value for limit in Limit}
    assert cli.main(["objectives", "--json", str(file)]) == 2
    assert "Argument `--json` must not exist already" in capsys.readouterr().err


def test_train_prints_metrics_and_writes_them(tmp_path, capsys):
    config = tmp_path / "run.toml"
    config.write_text(TRAIN)
    assert cli.main(["train", str(config), "--out", str(tmp_path / "run.nc")]) == 0
    printed = capsys.readouterr().out
    assert "jsd_target" in printed
    assert "out of steps after 2000 steps" in printed
    assert cli.main(["train", str(config), "--out", str(tmp_path / "run.nc")]) == 2
    assert "use --overwrite" in capsys.readouterr().err
    assert cli.main(["train", str(config), "--out", str(tmp_path / "no" / "run.nc")]) == 2


def test_reproduce_writes_everything_and_keeps_other_rows(tmp_path, capsys):
    words = ["reproduce", "A4", "--fast", "--set", "seeds=2", "--set", "n=6", "--out", str(tmp_path)]
    assert cli.main(words) == 0
    assert "verdicts ok" in capsys.readouterr().out
    stem = tmp_path / FIGURES["A4"].stem
    assert all(os.path.getsize(f"{stem}{end}") > 0 for end in make.ENDINGS)
    manifest = json.loads((tmp_path / "A4-best-rejected.manifest.json").read_text())
    assert manifest["dtype"] == "float64"
    assert "seeds = 2" in manifest["config"]
    (row,) = json.loads((tmp_path / "summary.json").read_text())
    assert row["id"] == "A4"
    assert all({"name", "value", "bound", "ok"} <= set(verdict) for verdict in row["verdicts"])
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]
    assert cli.main([*words, "--set", "seeds=3"]) == 2
    assert "must not hold another A4-best-rejected.svg already" in capsys.readouterr().err
    again = make.plan(["A4"], fast=True, settings=["seeds=2", "n=6"], seed=None)
    make.check_folder(tmp_path, again, overwrite=False)  # the same figure: nothing is lost
    with jax.enable_x64(False), pytest.raises(ArgumentError, match="must not hold another"):
        make.check_folder(tmp_path, again, overwrite=False)
    (tmp_path / "A4-best-rejected.manifest.json").write_text("{}")
    with pytest.raises(ArgumentError, match="use --overwrite or another folder"):
        make.check_folder(tmp_path, again, overwrite=False)


def test_a_failed_verdict_exits_1(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(make, "make", lambda job, out: make.Outcome(job.entry, [below("x", 2.0, 1.0)], 0.1))
    assert cli.main(["reproduce", "B1", "--out", str(tmp_path)]) == 1
    assert "FAILED" in capsys.readouterr().out


def test_interruption_leaves_finished_figures_whole(tmp_path, monkeypatch, capsys):
    def interrupted(job, out):
        if job.entry.id == "A3":
            raise KeyboardInterrupt
        return make.Outcome(job.entry, [below("x", 0.0, 1.0)], 0.1)

    monkeypatch.setattr(make, "make", interrupted)
    assert cli.main(["reproduce", "A1", "A3", "--out", str(tmp_path), "--jobs", "1"]) == 130
    assert [row["id"] for row in json.loads((tmp_path / "summary.json").read_text())] == ["A1"]
    assert "finished figures are whole" in capsys.readouterr().err


def test_python_dash_m():
    answer = _didsim("list")
    assert answer.returncode == 0
    assert "A1" in answer.stdout


@pytest.mark.slow
def test_figures_side_by_side_are_the_figures_one_by_one(tmp_path):
    words = ["A3", "B1", "--fast", "--set", "n=8", "--overwrite"]
    for folder, jobs in (("one", "1"), ("two", "2")):
        assert cli.main(["reproduce", *words, "--out", str(tmp_path / folder), "--jobs", jobs]) == 0
    for name in ("A3-log-margin-order.nc", "B1-support.nc", "B1-support.toml"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    manifest = json.loads((tmp_path / "two" / "B1-support.manifest.json").read_text())
    assert manifest["dtype"] == "float64"
    assert [row["id"] for row in json.loads((tmp_path / "two" / "summary.json").read_text())] == ["A3", "B1"]


def test_at_least_one_job(tmp_path, capsys):
    assert cli.main(["reproduce", "B1", "--fast", "--out", str(tmp_path), "--jobs", "0"]) == 2
    assert "Argument `--jobs` must be an integer of at least 1, but is 0." in capsys.readouterr().err


def test_a_reader_that_has_seen_enough_is_no_error():
    answer = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {sys.executable} -m didsim list | head -1"], capture_output=True, text=True, timeout=120
    )
    assert answer.returncode == 0
    assert answer.stderr == ""


def test_one_objective_reads_at_80_columns(capsys):
    """Every objective's block: its formula, where it ends, its names in trainers, and those it is taken for."""
    for name in OBJECTIVES:
        assert cli.main(["objectives", name]) == 0
        printed = capsys.readouterr().out
        assert max(map(len, printed.splitlines())) <= 80
        assert printed.splitlines()[0] == name
        for label in ("formula", "reward", "link", "ends", "source", "kindred"):
            assert f"\n  {label} " in printed
    assert cli.main(["objectives", "IPO[token-mean]", "kto"]) == 0
    printed = capsys.readouterr().out
    assert "TRL >= 0.29" in printed
    assert "ipo[sum]" in printed
    assert "no equal in the trainers that were read" in printed


def test_a_mistyped_objective_gets_the_nearest(capsys):
    assert cli.main(["objectives", "dppo"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
