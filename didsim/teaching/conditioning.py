"""Which sampler is fast?  Exercises of notebook 05."""

import jax.numpy as jnp

from didsim import landscape
from didsim.landscape import signal
from didsim.teaching.exercise import Exercise, Slip

SHARE, GAP, MOST = 0.2, 2.0, 20
REWARD = (0.0, 1.0, 3.0)


def _strongest():
    share = 1.0 - (1.0 - SHARE) ** jnp.arange(1, MOST + 1)
    return 1 + int(jnp.argmax(signal.two_level_signal(share, share, GAP)))


def _condition():
    law = jnp.full((3, 3), 1.0 / 9.0)
    values = jnp.linalg.eigvalsh(landscape.hessian_at_optimum(law, jnp.asarray(REWARD), 1.0))
    return values[-1] / values[1]


EXERCISES = (
    Exercise(
        id="05.a",
        question=(
            "One response in five of the base model is good, the others are bad. Both responses of a pair are the best of K "
            "draws. For which K is the first gradient's signal strongest?"
        ),
        answer=_strongest,
        hint="The share of good ones becomes 1 − 0.8^K, and the signal follows ε(1 − ε) (S9).",
        slips=(Slip(lambda: MOST, "More is not better: when both are nearly always good, a pair teaches nothing."),),
        within=0.1,
    ),
    Exercise(
        id="05.b",
        question=(
            "Three responses with rewards 0, 1 and 3, uniform pairs, β = 1. What is the condition number κ = λ_max/λ₂ of DPO's "
            "Hessian at the optimum? To two digits after the point."
        ),
        answer=_condition,
        hint="Write the 3 × 3 Laplacian with weights σ'(r_a − r_b) (S4); its smallest eigenvalue, zero, does not count.",
        slips=(
            Slip(
                lambda: landscape.slope_ratio_bound(jnp.asarray(REWARD)),
                "That is max σ'/min σ', the upper bound of κ and not κ itself.",
            ),
        ),
        within=1e-2,
    ),
)
