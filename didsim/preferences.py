"""Given two responses, who wins, and with what probability?

A label model turns the reward gap of a pair (or the pair itself) into Pr(first preferred to second).  Models compose:
`Flipped`, `Hard` and `Bernoulli` wrap another one.  ``matrix`` gives all pairs at once for exact population losses,
``probability`` gives chosen pairs for sampled estimates, and ``win_weight`` is what a learner is shown: the probability
itself for soft labels, a coin flip for `Bernoulli`.
"""

import abc
from typing import final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from didsim import checks
from didsim.records import record


class Labels(abc.ABC):
    """A law of the label given the pair: ``P_ab = Pr(a preferred to b)`` with ``P_ab + P_ba = 1``."""

    @abc.abstractmethod
    def matrix(self, reward: Float[Array, "*batch n"]) -> Float[Array, "*batch n n"]:
        """All probabilities ``P_ab``."""

    @abc.abstractmethod
    def probability(
        self, reward: Float[Array, "*batch n"], first: Int[Array, "*batch m"], second: Int[Array, "*batch m"]
    ) -> Float[Array, "*batch m"]:
        """``P`` at the given pairs of response indices."""

    def win_weight(
        self,
        key: Key[Array, ""],
        reward: Float[Array, "*batch n"],
        first: Int[Array, "*batch m"],
        second: Int[Array, "*batch m"],
    ) -> Float[Array, "*batch m"]:
        """Weight in [0, 1] with which the first response is shown as chosen; soft labels ignore the key."""
        del key
        return self.probability(reward, first, second)


def reward_gaps(reward: Float[Array, "*batch n"]) -> Float[Array, "*batch n n"]:
    """All gaps ``r(a) - r(b)``, first response on the row."""
    return reward[..., :, None] - reward[..., None, :]


def gather(values: Float[Array, "*batch n"], index: Int[Array, "*batch m"]) -> Float[Array, "*batch m"]:
    """Values at the given responses, prompt by prompt."""
    return jnp.take_along_axis(values, index, axis=-1)


@final
@record
class BradleyTerry(Labels):
    """``P_ab = σ((r_a - r_b)/T)``; ``temperature`` T other than 1 models a rater who is off-scale."""

    temperature: float | Float[Array, ""] = 1.0

    def __post_init__(self) -> None:
        checks.positive_leaf("temperature", self.temperature)

    def matrix(self, reward):
        return jax.nn.sigmoid(reward_gaps(reward) / self.temperature)

    def probability(self, reward, first, second):
        return jax.nn.sigmoid((gather(reward, first) - gather(reward, second)) / self.temperature)


@final
@record
class AsShown(Labels):
    """The first response of the pair is the chosen one: ``P = 1``.  The label of independent chosen and rejected draws.

    ``P_ab + P_ba = 2`` here, because the order in which the sampler shows the pair *is* the label.
    """

    def matrix(self, reward):
        return jnp.ones((*reward.shape, reward.shape[-1]), reward.dtype)

    def probability(self, reward, first, second):
        return jnp.ones(first.shape, reward.dtype)


@final
@record
class PreferenceMatrix(Labels):
    """Any probabilities ``P_ab`` (cycles allowed), shape (..., n, n), entries in [0, 1], ``P + Pᵀ = 1``."""

    table: Float[Array, "*batch n n"]

    def __post_init__(self) -> None:
        checks.preference_matrix("table", self.table)

    def matrix(self, reward):
        return jnp.broadcast_to(self.table, (*reward.shape, reward.shape[-1])).astype(reward.dtype)

    def probability(self, reward, first, second):
        table = self.matrix(reward)
        rows = jnp.take_along_axis(table, first[..., None], axis=-2)
        return jnp.take_along_axis(rows, second[..., None], axis=-1)[..., 0]


@final
@record
class Hard(Labels):
    """The likelier winner of the base model always wins; an exact tie stays ``½``."""

    base: Labels

    def matrix(self, reward):
        return _harden(self.base.matrix(reward))

    def probability(self, reward, first, second):
        return _harden(self.base.probability(reward, first, second))


@final
@record
class Flipped(Labels):
    """Labels of the base model turned over with probability ``rate`` in [0, 1]."""

    base: Labels
    rate: float | Float[Array, ""] = 0.1

    def __post_init__(self) -> None:
        checks.leaf_between("rate", self.rate, 0.0, 1.0)

    def matrix(self, reward):
        return _flip(self.base.matrix(reward), self.rate)

    def probability(self, reward, first, second):
        return _flip(self.base.probability(reward, first, second), self.rate)


@final
@record
class Bernoulli(Labels):
    """The base model's probability is only seen through one coin flip a pair; the population loss is unchanged."""

    base: Labels

    def matrix(self, reward):
        return self.base.matrix(reward)

    def probability(self, reward, first, second):
        return self.base.probability(reward, first, second)

    def win_weight(self, key, reward, first, second):
        chance = self.base.probability(reward, first, second)
        coin = jax.random.uniform(key, chance.shape, dtype=chance.dtype)
        return (coin < chance).astype(chance.dtype)


def _harden(chance: Array) -> Array:
    return jnp.where(chance > 0.5, 1.0, jnp.where(chance < 0.5, 0.0, 0.5)).astype(chance.dtype)


def _flip(chance: Array, rate) -> Array:
    return (1.0 - rate) * chance + rate * (1.0 - chance)
