"""In which single respect are the data unlike the matched world?

In the matched world chosen and rejected responses are drawn independently from laws that follow the power law, so that
labels are exactly Bradley-Terry, at the learner's own β, over a free table.  A departure changes one of these and nothing
else.  Whatever it changes ends up in a `Case`: arrays of one shape, so that all departures are one batch of one program.
"""

import abc
from dataclasses import replace
from typing import ClassVar, final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from didsim.numerics import simplex
from didsim.numerics.checks import ArgumentError
from didsim.numerics.pytrees import at_least, between, checked, finite, positive, pytree, whole
from didsim.numerics.registry import Registry
from didsim.numerics.sequences import SequenceSpace
from didsim.objectives import population
from didsim.policies import LogLinear, Policy, Table, k_gram
from didsim.samplers import Sampler
from didsim.worlds import Problem, World
from didsim.worlds.preferences import BradleyTerry, Davidson, Flipped, Hard, Labels, PreferenceMatrix, Users
from didsim.worlds.random import normal

Scalar = float | Float[Array, ""]


@final
@pytree
class Case:
    """One world as the learner is shown it and as its end is judged.

    Attributes:
        problem: what the objective is given.
        ordered: law of (chosen, rejected) pairs, shape (prompts, n, n).
        beta: inverse temperature that the learner trains at.
        truth: the problem by which the end is judged.
    """

    problem: Problem
    ordered: Float[Array, "prompts n n"]
    beta: Float[Array, ""]
    truth: Problem


def matched(problem: Problem) -> Case:
    """The world as the theory wants it: pairs from ``π_w ⊗ π_l`` and the data's own β (D3, D4)."""
    pairs = jnp.exp(problem.log_chosen)[..., :, None] * jnp.exp(problem.log_rejected)[..., None, :]
    return Case(problem, pairs, problem.beta, problem)


class Departure(abc.ABC):
    """One respect in which the data are unlike the matched world; registered, it is a column.

    Class attributes:
        title: the column's heading, a few words.
        dial: the field that says how far, for curves; empty if there is no such number.
        nothing: value of the dial at which nothing is changed.
        control: whether it is no departure to learn from but a check that the cells can move, or stay.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    dial: ClassVar[str] = ""
    nothing: ClassVar[float] = 0.0
    control: ClassVar[bool] = False

    @abc.abstractmethod
    def apply(self, key: Key[Array, ""], case: Case) -> Case:
        """The matched case with one thing changed; sizes stay as they are.  Runs under ``vmap`` over worlds."""

    def policy(self, key: Key[Array, ""], problem: Problem) -> Policy:
        """Which laws the learner can say: a free table unless overridden."""
        del key, problem
        return Table()


DEPARTURES: Registry[type[Departure] | Departure] = Registry("departure")
register = DEPARTURES.register


def relabelled(case: Case, labels: Labels) -> Float[Array, "prompts n n"]:
    """The same pairs, whichever was chosen, with other labels: ``ν_ab = (μ_ab + μ_ba) P_ab``, ``μ`` the law of pairs."""
    both = case.ordered + jnp.swapaxes(case.ordered, -1, -2)
    return both * labels.matrix(case.problem.reward)


def by_logits(logits: Float[Array, "prompts n n"]) -> PreferenceMatrix:
    """Labels whose log-odds are given for every pair; only the part that changes sign with the order counts."""
    return PreferenceMatrix(jax.nn.sigmoid(0.5 * (logits - jnp.swapaxes(logits, -1, -2))))


@register("matched")
@final
class Matched(Departure):
    """Nothing is changed: the column that all others are read against."""

    title: ClassVar[str] = "matched"

    def apply(self, key, case):
        return case


@register("beta")
@final
class OtherBeta(Departure):
    """The learner trains at ``factor`` times the data's β."""

    title: ClassVar[str] = "β doubled"
    dial: ClassVar[str] = "factor"
    nothing: ClassVar[float] = 1.0
    factor: Scalar = positive(default=2.0)

    def apply(self, key, case):
        return replace(case, beta=self.factor * case.beta)


@register("angle")
@final
class OffPowerLaw(Departure):
    """``log(π_w/π_l)`` is turned by ``degrees`` away from the reward, towards a random direction, its length kept."""

    title: ClassVar[str] = "off the power law, 30°"
    dial: ClassVar[str] = "degrees"
    degrees: Scalar = between(0.0, 180.0, default=30.0)

    def apply(self, key, case):
        problem = case.problem
        aim = simplex.clr(problem.log_chosen - problem.log_rejected)
        length = jnp.linalg.norm(aim, axis=-1, keepdims=True)
        free = simplex.clr(normal(key, aim.shape))
        free = free - jnp.sum(free * aim, -1, keepdims=True) * aim / length**2
        side = length * free / jnp.linalg.norm(free, axis=-1, keepdims=True)
        angle = jnp.deg2rad(self.degrees)
        rejected = simplex.tilt(problem.log_chosen, jnp.cos(angle) * aim + jnp.sin(angle) * side, -1.0)
        turned = replace(problem, log_rejected=rejected)
        return replace(case, problem=turned, ordered=matched(turned).ordered)


