"""Golden vectors: right to 600 digits, told apart, in every format; wrong losses are named by the check."""

import json
import os
import subprocess
import sys

import loss_oracles
import many_digits
import numpy as np
import pytest
from loss_oracles import TOKEN_MEAN
from sampling import sampled

from didsim import cli
from didsim.cli.golden import cases
from didsim.objectives import OBJECTIVES, pair_losses

CONTENT = cases.SHIPPED
ROOT = CONTENT.parent.parent.parent.parent
WHOLE = ("aot", "aot_unpaired")


@pytest.fixture(scope="module")
def golden():
    return json.loads(CONTENT.read_text(encoding="utf-8"))


def numbers(values):
    return np.asarray(values, object).astype(float)


def by_hand(one, batch):
    """Losses and slopes of the mean from the oracles, in balls."""
    name, chosen, rejected = one["objective"], len(batch["policy_chosen"]), len(batch["policy_rejected"])
    hold = max(0.0, batch["kl"])
    if name in TOKEN_MEAN:
        lengths = np.array(batch["chosen_lengths"]) + (batch["prompt_lengths"] if name == "orpo[prompt]" else 0.0)
        hold = many_digits._ball(float(sum(lengths))) / chosen
    if name == "bco[batch]":
        ratios = [p - q for k in ("chosen", "rejected") for p, q in zip(batch[f"policy_{k}"], batch[f"ref_{k}"], strict=True)]
        hold = many_digits._ball(one["numbers"]["beta"]) * float(sum(ratios)) / len(ratios)
    rows = []
    for i in range(chosen):
        won, lost = (
            (batch[f"policy_{k}"][j], batch[f"policy_{k}"][j] - batch[f"ref_{k}"][j], batch[f"{k}_lengths"][j],
             batch[f"{k}_rewards"][j], batch[f"{k}_win_rates"][j])
            for k, j in (("chosen", i), ("rejected", min(i, rejected - 1)))
        )  # fmt: skip
        more = {"prompt": batch["policy_prompts"][i]} if name == "orpo[prompt]" else {}
        rows.append(many_digits.pair(name, won, lost, hold, **one["numbers"], **more))
    return [np.array([many_digits.rounded(x) for x in column]) for column in zip(*rows, strict=True)]


def compared(golden):
    """Cases that the oracles of pairs answer."""
    for one in golden["cases"]:
        pairless = one["objective"] in WHOLE or one["batch"] in ("unequal", "corner", "weighted") or "expected" in one
        if not pairless and not (one["batch"] in ("sure", "far") and "orpo" in one["objective"]):
            yield one, golden["batches"][one["batch"]]


def test_every_answer_to_many_digits(golden):
    """A case's own tolerance holds, as it is measured without looking at these numbers."""
    seen = 0
    for one, batch in compared(golden):
        losses, *slopes = by_hand(one, batch)
        unit = one["tolerance"]["float64"]
        for key, right in [("losses", losses), *zip(("gradient_chosen", "gradient_rejected"), slopes, strict=True)]:
            got, wanted = numbers(one[key]), right if key == "losses" else right / len(right)
            slack = unit["loss" if key == "losses" else "gradient"]
            np.testing.assert_array_equal(np.isinf(got), np.isinf(wanted), err_msg=f"{one['id']} {key}")
            finite = np.isfinite(wanted)
            np.testing.assert_allclose(got[finite], wanted[finite], rtol=0, atol=slack, err_msg=f"{one['id']} {key}")
        seen += 1
    assert seen > 280


def test_control_a_wrong_answer_is_far_outside_its_tolerance(golden):
    one = next(one for one in golden["cases"] if one["id"] == "ipo[sum]/typical")
    wrong = by_hand({**one, "objective": "ipo[token_mean]"}, golden["batches"]["typical"])[0]
    assert np.abs(numbers(one["losses"]) - wrong).max() > 1e6 * one["tolerance"]["float64"]["loss"]


def test_every_two_objectives_differ_on_the_typical_batch(golden):
    found = {one["objective"]: one for one in golden["cases"] if one["id"].endswith("/typical")}
    assert set(found) == {name for name, kind in OBJECTIVES.items() if kind.of_pairs}
    for name, one in found.items():
        for other, two in found.items():
            unit = max(x["tolerance"]["float32"]["loss"] for x in (one, two))
            assert name == other or abs(one["mean"] - two["mean"]) > 100 * unit, (name, other)
        for other, value in one["not_to_be_confused_with"].items():
            assert value == found[other]["mean"]


