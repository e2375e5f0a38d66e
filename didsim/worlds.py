"""Which preference world are we in: reference, target, reward, and the laws chosen and rejected draws come from?

A `Problem` holds every law of one world with prompts as the leading axis.  `problem` builds one from the parts a user
has and derives the rest; a `World` draws one from a key, so that a sweep over seeds is a sweep over worlds.  Reward,
reference and target always agree: ``π* ∝ π_ref e^{r/β}`` with the world's own ``β``.
"""

import abc
from dataclasses import replace
from typing import final

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from didsim.numerics import checks, simplex
from didsim.numerics.records import record, static
from didsim.numerics.sequences import SequenceSpace


@final
@record
class Problem:
    """The laws of one preference world; all arrays share the prompt axis.

    Attributes:
        log_ref: reference policy π_ref, shape (prompts, n).
        log_target: target policy π* ∝ π_ref e^{r/β}.
        reward: true reward r, defined up to a constant per prompt.
        log_chosen: law π_w of independently drawn chosen responses.
        log_rejected: law π_l of independently drawn rejected responses.
        log_prompts: log of the prompt law ρ, shape (prompts,).
        lengths: tokens per response, shape (prompts, n), for length-normalised rewards.
        beta: inverse temperature that ties reward and target.
    """

    log_ref: Float[Array, "prompts n"]
    log_target: Float[Array, "prompts n"]
    reward: Float[Array, "prompts n"]
    log_chosen: Float[Array, "prompts n"]
    log_rejected: Float[Array, "prompts n"]
    log_prompts: Float[Array, " prompts"]
    lengths: Float[Array, "prompts n"]
    beta: Float[Array, ""]


def problem(
    log_ref: ArrayLike,
    *,
    reward: ArrayLike | None = None,
    log_target: ArrayLike | None = None,
    beta: ArrayLike = 1.0,
    log_chosen: ArrayLike | None = None,
    log_rejected: ArrayLike | None = None,
    log_prompts: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
) -> Problem:
    """Preference problem from its parts: exactly one of ``reward`` and ``log_target`` decides the other.

    Missing laws follow the power law: ``π_w = π_ref`` and ``π_l ∝ π_w (π_ref/π*)^β`` (D4, D7).

    Args:
        log_ref: log-law π_ref, shape (n,) or (prompts, n), full support.
        reward: true reward, broadcasting against ``log_ref``.
        log_target: log-law π*, full support.
        beta: inverse temperature, > 0.
        log_chosen: log-law of chosen responses; may lack support.
        log_rejected: log-law of rejected responses; may lack support.
        log_prompts: log-law of prompts, uniform if missing.
        lengths: tokens per response, >= 1, ones if missing.

    Returns:
        The completed `Problem`, always with a prompt axis.

    Raises:
        ArgumentError: both or neither of ``reward`` and ``log_target``, a law that is not one, ``beta <= 0``, or
            prompts and responses that do not match.

    Example:
        >>> import jax.numpy as jnp
        >>> from didsim import problem
        >>> world = problem(jnp.log(jnp.array([0.5, 0.3, 0.2])), reward=jnp.array([0.0, 1.0, 2.0]), beta=0.5)
        >>> world.log_target.shape
        (1, 3)
    """
    ref = jnp.atleast_2d(checks.log_law("log_ref", log_ref, full_support=True))
    if ref.ndim > 2:
        raise checks.ArgumentError(f"Argument `log_ref` must have shape (n,) or (prompts, n), but has shape {ref.shape}.")
    scale = jnp.asarray(checks.positive("beta", beta), ref.dtype)
    if scale.ndim:
        raise checks.ArgumentError(f"Argument `beta` must be one number for all prompts, but has shape {scale.shape}.")
    r, target = _reward_and_target(ref, scale, reward, log_target)
    chosen = ref if log_chosen is None else _like("log_chosen", log_chosen, ref)
    rejected = simplex.tilt(chosen, ref - target, scale) if log_rejected is None else _like("log_rejected", log_rejected, ref)
    sizes = jnp.ones_like(ref) if lengths is None else _broadcast("lengths", checks.at_least("lengths", lengths, 1.0), ref)
    return Problem(ref, target, r, chosen, rejected, _prompt_law(log_prompts, ref), sizes, scale)


