"""Which hypotheses and which measures of agreement do several claims share?"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from didsim.claims.arithmetic import Arithmetic, Number, gaps, turned
from didsim.claims.definition import Hypothesis

Values = dict[str, Number]


def sets(name: str, *, needed: bool = True, **rules: Callable[[Arithmetic, Values], Number]) -> Hypothesis:
    """Hypothesis that replaces variables by functions of the others; each rule sees the instance before any of them."""

    def impose(m: Arithmetic, v: Values) -> Values:
        return v | {variable: rule(m, v) for variable, rule in rules.items()}

    return Hypothesis(name, impose, needed)


def zero(name: str, variable: str, *, needed: bool = True) -> Hypothesis:
    """Hypothesis that a variable vanishes."""
    return Hypothesis(name, lambda m, v: v | {variable: v[variable] * 0}, needed)


def same(name: str, variable: str, other: str, *, needed: bool = True) -> Hypothesis:
    """Hypothesis that one variable equals another."""
    return Hypothesis(name, lambda m, v: v | {variable: v[other] + v[variable] * 0}, needed)


def capped(name: str, variable: str, most: Any) -> Hypothesis:
    """Hypothesis that a variable is at most a number or a function of the instance."""

    def rule(m: Arithmetic, v: Values) -> Number:
        return m.smaller(v[variable], (most(m, v) if callable(most) else m.number(most)) + v[variable] * 0)

    return Hypothesis(name, lambda m, v: v | {variable: rule(m, v)})


def floored(name: str, variable: str, least: float) -> Hypothesis:
    """Hypothesis that a variable is at least a number."""
    return Hypothesis(name, lambda m, v: v | {variable: m.larger(v[variable], m.number(least) + v[variable] * 0)})


POWER_LAW = sets(
    "the data obey the power law",
    rejected=lambda m, v: v["chosen"] + v["beta"] * (v["ref"] - v["target"]),
)
BEST_REJECTED = sets(
    "the rejected law is the best one",
    rejected=lambda m, v: v["chosen"] + v["beta"] * (v["ref"] - v["target"]),
)
BRADLEY_TERRY = sets("labels are Bradley-Terry", odds=lambda m, v: gaps(v["reward"]) + v["odds"] * 0)

ANY_LABELS = replace(BRADLEY_TERRY, needed=False)


def odds_of(table: Number) -> Number:
    """Antisymmetric part of a table: log-odds of a preference matrix with ``P + Pᵀ = 1``."""
    return (table - turned(table)) / 2


def off(got: Float[Array, "..."], wanted: Float[Array, "..."], condition: Any = 1.0) -> Float[Array, ""]:
    """Largest difference over the problem's condition, at least 1."""
    return jnp.max(jnp.abs(got - wanted)) / jnp.maximum(jnp.max(jnp.asarray(condition)), 1.0)


def above(got: Float[Array, "..."], most: Float[Array, "..."], condition: Any = 1.0) -> Float[Array, ""]:
    """How far a quantity exceeds what it must not, over the problem's condition, at least 1; negative where it does not."""
    return jnp.max(got - most) / jnp.maximum(jnp.max(jnp.asarray(condition)), 1.0)


def reach(*logits: Float[Array, "..."]) -> Float[Array, ""]:
    """Largest absolute logit: how far from one the logarithms are that get subtracted."""
    return jnp.max(jnp.stack([jnp.max(jnp.abs(one)) for one in logits]))
