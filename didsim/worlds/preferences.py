"""Given two responses, who wins, and with what probability?

A label model turns the reward gap of a pair (or the pair itself) into Pr(first preferred to second).  Models compose:
`Flipped`, `Hard`, `Threshold` and `Bernoulli` wrap another one.  ``matrix`` gives all pairs at once for exact population
losses, ``probability`` gives chosen pairs for sampled estimates, and ``win_weight`` is what a learner is shown: the
probability itself for soft labels, one draw of the label wherever `Bernoulli` is somewhere inside.
"""

import abc
from typing import final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from didsim.numerics import checks
from didsim.numerics.pytrees import at_least, between, checked, finite, one_of, positive
from didsim.numerics.registry import Registry


class Labels(abc.ABC):
    """A law of the label given the pair: ``P_ab = Pr(a preferred to b)`` with ``P_ab + P_ba = 1``."""

    example = "didsim.preferences.BradleyTerry()"

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
        return self.draw(key, reward, first, second) if self.is_drawn else self.probability(reward, first, second)

    def ties(self, reward: Float[Array, "*batch n"]) -> Float[Array, "*batch n n"] | None:
        """Chance that a pair is tied, each tie half a win for either side in ``P``; None where the model has no ties."""
        del reward
        return None

    @property
    def is_drawn(self) -> bool:
        """Whether a learner sees draws of the label; if not, it is shown the probability itself."""
        return False

    def draw(
        self,
        key: Key[Array, ""],
        reward: Float[Array, "*batch n"],
        first: Int[Array, "*batch m"],
        second: Int[Array, "*batch m"],
    ) -> Float[Array, "*batch m"]:
        """One label per pair with mean ``P``: 1 if the first response won, 0 if it lost, ½ for a tie."""
        return _coin(key, self.probability(reward, first, second))


LABELS: Registry[type[Labels]] = Registry("labels")


def reward_gaps(reward: Float[Array, "*batch n"]) -> Float[Array, "*batch n n"]:
    """All gaps ``r(a) - r(b)``, first response on the row."""
    return reward[..., :, None] - reward[..., None, :]


def gather(values: Float[Array, "*batch n"], index: Int[Array, "*batch m"]) -> Float[Array, "*batch m"]:
    """Values at the given responses, prompt by prompt."""
    return jnp.take_along_axis(values, index, axis=-1)


@LABELS.register("bradley_terry")
@final
class BradleyTerry(Labels):
    """``P_ab = σ((r_a - r_b)/T)``; ``temperature`` T other than 1 models a rater who is off-scale."""

    temperature: float | Float[Array, ""] = positive(default=1.0)

    def matrix(self, reward):
        return jax.nn.sigmoid(reward_gaps(reward) / self.temperature)

    def probability(self, reward, first, second):
        return jax.nn.sigmoid((gather(reward, first) - gather(reward, second)) / self.temperature)


@LABELS.register("as_shown")
@final
class AsShown(Labels):
    """The first response of the pair is the chosen one: ``P = 1``.  The label of independent chosen and rejected draws.

    ``P_ab + P_ba = 2`` here, because the order in which the sampler shows the pair *is* the label.
    """

    def matrix(self, reward):
        return jnp.ones((*reward.shape, reward.shape[-1]), reward.dtype)

    def probability(self, reward, first, second):
        return jnp.ones(first.shape, reward.dtype)


@LABELS.register("matrix")
@final
class PreferenceMatrix(Labels):
    """Any probabilities ``P_ab`` (cycles allowed), shape (..., n, n), entries in [0, 1], ``P + Pᵀ = 1``."""

    table: Float[Array, "*batch n n"] = checked(checks.preference_matrix)

    def matrix(self, reward):
        return checks.spread("table", self.table, (*reward.shape, reward.shape[-1]), own=2).astype(reward.dtype)

    def probability(self, reward, first, second):
        table = self.matrix(reward)
        rows = jnp.take_along_axis(table, first[..., None], axis=-2)
        return jnp.take_along_axis(rows, second[..., None], axis=-1)[..., 0]


