"""Where does gradient descent end, and what becomes of responses that are never shown?

Gradient descent on DPO never moves the sum of logits of a component of the comparison graph, which decides where in the
solution set it lands (S2), and with it how much mass the unseen responses keep (S3).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from didsim.landscape.graph import component_means
from didsim.numerics import simplex


def descent_limit(
    log_ref: Float[Array, "*#batch n"],
    reward: Float[Array, "*#batch n"],
    label: Int[Array, "*#batch n"],
    beta: Float[Array, ""] | float,
) -> Float[Array, "*#batch n"]:
    """Log-policy at which gradient descent on DPO ends from ``θ₀ = log π_ref`` with Bradley-Terry labels.

    ``θ_∞(y) = log π_ref(y) + (r(y) - r̄_C)/β`` with ``r̄_C`` the unweighted mean reward of y's component; responses that
    are never shown keep their logit (derived; S2).

    Args:
        log_ref: reference log-law, shape (..., n).
        reward: true reward, shape (..., n).
        label: component labels from `components`.
        beta: inverse temperature of the implicit reward, > 0.

    Returns:
        Normalised log-policy, shape (..., n).
    """
    return simplex.normalize(log_ref + (reward - component_means(reward, label)) / beta)


def off_support_factor(
    log_ref: Float[Array, "*#batch n"],
    reward: Float[Array, "*#batch n"],
    support: Bool[Array, "*#batch n"],
    beta: Float[Array, ""] | float,
) -> Float[Array, "*#batch"]:
    """``κ = E_{π_ref|S} e^{(r - r̄_S)/β}``: the odds of unseen responses are divided by it in the limit (derived; S3).

    κ > 1 when π_ref is uniform on the support S (Jensen); κ < 1, so that mass leaks to unseen responses, when π_ref puts
    its mass on responses worse than the unweighted mean of S.
    """
    count = jnp.maximum(support.sum(-1, keepdims=True), 1)
    mean = jnp.sum(jnp.where(support, reward, 0.0), -1, keepdims=True) / count
    inside = simplex.normalize(jnp.where(support, log_ref, -jnp.inf))
    return jnp.exp(jax.nn.logsumexp(jnp.where(support, inside + (reward - mean) / beta, -jnp.inf), axis=-1))


def off_support_mass(log_policy: Float[Array, "*#batch n"], support: Bool[Array, "*#batch n"]) -> Float[Array, "*#batch"]:
    """Probability of the responses that are never shown."""
    return jnp.sum(jnp.where(support, 0.0, jnp.exp(log_policy)), axis=-1)
