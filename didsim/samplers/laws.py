"""What is the law of the pair shown, and how are pairs drawn from it?

A pair law μ(a, b) is either a mixture of products ``Σ_k c_k p_k(a) q_k(b)``, which costs N per component however many pairs
there are, or a dense joint.  The exact population loss and the Monte-Carlo draws come from the same object.
"""

import abc
import functools
import operator
from typing import final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from didsim.records import record


class PairLaw(abc.ABC):
    """A law μ on ordered pairs of responses, one per prompt."""

    @abc.abstractmethod
    def matrix(self) -> Float[Array, "prompts n n"]:
        """All probabilities ``μ(a, b)``, first response on the row."""

    @abc.abstractmethod
    def total(self) -> Float[Array, " prompts"]:
        """Total probability of every prompt's law: 1, unless a restriction left nothing."""

    @abc.abstractmethod
    def draw(self, key: Key[Array, ""], pairs: int) -> tuple[Int[Array, "prompts m"], Int[Array, "prompts m"]]:
        """Independent pairs for every prompt: indices of the first and of the second response."""


@final
@record
class ProductMixture(PairLaw):
    """``μ(a,b) = Σ_k c_k p_k(a) q_k(b)``.

    Attributes:
        weights: ``c``, shape (prompts, k), non-negative, summing to one.
        log_first: log of ``p_k``, shape (prompts, k, n).
        log_second: log of ``q_k``, shape (prompts, k, n).
    """

    weights: Float[Array, "prompts k"]
    log_first: Float[Array, "prompts k n"]
    log_second: Float[Array, "prompts k n"]

    def matrix(self):
        first, second = jnp.exp(self.log_first), jnp.exp(self.log_second)
        # Components are few: a written-out sum fuses, where a batched matrix product of inner size k does not.
        parts = range(self.weights.shape[-1])
        terms = (self.weights[:, k, None, None] * first[:, k, :, None] * second[:, k, None, :] for k in parts)
        return functools.reduce(operator.add, terms)

    def total(self):
        return jnp.sum(self.weights * jnp.exp(self.log_first).sum(-1) * jnp.exp(self.log_second).sum(-1), axis=-1)

    def draw(self, key, pairs):
        part_key, first_key, second_key = jax.random.split(key, 3)
        parts = self.log_first.shape[1]
        part = draw_index(part_key, jnp.log(self.weights)[:, None], pairs)[:, 0]
        first = draw_index(first_key, self.log_first, pairs)
        second = draw_index(second_key, self.log_second, pairs)
        if parts == 1:
            return first[:, 0], second[:, 0]

        def pick(index: Array) -> Array:
            return jnp.take_along_axis(index, part[:, None], axis=1)[:, 0]

        return pick(first), pick(second)


@final
@record
class JointLaw(PairLaw):
    """Any joint law, ``log_joint`` of shape (prompts, n, n)."""

    log_joint: Float[Array, "prompts n n"]

    def matrix(self):
        return jnp.exp(self.log_joint)

    def total(self):
        return jnp.exp(self.log_joint).sum((1, 2))

    def draw(self, key, pairs):
        prompts, n, _ = self.log_joint.shape
        flat = draw_index(key, self.log_joint.reshape(prompts, 1, n * n), pairs)[:, 0]
        return flat // n, flat % n


def product_law(log_first: Float[Array, "prompts n"], log_second: Float[Array, "prompts n"]) -> ProductMixture:
    """Independent pair law ``p ⊗ q`` as a one-component mixture."""
    return ProductMixture(jnp.ones((log_first.shape[0], 1), log_first.dtype), log_first[:, None], log_second[:, None])


def draw_index(key: Key[Array, ""], log_law: Float[Array, "prompts k n"], draws: int) -> Int[Array, "prompts k m"]:
    """Inverse-CDF draws: one uniform each, where a Gumbel draw would spend one per response."""
    mass = jnp.exp(log_law)
    # A parallel sum of a thousand terms can rise by a rounding unit where the mass is zero, or fall: keep it flat there.
    cdf = jax.lax.cummax(jnp.where(mass > 0, jnp.cumsum(mass, axis=-1), 0.0), axis=log_law.ndim - 1)
    cdf = cdf / cdf[..., -1:]
    u = jax.random.uniform(key, (*log_law.shape[:-1], draws), dtype=cdf.dtype)
    search = jnp.vectorize(lambda c, v: jnp.searchsorted(c, v, side="right"), signature="(n),(m)->(m)")
    # A uniform that rounds up to 1 must not fall off the end, nor onto a response without mass.
    last = log_law.shape[-1] - 1 - jnp.argmax(jnp.isfinite(log_law)[..., ::-1], axis=-1)
    return jnp.minimum(search(cdf, u), last[..., None])
