"""Diagnosing logs: exact worlds as oracle, real small training runs, logs that are not allowed."""

import csv
import html.parser
import json
import math
import re
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import preference_runs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from didsim import cli, diagnose
from didsim.diagnose import intervals, page
from didsim.diagnose.reading import read_rows

ROOT = Path(__file__).parent.parent.parent
W, L = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])  # laws of chosen and rejected responses, in hundredths of pairs
PAIRS = [(a, b) for a in range(3) for b in range(3) for _ in range(round(100 * W[a] * L[b]))]
BETA = 0.5
TARGET = W * (W / L) ** (1 / BETA) / np.sum(W * (W / L) ** (1 / BETA))  # DPO's optimum with π_ref = π_w (D5)


def tabled(laws, ref, **more):
    """Rows of all pairs under a policy law at each of some steps: frequencies are the laws themselves, without noise."""
    return [
        {
            "step": 10 * at,
            "pair": pair,
            "chosen_logps": math.log(law[a]),
            "rejected_logps": math.log(law[b]),
            "ref_chosen_logps": math.log(ref[a]),
            "ref_rejected_logps": math.log(ref[b]),
            **{name: value(a, b) for name, value in more.items()},
        }
        for at, law in enumerate(laws)
        for pair, (a, b) in enumerate(PAIRS)
    ]


def along(ref, target, places):
    """Laws on the geodesic from one law to another."""
    laws = [ref ** (1 - t) * target**t for t in places]
    return [law / law.sum() for law in laws]


def written(tmp_path, rows, name="run.jsonl"):
    return preference_runs.write(rows, tmp_path / name)


def numbers(found, name):
    return next(finding.numbers for finding in found.findings if finding.name == name)


def answer(found, name):
    return next(finding for finding in found.findings if finding.name == name)


