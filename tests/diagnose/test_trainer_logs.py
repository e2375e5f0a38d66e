"""Are logs of batch means read as trainers write them, and is each named for what it is?  Each kind in many spellings."""

import csv
import io
import json
import math

import numpy as np
import pytest
import trainer_logs as made

from didsim import cli, diagnose

NAN = math.nan
FALLING = {"chosen": made.learned(-6.0), "rejected": made.learned(-25.0)}
RISING = {"chosen": made.learned(5.0), "rejected": made.learned(-8.0)}


def judged(rows, **given):
    """State and the log of rows given from Python."""
    found = diagnose.diagnose(rows, **given)
    return found.state, found.log


@pytest.mark.parametrize("style", made.STYLES)
@pytest.mark.parametrize(("kind", "state"), [(RISING, "healthy"), (FALLING, "displaced")])
def test_names_in_any_spelling_say_the_same(style, kind, state):
    rows = made.rows(**kind, beta=0.3, reference=True, seed=4)
    found, log = judged(made.styled(rows, style))
    assert found == state
    assert log.beta == pytest.approx(0.3, rel=1e-6)
    np.testing.assert_allclose(log.change("chosen"), [row["reward_chosen"] for row in rows])
    np.testing.assert_allclose(log.step, [row["step"] for row in rows])


def nested(rows):
    one = [{"step": row["step"], "loss": row["loss"]} for row in rows]
    return json.dumps({"best": [], "curves": {"loss": one}, "run": {"state": {"records": rows, "tags": ["a", "b", "c"]}}})


def table(rows, between=",", empty=""):
    out = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(out, names, delimiter=between, restval=empty)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


FILES = {
    "nested.json": nested,
    "columns.json": lambda rows: json.dumps({"history": {name: [row[name] for row in rows] for name in rows[0]}, "x": [1]}),
    "frame.json": lambda rows: json.dumps({name: {str(at): row[name] for at, row in enumerate(rows)} for name in rows[0]}),
    "by index.json": lambda rows: json.dumps({"run": {str(at): row for at, row in enumerate(rows)}}),
    "split.json": lambda rows: json.dumps(
        {"columns": [*rows[0]], "index": [*range(len(rows))], "data": [[*row.values()] for row in rows]}
    ),
    "objects.jsonl": lambda rows: "\n".join(json.dumps({"step": row.pop("step"), "metrics": row}) for row in map(dict, rows)),
    "comma.csv": table,
    "semicolon.csv": lambda rows: table(rows, ";"),
    "tab.tsv": lambda rows: table(rows, "\t"),
    "strings.jsonl": lambda rows: "\n".join(json.dumps({name: f"{value:.9g}" for name, value in row.items()}) for row in rows),
    "of.jsonl": lambda rows: "\n".join(json.dumps(row | {"step": f"{row['step']}/400"}) for row in rows),
}


@pytest.mark.parametrize("name", FILES)
def test_layout_of_the_file_does_not_matter(tmp_path, name):
    rows = made.styled(made.rows(**FALLING))
    (tmp_path / name).write_text(FILES[name](rows))
    log = diagnose.read(tmp_path / name)
    np.testing.assert_allclose(log.step, [row["step"] for row in rows])
    np.testing.assert_allclose(log.gap, [row["rewards/margins"] for row in rows], rtol=1e-6)


def test_frames_are_read():
    pandas = pytest.importorskip("pandas")
    rows = made.styled(made.rows(**FALLING))
    rows[3].pop("loss")  # a frame holds NaN there
    assert judged(pandas.DataFrame(rows))[0] == "displaced"
    with pytest.raises(diagnose.LogError, match="must be a file, a data frame or a list of rows, but is int"):
        diagnose.read(3)


def test_evaluations_are_told_from_training_rows():
    training = made.styled(made.rows(**RISING))
    held = made.styled(made.rows(**FALLING, steps=(60, 120, 180), same=True, beta=0.2), prefix="eval_")
    state, log = judged([*training, *held])
    assert (state, log.evaluated) == ("displaced", True)
    assert log.beta == pytest.approx(0.2)
    state, log = judged([*training, held[0]])  # one evaluation is no series
    assert (state, log.evaluated) == ("healthy", False)
    assert log.held["margin"] == pytest.approx(held[0]["eval_rewards/margins"])