@LABELS.register("hard")
@final
class Hard(Labels):
    """The likelier winner of the base model always wins; an exact tie stays ``½``, and is a coin flip where labels are drawn."""

    base: Labels

    @property
    def is_drawn(self):
        return self.base.is_drawn

    def matrix(self, reward):
        return _harden(self.base.matrix(reward))

    def probability(self, reward, first, second):
        return _harden(self.base.probability(reward, first, second))


@LABELS.register("ties")
@final
class Ties(Labels):
    """Rao and Kupper's ties: ``Pr(a wins) = σ(d - δ)``, ``Pr(tie) = 1 - σ(d-δ) - σ(-d-δ)``, ``d = (r_a - r_b)/T``.

    A tie counts half for either side, so ``P_ab = ½[σ(d - δ) + σ(d + δ)]``; drawn labels are 1, ½ and 0.  At ``margin``
    δ = 0 there are no ties.
    """

    margin: float | Float[Array, ""] = at_least(0.0, default=0.5)
    temperature: float | Float[Array, ""] = positive(default=1.0)

    def matrix(self, reward):
        win, lose = self._outcomes(reward_gaps(reward))
        return 0.5 * (win + 1.0 - lose)

    def probability(self, reward, first, second):
        win, lose = self._outcomes(gather(reward, first) - gather(reward, second))
        return 0.5 * (win + 1.0 - lose)

    def ties(self, reward):
        win, lose = self._outcomes(reward_gaps(reward))
        return 1.0 - win - lose

    def draw(self, key, reward, first, second):
        win, lose = self._outcomes(gather(reward, first) - gather(reward, second))
        u = jax.random.uniform(key, win.shape, dtype=win.dtype)
        return jnp.where(u < win, 1.0, jnp.where(u < 1.0 - lose, 0.5, 0.0)).astype(win.dtype)

    def _outcomes(self, gap: Array) -> tuple[Array, Array]:
        scaled = gap / self.temperature
        return jax.nn.sigmoid(scaled - self.margin), jax.nn.sigmoid(-scaled - self.margin)


@LABELS.register("davidson")
@final
class Davidson(Labels):
    """Davidson's ties: ``Pr(a wins) = 1/Z``, ``Pr(tie) = 2ν e^{-d/2}/Z``, ``Z = 1 + e^{-d} + 2ν e^{-d/2}``;
    ``d = (r_a - r_b)/T``.

    With ``keep`` "drop" tied pairs are left out and what remains is Bradley-Terry exactly, for any ν; with "split" a tie
    counts half for either side and ``logit P = d/2 + log[(1 + νx)/(x + ν)]``, ``x = e^{-d/2}`` (2409.17431; derived, F12).
    """

    tie: float | Float[Array, ""] = at_least(0.0, default=1.0)
    temperature: float | Float[Array, ""] = positive(default=1.0)
    keep: str = one_of(("split", "drop"), default="split")

    def matrix(self, reward):
        return self._win(reward_gaps(reward))

    def probability(self, reward, first, second):
        return self._win(gather(reward, first) - gather(reward, second))

    def ties(self, reward):
        return None if self.keep == "drop" else self.outcomes(reward_gaps(reward))[1]

    def draw(self, key, reward, first, second):
        win, tied = self.outcomes(gather(reward, first) - gather(reward, second))
        u = jax.random.uniform(key, win.shape, dtype=win.dtype)
        if self.keep == "drop":
            return (u < self.probability(reward, first, second)).astype(win.dtype)
        return jnp.where(u < win, 1.0, jnp.where(u < win + tied, 0.5, 0.0)).astype(win.dtype)

    def outcomes(self, gap: Float[Array, "*any"]) -> tuple[Float[Array, "*any"], Float[Array, "*any"]]:
        """Chance that the first response wins, and that the pair is tied, from the reward gap."""
        half = 0.5 * gap / self.temperature
        middle = jnp.where(jnp.asarray(self.tie) > 0, jnp.log(jnp.maximum(2.0 * jnp.asarray(self.tie), 1e-30)), -jnp.inf)
        logits = jnp.stack(jnp.broadcast_arrays(half, middle.astype(half.dtype), -half), -1)
        chances = jax.nn.softmax(logits, -1)
        return chances[..., 0], chances[..., 1]

    def _win(self, gap):
        if self.keep == "drop":
            return jax.nn.sigmoid(gap / self.temperature)
        win, tied = self.outcomes(gap)
        return win + 0.5 * tied