def test_inputs_are_held_exactly_by_float32(golden):
    for batch in golden["batches"].values():
        assert batch["reason"]
        for key, value in batch.items():
            if key.startswith(("policy", "ref")):
                flat = np.asarray(value, float).ravel()
                assert np.all(flat * 8 == np.round(flat * 8))
                assert np.all(np.abs(flat) < 2048)
    tokens = golden["batches"]["tokens"]
    for role in ("chosen", "rejected"):
        sums = np.sum(np.array(tokens[f"policy_{role}_tokens"]) * tokens[f"{role}_mask"], axis=1)
        np.testing.assert_array_equal(sums, tokens[f"policy_{role}"])
        np.testing.assert_array_equal(np.sum(tokens[f"{role}_mask"], axis=1), tokens[f"{role}_lengths"])


@pytest.mark.parametrize(
    ("dtype", "half"),
    [
        (np.float32, 0),
        (np.float64, 1),
        *(pytest.param(*more, marks=pytest.mark.slow) for more in ((np.float32, 1), (np.float64, 0))),
    ],
)
def test_our_own_losses_pass_in_both_precisions(golden, dtype, half):
    """Every other objective, so that the two quick cases hold all of them."""
    names = sorted({one["objective"] for one in golden["cases"]})[half::2]
    for one in golden["cases"]:
        if one["batch"] != "typical" or "expected" in one or one["objective"] not in names:
            continue
        batch = {key: np.asarray(value, dtype) for key, value in golden["batches"]["typical"].items() if key in cases.ARGUMENTS}
        got = pair_losses(one["objective"], **batch, **one["numbers"])
        slack = one["tolerance"][np.dtype(dtype).name]["loss"]
        np.testing.assert_allclose(got.losses, numbers(one["losses"]), rtol=0, atol=slack, err_msg=one["id"])


def test_refusals_are_what_the_file_expects(golden):
    refused = {one["id"] for one in golden["cases"] if one.get("expected") == "refuse"}
    assert {"cdpo/typical/smoothing=0.5", "robust/typical/smoothing=0.75", "simpo/no_tokens", "dpo_norm/no_tokens"} <= refused


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dpo", "aot", None])
def test_regenerated_bit_for_bit(golden, tmp_path, name):
    out = tmp_path / "golden.json"
    words = ["golden", "--renew", "--out", str(out), *(["--objective", name] if name else [])]
    compiled_as_usual = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}  # the tests' own is another
    subprocess.run([sys.executable, "-m", "didsim", *words], check=True, cwd=ROOT, env=compiled_as_usual)
    shipped = [one for one in golden["cases"] if name in (None, one["objective"])]
    assert json.loads(out.read_text(encoding="utf-8"))["cases"] == shipped


def test_formats(tmp_path, capsys):
    for kind in ("json", "jsonl", "npz", "pytest"):
        out = tmp_path / f"test_golden.{'py' if kind == 'pytest' else kind}"
        assert cli.main(["golden", "--objective", "dpo", "cdpo", "--format", kind, "--out", str(out)]) == 0
        assert cli.main(["golden", "--format", kind, "--out", str(out)]) == 2
        assert "--overwrite" in capsys.readouterr().err
    lines = [json.loads(line) for line in (tmp_path / "test_golden.jsonl").read_text().splitlines()]
    assert {one["objective"] for one in lines} == {"dpo", "cdpo"}
    assert all("policy_chosen" in one["inputs"] for one in lines)
    arrays = np.load(tmp_path / "test_golden.npz")
    np.testing.assert_array_equal(arrays["dpo|typical|losses"], lines[0]["losses"])
    text = (tmp_path / "test_golden.py").read_text()
    (tmp_path / "test_golden.py").write_text(text.replace('pytest.skip("no loss yet")', YOURS))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_golden.py", "-k", "typical and not smoothing"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "passed" in done.stdout
    assert done.returncode == 0, done.stdout


YOURS = """z = numbers["beta"] * (batch["policy_chosen"] - batch["ref_chosen"] - batch["policy_rejected"] + batch["ref_rejected"])
    e = numbers.get("smoothing", 0.0)
    return (1 - e) * np.logaddexp(0, -z) + e * np.logaddexp(0, z)"""