@register("flipped")
@final
class FlippedLabels(Departure):
    """Labels are turned over, each with chance ``rate``."""

    title: ClassVar[str] = "10 % flipped"
    dial: ClassVar[str] = "rate"
    rate: Scalar = between(0.0, 0.5, default=0.1)

    def apply(self, key, case):
        return replace(case, ordered=relabelled(case, Flipped(BradleyTerry(), self.rate)))


@register("hard")
@final
class HardLabels(Departure):
    """The better response always wins."""

    title: ClassVar[str] = "hard labels"

    def apply(self, key, case):
        return replace(case, ordered=relabelled(case, Hard(BradleyTerry())))


@register("annotators")
@final
class TwoAnnotators(Departure):
    """Half the labels come from each of two annotators with rewards ``r ± apart · N(0,1)``; their mean is the truth."""

    title: ClassVar[str] = "two annotators"
    dial: ClassVar[str] = "apart"
    apart: Scalar = at_least(0.0, default=1.0)

    def apply(self, key, case):
        aside = self.apart * simplex.clr(normal(key, case.problem.reward.shape[-1:]))
        rewards = case.problem.reward[0] + jnp.stack([aside, -aside])
        return replace(case, ordered=relabelled(case, Users(jnp.full(2, -jnp.log(2.0)), rewards)))


@register("ties")
@final
class TiesSplit(Departure):
    """Davidson's ties of weight ``tie``, each counted half for either side (F12)."""

    title: ClassVar[str] = "ties split"
    dial: ClassVar[str] = "tie"
    tie: Scalar = at_least(0.0, default=1.0)

    def apply(self, key, case):
        return replace(case, ordered=relabelled(case, Davidson(self.tie)))


@register("weak-reference")
@final
class WeakReference(Departure):
    """The reference is tilted by ``skill`` times the reward: at -1 it puts its mass on bad responses.  Data stay matched."""

    title: ClassVar[str] = "weak reference"
    dial: ClassVar[str] = "skill"
    skill: Scalar = finite(default=-1.0)

    def apply(self, key, case):
        truth = case.truth
        log_ref, log_target = (simplex.tilt(law, truth.reward, self.skill) for law in (truth.log_ref, truth.log_target))
        chosen, rejected = (simplex.tilt(law, truth.reward, self.skill) for law in (truth.log_chosen, truth.log_rejected))
        return matched(replace(truth, log_ref=log_ref, log_target=log_target, log_chosen=chosen, log_rejected=rejected))


@register("unseen")
@final
class Unseen(Departure):
    """A ``share`` of the responses, drawn at random, is never shown (S1, S2)."""

    title: ClassVar[str] = "a quarter never shown"
    share: Scalar = between(0.0, 0.9, default=0.25)

    def apply(self, key, case):
        n = case.ordered.shape[-1]
        rank = jnp.argsort(jnp.argsort(normal(key, (n,))))
        shown = rank >= jnp.round(self.share * n)
        kept = jnp.where(shown[:, None] & shown[None, :], case.ordered, 0.0)
        return replace(case, ordered=kept / kept.sum((-1, -2), keepdims=True))


@register("length")
@final
class LengthBias(Departure):
    """Responses are 1, 2 or 3 units long instead of 1, and a unit more counts ``bias`` nats with who labels.

    ``strength`` scales both the spread of lengths and with it the bias.
    """

    title: ClassVar[str] = "longer preferred"
    dial: ClassVar[str] = "strength"
    strength: Scalar = between(0.0, 1.0, default=1.0)
    bias: Scalar = finite(default=0.5)

    def apply(self, key, case):
        n = case.ordered.shape[-1]
        more = self.strength * (jnp.argsort(jnp.argsort(normal(key, (n,)))) % 3)
        problem = replace(case.problem, lengths=case.problem.lengths + more)
        felt = problem.reward + self.bias * more
        return replace(case, problem=problem, ordered=relabelled(case, by_logits(felt[:, :, None] - felt[:, None, :])))


@register("cyclic")
@final
class Cyclic(Departure):
    """A circulation of ``strength`` nats is added to the log-odds of every pair: no response gains by it on the whole."""

    title: ClassVar[str] = "cyclic preferences"
    dial: ClassVar[str] = "strength"
    strength: Scalar = finite(default=1.5)

    def apply(self, key, case):
        n, reward = case.ordered.shape[-1], case.problem.reward
        turn = jnp.sin(2.0 * jnp.pi * (jnp.arange(n)[None, :] - jnp.arange(n)[:, None]) / n)
        logits = reward[:, :, None] - reward[:, None, :] + self.strength * turn
        return replace(case, ordered=relabelled(case, by_logits(logits)))


