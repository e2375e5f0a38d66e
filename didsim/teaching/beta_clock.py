"""How do runs with different β compare, early and late?  Exercises of notebook 06."""

import jax.numpy as jnp

from didsim.numerics import simplex
from didsim.teaching.exercise import Exercise, Slip

REFERENCE, REWARD = (0.6, 0.3, 0.1), (0.0, 0.3, 0.6)
RATE, BETA, OTHER = 1.5, 0.1, 0.5


def _end(beta: float, *, backwards: bool = False):
    ref = jnp.log(jnp.asarray(REFERENCE))
    end = simplex.tilt(ref, jnp.asarray(REWARD), 1.0 / beta)
    return simplex.kl(ref, end) if backwards else simplex.kl(end, ref)


EXERCISES = (
    Exercise(
        id="06.a",
        question=(
            "You like how DPO trains at β = 0.1 with plain gradient descent at learning rate 1.5 on uniform pairs. Which "
            "learning rate gives β = 0.5 the same margins at every step? To two digits."
        ),
        answer=lambda: RATE * (BETA / OTHER) ** 2,
        hint="All depends on ηβ²t: which η keeps ηβ² what it was?",
        slips=(
            Slip(lambda: RATE * BETA / OTHER, "That makes the first KLs equal, not the margins. Look at the clock again."),
            Slip(lambda: RATE * (OTHER / BETA) ** 2, "The ratio is upside down: a larger β already moves margins faster."),
        ),
    ),
    Exercise(
        id="06.b",
        question=(
            "In this notebook's world (π_ref = (0.6, 0.3, 0.1), rewards 0, 0.3, 0.6), how far from the reference does DPO with "
            "β = 0.5 end? KL(π‖π_ref) in nats, to three digits."
        ),
        answer=lambda: _end(OTHER),
        hint="Write down where DPO ends, π_ref e^{r/β} normalised, and take its KL to π_ref.",
        slips=(
            Slip(lambda: _end(OTHER, backwards=True), "That is KL(π_ref‖π); the other way round is asked for."),
            Slip(lambda: _end(1.0), "That is the end for β = 1."),
            Slip(lambda: _end(1.0 / OTHER), "The reward is divided by β, not multiplied."),
        ),
        within=1e-3,
    ),
)
