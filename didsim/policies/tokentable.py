"""What can a policy say that looks up the next token's logits by what came before: all of it, or the last k tokens?"""

from typing import final

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from didsim.numerics import checks
from didsim.numerics.pytrees import one_of, pytree, static
from didsim.numerics.sequences import SequenceSpace
from didsim.policies.autoregressive import Autoregressive, check_size
from didsim.policies.policy import STARTS, register


@final
@pytree
class TokenTable(Autoregressive):
    """Free next-token logits for every context: ``logits(prefix) = θ_{context(prefix)}``, one table per prompt (L6).

    Prefixes of one context share their logits.  Contexts are numbered like prefixes, so that all tables over a space have
    parameters of one shape and can be batched in one program; rows that no prefix uses stay where they are.  With every
    prefix its own context the policy is a free table in other coordinates: same minimiser, different path.

    Args:
        space: the sequences.
        context: number of the context of every prefix, shape (prefixes,), in [0, prefixes).
        start: ``"reference"`` adds the reference's next-token log-law, ``"flat"`` starts with uniform tokens.

    Raises:
        ArgumentError: contexts of another number or out of range, an unknown start, a reference law of another size.
    """

    space: SequenceSpace = static()
    context: Int[Array, "..."]
    start: str = one_of(STARTS, default="reference")

    def __post_init__(self) -> None:
        self.space.check_enumerable()
        if checks.is_number(self.context):
            if np.shape(self.context) != (self.space.prefixes,):
                raise checks.ArgumentError(
                    f"Argument `context` must have one entry per prefix, shape ({self.space.prefixes},), but has shape "
                    f"{np.shape(self.context)}."
                )
            checks.between("context", self.context, 0.0, self.space.prefixes - 1.0)

    @property
    def parameters(self) -> int:
        """Dimension of the set of laws it can represent per prompt: V-1 for every context that some prefix has."""
        return len(np.unique(self.context)) * (self.space.vocabulary - 1)

    def init(self, log_ref):
        check_size(self.space, log_ref)
        return jnp.zeros((log_ref.shape[0], self.space.prefixes, self.space.vocabulary), log_ref.dtype)

    def prefix_logits(self, params):
        return params[:, self.context]

    def token_logits(self, params, tokens):
        places = self.context[self.space.prefix_index(tokens)]
        return jax.vmap(lambda own, place: own[place])(params, places)

    def hidden_states(self, params, tokens):
        return jax.nn.one_hot(self.context[self.space.prefix_index(tokens)], self.space.prefixes)


@register("prefix_table")
def prefix_table(space: SequenceSpace, start: str = "reference") -> TokenTable:
    """Free next-token logits after every prefix: the whole simplex over the sequences (L6).

    Raises:
        ArgumentError: as `TokenTable`.
    """
    space.check_enumerable()
    return TokenTable(space, jnp.arange(space.prefixes), start)


@register("k_gram")
def k_gram(space: SequenceSpace, k: int, start: str = "reference") -> TokenTable:
    """Next-token logits that look at the last ``k`` tokens alone (at all, where there are fewer).

    Args:
        space: the sequences.
        k: tokens looked at; 0 looks at none, L-1 and more is the prefix table.
        start: ``"reference"`` multiplies π_ref by k-gram factors, ``"flat"`` is a k-gram model by itself.

    Raises:
        ArgumentError: a negative ``k``, or as `TokenTable`.
    """
    checks.whole("k", k)
    space.check_enumerable()
    size = np.concatenate([[0], np.cumsum(space.depths)]).astype(int)
    context = [size[min(k, d)] + np.arange(count) % space.branching ** min(k, d) for d, count in enumerate(space.depths)]
    return TokenTable(space, jnp.asarray(np.concatenate(context)), start)
