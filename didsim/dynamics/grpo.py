"""What does a round of GRPO do, exactly?

The advantage is the reward standardised over draws of the policy, and the round's exact end is the anchor tilted by it.
With a binary reward the chance of success obeys a recursion of one number (2503.06639, F17).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from didsim.numerics import simplex


def grpo_step(
    log_policy: Float[Array, "*batch n"],
    log_anchor: Float[Array, "*batch n"],
    reward: Float[Array, "*batch n"],
    beta: float | Float[Array, ""],
) -> Float[Array, "*batch n"]:
    """``π' ∝ π_anchor e^{A/β}``, ``A = (r - E_π r)/√Var_π r``: the law that maximises ``E_{π'} A - β KL(π'‖π_anchor)``.

    Args:
        log_policy: log-law π that the group is drawn from.
        log_anchor: π_ref for the reference variant, π itself for mirror descent.
        reward: reward of every response.
        beta: weight of the divergence, > 0.

    Returns:
        The next policy; the anchor where the reward does not vary under the policy.
    """
    mean, variance = (simplex.cumulants(log_policy, reward)[..., k, None] for k in (0, 1))
    varies = variance > 0
    advantage = jnp.where(varies, (reward - mean) / jnp.sqrt(jnp.where(varies, variance, 1.0)), 0.0)
    return simplex.normalize(log_anchor + advantage / beta)


def success_recursion(
    success: Float[Array, "*any"], anchor: Float[Array, "*any"], beta: float | Float[Array, ""]
) -> Float[Array, "*any"]:
    """``logit p' = logit p_anchor + 1/(β √(p(1-p)))``: a round of GRPO with a binary reward (2503.06639, F17).

    Args:
        success: p, chance of success under the policy, in (0, 1).
        anchor: chance under π_ref (reference variant) or p again (mirror variant).
        beta: weight of the divergence, > 0.
    """
    return jax.nn.sigmoid(jax.scipy.special.logit(anchor) + 1.0 / (beta * jnp.sqrt(success * (1.0 - success))))
