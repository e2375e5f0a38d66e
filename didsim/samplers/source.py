"""What must a sampler, or the law of one response that it is made of, be able to do, and by which name is it known?"""

import abc
from collections.abc import Callable, Iterator
from typing import TypeVar

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from didsim.numerics.registry import Registry
from didsim.samplers.laws import PairLaw
from didsim.worlds import Problem

Number = float | int | Float[Array, "..."] | Int[Array, "..."]


class Source:
    """Where responses or pairs come from; its parts are those of its fields that are sources themselves."""

    @property
    def follows_policy(self) -> bool:
        """Whether the law depends on the current policy; if not, it is computed once a run.

        It does where that of a part does.  A source that looks at ``log_policy`` itself must say so.
        """
        return any(part.follows_policy for part in self._parts())

    def _parts(self) -> "Iterator[Source]":
        for field in vars(self).values():
            yield from (one for one in (field if isinstance(field, tuple) else (field,)) if isinstance(one, Source))


class Behaviour(Source, abc.ABC):
    """A law of one response, possibly from the policy that is being trained."""

    example = "didsim.samplers.FromReference()"

    @abc.abstractmethod
    def log_law(self, problem: Problem, log_policy: Float[Array, "prompts n"]) -> Float[Array, "prompts n"]:
        """Log-law for every prompt; no gradient flows through ``log_policy``."""

    def draws(self, problem: Problem, log_policy: Float[Array, "prompts n"]) -> Float[Array, " prompts"]:
        """Expected number of responses generated for one that is shown."""
        return jnp.ones(problem.log_ref.shape[:1], problem.log_ref.dtype)


class Sampler(Source, abc.ABC):
    """A rule that decides which pairs are shown, possibly from the policy that is being trained."""

    example = "didsim.samplers.Uniform()"

    @abc.abstractmethod
    def pair_law(self, problem: Problem, log_policy: Float[Array, "prompts n"]) -> PairLaw:
        """Pair law for every prompt; no gradient flows through ``log_policy``."""

    def draws(self, problem: Problem, log_policy: Float[Array, "prompts n"]) -> Float[Array, " prompts"]:
        """Expected number of responses that must be generated to show one pair."""
        return jnp.full(problem.log_ref.shape[:1], 2.0, problem.log_ref.dtype)


SAMPLERS: Registry[type[Sampler]] = Registry("sampler")
BEHAVIOURS: Registry[type[Behaviour]] = Registry("behaviour")
Named = TypeVar("Named", bound=type[Source])


def register(name: str) -> Callable[[Named], Named]:
    """Class decorator: makes a sampler or behaviour, whichever the class is, known by name: see `Registry.register`.

    Raises:
        ArgumentError: another sampler, or another behaviour, has that name.
    """

    def add(source: Named) -> Named:
        known = SAMPLERS if issubclass(source, Sampler) else BEHAVIOURS
        return known.register(name)(source)

    return add
