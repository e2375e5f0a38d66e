"""What does the entropy of the differential information say, and how many draws does it take?  Exercises of notebook 07."""

import jax.numpy as jnp

from didsim import did
from didsim.did.estimators import weight_second_moment
from didsim.teaching.exercise import Exercise, Slip

REFERENCE = (0.32, 0.32, 0.32, 0.04)
MASSES = (0.5, 0.25, 0.125, 0.0625, 0.0625)
POLICY, BASE, WANTED = (0.4, 0.3, 0.3), (0.1, 0.3, 0.6), 100.0


def _lower() -> str:
    gap = did.temperature_gap(jnp.log(jnp.asarray(REFERENCE)), 0.25)
    return "sharpening" if gap < 0 else "flattening"


def _effective(power: float = -1.0):
    return did.effective_sample_size(power * jnp.log(jnp.asarray(MASSES)))


def _draws(wanted: float = WANTED, *, proposal: tuple[float, ...] = POLICY):
    log_p, log_ref, log_g = (jnp.log(jnp.asarray(law)) for law in (POLICY, BASE, proposal))
    return wanted * weight_second_moment(did.log_did(log_p, log_ref), log_g)


EXERCISES = (
    Exercise(
        id="07.a",
        question=(
            "The reference is (0.32, 0.32, 0.32, 0.04). Of its two opposite updates by temperature, sharpening and flattening, "
            "which has the lower DID entropy?"
        ),
        answer=_lower,
        hint="Is log π_ref skewed to the right or to the left over the four responses? Then D12.",
        choices=("sharpening", "flattening"),
    ),
    Exercise(
        id="07.b",
        question=(
            "Five responses are drawn from π; their probabilities under π_ref are 0.5, 0.25, 0.125, 0.0625 and 0.0625. What is "
            "the effective sample size of their weights, to two decimals?"
        ),
        answer=_effective,
        hint="The weights are 1/π_ref; Kish's size is (Σu)²/Σu².",
        slips=(
            Slip(lambda: _effective(1.0), "The weights are one over the probabilities, not the probabilities."),
            Slip(lambda: float(len(MASSES)), "That is the number of draws; uneven weights make fewer of them count."),
        ),
    ),
    Exercise(
        id="07.c",
        question=(
            "π = (0.4, 0.3, 0.3), π_ref = (0.1, 0.3, 0.6), draws from π. Which K gives an effective sample size of 100, when "
            "K is large? To the nearest whole number."
        ),
        answer=_draws,
        hint="K/ESS tends to 1 + χ² = Σ q²/π, with q the DID, normalised.",
        slips=(
            Slip(lambda: _draws(proposal=BASE), "Those are draws from π_ref; here they come from π."),
            Slip(lambda: WANTED, "The weights are not even: some draws count for less than one."),
        ),
        within=0.6,
    ),
)
