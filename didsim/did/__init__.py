"""What is the differential information between two laws, and what does preference data that encodes it teach?

Preference data of chosen and rejected draws carries the DID of π_w against π_l; this room says which policy each kind of
reward learns from it, where that policy lies on the path from reference to target, whose likelihood it costs, and whether
laws or drawn responses obey the power law that all this rests on.
"""

from didsim.did.algebra import compose, evidence_likelihood, log_did
from didsim.did.changes import (
    displacement,
    displacement_from_chosen,
    displacement_from_rejected,
    learned_margin,
    mean_change,
    path_displacement,
)
from didsim.did.counts import estimate_power_law
from didsim.did.entropy import (
    did_entropy,
    entropy_slope,
    skewness,
    temperature_gap,
    temperature_gap_third_order,
    third_order_did_entropy,
    uniform_cumulants,
)
from didsim.did.estimation import (
    estimate_did_entropy,
)
from didsim.did.learned import learned_policy, optimal_rejected, reference_free_limit
from didsim.did.misfit import power_law_misfit
from didsim.did.order import margin_order, power_law
from didsim.did.path import critical_beta, path_cumulant, path_law, path_slope
from didsim.did.token_level import estimate_token_did_entropy
from didsim.did.weights import effective_sample_size, pareto_shape, pareto_shape_limit

__all__ = [
    "compose", "critical_beta", "did_entropy", "displacement", "displacement_from_chosen", "displacement_from_rejected",
    "effective_sample_size", "entropy_slope", "estimate_did_entropy", "estimate_power_law", "estimate_token_did_entropy",
    "evidence_likelihood", "learned_margin", "learned_policy", "log_did", "margin_order", "mean_change", "optimal_rejected",
    "pareto_shape", "pareto_shape_limit", "path_cumulant", "path_displacement", "path_law", "path_slope", "power_law",
    "power_law_misfit",
    "reference_free_limit", "skewness", "temperature_gap", "temperature_gap_third_order", "third_order_did_entropy",
    "uniform_cumulants",
]  # fmt: skip
