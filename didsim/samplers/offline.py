"""Which pairs are shown when they do not depend on the policy being trained?"""

from typing import final

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from didsim import checks
from didsim.records import record
from didsim.samplers.laws import JointLaw, product_law
from didsim.samplers.rule import Sampler


@final
@record
class Uniform(Sampler):
    """Both responses uniform: ``μ = U ⊗ U``."""

    def pair_law(self, problem, log_policy):
        del log_policy
        flat = jnp.full_like(problem.log_ref, -jnp.log(float(problem.log_ref.shape[-1])))
        return product_law(flat, flat)


@final
@record
class ReferencePairs(Sampler):
    """Both responses from the reference: ``μ = π_ref ⊗ π_ref``, offline DPO on base-model samples."""

    def pair_law(self, problem, log_policy):
        del log_policy
        return product_law(problem.log_ref, problem.log_ref)


@final
@record
class ChosenRejected(Sampler):
    """Independent draws ``μ = π_w ⊗ π_l`` of the problem, the chosen response first (use labels `AsShown`) (D3)."""

    def pair_law(self, problem, log_policy):
        del log_policy
        return product_law(problem.log_chosen, problem.log_rejected)


@final
@record
class Product(Sampler):
    """Fixed product law ``p ⊗ q`` given by the user, shapes (n,) or (prompts, n)."""

    log_first: Float[Array, "... n"]
    log_second: Float[Array, "... n"]

    def pair_law(self, problem, log_policy):
        del log_policy
        return product_law(
            _spread("log_first", self.log_first, problem.log_ref), _spread("log_second", self.log_second, problem.log_ref)
        )


@final
@record
class Joint(Sampler):
    """Fixed dense joint law given by the user, ``log_joint`` of shape (n, n) or (prompts, n, n)."""

    log_joint: Float[Array, "... n n"]

    def pair_law(self, problem, log_policy):
        del log_policy
        prompts, n = problem.log_ref.shape
        return JointLaw(checks.spread("log_joint", self.log_joint, (prompts, n, n)).astype(problem.log_ref.dtype))


@final
@record
class Blocks(Sampler):
    """Uniform pairs within blocks of responses, never across: the comparison graph has the blocks as components.

    ``block`` holds one label per response, shape (n,) or (prompts, n); a negative label is never shown.  A pair is two
    independent draws from the block of a uniformly drawn shown response (S1).
    """

    block: Int[Array, "... n"]

    def pair_law(self, problem, log_policy):
        del log_policy
        label = checks.spread("block", self.block, problem.log_ref.shape)
        shown = label >= 0
        together = (label[..., :, None] == label[..., None, :]) & shown[..., :, None]
        size = together.sum(-1, keepdims=True)
        mass = jnp.where(together, 1.0 / (shown.sum(-1)[..., None, None] * jnp.maximum(size, 1)), 0.0)
        return JointLaw(jnp.log(mass.astype(problem.log_ref.dtype)))


def _spread(name: str, log_law: Array, like: Array) -> Array:
    return checks.spread(name, log_law, like.shape).astype(like.dtype)
