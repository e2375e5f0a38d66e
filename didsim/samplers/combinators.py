"""How are samplers made from samplers?"""

import functools
import operator
from typing import final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from didsim.numerics import checks, simplex
from didsim.numerics.pytrees import pytree
from didsim.samplers.laws import JointLaw, PairLaw, ProductMixture
from didsim.samplers.rule import Number, Sampler


@final
@pytree
class Restrict(Sampler):
    """Another sampler conditioned on both responses lying in ``support``, booleans of shape (n,) or (prompts, n)."""

    base: Sampler
    support: Bool[Array, "... n"]

    def __post_init__(self) -> None:
        checks.some_support("support", self.support)

    @property
    def follows_policy(self):
        return self.base.follows_policy

    def pair_law(self, problem, log_policy):
        law = self.base.pair_law(problem, log_policy)
        support = checks.spread("support", self.support, problem.log_ref.shape)
        if isinstance(law, ProductMixture):
            return _restrict_products(law, support)
        both = support[..., :, None] & support[..., None, :]
        log_joint = jnp.where(both, jnp.log(law.matrix()), -jnp.inf)
        return JointLaw(log_joint - jax.nn.logsumexp(log_joint, axis=(-2, -1), keepdims=True))

    def draws(self, problem, log_policy):
        """Pairs of the base are drawn until both responses lie in the support."""
        support = checks.spread("support", self.support, problem.log_ref.shape)
        kept = _mass_within(self.base.pair_law(problem, log_policy), support)
        return self.base.draws(problem, log_policy) / kept


@final
@pytree
class Mix(Sampler):
    """Shows a pair from ``second`` with probability ``share``, else from ``first``: hybrid offline and online data."""

    first: Sampler
    second: Sampler
    share: Number = 0.5

    def __post_init__(self) -> None:
        checks.leaf_between("share", self.share, 0.0, 1.0)

    @property
    def follows_policy(self):
        return self.first.follows_policy or self.second.follows_policy

    def pair_law(self, problem, log_policy):
        one, two = (s.pair_law(problem, log_policy) for s in (self.first, self.second))
        if isinstance(one, ProductMixture) and isinstance(two, ProductMixture):
            weights = jnp.concatenate([(1.0 - self.share) * one.weights, self.share * two.weights], axis=-1)
            return ProductMixture(
                weights,
                jnp.concatenate([one.log_first, two.log_first], axis=-2),
                jnp.concatenate([one.log_second, two.log_second], axis=-2),
            )
        return JointLaw(jnp.log((1.0 - self.share) * one.matrix() + self.share * two.matrix()))

    def draws(self, problem, log_policy):
        one, two = (s.draws(problem, log_policy) for s in (self.first, self.second))
        return (1.0 - self.share) * one + self.share * two


def _mass_within(law: PairLaw, support: Bool[Array, "prompts n"]) -> Float[Array, " prompts"]:
    """Probability that both responses lie in the support."""
    if isinstance(law, ProductMixture):
        sides = (jnp.where(support[:, None], jnp.exp(part), 0.0).sum(-1) for part in (law.log_first, law.log_second))
        return jnp.sum(law.weights * functools.reduce(operator.mul, sides), axis=-1)
    return jnp.sum(jnp.where(support[..., :, None] & support[..., None, :], law.matrix(), 0.0), axis=(-2, -1))


def _restrict_products(law: ProductMixture, support: Bool[Array, "prompts n"]) -> ProductMixture:
    first = jnp.where(support[:, None], law.log_first, -jnp.inf)
    second = jnp.where(support[:, None], law.log_second, -jnp.inf)
    log_kept = jax.nn.logsumexp(first, -1) + jax.nn.logsumexp(second, -1)
    weights = jax.nn.softmax(jnp.log(law.weights) + log_kept, axis=-1)
    # A component without mass on the support has weight zero; any law will do in its place, NaN will not.
    alive = jnp.isfinite(log_kept)[..., None]
    kept = [jnp.where(alive, part, jnp.where(support[:, None], 0.0, -jnp.inf)) for part in (first, second)]
    return ProductMixture(weights, simplex.normalize(kept[0]), simplex.normalize(kept[1]))
