"""Objectives whose logistic sees a token or a segment at a time: the sum stands outside the sigmoid."""

from typing import ClassVar, final

import jax.numpy as jnp
from jaxtyping import Array, Float

from didsim.numerics import checks
from didsim.numerics.pytrees import positive, whole
from didsim.numerics.sequences import SequenceSpace
from didsim.objectives.links import logistic
from didsim.objectives.parts import Card, Limit, OfLaws, register

Scalar = float | Float[Array, "..."]


def token_log_ratios(
    space: SequenceSpace, log_policy: Float[Array, "*batch n"], log_ref: Float[Array, "*batch n"]
) -> Float[Array, "*batch n l"]:
    """``log π(y_t|y_{<t})/π_ref(y_t|y_{<t})`` of every token of every response; zero after a response's end.

    Args:
        space: which sequences the responses are.
        log_policy: log-law π over all of them.
        log_ref: log-law π_ref.
    """
    tokens = space.tokens()
    places = space.prefix_index(tokens)
    ratios = space.next_log_probs(log_policy) - space.next_log_probs(log_ref)
    return jnp.where(space.counts(tokens), ratios[..., places, tokens], 0.0)


@register("adpo")
@final
class Adpo(OfLaws):
    """``-Σ_i log σ(β[h_i(w) - h_i(l)])`` over segments i of ``segment`` tokens, ``h_i`` the segment's log-ratio (2602.09533).

    With labels of whole sequences its minimiser is not DPO's: the optimum is kept only where every segment has labels of
    its own (derived, F10).  One segment for all tokens is DPO.  The responses must be all sequences of ``length`` tokens
    from ``vocabulary`` many, in the order of ``SequenceSpace``.
    """

    card: ClassVar[Card] = Card(
        "β log-ratio of a segment", "Σ -log σ(m_i) over segments", Limit.OWN, "found by training alone", "2602.09533"
    )
    convex: ClassVar[bool] = False
    beta: Scalar = positive(default=0.1)
    vocabulary: int = whole(2, default=2)
    length: int = whole(1, default=2)
    segment: int = whole(1, default=1)

    def segment_rewards(self, seen) -> Float[Array, "prompts n s"]:
        """``β h_i`` of every segment of every response."""
        space, n = SequenceSpace(self.vocabulary, self.length), seen.log_policy.shape[-1]
        if space.n != n:
            raise checks.ArgumentError(
                f"Argument `vocabulary` to the power of `length` must be the number of responses {n}, but is {space.n}."
            )
        ratios = self.beta * token_log_ratios(space, seen.log_policy, seen.log_ref)
        parts = [ratios[..., start : start + self.segment].sum(-1) for start in range(0, self.length, self.segment)]
        return jnp.stack(parts, -1)

    def batch_term(self, seen, comparisons):
        rewards = self.segment_rewards(seen)
        weight, margins = comparisons.margins(*(rewards[..., k] for k in range(rewards.shape[-1])))
        return jnp.stack([jnp.sum(weight * logistic(margin), -1) for margin in margins]).sum(0)
