"""Every input that once fell, by fuzzing or by hand: is it now answered rightly, or refused in one line?"""

import os
import sys
import warnings

import jaxtyping
import numpy as np
import pytest
from command_cases import RUN, given, make_quick

from didsim import cli

SECOND = ["--num-processes", "2", "--process-id", "1"]
REFUSED = {
    "json into a missing folder": ["sampler", "--json", "no/x"],
    "a name too long": ["objectives", "--json", "x" * 300],
    "a name of 255 bytes in a folder that is none": ["objectives", "--json", "run.toml/" + "x" * 255],
    "out onto the config": ["train", "run.toml", "--out", "run.toml", "--overwrite"],
    "one file for two": ["verify", "D1.event", "--json", "x", "--counterexamples", "x"],
    "a device as config": ["train", "/dev/zero"],
    "a device as law": ["sampler", "--pairs", "/dev/zero"],
    "a device as output": ["objectives", "--json", "/dev/null", "--overwrite"],
    "a port beyond all": [
        "sweep",
        "sweep.toml",
        "--out",
        "s",
        "--coordinator",
        "h:99999",
        "--num-processes",
        "2",
        "--process-id",
        "1",
    ],
    "thousands of workers": ["sweep", "sweep.toml", "--out", "s", "--workers", "5000"],
    "a store at the root": ["sweep", "sweep.toml", "--out", "/"],
    "a store that is the folder above": ["sweep", "sweep.toml", "--out", ".."],
    "a folder of figures that is a file": ["reproduce", "B1", "--out", "run.toml"],
    "a CSV without a number": ["sampler", "uniform", "--reference", "empty.csv"],
    "a CSV of one newline": ["sampler", "--pairs", "newline.csv"],
    "an array without a number": ["sampler", "--reward", "empty.npy"],
    "deep nesting": ["train", "deep.toml"],
    "an integer of 5,000 digits": ["train", "long.toml"],
    "an axis of parts without one": ["sweep", "no-part.toml"],
    "a header that does not end": ["sampler", "--pairs", "header.npy", "--n", "3"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = given(tmp_path_factory.mktemp("once"))
    (folder / "deep.toml").write_text("a = " + "[" * 100_000)
    (folder / "empty.csv").write_text("")
    (folder / "newline.csv").write_text("\n")
    np.save(folder / "empty.npy", np.zeros((0, 3)))
    (folder / "long.toml").write_text(RUN + "pairs = " + "9" * 5_000)
    (folder / "no-part.toml").write_text(RUN + "[axes]\nobjective = []\n")
    head = b"{'descr': '<M8[s]', 'fortran_order': False, 'shape': (), \0" + b" " * 59 + b"\n"
    (folder / "header.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + b"\1" + b"\0" * 7)
    return folder


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_in_one_line(folder, monkeypatch, capsys, name):
    make_quick(monkeypatch)
    monkeypatch.chdir(folder)
    before = sorted(os.listdir(folder))
    with warnings.catch_warnings(action="default"):  # a person sees them, as lines more
        assert cli.main(REFUSED[name]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1, said
    assert said.startswith("error: ")
    assert sorted(os.listdir(folder)) == before


def test_a_number_beyond_compiled_integers_is_that_number(folder, monkeypatch, capsys):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # users do not run the shape checker
    (folder / "large.toml").write_text(RUN.replace("beta = 0.5", "beta = 9999999999999999999999999"))
    assert cli.main(["train", str(folder / "large.toml")]) == 0
    assert "ended" in capsys.readouterr().out


def test_a_benchmark_leaves_its_files_in_a_folder_that_is_there(monkeypatch, tmp_path):
    make_quick(monkeypatch)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["bench", "--quick", "--out", "."]) == 0
    assert sorted(os.listdir()) == ["bench-cost.png", "bench-cost.svg", "bench.json", "bench.manifest.json"]


@pytest.mark.skipif(sys.platform == "win32", reason="names have other limits there")
def test_a_name_as_long_as_the_file_system_allows_is_written(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert cli.main(["objectives", "--json", "y" * 255]) == 0
    assert os.path.getsize("y" * 255) > 1000
    os.unlink("y" * 255)
