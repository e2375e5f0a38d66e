"""Is every known fault seen where it is, and not where it is not?  Each is put into the sample of a real run."""

import pytest
from preference_logs import changed, pulled, rewarded, scaled, written

from didsim import diagnose


def seen(tmp_path, rows, beta=1.0):
    """The state of the run, and every fault with whether it was found."""
    found = diagnose.diagnose(written(tmp_path, rows), beta=beta)
    return found.state, {one.name: one.found for one in found.signatures}


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
    "wrong β": (lambda rows: rewarded(rows, 2.0), 1.0),
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
def test_every_fault_is_named(tmp_path, sample, few, fault):
    change, beta = FAULTS[fault]
    state, found = seen(tmp_path, change(sample if fault == "displaced" else few), beta)  # twenty pairs do not tell that
    assert state == fault
    assert found[fault] is True


def test_the_other_side_of_a_fault_is_not_seen(tmp_path, sample):
    _, found = seen(tmp_path, rewarded(sample, 1.0))
    assert [name for name, hit in found.items() if hit] == ["displaced"]


def test_a_start_without_step_zero(tmp_path, few):
    """A late first row says nothing of the reference; an early one does if the policy moved less than it is off."""
    late = [row for row in few if row["step"] >= 12]
    assert seen(tmp_path, late)[1]["wrong reference"] is None
    early = changed(few, lambda row: {"step": row["step"] + 1, "ref_chosen_logps": 1.5 * row["ref_chosen_logps"]})
    assert seen(tmp_path, early)[1]["wrong reference"] is True
