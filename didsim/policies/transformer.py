"""What can a policy say whose tokens share the weights of a small causal transformer?"""

import math
from typing import final

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from didsim.numerics import checks
from didsim.numerics.pytrees import finite, one_of, static, whole
from didsim.numerics.sequences import SequenceSpace
from didsim.policies.autoregressive import Autoregressive, check_size
from didsim.policies.policy import STARTS, Params, register

BLOCK = 4096  # sequences run through the network at a time; what lies between is computed again for the gradient
MLP = 4
EPSILON = 1e-6


@register("transformer")
@final
class Transformer(Autoregressive):
    """Pre-norm causal transformer with root-mean-square norms, learned positions, GELU and a free unembedding.

    The first position holds a learned vector for the prompt, position k+1 token k; the final normed state is h(x, y_{<k}),
    and logits are its image under the unembedding.  All prompts share all weights but their vector.

    Args:
        space: the sequences; V ≤ 64 and L ≤ 12 are what it is meant for.
        width: numbers per state, a multiple of ``heads``.
        layers: blocks of attention and perceptron, >= 1.
        heads: attention heads.
        start: ``"reference"`` adds the reference's next-token log-law and starts with a zero unembedding, so at π_ref
            exactly; ``"flat"`` is a network by itself with a random unembedding.
        seed: number that draws the starting weights.

    Raises:
        ArgumentError: a size out of range, a width that the heads do not divide, an unknown start, a reference law of
            another size.
    """

    space: SequenceSpace = static()
    width: int = whole(1, default=16, below=2**16)
    layers: int = whole(1, default=1, below=1025)
    heads: int = whole(1, default=2)
    start: str = one_of(STARTS, default="reference")
    seed: int | Int[Array, ""] = finite(default=0)

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise checks.ArgumentError(f"Argument `width` must be a multiple of heads = {self.heads}, but is {self.width}.")
        if checks.is_number(self.seed):
            checks.seed(int(self.seed))

    def init(self, log_ref):
        if self.start == "reference":
            check_size(self.space, log_ref)
        return self.weights(jax.random.fold_in(jax.random.key(0), self.seed), log_ref.shape[0], log_ref.dtype)

    def weights(self, key: Key[Array, ""], prompts: int, dtype=None) -> Params:
        """Starting weights for a number of prompts: normal, each matrix scaled by the root of its inputs."""
        d, stack, inner = self.width, (self.layers,), MLP * self.width
        precision = dtype or jnp.zeros(()).dtype
        shapes = {
            "prompt": ((prompts, d), 1),
            "token": ((self.space.vocabulary, d), 1),
            "position": ((self.space.length, d), 1),
            "attend": ((*stack, 3, d, d), d),
            "gather": ((*stack, d, d), d),
            "widen": ((*stack, d, inner), d),
            "narrow": ((*stack, inner, d), inner),
            "unembed": ((d, self.space.vocabulary), d),
        }
        sizes = [math.prod(shape) for shape, _ in shapes.values()]
        # One draw for all: a random-number generator per matrix would take longer to compile than the network.
        numbers = jax.random.normal(key, (sum(sizes),), jnp.float32).astype(precision)
        parts = jnp.split(numbers, np.cumsum(sizes)[:-1].tolist())
        drawn = {
            name: part.reshape(shape) / inputs**0.5 for part, (name, (shape, inputs)) in zip(parts, shapes.items(), strict=True)
        }
        if self.start == "reference":
            drawn["unembed"] = jnp.zeros_like(drawn["unembed"])
        ones = {"norm_attend": (*stack, d), "norm_widen": (*stack, d), "norm_last": (d,)}
        return {**drawn, **{name: jnp.ones(shape, drawn["token"].dtype) for name, shape in ones.items()}}

    def parameters(self, prompts: int = 1) -> int:
        """Number of weights."""
        shapes = jax.eval_shape(lambda: self.weights(jax.random.key(0), prompts))
        return sum(leaf.size for leaf in jax.tree.leaves(shapes))

    def hidden_states(self, params, tokens):
        embedded = params["token"][tokens[..., :-1]]
        first = jnp.broadcast_to(params["prompt"][:, None, None], (*tokens.shape[:2], 1, self.width))
        state = jnp.concatenate([first, embedded], -2) + params["position"]
        names = ("norm_attend", "attend", "gather", "norm_widen", "widen", "narrow")
        state, _ = jax.lax.scan(lambda x, layer: (self._block(x, layer), None), state, {name: params[name] for name in names})
        return _norm(state, params["norm_last"])

    def token_logits(self, params, tokens):
        return self.hidden_states(params, tokens) @ params["unembed"]

    def prefix_logits(self, params):
        prompts = params["prompt"].shape[0]
        tokens, length = self.space.longest_prefixes(), self.space.length
        logits = self._blocked_logits(params, jnp.broadcast_to(tokens, (prompts, *tokens.shape)))
        stride = [len(tokens) // count for count in self.space.depths]
        return jnp.concatenate([logits[:, :: stride[depth], depth] for depth in range(length)], 1)

    def _blocked_logits(self, params: Params, tokens: Int[Array, "prompts m l"]) -> Float[Array, "prompts m l v"]:
        """`token_logits` of very many sequences in a bounded amount of memory between the layers."""
        if tokens.shape[1] <= BLOCK:
            return self.token_logits(params, tokens)
        block = jax.checkpoint(lambda own: self.token_logits(params, own[:, None])[:, 0])
        by_sequence = jax.lax.map(block, jnp.swapaxes(tokens, 0, 1), batch_size=BLOCK)
        return jnp.swapaxes(by_sequence, 0, 1)

    def _block(self, x: Float[Array, "prompts m l d"], layer: Params) -> Float[Array, "prompts m l d"]:
        """One layer: causal attention, then a perceptron, each on the normed state and added to it."""
        heads = (self.heads, self.width // self.heads)
        query, keys, values = jnp.einsum("xmld,cde->cxmle", _norm(x, layer["norm_attend"]), layer["attend"]).reshape(
            3, *x.shape[:-1], *heads
        )
        scores = jnp.einsum("xmlhd,xmkhd->xmhlk", query, keys) / heads[1] ** 0.5
        seen = jnp.tril(jnp.ones((x.shape[-2], x.shape[-2]), bool))
        share = jax.nn.softmax(jnp.where(seen, scores, -jnp.inf), -1)
        x = x + jnp.einsum("xmhlk,xmkhd->xmlhd", share, values).reshape(x.shape) @ layer["gather"]
        return x + jax.nn.gelu(_norm(x, layer["norm_widen"]) @ layer["widen"]) @ layer["narrow"]


def _norm(x: Float[Array, "*any d"], scale: Float[Array, " d"]) -> Float[Array, "*any d"]:
    return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + EPSILON) * scale