WRONG = """
import jax
import jax.numpy as jnp

log_sigmoid = jax.nn.log_sigmoid


def margin(policy_chosen, policy_rejected, ref_chosen, ref_rejected):
    return (policy_chosen - ref_chosen) - (policy_rejected - ref_rejected)


def dpo(beta, **batch):
    return -log_sigmoid(beta * margin(*[batch[k] for k in FOUR]))


FOUR = ("policy_chosen", "policy_rejected", "ref_chosen", "ref_rejected")


def ipo_as_a_mean(chosen_lengths, rejected_lengths, beta, **batch):
    a = (batch["policy_chosen"] - batch["ref_chosen"]) / chosen_lengths
    return (a - (batch["policy_rejected"] - batch["ref_rejected"]) / rejected_lengths - 1 / (2 * beta)) ** 2


def exchanged(beta, **batch):
    return -log_sigmoid(-beta * margin(*[batch[k] for k in FOUR]))


def sign_turned(beta, **batch):
    return -dpo(beta, **batch)


def inverse_beta(beta, **batch):
    return -log_sigmoid(margin(*[batch[k] for k in FOUR]) / beta)


def smoothing_dropped(beta, smoothing, **batch):
    return dpo(beta, **batch)


def reference_forgotten(policy_chosen, policy_rejected, beta):
    return -log_sigmoid(beta * (policy_chosen - policy_rejected))


def not_detached(beta, **batch):
    a, b = batch["policy_chosen"] - batch["ref_chosen"], batch["policy_rejected"] - batch["ref_rejected"]
    middle = beta * (a.mean() + b.mean()) / 2
    return -log_sigmoid(beta * a - middle) - log_sigmoid(middle - beta * b)


def detached(beta, **batch):
    a, b = batch["policy_chosen"] - batch["ref_chosen"], batch["policy_rejected"] - batch["ref_rejected"]
    middle = jax.lax.stop_gradient(beta * (a.mean() + b.mean()) / 2)
    return -log_sigmoid(beta * a - middle) - log_sigmoid(middle - beta * b)


def summed(beta, **batch):
    return dpo(beta, **batch).sum()


def one_reference(policy_chosen, policy_rejected, ref_chosen, beta):
    return -log_sigmoid(beta * (policy_chosen - ref_chosen - policy_rejected))


def references_exchanged(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta):
    return -log_sigmoid(beta * margin(policy_chosen, policy_rejected, ref_rejected, ref_chosen))


def no_logarithm(beta, **batch):
    return 1 - jax.nn.sigmoid(beta * margin(*[batch[k] for k in FOUR]))


def per_example(beta, **batch):
    return dpo(beta, **batch) / 2


def beta_outside(beta, **batch):
    return beta * dpo(1.0, **batch)


def smoothing_added(beta, smoothing, **batch):
    z = beta * margin(*[batch[k] for k in FOUR])
    return -(1 - smoothing) * log_sigmoid(z) + smoothing * log_sigmoid(-z)


def half_smoothed(beta, smoothing, **batch):
    z = beta * margin(*[batch[k] for k in FOUR])
    return -(1 - smoothing / 2) * log_sigmoid(z) - smoothing / 2 * log_sigmoid(-z)


def tau(beta, **batch):
    return (margin(*[batch[k] for k in FOUR]) - 1 / beta) ** 2


def margin_added(policy_chosen, policy_rejected, chosen_lengths, rejected_lengths, beta, gamma):
    return -log_sigmoid(beta * (policy_chosen / chosen_lengths - policy_rejected / rejected_lengths) + gamma)


def lengths_exchanged(policy_chosen, policy_rejected, chosen_lengths, rejected_lengths, beta, gamma):
    return -log_sigmoid(beta * (policy_chosen / rejected_lengths - policy_rejected / chosen_lengths) - gamma)


def one_length(policy_chosen, policy_rejected, chosen_lengths, rejected_lengths, beta, gamma):
    length = (chosen_lengths.mean() + rejected_lengths.mean()) / 2
    return -log_sigmoid(beta * (policy_chosen - policy_rejected) / length - gamma)


def no_slope(policy_rejected, beta, **batch):
    return dpo(beta, policy_rejected=jax.lax.stop_gradient(policy_rejected), **batch)


def averaged(beta, **batch):
    return -log_sigmoid(beta * margin(*[batch[k] for k in FOUR]).mean())


def unweighted(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta, kl):
    up, down = policy_chosen - ref_chosen - kl, kl - policy_rejected + ref_rejected
    return 2 - jax.nn.sigmoid(beta * up) - jax.nn.sigmoid(beta * down)


def clipped(beta, **batch):
    return -log_sigmoid(jnp.clip(beta * margin(*[batch[k] for k in FOUR]), -20, 20))


def single(beta, **batch):
    return -log_sigmoid(beta * margin(*[batch[k].astype(jnp.float32) for k in FOUR]))


def not_a_number(beta, **batch):
    return dpo(beta, **batch) * jnp.nan


def unlike(beta, **batch):
    return jnp.tanh(margin(*[batch[k] for k in FOUR])) ** 2
"""
NAMED = [
    ("ipo_as_a_mean", "ipo[sum]", "ipo[token_mean]"),
    ("exchanged", "dpo", "dpo, chosen and rejected exchanged"),
    ("sign_turned", "dpo", "dpo, with its sign turned"),
    ("inverse_beta", "dpo", "dpo, β taken for 1/β"),
    ("smoothing_dropped", "cdpo", "cdpo, label smoothing left out"),
    ("reference_forgotten", "dpo", "dpo, without the reference"),
    ("not_detached", "bco[batch]", "bco[batch], its mean reward not held still"),
    ("summed", "dpo", "dpo, summed over the batch"),
    ("dpo", "robust", "robust, label smoothing left out"),
    ("one_reference", "dpo", "dpo, `ref_rejected` left out"),
    ("references_exchanged", "dpo", "dpo, its references exchanged"),
    ("no_logarithm", "dpo", "dpo, σ in place of log σ, plus 1"),
    ("per_example", "dpo", "dpo, times 0.5"),
    ("beta_outside", "dpo", "dpo, β left out, times 0.25"),
    ("smoothing_added", "cdpo", "robust, times 0.75"),
    ("half_smoothed", "cdpo", "cdpo, ε taken for ε/2"),
    ("tau", "ipo[sum]", "ipo[sum], β taken for β/2"),
    ("margin_added", "simpo", "simpo, `gamma` with its sign turned"),
    ("lengths_exchanged", "simpo", "simpo, its lengths exchanged"),
    ("one_length", "simpo", "simpo, the batch's mean length for each"),
    ("no_slope", "dpo", "dpo, no slope in the rejected responses"),
    ("averaged", "dpo", "dpo, averaged over the batch before the loss"),
    ("unweighted", "kto", "kto, its weights left out"),
    ("clipped", "dpo", "dpo, but not on far"),
    ("single", "dpo", "dpo, in float32"),
    ("not_a_number", "dpo", "none: not finite on the typical batch"),
]


