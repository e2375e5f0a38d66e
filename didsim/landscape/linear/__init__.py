"""What do policies and rewards that are linear in features learn from preferences?

The linear alignment model (our reading of paper B's proxy; L1-L3): feature worlds with a reward inside or outside the
class, the loss with its closed gradient and Hessian, what the sampled features leave open, exact minimisers over the
parameters, and the three routes to a policy: DPO, RLHF in two stages, and online DPO.
"""

from didsim.landscape.linear.model import (
    LinearModel,
    curvature_bounds,
    feature_covariance,
    linear_model,
    open_directions,
    open_parts,
)
from didsim.landscape.linear.routes import (
    best_in_class,
    direct,
    fit_reward,
    online,
    reward_of,
    two_stage,
    value,
    value_expansion,
    value_weights,
)

__all__ = [
    "LinearModel",
    "best_in_class",
    "curvature_bounds",
    "direct",
    "feature_covariance",
    "fit_reward",
    "linear_model",
    "online",
    "open_directions",
    "open_parts",
    "reward_of",
    "two_stage",
    "value",
    "value_expansion",
    "value_weights",
]
