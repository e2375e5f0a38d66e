"""Does every field of every part that has a name refuse what is no number, has other axes or another length, here and in TOML?"""

import dataclasses
import datetime
import fractions
import math
import re

import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

import didsim
from didsim.dynamics.run import run_once
from didsim.numerics import memory
from didsim.numerics.sequences import SequenceSpace
from didsim.numerics.texts import read_toml, read_value
from didsim.objectives import loss
from didsim.objectives.comparisons import comparisons_for
from didsim.samplers import ChosenRejected
from didsim.sweeps import toml
from didsim.worlds.preferences import AsShown

FIELDS = [
    (part, name, field.name)
    for part, makers in toml.MAKERS.items()
    for name, maker in makers.items()
    if dataclasses.is_dataclass(maker)
    for field in dataclasses.fields(maker)
]
LAW = jnp.log(jnp.array([0.5, 0.5]))
SPACE = SequenceSpace(2, 2)
PARTS = {
    "Sampler": didsim.samplers.Uniform(),
    "Behaviour": didsim.samplers.FromPolicy(),
    "Labels": didsim.preferences.BradleyTerry(),
    "SequenceSpace": SPACE,
}
GIVEN = {
    "log_first": LAW,
    "log_second": LAW,
    "given": LAW,
    "log_weights": LAW,
    "log_joint": jnp.log(jnp.full((2, 2), 0.25)),
    "table": jnp.full((2, 2), 0.5),
    "rewards": jnp.zeros((2, 2)),
    "block": jnp.array([0, 1]),
    "support": jnp.array([True, True]),
    "contexts": jnp.ones(2),
    "features": jnp.ones((2, 1)),
    "log_start": LAW,
    "draws": 2,
    "vocabulary": 2,
    "length": 3,
    "segment": 1,
}
# What no field may hold, whatever it is for.
NOTHING = {
    "a list in a list": [[0.5]],
    "a list": [0.5],
    "a word": "x",
    "bytes": b"1",
    "a date": datetime.date(2020, 1, 1),
    "dates": np.array(["2020-01-01"], "datetime64[D]"),
    "texts": np.array(["0.5"]),
    "records": np.zeros(2, [("a", float)]),
    "a fraction": fractions.Fraction(1, 2),
    "a complex number": 1j,
    "a table": {},
    "400 digits": 10**400,
    "5,000 digits": 10**5000,
    "a class": dict,
    "nan": math.nan,
    "inf": math.inf,
    "one axis, empty": np.zeros(0),
    "four axes": np.full((1, 1, 1, 1), 0.5),
    "not a number of an array": np.array([[math.nan, 0.5], [0.5, 0.5]]),
}
SWITCHES = {"a boolean": True, "NumPy's boolean": np.bool_(True)}
WORDS = {"decay", "start", "by", "keep"}
OF_PROMPTS = {"table", "log_joint", "log_first", "log_second", "given", "support", "block", "contexts", "features", "log_start"}


