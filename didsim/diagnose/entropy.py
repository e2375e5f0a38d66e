"""What is the entropy of the differential information, and can an estimate from these logs be trusted?

Importance weights need the law that the responses were drawn from.  Logs of pairs do not hold it; who knows that they
are draws from the reference says so, and gets the estimate with its diagnostics (D13).
"""

from typing import Any

import jax.numpy as jnp
import numpy as np

from didsim import did
from didsim.diagnose.answers import Answer, unanswered
from didsim.diagnose.intervals import Estimate
from didsim.diagnose.likelihood import normalisers
from didsim.diagnose.logs import PairLog

FEWEST_EFFECTIVE = 30  # effective draws; below, even light-tailed weights leave intervals that miss too often
NOTE = (
    "Pooled over prompts this is the mean of the prompts' entropies, weighted by their normalisers, less the divergence of those "
    "weights; it is the DID entropy itself where all pairs share one prompt."
)


def did_entropy(log: PairLog, level: float) -> Answer:
    """Estimate at the last step with weights of draws from the reference, and whether to trust it."""
    sides = ("chosen", "rejected") if log.drawn in ("both", "unknown") else (log.drawn,)
    policy, reference = (np.concatenate([getattr(log, of + side)[log.last] for side in sides]) for of in ("", "ref_"))
    if np.allclose(policy, reference, rtol=0, atol=1e-9):
        return unanswered("policy and reference are the same law, q is uniform.", "See the signatures below.")
    laws = (jnp.asarray(values) for values in (policy, reference, reference))
    found = did.estimate_did_entropy(*laws, level=level, resamples=10)  # the bootstrap's interval, the dearest, is not shown
    low, high = np.asarray(found.jackknife)
    consistent = normalisers(log, level)["both" if log.drawn == "unknown" else log.drawn].verdict
    effective, shape, limit = float(found.effective), float(found.pareto_shape), did.pareto_shape_limit(found.samples)
    numbers: dict[str, Any] = {
        "entropy, bias-corrected (nats)": Estimate(float(found.corrected), float(low), float(high)),
        "entropy, plain (nats)": Estimate(float(found.value), *(float(end) for end in np.asarray(found.delta))),
        "draws K": found.samples,
        "effective draws": effective,
        f"tail shape k̂ (limit {limit:.2f})": shape,
        "drawn from the reference": log.drawn,
        "mean of π_θ/π_ref is 1": {"one": "as far as can be seen", "unknown": "cannot be told"}.get(
            consistent, f"no, {consistent}"
        ),
    }
    doubts = _doubts(log.drawn, effective, shape, limit, consistent)
    numbers["trusted"] = not doubts
    answer = (
        f"{float(found.corrected):.3g} nats; trust it."
        if not doubts
        else f"Do not trust {float(found.corrected):.3g} nats: {'; '.join(doubts)}."
    )
    advice = "" if not doubts else (
        "Draw responses from the policy or the reference itself, thousands of short ones rather than 32 long ones, and see "
        "`didsim reproduce A7`; for long responses use the token-level entropy (didsim.did.estimate_token_did_entropy)."
    )  # fmt: skip
    return Answer(answer, numbers, advice, NOTE)


def _doubts(drawn: str, effective: float, shape: float, limit: float, consistent: str) -> list[str]:
    doubts = []
    if drawn == "unknown":
        doubts.append("it takes both responses for draws from the reference, which nobody said (--drawn)")
    if not shape <= limit:
        doubts.append(
            "too few draws for a tail"
            if np.isnan(shape)
            else f"the weights' tail is too heavy (k̂ = {shape:.2f}, limit {limit:.2f})"
        )
    if effective < FEWEST_EFFECTIVE:
        doubts.append(f"the weights rest on {effective:.1f} effective draws")
    if consistent in ("below", "above"):
        doubts.append(f"the mean of π_θ/π_ref is {consistent} 1, so the responses are no fair draws from the reference")
    return doubts