@pytest.fixture
def losses(tmp_path, monkeypatch):
    (tmp_path / "wrong_losses.py").write_text(WRONG)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    yield
    sys.modules.pop("wrong_losses", None)


@pytest.mark.parametrize(("function", "objective", "named"), sampled(NAMED, 9))
def test_a_wrong_loss_is_named(losses, capsys, function, objective, named):
    assert cli.main(["golden", "--check", f"wrong_losses:{function}", "--objective", objective]) == 1
    row = capsys.readouterr().out.splitlines()[1]
    assert row.startswith(objective)
    assert row.rstrip().endswith(named)


def test_control_a_loss_of_no_kind_is_given_no_name(losses, capsys):
    assert cli.main(["golden", "--check", "wrong_losses:unlike", "--objective", "dpo"]) == 1
    assert "none; least far: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("function", "objective"), [("dpo", "dpo"), ("ipo_as_a_mean", "ipo[token_mean]"), ("detached", "bco[batch]")]
)
def test_a_right_loss_passes(losses, capsys, function, objective):
    assert cli.main(["golden", "--check", f"wrong_losses:{function}", "--objective", objective]) == 0
    row = capsys.readouterr().out.splitlines()[1].split()
    assert row[0] == objective
    right, asked = row[1].split("/")
    assert right == asked


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["golden"], "Argument `--out` must be given where `--check` is not"),
        (["golden", "--out", "cases.npz"], "Argument `--format` must be npz for a file that ends in .npz, but is json."),
        (["golden", "--check", "wrong_losses"], "Argument `--check` must be MODULE:FUNCTION, but is 'wrong_losses'."),
        (["golden", "--check", "wrong_losses:none"], "Argument `--check` must name a function of wrong_losses"),
        (["golden", "--check", "no_such_module:f"], "Argument `--check` must name a module that can be imported"),
        (["golden", "--check", "wrong_losses:dpo", "--objective", "dpoo"], "Argument `--objective` must be one of"),
        (["golden", "--objective", "rlhf", "--check", "wrong_losses:dpo"], "Argument `--objective` must be a loss of pairs"),
        (
            ["golden", "--check", "wrong_losses:log_sigmoid", "--objective", "dpo"],
            "Argument `--check` must be a function of policy_chosen, policy_rejected, ref_chosen, ref_rejected,",
        ),
        (["golden", "--check", "wrong_losses:log_sigmoid", "--objective", "dpo"], "by these names, but wants x."),
        (["objectives", "sigmoid"], "DPO: loss_type=sigmoid (ignores label_smoothing) is 'dpo'."),
    ],
)
def test_bad_words_are_one_line(losses, capsys, words, message):
    assert cli.main(words) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1


def test_the_oracles_floats_are_still_floats():
    assert isinstance(loss_oracles.log_sigmoid(0.5), float)