@LABELS.register("users")
@final
class Users(Labels):
    """Many annotators, each Bradley-Terry with a reward of its own: ``P_ab = Σ_u w_u σ(r_u(a) - r_u(b))`` (2505.23749).

    The mixture is no Bradley-Terry model unless all users agree: no reward explains it, and DPO counts Borda points (F13).

    Attributes:
        log_weights: log-law of the users, shape (users,).
        rewards: reward of each, shape (users, n), for all prompts.
    """

    log_weights: Float[Array, " users"] = checked(checks.log_law)
    rewards: Float[Array, "users n"] = finite()

    def matrix(self, reward):
        checks.spread("rewards", self.rewards, (len(self.log_weights), reward.shape[-1]), own=2)
        table = jnp.tensordot(jnp.exp(self.log_weights), jax.nn.sigmoid(reward_gaps(self.rewards)), 1)
        return jnp.broadcast_to(table, (*reward.shape, reward.shape[-1])).astype(reward.dtype)

    def probability(self, reward, first, second):
        rows = jnp.take_along_axis(self.matrix(reward), first[..., None], axis=-2)
        return jnp.take_along_axis(rows, second[..., None], axis=-1)[..., 0]


@LABELS.register("threshold")
@final
class Threshold(Labels):
    """The base model where the true rewards differ by at least ``least``; closer pairs are undecided, ``P = ½``."""

    base: Labels
    least: float | Float[Array, ""] = at_least(0.0, default=0.5)

    @property
    def is_drawn(self):
        return self.base.is_drawn

    def matrix(self, reward):
        return self._decided(reward_gaps(reward), self.base.matrix(reward))

    def probability(self, reward, first, second):
        return self._decided(gather(reward, first) - gather(reward, second), self.base.probability(reward, first, second))

    def ties(self, reward):
        gap, base = jnp.abs(reward_gaps(reward)), self.base.ties(reward)
        return jnp.where(gap >= self.least, 0.0 if base is None else base, 1.0).astype(reward.dtype)

    def draw(self, key, reward, first, second):
        return self._decided(gather(reward, first) - gather(reward, second), self.base.draw(key, reward, first, second))

    def _decided(self, gap: Array, label: Array) -> Array:
        return jnp.where(jnp.abs(gap) >= self.least, label, 0.5).astype(label.dtype)


@LABELS.register("flipped")
@final
class Flipped(Labels):
    """Labels of the base model turned over with probability ``rate`` in [0, 1], pair by pair where labels are drawn."""

    base: Labels
    rate: float | Float[Array, ""] = between(0.0, 1.0, default=0.1)

    @property
    def is_drawn(self):
        return self.base.is_drawn

    def matrix(self, reward):
        return _flip(self.base.matrix(reward), self.rate)

    def probability(self, reward, first, second):
        return _flip(self.base.probability(reward, first, second), self.rate)

    def ties(self, reward):
        return self.base.ties(reward)

    def draw(self, key, reward, first, second):
        label_key, turn_key = jax.random.split(key)
        label = self.base.draw(label_key, reward, first, second)
        turned = _coin(turn_key, jnp.broadcast_to(jnp.asarray(self.rate, label.dtype), label.shape))
        return _flip(label, turned)


@LABELS.register("bernoulli")
@final
class Bernoulli(Labels):
    """The base model's probability is only seen through one draw a pair; the population loss is unchanged."""

    base: Labels

    @property
    def is_drawn(self):
        return True

    def matrix(self, reward):
        return self.base.matrix(reward)

    def probability(self, reward, first, second):
        return self.base.probability(reward, first, second)

    def ties(self, reward):
        return self.base.ties(reward)

    def draw(self, key, reward, first, second):
        return self.base.draw(key, reward, first, second)


def _coin(key: Key[Array, ""], chance: Array) -> Array:
    return (jax.random.uniform(key, chance.shape, dtype=chance.dtype) < chance).astype(chance.dtype)


def _harden(chance: Array) -> Array:
    return jnp.where(chance > 0.5, 1.0, jnp.where(chance < 0.5, 0.0, 0.5)).astype(chance.dtype)


def _flip(chance: Array, rate) -> Array:
    return (1.0 - rate) * chance + rate * (1.0 - chance)
