"""Which pairs are shown, and who wins them?  The two travel together."""

from typing import final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from didsim.numerics import checks
from didsim.numerics.memory import check_bytes
from didsim.numerics.pytrees import pytree
from didsim.samplers.basic import ChosenRejected
from didsim.samplers.source import Sampler
from didsim.worlds import Problem
from didsim.worlds.preferences import AsShown, Labels


@final
@pytree
class Data:
    """A law of pairs with a law of labels: what a learner compares."""

    sampler: Sampler = ChosenRejected()
    labels: Labels = AsShown()

    @classmethod
    def given(cls, sampler: Sampler | None, labels: Labels | None) -> "Data":
        """Sampler and labels as a user gives them; independent chosen and rejected draws if both are missing (D3).

        Raises:
            ArgumentError: only one of the two is given, or one is no sampler or labels.
        """
        if (sampler is None) != (labels is None):
            missing = "sampler" if sampler is None else "labels"
            raise checks.ArgumentError(f"Argument `{missing}` must be given when the other of sampler and labels is.")
        if sampler is None or labels is None:
            return cls()
        checks.part("sampler", sampler, Sampler, "didsim.samplers.Uniform()")
        checks.part("labels", labels, Labels, "didsim.preferences.BradleyTerry()")
        return cls(sampler, labels)

    def check(self, problem: Problem, log_policy: Float[Array, "prompts n"]) -> None:
        """Nothing, if the sampler's pair law at a policy is a law.

        Raises:
            ArgumentError: it has NaN or does not sum to one, as after a restriction that leaves no mass.
        """
        if checks.is_traced(problem, self, log_policy):
            return
        kind = jax.eval_shape(self.sampler.pair_law, problem, log_policy)
        sizes = [leaf.size for leaf in jax.tree.leaves(kind)]
        check_bytes("sampler", self.sampler, sum(sizes) * log_policy.dtype.itemsize, entries=max(sizes))
        total = self.sampler.pair_law(problem, log_policy).total()
        if not bool(jnp.all(jnp.abs(total - 1.0) < 1e-3)):
            raise checks.ArgumentError(
                f"Argument `sampler` must give every prompt a pair law of total probability 1, but {type(self.sampler).__name__} "
                f"gives {float(total[jnp.argmax(jnp.where(jnp.isnan(total), jnp.inf, jnp.abs(total - 1.0)))]):g}."
            )
