"""Fuzzing: whatever is typed or lies in a file, does every command end rightly, or with 2 and one line, in time?

500 cases a run, other ones each time: ``make test-all ARGS="--hypothesis-seed=7 -k break"`` repeats a run.  What fell once has
a test of its own, in `test_what_once_broke_it`.
"""

import io
import json
import os
import shutil

import numpy as np
import pytest
import trainer_logs as made
import xarray as xr
from answering import Answering
from command_cases import CASES, given
from hypothesis import HealthCheck, settings
from hypothesis import given as drawn
from hypothesis import strategies as st

from didsim.cli import COMMANDS
from didsim.sweeps import open_sweep

ANSWER = Answering(seconds=100)  # for one case on a busy machine, compilation included
LONG = {"atlas", "reproduce", "sampler", "verify"}  # of which all takes minutes, where nothing is named
NUMBERS = [
    "0", "-1", "1", "2", "3", "0.5", "1e-300", "1e308", "1e400", "nan", "inf", "-inf", "-0.0", "9" * 30, "1_0", "0x10", "٣", "",
    "True", "1,2", "[1]", " 1", "1/2",
]  # fmt: skip
TEXTS = [
    *NUMBERS, "é", "\udcff", "--", "-", "[red]", "x" * 300, "dpo", "dpo:", "dpo:beta=", "dpo:beta=nan", "dpo:beta=1,beta=2",
    "dpo:no=1", "uniform", "best_of_base", "best_of_base:k=8,k=9", "best_of_base:k=1/2", "best_of_base:k=9999999999999999999",
    "D1.event", "D1", "B1", ".", "..", "/proc", "run.toml", "sweep.toml", "log.json", "a/b", "x.json", "x.svg", "B1.n=2", "n=2",
    "=",
]  # fmt: skip
VALUES = [
    "true", "nan", "inf", "-1", "0", "1", "0.5", "1e308", "1e-300", "9" * 18, "9" * 25, '"x"', '""', '"dpo"', "[]", "[1, 2]",
    "[[1, 2], [3]]", "[[0.5]]", "{}", "1979-05-27", "[true]", "1_0", '"1"', "0x10", "[nan, 1]", "[1, 2, 3, 4]", "[[1.0, 2.0]]",
    "[[0.0, 1.0, 2.0, 3.0]]", '["a", "b"]', "[1, 1]", "10000000000", '{name = "x"}', "[{a = 1}]", '"uniform"',
]  # fmt: skip
KEYS = [
    "steps", "records", "pairs", "seeds", "nothing", "world.name", "world.n", "world.beta", "world.reward", "world.prompts",
    "objective.name", "objective.beta", "objective.smoothing", "sampler.name", "sampler.k", "policy.name", "policy.features",
    "optimiser.name", "optimiser.learning_rate", "labels.name", "rule", "stop_below", "axes.n", 'axes."objective.beta"',
    'axes."world.beta"', "axes.objective", "axes.sampler", "rounds.inner", "decay", "metrics", "policy", "world", "objective",
]  # fmt: skip
ENTRIES = [
    None,
    True,
    "",
    "x",
    "nan",
    "1",
    -1,
    0,
    1e308,
    10**400,
    float("nan"),
    float("inf"),
    [],
    [1, 2],
    {},
    {"a": 1},
    "1,000,2",
]


def fuzz(cases):
    """A test of that many drawn cases."""
    kept = {"max_examples": cases, "deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}
    return lambda test: pytest.mark.slow(pytest.mark.timeout(0)(settings(**kept)(test)))


def judged(words, folder):
    """The exit code of a command run in a folder, once all that every command promises has been held against it."""
    code, said = ANSWER(words, folder)
    assert code in (0, 1, 2), (words, code, said)
    assert "Traceback" not in said, (words, said)
    lines = [line for line in said.splitlines() if not line.startswith("waiting")]
    parser = said.startswith("╭")  # words that are no options, with what the options are
    assert code != 2 or parser or not words or (len(lines) == 1 and lines[0].startswith("error: ")), (words, said)
    assert not [name for name in os.listdir(folder) if name.startswith(".")], words
    return code


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    yield given(tmp_path_factory.mktemp("fuzz"))
    ANSWER.end()


def options(kind):
    return ["--" + name.replace("_", "-") for name in kind.__dataclass_fields__]


@st.composite
def command_lines(draw):
    """A command, words where its own are, and options, its own or not, with words."""
    kind = draw(st.sampled_from(COMMANDS))
    name = kind.__name__.lower()
    usual = [word.replace("{read}/", "").replace("{read}", ".") for word in CASES[name].words]
    first = draw(st.sampled_from([usual, usual, [draw(st.sampled_from(TEXTS))], usual if name in LONG else []]))
    more = draw(st.lists(st.tuples(st.sampled_from([*options(kind), "--no"]), st.sampled_from(TEXTS)), max_size=3))
    return [name, *first, *(word for pair in more for word in pair)]


@fuzz(200)
@drawn(words=command_lines())
def test_no_command_line_breaks_it(folder, words):
    judged(words, folder)


@fuzz(20)
@drawn(words=st.lists(st.text(max_size=12).filter(lambda word: "\0" not in word), max_size=4))
def test_no_words_at_all_break_it(folder, words):
    judged(words, folder)


@st.composite
def configs(draw):
    """A TOML file with entries changed, added or torn."""
    changes = draw(st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(VALUES)), min_size=1, max_size=2))
    lines = [
        "steps = 5",
        "records = 2",
        'world.name = "random_target"',
        "world.n = 4",
        'objective.name = "dpo"',
        "objective.beta = 0.5",
    ]
    for key, value in changes:
        lines = [line for line in lines if not (line.startswith((f"{key} ", f"{key}.")))] + [f"{key} = {value}"]
    text = "\n".join(lines) + "\n"
    return text[: draw(st.integers(0, len(text)))] if draw(st.integers(0, 9)) == 0 else text


