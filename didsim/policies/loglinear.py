"""What can a policy say when all responses share a few parameters through features?

The linear alignment model: responses whose features resemble each other move together, so training on some pairs
moves responses that were never shown, and a chosen response can fall (L2, L4).
"""

from typing import final

import jax.numpy as jnp
from jaxtyping import Array, Float

from didsim.numerics import checks, simplex
from didsim.numerics.pytrees import checked
from didsim.policies.policy import Policy, finite_axes, register


@register("log_linear")
@final
class LogLinear(Policy):
    """``π_θ(y|x) ∝ π_ref(y|x) e^{⟨θ, φ(x,y)⟩}`` with one θ for all prompts, started at θ = 0, which is π_ref (L1).

    The linear alignment model is our reading of paper B's proxy.  One-hot features make it a table.

    Args:
        features: φ, shape (n, d) for all prompts or (prompts, n, d), finite.

    Raises:
        ArgumentError: features that are not finite, have fewer than two axes, or do not match the reference law.

    Example:
        >>> import jax.numpy as jnp
        >>> import didsim
        >>> world = didsim.problem(jnp.log(jnp.array([0.5, 0.3, 0.2])), reward=jnp.array([0.0, 1.0, 2.0]), beta=0.5)
        >>> policy = didsim.policies.LogLinear(jnp.array([[0.0], [1.0], [2.0]]))
        >>> run = didsim.train(world, didsim.objectives.Dpo(beta=0.5), policy=policy)
        >>> bool(jnp.abs(run.params - 2.0) < 1e-3)  # the reward is β⟨θ*, φ⟩ with θ* = 1/β
        True
    """

    features: Float[Array, "*prompts n d"] = checked(finite_axes(2))

    def init(self, log_ref):
        return jnp.zeros(self.features.shape[-1:], log_ref.dtype)

    def log_probs(self, params, log_ref):
        shape = (*log_ref.shape, self.features.shape[-1])
        features = checks.spread("features", self.features, shape, own=2).astype(log_ref.dtype)
        return simplex.normalize(log_ref + jnp.einsum("xnd,d->xn", features, params))
