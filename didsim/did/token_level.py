"""What is the entropy of the differential information token by token?

The token-level DID entropy averages, over the positions of responses drawn from π, the entropy of the next-token law
proportional to π(·|c)/π_ref(·|c).  It needs the whole next-token laws and no importance weights, so a few dozen responses
pin it down; it is a different quantity from the entropy of the DID over whole responses.
"""

from functools import partial
from typing import final

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from didsim.did import estimators
from didsim.did.entropy import did_entropy
from didsim.numerics import checks
from didsim.numerics.pytrees import pytree, static
from didsim.numerics.traces import jit


@final
@pytree
class TokenEntropyEstimate:
    """A token-level entropy averaged over the positions of K drawn responses, in nats per token; arrays of shape (...).

    Attributes:
        value: mean over positions.
        error: standard error by the delta method, responses being the independent draws.
        interval: ``value ± z·error``, shape (..., 2).
        samples: the number K of draws.
        level: nominal coverage of the interval.
    """

    value: Float[Array, "*batch"]
    error: Float[Array, "*batch"]
    interval: Float[Array, "*batch 2"]
    samples: int = static()
    level: float = static()


def estimate_token_did_entropy(
    log_p_next: ArrayLike, log_ref_next: ArrayLike, mask: ArrayLike | None = None, *, level: float = 0.95
) -> TokenEntropyEstimate:
    """Token-level DID entropy from whole next-token laws along K responses drawn from π: nats per token.

    ``Σ_k Σ_t H(q(·|y_{k,<t})) / Σ_k |y_k|`` with ``q(v|c) ∝ π(v|c)/π_ref(v|c)``: every term is exact, only the contexts
    are drawn.  Equals the sequence-level entropy per token where tokens are independent, and not in general: there
    contexts come from q and every token carries the mass of its continuations.  Source: derived; theory D13.

    Args:
        log_p_next: log π(v|y_{k,<t}), shape (..., k, t, v), nats, k >= 2.
        log_ref_next: log π_ref(v|y_{k,<t}), same shape, with mass wherever π has.
        mask: which positions belong to the response, booleans of shape (..., k, t); all if missing.
        level: nominal coverage of the interval, in [0, 1).

    Returns:
        `TokenEntropyEstimate` over the leading axes.

    Raises:
        ArgumentError: next-token laws that are not normalised, shapes that differ, fewer than two responses, an empty
            response, or a level out of range.
    """
    checks.between("level", level, 0.0, 1.0, open_high=True)
    p, ref = checks.log_law("log_p_next", log_p_next), checks.log_law("log_ref_next", log_ref_next)
    checks.same_shape("log_p_next", p, "log_ref_next", ref)
    if p.ndim < 3 or p.shape[-3] < 2:
        raise checks.ArgumentError(f"Argument `log_p_next` must have shape (..., k, t, v) with k >= 2, but has {p.shape}.")
    checks.absolutely_continuous("log_p_next", p, "log_ref_next", ref)
    kept = jnp.ones(p.shape[:-1], bool) if mask is None else jnp.asarray(mask)
    checks.some_support("mask", kept)
    if kept.shape != p.shape[:-1]:
        raise checks.ArgumentError(f"Argument `mask` must have shape {p.shape[:-1]}, but has {kept.shape}.")
    return _token_estimate(p, ref, kept, level=level)


@partial(jit, static_argnames=("level",))
def _token_estimate(log_p: Array, log_ref: Array, mask: Array, *, level: float) -> TokenEntropyEstimate:
    entropies = jnp.where(mask, did_entropy(log_p, log_ref), 0.0).sum(-1)
    sizes = mask.sum(-1).astype(log_p.dtype)
    k = sizes.shape[-1]
    value = entropies.sum(-1) / sizes.sum(-1)
    residual = (entropies - value[..., None] * sizes) / sizes.mean(-1, keepdims=True)
    error = jnp.sqrt(jnp.sum(residual**2, axis=-1) / (k * (k - 1.0)))
    return TokenEntropyEstimate(value, error, estimators.delta_interval(value, error, level), k, level)
