"""What is the loss of these very pairs?  An objective on log-probabilities that somebody else's policy gave them.

A trainer has a batch of chosen and rejected responses with their summed log-probabilities; here each objective of the
catalogue is that batch's loss, so that a trainer's own can be held against it.
"""

import copy
import functools
import math
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, final

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from didsim.numerics import checks
from didsim.numerics.errors import ArgumentError
from didsim.numerics.pytrees import pytree
from didsim.objectives.comparisons import weighted
from didsim.objectives.links import margin
from didsim.objectives.parts import OBJECTIVES, Comparisons, Objective, Seen
from didsim.objectives.sums import WeightedSum

Numbers = ArrayLike | Sequence[Any]


@final
@pytree
class PairLosses:
    """Losses of a batch of pairs and what trainers log beside them.

    Attributes:
        losses: loss of each pair, in the shape given; chosen then rejected examples where their numbers differ; the one
            number of the batch, repeated, where the objective is a function of all pairs together.
        mean: their mean, which is what is minimised.
        chosen_rewards: implicit reward of each chosen response in the objective's own units; ``β log(π/π_ref)`` where it has
            no margin.
        rejected_rewards: the same of each rejected response.
        accuracy: share of pairs whose chosen response has the higher implicit reward; NaN where examples are not paired.
    """

    losses: Float[Array, "..."]
    mean: Float[Array, ""]
    chosen_rewards: Float[Array, "..."]
    rejected_rewards: Float[Array, "..."]
    accuracy: Float[Array, ""]


def pair_losses(
    objective: Objective | str,
    policy_chosen: Numbers,
    policy_rejected: Numbers | None = None,
    ref_chosen: Numbers | None = None,
    ref_rejected: Numbers | None = None,
    *,
    chosen_lengths: Numbers | None = None,
    rejected_lengths: Numbers | None = None,
    chosen_rewards: Numbers | None = None,
    rejected_rewards: Numbers | None = None,
    chosen_win_rates: Numbers | None = None,
    rejected_win_rates: Numbers | None = None,
    kl: Numbers | None = None,
    policy_prompts: Numbers | None = None,
    prompt_lengths: Numbers | None = None,
    weights: Numbers | None = None,
    **numbers: Any,
) -> PairLosses:
    """The loss of given pairs, ``ℓ(g_w(chosen) - g_l(rejected)) + f_w(chosen) + f_l(rejected)`` for each (see `Objective`).

    All entries of the arrays together are the batch, over which batch-level objectives look.  Works under ``jit``, ``grad``
    and ``vmap``; values are then not checked, only shapes.

    Args:
        objective: an objective, or its name (``didsim objectives`` lists them).
        policy_chosen: log-probabilities of the chosen responses under the policy, summed over tokens, in nats; at most 0 for
            objectives without a reference.
        policy_rejected: the same of the rejected ones, in pairs with them; for objectives without pairs of any number.
        ref_chosen: the same of the chosen responses under the reference, for objectives that look at it.
        ref_rejected: the same of the rejected ones.
        chosen_lengths: numbers of tokens, at least 1, for objectives that divide by them.
        rejected_lengths: the same of the rejected ones.
        chosen_rewards: true rewards, for ``rebel`` and ``odpo[gap]``.
        rejected_rewards: the same of the rejected ones.
        chosen_win_rates: chance of the chosen responses to beat one of the reference, for ``sppo``.
        rejected_win_rates: the same of the rejected ones.
        kl: estimate of ``KL(π‖π_ref)`` for ``kto``, no gradient; one below 0 counts as 0.
        policy_prompts: log-probabilities of the prompts themselves, for ``orpo[prompt]``.
        prompt_lengths: numbers of their tokens.
        weights: factor of each pair's loss, at least 0, as WPO's; the mean still divides by the number of pairs.
        **numbers: numbers of the objective, such as ``beta``.

    Returns:
        Losses, their mean, implicit rewards, accuracy.

    Raises:
        ArgumentError: the objective needs what is not given or is no loss of pairs; shapes differ; a number is not finite or
            out of range.

    Example:
        >>> import didsim
        >>> got = didsim.pair_losses("dpo", [-4.0, -6.0], [-5.0, -5.0], [-4.5, -5.5], [-4.5, -5.5], beta=0.1)
        >>> print(got.losses.round(4), got.mean.round(4), got.accuracy)
        [0.6444 0.7444] 0.6944 0.5
    """
    kind = _objective(objective, numbers)
    shared = {"divergence": ("kl", kl)}
    chosen = _Role(kind, policy_chosen, {
        "log_policy": ("policy_chosen", policy_chosen), "log_ref": ("ref_chosen", ref_chosen),
        "lengths": ("chosen_lengths", chosen_lengths), "reward": ("chosen_rewards", chosen_rewards),
        "won": ("chosen_win_rates", chosen_win_rates), "prompt_log_policy": ("policy_prompts", policy_prompts),
        "prompt_lengths": ("prompt_lengths", prompt_lengths), **shared,
    })  # fmt: skip
    rejected = _Role(kind, policy_rejected, {
        "log_policy": ("policy_rejected", policy_rejected), "log_ref": ("ref_rejected", ref_rejected),
        "lengths": ("rejected_lengths", rejected_lengths), "reward": ("rejected_rewards", rejected_rewards),
        "won": ("rejected_win_rates", rejected_win_rates), **shared,
    })  # fmt: skip
    in_pairs = chosen.size == rejected.size
    if kind.paired or kind.batch_level or weights is not None:
        rejected.must_match(chosen)
    losses = _losses(kind, chosen, rejected)
    if weights is not None:
        losses = weighted(_weights(kind, weights, chosen.shape), losses)
    rewards = _rewards(kind, chosen), _rewards(kind, rejected) if rejected.size else jnp.zeros(0, losses.dtype)
    accuracy = jnp.mean((rewards[0] > rewards[1]).astype(losses.dtype)) if in_pairs else jnp.asarray(jnp.nan, losses.dtype)
    if in_pairs or kind.example_mean or not rejected.size:
        mean = jnp.mean(losses)
    else:  # each kind of example has its own mean
        mean = jnp.mean(losses[: chosen.size]) + jnp.mean(losses[chosen.size :])
    return PairLosses(
        losses.reshape(chosen.shape) if losses.size == chosen.size else losses,
        mean,
        rewards[0].reshape(chosen.shape),
        rewards[1].reshape(rejected.shape) if rejected.size else rewards[1],
        accuracy,
    )


