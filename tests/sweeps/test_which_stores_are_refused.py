"""Which stores and places are refused, told where the damage is, and left alone?"""

import json
import os

import jax.numpy as jnp
import pytest
from sampling import sampled
from sweep_cases import AXES, RUN, SWEEP, assert_same_numbers, chunk

import didsim
from didsim.sweeps import open_sweep, stream, sweep
from didsim.sweeps.axes import replace_path

DAMAGES = ["truncated", "garbage", "missing", "flipped", "a folder"]


@pytest.mark.parametrize(("block", "damage"), sampled(((block, damage) for block in (1, 4) for damage in DAMAGES), 2))
def test_damaged_chunks_are_named_and_can_be_recomputed_alone(out, memory, block, damage):
    file = chunk(out, "entropy", block)
    raw = bytearray(file.read_bytes())
    raw[11] ^= 1
    size = len(raw)
    file.unlink()
    if damage == "a folder":
        file.mkdir()
        (file / "more").write_bytes(raw)
    elif damage != "missing":
        file.write_bytes({"truncated": raw[:50], "garbage": os.urandom(size), "flipped": raw}[damage])
    said = {"truncated": "truncated", "missing": "missing", "a folder": "no file"}.get(damage, "damaged")
    message = rf"variable `entropy`, block {block} is {said}[^\n]*--redo {block}"
    with pytest.raises(didsim.ArgumentError, match=message):
        open_sweep(out)["entropy"].load()
    with pytest.raises(didsim.ArgumentError, match=message):  # what counts as done is looked at before anything is computed
        sweep(**SWEEP, out=out)
    assert_same_numbers(sweep(**SWEEP, out=out, redo=[block]), memory)


def test_a_damaged_status_is_named_and_can_be_recomputed(out, memory):
    (out / "block_status" / "c" / "0" / "1").write_bytes(b"?")
    with pytest.raises(didsim.ArgumentError, match=r"variable `block_status`, block 1 is damaged.*--redo 1"):
        sweep(**SWEEP, out=out)
    assert_same_numbers(sweep(**SWEEP, out=out, redo=[1]), memory)


def _drop_attribute(out):
    text = json.loads((out / "zarr.json").read_text())
    del text["attributes"]["width"]
    (out / "zarr.json").write_text(json.dumps(text))


def _flip(file):
    raw = bytearray(file.read_bytes())
    raw[3] ^= 1
    file.write_bytes(raw)


def _folder(file):
    file.unlink()
    file.mkdir()


def _relabel(out):
    text = json.loads((out / "zarr.json").read_text())
    text["attributes"]["axes"][0]["labels"][0] = 0.4
    (out / "zarr.json").write_text(json.dumps(text))


def _drop_array(out, name="block_status"):
    (out / name / "zarr.json").unlink()


