"""What do flipped labels do, and when does a cure for them have no end?  Exercises of notebook 10."""

import jax
import jax.numpy as jnp

from didsim.teaching.exercise import Exercise, Slip

GAP, RATE = 2.0, 0.1


def _odds(chance) -> float:
    """Log-odds of a chance of winning."""
    return float(jax.scipy.special.logit(jnp.asarray(chance)))


def _chance(rate: float) -> float:
    """Chance of the better response after a share of the labels was turned over."""
    return float((1.0 - 2.0 * rate) * jax.nn.sigmoid(GAP) + rate)


EXERCISES = (
    Exercise(
        id="10.a",
        question=(
            "Two responses whose true rewards differ by 2 nats, a uniform reference, β = 1. A tenth of the Bradley-Terry labels "
            "is flipped. Which log-odds log(π(a)/π(b)) does DPO end at, a being the better one? To two decimals."
        ),
        answer=lambda: _odds(_chance(RATE)),
        hint="DPO matches the labels' own log-odds; flipping turns a chance P of winning into (1 - ε)P + ε(1 - P).",
        slips=(
            Slip(lambda: (1.0 - 2.0 * RATE) * GAP, "Chances shrink by 1 - 2ε, log-odds do not."),
            Slip(lambda: GAP, "That is where clean labels lead."),
            Slip(lambda: _odds((1.0 - RATE) * jax.nn.sigmoid(GAP)), "A flipped loss is a win: add ε(1 - P)."),
        ),
    ),
    Exercise(
        id="10.b",
        question=(
            "Robust DPO with ε = 0.1 on one pair: above which chance P of the better response winning has its loss no minimum? "
            "To two decimals."
        ),
        answer=lambda: 1.0 - RATE,
        hint="Its loss in the margin m is, but for a factor, -(1-ε)log σ(m) + ε log σ(-m) with chance P, and with -m else.",
        slips=(
            Slip(lambda: 0.5 + RATE, "Take the slope for m → ∞: P·(-ε) + (1 - P)(1 - ε) must stay positive."),
            Slip(lambda: 1.0 - 2.0 * RATE, "The factor 1/(1 - 2ε) scales the loss and moves no minimum."),
        ),
    ),
)
