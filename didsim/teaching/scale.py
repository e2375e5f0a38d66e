"""How large is a sweep, and which of its runs will diverge?  Exercises of notebook 09."""

import math

import jax.numpy as jnp

from didsim import landscape
from didsim.teaching.exercise import Exercise, Slip

SAMPLERS, BETAS, SEEDS, WIDTH = 3, 5, 64, 128


def _largest(squares: float = 2.0):
    """Twice the inverse of IPO's largest curvature on the chain a-b-c, both pairs shown half of the time."""
    pair = jnp.zeros((3, 3)).at[0, 1].set(0.5).at[1, 2].set(0.5)
    return 2.0 / landscape.descent_rate(squares * landscape.laplacian(pair + pair.T))[1]


EXERCISES = (
    Exercise(
        id="09.a",
        question="A sweep has 3 samplers, 5 values of β, 64 seeds and a width of 128. How many blocks does its store have?",
        answer=lambda: float(SAMPLERS * math.ceil(BETAS * SEEDS / WIDTH)),
        hint="Each sampler is a program of its own, with its own blocks; β and seeds are the runs in them.",
        slips=(
            Slip(
                lambda: float(math.ceil(SAMPLERS * BETAS * SEEDS / WIDTH)),
                "A block never holds runs of two programs: count each sampler's blocks by themselves.",
            ),
            Slip(lambda: float(SAMPLERS * BETAS * SEEDS), "Those are the runs; a block holds up to 128 of them."),
        ),
    ),
    Exercise(
        id="09.b",
        question=(
            "Three responses a, b, c; the pairs (a, b) and (b, c) are shown half of the time each, (a, c) never. From which "
            "learning rate on does gradient descent on IPO diverge? To two decimals."
        ),
        answer=_largest,
        hint="2/λ_max of 2·Lap, and a chain of two edges of weight w has the eigenvalues 0, w and 3w.",
        slips=(
            Slip(lambda: _largest(1.0), "The link is a square: its second derivative is 2."),
            Slip(lambda: _largest() / 2.0, "That is 1/λ_max; there the stiffest direction converges in one step."),
        ),
    ),
)
