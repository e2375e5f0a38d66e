"""Where does a conjecture fail?  Exercises of notebook 08."""

import jax.numpy as jnp

from didsim import did
from didsim.teaching.exercise import Exercise, Slip

REFERENCE, TARGET, BETA = (1 / 4, 3 / 4), (1 / 2, 1 / 2), 1 / 4


def _laws():
    return jnp.log(jnp.asarray(REFERENCE)), jnp.log(jnp.asarray(TARGET))


def _change(place: float):
    return did.path_slope(*_laws(), place)


EXERCISES = (
    Exercise(
        id="08.a",
        question=(
            "Work out a counterexample to conjecture 2 by hand: π_ref = π_l = (1/4, 3/4), π* = (1/2, 1/2), β = 1/4. By how much "
            "does the mean log-likelihood of chosen responses change when DPO has reached π*? Nats, to three decimals."
        ),
        answer=lambda: _change(BETA),
        hint="Chosen responses come from π_w ∝ π_ref (π*/π_ref)^β; average log(π*/π_ref) over that law.",
        slips=(
            Slip(lambda: _change(0.0), "You averaged over π_ref; the chosen responses come from π_w."),
            Slip(lambda: _change(1.0), "You averaged over π*; chosen responses come from π_w, earlier on the path."),
        ),
        within=1e-3,
    ),
    Exercise(
        id="08.b",
        question=(
            "For the same two laws: from which β on do chosen responses gain likelihood, if rejected ones come from π_ref? "
            "To three decimals."
        ),
        answer=lambda: did.critical_beta(*_laws()),
        hint="Λ'(β_c) = 0. `did.critical_beta` solves it; so do a logarithm and a pencil.",
        slips=(Slip(lambda: 1.0, "From 1 on they certainly do, but they start earlier."),),
        within=1e-3,
    ),
)
