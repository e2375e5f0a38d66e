"""What do policies and rewards that are linear in features learn from preferences?

The linear alignment model (our reading of paper B's proxy; L1-L3): feature worlds with a reward inside or outside the
class, the loss with its closed gradient and Hessian, what the sampled features leave open, exact minimisers over the
parameters, and the three routes to a policy: DPO, RLHF in two stages, and online DPO.
"""

from didsim.landscape.linear.model import (
    feature_covariance,
    linear_model,
    open_directions,
)
from didsim.landscape.linear.routes import (
    best_in_class,
    direct,
    online,
    two_stage,
    value,
)

__all__ = [
    "best_in_class", "direct", "feature_covariance", "linear_model", "online", "open_directions", "two_stage", "value",
]  # fmt: skip