class World(abc.ABC):
    """A law over problems."""

    @abc.abstractmethod
    def draw(self, key: Key[Array, ""]) -> Problem:
        """One problem, a pure function of the key."""


@final
@record
class Given(World):
    """Always the same problem."""

    given: Problem

    def draw(self, key):
        del key
        return self.given


@final
@record
class RandomTarget(World):
    """Reference and target with independent normal logits; chosen and rejected laws by the power law.

    ``log π_ref ∝ reference_scale · N(0,1)``, ``log π* ∝ target_scale · N(0,1)``; chosen responses come from the point
    ``chosen_at`` of the geodesic from π_ref (0) to π* (1), rejected ones from ``chosen_at - beta`` (D9).
    """

    n: int = static(default=32)
    prompts: int = static(default=1)
    reference_scale: float | Float[Array, ""] = 1.0
    target_scale: float | Float[Array, ""] = 1.0
    beta: float | Float[Array, ""] = 0.5
    chosen_at: float | Float[Array, ""] = 0.0

    def __post_init__(self) -> None:
        _check_sizes(self.n, self.prompts)
        checks.positive_leaf("beta", self.beta)
        for name in ("reference_scale", "target_scale", "chosen_at"):
            checks.finite_leaf(name, getattr(self, name))

    def draw(self, key):
        ref_key, target_key = jax.random.split(key)
        shape = (self.prompts, self.n)
        log_ref = simplex.normalize(self.reference_scale * normal(ref_key, shape))
        log_target = simplex.normalize(self.target_scale * normal(target_key, shape))
        return on_geodesic(log_ref, log_target, self.beta, self.chosen_at)


@final
@record
class RandomReward(World):
    """Reference with normal logits and an independent normal reward; the target follows from ``beta``.

    ``reference_skill`` adds that multiple of the reward to the reference logits: negative makes a weak reference that
    puts its mass on bad responses, positive a strong one.
    """

    n: int = static(default=20)
    prompts: int = static(default=1)
    reference_scale: float | Float[Array, ""] = 0.0
    reference_skill: float | Float[Array, ""] = 0.0
    reward_scale: float | Float[Array, ""] = 1.0
    beta: float | Float[Array, ""] = 1.0

    def __post_init__(self) -> None:
        _check_sizes(self.n, self.prompts)
        checks.positive_leaf("beta", self.beta)
        for name in ("reference_scale", "reference_skill", "reward_scale"):
            checks.finite_leaf(name, getattr(self, name))

    def draw(self, key):
        ref_key, reward_key = jax.random.split(key)
        shape = (self.prompts, self.n)
        reward = self.reward_scale * normal(reward_key, shape)
        log_ref = simplex.normalize(self.reference_scale * normal(ref_key, shape) + self.reference_skill * reward)
        return on_geodesic(log_ref, simplex.tilt(log_ref, reward, 1.0 / self.beta), self.beta, 0.0)


@final
@record
class RandomSequences(World):
    """Responses made of tokens: reference and target with independent normal next-token logits after every prefix (L6).

    Chosen and rejected laws follow the power law from the point ``chosen_at`` of the geodesic on, as in `RandomTarget`;
    ``lengths`` are the numbers of tokens.
    """

    space: SequenceSpace = static(default=SequenceSpace(4, 3))
    prompts: int = static(default=1)
    reference_scale: float | Float[Array, ""] = 1.0
    target_scale: float | Float[Array, ""] = 1.0
    beta: float | Float[Array, ""] = 0.5
    chosen_at: float | Float[Array, ""] = 0.0

    def __post_init__(self) -> None:
        self.space.check_enumerable()
        _check_sizes(self.space.n, self.prompts)
        checks.positive_leaf("beta", self.beta)
        for name in ("reference_scale", "target_scale", "chosen_at"):
            checks.finite_leaf(name, getattr(self, name))

    def draw(self, key):
        scales = zip(jax.random.split(key), (self.reference_scale, self.target_scale), strict=True)
        shape = (self.prompts, self.space.prefixes, self.space.vocabulary)
        log_ref, log_target = (self.space.log_law(simplex.normalize(scale * normal(own, shape))) for own, scale in scales)
        made = on_geodesic(log_ref, log_target, self.beta, self.chosen_at)
        return replace(made, lengths=jnp.broadcast_to(self.space.lengths(), log_ref.shape))


