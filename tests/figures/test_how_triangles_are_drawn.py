"""Does the picture of three responses show what the data hold, moving or still, and what does the command refuse?"""

import numpy as np
import pytest
from matplotlib.figure import Figure

from didsim import cli
from didsim.plotting import triangles as picture


def test_the_picture_shows_what_the_data_hold(portraits):
    figure = picture.gallery(portraits)
    panels = [ax for ax in figure.axes if ax.collections]
    assert len(panels) == 4
    dashed = [sum(line.get_linestyle() == "--" for line in ax.lines) for ax in panels]
    assert dashed == [0, 1, 0, 1]  # the line of minimisers, where there is one
    one = portraits.sel(objective="dpo", sampler="all")
    ax = picture.portrait(one)
    ends = picture.flat(one["path"].values[:, -1])
    drawn = np.array([line.get_xydata()[0] for line in ax.lines if len(line.get_xydata()) == 1])
    assert all(np.abs(drawn - end).max(1).min() < 1e-12 for end in ends)


def test_corners_in_the_plane():
    np.testing.assert_allclose(picture.flat(np.eye(3)), [[0, 0], [1, 0], [0.5, np.sqrt(0.75)]])


def test_the_animation_shows_all_three_masses_and_fetches_nothing(portraits):
    one = portraits.sel(objective="dpo", sampler="last never shown")
    moving = picture.animation(one, title="a & b", frames=4)
    bars = [patch.get_height() for ax in moving._fig.axes for patch in ax.patches]
    np.testing.assert_allclose(bars, [0.15, 0.7, 0.15])
    page = picture.player(moving, "a & b")
    np.testing.assert_allclose(
        [patch.get_height() for ax in moving._fig.axes for patch in ax.patches], one["path"][0, -1], atol=2e-3
    )
    assert "a &amp; b" in page
    assert page.count("data:image/png;base64") == 4
    assert 'src="http' not in page and "href=" not in page  # noqa: PT018
    assert isinstance(moving._fig, Figure)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--out", "x.mp4"), "`--out` must end in one of .png, .svg, .html, .gif"),
        (("--out", "nowhere/x.png"), "must lie in a folder that exists"),
        (("--out", "x.html", "--objective", "dpo", "simpo"), "must end in .png or .svg for several"),
        (("--out", "x.png", "--objective", "dpoo"), "Did you mean 'dpo'"),
        (("--out", "x.png", "--objective", "dpo:beta"), "`--objective` must be name or name:field=number"),
        (("--out", "x.png", "--sampler", "unifrom"), "Did you mean 'uniform'"),
        (("--out", "x.png", "--beta", "-1"), "must be positive"),
    ],
)  # fmt: skip
def test_the_command_refuses(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["simplex", *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_the_command_draws(tmp_path, capsys):
    file = tmp_path / "one.svg"
    words = ["simplex", "--objective", "dpo", "--sampler", "blocks:block=0/0/-1", "--divisions", "5", "--out", str(file)]
    assert cli.main(words) == 0
    assert "a line of minimisers" in capsys.readouterr().out
    assert "</svg>" in file.read_text(encoding="utf-8")
    assert cli.main(words) == 2
    assert "use --overwrite" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["html", "gif"])
def test_the_command_animates(tmp_path, ending):
    file = tmp_path / f"run.{ending}"
    assert cli.main(["simplex", "--out", str(file)]) == 0
    assert 50_000 < file.stat().st_size < 6_000_000
