"""What does `didsim sweep` print and write, and what does it refuse?"""

import re

import pytest
from sweep_cases import CONFIG, chunk

from didsim import cli
from didsim.sweeps import open_sweep


def test_the_command_prints_or_writes(tmp_path, capsys):
    (tmp_path / "s.toml").write_text(CONFIG)
    words = ["sweep", str(tmp_path / "s.toml"), "--width", "50"]
    assert cli.main(words) == 0
    printed = capsys.readouterr().out
    assert re.search(r"beta\s+loss.*\n\s*0\.3 ", printed)
    assert "means over 40 seeds after 30 steps" in printed
    words = [*words[:2], "--out", str(tmp_path / "store")]
    assert cli.main([*words, "--width", "50"]) == cli.main(words) == 0
    assert "3 of 3 blocks of 50 runs" in capsys.readouterr().out
    chunk(tmp_path / "store").unlink()
    assert cli.main(words) == 2
    assert "--redo 1" in capsys.readouterr().err
    assert cli.main([*words, "--redo", "1"]) == 0
    assert cli.main(words) == 0
    assert cli.main([*words, "--no-resume"]) == 2
    assert open_sweep(tmp_path / "store")["loss"].notnull().all()


@pytest.mark.parametrize(
    ("text", "words", "message"),
    [
        (CONFIG + "[axes", (), "must be valid TOML"),
        (CONFIG.replace("objective.beta", "objective.bta"), (), "Did you mean 'beta'"),
        (CONFIG.replace("[axes]", "[axis]"), (), "Did you mean 'axes'"),
        (CONFIG.replace("seeds = 40", 'seeds = "many"'), (), "`seeds` must be a number or a list of numbers, but is 'many'"),
        (
            CONFIG.replace("seeds = 40", "seeds = [1, -1]"),
            (),
            "`seeds` must be an integer of at least 0 and below 4294967296, but is -1",
        ),
        (CONFIG.replace("[0.3, 0.5, 1.0]", "0.3"), (), "`axes.objective.beta` must be a list of values, but is 0.3"),
        (CONFIG, ("--redo", "1"), "`--out` must be given with"),
        (CONFIG, ("--process-id", "0", "--out", "x"), "must be given with the other two"),
        (CONFIG, ("--out", "x", "--workers", "0"), "`--workers` must be an integer of at least 1"),
    ],
)
def test_bad_configs_and_words_are_one_line_and_exit_2(tmp_path, capsys, text, words, message):
    (tmp_path / "s.toml").write_text(text)
    assert cli.main(["sweep", str(tmp_path / "s.toml"), *words]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error
