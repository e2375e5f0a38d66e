"""What can a policy say when prompts share parameters but responses do not?

The other half of linear models: fixed features of the prompt, free weights for every response.  A single pair cannot
displace its chosen response here (L4; Razin et al. 2410.08847, appendix F), although prompts do move each other.
"""

from typing import final

import jax.numpy as jnp
from jaxtyping import Array, Float

from didsim.numerics import checks, simplex
from didsim.numerics.pytrees import checked, one_of
from didsim.policies.policy import STARTS, Policy, finite_axes, register


@register("context_linear")
@final
class ContextLinear(Policy):
    """``π_W(y|x) ∝ π_ref(y|x) e^{(W h(x))_y}`` with free weights W, shape (n, d), started at W = 0 (L4).

    With ``start = "reference"`` that start is π_ref; with ``start = "flat"`` the factor π_ref is left out, logits are
    ``W h(x)`` alone as in Razin et al. 2410.08847, and the start is uniform.  One-hot contexts make it a table.

    Args:
        contexts: h, shape (prompts, d), finite; (d,) for a single prompt.
        start: ``"reference"`` or ``"flat"``.

    Raises:
        ArgumentError: contexts that are not finite or do not match the reference law, or an unknown start.
    """

    contexts: Float[Array, "*prompts d"] = checked(finite_axes(1))
    start: str = one_of(STARTS, default="reference")

    def init(self, log_ref):
        return jnp.zeros((log_ref.shape[-1], self.contexts.shape[-1]), log_ref.dtype)

    def log_probs(self, params, log_ref):
        contexts = checks.spread("contexts", self.contexts, (log_ref.shape[0], self.contexts.shape[-1])).astype(log_ref.dtype)
        logits = jnp.einsum("xd,nd->xn", contexts, params)
        return simplex.normalize(log_ref + logits if self.start == "reference" else logits)
