"""Objectives on sorted margins: they compare two laws of a number quantile by quantile, not pair by pair (2406.05882).

Public code sorts a batch; over a population sorting is the comonotone coupling of two laws, ``∫₀¹ φ(Q_1(t) - Q_2(t)) dt``
with Q their quantile functions (derived).  Both are one computation here, on weighted atoms, and a batch of m pairs
tends to the population as m grows but is not an unbiased estimate of it.
"""

from typing import ClassVar, final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from didsim.numerics.pytrees import between, positive
from didsim.objectives.links import Link, smoothed_link
from didsim.objectives.parts import Card, Limit, Objective, register

Scalar = float | Float[Array, "..."]


class _Aot(Objective):
    """What both dialects share: numbers β and ε and no mean over pairs."""

    convex: ClassVar[bool] = False
    paired: ClassVar[bool] = False
    batch_level: ClassVar[bool] = True
    beta: Scalar
    smoothing: Scalar

    def mean_link(self, *atoms: Array) -> Float[Array, " prompts"]:
        """Mean of the smoothed logistic link over equal quantiles of two laws, given as atoms and weights each."""
        link = smoothed_link(self.smoothing)
        return jax.vmap(lambda *law: _coupled(link, *law))(*atoms)


@register("aot")
@final
class Aot(_Aot):
    """``-log σ(β(sorted ℓ_w - ℓ_l  −  sorted reference margins))``: policy margins dominate the reference's (2406.05882).

    Smoothed as ``cdpo`` for ε > 0.
    """

    card: ClassVar[Card] = Card(
        "log(π/π_ref), by quantiles of all pairs' margins", "-log σ(βm)", Limit.OWN, "found by training alone", "2406.05882"
    )
    beta: Scalar = positive(default=0.1)
    smoothing: Scalar = between(0.0, 0.5, default=0.0)

    def batch_term(self, seen, comparisons):
        weight, (policy, reference) = comparisons.margins(seen.log_policy, seen.log_ref)
        return self.mean_link(self.beta * policy, weight, self.beta * reference, weight)


@register("aot_unpaired")
@final
class AotUnpaired(_Aot):
    """``-log σ(β(sorted a - sorted b))``: chosen log-ratios dominate the rejected ones (2406.05882).

    Sorting takes the noise out of the labels: where ``π_w/π_l`` rises with the log-ratio every quantile of the chosen is
    above that of the rejected, a larger margin is then always better, and there is no finite minimum (derived).
    """

    card: ClassVar[Card] = Card(
        "log(π/π_ref), by quantiles of chosen and of rejected", "-log σ(βm)", Limit.NOWHERE,
        "all but one response lose their mass", "2406.05882",
    )  # fmt: skip
    beta: Scalar = positive(default=0.1)
    smoothing: Scalar = between(0.0, 0.5, default=0.0)

    def batch_term(self, seen, comparisons):
        chosen, rejected = comparisons.masses(seen.log_ratio.shape[-1])
        value = self.beta * seen.log_ratio
        return self.mean_link(value, chosen, value, rejected)


def _coupled(link: Link, first: Array, first_weight: Array, second: Array, second_weight: Array) -> Float[Array, ""]:
    """``∫ ℓ(Q_1(t) - Q_2(t)) dt`` of two laws given by atoms and weights."""
    one, two = jnp.argsort(first), jnp.argsort(second)
    levels = jnp.cumsum(first_weight[one]), jnp.cumsum(second_weight[two])
    # Between two neighbouring levels of either law both quantile functions are constant.
    edges = jnp.sort(jnp.concatenate([jnp.zeros(1, levels[0].dtype), *levels]))
    middle, size = 0.5 * (edges[1:] + edges[:-1]), edges[1:] - edges[:-1]
    quantiles = [
        values[order][jnp.minimum(jnp.searchsorted(level, middle, side="left"), values.size - 1)]
        for values, order, level in zip((first, second), (one, two), levels, strict=True)
    ]
    return jnp.sum(size * link(quantiles[0] - quantiles[1]))
