"""Does a diagnosis give the numbers of worlds in which every one is known?  Tables of all pairs, without sampling noise."""

import math

import numpy as np
import pytest
from preference_logs import BETA, L, W, along, answer, numbers, tabled, target, written

from didsim import diagnose


@pytest.fixture(scope="module")
def exact(tmp_path_factory):
    scores = {
        "score_chosen": lambda a, b: BETA * math.log(target()[a] / W[a]),
        "score_rejected": lambda a, b: BETA * math.log(target()[b] / W[b]),
    }
    file = written(tmp_path_factory.mktemp("exact"), tabled(along(W, target(), (0, 0.25, 0.5, 1)), W, **scores))
    return diagnose.diagnose(file, beta=BETA, drawn="chosen")


def test_likelihoods_of_an_exact_world(exact):
    kl = np.sum(W * np.log(W / target()))
    found = numbers(exact, "displacement")
    assert found["chosen change (nats)"].value == pytest.approx(-kl, abs=1e-12)
    assert found["rejected change (nats)"].value == pytest.approx(np.sum(L * np.log(target() / W)), abs=1e-12)
    assert found["share of chosen that fall"].value == pytest.approx(np.sum(W[target() < W]), abs=1e-12)
    assert exact.state == "displaced"


def test_accounting_of_an_exact_world(exact):
    kl = np.sum(W * np.log(W / target()))
    found = numbers(exact, "accounting")
    assert found["chosen: log A, level (nats)"].value == pytest.approx(0, abs=1e-12)
    assert found["chosen: J, unevenness (nats)"] == pytest.approx(kl, abs=1e-12)
    a = np.sum(L * target() / W)
    tilted = L * target() / W / a
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
    q = target() / W / np.sum(target() / W)
    assert numbers(exact, "entropy")["entropy, plain (nats)"].value == pytest.approx(-np.sum(q * np.log(q)), abs=1e-12)


def test_entropy_is_trusted_only_when_draws_are_known(tmp_path):
    random = np.random.default_rng(0)
    ref = random.dirichlet(np.full(100, 8.0))
    target = along(ref, ref * np.exp(0.5 * random.normal(size=100)), [1])[0]
    drawn = random.choice(100, (500, 2), p=ref)
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
    found = diagnose.diagnose(written(tmp_path, tabled(along(W, target(), (0, 1)), W)), beta=BETA, drawn="rejected")
    assert "below 1" in answer(found, "entropy").answer
    assert answer(found, "accounting").answer.startswith("It may be")


@pytest.mark.parametrize(("beta", "word"), [(BETA / 4, "too large"), (BETA * 4, "too small")])
def test_margins_of_the_wrong_size_are_seen(tmp_path, beta, word):
    """Trained at β', the policy ends at ref·(π*/ref)^{β/β'} (D5's control): margins are β/β' of what they should be."""
    law = along(W, target(), (0, BETA / beta))
    found = diagnose.diagnose(written(tmp_path, tabled(law, W)), beta=BETA)
    assert word in answer(found, "size").answer