@fuzz(120)
@drawn(text=configs(), name=st.sampled_from(["train", "sweep"]))
def test_no_toml_breaks_it(folder, text, name):
    (folder / "drawn.toml").write_text(text)
    judged([name, "drawn.toml"], folder)


@st.composite
def logs(draw):
    """A log of a trainer with entries changed, columns gone, or bytes torn, and the ending of its file."""
    rows = made.styled(made.rows())
    for _ in range(draw(st.integers(0, 3))):
        rows[draw(st.integers(0, len(rows) - 1))][draw(st.sampled_from([*rows[0], "x"]))] = draw(st.sampled_from(ENTRIES))
    gone = draw(st.sets(st.sampled_from(sorted(rows[0])), max_size=3))
    rows = [{name: value for name, value in row.items() if name not in gone} for row in rows]
    ending = draw(st.sampled_from([".json", ".jsonl", ".csv", ".tsv"]))
    if ending == ".json":
        text = json.dumps(draw(st.sampled_from([rows, {"log_history": rows}])))
    elif ending == ".jsonl":
        text = "\n".join(map(json.dumps, rows))
    else:
        comma = "," if ending == ".csv" else "\t"
        names = list(rows[0])
        text = "\n".join([comma.join(names), *(comma.join(str(row.get(name)) for name in names) for row in rows)])
    content = bytearray(text.encode())
    for _ in range(draw(st.sampled_from([0, 0, 1, 3]))):
        content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    return bytes(content[: draw(st.sampled_from([None, None, 1, 100, 1000]))]), ending


@fuzz(100)
@drawn(log=logs())
def test_no_log_breaks_it(folder, log):
    (folder / f"drawn{log[1]}").write_bytes(log[0])
    judged(["diagnose", f"drawn{log[1]}", "--json", "drawn.out", "--overwrite"], folder)


@st.composite
def arrays(draw):
    """The bytes of an array's file, right or wrong, and its ending."""
    shape = draw(st.sampled_from([(), (0,), (1,), (3,), (3, 3), (2, 3), (2, 3, 3), (3, 3, 3, 1)]))
    kind = draw(st.sampled_from(["f8", "f4", "i8", "?", "c16", "U3", "M8[s]", "f8", "f8"]))
    law = np.ones(shape) / max(1, int(np.prod(shape[-2:])))
    values = law.astype(kind) if kind != "M8[s]" else law.astype("i8").astype(kind)
    if kind == "f8" and values.size and draw(st.booleans()):
        values.flat[draw(st.integers(0, values.size - 1))] = draw(st.sampled_from([np.nan, np.inf, -1.0, 1e308, 1e-320, 0.0]))
    if draw(st.booleans()):
        file = io.BytesIO()
        np.save(file, values)
        content, ending = bytearray(file.getvalue()), ".npy"
    else:
        columns = 3 if values.size and values.size % 3 == 0 else 1
        text = "\n".join(",".join(map(str, row)) for row in values.reshape(-1, columns))
        content, ending = bytearray(text.encode()), ".csv"
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        if content:
            content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    return bytes(content[: draw(st.sampled_from([None, None, 5, 80]))]), ending


@fuzz(40)
@drawn(array=arrays(), option=st.sampled_from(["--pairs", "--reward", "--reference"]))
def test_no_array_breaks_it(folder, array, option):
    (folder / f"drawn{array[1]}").write_bytes(array[0])
    judged(["sampler", *(["uniform"] if option != "--pairs" else []), option, f"drawn{array[1]}", "--n", "3"], folder)


@pytest.fixture(scope="module")
def store(folder):
    """A whole store, and what it holds."""
    assert judged(["sweep", "sweep.toml", "--out", "whole", "--width", "2"], folder) == 0
    return folder / "whole", open_sweep(folder / "whole").load()


@st.composite
def damages(draw):
    """What befalls a store: which file, by its place in the list of all, how, and where in it."""
    how = draw(st.sampled_from(["flip", "cut", "gone", "folder", "empty", "other"]))
    return draw(st.integers(0, 10_000)), how, draw(st.integers(0, 10_000))


@fuzz(20)
@drawn(damage=damages())
def test_no_damage_to_a_store_breaks_it(store, folder, damage):
    whole, expected = store
    shutil.rmtree(folder / "damaged", ignore_errors=True)
    shutil.copytree(whole, folder / "damaged")
    harm(folder / "damaged", *damage)
    if judged(["sweep", "sweep.toml", "--out", "damaged", "--width", "2"], folder) == 0:
        xr.testing.assert_identical(open_sweep(folder / "damaged").load().drop_attrs(), expected.drop_attrs())


def harm(store, place, how, where):
    """Damages one file of a store."""
    found = sorted(path for path in store.rglob("*") if path.is_file())
    file = found[place % len(found)]
    content = bytearray(file.read_bytes())
    file.unlink()
    if how == "folder":
        file.mkdir()
    elif how == "flip":
        content[where % len(content)] ^= 1 << where % 8
        file.write_bytes(content)
    elif how == "cut":
        file.write_bytes(content[: where % len(content)])
    elif how in ("empty", "other"):
        file.write_bytes(b"" if how == "empty" else b'{"a": [1, 2]}')
