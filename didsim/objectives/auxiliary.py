"""The objective that gives a small class of policies auxiliary rewards to fit what the class itself cannot (2510.20413, F6)."""

from typing import ClassVar, final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from didsim.numerics import checks, simplex
from didsim.numerics.pytrees import finite, positive
from didsim.objectives.inversion import logistic_fit
from didsim.objectives.links import logistic
from didsim.objectives.parts import Card, Limit, OfLaws, register

Scalar = float | Float[Array, "..."]
STEPS = 200


@register("auxdpo")
@final
class AuxDpo(OfLaws):
    """``min_δ E[-log σ(β(h_w - h_l) + δ_w - δ_l)] + λ E_{π_ref} δ²`` over δ with ``E_{π_ref}[s δ] = 0`` (2510.20413, F6).

    s are the score features of the reference, ``φ - E_{π_ref} φ``: δ takes up the part of the rewards that no policy of the
    class ``π_ref e^{⟨θ,φ⟩}`` follows to first order, and what is left for θ is the policy gradient's direction.  The
    minimum over δ is exact, one convex problem a prompt, so that the loss is one of the policy alone; its gradient is that
    at the best δ (derived).  Over a free table, ``features`` None, no δ is left and the loss is DPO's.

    Attributes:
        beta: β, inverse temperature.
        penalty: λ, weight of the squares of δ.
        features: φ, shape (n, d) or (prompts, n, d), those of the log-linear policy that is trained; None for a table.
    """

    card: ClassVar[Card] = Card(
        "β log(π/π_ref) + δ", "min over δ of -log σ(m)", Limit.TARGET, "π_ref (π_w/π_l)^{1/β} over a table", "2510.20413"
    )
    beta: Scalar = positive(default=0.1)
    penalty: Scalar = positive(default=0.01)
    features: Float[Array, "*prompts n d"] | None = finite(default=None)

    def batch_term(self, seen, comparisons):
        if self.features is None:
            return self._loss(seen, comparisons, jnp.zeros_like(seen.log_policy))
        return self._loss(seen, comparisons, self.auxiliary(jax.lax.stop_gradient(seen), comparisons))

    def closed_form(self, problem):
        return simplex.normalize(problem.log_ref + logistic_fit(problem) / self.beta)

    def auxiliary(self, seen, comparisons) -> Float[Array, "prompts n"]:
        """The best δ at a policy: damped Newton steps in the null space of the score features, until they vanish.

        A step d is shortened by ``log(1 + b)/b``, ``b = max |d_w - d_l|``, with which a logistic loss falls in every step.
        """
        null = self._null_space(seen.log_ref)
        n, tolerance = null.shape[-1], jnp.finfo(null.dtype).eps ** 0.75
        slope = jax.grad(lambda delta: jnp.sum(self._loss(seen, comparisons, delta)))

        def step(delta: Array) -> Array:
            pull = jnp.einsum("pab,pb->pa", null, slope(delta))
            axes = jnp.broadcast_to(jnp.eye(n, dtype=null.dtype)[:, None], (n, *delta.shape))
            bend = jnp.moveaxis(jax.vmap(lambda axis: jax.jvp(slope, (delta,), (axis,))[1])(axes), 0, -1)
            inside = null @ bend @ null + jnp.eye(n, dtype=null.dtype) - null
            found = -jnp.linalg.solve(inside, pull[..., None])[..., 0]
            width = jnp.max(found, -1, keepdims=True) - jnp.min(found, -1, keepdims=True)
            return found * jnp.where(width > 0, jnp.log1p(width) / jnp.where(width > 0, width, 1.0), 1.0)

        def going(state: tuple) -> Array:
            count, delta, size = state
            return (count < STEPS) & (size > tolerance * (1.0 + jnp.max(jnp.abs(delta))))

        def advance(state: tuple) -> tuple:
            count, delta, _ = state
            moved = step(delta)
            return count + 1, delta + moved, jnp.max(jnp.abs(moved))

        start = (jnp.int32(0), jnp.zeros_like(seen.log_policy), jnp.asarray(jnp.inf, null.dtype))
        return jax.lax.stop_gradient(jax.lax.while_loop(going, advance, start)[1])

    def _loss(self, seen, comparisons, delta: Float[Array, "prompts n"]) -> Float[Array, " prompts"]:
        weight, (policy, other) = comparisons.margins(self.beta * seen.log_ratio, delta)
        fit = jnp.sum(weight * logistic(policy + other), -1)
        return fit + self.penalty * jnp.sum(jnp.exp(seen.log_ref) * jnp.square(delta), -1)

    def _null_space(self, log_ref: Float[Array, "prompts n"]) -> Float[Array, "prompts n n"]:
        """Projection on what is uncorrelated with all features under π_ref and has mean zero there."""
        n = log_ref.shape[-1]
        assert self.features is not None
        shape = (*log_ref.shape, self.features.shape[-1])
        features = checks.spread("features", self.features, shape, own=2).astype(log_ref.dtype)
        mass = jnp.exp(log_ref)[..., None]
        scores = features - jnp.sum(mass * features, -2, keepdims=True)
        fixed = mass * jnp.concatenate([scores, jnp.ones_like(scores[..., :1])], -1)
        return jnp.eye(n, dtype=log_ref.dtype) - fixed @ jnp.linalg.pinv(fixed)
