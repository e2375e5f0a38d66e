"""What is said of single pairs whose log-probabilities end in NaN?"""

import pytest
from preference_logs import changed, written

from didsim import diagnose
from didsim.diagnose.reading import LogError


def lost(sample, since, sides=("chosen_logps", "rejected_logps"), value=float("nan")):
    return changed(sample, lambda row: {side: value for side in sides if row["step"] >= since})


@pytest.fixture
def steps(few):
    return sorted({row["step"] for row in few})


@pytest.mark.parametrize("value", [float("nan"), "NaN", float("inf")])
def test_the_rows_before_are_read_as_if_the_log_ended_there(tmp_path, few, steps, value):
    found = diagnose.diagnose(written(tmp_path, lost(few, steps[3], value=value)), beta=1.0)
    assert found.state == "diverged"
    assert f"between steps {steps[2]:g} and {steps[3]:g}" in found.faults[0].evidence
    cut = diagnose.diagnose(written(tmp_path, [row for row in few if row["step"] < steps[3]]), beta=1.0)
    assert found.dictionary["findings"] == cut.dictionary["findings"]
    assert [one.found for one in found.signatures[1:]] == [one.found for one in cut.signatures[1:]]


@pytest.mark.parametrize("sound", [0, 1])
def test_nothing_else_is_said_without_two_steps_before(tmp_path, few, steps, sound):
    found = diagnose.diagnose(written(tmp_path, lost(few, steps[sound])), beta=1.0)
    assert found.state == "diverged"
    assert not any(one.answered for one in found.findings)
    assert {one.found for one in found.signatures if one.name != "diverged"} == {None}


def test_a_hole_is_no_divergence(tmp_path, few, steps):
    with pytest.raises(LogError, match="must be a finite number, but is nan"):
        diagnose.diagnose(written(tmp_path, lost(few, steps[3], sides=("chosen_logps",))), beta=1.0)
    holed = changed(
        few, lambda row: {"chosen_logps": float("nan"), "rejected_logps": float("nan")} if row["step"] == steps[1] else {}
    )
    with pytest.raises(LogError, match="must be a finite number, but is nan"):
        diagnose.diagnose(written(tmp_path, holed), beta=1.0)
