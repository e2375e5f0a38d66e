"""Which pairs does the learner see?

A sampler maps a problem and the current policy to a *pair law* μ(a, b), the law of the pair shown.  A pair law is either
a mixture of products ``Σ_k c_k p_k(a) q_k(b)``, which costs N per component however many pairs there are, or a dense
joint.  The exact population loss and the Monte-Carlo draws come from the same object.  Nothing here passes a gradient:
an on-policy sampler sees the policy through a stop-gradient.
"""

import abc
import functools
import operator
from typing import final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from didsim import checks, simplex
from didsim.records import record
from didsim.worlds import Problem


class PairLaw(abc.ABC):
    """A law μ on ordered pairs of responses, one per prompt."""

    @abc.abstractmethod
    def matrix(self) -> Float[Array, "prompts n n"]:
        """All probabilities ``μ(a, b)``, first response on the row."""

    @abc.abstractmethod
    def total(self) -> Float[Array, " prompts"]:
        """Total probability of every prompt's law: 1, unless a restriction left nothing."""

    @abc.abstractmethod
    def draw(self, key: Key[Array, ""], pairs: int) -> tuple[Int[Array, "prompts m"], Int[Array, "prompts m"]]:
        """Independent pairs for every prompt: indices of the first and of the second response."""


@final
@record
class ProductMixture(PairLaw):
    """``μ(a,b) = Σ_k c_k p_k(a) q_k(b)``.

    Attributes:
        weights: ``c``, shape (prompts, k), non-negative, summing to one.
        log_first: log of ``p_k``, shape (prompts, k, n).
        log_second: log of ``q_k``, shape (prompts, k, n).
    """

    weights: Float[Array, "prompts k"]
    log_first: Float[Array, "prompts k n"]
    log_second: Float[Array, "prompts k n"]

    def matrix(self):
        first, second = jnp.exp(self.log_first), jnp.exp(self.log_second)
        # Components are few: a written-out sum fuses, where a batched matrix product of inner size k does not.
        parts = range(self.weights.shape[-1])
        terms = (self.weights[:, k, None, None] * first[:, k, :, None] * second[:, k, None, :] for k in parts)
        return functools.reduce(operator.add, terms)

    def total(self):
        return jnp.sum(self.weights * jnp.exp(self.log_first).sum(-1) * jnp.exp(self.log_second).sum(-1), axis=-1)

    def draw(self, key, pairs):
        part_key, first_key, second_key = jax.random.split(key, 3)
        parts = self.log_first.shape[1]
        part = _draw_index(part_key, jnp.log(self.weights)[:, None], pairs)[:, 0]
        first = _draw_index(first_key, self.log_first, pairs)
        second = _draw_index(second_key, self.log_second, pairs)
        if parts == 1:
            return first[:, 0], second[:, 0]

        def pick(index: Array) -> Array:
            return jnp.take_along_axis(index, part[:, None], axis=1)[:, 0]

        return pick(first), pick(second)


@final
@record
class JointLaw(PairLaw):
    """Any joint law, ``log_joint`` of shape (prompts, n, n)."""

    log_joint: Float[Array, "prompts n n"]

    def matrix(self):
        return jnp.exp(self.log_joint)

    def total(self):
        return jnp.exp(self.log_joint).sum((1, 2))

    def draw(self, key, pairs):
        prompts, n, _ = self.log_joint.shape
        flat = _draw_index(key, self.log_joint.reshape(prompts, 1, n * n), pairs)[:, 0]
        return flat // n, flat % n


def product_law(log_first: Float[Array, "prompts n"], log_second: Float[Array, "prompts n"]) -> ProductMixture:
    """Independent pair law ``p ⊗ q`` as a one-component mixture."""
    return ProductMixture(jnp.ones((log_first.shape[0], 1), log_first.dtype), log_first[:, None], log_second[:, None])


class Sampler(abc.ABC):
    """A rule that decides which pairs are shown, possibly from the policy that is being trained."""

    @property
    def follows_policy(self) -> bool:
        """Whether the pair law depends on the current policy; if not, it is computed once a run."""
        return False

    @abc.abstractmethod
    def pair_law(self, problem: Problem, log_policy: Float[Array, "prompts n"]) -> PairLaw:
        """Pair law for every prompt; no gradient flows through ``log_policy``."""


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
class OnPolicy(Sampler):
    """Both responses from the policy being trained: ``μ_t = π_t ⊗ π_t`` under a stop-gradient (S11)."""

    @property
    def follows_policy(self):
        return True

    def pair_law(self, problem, log_policy):
        del problem
        current = jax.lax.stop_gradient(log_policy)
        return product_law(current, current)


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


@final
@record
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


@final
@record
class Mix(Sampler):
    """Shows a pair from ``second`` with probability ``share``, else from ``first``: hybrid offline and online data."""

    first: Sampler
    second: Sampler
    share: float | Float[Array, ""] = 0.5

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


def _restrict_products(law: ProductMixture, support: Bool[Array, "prompts n"]) -> ProductMixture:
    first = jnp.where(support[:, None], law.log_first, -jnp.inf)
    second = jnp.where(support[:, None], law.log_second, -jnp.inf)
    log_kept = jax.nn.logsumexp(first, -1) + jax.nn.logsumexp(second, -1)
    weights = jax.nn.softmax(jnp.log(law.weights) + log_kept, axis=-1)
    # A component without mass on the support has weight zero; any law will do in its place, NaN will not.
    alive = jnp.isfinite(log_kept)[..., None]
    kept = [jnp.where(alive, part, jnp.where(support[:, None], 0.0, -jnp.inf)) for part in (first, second)]
    return ProductMixture(weights, simplex.normalize(kept[0]), simplex.normalize(kept[1]))


def _spread(name: str, log_law: Array, like: Array) -> Array:
    return checks.spread(name, log_law, like.shape).astype(like.dtype)


def _draw_index(key: Key[Array, ""], log_law: Float[Array, "prompts k n"], draws: int) -> Int[Array, "prompts k m"]:
    """Inverse-CDF draws: one uniform each, where a Gumbel draw would spend one per response."""
    mass = jnp.exp(log_law)
    # A parallel sum of a thousand terms can rise by a rounding unit where the mass is zero, or fall: keep it flat there.
    cdf = jax.lax.cummax(jnp.where(mass > 0, jnp.cumsum(mass, axis=-1), 0.0), axis=log_law.ndim - 1)
    cdf = cdf / cdf[..., -1:]
    u = jax.random.uniform(key, (*log_law.shape[:-1], draws), dtype=cdf.dtype)
    search = jnp.vectorize(lambda c, v: jnp.searchsorted(c, v, side="right"), signature="(n),(m)->(m)")
    # A uniform that rounds up to 1 must not fall off the end, nor onto a response without mass.
    last = log_law.shape[-1] - 1 - jnp.argmax(jnp.isfinite(log_law)[..., ::-1], axis=-1)
    return jnp.minimum(search(cdf, u), last[..., None])