def test_a_progress_table_holds_evaluations():
    rows = made.rows(same=True, beta=0.25)
    table = [{"Validation Loss": row["loss"]} | row | {"loss": 0.5} for row in rows]
    _, log = judged(made.styled(table, "blanks"))
    assert log.evaluated
    assert log.beta == pytest.approx(0.25)
    np.testing.assert_allclose(log.means["loss"], [row["loss"] for row in rows])


# Divergence and gaps


@pytest.mark.parametrize("lost", [3, 8])
@pytest.mark.parametrize("bad", [NAN, math.inf, "NaN"])
def test_divergence_is_dated_and_what_came_before_judged(lost, bad):
    gone = ("reward_chosen", "reward_rejected", "margin", "logp_chosen", "logp_rejected")
    for kind, others in ((RISING, []), (FALLING, ["displaced"])):
        rows = made.rows(**kind, scatter=0.2)
        rows[-lost:] = [row | dict.fromkeys(gone, bad) | {"loss": 0.0, "accuracy": 0.0} for row in rows[-lost:]]
        found = diagnose.diagnose(made.styled(rows))
        assert [fault.name for fault in found.faults] == ["diverged", *others]
        ended = found.log.diverged
        assert (ended.after, ended.at, ended.rows) == (rows[-lost - 1]["step"], rows[-lost]["step"], lost)


def test_divergence_from_the_start_stops_no_other_file(tmp_path):
    rows = made.styled([row | dict.fromkeys(("reward_chosen", "reward_rejected", "margin"), NAN) for row in made.rows()])
    (tmp_path / "a.json").write_text(json.dumps({"log_history": rows}))
    for more in ([], ["--details"], ["--html", str(tmp_path / "a.html"), "--json", str(tmp_path / "b.json")]):
        assert cli.main(["diagnose", str(tmp_path / "a.json"), *more]) == 1


def test_gaps_on_one_side_are_no_divergence():
    def gaps(step, row):
        side = ("reward_chosen", "reward_rejected")[step % 2]
        return {"grad_norm": 3.0, "kl": 0.1} | ({side: NAN, "margin": NAN, "loss": NAN} if step % 4 == 0 else {})

    state, log = judged(made.styled(made.rows(**RISING, loss=made.kto, extra=gaps)))
    assert (state, log.diverged, log.objective.key) == ("healthy", None, "kto")
    assert any("missing data" in note for note in log.notes)


# Steps


def test_doubled_steps_are_named_and_the_later_row_counts():
    rows = made.styled(made.rows(**RISING))
    again = [*rows[:9], {**rows[8], "rewards/margins": 9.0}, *rows[9:]]
    state, log = judged(again)
    assert (state, len(log.step)) == ("healthy", len(rows))
    assert log.gap[8] == 9.0
    assert f"Step {rows[8]['step']} comes twice" in " ".join(log.notes)
    resumed = [*rows[:12], *rows[8:]]
    np.testing.assert_array_equal(judged(resumed)[1].step, [row["step"] for row in rows])
    with pytest.raises(diagnose.LogError, match="is this one run, in order"):
        diagnose.read([*rows, *rows])


def test_losses_in_rows_of_their_own():
    rows = made.rows(**RISING)
    apart = [
        part
        for row in rows
        for part in ({k: v for k, v in row.items() if k != "loss"}, {"step": row["step"] + 1, "loss": row["loss"]})
    ]
    _, log = judged(made.styled(apart))
    np.testing.assert_allclose(log.means["loss"], [row["loss"] for row in rows])


