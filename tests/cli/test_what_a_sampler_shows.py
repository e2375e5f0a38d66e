"""What does `didsim sampler` print and write, and what does it refuse?"""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from didsim import cli, samplers
from didsim.landscape.survey import survey
from didsim.worlds import problem

BETA = 0.5
REWARD = (0.3, -1.0, 0.8, 0.1, 1.5, -0.4)
REFERENCE = (0.1, 0.15, 0.2, 0.25, 0.2, 0.1)
BLOCK = (0, 0, 1, 1, 1, -1)


@pytest.fixture
def files(tmp_path):
    matrix = np.where(np.equal.outer(BLOCK, BLOCK), 1.0, 0.0) * (np.array(BLOCK) >= 0)
    np.save(tmp_path / "pairs.npy", matrix / matrix.sum())
    np.save(tmp_path / "reward.npy", np.array(REWARD))
    np.savetxt(tmp_path / "reward.csv", np.array([REWARD]), delimiter=",")
    np.savetxt(tmp_path / "reference.csv", np.array(REFERENCE), delimiter=",")
    return tmp_path


def words(folder, *more, reward="reward.npy"):
    return ["sampler", "--reward", str(folder / reward), "--reference", str(folder / "reference.csv"), *more]


def test_ones_own_pairs_are_reported_in_words_and_numbers(files, capsys):
    own = ["--pairs", str(files / "pairs.npy"), "--beta", str(BETA), "--json", str(files / "out.json")]
    assert cli.main(words(files, *own)) == 0
    printed = capsys.readouterr().out
    assert "Compares 5 of 6 responses, in 2 groups that are never related; 1 are never compared" in printed
    (found,) = json.loads((files / "out.json").read_text()).values()
    world = problem(np.log(REFERENCE), reward=np.array(REWARD), beta=BETA)
    wanted = survey(world, samplers.Blocks(jnp.asarray(BLOCK)), accuracy=0.02)
    np.testing.assert_allclose(found["undetermined"], wanted.undetermined, rtol=1e-9)
    assert f"{float(wanted.undetermined[0]):.1%} of the target stays unrelated" in printed
    assert found["component"] == [[0, 0, 2, 2, 2, 5]]
    assert cli.main(words(files, *own)) == 2
    assert "use --overwrite" in capsys.readouterr().err


def test_several_samplers_are_a_table(files, capsys):
    assert cli.main(words(files, "uniform", "best_of_base:k=2.5", reward="reward.csv")) == 0
    printed = capsys.readouterr().out
    assert "best_of_base:k=2.5" in printed
    assert "undetermined" in printed


def identity(value):
    """A value on the diagonal."""
    return [[value * (a == b) for b in range(6)] for a in range(6)]


def spoil(folder, name, array):
    np.save(folder / name, np.asarray(array))
    return str(folder / name)


@pytest.mark.parametrize(
    ("option", "array", "message"),
    [
        ("--reward", [[[1.0, 2.0]]], "`--reward` must have shape (n,) or (prompts, n), n >= 2, but has (1, 1, 2)"),
        ("--reward", [1.0, np.nan], "`--reward` must be finite, but is nan at index 1"),
        ("--reference", [0.5, 0.4, 0.0, 0.1, 0.0, 0.0], "`--reference` must give every response some mass"),
        ("--reference", [0.5, 0.5], "`--reference` must have as many responses as the reward, 6, but has 2"),
        ("--reference", [0.2] * 6, "`--reference` must sum to 1, but"),
        ("--pairs", [[1 / 30] * 5] * 6, "`--pairs` must have shape (n, n) or (prompts, n, n)"),
        ("--pairs", [[0.25] * 2] * 2, "`--pairs` must have as many responses as the reward, 6, but has 2"),
        ("--pairs", identity(-1.0), "`--pairs` must be finite and at least 0, but is -1 at index (0, 0)"),
        ("--pairs", identity(1.0), "`--pairs` must sum to 1, but"),
    ],
)
def test_bad_files_are_one_line(files, capsys, option, array, message):
    assert cli.main([*words(files), option, spoil(files, "bad.npy", array)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("unifrom",), "Did you mean 'uniform'"),
        (("best_of_base:k",), "must be name or name:field=number, but is 'best_of_base:k'"),
        (("best_of_base:kk=3",), "Did you mean 'k'"),
        (("--reward", "none.npy"), "`--reward` must be a readable file, but none.npy is not"),
        (("--accuracy", "2"), "`accuracy` must be in [0, 1), but is 2"),
    ],
)
def test_bad_words_are_one_line(files, capsys, more, message):
    assert cli.main([*words(files), *more]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_text_that_is_no_table_is_refused(files, capsys):
    (files / "bad.csv").write_text("a,b\n")
    assert cli.main(words(files, "--pairs", str(files / "bad.csv"))) == 2
    assert "must be a readable .npy or CSV file" in capsys.readouterr().err
