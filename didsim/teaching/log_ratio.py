"""Where do rewards without a reference end?  Exercises of notebook 02."""

import jax.numpy as jnp

from didsim import did
from didsim.numerics import simplex
from didsim.teaching.exercise import Exercise, Slip

REFERENCE, TARGET, BETA, TRAINED = (0.5, 0.3, 0.2), (0.2, 0.3, 0.5), 0.5, 1.0
UNEVEN, EVEN, REWARD = (0.6, 0.3, 0.1), (1 / 3, 1 / 3, 1 / 3), (0.0, 0.5, 1.0)


def _ends(beta: float, reference=REFERENCE, target=TARGET):
    """SimPO's end on chosen draws from the reference and the rejected law that suits ``BETA``."""
    ref, aim = jnp.log(jnp.asarray(reference)), jnp.log(jnp.asarray(target))
    return jnp.exp(did.reference_free_limit(ref, did.optimal_rejected(ref, ref, aim, BETA), beta))


def _suits(reference) -> bool:
    target = jnp.exp(simplex.tilt(jnp.log(jnp.asarray(reference)), jnp.asarray(REWARD), 1.0 / BETA))
    return bool(jnp.abs(_ends(BETA, reference, target) - target).max() < 1e-4)


def _suited() -> str:
    found = {"uneven": _suits(UNEVEN), "uniform": _suits(EVEN)}
    return "both" if all(found.values()) else next((name for name, good in found.items() if good), "neither")


EXERCISES = (
    Exercise(
        id="02.a",
        question=(
            "π_ref = (0.5, 0.3, 0.2), π* = (0.2, 0.3, 0.5); chosen from π_ref, rejected by the power law with β = 1/2. SimPO "
            "(length 1, γ = 0) is trained on this data with its own β = 1. At which law does it end? To two digits."
        ),
        answer=lambda: _ends(TRAINED),
        hint="Matching the preferences forces β log π = log(π_w/π_l) + C. Which β stands where?",
        slips=(
            Slip(lambda: _ends(BETA), "That is q itself, the end at the data's own β."),
            Slip(lambda: TARGET, "That is π*: only a reward with the reference in it ends there."),
            Slip(lambda: _ends(BETA**2 / TRAINED), "The exponent is upside down: a larger β asks for smaller log-ratios."),
        ),
    ),
    Exercise(
        id="02.b",
        question=(
            "Rewards 0, 0.5, 1, Bradley-Terry preferences, SimPO with length 1, γ = 0 and the data's β. With which "
            "reference does it end at π*: the 'uneven' (0.6, 0.3, 0.1), the 'uniform' one, 'both' or 'neither'?"
        ),
        answer=_suited,
        hint="SimPO ends at q ∝ π*/π_ref. When is that π*?",
        choices=("uneven", "uniform", "both", "neither"),
    ),
)
