"""The benchmark: rivals compute what didsim computes, rows say what they must, the picture draws."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from rivals import torch_loop
from rivals.c_kernel import FORMS, compile_kernel
from rivals.numpy_form import numpy_sums
from tolerance import tolerance

from didsim import cli
from didsim.cli.bench import accelerator, available, pairs, picture, suite, training
from didsim.cli.bench.suite import QUICK, Measured, Plan, measure
from didsim.cli.bench.timing import Row, fastest
from didsim.dynamics.run import execute, run_key
from didsim.numerics.pair_sums import kernel_sum
from didsim.worlds import RandomReward

KEYS = ["name", "ours_s", "rival_s", "ratio", "note"]
PROMISED = {
    "gradient_n1e6_vs_c",
    "small_n_vs_c",
    "small_n_vs_dense",
    "single_run_vs_torch",
    "batched_runs_vs_torch",
    "cost_per_run_1e5_vs_1e3",
}
TINY = Plan(small=((16, 2),), large=(10, 40), runs=(2,), sweep_steps=2, seconds=0.0, starts=0, figure=False, memory=())


@pytest.fixture(scope="module")
def measured() -> Measured:
    torch = available.torch_module()
    if torch is not None:
        torch.set_num_threads(1)  # on a busy machine two threads of small tensors take a hundred times longer
    return measure(TINY)


@pytest.mark.slow
def test_rows_have_their_keys_and_the_ratio_is_rival_over_ours(measured):
    for row in measured.rows:
        told = row.to_json()
        assert list(told) == KEYS
        assert told["ours_s"] > 0
        assert told["ratio"] == (None if told["rival_s"] is None else told["rival_s"] / told["ours_s"])
        assert told["note"]
    assert Row("x", 2.0, 3.0, "n").ratio == 1.5
    assert Row("x", 2.0, None, "n").ratio is None


@pytest.mark.slow
def test_the_promised_rows_are_there(measured, monkeypatch):
    names = [row.name for row in measured.rows]
    assert len(set(names)) == len(names)
    monkeypatch.setattr(training, "_seconds", lambda call, seconds: 1.0)
    monkeypatch.setattr(training, "sweep", lambda *words, **named: None)
    monkeypatch.setattr(available, "torch_module", lambda: None)
    sweeps, _ = training.sweep_rows(QUICK.runs, 1, 0.0)
    monkeypatch.setattr(pairs, "population_gradient", lambda n: (abs, (1.0,)))
    gradients, _ = pairs.gradient_rows(None, QUICK.large, 0.0)
    assert {*names, *(row.name for row in sweeps + gradients)} >= PROMISED


@pytest.mark.slow
def test_without_rivals_rows_stay_and_say_why(monkeypatch):
    monkeypatch.setattr(available, "torch_module", lambda: None)
    monkeypatch.setattr(training, "STEPS", 2)
    with jax.enable_x64(False):
        rows = {row.name: row for row in training._published_rows(0.0, double=False)}
    rows |= {row.name: row for row in pairs.small_n_rows(None, [(16, 2)], 0.0)}
    assert rows["single_run_vs_torch"].ratio is None
    assert available.NO_TORCH in rows["single_run_vs_torch"].note
    assert rows["small_n_vs_c"].ratio is None
    assert available.NO_C in rows["small_n_vs_c"].note
    assert rows["small_n_vs_dense"].ratio is not None


@pytest.mark.slow
def test_all_rows_of_training_stay_without_torch(monkeypatch):
    monkeypatch.setattr(available, "torch_module", lambda: None)
    monkeypatch.setattr(training, "STEPS", 2)
    rows = training.torch_rows(0.0)
    assert len(rows) >= 4
    for row in rows:
        assert row.ratio is None or "torch" not in row.name, row.name
        assert available.NO_TORCH in row.note or "torch" not in row.name, row.name


def test_from_a_wheel_no_rival_is_needed(monkeypatch):
    monkeypatch.setattr(available, "HERE", False)
    monkeypatch.setattr(training, "STEPS", 2)
    assert available.compiled_kernel() is None
    assert available.torch_module() is None
    rows = {row.name: row for row in pairs.small_n_rows(available.compiled_kernel(), [(16, 2)], 0.0)}
    assert rows["small_n_vs_numpy"].ratio is None
    assert available.NO_NUMPY in rows["small_n_vs_numpy"].note
    gradients, _ = pairs.gradient_rows(None, [10], 0.0)
    assert [row.ratio for row in gradients] == [None, None]


def test_fastest_takes_the_least_of_several():
    calls = {"a": 0, "b": 0}

    def count(name):
        calls[name] += 1

    best = fastest({name: lambda name=name: count(name) for name in calls}, 0.001)
    assert min(calls.values()) >= 4  # one to warm up, then at least three
    assert 0 <= best["a"] < 0.01


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("form", FORMS)
def test_c_kernel_agrees_with_the_oracle_and_didsim(form, dtype):
    kernel = compile_kernel()
    if kernel is None:
        pytest.skip(available.NO_C)
    u, w = pairs.pair_data(32, 3, dtype)
    wide = u.astype(np.float64)
    wins = np.stack([oracles.bradley_terry(row) for row in wide])
    expected = np.einsum("rab,rb->ra", wins, w.astype(np.float64))
    close = {"rtol": tolerance(dtype, condition=8), "atol": 0}
    np.testing.assert_allclose(kernel.sums(u, w, form), expected, **close)
    np.testing.assert_allclose(numpy_sums(u, w), expected, **close)
    on_device = jnp.asarray(u), jnp.asarray(w)
    np.testing.assert_allclose(kernel_sum("sigmoid", on_device[0], *on_device), expected, **close)
    np.testing.assert_allclose(pairs.xla_dense(*on_device), expected, **close)


def test_loading_the_c_kernel_leaves_subnormal_numbers_as_they_are():
    smallest = np.nextafter(0.0, 1.0)
    if compile_kernel() is None:
        pytest.skip(available.NO_C)
    assert smallest != 0.0  # is 0 where a library turned subnormals off
    assert smallest * 2.0 > smallest


@pytest.mark.parametrize("n", [10, 40])
def test_the_gradient_measured_is_the_population_gradient(n):
    gradient, (logits, problem, comparisons) = pairs.population_gradient(n)
    chosen, rejected, ref = (np.asarray(law)[0] for law in (problem.log_chosen, problem.log_rejected, problem.log_ref))
    log_policy = np.asarray(logits)[0] - np.log(np.sum(np.exp(np.asarray(logits)[0])))
    slope = oracles.dpo_gradient(log_policy, ref, chosen, rejected, 0.5)
    # The slopes sum to zero, so the softmax takes nothing away.
    np.testing.assert_allclose(np.asarray(gradient(logits, problem, comparisons))[0], slope, atol=tolerance(condition=4))


def test_published_loop_agrees_with_a_compiled_run():
    """Same laws and metrics at every step; with another rate they differ."""
    torch = available.torch_module()
    if torch is None:
        pytest.skip(f"{available.NO_TORCH}: its loop cannot be compared; pip install torch")
    problems = jax.vmap(RandomReward(5, beta=training.PUBLISHED_BETA).draw)(jax.random.split(jax.random.key(0), 2))
    rewards = torch.from_numpy(np.array(problems.reward)[:, 0])
    settings = {"beta": training.PUBLISHED_BETA, "learning_rate": training.PUBLISHED_RATE}
    final, values, errors = torch_loop.train_as_published(torch, rewards, steps=8, **settings)
    ours = jax.jit(jax.vmap(lambda problem: execute(training.published_run(problem, 8), run_key(0))))(problems)
    assert ours.metrics["value"].shape == (2, 9)
    np.testing.assert_allclose(ours.log_policy[:, 0], final, atol=tolerance(condition=1e3))
    np.testing.assert_allclose(ours.metrics["value"][:, :8], values, rtol=1e-5)  # the loop records in single precision
    np.testing.assert_allclose(ours.metrics["error"][:, :8], errors, rtol=1e-4, atol=1e-6)
    wrong, _, _ = torch_loop.train_as_published(torch, rewards, steps=8, **{**settings, "learning_rate": 9.0})
    assert np.abs(np.asarray(wrong) - ours.log_policy[:, 0]).max() > 1e-3


def test_torch_loop_agrees_with_a_compiled_run():
    torch = available.torch_module()
    if torch is None:
        pytest.skip(f"{available.NO_TORCH}: its loop cannot be compared; pip install torch")
    problems, steps = training.worlds(3), 20
    tensors = [torch.from_numpy(np.array(array)) for array in training.torch_arrays(problems)]
    settings = {"beta": training.BETA, "learning_rate": training.LEARNING_RATE, "steps": steps}
    batched, _ = torch_loop.train(torch, *tensors, **settings)
    run = jax.jit(lambda problem: execute(training.tight_run(problem, steps), run_key(0)))
    for place in range(3):
        ours = run(training.lane(problems, place))
        single, losses = torch_loop.train(torch, *(tensor[place] for tensor in tensors), **settings)
        # Adam divides by the root of a gradient's square: where a gradient is near zero its rounding is amplified.
        close = tolerance(condition=1e4)
        np.testing.assert_allclose(single.numpy(), ours.log_policy[0], atol=close)
        np.testing.assert_allclose(batched.numpy()[place], ours.log_policy[0], atol=close)
        assert losses[0] == pytest.approx(float(ours.metrics["loss"][0]), abs=tolerance())
        wrong, _ = torch_loop.train(torch, *(tensor[place] for tensor in tensors), **{**settings, "beta": 0.6})
        assert np.max(np.abs(wrong.numpy() - ours.log_policy[0])) > 100 * close


def test_picture_draws_and_dashes_what_was_scaled():
    step = {"didsim": {10: 1.0, 100: 2.0}, "C": {10: 0.5}, "C scaled": {10: 0.5, 100: 50.0}, "NumPy": {}, "NumPy scaled": {}}
    figure = picture.draw(step, {"didsim": {1: 1.0, 10: 0.2}, "PyTorch": {1: 3.0}})
    left, right = figure.axes
    assert [line.get_linestyle() for line in left.lines] == ["-", "-", "--"]
    assert {text.get_text() for text in left.texts} == {"didsim", "C"}
    assert {text.get_text() for text in right.texts} == {"didsim", "PyTorch"}
    figure.canvas.draw()  # type: ignore[attr-defined]


@pytest.mark.slow
def test_the_command_writes_rows_manifest_and_picture(tmp_path, monkeypatch, capsys, measured):
    monkeypatch.setattr(suite, "measure", lambda plan, tell: measured)
    file, out = tmp_path / "rows.json", tmp_path / "made"
    assert cli.main(["bench", "--quick", "--json", str(file), "--out", str(out)]) == 0
    rows = json.loads(file.read_text())
    assert [list(row) for row in rows] == [KEYS] * len(measured.rows)
    assert {path.name for path in out.iterdir()} == {"bench-cost.svg", "bench-cost.png", "bench.json", "bench.manifest.json"}
    assert json.loads((out / "bench.json").read_text()) == rows
    assert "cores" in json.loads((out / "bench.manifest.json").read_text())["machine"]
    assert "single_run_vs" in capsys.readouterr().out
    assert cli.main(["bench", "--json", str(tmp_path)]) == 2
    assert cli.main(["bench", "--out", str(file)]) == 2
    assert capsys.readouterr().err.count("\n") == 2


@pytest.mark.slow
def test_the_crossover_can_be_measured_again():
    rows = pairs.crossover_rows([16], 0.0)
    assert len(rows) == 6
    assert all(row.ratio and row.name.startswith("crossover_") for row in rows)


SMALL = accelerator.Sizes(runs=8, fewer=4, width=4, steps=2, responses=100, seconds=0.0)


@pytest.mark.slow
def test_an_accelerators_rows_hold_the_gradient_against_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(accelerator, "FULL", SMALL)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert cli.main(["bench", "--gpu", "--out", str(tmp_path)]) == 0
    rows = {row["name"]: row for row in json.loads((tmp_path / "bench-gpu.json").read_text())}
    assert {path.name for path in tmp_path.iterdir()} == {"bench-gpu.json", "bench-gpu.manifest.json"}
    assert set(rows) == {"gpu_single_run", "gpu_gradient_vs_memory", "gpu_sweep"}
    assert rows["gpu_single_run"]["ratio"] is None
    assert 0 < rows["gpu_gradient_vs_memory"]["ratio"] < 1  # no gradient is faster than one reading of its arrays


def test_without_an_accelerator_none_is_measured(tmp_path, capsys):
    assert cli.main(["bench", "--gpu", "--out", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert "`--gpu`" in told
    assert "cpu" in told
    assert told.count("\n") == 1
    assert not list(tmp_path.iterdir())