@pytest.fixture(autouse=True)
def _as_users_call_it(monkeypatch):
    """Users do not run the shape checker, which would speak first."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


LINE = re.compile(r"Argument `[^\n]{1,400}$")


def refusal(call, *arguments, **fields):
    """What a call is refused with; empty if it is not."""
    try:
        call(*arguments, **fields)
    except didsim.ArgumentError as error:
        return str(error)
    return ""


def parts_of(part, name):
    """The class and what it must be given."""
    maker = toml.MAKERS[part][name]
    needed = [field for field in dataclasses.fields(maker) if field.default is dataclasses.MISSING]
    return maker, {one.name: GIVEN.get(one.name, PARTS.get(getattr(one.type, "__name__", ""))) for one in needed}


@pytest.mark.parametrize(("part", "name", "field"), FIELDS, ids=map("-".join, FIELDS))
def test_every_field_refuses_what_it_cannot_mean(part, name, field):
    maker, needed = parts_of(part, name)
    maker(**needed)  # the control: what it may hold passes
    wrong = dict(NOTHING)
    kind = next(one.type for one in dataclasses.fields(maker) if one.name == field)
    wrong |= SWITCHES if kind is not bool else {"a number": 1}
    for what, value in wrong.items():
        if what == "a word" and field in WORDS:
            value = "no such word"
        if what == "four axes" and field in OF_PROMPTS and field not in ("support", "block"):
            continue  # leading axes are prompts, and compared with the world's when there is one
        assert re.match(rf"Argument `{field}` [^\n]{{1,400}}$", refusal(maker, **{**needed, field: value})), what


WORLD = didsim.problem(jnp.log(jnp.full((2, 4), 0.25)), reward=jnp.array([0.0, 1.0, 2.0, 3.0]))
UNIFORM = np.log(np.full(12, 1 / 12))


def shaped(field, n, prompts):
    """An array that is all right for a world of ``n`` responses and ``prompts`` prompts, or of none."""
    lead = () if prompts is None else (prompts,)
    even = np.full(n, -np.log(n))
    arrays = {
        "table": np.full((n, n), 0.5),
        "log_joint": np.full((n, n), -2 * np.log(n)),
        "support": np.ones(n, bool),
        "block": np.zeros(n, int),
        "features": np.ones((n, 2)),
        "contexts": np.ones(3),
        "rewards": np.zeros((2, n)),
        "log_weights": np.log([0.5, 0.5]),
    }
    own = arrays.get(field, even)
    return jnp.asarray(np.broadcast_to(own, (*lead, *own.shape)))


ARRAYS = sorted({(part, name) for part, name, field in FIELDS if field in OF_PROMPTS | {"rewards"}})


def used(part, name, n, prompts):
    """What a world of two prompts and four responses makes of a part whose arrays are for another one."""
    maker, needed = parts_of(part, name)
    held = [one.name for one in dataclasses.fields(maker)]
    arrays = {key: shaped(key, n, prompts if key in OF_PROMPTS else None) for key in held if key in GIVEN}
    made = maker(**needed | arrays)
    if part == "labels":
        return made.matrix(WORLD.reward)
    if part == "objective":
        shown = comparisons_for(made, WORLD, ChosenRejected(), AsShown(), WORLD.log_ref)
        return loss(made, WORLD, WORLD.log_ref, shown)
    if part == "sampler":
        return made.pair_law(WORLD, WORLD.log_ref).total()
    if part == "behaviour":
        return made.log_law(WORLD, WORLD.log_ref)
    return made.log_probs(made.init(WORLD.log_ref), WORLD.log_ref)


@pytest.mark.parametrize(("part", "name"), ARRAYS, ids=map("-".join, ARRAYS))
def test_arrays_of_another_length_are_refused_and_never_stretched(part, name):
    for prompts in (None, 1, 2) if name != "users" else (None,):
        if name != "context_linear" or prompts is not None:
            used(part, name, 4, prompts)
    others = [(1, None), (3, None), (5, 2), (4, 3), (1, 2)]
    for n, prompts in [(4, 3)] if name == "context_linear" else others if name != "users" else others[:2]:
        if name in ("product", "joint", "law", "users", "matrix") and n == 1:
            n = 2
        assert re.match(r"Argument `\w+` must have shape [^\n]*$", refusal(used, part, name, n, prompts)), (n, prompts)


def tables():
    """TOML tables that ask for what cannot be meant, by what is wrong with them."""
    world = {"name": "given", "log_ref": [-1.3862943611198906] * 4, "reward": [0.0, 1.0, 2.0, 3.0]}
    plain = {"world": world, "objective": "dpo", "steps": 5}
    date = datetime.date(2020, 1, 1)
    two = {"log_first": [world["log_ref"]] * 2, "log_second": world["log_ref"]}
    return {
        "one row of features": plain | {"policy": {"name": "log_linear", "features": [[1.0, 2.0]]}},
        "beta true": plain | {"objective": {"name": "dpo", "beta": True}},
        "beta in lists": plain | {"objective": {"name": "dpo", "beta": [[0.5]]}},
        "beta a date": plain | {"objective": {"name": "dpo", "beta": date}},
        "stop_below true": plain | {"stop_below": True},
        "stop_below a list": plain | {"stop_below": [0.1]},
        "learning_rate true": plain | {"optimiser": {"name": "sgd", "learning_rate": True}},
        "decay a number": plain | {"optimiser": {"name": "sgd", "decay": 3}},
        "restart a number": plain | {"rounds": {"restart": 1}},
        "rewards that are dates": plain | {"world": world | {"reward": [date] * 4}},
        "rewards that are booleans": plain | {"world": world | {"reward": [True, False, True, True]}},
        "rewards mixed with booleans": plain | {"world": world | {"reward": [True, 1.0, 2.0, 3.0]}},
        "rewards that are texts": plain | {"world": world | {"reward": ["1", "2", "3", "4"]}},
        "ragged rewards": plain | {"world": world | {"reward": [[1.0], [1.0, 2.0]]}},
        "steps of 10^22": plain | {"steps": 10**22},
        "records of 10^12": plain | {"records": 10**12},
        "records of 10^9": plain | {"steps": 2 * 10**9, "records": 10**9},
        "pairs of 10^12": plain | {"pairs": 10**12, "sampler": "uniform", "labels": "bradley_terry"},
        "n of 10^9": plain | {"world": {"name": "random_target", "n": 2 * 10**9, "prompts": 1000}},
        "n of 10^19": plain | {"world": {"name": "random_reward", "n": 10**19}},
        "a space of 10^9 tokens": plain | {"world": {"name": "random_sequences", "space": {"vocabulary": 2, "length": 10**9}}},
        "a space that ends": plain | {"world": {"name": "random_sequences", "space": {"vocabulary": 2, "length": 2, "ends": 1}}},
        "rounds of one step": plain | {"steps": 2 * 10**9, "rounds": {"inner": 1}},
        "prompts that the world has not": plain | {"labels": "as_shown", "sampler": {"name": "product", **two}},
    }


@pytest.mark.parametrize("what", tables())
def test_toml_passes_the_same_gate(what):
    assert LINE.match(refusal(lambda: run_once(toml.run_from(tables()[what]), 0)))


AXES = {
    "booleans": {"objective.beta": [True, False]},
    "words": {"objective.beta": ["x"]},
    "dates": {"objective.beta": [datetime.date(2020, 1, 1)]},
    "tables": {"objective.beta": [{"a": 1}]},
    "lists": {"objective.beta": [[0.5, 0.6]]},
    "ragged": {"policy.log_start": [[0.0, 0.0, 0.0, 0.0], [0.0]]},
    "twice": {"objective.beta": [0.5], "objective": {"beta": [0.6]}},
    "twice, once together": {"objective.beta": [0.5], "objective.beta+world.beta": [0.6]},
    "twice in one": {"objective.beta+objective.beta": [0.6]},
    "too few together": {"objective.beta+world.beta": [[0.6]]},
}


@pytest.mark.parametrize("what", AXES)
def test_axes_pass_the_same_gate(what):
    config = {"world": {"name": "random_target", "n": 4}, "objective": "dpo", "axes": AXES[what]}
    if what == "ragged":
        config["policy"] = {"name": "started_at", "log_start": [0.0, 0.0, 0.0, 0.0]}
    assert LINE.match(refusal(lambda: didsim.sweeps.grid(*toml.sweep_from(config))))


@pytest.mark.parametrize("seeds", [[1, 1], [True], True, 1.0, "12", [0.5], {0: 1}, 2**32, 10**20, np.array([0.0]), [-1], []])
def test_seeds_are_whole_numbers_each_once(seeds):
    run = didsim.Run(didsim.worlds.RandomTarget(n=4), didsim.objectives.Dpo())
    with pytest.raises(didsim.ArgumentError, match=r"^Argument `seeds` must [^\n]*$"):
        didsim.sweeps.grid(run, {}, seeds)


def test_more_runs_than_can_be_numbered_are_refused_with_their_number():
    run = didsim.Run(didsim.worlds.RandomTarget(n=4), didsim.objectives.Dpo())
    many = np.linspace(0.1, 1.0, 2000)
    with pytest.raises(didsim.ArgumentError, match=r"fewer than 2\^31 runs with its seeds, but makes 4,000,000,000"):
        didsim.sweeps.grid(run, {"objective.beta": many, "world.beta": many}, 1000)


TEXTS = ["dpo:", "dpo:beta", "dpo:beta=1_0", "dpo:beta=٣", "dpo:beta=0.5,beta=0.6", "dpo:beta= 1", "dpo:beta=0x1", "dpo:,",
         "dpo:beta=1,", "dpo:beta=1/2", "dpo:beta=true", "dpo:beta=", "dpo:beta=nan", "dpo:beta=1e400",
          "dpo:beta=" + "9" * 5000]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_typed_numbers_are_numbers(text):
    assert toml.build_named("objective", "dpo:beta=1e-1", "--objective").beta == 0.1
    assert LINE.match(refusal(toml.build_named, "objective", text, "--objective"))


@pytest.mark.parametrize("text", ["1_0", "٣", " 1", "1 ", "1e1_0", "１", "0.5,1_0", "٣.٥"])
def test_digits_are_plain(text):
    plain = {"1": 1, "-2.5e3": -2500.0, ".5": 0.5, "0,0,1": [0, 0, 1], "1,": [1], "inf": math.inf, "word": "word", "1-2": "1-2"}
    for typed, meant in plain.items():
        value = read_value(typed)
        assert value == meant
        assert type(value) is type(meant)
    with pytest.raises(didsim.ArgumentError, match=r"^Argument `n` must be a number in plain digits, but is '[^\n]*'\.$"):
        read_value(text, name="n")


def saved(path, array, **changes):
    np.save(path, array)
    raw = path.read_bytes()
    for old, new in changes.get("bytes", {}).items():
        raw = raw.replace(old, new)
    path.write_bytes(raw)


def test_array_files_hold_what_their_header_says(tmp_path):
    table = {"world": {"name": "given", "log_ref": [-1.3862943611198906] * 4, "reward": "r.npy"}, "objective": "dpo"}
    saved(tmp_path / "r.npy", np.arange(4.0))
    assert toml.run_from(table, tmp_path).world.given.reward.shape == (1, 4)
    wrong = {
        "terabytes": (np.arange(4.0), {"bytes": {b"(4,), }                   ": b"(4000000000000,), }       "}}),
        "texts": (np.array(["1", "2", "3", "4"]), {}),
        "records": (np.zeros(4, [("a", float)]), {}),
        "dates": (np.zeros(4, "datetime64[s]"), {}),
        "booleans": (np.ones(4, bool), {}),
        "complex": (np.ones(4, complex), {}),
        "cut": (np.arange(4.0), {"bytes": {np.arange(4.0).tobytes(): b"12345678"}}),
    }
    for what, (array, changes) in wrong.items():
        saved(tmp_path / "r.npy", array, **changes)
        assert LINE.match(refusal(toml.run_from, table, tmp_path)), what
    (tmp_path / "r.npy").write_bytes(b"")
    with pytest.raises(didsim.ArgumentError, match=r"must name a readable .npy file"):
        toml.run_from(table, tmp_path)


@pytest.mark.parametrize("text", ["a = " + "[" * 100_000, "a = " + "9" * 5000, "[" * 5000, "a = {" * 5000])
def test_files_that_no_parser_reads_are_refused(tmp_path, text):
    (tmp_path / "x.toml").write_text(text)
    with pytest.raises(didsim.ArgumentError, match=r"^Argument `config` must [^\n]{1,400}$"):
        read_toml(tmp_path / "x.toml")


def test_what_does_not_fit_into_memory_is_refused_with_its_size(monkeypatch):
    monkeypatch.setattr(memory, "memory", lambda: 10**6)
    didsim.worlds.RandomTarget(n=1000)
    with pytest.raises(didsim.ArgumentError, match=r"`n` must fit into memory \(1.0 MB\), but is 1000000, which takes 8.0 MB"):
        didsim.worlds.RandomTarget(n=10**6)
    run = didsim.Run(didsim.worlds.RandomTarget(n=4), didsim.objectives.Dpo(), steps=10, records=3)
    with pytest.raises(didsim.ArgumentError, match=r"`width` must fit into memory"):
        didsim.sweep(run, width=10**6)
    uniform, soft = didsim.samplers.Uniform(), didsim.preferences.BradleyTerry()
    many = dataclasses.replace(run, sampler=uniform, labels=soft, pairs=10**6)
    with pytest.raises(didsim.ArgumentError, match=r"`run` must fit into memory .*pairs=1000000.* takes"):
        run_once(many, 0)
    dense = toml.MAKERS["sampler"]["best_worst"]()
    world = didsim.problem(jnp.full(500, -np.log(500)), reward=jnp.arange(500.0))
    with pytest.raises(didsim.ArgumentError, match=r"`sampler` must fit into memory .* takes 2.0 MB"):
        didsim.survey.survey(world, dense)
    with pytest.raises(didsim.ArgumentError, match=r"`instances` must fit into memory"):
        next(iter(didsim.claims.verify(["D7"], instances=10**6)))
