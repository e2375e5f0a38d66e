"""What can a policy say that is free to say anything?"""

from typing import final

from jaxtyping import Array, Float

from didsim.numerics import checks, simplex
from didsim.numerics.pytrees import checked
from didsim.policies.policy import Policy, finite_axes, register


@register("table")
@final
class Table(Policy):
    """Free logits, one per prompt and response: ``π_θ(y|x) = softmax(θ_x)_y``, started at ``θ = log π_ref``."""

    def init(self, log_ref):
        return log_ref

    def log_probs(self, params, log_ref):
        return simplex.normalize(params)


@register("started_at")
@final
class StartedAt(Policy):
    """A `Table` that starts at logits of one's own instead of at the reference.

    Args:
        log_start: logits at the start, shape (n,) for all prompts or (prompts, n), finite.

    Raises:
        ArgumentError: logits that are not finite or do not match the reference law.
    """

    log_start: Float[Array, "*prompts n"] = checked(finite_axes(1))

    def init(self, log_ref):
        return checks.spread("log_start", self.log_start, log_ref.shape).astype(log_ref.dtype)

    def log_probs(self, params, log_ref):
        return Table().log_probs(params, log_ref)
