"""Objectives that are functions of the laws of chosen and rejected responses, or of whole pairs, rather than of one margin."""

from typing import ClassVar, final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from didsim.numerics import simplex
from didsim.numerics.pytrees import positive
from didsim.objectives.inversion import logistic_fit
from didsim.objectives.links import logistic
from didsim.objectives.parts import Card, Limit, OfLaws, register

Scalar = float | Float[Array, "..."]


@register("kldo")
@final
class Kldo(OfLaws):
    """``-E_w[βh] + ln E_l[e^{βh}]``, ``h = log(π/π_ref)``: the Donsker-Varadhan bound of KL(π_w‖π_l) (2502.00657).

    Its minimum is ``-KL(π_w‖π_l)``, at ``π ∝ π_ref (π_w/π_l)^{1/β}`` for any law of pairs, dependent draws included (F1).
    """

    card: ClassVar[Card] = Card(
        "β log(π/π_ref)", "-E_w[βh] + ln E_l[e^{βh}], over all pairs", Limit.TARGET, "π_ref (π_w/π_l)^{1/β}", "2502.00657"
    )
    beta: Scalar = positive(default=0.1)

    def batch_term(self, seen, comparisons):
        chosen, rejected = comparisons.masses(seen.log_ratio.shape[-1])
        value = self.beta * seen.log_ratio
        return jax.nn.logsumexp(value, axis=-1, b=rejected) - jnp.sum(chosen * value, -1)

    def closed_form(self, problem):
        return simplex.normalize(problem.log_ref + logistic_fit(problem) / self.beta)


@register("hypo")
@final
class Hypo(OfLaws):
    """``-log σ(β(Δ_θ - max(0, Δ_ref)))``, ``Δ = log π(y_w) - log π(y_l)`` (2602.11902): a reference that disagrees is left out.

    Without any preference it ends at ``π ∝ √π_ref``, and where labels are Bradley-Terry its end depends on the sampler (F3).
    """

    card: ClassVar[Card] = Card(
        "log π, pair by pair", "-log σ(β(Δ - max(0, Δ_ref)))", Limit.OWN, "found by training alone", "2602.11902"
    )
    beta: Scalar = positive(default=0.1)

    def batch_term(self, seen, comparisons):
        weight, (policy, reference) = comparisons.margins(seen.log_policy, seen.log_ref)
        return jnp.sum(weight * logistic(self.beta * (policy - jnp.maximum(reference, 0.0))), -1)


@register("pro")
@final
class Pro(OfLaws):
    """``-½ E_ν[z] + E_{π_ref⊗π_ref} log 2cosh(z/2)``, ``z = β(h_w - h_l)`` (2505.23316): all pairs regularise.

    Over the pairs shown both terms together are DPO (F9).  Over all pairs the mass of a response that no pair shows is
    determined: ``Σ_b π_ref(b) tanh(β(h_y - h_b)/2) = 0``.
    """

    card: ClassVar[Card] = Card(
        "β log(π/π_ref)", "-m/2, and log 2cosh(m/2) over all pairs", Limit.OWN, "found by training alone", "2505.23316"
    )
    beta: Scalar = positive(default=0.1)

    def batch_term(self, seen, comparisons):
        value = self.beta * seen.log_ratio
        vote = comparisons.mean_chosen(value) - comparisons.mean_rejected(value)
        gaps, mass = jnp.abs(value[:, :, None] - value[:, None, :]), jnp.exp(seen.log_ref)
        cosh = jnp.einsum("pa,pab,pb->p", mass, 0.5 * gaps + jnp.log1p(jnp.exp(-gaps)), mass)
        return cosh - 0.5 * vote