class _Role(Seen):
    """What an objective sees of the chosen or of the rejected responses, shape (1, pairs); what was not given is refused."""

    def __init__(self, objective: Objective, like: Numbers | None, given: dict[str, tuple[str, Any]]):
        self._objective, self._names = objective, {name: argument for name, (argument, _) in given.items()}
        self.shape = (0,) if like is None else _array(*given["log_policy"]).shape
        self.size = math.prod(self.shape)
        self.is_rejected = given["log_policy"][0] == "policy_rejected"
        for name, (argument, value) in given.items():
            if value is not None and self.size:
                if name in ("log_policy", "prompt_log_policy") and _reference_free(objective):
                    checks.between(argument, value, -math.inf, 0.0)
                setattr(self, name, _flat(name, argument, value, given["log_policy"]))

    def __getattr__(self, name: str) -> Any:
        argument = self.__dict__.get("_names", {}).get(name)
        if argument is None:
            raise AttributeError(name)
        raise ArgumentError(f"Argument `{argument}` must be given for objective {self._objective.name!r}.")

    def has(self, name: str) -> bool:
        """Whether it was given."""
        return name in self.__dict__

    def win_rates(self, labels: object) -> Float[Array, "1 pairs"]:
        """Those that were given, whatever the label model."""
        del labels
        return self.won

    def must_match(self, other: "_Role") -> None:
        """Refuses examples that are no pairs with another role's."""
        mine, theirs = self.log_policy, other.log_policy
        if mine.shape != theirs.shape:
            raise ArgumentError(
                f"Argument `policy_rejected` must be in pairs with `policy_chosen` for objective {self._objective.name!r}, "
                f"but has {self.size} entries for {other.size}."
            )

    def seeing(self, **constants: Array) -> "_Role":
        """The same view with constants, repeated for every response."""
        again = copy.copy(self)
        for name, value in constants.items():
            setattr(again, name, jnp.broadcast_to(value, (1, self.size)))
        return again


@final
class _GivenPairs(Comparisons):
    """The pairs of a batch as a list: first all chosen responses, then all rejected ones, each pair with the same weight."""

    def __init__(self, pairs: int):
        self.pairs = pairs

    def mean_link(self, link, chosen_reward, rejected_reward):
        return jnp.mean(link(margin(chosen_reward[:, : self.pairs], rejected_reward[:, self.pairs :])), axis=1)

    def mean_chosen(self, values):
        return jnp.mean(values[:, : self.pairs], axis=1)

    def mean_rejected(self, values):
        return jnp.mean(values[:, self.pairs :], axis=1)

    def masses(self, n):
        half = jnp.full((1, self.pairs), 1.0 / self.pairs), jnp.zeros((1, n - self.pairs))
        return jnp.concatenate(half, axis=1), jnp.concatenate(half[::-1], axis=1)

    def margins(self, *values):
        weight = jnp.full((1, self.pairs), 1.0 / self.pairs, values[0].dtype)
        return weight, tuple(f[:, : self.pairs] - f[:, self.pairs :] for f in values)


def _reference_free(objective: Objective) -> bool:
    """Whether it looks at log-probabilities themselves, which are at most 0, where a log-ratio may stand for its two parts."""
    parts = objective.parts if isinstance(objective, WeightedSum) else (objective,)
    return any(part.reference_free for part in parts)


