"""Which law is the reference of the implicit reward, round after round?

A schedule maps the reference of one round and the policy that the round ended with to the reference of the next.  The
policy's own start and the world's reward, target and samplers stay with the world's reference.
"""

import abc
from typing import Any, NamedTuple, final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from didsim.numerics import simplex
from didsim.numerics.pytrees import between
from didsim.numerics.registry import Registry
from didsim.policies import Policy


class Anchor(NamedTuple):
    """The reference of a round: its law, shape (prompts, n), and the parameters whose law it is, None if none are known."""

    log_ref: Float[Array, "prompts n"]
    params: Any


class Round(NamedTuple):
    """What a schedule may look at when a round ends: the policy, its parameters, its law, and the world's π_ref."""

    policy: Policy
    params: Any
    log_policy: Float[Array, "prompts n"]
    log_start: Float[Array, "prompts n"]


class Reference(abc.ABC):
    """A reference schedule; its anchors hold parameters in every round or in none."""

    example = "didsim.dynamics.IteratedReference()"

    def begin(self, log_start: Float[Array, "prompts n"], params: Any) -> Anchor:
        """Reference of the first round: the world's π_ref."""
        return Anchor(log_start, params)

    @abc.abstractmethod
    def advance(self, anchor: Anchor, ended: Round) -> Anchor:
        """Reference of the next round."""


REFERENCES: Registry[type[Reference]] = Registry("reference")


@REFERENCES.register("fixed")
@final
class FixedReference(Reference):
    """``π_ref`` for ever: plain DPO."""

    def advance(self, anchor, ended):
        del ended
        return anchor


@REFERENCES.register("iterated")
@final
class IteratedReference(Reference):
    """``π_ref ← π_t`` after every round: iterated DPO, the hard update of TR-DPO (Gorbatovski et al. 2404.09656)."""

    def advance(self, anchor, ended):
        del anchor
        return Anchor(ended.log_policy, ended.params)


@REFERENCES.register("parameter_average")
@final
class ParameterAverage(Reference):
    """``θ_ref ← α θ_t + (1-α) θ_ref`` after every round: the soft update of TR-DPO (Gorbatovski et al. 2404.09656).

    For a table and for log-linear policies this is a geometric average of laws; ``rate`` α = 1 is `IteratedReference`.
    """

    rate: float | Float[Array, ""] = between(0.0, 1.0, default=0.5)

    def advance(self, anchor, ended):
        mean = jax.tree.map(lambda old, new: (1.0 - self.rate) * old + self.rate * new, anchor.params, ended.params)
        return Anchor(ended.policy.log_probs(mean, ended.log_start), mean)


@REFERENCES.register("geometric_average")
@final
class GeometricAverage(Reference):
    """``π_ref^{(t)} ∝ π_t^a π_ref^{1-a}`` with ``power`` a, always from the world's π_ref (Chen et al. 2602.12180; S12)."""

    power: float | Float[Array, ""] = between(0.0, 1.0, default=0.5)

    def begin(self, log_start, params):
        del params
        return Anchor(log_start, None)

    def advance(self, anchor, ended):
        del anchor
        return Anchor(simplex.geodesic(ended.log_start, ended.log_policy, self.power), None)


@REFERENCES.register("none")
@final
class NoReference(Reference):
    """The uniform law in place of π_ref: log-ratios become log-probabilities up to a constant."""

    def begin(self, log_start, params):
        del params
        return Anchor(jnp.full_like(log_start, -jnp.log(float(log_start.shape[-1]))), None)

    def advance(self, anchor, ended):
        del ended
        return anchor
