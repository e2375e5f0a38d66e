"""Which preference pairs will push down the chosen response, judged by hidden states alone?

The centred hidden embedding similarity (CHES) of Razin et al. 2410.08847: the more the rejected response's states point as
the chosen one's, the more of the push against the one lands on the other.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def ches(
    chosen: Float[Array, "*#batch l d"],
    rejected: Float[Array, "*#batch l d"],
    chosen_counts: Bool[Array, "*#batch l"],
    rejected_counts: Bool[Array, "*#batch l"],
) -> Float[Array, "*#batch"]:
    """CHES score ``⟨Σ_k h(y⁺_{<k}), Σ_k h(y⁻_{<k})⟩ - ‖Σ_k h(y⁺_{<k})‖²`` (Razin et al. 2410.08847; L5).

    Args:
        chosen: hidden states before each token of the chosen responses.
        rejected: the same of the rejected responses.
        chosen_counts: whether each token belongs to the chosen response.
        rejected_counts: the same for the rejected response.

    Returns:
        One score per pair; the higher, the more displacement is to be expected.
    """
    up, down = _total(chosen, chosen_counts), _total(rejected, rejected_counts)
    return jnp.sum(up * down, -1) - jnp.sum(up * up, -1)


def normalised_ches(
    chosen: Float[Array, "*#batch l d"],
    rejected: Float[Array, "*#batch l d"],
    chosen_counts: Bool[Array, "*#batch l"],
    rejected_counts: Bool[Array, "*#batch l"],
) -> Float[Array, "*#batch"]:
    """Length-normalised CHES: the inner product over ``|y⁺||y⁻|``, the square over ``|y⁺|²`` (Razin et al. 2410.08847; L5).

    Args as for `ches`; lengths are the numbers of tokens that count, the end token included.
    """
    up = _total(chosen, chosen_counts) / chosen_counts.sum(-1, keepdims=True)
    down = _total(rejected, rejected_counts) / rejected_counts.sum(-1, keepdims=True)
    return jnp.sum(up * down, -1) - jnp.sum(up * up, -1)


def _total(states: Array, counts: Array) -> Array:
    return jnp.sum(jnp.where(counts[..., None], states, 0.0), -2)
