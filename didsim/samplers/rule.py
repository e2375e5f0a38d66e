"""What must a sampler be able to do?"""

import abc

from jaxtyping import Array, Float

from didsim.samplers.laws import PairLaw
from didsim.worlds import Problem


class Sampler(abc.ABC):
    """A rule that decides which pairs are shown, possibly from the policy that is being trained."""

    @property
    def follows_policy(self) -> bool:
        """Whether the pair law depends on the current policy; if not, it is computed once a run."""
        return False

    @abc.abstractmethod
    def pair_law(self, problem: Problem, log_policy: Float[Array, "prompts n"]) -> PairLaw:
        """Pair law for every prompt; no gradient flows through ``log_policy``."""
