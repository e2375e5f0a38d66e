"""Does `didsim atlas` print what fits, write what it says, go on where it stopped, and refuse in one line?"""

import csv
import json
import math
import sys

import numpy as np
import pytest
import xarray as xr
from pyarrow import parquet

from didsim import cli
from didsim.cli.answers.atlas import charted, ranked
from didsim.cli.report.atlas import atlas as read_atlas
from didsim.cli.report.files import Damaged
from didsim.landscape import atlas
from didsim.objectives import OBJECTIVES

FEW = ["--worlds", "2", "--objective", "dpo", "sft"]
BOTH = ["--departure", "matched", "hard"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a small atlas in it."""
    out = tmp_path_factory.mktemp("atlas")
    assert cli.main(["atlas", *FEW, *BOTH, "--out", str(out)]) == 0
    return out


def test_files_say_the_same(folder):
    rows = list(csv.DictReader((folder / "atlas.csv").read_text(encoding="utf-8").splitlines()))
    assert [(row["objective"], row["departure"]) for row in rows] == [
        (one, other) for one in ("dpo", "sft") for other in ("matched", "hard")
    ]
    table = parquet.read_table(folder / "atlas.parquet").to_pylist()
    plain = json.loads((folder / "atlas.json").read_text(encoding="utf-8"))
    for one, other, third in zip(rows, table, plain, strict=True):
        assert float(one["gap"]) == other["gap"] == third["gap"]
        assert one["kind"] == other["kind"] == third["kind"]
    assert rows[0]["kind"] == "reaches π*"
    assert "lose all their mass" in rows[1]["kind"]
    with xr.open_dataset(folder / "atlas.nc", engine="scipy") as data:
        assert data.sizes == {"objective": 2, "departure": 2, "world": 2}


def test_the_report_reads_what_is_written(folder):
    chart = read_atlas(folder / "atlas.json")
    assert [(name, [cell.row.departure for cell in cells]) for name, cells in chart.rows] == [
        ("dpo", ["matched", "hard"]), ("sft", ["matched", "hard"]),
    ]  # fmt: skip
    matched, hard = chart.rows[0][1]
    assert (matched.mark, hard.mark) == ("∗", "n")
    assert [cells[0].row.rank for _, cells in chart.rows] == [1, 2]
    assert matched.command == "didsim atlas --objective dpo --departure matched --worlds 2 --seed 0"
    assert hard.lines[2].middle == -math.inf  # chosen responses among those that lose all mass
    assert chart.columns[0][2].about.startswith("Nothing is changed")
    assert chart.good == chart.total == 4


def test_a_damaged_atlas_is_told(folder, tmp_path):
    rows = json.loads((folder / "atlas.json").read_text(encoding="utf-8"))
    (tmp_path / "atlas.manifest.json").write_text((folder / "atlas.manifest.json").read_text())
    for damage in (rows[:3], [], [{**rows[0], "gap": "much"}]):
        (tmp_path / "atlas.json").write_text(json.dumps(damage))
        with pytest.raises(Damaged, match=r"atlas\.json is damaged"):
            read_atlas(tmp_path / "atlas.json")
    (tmp_path / "atlas.manifest.json").unlink()
    (tmp_path / "atlas.json").write_text(json.dumps(rows))
    with pytest.raises(Damaged, match=r"atlas\.manifest\.json is missing"):
        read_atlas(tmp_path / "atlas.json")


def test_a_second_call_reads_what_is_there(folder, capsys, monkeypatch):
    monkeypatch.setattr("didsim.landscape.atlas.grid.row", lambda *_: pytest.fail("solved again"))
    assert cli.main(["atlas", *FEW, *BOTH, "--out", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.replace(str(folder), "").splitlines())) <= 80
    assert "matched" in shown
    assert "4 cells" in shown


def test_one_column_is_ranked(folder, capsys):
    assert cli.main(["atlas", *FEW, "--departure", "matched", "--out", str(folder)]) == 0
    shown = capsys.readouterr().out.replace(str(folder), "").splitlines()
    ranks = [line.split()[:2] for line in shown if line.strip()[:1].isdigit() and "[" in line]
    assert ranks[0] == ["1", "dpo"]
    assert ranks[1] == ["2", "sft"]
    assert max(map(len, shown)) <= 80


def test_another_atlas_in_the_folder_is_refused(folder, capsys):
    assert cli.main(["atlas", "--objective", "dpo", "--seed", "1", "--out", str(folder)]) == 2
    assert "Argument `store` must be this atlas" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--objective", "dop"], "--objective"),
        (["--departure", "flip"], "--departure"),
        (["--worlds", "0"], "`--worlds` must be"),
        (["--module", "no_such_module_here"], "`--module` must name a module"),
    ],
)
def test_bad_words_are_refused_in_a_line(words, message, capsys):
    assert cli.main(["atlas", *words]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said
    assert len(said.splitlines()) == 1


def test_a_module_of_ones_own_adds_a_column(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_columns.py").write_text(
        "import didsim\n"
        "from didsim import preferences\n"
        'didsim.atlas.DEPARTURES["mine"] = didsim.atlas.WithLabels(preferences.Ties(1.0))\n'
    )
    try:
        assert cli.main(["atlas", *FEW, "--departure", "mine", "--module", "my_columns"]) == 0
    finally:
        atlas.DEPARTURES.pop("mine", None)
        sys.modules.pop("my_columns", None)
        sys.path.remove(str(tmp_path))
    assert "other labels (mine)" in capsys.readouterr().out


@pytest.mark.parametrize("measure", atlas.MEASURES)
def test_all_rows_and_columns_fit_a_terminal(measure):
    rows, columns = list(OBJECTIVES), atlas.columns()
    random, shape = np.random.default_rng(0), (len(rows), len(columns), 3)
    values = np.where(random.uniform(size=shape) < 0.1, -np.inf, 1e3 * random.normal(size=shape) ** 5)
    data = xr.Dataset(
        {
            **dict.fromkeys(atlas.MEASURES, (("objective", "departure", "world"), values)),
            "kind": (("objective", "departure", "world"), random.integers(0, 6, shape)),
        },
        coords={"objective": rows, "departure": columns, "title": ("departure", columns)},
    )
    lines = charted(data, measure)
    assert max(map(len, lines)) <= 80
    assert all(sum(line.startswith(name) for line in lines) for name in rows)
    ranking = ranked(data.isel(departure=[0]), measure)
    assert max(map(len, ranking)) <= 80
