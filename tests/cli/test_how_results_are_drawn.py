"""Does `plot` draw what `train` and `sweep` keep, does `train --plot` draw its run, and is what cannot be drawn one line?"""

import pytest
from command_cases import RUN, SWEEP

from didsim import cli


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A run's file, its picture, and a sweep's folder with two axes."""
    folder = tmp_path_factory.mktemp("kept")
    (folder / "run.toml").write_text(RUN)
    (folder / "sweep.toml").write_text(
        f"{SWEEP}sampler = ['uniform', 'on_policy']\n[labels]\nname = 'bradley_terry'\n[sampler]\nname = 'uniform'\n"
    )
    run = ["train", f"{folder}/run.toml", "--out", f"{folder}/run.nc", "--plot", f"{folder}/run.svg"]
    assert cli.main(run) == 0
    assert cli.main(["sweep", f"{folder}/sweep.toml", "--out", f"{folder}/sweep.zarr"]) == 0
    return folder


def test_a_run_is_drawn_while_it_is_trained(kept):
    assert (kept / "run.svg").read_text().count('<g id="axes_') == 4


@pytest.mark.parametrize(
    "words",
    [
        ("run.nc", "jsd_target"),
        ("sweep.zarr", "value_gap", "beta", "--hue", "sampler"),
        ("sweep.zarr", "loss", "--at", "sampler=uniform"),
        ("sweep.zarr", "loss", "step", "--at", "sampler=uniform", "beta=0.50"),
    ],
)
def test_what_is_kept_is_drawn(kept, words, capsys, tmp_path):
    store, *more = words
    assert cli.main(["plot", f"{kept}/{store}", *more, "--out", f"{tmp_path}/x.svg"]) == 0
    assert capsys.readouterr().out == f"drawn: {tmp_path}/x.svg\n"
    assert (tmp_path / "x.svg").read_text().count('<g id="axes_') == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run.nc", "jsd"), "`y` must be one of"),
        (("run.nc", "loss", "beta"), "`x` must be one of step"),
        (("run.toml", "loss"), "`STORE` must be a file of train --out or a folder of sweep --out"),
        ((".", "loss"), "`STORE` must be a readable file or a folder of sweep --out, but"),
        (("sweep.zarr", "loss"), "no axes besides x and hue"),
        (("sweep.zarr", "loss", "--at", "sampler"), "`--at` must be AXIS=VALUE"),
        (("sweep.zarr", "loss", "--at", "sampller=uniform"), "Did you mean 'sampler'"),
        (("sweep.zarr", "loss", "--at", "beta=3"), "`--at beta` must be one of 0.5, 1, but is '3'"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(kept, words, message, capsys, tmp_path):
    store, *more = words
    assert cli.main(["plot", f"{kept}/{store}", *more, "--out", f"{tmp_path}/x.svg"]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())
