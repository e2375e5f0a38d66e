"""How are samplers made from samplers?"""

import functools
import operator
from typing import Any, final

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from didsim.numerics import checks, simplex
from didsim.numerics.pytrees import between, checked, finite, pytree
from didsim.samplers.laws import JointLaw, PairLaw, ProductMixture
from didsim.samplers.source import SAMPLERS, Number, Sampler


@SAMPLERS.register("restrict")
@final
class Restrict(Sampler):
    """Another sampler conditioned on both responses lying in ``support``, booleans of shape (n,) or (prompts, n)."""

    base: Sampler
    support: Bool[Array, "... n"] = checked(checks.some_support)

    def pair_law(self, problem, log_policy):
        law = self.base.pair_law(problem, log_policy)
        support = checks.spread("support", self.support, problem.log_ref.shape)
        if isinstance(law, ProductMixture):
            return _restrict_products(law, support)
        both = support[..., :, None] & support[..., None, :]
        log_joint = jnp.where(both, law.log_matrix(), -jnp.inf)
        return JointLaw(log_joint - jax.nn.logsumexp(log_joint, axis=(-2, -1), keepdims=True))

    def draws(self, problem, log_policy):
        """Pairs of the base are drawn until both responses lie in the support."""
        support = checks.spread("support", self.support, problem.log_ref.shape)
        kept = _mass_within(self.base.pair_law(problem, log_policy), support)
        return self.base.draws(problem, log_policy) / kept


@SAMPLERS.register("mix")
@final
class Mix(Sampler):
    """Pairs from ``second`` with probability ``share``, else from ``first``: hybrid offline and online data."""

    first: Sampler
    second: Sampler
    share: Number = between(0.0, 1.0, default=0.5)

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


@final
@pytree
class Switch(Sampler):
    """The sampler of number ``index`` among several: which one is a number, so that a sweep over it is one program.

    The law of every sampler is computed and one of them taken: a mixture of products if all are, else dense.

    Raises:
        ArgumentError: no sampler, or an index that is no number of one.

    Example:
        >>> import didsim
        >>> from didsim.samplers import OnPolicy, Switch, Uniform
        >>> run = didsim.Run(
        ...     didsim.worlds.RandomTarget(n=5),
        ...     didsim.objectives.Dpo(beta=0.5),
        ...     sampler=Switch((Uniform(), OnPolicy())),
        ...     labels=didsim.preferences.BradleyTerry(),
        ... )
        >>> data = didsim.sweep(run, {"sampler.index": {"uniform": 0, "on-policy": 1}})
        >>> data["index"].values.tolist()
        ['uniform', 'on-policy']
    """

    samplers: tuple[Sampler, ...]
    index: Number = finite(default=0)

    def __post_init__(self) -> None:
        if not self.samplers:
            raise checks.ArgumentError("Argument `samplers` must hold at least one sampler, but is empty.")
        if checks.is_number(self.index):
            checks.between("index", self.index, 0.0, len(self.samplers) - 1.0)
            if np.any(np.mod(self.index, 1)):
                raise checks.ArgumentError(f"Argument `index` must be a whole number, but is {self.index!r}.")

    def pair_law(self, problem, log_policy):
        laws = [sampler.pair_law(problem, log_policy) for sampler in self.samplers]
        products = [law for law in laws if isinstance(law, ProductMixture)]
        if len(products) < len(laws):
            return JointLaw(self._taken([law.log_matrix() for law in laws]))
        most = max(law.weights.shape[-1] for law in products)
        return self._taken([_padded(law, most) for law in products])

    def draws(self, problem, log_policy):
        return self._taken([sampler.draws(problem, log_policy) for sampler in self.samplers])

    def _taken(self, values: list[Any]) -> Any:
        """Leaf by leaf the value of the sampler in use."""
        place = jnp.asarray(self.index).astype(jnp.int32)
        return jax.tree.map(lambda *leaves: jnp.stack(leaves)[place], *values)


def _padded(law: ProductMixture, parts: int) -> ProductMixture:
    """The same law with as many components: those that it lacks have weight zero and repeat its last one."""
    missing = (0, parts - law.weights.shape[-1])
    laws = (jnp.pad(part, ((0, 0), missing, (0, 0)), mode="edge") for part in (law.log_first, law.log_second))
    return ProductMixture(jnp.pad(law.weights, ((0, 0), missing)), *laws)


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