def on_geodesic(
    log_ref: Float[Array, "prompts n"],
    log_target: Float[Array, "prompts n"],
    beta: Float[Array, ""] | float,
    chosen_at: Float[Array, ""] | float,
) -> Problem:
    """Problem whose four laws lie on one exponential path: π_w = π_a and π_l = π_{a-β} (derived; D9)."""
    dtype = log_ref.dtype
    return Problem(
        log_ref=log_ref,
        log_target=log_target,
        reward=beta * simplex.clr(log_target - log_ref),
        log_chosen=simplex.geodesic(log_ref, log_target, chosen_at),
        log_rejected=simplex.geodesic(log_ref, log_target, chosen_at - beta),
        log_prompts=jnp.full(log_ref.shape[:1], -jnp.log(float(log_ref.shape[0])), dtype),
        lengths=jnp.ones_like(log_ref),
        beta=jnp.asarray(beta, dtype),
    )


def normal(key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Standard normal draws made in float32 and widened, so that a world is the same in either precision."""
    return jax.random.normal(key, shape, dtype=jnp.float32).astype(jnp.zeros(()).dtype)


def _check_sizes(n: int, prompts: int) -> None:
    checks.whole("n", n, least=2)
    checks.whole("prompts", prompts, least=1)


def _reward_and_target(ref: Array, beta: Array, reward: ArrayLike | None, log_target: ArrayLike | None):
    if (reward is None) == (log_target is None):
        given = "neither" if reward is None else "both"
        raise checks.ArgumentError(f"Argument `reward` or `log_target` must be given, exactly one, but {given} is.")
    if reward is None:
        assert log_target is not None
        target = _like("log_target", log_target, ref, full_support=True)
        return beta * simplex.clr(target - ref), target
    r = _broadcast("reward", checks.finite("reward", reward), ref)
    return r, simplex.tilt(ref, r, 1.0 / beta)


def _like(name: str, value: ArrayLike, ref: Array, *, full_support: bool = False) -> Array:
    return _broadcast(name, checks.log_law(name, value, full_support=full_support), ref)


def _broadcast(name: str, value: ArrayLike, ref: Array) -> Array:
    array = jnp.asarray(value, ref.dtype)
    if array.ndim == 0 or array.ndim > 2:
        raise checks.ArgumentError(
            f"Argument `{name}` must have shape (n,) or (prompts, n) = {ref.shape}, but has shape {array.shape}."
        )
    checks.same_responses(log_ref=ref, **{name: array})
    if array.ndim == 2 and array.shape[0] not in (1, ref.shape[0]):
        raise checks.ArgumentError(
            f"Argument `{name}` must have {ref.shape[0]} prompts as `log_ref` has, but has {array.shape[0]}."
        )
    return jnp.broadcast_to(array, ref.shape)


def _prompt_law(log_prompts: ArrayLike | None, ref: Array) -> Array:
    if log_prompts is None:
        return jnp.full(ref.shape[:1], -jnp.log(float(ref.shape[0])), ref.dtype)
    law = jnp.asarray(checks.log_law("log_prompts", log_prompts, least=1), ref.dtype)
    if law.shape != ref.shape[:1]:
        raise checks.ArgumentError(
            f"Argument `log_prompts` must have one entry per prompt, shape {ref.shape[:1]}, but has shape {law.shape}."
        )
    return law
