"""Whose likelihood falls?  Exercises of notebook 03."""

import jax.numpy as jnp

from didsim import did
from didsim.teaching.exercise import Exercise, Slip

REFERENCE, TARGET = (0.7, 0.2, 0.1), (0.2, 0.2, 0.6)
PLACE, BETA = 0.25, 0.5
CASES = ("both fall", "only rejected falls", "both rise")


def _laws():
    return jnp.log(jnp.asarray(REFERENCE)), jnp.log(jnp.asarray(TARGET))


def _case() -> str:
    moved = did.path_displacement(*_laws(), PLACE, BETA)
    return CASES[int(moved.chosen > 0) + int(moved.rejected > 0)]


EXERCISES = (
    Exercise(
        id="03.a",
        question=(
            "π_ref = (0.7, 0.2, 0.1), π* = (0.2, 0.2, 0.6). Rejected responses come from π_ref and the power law holds. Up to "
            "which β do the chosen responses lose likelihood? To two digits."
        ),
        answer=lambda: did.critical_beta(*_laws()),
        hint="The chosen law sits at a = β on the path. Look for the zero of Λ', the mean of log(π*/π_ref) under π_a.",
        slips=(
            Slip(lambda: 0.5, "One half would be right if Λ were symmetric. Here it is not."),
            Slip(lambda: 1.0 - did.critical_beta(*_laws()), "You measured from π*; a counts from π_ref."),
        ),
    ),
    Exercise(
        id="03.b",
        question=(
            "The same π_ref and π*, with chosen responses from the place a = 0.25 of the path and β = 0.5. After training: "
            "'both fall', 'only rejected falls' or 'both rise'?"
        ),
        answer=_case,
        hint="Compare a, and a − β, with the zero of Λ' from 03.a.",
        choices=CASES,
    ),
)
