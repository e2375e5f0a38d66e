"""Which pairs are shown: two independent draws, a law that the user gives, or pairs within blocks of responses?

What is two independent draws is a recipe for `Independent`, so that its law stays a product.
"""

import abc
from typing import final

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from didsim.numerics import checks, simplex
from didsim.numerics.pytrees import checked, finite, whole
from didsim.samplers.behaviours import FromChosen, FromPolicy, FromReference, FromRejected, FromUniform
from didsim.samplers.laws import JointLaw, ProductMixture, product_law
from didsim.samplers.source import SAMPLERS, Behaviour, Sampler


@SAMPLERS.register("independent")
@final
class Independent(Sampler):
    """Two independent draws, one from each behaviour: ``μ = p ⊗ q``."""

    first: Behaviour
    second: Behaviour

    def pair_law(self, problem, log_policy):
        return product_law(self.first.log_law(problem, log_policy), self.second.log_law(problem, log_policy))

    def draws(self, problem, log_policy):
        return self.first.draws(problem, log_policy) + self.second.draws(problem, log_policy)


class Recipe(Sampler):
    """A sampler that is a combination of others."""

    @abc.abstractmethod
    def parts(self) -> Sampler:
        """The combination."""

    @property
    def follows_policy(self):
        return self.parts().follows_policy

    def pair_law(self, problem, log_policy):
        return self.parts().pair_law(problem, log_policy)

    def draws(self, problem, log_policy):
        return self.parts().draws(problem, log_policy)


@SAMPLERS.register("uniform")
@final
class Uniform(Recipe):
    """Both responses uniform: ``μ = U ⊗ U``."""

    def parts(self):
        return Independent(FromUniform(), FromUniform())


@SAMPLERS.register("reference")
@final
class ReferencePairs(Recipe):
    """Both responses from the reference: ``μ = π_ref ⊗ π_ref``, offline DPO on base-model samples."""

    def parts(self):
        return Independent(FromReference(), FromReference())


@SAMPLERS.register("chosen_rejected")
@final
class ChosenRejected(Recipe):
    """Independent draws ``μ = π_w ⊗ π_l`` of the problem, the chosen response first (use labels `AsShown`) (D3)."""

    def parts(self):
        return Independent(FromChosen(), FromRejected())


@SAMPLERS.register("on_policy")
@final
class OnPolicy(Recipe):
    """Both responses from the policy being trained: ``μ_t = π_t ⊗ π_t`` under a stop-gradient (S11)."""

    def parts(self):
        return Independent(FromPolicy(), FromPolicy())


@SAMPLERS.register("product")
@final
class Product(Sampler):
    """A product law ``p ⊗ q`` that the user gives, shapes (n,) or (prompts, n)."""

    log_first: Float[Array, "... n"] = checked(checks.log_law)
    log_second: Float[Array, "... n"] = checked(checks.log_law)

    def pair_law(self, problem, log_policy):
        return product_law(
            _spread("log_first", self.log_first, problem.log_ref), _spread("log_second", self.log_second, problem.log_ref)
        )


@SAMPLERS.register("joint")
@final
class Joint(Sampler):
    """The sampler that always shows one joint law, which the user gives: ``log_joint`` of shape (n, n) or (prompts, n, n)."""

    log_joint: Float[Array, "... n n"] = checked(checks.log_joint_law)

    def pair_law(self, problem, log_policy):
        prompts, n = problem.log_ref.shape
        return JointLaw(checks.spread("log_joint", self.log_joint, (prompts, n, n), own=2).astype(problem.log_ref.dtype))


@SAMPLERS.register("blocks")
@final
class Blocks(Sampler):
    """Uniform pairs within blocks of responses, never across: the comparison graph has the blocks as components.

    ``block`` holds one label per response, shape (n,) or (prompts, n); a negative label is never shown.  A pair is two
    independent draws from the block of a uniformly drawn shown response (S1).  With ``blocks`` given, labels must lie below
    it and the law is kept as a mixture of that many products; without, it is dense.
    """

    block: Int[Array, "... n"] = finite()
    blocks: int | None = whole(1, default=None)

    def __post_init__(self) -> None:
        if self.blocks is not None and checks.is_number(self.block) and int(jnp.max(self.block)) >= self.blocks:
            raise checks.ArgumentError(
                f"Argument `block` must hold labels below `blocks`, {self.blocks}, but holds {int(jnp.max(self.block))}."
            )

    def pair_law(self, problem, log_policy):
        label = checks.spread("block", self.block, problem.log_ref.shape)
        return _dense_blocks(label, problem.log_ref) if self.blocks is None else _few_blocks(label, self.blocks, problem.log_ref)


def _dense_blocks(label: Int[Array, "prompts n"], like: Float[Array, "prompts n"]) -> JointLaw:
    shown = label >= 0
    together = (label[..., :, None] == label[..., None, :]) & shown[..., :, None]
    size = together.sum(-1, keepdims=True)
    mass = jnp.where(together, 1.0 / (shown.sum(-1)[..., None, None] * jnp.maximum(size, 1)), 0.0)
    return JointLaw(jnp.log(mass.astype(like.dtype)))


def _few_blocks(label: Int[Array, "prompts n"], blocks: int, like: Float[Array, "prompts n"]) -> ProductMixture:
    member = label[:, None] == jnp.arange(blocks)[:, None]
    size = member.sum(-1)
    weights = size.astype(like.dtype) / jnp.maximum(size.sum(-1, keepdims=True), 1)
    # A block without members has weight zero; any law will do in its place, NaN will not.
    inside = jnp.where(member | (size == 0)[..., None], jnp.zeros((), like.dtype), -jnp.inf)
    side = simplex.normalize(inside)
    return ProductMixture(weights, side, side)


def _spread(name: str, log_law: Array, like: Array) -> Array:
    return checks.spread(name, log_law, like.shape).astype(like.dtype)