def _losses(objective: Objective, chosen: _Role, rejected: _Role) -> Float[Array, " pairs"]:
    """Loss of every pair, or of every example where chosen and rejected ones differ in number."""
    if isinstance(objective, WeightedSum):
        parts = zip(objective.parts, objective.weights, strict=True)
        return functools.reduce(jnp.add, (weight * _losses(part, chosen, rejected) for part, weight in parts))
    if not objective.of_pairs:
        raise ArgumentError(f"Argument `objective` must be a loss of pairs, but {objective.name!r} is one of whole laws.")
    chosen, rejected = _with_means(objective, chosen, rejected)
    if objective.batch_level:
        joint = _joint(chosen, rejected)
        return jnp.broadcast_to(objective.batch_term(joint, _GivenPairs(chosen.size)), (chosen.size,))
    of_chosen = objective.chosen_term(chosen)[0]
    if objective.paired:
        of_chosen = of_chosen + objective.link(margin(objective.chosen_reward(chosen), objective.rejected_reward(rejected)))[0]
    if type(objective).rejected_term is Objective.rejected_term:
        return of_chosen
    of_rejected = objective.rejected_term(rejected)[0]
    if chosen.size == rejected.size:
        return of_chosen + of_rejected
    return jnp.concatenate([of_chosen, of_rejected]) * (2.0 if objective.example_mean else 1.0)


def _with_means(objective: Objective, chosen: _Role, rejected: _Role) -> tuple[_Role, _Role]:
    """Both views with the means over the batch that the objective looks at."""
    if objective.centred:
        rewards = objective.chosen_reward(chosen), objective.rejected_reward(rejected)
        middle = jax.lax.stop_gradient(0.5 * (jnp.mean(rewards[0]) + jnp.mean(rewards[1])))
        chosen, rejected = chosen.seeing(baseline=middle), rejected.seeing(baseline=middle)
    if objective.token_mean:
        length = jnp.mean(objective.tokens(chosen))
        chosen, rejected = chosen.seeing(mean_length=length), rejected.seeing(mean_length=length)
    return chosen, rejected


def _joint(chosen: _Role, rejected: _Role) -> _Role:
    """One view of all responses, chosen ones first, for objectives that look at the whole batch."""
    joint = copy.copy(chosen)
    for name in ("log_policy", "log_ref"):
        setattr(joint, name, jnp.concatenate([getattr(chosen, name), getattr(rejected, name)], axis=1))
    return joint


def _rewards(objective: Objective, role: _Role) -> Float[Array, " pairs"]:
    """Implicit rewards of a role; where there is no margin, of log-ratios, or of log-probabilities if no reference is given."""
    if isinstance(objective, WeightedSum):
        return _rewards(objective.parts[0], role)
    if type(objective).chosen_reward is not Objective.chosen_reward:
        reward = objective.rejected_reward if role.is_rejected else objective.chosen_reward
        return reward(role)[0]
    value = role.log_ratio if role.has("log_ref") else role.log_policy
    return (getattr(objective, "beta", 1.0) * value)[0]


def _objective(objective: Objective | str, numbers: dict[str, Any]) -> Objective:
    """The objective with its numbers, those of a given object replaced."""
    if isinstance(objective, str):
        kind: Any = OBJECTIVES[OBJECTIVES.spelled(objective, "objective")]
    else:
        kind = type(checks.part("objective", objective, Objective, "didsim.objectives.Dpo(beta=0.1)"))
    known = [field.name for field in fields(kind)]
    for name in numbers:
        if name not in known:
            listed = ", ".join(known) or "nothing"
            raise ArgumentError(f"Argument `{name}` must be a number of objective {kind.name!r}, which has {listed}.")
    return kind(**numbers) if isinstance(objective, str) else replace(objective, **numbers)  # type: ignore[type-var]


def _weights(objective: Objective, weights: Numbers, shape: tuple[int, ...]) -> Float[Array, " pairs"]:
    if objective.batch_level:
        raise ArgumentError(
            f"Argument `weights` must be left out for objective {objective.name!r}, which looks at all pairs at once."
        )
    checks.at_least("weights", weights, 0.0)
    array = _array("weights", weights)
    return jnp.broadcast_to(array, shape).ravel() if array.ndim == 0 else checks.spread("weights", array, shape).ravel()


def _array(name: str, value: Numbers) -> Array:
    checks.finite(name, value)
    array = jnp.asarray(value)
    array = array if jnp.issubdtype(array.dtype, jnp.floating) else array.astype(jnp.zeros(()).dtype)
    if array.size == 0:
        raise ArgumentError(f"Argument `{name}` must hold at least one number, but is empty.")
    return array


def _flat(name: str, argument: str, value: Numbers, like: tuple[str, Any]) -> Float[Array, "1 pairs"]:
    """An argument as an array of shape (1, pairs), if it is what it may be."""
    array = _array(argument, value)
    if name in ("lengths", "prompt_lengths"):
        checks.at_least(argument, value, 1.0 if name == "lengths" else 0.0)
    if name == "won":
        checks.between(argument, value, 0.0, 1.0)
    if name == "divergence":  # as public code has it: an estimate can be below zero, the thing cannot
        if array.size != 1:
            checks.same_shape(like[0], _array(*like), argument, array)
        return jax.lax.stop_gradient(jnp.maximum(array, 0.0)).reshape(1, -1)
    checks.same_shape(like[0], _array(*like), argument, array)
    return array.reshape(1, -1)