@pytest.mark.parametrize(
    ("damage", "changes", "message"),
    [
        (None, {"seeds": [3, 7, 2]}, r"of config hash \w+, but .* has config hash \w+ \(`seeds` is .* here and .* there\)"),
        (None, {"run": replace_path(RUN, "steps", 9)}, "`run.steps` is 9 here and 10 there"),
        (None, {"axes": {**AXES, "objective.beta": [0.3, 2.0]}}, r"`axes.beta.*` is .*2\.0.* here and .*1\.0.* there"),
        (None, {"width": 5}, "of block width 5, but .* has block width 4"),
        (None, {"resume": False}, "must not exist without resume"),
        (None, {"redo": [10]}, "`redo` must be an integer of at least 0 and below 10, but is 10"),
        (_drop_attribute, {}, "lacks the attribute `width`"),
        (_drop_array, {}, "has no array `block_status`"),
        (lambda out: _drop_array(out, "entropy"), {}, "has no array `entropy`"),
        (lambda out: (out / "loss" / "zarr.json").write_text("{"), {}, "loss/zarr.json is damaged"),
        (lambda out: (out / "seed" / "c" / "0").write_bytes(b"?"), {}, "the array `seed` is damaged"),
        (lambda out: (out / "seed" / "c" / "0").unlink(), {}, "the array `seed` is missing"),
        (lambda out: (out / "step" / "c" / "0").unlink(), {}, "the array `step` is missing"),
        (lambda out: _flip(out / "seed" / "c" / "0"), {}, "the array `seed` is damaged"),
        (lambda out: _flip(out / "step" / "c" / "0"), {}, "the array `step` is damaged"),
        (lambda out: _folder(out / "step" / "c" / "0"), {}, "the array `step` is unreadable"),
        (lambda out: _folder(out / "block_status" / "c" / "0" / "1"), {}, "variable `block_status`, block 1 is"),
        (lambda out: _relabel(out), {}, "zarr.json is damaged: its hash does not match its axes and sizes"),
        (lambda out: (out / "zarr.json").unlink(), {}, "has no zarr.json"),
        (lambda out: (out / "zarr.json").write_text("{"), {}, "zarr.json is damaged"),
        (lambda out: (out / "zarr.json").unlink(), {"overwrite": True}, "folder of a sweep to be overwritten"),
    ],
)
def test_other_sweeps_and_broken_stores_are_refused_and_left_alone(out, damage, changes, message):
    if damage:
        damage(out)
    before = {file: file.read_bytes() for file in sorted(out.rglob("*")) if file.is_file()}
    with pytest.raises(didsim.ArgumentError, match=message):
        sweep(**{**SWEEP, **changes}, out=out)
    assert before == {file: file.read_bytes() for file in sorted(out.rglob("*")) if file.is_file()}


@pytest.mark.parametrize("name", ["seed", "step"])
@pytest.mark.parametrize("damage", ["missing", "flipped", "a folder", "empty"])
def test_coordinates_are_data(out, name, damage):
    file = out / name / "c" / "0"
    {"missing": lambda: file.unlink(), "flipped": lambda: _flip(file), "a folder": lambda: _folder(file),
     "empty": lambda: file.write_bytes(b"")}[damage]()  # fmt: skip
    with pytest.raises(didsim.ArgumentError, match=rf"the array `{name}` is [^\n]*$"):
        open_sweep(out)


def test_a_store_without_a_hash_of_its_layout_is_read(out, memory):
    text = json.loads((out / "zarr.json").read_text())
    del text["attributes"]["layout_hash"]
    (out / "zarr.json").write_text(json.dumps(text))
    assert_same_numbers(open_sweep(out), memory)


def test_another_precision_is_refused(out, monkeypatch):
    monkeypatch.setattr(stream, "float_dtype", lambda: "float32")
    with pytest.raises(didsim.ArgumentError, match=r"of dtype float32, but .* has dtype float64"):
        sweep(**SWEEP, out=out)


def test_places_that_cannot_hold_a_store_are_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(didsim.ArgumentError, match=r"at .*file there is a file"):
        sweep(**SWEEP, out=tmp_path / "file")
    with pytest.raises(didsim.ArgumentError, match="must be a folder that can be written"):
        sweep(**SWEEP, out=tmp_path / "file" / "store")
    with pytest.raises(didsim.ArgumentError, match="there is nothing"):
        open_sweep(tmp_path / "none")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "diary.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(didsim.ArgumentError, match="must be the folder of a sweep"):
            sweep(**SWEEP, out=tmp_path / "notes", overwrite=overwrite)
    assert (tmp_path / "notes" / "diary.txt").read_text() == "mine"


def test_names_the_store_needs_are_refused(tmp_path):
    run = replace_path(RUN, "metrics", lambda *_: {"block_status": jnp.zeros(())})
    with pytest.raises(didsim.ArgumentError, match="must not use the name `block_status`"):
        sweep(run, out=tmp_path / "store")
    assert not list(tmp_path.iterdir())
