"""What is the differential information between two laws, and what does preference data that encodes it teach?

Preference data of chosen and rejected draws carries the DID of π_w against π_l; this room says which policy each kind of
reward learns from it, where that policy lies on the path from reference to target, whose likelihood it costs, and whether
laws or drawn responses obey the power law that all this rests on.
"""

from didsim.did.algebra import compose, evidence_likelihood, log_did, log_ratio
from didsim.did.counts import PowerLawEstimate, estimate_power_law
from didsim.did.displacement import (
    Displacement,
    displacement,
    displacement_from_chosen,
    displacement_from_rejected,
    learned_margin,
    mean_change,
    path_displacement,
)
from didsim.did.entropy import (
    did_entropy,
    did_entropy_deficit,
    entropy_slope,
    path_entropy,
    skewness,
    temperature_gap,
    temperature_gap_third_order,
    tempered,
    third_order_did_entropy,
    uniform_cumulants,
)
from didsim.did.estimation import (
    EntropyEstimate,
    estimate_did_entropy,
    estimate_length_normalised_did_entropy,
    log_length_normalised_did,
)
from didsim.did.estimators import asymptotic_moments, weight_second_moment
from didsim.did.learned import learned_policy, optimal_rejected, reference_free_limit
from didsim.did.order import MarginOrder, PowerLaw, angle, margin_order, margin_slope, ordered_share, power_law
from didsim.did.path import critical_beta, path_cumulant, path_curvature, path_law, path_slope
from didsim.did.token_level import TokenEntropyEstimate, estimate_token_did_entropy, token_did_entropy
from didsim.did.weights import effective_sample_size, pareto_shape, pareto_shape_limit

__all__ = [
    "Displacement",
    "EntropyEstimate",
    "MarginOrder",
    "PowerLaw",
    "PowerLawEstimate",
    "TokenEntropyEstimate",
    "angle",
    "asymptotic_moments",
    "compose",
    "critical_beta",
    "did_entropy",
    "did_entropy_deficit",
    "displacement",
    "displacement_from_chosen",
    "displacement_from_rejected",
    "effective_sample_size",
    "entropy_slope",
    "estimate_did_entropy",
    "estimate_length_normalised_did_entropy",
    "estimate_power_law",
    "estimate_token_did_entropy",
    "evidence_likelihood",
    "learned_margin",
    "learned_policy",
    "log_did",
    "log_length_normalised_did",
    "log_ratio",
    "margin_order",
    "margin_slope",
    "mean_change",
    "optimal_rejected",
    "ordered_share",
    "pareto_shape",
    "pareto_shape_limit",
    "path_cumulant",
    "path_curvature",
    "path_displacement",
    "path_entropy",
    "path_law",
    "path_slope",
    "power_law",
    "reference_free_limit",
    "skewness",
    "temperature_gap",
    "temperature_gap_third_order",
    "tempered",
    "third_order_did_entropy",
    "token_did_entropy",
    "uniform_cumulants",
    "weight_second_moment",
]
