"""Which rejected law teaches the target?  Exercises of notebook 01."""

import jax.numpy as jnp

from didsim import did
from didsim.teaching.exercise import Exercise, Slip

REFERENCE, TARGET, BETA = (0.5, 0.3, 0.2), (0.2, 0.3, 0.5), 0.25


def _law(beta: float, start: tuple[float, ...] = REFERENCE, end: tuple[float, ...] = TARGET):
    chosen, ref, target = (jnp.log(jnp.asarray(law)) for law in (REFERENCE, start, end))
    return jnp.exp(did.optimal_rejected(chosen, ref, target, beta))


EXERCISES = (
    Exercise(
        id="01.a",
        question=(
            "Chosen responses come from π_ref = (0.5, 0.3, 0.2). From which law must rejected responses come so that DPO "
            "with β = 1/4 ends at π* = (0.2, 0.3, 0.5)? Three probabilities, to two digits."
        ),
        answer=lambda: _law(BETA),
        hint="Write the power law π_w/π_l ∝ (π*/π_ref)^β (D4) and solve it for π_l.",
        slips=(
            Slip(lambda: TARGET, "That is the target π* itself; the rejected law has to lead away from it."),
            Slip(lambda: _law(2.0 * BETA), "That is the notebook's own rejected law, for β = 1/2."),
            Slip(lambda: _law(1.0), "That is the answer for β = 1. The power law has the exponent β."),
            Slip(lambda: _law(BETA, TARGET, REFERENCE), "That law leads towards the target. Look which way up the ratio goes."),
        ),
    ),
)
