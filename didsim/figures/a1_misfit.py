"""The part of A1 that asks whether an update lies along the preference direction, which needs no target.

``R = log(π_w/π_l)``, ``q_γ ∝ π_ref e^{γR}``, and γ* that of the same mean of R: ``J = KL(π‖q_γ*)`` is what the direction does
not explain, ``KL(π‖π_ref) = J + KL(q_γ*‖π_ref)``, and DPO ends at ``J = 0``, ``γ* = 1/β`` (F2).  Near π* both J, which is the
least KL over a line that π* lies on, and four times the JSD to π* are half the variance of the error of log π, so J has
four times that distance's bound; γ* is linear in the error, and βγ* off by its size ``√(8 JSD)`` where
``log(π*/π_ref)`` varies by a nat.
"""

import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float

from didsim import did
from didsim.figures.verdicts import Verdict, below, by_dtype, must_break
from didsim.numerics import simplex
from didsim.worlds import Problem


def explained(worlds: Problem, trained: Float[Array, "objective seed n"]) -> dict:
    """KL(q_γ*‖π_ref) and KL(π‖π_ref) of every objective's end, and J of the first along ``log π_w`` alone."""
    laws = (worlds.log_ref, worlds.log_chosen, worlds.log_rejected)
    found = did.power_law_misfit(trained, *laws)
    even = jnp.broadcast_to(simplex.uniform(trained.shape[-1], trained.dtype), worlds.log_ref.shape)
    other = did.power_law_misfit(trained, *laws[:2], even).misfit
    axes = ("objective", "seed")
    return {
        "end_misfit": (axes, np.asarray(found.misfit), {"units": "nats"}),
        "end_strength": (axes, np.asarray(worlds.beta * found.gamma)),
        "end_explained": (axes, np.asarray(simplex.kl(found.log_fit, worlds.log_ref)), {"units": "nats"}),
        "end_kl_ref": (axes, np.asarray(simplex.kl(trained, worlds.log_ref)), {"units": "nats"}),
        "other_misfit": (axes, np.asarray(other), {"units": "nats"}),
    }


def misfit_verdicts(data: xr.Dataset) -> list[Verdict]:
    """DPO's update is all preference direction, SimPO's is not, and nothing is lost between the two parts."""
    tight = by_dtype(1e-10, 1e-7)
    parts = data["end_misfit"] + data["end_explained"]
    dpo, simpo = (data.sel(objective=name) for name in ("dpo", "simpo γ=0"))
    return [
        below("dpo stays on the power law: J", dpo["end_misfit"], 4.0 * tight),
        below("dpo goes 1/β along it: |βγ* - 1|", abs(dpo["end_strength"] - 1.0), np.sqrt(8.0 * tight)),
        below("KL(π‖π_ref) = J + KL(q_γ*‖π_ref): |difference| ÷ (1 + KL)",
              abs(data["end_kl_ref"] - parts) / (1.0 + data["end_kl_ref"]), by_dtype(1e-10, 1e-5)),
        must_break("simpo γ=0 stays on the power law: J", simpo["end_misfit"], 1e-3),
        must_break("dpo stays on the line along log π_w: J", dpo["other_misfit"], 1e-3),
    ]  # fmt: skip
