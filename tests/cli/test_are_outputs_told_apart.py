"""Is the same file refused for two outputs, or for what is read and what is written, whichever way it is spelt?"""

import pytest

from didsim import cli
from didsim.numerics import files
from didsim.numerics.errors import ArgumentError

TWICE = {
    "verify": ("verify", "D7", "--json", "{same}", "--counterexamples", "{other}"),
    "diagnose": ("diagnose", "{log}", "--json", "{same}", "--html", "{other}"),
    "sampler": ("sampler", "--reward", "{log}", "--json", "{link}", "--overwrite"),
    "plot": ("plot", "{log}", "loss", "--out", "{log}", "--overwrite"),
    "train": ("train", "{log}", "--out", "{link}", "--overwrite"),
}


@pytest.fixture
def paths(tmp_path):
    (tmp_path / "log.toml").write_text("steps = 1\n")
    (tmp_path / "link").symlink_to(tmp_path / "log.toml")
    (tmp_path / "folder").mkdir()
    same, other = tmp_path / "x.json", tmp_path / "folder" / ".." / "x.json"
    return {"log": tmp_path / "log.toml", "link": tmp_path / "link", "same": same, "other": other}


@pytest.mark.parametrize("command", TWICE)
def test_one_file_for_two_purposes_is_refused_and_left_alone(command, paths, capsys):
    assert cli.main([word.format(**paths) for word in TWICE[command]]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "must be a file other than" in error
    assert not paths["same"].exists()
    assert paths["log"].read_text() == "steps = 1\n"


def test_different_files_pass_and_none_is_no_file(paths):
    files.outputs({"--json": paths["same"], "--html": None, "--out": paths["other"].with_name("y.json")}, overwrite=False)
    with pytest.raises(ArgumentError, match=r"`--out` must be a file other than that of `--json`"):
        files.outputs({"--json": paths["link"], "--out": paths["log"]}, overwrite=True)
