"""What is the differential information between two laws, and what does preference data that encodes it teach?

Preference data of chosen and rejected draws carries the DID of π_w against π_l; this room says which policy each kind of
reward learns from it.
"""

from didsim.did.algebra import compose, evidence_likelihood, log_did, log_ratio
from didsim.did.entropy import did_entropy
from didsim.did.learned import learned_policy, optimal_rejected, reference_free_limit
from didsim.did.order import margin_slope, ordered_share

__all__ = [
    "compose",
    "did_entropy",
    "evidence_likelihood",
    "learned_policy",
    "log_did",
    "log_ratio",
    "margin_slope",
    "optimal_rejected",
    "ordered_share",
    "reference_free_limit",
]