def test_without_steps_rows_are_numbered():
    rows = made.styled([{k: v for k, v in row.items() if k != "step"} | {"epoch": row["step"] // 20 / 10} for row in made.rows()])
    _, log = judged(rows)
    np.testing.assert_array_equal(log.step, np.arange(1, len(rows) + 1))
    assert "rows are numbered" in log.notes[0]
    assert "'epoch' does not number the rows" in judged(rows, names={"step": "epoch"})[1].notes[0]


# Which loss?


@pytest.mark.parametrize("scale", [2, 4, 8, 16])
def test_a_loss_summed_over_batches(scale):
    slow = {"chosen": made.learned(0.2), "rejected": made.learned(-0.1)}
    state, log = judged(made.styled([row | {"loss": scale * row["loss"]} for row in made.rows(**slow)]))
    found = diagnose.diagnose(made.styled([row | {"loss": scale * row["loss"]} for row in made.rows(steps=range(0, 200, 9))]))
    assert (state, log.objective.scale, log.loss) == ("stuck", scale, None)
    assert [fault.name for fault in found.faults] == ["scaled loss"]


@pytest.mark.parametrize("beta", [0.01, 0.05, 0.2])
@pytest.mark.parametrize("same", [True, False])
def test_ipo_by_its_start_and_its_parabola(beta, same):
    rows = made.rows(
        beta=beta,
        loss=made.ipo,
        same=same,
        chosen=made.learned(0.12 / beta),
        rejected=made.learned(-0.1 / beta),
        steps=range(0, 99, 5),
    )
    state, log = judged(made.styled(rows))
    assert (state, log.objective.key) == ("healthy", "ipo")


@pytest.mark.parametrize(("beta", "scale"), [(0.05, 1), (0.1, 1), (0.1, 36), (0.15, 16), (0.3, 4)])
def test_ipo_and_a_summed_loss_that_start_alike(beta, scale):
    """(1/2β)² is G·ln 2 at some β and G; IPO's loss falls faster, in the same few rows."""
    kind = {"chosen": made.learned(0.2 / beta), "rejected": made.learned(-0.2 / beta), "beta": beta, "same": True}
    rows = made.rows(**kind, loss=made.ipo if scale == 1 else made.dpo)
    _, log = judged(made.styled([row | {"loss": scale * row["loss"]} for row in rows]))
    assert (log.objective.key, log.objective.scale) == ("ipo" if scale == 1 else "dpo", scale)


@pytest.mark.parametrize("smoothing", [0.05, 0.1, 0.2])
def test_smoothing_by_the_excess_over_softplus(smoothing):
    best = math.log(1 / smoothing - 1) / 0.1
    kind = {"chosen": made.learned(-0.1 * best), "rejected": made.learned(-1.1 * best)}
    state, log = judged(made.styled(made.rows(**kind, loss=made.cdpo(smoothing), scatter=0.04)))
    assert (state, log.objective.key) == ("displaced", "cdpo")
    assert log.objective.parameters["smoothing"] == pytest.approx(smoothing, rel=0.15)


def test_plain_dpo_is_not_taken_for_another():
    for seed in range(12):
        for scatter in (0.1, 0.6, 1.5):
            log = judged(made.styled(made.rows(**RISING, seed=seed, scatter=scatter, beta=0.02 * (seed + 1))))[1]
            assert (log.objective.key, log.objective.scale) == ("dpo", 1)


def test_hinge_and_added_nll():
    assert judged(made.styled(made.rows(loss=made.hinge, steps=range(0, 99, 3))))[1].objective.key == "hinge"

    def added(step, row):
        return {"nll_loss": (nll := 1.7 - step / 900), "loss": row["loss"] + 0.5 * nll}

    rows = made.rows(extra=added, steps=range(0, 99, 3))
    _, log = judged(made.styled(rows))
    assert (log.objective.key, log.objective.parameters["weight"]) == ("rpo", 0.5)
    np.testing.assert_allclose(log.loss, [row["loss"] - 0.5 * row["nll_loss"] for row in rows])


@pytest.mark.parametrize("whole", [True, False])
def test_orpo_and_losses_without_reference_withhold_what_needs_one(whole):
    def free(step, row):
        won, lost = -1.1 + step / 900, -0.6 + step / 1800
        more = {"log_odds_chosen": won - lost, "log_odds_ratio": -0.9, "nll_loss": -won} if whole else {}
        rewards = {"reward_chosen": 0.2 * won, "reward_rejected": 0.2 * lost, "margin": 0.2 * (won - lost), "accuracy": 0.0}
        return more | rewards | {"logp_chosen": won, "logp_rejected": lost, "loss": 1.3}

    found = diagnose.diagnose(made.styled(made.rows(extra=free)))
    assert found.log.objective.key == ("orpo" if whole else "simpo")
    assert {one.name for one in found.signatures if one.evidence.startswith("not a check")} >= {
        "displaced",
        "wrong reference",
        "stuck",
    }
    assert not whole or found.state == "healthy"


def test_a_loss_that_is_given_counts():
    rows = made.styled(made.rows(**FALLING))
    assert judged(rows, objective="cdpo:smoothing=.1")[1].objective.parameters == {"smoothing": 0.1}
    assert judged(rows, objective="rpo:weight=5e-1")[1].objective.parameters == {"weight": 0.5}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ipoo", "Did you mean 'ipo'"),
        ("cdpo:smoothing=.7", r"in \(0, 0.5\)"),
        ("ipo:a=1", "no parameter"),
        ("", "must be one of cdpo, dpo"),
        ("ipo:", "must be name or name:parameter=number, but is 'ipo:'"),
        ("cdpo:,", "must be name or name:parameter=number"),
        ("cdpo:smoothing=.1,", "must be name or name:parameter=number"),
        ("cdpo:smoothing", "must be name or name:parameter=number"),
        ("cdpo:smoothing=.1,smoothing=.2", "must name each parameter once"),
        ("rpo:weight=1/5", "weight positive and finite, but has '1/5'"),
    ],
)
def test_an_objective_that_is_none_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        diagnose.read(made.styled(made.rows()), objective=text)


# What it means


@pytest.mark.parametrize("level", [(60.0, 20.0), (-45.0, -60.0)])
def test_a_level_from_the_first_row_is_the_reference(level):
    kinds = {side: (lambda base, more: lambda done: base + more(done))(base, more) for side, base, more in zip(  # noqa: B023
        made.SIDES, level, (made.learned(5.0), made.learned(-3.0)), strict=True)}  # fmt: skip
    found = diagnose.diagnose(made.styled(made.rows(**kinds, scatter=0.01)))
    assert found.state == "wrong reference"
    assert "displaced" not in [fault.name for fault in found.faults]


@pytest.mark.parametrize("start", ["step 0", "rate 0"])
def test_off_zero_before_anything_is_learned_is_the_reference(start):
    """However far the run goes afterwards; a little noise is none."""
    for level, states in ((-2.0, ["wrong reference", "displaced"]), (2.0, ["wrong reference"]), (0.05, [])):
        kinds = {"chosen": lambda done, at=level: at + 10 * math.copysign(done, at), "rejected": lambda done: -15 * done}
        rows = made.rows(**kinds, scatter=0.1, steps=range(0, 90, 5) if start == "step 0" else range(1, 90, 5))
        rows = [row | ({} if start == "step 0" else {"learning_rate": 1e-6 * min(at, 3)}) for at, row in enumerate(rows)]
        assert [fault.name for fault in diagnose.diagnose(made.styled(rows)).faults] == states


def test_quick_learning_is_no_wrong_reference():
    """Half of the way within a tenth of the steps, at whatever level: the first row is late, or near zero."""
    for speed in (4.0, 12.0):
        kinds = {"chosen": made.learned(-20.0, speed), "rejected": made.learned(-60.0, speed)}
        assert judged(made.styled(made.rows(**kinds, steps=range(1, 90, 4), scatter=0.1)))[0] == "displaced"


def test_stuck_off_the_reference_is_not_displaced():
    random = np.random.default_rng(8)
    for _ in range(5):
        rows = []
        for step in range(1, 41):
            a, b = -0.7 + 0.2 * random.normal() + 1.5 * random.normal(size=(2, 60))
            row = {"step": step, "reward_chosen": 0.1 * a.mean(), "reward_rejected": 0.1 * b.mean(), "grad_norm": 0.0}
            rows.append(row | {"margin": 0.1 * (a - b).mean(), "loss": made.softplus(-0.1 * (a - b)).mean()})
        assert [fault.name for fault in diagnose.diagnose(made.styled(rows)).faults] == ["stuck", "wrong reference"]


def test_saturation_by_the_last_row_alone():
    kind = {"chosen": made.learned(2.0, 9.0), "rejected": made.learned(-150.0, 9.0)}
    for steps in ((1, 9, 17), range(1, 80)):
        assert judged(made.styled(made.rows(**kind, steps=steps, scatter=0.05)))[0] == "saturated"


def test_means_with_a_reference_are_no_pairs():
    rows = [{k: v for k, v in row.items() if not k.startswith("reward")} for row in made.rows(**FALLING, reference=True)]
    state, log = judged(made.styled(rows, "suffixed"))
    assert (state, log.unit, log.beta) == ("displaced", "nats", None)
    bare = [{k: v for k, v in row.items() if k != "margin"} for row in rows]
    assert judged(made.styled(bare))[0] == "displaced"


@pytest.mark.parametrize("name", ["index", "id", "example_id"])
def test_rows_that_are_numbered_are_still_means(name):
    rows = made.styled(made.rows(**FALLING, reference=True))
    state, log = judged([{name: at, **row} for at, row in enumerate(rows)])
    assert (state, log.unit) == ("displaced", "reward")
    pairs_of_five = [{name: at % 5, **row, "step": at // 5} for at, row in enumerate(rows)]
    assert isinstance(diagnose.read(pairs_of_five[:20]), diagnose.PairLog)


def test_letters_for_winner_and_loser():
    short = {"logp_chosen": "pi_logp_w", "logp_rejected": "pi_logp_l", "ref_chosen": "ref_logp_w", "ref_rejected": "ref_logp_l"}
    rows = [{short.get(k, k): v for k, v in row.items() if "reward" not in k} for row in made.rows(**FALLING, reference=True)]
    assert judged(rows)[0] == "displaced"


def test_log_probabilities_by_unknown_names_are_not_taken_for_a_loss_alone():
    rows = [{"step": at, "loss": 0.6, "good_logp": -3.0 - at, "bad_logp": -4.0 - at} for at in range(5)]
    with pytest.raises(diagnose.LogError, match="maps others"):
        diagnose.read(rows)


def test_margins_of_other_pairs_give_no_beta():
    rows = [{k: v for k, v in row.items() if k not in ("reward_chosen", "reward_rejected")} for row in made.rows(reference=True)]
    assert judged(made.styled(rows))[1].beta is None


# Single pairs


def pairs(random, *, fall, tokens=(8, 90), count=40):
    out = []
    size = np.rint(np.exp(random.uniform(*np.log(tokens), size=(2, count))))
    ref = -size * random.uniform(0.8, 2.0, size=(2, count))
    for step in (0, 20, 40):
        change = step / 40 * np.stack([fall + random.normal(size=count), fall - 9 + random.normal(size=count)])
        for at in range(count):
            row = {"step": step, "example_id": at}
            for side, k in (("chosen", 0), ("rejected", 1)):
                row |= {
                    f"{side}_logps": min(0.0, ref[k, at] + change[k, at]),
                    f"ref_{side}_logps": ref[k, at],
                    f"{side}_length": int(size[k, at]),
                }
            out.append(row)
    return out


def test_means_over_tokens_are_taken_times_the_lengths():
    random = np.random.default_rng(3)
    rows = pairs(random, fall=-3.0)
    per_token = [
        row | {name: row[name] / row[f"{side}_length"] for side in made.SIDES for name in (f"{side}_logps", f"ref_{side}_logps")}
        for row in rows
    ]
    one, other = diagnose.diagnose(rows), diagnose.diagnose(per_token)
    assert one.state == other.state == "displaced"
    np.testing.assert_allclose(one.log.change_chosen, other.log.change_chosen, atol=1e-9)
    assert not one.log.notes
    assert "means over tokens" in other.log.notes[0]


def test_a_coarse_grid_is_said():
    random = np.random.default_rng(5)
    rows = pairs(random, fall=-12.0, tokens=(60, 300))

    def bfloat16(value):
        return float((np.array(value, np.float32).view(np.uint32) + np.uint32(0x8000) & np.uint32(0xFFFF0000)).view(np.float32))

    coarse = [{name: bfloat16(value) if "logps" in name else value for name, value in row.items()} for row in rows]
    assert "coarse" in diagnose.diagnose(coarse).log.notes[0]
    assert diagnose.diagnose(coarse).state == "displaced"
    assert not diagnose.diagnose(rows).log.notes


# What is printed


@pytest.mark.parametrize("kind", [RISING, FALLING])
@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "ascii"])
def test_the_default_answer_fits_a_screen(tmp_path, monkeypatch, kind, encoding):
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "a.json").write_text(json.dumps(made.styled(made.rows(**kind))))
    out = io.TextIOWrapper(raw := io.BytesIO(), encoding=encoding)
    monkeypatch.setattr("sys.stdout", out)
    code = cli.main(["diagnose", str(tmp_path / "a.json")])
    printed = raw.getvalue().decode(encoding).splitlines()
    assert code == (kind is FALLING)
    assert len(printed) <= 24
    assert max(map(len, printed)) <= 82
    assert len(set(printed)) == len(printed)
