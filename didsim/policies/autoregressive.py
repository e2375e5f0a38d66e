"""What can a policy say token by token?

An autoregressive policy gives logits for the next token after every prefix.  Where all responses can be enumerated it
is a policy like any other, with exact laws over all of them; where they cannot, it still gives log-probabilities of
given sequences and draws from itself.  Its hidden states are what CHES looks at.
"""

import abc
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from didsim.numerics import checks
from didsim.numerics.memory import check_array
from didsim.numerics.sequences import SequenceSpace
from didsim.policies.policy import Params, Policy


class Autoregressive(Policy):
    """Next-token laws ``π_θ(t|prefix) ∝ π_ref(t|prefix) e^{logits}``, or without π_ref where ``start = "flat"``.

    The sum over tokens makes ``log π_θ(y|x) = Σ_k log π_θ(y_k|x, y_{<k})``.  With ``start = "reference"`` the logits are
    zero at the start of training, and the policy is π_ref exactly; the reference's own next-token laws come from its law
    over all responses, so this needs a space that can be enumerated.
    """

    space: Any
    start: Any

    @abc.abstractmethod
    def prefix_logits(self, params: Params) -> Float[Array, "prompts prefixes v"]:
        """The policy's own logits after every prefix."""

    @abc.abstractmethod
    def token_logits(self, params: Params, tokens: Int[Array, "prompts m l"]) -> Float[Array, "prompts m l v"]:
        """The policy's own logits before each token of given sequences."""

    @abc.abstractmethod
    def hidden_states(self, params: Params, tokens: Int[Array, "prompts m l"]) -> Float[Array, "prompts m l d"]:
        """States ``h(x, y_{<k})`` whose image under the free unembedding are the logits."""

    def log_probs(self, params, log_ref):
        return self.space.log_law(self.next_log_probs(params, log_ref))

    def next_log_probs(
        self, params: Params, log_ref: Float[Array, "prompts n"] | None = None
    ) -> Float[Array, "prompts prefixes v"]:
        """Next-token log-laws after every prefix.

        Raises:
            ArgumentError: the policy starts at the reference and none is given, or its size is not that of the space.
        """
        logits = self.prefix_logits(params)
        return jax.nn.log_softmax(logits if self.start == "flat" else logits + self._reference(log_ref), -1)

    def token_log_probs(
        self, params: Params, tokens: Int[Array, "prompts m l"], log_ref: Float[Array, "prompts n"] | None = None
    ) -> Float[Array, "prompts m l"]:
        """``log π_θ(y_k|x, y_{<k})`` of each token of given sequences, zero after their end.

        Args:
            params: parameters.
            tokens: sequences for every prompt.
            log_ref: reference law, for policies that start there.

        Raises:
            ArgumentError: the policy starts at the reference and none is given.
        """
        logits = self.token_logits(params, tokens)
        if self.start == "reference":
            logits = logits + _rows(self._reference(log_ref), self.space.prefix_index(tokens))
        log_next = jnp.take_along_axis(jax.nn.log_softmax(logits, -1), tokens[..., None], -1)[..., 0]
        return jnp.where(self.space.counts(tokens), log_next, 0.0)

    def sample(
        self,
        key: Key[Array, ""],
        params: Params,
        draws: int,
        *,
        prompts: int = 1,
        log_ref: Float[Array, "prompts n"] | None = None,
    ) -> Int[Array, "prompts m l"]:
        """Independent responses from the policy, token by token.

        Args:
            key: random key.
            params: parameters.
            draws: m, responses per prompt, >= 1.
            prompts: number of prompts.
            log_ref: reference law, for policies that start there.

        Raises:
            ArgumentError: fewer than one draw or prompt, or the policy starts at the reference and none is given.
        """
        shape = (checks.whole("prompts", prompts, least=1), checks.whole("draws", draws, least=1), self.space.length)
        check_array("draws", draws, (*shape, self.space.vocabulary))
        reference = None if self.start == "flat" else self._reference(log_ref)
        end = self.space.vocabulary - 1

        def step(tokens: Array, depth: Array) -> tuple[Array, None]:
            logits = self.token_logits(params, tokens)
            if reference is not None:
                logits = logits + _rows(reference, self.space.prefix_index(tokens))
            here = jax.lax.dynamic_index_in_dim(logits, depth, 2, keepdims=False)
            drawn = jax.random.categorical(jax.random.fold_in(key, depth), here).astype(tokens.dtype)
            over = self.space.ends & jnp.any((tokens == end) & (jnp.arange(shape[-1]) < depth), -1)
            return tokens.at[:, :, depth].set(jnp.where(over, end, drawn)), None

        return jax.lax.scan(step, jnp.zeros(shape, jnp.int32), jnp.arange(shape[-1]))[0]

    def _reference(self, log_ref: Array | None) -> Array:
        if log_ref is None:
            raise checks.ArgumentError(
                "Argument `log_ref` must be given for a policy that starts at the reference, but is missing."
            )
        check_size(self.space, log_ref)
        return jax.lax.stop_gradient(self.space.next_log_probs(log_ref))


def check_size(space: SequenceSpace, log_ref: Float[Array, "prompts n"]) -> None:
    """Nothing, if the reference law is one over the sequences of the space.

    Raises:
        ArgumentError: it has another number of responses.
    """
    if log_ref.shape[-1] != space.n:
        raise checks.ArgumentError(
            f"Argument `log_ref` must have the {space.n} responses of the policy's sequence space, but has {log_ref.shape[-1]}."
        )


def _rows(table: Float[Array, "prompts prefixes v"], places: Int[Array, "prompts m l"]) -> Float[Array, "prompts m l v"]:
    return jax.vmap(lambda own, place: own[place])(table, places)
