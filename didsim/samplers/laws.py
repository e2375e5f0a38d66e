"""What is the law of the pair shown, and how are pairs drawn from it?

A pair law μ(a, b) is either a mixture of products ``Σ_k c_k p_k(a) q_k(b)``, which costs N per component however many pairs
there are, or a dense joint.  The exact population loss and the Monte-Carlo draws come from the same object.
"""

import abc
import functools
import math
import operator
from typing import final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from didsim.numerics.pytrees import pytree

LONG = 4096


class PairLaw(abc.ABC):
    """A law μ on ordered pairs of responses, one per prompt."""

    @abc.abstractmethod
    def matrix(self) -> Float[Array, "prompts n n"]:
        """All probabilities ``μ(a, b)``, first response on the row."""

    def log_matrix(self) -> Float[Array, "prompts n n"]:
        """``log μ(a, b)`` of all pairs."""
        return jnp.log(self.matrix())

    @abc.abstractmethod
    def total(self) -> Float[Array, " prompts"]:
        """Total probability of every prompt's law: 1, unless a restriction left nothing."""

    @abc.abstractmethod
    def draw(self, key: Key[Array, ""], pairs: int) -> tuple[Int[Array, "prompts m"], Int[Array, "prompts m"]]:
        """Independent pairs for every prompt: indices of the first and of the second response."""


@final
@pytree
class ProductMixture(PairLaw):
    """A pair law that is a mixture of few products, ``μ(a,b) = Σ_k c_k p_k(a) q_k(b)``; one component is `Product`'s.

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
        # Components are few: a sum term by term fuses, where a batched matrix product of inner size k does not.
        parts = range(self.weights.shape[-1])
        terms = (self.weights[:, k, None, None] * first[:, k, :, None] * second[:, k, None, :] for k in parts)
        return functools.reduce(operator.add, terms)

    def log_matrix(self):
        if self.weights.shape[-1] > 1:
            return super().log_matrix()
        log_weight = jnp.log(self.weights)[:, :, None]
        return log_weight + self.log_first[:, 0, :, None] + self.log_second[:, 0, None, :]

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
@pytree
class JointLaw(PairLaw):
    """A pair law of any form, what a sampler such as `Joint` returns: ``log_joint`` of shape (prompts, n, n)."""

    log_joint: Float[Array, "prompts n n"]

    def matrix(self):
        return jnp.exp(self.log_joint)

    def log_matrix(self):
        return self.log_joint

    def total(self):
        return jnp.exp(self.log_joint).sum((1, 2))

    def draw(self, key, pairs):
        prompts, n, _ = self.log_joint.shape
        if n * n <= LONG:  # one search of all cells takes half the time of two searches
            return jnp.divmod(draw_index(key, self.log_joint.reshape(prompts, 1, n * n), pairs)[:, 0], n)
        first, second = draw_cell(key, self.log_joint[:, None], pairs)
        return first[:, 0], second[:, 0]


def product_law(log_first: Float[Array, "prompts n"], log_second: Float[Array, "prompts n"]) -> ProductMixture:
    """Independent pair law ``p ⊗ q`` as a one-component mixture."""
    return ProductMixture(jnp.ones((log_first.shape[0], 1), log_first.dtype), log_first[:, None], log_second[:, None])


def draw_index(key: Key[Array, ""], log_law: Float[Array, "prompts k n"], draws: int) -> Int[Array, "prompts k m"]:
    """Inverse-CDF draws: one uniform each, where a Gumbel draw would spend one per response.

    Laws over more than 4,096 responses are drawn in two stages, block and place, because one uniform of a single-precision
    draw has 23 bits: too coarse for the masses of a million responses.
    """
    n = log_law.shape[-1]
    if n <= LONG:
        mass = jnp.exp(log_law)
        u = jax.random.uniform(key, (*log_law.shape[:-1], draws), dtype=mass.dtype)
        return _search(_cumulative(mass), mass, u)
    side = math.isqrt(n - 1) + 1
    padded = jnp.pad(log_law, [(0, 0)] * (log_law.ndim - 1) + [(0, side * side - n)], constant_values=-jnp.inf)
    row, column = draw_cell(key, padded.reshape(*log_law.shape[:-1], side, side), draws)
    return row * side + column


def draw_cell(
    key: Key[Array, ""], log_law: Float[Array, "prompts k a b"], draws: int
) -> tuple[Int[Array, "prompts k m"], Int[Array, "prompts k m"]]:
    """Draws of row and column: the row by its marginal, then the column by its law in that row, a uniform each."""
    row_key, column_key = jax.random.split(key)
    mass = jnp.exp(log_law)
    rows = mass.sum(-1)
    u, v = (jax.random.uniform(k, (*log_law.shape[:-2], draws), dtype=mass.dtype) for k in (row_key, column_key))
    row = _search(_cumulative(rows), rows, u)
    inside = jnp.vectorize(_search_in_row, signature="(a,b),(a),(m),(m)->(m)")
    return row, inside(_cumulative(mass), _last_with_mass(mass), row, v)


def _cumulative(mass: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
    """Distribution function, ending at one, flat where there is no mass: a parallel sum can rise or fall there."""
    cdf = jax.lax.cummax(jnp.where(mass > 0, jnp.cumsum(mass, axis=-1), 0.0), axis=mass.ndim - 1)
    total = cdf[..., -1:]
    return cdf / jnp.where(total > 0, total, 1.0)


def _last_with_mass(mass: Float[Array, "*batch n"]) -> Int[Array, "*batch"]:
    return mass.shape[-1] - 1 - jnp.argmax(mass[..., ::-1] > 0, axis=-1)


def _search(cdf: Float[Array, "*batch n"], mass: Float[Array, "*batch n"], u: Float[Array, "*batch m"]) -> Int[Array, "*batch m"]:
    search = jnp.vectorize(lambda c, v: jnp.searchsorted(c, v, side="right"), signature="(n),(m)->(m)")
    # A uniform that rounds up to 1 must not fall off the end, nor onto a response without mass.
    return jnp.minimum(search(cdf, u), _last_with_mass(mass)[..., None])


def _search_in_row(cdf: Array, last: Array, row: Array, u: Array) -> Array:
    """First column of each draw's row whose distribution function exceeds the draw, by bisection."""

    def halve(_, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bounds
        middle = (low + high) // 2
        beyond = cdf[row, middle] > u
        return jnp.where(beyond, low, middle + 1), jnp.where(beyond, middle, high)

    top = cdf.shape[-1] - 1
    start = jnp.zeros_like(row), jnp.full_like(row, top)
    return jnp.minimum(jax.lax.fori_loop(0, top.bit_length() + 1, halve, start)[0], last[row])
