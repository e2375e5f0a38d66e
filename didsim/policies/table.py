"""What can a policy say that is free to say anything?"""

from typing import final

from didsim import simplex
from didsim.policies.policy import Policy
from didsim.records import record


@final
@record
class Table(Policy):
    """Free logits, one per prompt and response: ``π_θ(y|x) = softmax(θ_x)_y``, started at ``θ = log π_ref``."""

    def init(self, log_ref):
        return log_ref

    def log_probs(self, params, log_ref):
        del log_ref
        return simplex.normalize(params)
