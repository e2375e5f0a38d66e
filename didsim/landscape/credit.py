"""Which token of a response gets the credit?

A policy over sequences that is optimal for ``E_π r - β KL(π‖π_ref)`` is its own advantage function, token by token (F18).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from didsim.numerics.sequences import SequenceSpace


def state_values(
    space: SequenceSpace, log_ref: Float[Array, "*batch n"], reward: Float[Array, "*batch n"], beta: float | Float[Array, ""]
) -> Float[Array, "*batch n l"]:
    """``V*(s) = β log E_{π_ref}[e^{r/β}|s]`` at the prefix before every token of every response (2404.12358, F18).

    Args:
        space: which sequences the responses are; all of one length.
        log_ref: log-law π_ref over them.
        reward: reward of every response.
        beta: weight of the KL divergence, > 0.
    """
    values = []
    for depth in range(space.length):
        before = space.vocabulary**depth
        mass, tilted = (x.reshape(*x.shape[:-1], before, -1) for x in (log_ref, log_ref + reward / beta))
        found = beta * (jax.nn.logsumexp(tilted, -1) - jax.nn.logsumexp(mass, -1))
        values.append(jnp.repeat(found, space.n // before, axis=-1))
    return jnp.stack(values, -1)
