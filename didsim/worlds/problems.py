"""What is a problem made of, and how do its missing laws follow from the parts that are given?"""

import abc
from collections.abc import Callable
from typing import final

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from didsim.numerics import checks, simplex
from didsim.numerics.brief import called
from didsim.numerics.pytrees import pytree
from didsim.numerics.registry import Registry


@final
@pytree
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

    example = "didsim.problem(log_ref, reward=reward, beta=0.5)"

    log_ref: Float[Array, "prompts n"]
    log_target: Float[Array, "prompts n"]
    reward: Float[Array, "prompts n"]
    log_chosen: Float[Array, "prompts n"]
    log_rejected: Float[Array, "prompts n"]
    log_prompts: Float[Array, " prompts"]
    lengths: Float[Array, "prompts n"]
    beta: Float[Array, ""]

    def __repr__(self) -> str:
        if not hasattr(self.log_ref, "shape"):
            return "Problem(…)"  # JAX also builds objects around placeholders
        prompts, n = (1, *self.log_ref.shape)[-2:]
        return called("Problem", str(self.log_ref.dtype), prompts=prompts, n=n, beta=self.beta)


WORLDS: Registry[Callable[..., "World | Problem"]] = Registry("world")


@WORLDS.register("given")
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

    example = "didsim.worlds.RandomTarget(n=8)"

    @abc.abstractmethod
    def draw(self, key: Key[Array, ""]) -> Problem:
        """One problem, a pure function of the key."""


@final
@pytree
class Given(World):
    """Always the same problem."""

    given: Problem

    def draw(self, key):
        del key
        return self.given


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
