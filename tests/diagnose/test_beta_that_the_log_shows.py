"""Is a β that contradicts the log noticed, and are rewards that are none of the policy's?"""

import numpy as np
import preference_logs as logs
import pytest
import trainer_logs as made

from didsim import diagnose

FALLING = {"chosen": made.learned(-6.0), "rejected": made.learned(-25.0)}


def columns(rows):
    return logs.changed(rows, lambda row: {"beta": 0.2})


SHOWN = {
    "a column of pairs": lambda few: columns(few),
    "rewards of pairs": lambda few: logs.rewarded(few, 0.2),
    "a column of means": lambda few: made.styled(columns(made.rows(**FALLING, beta=0.2))),
    "means with a reference": lambda few: made.styled(made.rows(**FALLING, beta=0.2, reference=True)),
    "evaluations of the same pairs": lambda few: made.styled(made.rows(**FALLING, beta=0.2, same=True)),
}


@pytest.mark.parametrize("case", SHOWN)
@pytest.mark.parametrize("beta", [1.0, 0.1, 0.2, None])
def test_another_beta_than_the_log_shows_is_a_fault(few, case, beta):
    found = diagnose.diagnose(SHOWN[case](few), beta=beta)
    seen = next(one for one in found.signatures if one.name == "wrong β")
    assert seen.found is (beta not in (0.2, None))
    assert not seen.found or "0.2" in seen.evidence
    assert found.log.beta == pytest.approx(beta or 0.2)


def test_without_a_word_in_the_log_any_beta_goes():
    found = diagnose.diagnose(made.styled(made.rows(**FALLING)), beta=7.0)
    assert next(one for one in found.signatures if one.name == "wrong β").found is None


ODD = {
    "swapped": lambda won, lost: (lost, won),
    "opposite sign": lambda won, lost: (-won, -lost),
    "all are 0.5": lambda won, lost: (0 * won + 0.5, 0 * lost + 0.5),
    "no multiple": lambda won, lost: (np.sin(99 * won), lost),
}


@pytest.mark.parametrize("word", ODD)
def test_rewards_that_are_no_multiple_are_named(few, word):
    def odd(row):
        won, lost = ODD[word](row["rewards/chosen"], row["rewards/rejected"])
        return {"rewards/chosen": float(won), "rewards/rejected": float(lost)}

    rows = logs.rewarded(few, 0.2)
    log = diagnose.read(logs.changed(rows, odd))
    assert log.beta is None
    assert any("not β·log(π_θ/π_ref)" in note and word in note for note in log.notes)
    assert diagnose.read(rows).notes == ()


def test_swapped_rewards_of_means_are_named():
    rows = made.rows(**FALLING, reference=True)
    swapped = logs.changed(rows, lambda row: {"reward_chosen": row["reward_rejected"], "reward_rejected": row["reward_chosen"]})
    assert "swapped" in " ".join(diagnose.read(made.styled(swapped)).notes)
    assert diagnose.read(made.styled(rows)).notes == ()
    other = logs.changed(rows, lambda row: {"reward_chosen": row["reward_chosen"] * (1 + 0.3 * (row["step"] % 2))})
    assert diagnose.read(made.styled(other)).notes == ()  # means over other batches are no fault