@register("log-linear")
@final
class FewFeatures(Departure):
    """The policy is log-linear in ``dimension`` random features of the responses (L1)."""

    title: ClassVar[str] = "log-linear, 4 features"
    dimension: int = whole(1, default=4)

    def apply(self, key, case):
        return case

    def policy(self, key, problem):
        return LogLinear(normal(key, (problem.log_ref.shape[-1], self.dimension)))


@register("bigram")
@final
class Bigram(Departure):
    """Responses are sequences of two tokens' choice, and the policy changes π_ref by a bigram's factors (L6)."""

    title: ClassVar[str] = "bigram policy"

    def apply(self, key, case):
        return case

    def policy(self, key, problem):
        return k_gram(binary_space(problem.log_ref.shape[-1]), 1)


@register("sampled")
@final
class SampledPairs(Departure):
    """``pairs`` labelled pairs are drawn, and the learner sees no others."""

    title: ClassVar[str] = "200 sampled pairs"
    pairs: int = whole(1, default=200)

    def apply(self, key, case):
        prompts, n = case.problem.log_ref.shape
        uniform = jax.random.uniform(key, (prompts, self.pairs), dtype=jnp.float32).astype(case.ordered.dtype)
        levels = jnp.cumsum(case.ordered.reshape(prompts, -1), -1)
        cell = jnp.sum(uniform[:, :, None] >= levels[:, None, :-1], -1)
        counts = jax.vmap(lambda one: jnp.zeros(n * n, levels.dtype).at[one].add(1.0))(cell)
        return replace(case, ordered=counts.reshape(case.ordered.shape) / self.pairs)


@register("renamed")
@final
class Renamed(Departure):
    """Control: the responses in reverse order.  No cell may differ from the matched one."""

    title: ClassVar[str] = "responses renamed"
    control: ClassVar[bool] = True

    def apply(self, key, case):
        backwards = [
            replace(one, **{name: getattr(one, name)[:, ::-1] for name in ("log_ref", "log_target", "reward", "log_chosen",
                                                                            "log_rejected", "lengths")})
            for one in (case.problem, case.truth)
        ]  # fmt: skip
        return replace(case, problem=backwards[0], truth=backwards[1], ordered=case.ordered[:, ::-1, ::-1])


@register("reversed")
@final
class Reversed(Departure):
    """Control: labels by the opposite of the reward.  Every cell must differ from the matched one."""

    title: ClassVar[str] = "reward reversed"
    control: ClassVar[bool] = True

    def apply(self, key, case):
        return replace(case, ordered=jnp.swapaxes(case.ordered, -1, -2))


@final
@pytree
class WithLabels(Departure):
    """A column of one's own: the matched pairs with other labels.

    Example:
        >>> from didsim.landscape import atlas
        >>> from didsim.worlds.preferences import Threshold, BradleyTerry
        >>> column = atlas.WithLabels(Threshold(BradleyTerry(), 1.0))
    """

    title: ClassVar[str] = "other labels"
    labels: Labels = checked(lambda name, value: _is(name, value, Labels))

    def apply(self, key, case):
        return replace(case, ordered=relabelled(case, self.labels))


@final
@pytree
class WithSampler(Departure):
    """A column of one's own: Bradley-Terry labels on pairs from another sampler, as it is at the reference."""

    title: ClassVar[str] = "other pairs"
    sampler: Sampler = checked(lambda name, value: _is(name, value, Sampler))

    def apply(self, key, case):
        shown = population(case.problem, self.sampler, BradleyTerry(), case.problem.log_ref)
        return replace(case, ordered=shown.ordered)


@final
@pytree
class WithWorld(Departure):
    """A column of one's own: matched data in another world, which must have the sizes of the atlas's worlds."""

    title: ClassVar[str] = "another world"
    world: World = checked(lambda name, value: _is(name, value, World))

    def apply(self, key, case):
        return matched(self.world.draw(key))


def binary_space(n: int) -> SequenceSpace:
    """All sequences of two tokens that ``n`` responses are.

    Raises:
        ArgumentError: n is no power of two.
    """
    length = n.bit_length() - 1
    if n != 2**length or not length:
        raise ArgumentError(f"Argument `n` must be a power of two for responses to be sequences of two tokens, but is {n}.")
    return SequenceSpace(2, length)


def _is(name: str, value: object, kind: type) -> None:
    if not isinstance(value, kind):
        raise ArgumentError(f"Argument `{name}` must be a {kind.__name__}, but is {value!r}.")
