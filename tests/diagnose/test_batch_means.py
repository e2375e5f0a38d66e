"""What do a trainer's batch means answer?"""

import json
import re

import preference_logs as logs
import preference_runs
import pytest
import trainer_logs

from didsim import diagnose


def test_batch_means_answer_what_they_can(tmp_path, sample):
    file = tmp_path / "trainer_state.json"
    summary = {"step": 48, "train_runtime": 3.0}
    file.write_text(json.dumps({"log_history": [*logs.means_of(sample, prefix="eval_"), summary]}))
    found = diagnose.diagnose(file)
    assert found.state == "displaced"
    assert found.log.beta == pytest.approx(0.1)  # rewards are exactly linear in log-probabilities on pairs that stay
    assert found.log.evaluated
    single = diagnose.diagnose(preference_runs.SAMPLE, beta=0.1)
    exact = logs.numbers(single, "displacement")["chosen change (nats)"].value
    assert logs.numbers(found, "displacement")["chosen change (nats)"].value == pytest.approx(exact, rel=1e-6)
    assert [one.name for one in found.findings if not one.answered] == [
        "ranking",
        "band",
        "accounting",
        "collinear",
        "size",
        "entropy",
    ]
    assert all("Log single pairs" in one.advice for one in found.findings if not one.answered)
    assert {one.name: one.found for one in found.signatures}["wrong reference"] is False


@pytest.mark.parametrize(
    ("state", "change"),
    [
        ("stuck", lambda row: {"rewards/chosen": 1e-4, "rewards/rejected": -1e-4, "rewards/margins": 2e-4, "loss": 0.6930}),
        (
            "swapped",
            lambda row: {"rewards/chosen": row["step"] / 400, "rewards/rejected": (m := row["step"] / 40), "rewards/margins": -m},
        ),
        (
            "saturated",
            lambda row: (
                {"rewards/chosen": 4.0, "rewards/rejected": -4.0, "rewards/margins": 8.0, "loss": 1e-3} if row["step"] else {}
            ),
        ),
        (
            "healthy",
            lambda row: {"rewards/chosen": row["step"] / 100, "rewards/rejected": 0.0, "rewards/margins": row["step"] / 100},
        ),
    ],
)
def test_batch_means_show_faults(tmp_path, sample, state, change):
    assert diagnose.diagnose(logs.written(tmp_path, logs.changed(logs.means_of(sample), change)), beta=0.1).state == state


NEEDS = {"rewards/chosen": "displaced", "loss": "scaled loss", "rewards/accuracies": "one accuracy"}


def _without(table, gone):
    return [{name: (float("nan") if name in gone else value) for name, value in row.items()} for row in table]


def _signatures(tmp_path, table):
    file = tmp_path / "log.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in table))
    return {one.name: one for one in diagnose.diagnose(file).signatures}


def test_no_fault_is_denied_without_a_number(tmp_path):
    """Of a run without one finite row a fault is seen or cannot be told; "no" would be made up."""
    table = trainer_logs.styled(trainer_logs.rows())
    found = _signatures(tmp_path, _without(table, set(table[0]) - {"step"}))
    assert found.pop("diverged").found
    assert {name for name, one in found.items() if one.found is not None} == set()
    assert all(one.found is False for one in _signatures(tmp_path, table).values() if one.name in NEEDS.values())


@pytest.mark.parametrize("gone", ["loss", "rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies"])
def test_evidence_never_rests_on_a_number_that_is_missing(tmp_path, gone):
    table = [{name: value for name, value in row.items() if name != gone} for row in trainer_logs.styled(trainer_logs.rows())]
    for one in _signatures(tmp_path, table).values():
        assert one.found is None or not re.search(r"\bnan\b|–", one.evidence), one
