"""What must a sampler be able to do?"""

import abc

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from didsim.samplers.laws import PairLaw
from didsim.worlds import Problem

Number = float | int | Float[Array, "..."] | Int[Array, "..."]


class Sampler(abc.ABC):
    """A rule that decides which pairs are shown, possibly from the policy that is being trained."""

    @property
    def follows_policy(self) -> bool:
        """Whether the pair law depends on the current policy; if not, it is computed once a run."""
        return False

    @abc.abstractmethod
    def pair_law(self, problem: Problem, log_policy: Float[Array, "prompts n"]) -> PairLaw:
        """Pair law for every prompt; no gradient flows through ``log_policy``."""

    def draws(self, problem: Problem, log_policy: Float[Array, "prompts n"]) -> Float[Array, " prompts"]:
        """Expected number of responses that must be generated to show one pair."""
        del log_policy
        return jnp.full(problem.log_ref.shape[:1], 2.0, problem.log_ref.dtype)
