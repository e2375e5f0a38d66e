"""What do policies and rewards that are linear in features learn from preferences?

The linear alignment model (our reading of paper B's proxy; L1-L3): feature worlds with a reward inside or outside the
class, the loss with its closed gradient and Hessian, what the sampled features leave open, exact minimisers over the
parameters, and the three routes to a policy: DPO, RLHF in two stages, and online DPO.
"""

from didsim.landscape.linear.minimum import Minimum, minimise
from didsim.landscape.linear.model import (
    Bounds,
    LinearModel,
    curvature_bounds,
    feature_covariance,
    linear_model,
    open_directions,
    open_parts,
)
from didsim.landscape.linear.routes import (
    TwoStage,
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
from didsim.worlds.linear import LinearReward, draw_features

__all__ = [
    "Bounds",
    "LinearModel",
    "LinearReward",
    "Minimum",
    "TwoStage",
    "best_in_class",
    "curvature_bounds",
    "direct",
    "draw_features",
    "feature_covariance",
    "fit_reward",
    "linear_model",
    "minimise",
    "online",
    "open_directions",
    "open_parts",
    "reward_of",
    "two_stage",
    "value",
    "value_expansion",
    "value_weights",
]