@pytest.fixture(scope="module")
def exact(tmp_path_factory):
    scores = {
        "score_chosen": lambda a, b: BETA * math.log(TARGET[a] / W[a]),
        "score_rejected": lambda a, b: BETA * math.log(TARGET[b] / W[b]),
    }
    file = written(tmp_path_factory.mktemp("exact"), tabled(along(W, TARGET, (0, 0.25, 0.5, 1)), W, **scores))
    return diagnose.diagnose(file, beta=BETA, drawn="chosen")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The three real runs, as logs."""
    folder = tmp_path_factory.mktemp("runs")
    kinds = ("healthy", "displaced", "wrong reference")
    return {kind: written(folder, preference_runs.run(kind), f"{kind.replace(' ', '-')}.jsonl") for kind in kinds}


@pytest.fixture
def sample():
    return [json.loads(line) for line in preference_runs.SAMPLE.read_text().splitlines()]


# --- exact worlds


def test_likelihoods_of_an_exact_world(exact):
    kl = np.sum(W * np.log(W / TARGET))
    found = numbers(exact, "displacement")
    assert found["chosen change (nats)"].value == pytest.approx(-kl, abs=1e-12)
    assert found["rejected change (nats)"].value == pytest.approx(np.sum(L * np.log(TARGET / W)), abs=1e-12)
    assert found["share of chosen that fall"].value == pytest.approx(np.sum(W[TARGET < W]), abs=1e-12)
    assert exact.state == "displaced"


def test_accounting_of_an_exact_world(exact):
    kl = np.sum(W * np.log(W / TARGET))
    found = numbers(exact, "accounting")
    assert found["chosen: log A, level (nats)"].value == pytest.approx(0, abs=1e-12)
    assert found["chosen: J, unevenness (nats)"] == pytest.approx(kl, abs=1e-12)
    a = np.sum(L * TARGET / W)
    tilted = L * TARGET / W / a
    assert found["rejected: log A, level (nats)"].value == pytest.approx(math.log(a), abs=1e-12)
    assert found["rejected: J, unevenness (nats)"] == pytest.approx(np.sum(L * np.log(L / tilted)), abs=1e-12)


def test_margins_of_an_exact_world(exact):
    line, size = numbers(exact, "collinear"), numbers(exact, "size")
    assert line["share of the increments' squares on one line"] == pytest.approx(1, abs=1e-12)
    assert [one.value for one in line["fraction of the final margins reached"]] == pytest.approx([0, 0.25, 0.5, 1], abs=1e-12)
    assert size["log-odds of winning per nat of log-margin, b"].value == pytest.approx(BETA, rel=1e-9)
    assert [one.value for one in size["b by step"]][1:] == pytest.approx([4 * BETA, 2 * BETA, BETA], rel=1e-9)
    assert size["1/b (nats)"].value == pytest.approx(1 / BETA, rel=1e-9)
    assert size["log-margin per unit of true score gap (1/β if scores are rewards)"].value == pytest.approx(1 / BETA, rel=1e-12)
    assert answer(exact, "size").answer.startswith("Yes")


def test_entropy_of_an_exact_world(exact):
    q = TARGET / W / np.sum(TARGET / W)
    assert numbers(exact, "entropy")["entropy, plain (nats)"].value == pytest.approx(-np.sum(q * np.log(q)), abs=1e-12)


def test_entropy_is_trusted_only_when_draws_are_known(tmp_path):
    random = np.random.default_rng(0)
    ref = random.dirichlet(np.full(400, 8.0))
    target = along(ref, ref * np.exp(0.5 * random.normal(size=400)), [1])[0]
    drawn = random.choice(400, (2000, 2), p=ref)
    rows = [
        {"step": step, "chosen_logps": math.log(law[a]), "rejected_logps": math.log(law[b]),
         "ref_chosen_logps": math.log(ref[a]), "ref_rejected_logps": math.log(ref[b])}
        for step, law in ((0, ref), (1, target)) for a, b in drawn.tolist()
    ]  # fmt: skip
    file = written(tmp_path, rows)
    q = target / ref / np.sum(target / ref)
    truth = -np.sum(q * np.log(q))
    known, unknown = (diagnose.diagnose(file, beta=1.0, drawn=drawn) for drawn in ("both", "unknown"))
    assert numbers(known, "entropy")["trusted"] is True
    assert numbers(known, "entropy")["entropy, bias-corrected (nats)"].holds(truth)
    assert numbers(unknown, "entropy")["trusted"] is False
    assert "nobody said" in answer(unknown, "entropy").answer


def test_off_the_line_is_seen(tmp_path):
    away = [W, np.array([0.2, 0.5, 0.3]), np.array([0.3, 0.2, 0.5]), np.array([0.6, 0.1, 0.3])]
    found = diagnose.diagnose(written(tmp_path, tabled(away, W)), beta=BETA)
    assert numbers(found, "collinear")["share of the increments' squares on one line"] < 0.9
    assert not answer(found, "collinear").answer.startswith("Yes")


def test_reference_of_other_draws_is_refuted(tmp_path):
    """Draws from π_l under π_ref = π_w: the mean of π*/π_ref is Σ π_l π*/π_w, not 1."""
    found = diagnose.diagnose(written(tmp_path, tabled(along(W, TARGET, (0, 1)), W)), beta=BETA, drawn="rejected")
    assert "below 1" in answer(found, "entropy").answer
    assert answer(found, "accounting").answer.startswith("It may be")


@pytest.mark.parametrize(("beta", "word"), [(BETA / 4, "too large"), (BETA * 4, "too small")])
def test_margins_of_the_wrong_size_are_seen(tmp_path, beta, word):
    """Trained at β', the policy ends at ref·(π*/ref)^{β/β'} (D5's control): margins are β/β' of what they should be."""
    law = along(W, TARGET, (0, BETA / beta))
    found = diagnose.diagnose(written(tmp_path, tabled(law, W)), beta=BETA)
    assert word in answer(found, "size").answer


# --- intervals


def test_logistic_slope_covers():
    random = np.random.default_rng(1)
    size = np.abs(random.normal(size=(600, 150))) * 2
    won = random.random(size.shape) < 1 / (1 + np.exp(-0.7 * size))
    hits = [intervals.logistic_slope(np.where(row, s, -s), 0.95).holds(0.7) for row, s in zip(won, size, strict=True)]
    assert abs(np.mean(hits) - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 600)


def test_normaliser_covers_and_finds_bias():
    random = np.random.default_rng(2)
    draws = random.normal(size=(300, 400)) * 0.5
    known = [intervals.normaliser(row - 0.125, 0.95).log_mean.holds(0.0) for row in draws]  # E e^{c} = 1
    off = [intervals.normaliser(row, 0.95).log_mean.holds(0.0) for row in draws]
    assert abs(np.mean(known) - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 300)
    assert np.mean(off) < 0.05


def test_slopes_of_no_evidence_or_certainty():
    assert intervals.logistic_slope(np.array([1.0, 2.0, 3.0]), 0.95).value == math.inf
    assert intervals.logistic_slope(-np.array([1.0, 2.0, 3.0]), 0.95).value == -math.inf
    assert math.isnan(intervals.logistic_slope(np.zeros(3), 0.95).value)
    assert math.isnan(intervals.slope(np.zeros(3), np.ones(3), 0.95).value)
    assert intervals.correlation(np.arange(5.0), 2 * np.arange(5.0), 0.95).value == pytest.approx(1)


# --- real runs


@pytest.mark.parametrize("kind", ["healthy", "displaced", "wrong reference"])
def test_real_runs_are_named_rightly(runs, kind):
    found = diagnose.diagnose(runs[kind], beta=preference_runs.BETA)
    assert found.state == kind
    assert found.log.tracks.shape == (7, 100)
    assert bool(found.caution) == (kind == "wrong reference")
    json.dumps(found.dictionary, allow_nan=False)


def test_reference_draws_of_real_runs_fall_by_kl(runs):
    """Healthy: rejected responses are drawn from the reference; displaced: chosen ones.  There A = 1, elsewhere not (D10)."""
    for kind, drawn, other in (("healthy", "rejected", "chosen"), ("displaced", "chosen", "rejected")):
        found = numbers(diagnose.diagnose(runs[kind], beta=preference_runs.BETA, drawn=drawn, level=0.999), "accounting")
        assert found[f"{drawn}: log A, level (nats)"].holds(0.0)
        assert not found[f"{other}: log A, level (nats)"].holds(0.0)
        assert found[f"{drawn}: change = log A - J (nats)"] < 0


def test_the_sample_is_such_a_run(sample, runs):
    made = [json.loads(line) for line in runs["displaced"].read_text().splitlines()]
    assert [row["example_id"] for row in made] == [row["example_id"] for row in sample]
    assert [list(row) for row in made] == [list(row) for row in sample]
    assert diagnose.diagnose(preference_runs.SAMPLE, beta=preference_runs.BETA).state == "displaced"
    assert preference_runs.SAMPLE.stat().st_size < 200_000


# --- faults, each put into the real sample


def seen(tmp_path, rows, beta=1.0):
    found = diagnose.diagnose(written(tmp_path, rows), beta=beta)
    return found.state, {one.name: one.found for one in found.signatures}


def changed(sample, change):
    return [{**row, **change(row)} for row in sample]


def start(sample):
    return {row["example_id"]: row for row in sample if row["step"] == 0}


def scaled(sample, by):
    """Log-ratios of all rows, multiplied."""

    def move(row):
        return {
            f"{s}_logps": min(0.0, row[f"ref_{s}_logps"] + by * (row[f"{s}_logps"] - row[f"ref_{s}_logps"]))
            for s in ("chosen", "rejected")
        }

    return changed(sample, move)


def pulled(sample, chosen, rejected):
    """The references' own log-probabilities, less 20 nats, with other log-ratios on top."""

    def move(row):
        ref = {f"ref_{side}_logps": row[f"ref_{side}_logps"] - 20 for side in ("chosen", "rejected")}
        return {
            **ref,
            "chosen_logps": ref["ref_chosen_logps"] + chosen(row),
            "rejected_logps": ref["ref_rejected_logps"] + rejected(row),
        }

    return changed(sample, move)


FAULTS = {
    "identical": (lambda rows: scaled(rows, 0.0), 1.0),
    "constant reference": (lambda rows: changed(rows, lambda row: {"ref_chosen_logps": -9.0, "ref_rejected_logps": -9.0}), 1.0),
    "moving reference": (
        lambda rows: changed(rows, lambda row: {"ref_chosen_logps": row["chosen_logps"] - 0.01 * row["step"]}), 1.0,
    ),
    "wrong reference": (lambda rows: changed(rows, lambda row: {"ref_chosen_logps": 1.3 * row["ref_chosen_logps"]}), 1.0),
    "swapped": (
        lambda rows: changed(
            rows,
            lambda row: {
                f"{pre}{one}_logps": row[f"{pre}{other}_logps"]
                for one, other in (("chosen", "rejected"), ("rejected", "chosen")) for pre in ("", "ref_")
            },
        ), 1.0,
    ),
    "wrong β": (
        lambda rows: changed(
            rows, lambda row: {f"rewards/{s}": 2 * (row[f"{s}_logps"] - row[f"ref_{s}_logps"]) for s in ("chosen", "rejected")}
        ), 1.0,
    ),
    "stuck": (lambda rows: scaled(rows, 0.001), 1.0),
    "β too small": (lambda rows: scaled(rows, 3.0), 1e-3),
    "displaced": (lambda rows: rows, 1.0),
    "saturated": (lambda rows: pulled(rows, lambda row: 0.01 * row["step"], lambda row: -0.2 * row["step"]), 1.0),
    "length-driven": (
        lambda rows: pulled(
            rows,
            lambda row: 0.01 * row["step"] * (row["chosen_length"] - 3),
            lambda row: 0.01 * row["step"] * (row["rejected_length"] - 4),
        ), 1.0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_named(tmp_path, sample, fault):
    change, beta = FAULTS[fault]
    state, found = seen(tmp_path, change(sample), beta)
    assert state == fault
    assert found[fault] is True


def test_the_other_side_of_a_fault_is_not_seen(tmp_path, sample):
    _, found = seen(
        tmp_path,
        changed(sample, lambda row: {f"rewards/{s}": row[f"{s}_logps"] - row[f"ref_{s}_logps"] for s in ("chosen", "rejected")}),
    )
    assert [name for name, hit in found.items() if hit] == ["displaced"]


def test_batches_of_other_pairs_are_taken_together(tmp_path, sample):
    """A training log: every pair once, a few a step.  One pair a batch is enough."""
    steps = sorted({row["step"] for row in sample})
    for batch in (1, 5, 2):
        rows = [
            {**{k: v for k, v in row.items() if k != "example_id"}, "step": row["step"] * 100 + row["example_id"] // batch}
            for step in steps
            for row in pulled(sample, lambda row: -0.05 * row["step"], lambda row: -0.1 * row["step"])
            if row["step"] == step
        ]
        log = diagnose.read_log(written(tmp_path, rows), beta=1.0)
        assert log.tracks is None
        assert len(log.steps) == 12 + (batch == 5)
        assert log.pooled == 7 * 100 // batch
        assert np.all(np.diff(log.step) >= 0)
        assert log.step[-1] == rows[-1]["step"]
        assert np.unique(log.step, return_counts=True)[1].max() <= 700 / 12 + 2 * batch
    found = diagnose.diagnose(written(tmp_path, rows), beta=1.0)
    assert found.state == "displaced"
    tail = [row["chosen_logps"] - row["ref_chosen_logps"] for row in rows[-int(log.last.sum()) :]]
    assert numbers(found, "displacement")["chosen change (nats)"].value == pytest.approx(np.mean(tail))
    assert 50 <= len(tail) <= 70
    assert not answer(found, "collinear").answered
    assert answer(found, "size").answered
    assert "adjacent ones taken together" in found.summary


def test_long_series_are_shown_in_part():
    finding = diagnose.Finding("a", "?", "!", {"step": np.arange(100), "value": list(range(100))})
    assert len(finding.rows) == 12
    assert finding.rows[0] == (0, 0)
    assert finding.rows[-1] == (99, 99)


def test_a_start_without_step_zero(tmp_path, sample):
    """A late first row says nothing of the reference; an early one does if the policy moved less than it is off."""
    late = [row for row in sample if row["step"] >= 12]
    assert seen(tmp_path, late)[1]["wrong reference"] is None
    early = changed(sample, lambda row: {"step": row["step"] + 1, "ref_chosen_logps": 1.5 * row["ref_chosen_logps"]})
    assert seen(tmp_path, early)[1]["wrong reference"] is True


# --- what else a log may look like


def test_beta_from_rewards_or_a_column(tmp_path, sample):
    rewarded = changed(
        sample, lambda row: {f"rewards/{s}": 0.3 * (row[f"{s}_logps"] - row[f"ref_{s}_logps"]) for s in ("chosen", "rejected")}
    )
    assert diagnose.read_log(written(tmp_path, rewarded)).beta == pytest.approx(0.3)
    assert diagnose.read_log(written(tmp_path, changed(sample, lambda row: {"beta": 0.2}))).beta == 0.2
    without = diagnose.diagnose(written(tmp_path, sample))
    assert without.log.beta is None
    assert without.state == "displaced"  # which needs no β
    assert {one.name for one in without.signatures if one.found is None} >= {"stuck", "saturated", "β too small"}


def as_csv(rows, file):
    with file.open("w", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def as_parquet(rows, file):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(rows), file)


def batched(rows):
    """One row of lists per step."""
    steps = sorted({row["step"] for row in rows})
    return [
        {"step": step, **{name: [row[name] for row in rows if row["step"] == step] for name in rows[0] if name != "step"}}
        for step in steps
    ]


KINDS = {
    "run.csv": as_csv,
    "run.parquet": as_parquet,
    "run.json": lambda rows, file: file.write_text(json.dumps(rows)),
    "columns.json": lambda rows, file: file.write_text(json.dumps({name: [row[name] for row in rows] for name in rows[0]})),
    "batches.jsonl": lambda rows, file: preference_runs.write(batched(rows), file),
    "bom.jsonl": lambda rows, file: file.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(map(json.dumps, rows)).encode()),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_file_gives_the_same_log(tmp_path, sample, name):
    KINDS[name](sample, tmp_path / name)
    one, other = diagnose.read_log(preference_runs.SAMPLE, beta=1.0), diagnose.read_log(tmp_path / name, beta=1.0)
    for field in ("step", "example", "chosen", "rejected", "ref_chosen", "ref_rejected"):
        np.testing.assert_array_equal(getattr(one, field), getattr(other, field))
    np.testing.assert_array_equal(one.tracks, other.tracks)


@settings(max_examples=25, deadline=None)
@given(
    order=st.permutations(range(8)),
    more=st.dictionaries(st.text(min_size=1).map("x".__add__), st.text() | st.none() | st.floats(), max_size=3),
    whole=st.booleans(),
)
def test_column_order_and_further_columns_do_not_matter(tmp_path_factory, order, more, whole):
    sample = [json.loads(line) for line in preference_runs.SAMPLE.read_text().splitlines()][:400]
    rows = []
    for row in sample:
        entries = list(row.items())
        row = dict(entries[place] for place in order) | more
        rows.append({name: float(value) if isinstance(value, int) else value for name, value in row.items()} if whole else row)
    log = diagnose.read_log(written(tmp_path_factory.mktemp("order"), rows), beta=1.0)
    np.testing.assert_array_equal(log.chosen, [row["chosen_logps"] for row in sample])
    np.testing.assert_array_equal(log.step, [row["step"] for row in sample])


def test_own_names_are_mapped(tmp_path, sample):
    own = [
        {
            "t": row["step"],
            "a": row["chosen_logps"],
            "b": row["rejected_logps"],
            "c": row["ref_chosen_logps"],
            "d": row["ref_rejected_logps"],
        }
        for row in sample
    ]
    file = written(tmp_path, own)
    with pytest.raises(diagnose.LogError, match=r"--step NAME, --chosen NAME.*maps others"):
        diagnose.read_log(file)
    names = {"step": "t", "chosen": "a", "rejected": "b", "ref_chosen": "c", "ref_rejected": "d"}
    log = diagnose.read_log(file, beta=1.0, names=names)
    assert log.tracks.shape == (7, 100)  # by place, since the reference is the same
    with pytest.raises(ValueError, match=r"`--chosen` must be one of a, b, c, d, t, but is 'aa'. Did you mean 'a'"):
        diagnose.read_log(file, names={**names, "chosen": "aa"})


# --- batch means


def means_of(sample, beta=0.1, prefix=""):
    """What TRL would have logged of the run."""
    rows = []
    for row in batched(sample):
        c, r, rc, rr = (np.array(row[f"{name}_logps"]) for name in ("chosen", "rejected", "ref_chosen", "ref_rejected"))
        margin = beta * (c - rc - r + rr)
        values = {
            "loss": np.logaddexp(0, -margin), "rewards/chosen": beta * (c - rc), "rewards/rejected": beta * (r - rr),
            "rewards/margins": margin, "rewards/accuracies": margin > 0, "logps/chosen": c, "logps/rejected": r,
        }  # fmt: skip
        rows += [{"step": row["step"], "epoch": 0.1, **{prefix + name: float(np.mean(value)) for name, value in values.items()}}]
    return rows


def test_batch_means_answer_what_they_can(tmp_path, sample):
    file = tmp_path / "trainer_state.json"
    summary = {"step": 48, "train_runtime": 3.0}
    file.write_text(json.dumps({"log_history": [*means_of(sample, prefix="eval_"), summary]}))
    found = diagnose.diagnose(file)
    assert found.state == "displaced"
    assert found.log.beta == pytest.approx(0.1)  # rewards are exactly linear in log-probabilities on pairs that stay
    assert found.log.evaluated
    single = diagnose.diagnose(preference_runs.SAMPLE, beta=0.1)
    exact = numbers(single, "displacement")["chosen change (nats)"].value
    assert numbers(found, "displacement")["chosen change (nats)"].value == pytest.approx(exact, rel=1e-6)
    assert [one.name for one in found.findings if not one.answered] == ["accounting", "collinear", "size", "entropy"]
    assert all("Log single pairs" in one.advice for one in found.findings if not one.answered)
    assert {one.name: one.found for one in found.signatures}["wrong reference"] is None


@pytest.mark.parametrize(
    ("state", "change"),
    [
        ("stuck", lambda row: {"rewards/chosen": 1e-4, "rewards/rejected": -1e-4, "rewards/margins": 2e-4, "loss": 0.6930}),
        ("swapped", lambda row: {"rewards/chosen": 0.1, "rewards/rejected": 0.4 + row["step"] / 100, "rewards/margins": -0.5}),
        ("saturated", lambda row: {"rewards/chosen": 4.0, "rewards/rejected": -4.0, "rewards/margins": 8.0, "loss": 1e-3}),
        (
            "healthy",
            lambda row: {"rewards/chosen": row["step"] / 100, "rewards/rejected": 0.0, "rewards/margins": row["step"] / 100},
        ),
    ],
)
def test_batch_means_show_faults(tmp_path, sample, state, change):
    assert diagnose.diagnose(written(tmp_path, changed(means_of(sample), change)), beta=0.1).state == state


# --- logs that are not allowed


def broken(sample, line, **change):
    return [{**row, **change} if at == line - 1 else row for at, row in enumerate(sample)]


def lines(rows):
    return "\n".join(map(json.dumps, rows))


MALFORMED = {
    "not a number": (
        "a.jsonl",
        lambda s: lines(broken(s, 7, chosen_logps=math.nan)),
        "a.jsonl, line 7: column 'chosen_logps' must be a finite number, but is nan.",
    ),
    "positive": (
        "a.jsonl",
        lambda s: lines(broken(s, 9, ref_rejected_logps=0.25)),
        "a.jsonl, line 9: column 'ref_rejected_logps' must be a log-probability, at most 0, but is 0.25.",
    ),
    "missing value": (
        "a.jsonl",
        lambda s: lines([*s[:4], {k: v for k, v in s[4].items() if k != "rejected_logps"}, *s[5:]]),
        "line 5: column 'rejected_logps' must be a finite number, but is missing.",
    ),
    "missing column": (
        "a.jsonl",
        lambda s: lines([{k: v for k, v in row.items() if k != "ref_chosen_logps"} for row in s]),
        "must have a column for ref_chosen, but has only",
    ),
    "mixed types": (
        "a.jsonl",
        lambda s: lines(broken(s, 12, chosen_logps="-3.5")),
        "line 12: column 'chosen_logps' must be a finite number, but is '-3.5'.",
    ),
    "truth value": (
        "a.jsonl",
        lambda s: lines(broken(s, 3, step=False)),
        "line 3: column 'step' must be a finite number, but is False.",
    ),
    "text in CSV": (
        "a.csv",
        lambda s: "step,chosen_logps,rejected_logps,ref_chosen_logps,ref_rejected_logps\n0,-1,-2,-1,-2\n0,-1,n/a,-1,-2\n",
        "a.csv, line 3: column 'rejected_logps' must be a finite number, but is 'n/a'.",
    ),
    "unequal fields": ("a.csv", lambda s: "step,loss\n0,1\n1\n", "a.csv, line 3: a line must have 2 fields"),
    "unequal lists": (
        "a.jsonl",
        lambda s: '{"step": 0, "chosen_logps": [-1, -2], "rejected_logps": [-1]}',
        "line 1: lists of a row must be equally long, but 'chosen_logps' has 2 entries and 'rejected_logps' 1.",
    ),
    "unsorted": (
        "a.jsonl",
        lambda s: lines([*s[100:200], *s[:100]]),
        "line 101: column 'step' must not decrease from row to row, but 0 follows 6",
    ),
    "twice": (
        "a.jsonl",
        lambda s: lines([*s[:50], s[3], *s[50:]]),
        "line 51: a pair must come once a step, but 3 comes again at step 0.",
    ),
    "step twice in means": (
        "a.jsonl",
        lambda s: lines([*(m := means_of(s))[:2], m[1], *m[2:]]),
        "line 3: a step must have one row of means, but step 6 comes twice",
    ),
    "cut off": ("a.jsonl", lambda s: lines(s)[:-30], "line 700: a line must be one JSON object, but is not"),
    "no object": ("a.jsonl", lambda s: "[1, 2]", "line 1: a row must be a JSON object, but is list."),
    "not JSON": ("a.json", lambda s: '[\n{"step": 1},\n{"step" 2}]', "a.json, line 3: the file must be JSON, but is not"),
    "scalar JSON": ("a.json", lambda s: "3", "a.json: the file must hold an array of rows, but holds int."),
    "empty": ("a.jsonl", lambda s: "\n\n", "must hold at least one row, but a.jsonl is empty."),
    "empty JSON": ("a.json", lambda s: "", "must hold at least one row, but a.json is empty."),
    "empty CSV": ("a.csv", lambda s: "", "must hold at least one row, but a.csv is empty."),
    "ending": ("a.log", lines, "must end in .jsonl, .ndjson, .json, .csv, .parquet, but is a.log."),
    "not UTF-8": ("a.csv", lambda s: b"step,loss\n0,1\n1,\xff\n", "a.csv, line 3: a log must be UTF-8 text, but byte 17 is not."),
    "one step": ("a.jsonl", lambda s: lines(s[:100]), "a.jsonl: a log must have at least two steps, but has only step 0."),
    "one pair": (
        "a.jsonl",
        lambda s: lines(s[::100]),
        "line 1: every step must have at least 5 pairs, one a row, but step 0 has 1.",
    ),
    "beta in the log": (
        "a.jsonl",
        lambda s: lines(changed(s, lambda row: {"beta": -0.1})),
        "line 1: column 'beta' must be positive, but is -0.1.",
    ),
    "two betas": (
        "a.jsonl",
        lambda s: lines([{**row, "beta": 0.1 if at < 9 else 0.2} for at, row in enumerate(s)]),
        "line 10: column 'beta' must be the same in every row, 0.1, but is 0.2.",
    ),
    "length": (
        "a.jsonl",
        lambda s: lines(broken(s, 2, chosen_length=0)),
        "line 2: column 'chosen_length' must be at least 1, but is 0.",
    ),
    "no column twice": (
        "a.csv",
        lambda s: "step,loss,loss\n0,1,1\n",
        "line 1: column names must differ, but 'loss' is there twice.",
    ),
    "quote": ("a.csv", lambda s: 'step,loss\n0,1\n1,"2\n', "the file must be CSV, but is not"),
    "no Parquet": ("a.parquet", lambda s: "PAR1", "a.parquet: the file must be Parquet, but is not"),
    "accuracy": (
        "a.jsonl",
        lambda s: lines(changed(means_of(s), lambda row: {"rewards/accuracies": 71})),
        "line 1: column 'rewards/accuracies' must be in [0, 1], but is 71.",
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_log_is_one_line_and_exit_2(tmp_path, capsys, sample, case):
    name, text, message = MALFORMED[case]
    content = text(sample)
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert cli.main(["diagnose", str(tmp_path / name)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--beta", "0"), "Argument `--beta` must be positive and finite, but is 0."),
        (("--beta", "-0.1"), "Argument `--beta` must be positive and finite, but is -0.1."),
        (("--level", "1"), "Argument `--level` must be in"),
        (("--drawn", "chose"), "Did you mean 'chosen'?"),
        (("--chosen", "chosen_logp"), "Did you mean 'chosen_logps'?"),
        (("--html", "no/such/folder.html"), "Argument `--html` must lie in a folder that exists"),
        (("--json", str(preference_runs.SAMPLE), "--overwrite"), "must be a file other than the one that is read"),
    ],
)
def test_bad_words_are_one_line_and_exit_2(capsys, words, message):
    assert cli.main(["diagnose", str(preference_runs.SAMPLE), *words]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error


def test_a_missing_file_and_missing_pyarrow(tmp_path, capsys, monkeypatch):
    assert cli.main(["diagnose", str(tmp_path / "none.csv")]) == 2
    assert "must be a readable file" in capsys.readouterr().err
    (tmp_path / "a.parquet").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert cli.main(["diagnose", str(tmp_path / "a.parquet")]) == 2
    assert "pip install pyarrow" in capsys.readouterr().err


# --- what is written


class Page(html.parser.HTMLParser):
    """Collects what a page must not have twice or fetch."""

    def __init__(self):
        super().__init__()
        self.ids, self.outside, self.tags, self.inside = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name in ("src", "href", "xlink:href") and value:
                (self.inside if value.startswith("#") else self.outside).append(value.removeprefix("#"))


def test_files_are_written_and_kept(tmp_path, capsys):
    words = [
        "diagnose",
        str(preference_runs.SAMPLE),
        "--beta",
        "1",
        "--json",
        str(tmp_path / "a.json"),
        "--html",
        str(tmp_path / "a.html"),
    ]
    assert cli.main(words) == 1
    printed = capsys.readouterr().out
    assert "displaced-run.jsonl: displaced" in printed
    found = json.loads((tmp_path / "a.json").read_text())
    assert found["state"] == "displaced"
    assert found["findings"]["displacement"]["numbers"]["chosen change (nats)"]["high"] < 0
    read = Page()
    text = (tmp_path / "a.html").read_text()
    read.feed(text)
    assert len(set(read.ids)) == len(read.ids)
    assert set(read.inside) <= set(read.ids)
    assert not read.outside
    assert read.tags.count("svg") == 4
    assert "script" not in read.tags
    assert all(page.Markup.escape(one["title"]) in text for one in found["signatures"].values())
    assert cli.main(words) == 2
    assert "use --overwrite" in capsys.readouterr().err
    assert cli.main([*words, "--overwrite"]) == 1


def test_healthy_is_exit_0(runs, capsys):
    assert cli.main(["diagnose", str(runs["healthy"]), "--beta", "1"]) == 0
    assert "healthy" in capsys.readouterr().out


def test_the_page_of_the_documentation_is_right(tmp_path, monkeypatch, capsys):
    """Every command it prints runs, and every flag for a column is one that exists."""
    text = (ROOT / "docs" / "diagnose.md").read_text(encoding="utf-8")
    commands = re.findall(r"^\.venv/bin/didsim (diagnose .*)$", text, flags=re.M)
    assert len(commands) == 2
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    monkeypatch.chdir(tmp_path)
    assert [cli.main(words.split()) for words in commands] == [1, 1]
    assert (tmp_path / "diagnosis.html").exists()
    assert {flag[2:].replace("-", "_") for flag in re.findall(r"`(--[a-z-]+)`", text)} <= set(cli.Diagnose.__dataclass_fields__)
    found = diagnose.diagnose(preference_runs.SAMPLE, beta=1.0)
    order = text[text.index("in this order") :]
    places = [order.index(one.name) for one in found.signatures if one.fault]
    assert places == sorted(places)


def test_names_are_escaped(tmp_path, sample):
    file = written(tmp_path, means_of(sample), "<b>&.jsonl")
    text = page.html(diagnose.diagnose(file))
    assert "<b>&" not in text.replace("<b>Do", "")
    assert "&lt;b&gt;&amp;" in text


def test_rows_remember_their_place(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text('{"a": 1}\n\n{"b": [1, 2]}\n')
    rows = read_rows(file)
    assert rows.places == [1, 3, 3]
    assert rows.columns == {"a": [1, None, None], "b": [None, 1, 2]}
    assert len(rows) == 3


def test_precision_does_not_decide(runs):
    """Logs are NumPy in double precision; only weights go through JAX."""
    log = diagnose.read_log(runs["healthy"], beta=1.0)
    assert log.margin.dtype == np.float64
    assert jnp.asarray(log.margin).dtype == jnp.float64
