"""Which pairs are shown when the policy being trained has a say?

Every sampler here sees the policy through a stop-gradient: what is shown moves with the policy, the loss does not reach
through it.
"""

from typing import final

import jax

from didsim.numerics.pytrees import pytree
from didsim.samplers.laws import product_law
from didsim.samplers.rule import Sampler


@final
@pytree
class OnPolicy(Sampler):
    """Both responses from the policy being trained: ``μ_t = π_t ⊗ π_t`` under a stop-gradient (S11)."""

    @property
    def follows_policy(self):
        return True

    def pair_law(self, problem, log_policy):
        del problem
        current = jax.lax.stop_gradient(log_policy)
        return product_law(current, current)
