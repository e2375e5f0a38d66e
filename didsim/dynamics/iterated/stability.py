"""Does a round draw policies together or push them apart, and where is the boundary?"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from didsim.dynamics.iterated.maps import OBJECTIVES, Iteration, next_policy
from didsim.numerics import checks, linalg, simplex


def multipliers(iteration: Iteration, log_policy: Float[Array, " n"]) -> Complex[Array, " m"]:
    """Eigenvalues of a round in logits modulo the constant, ``m = n - 1``: stable iff all lie within the unit circle."""
    n = log_policy.shape[-1]
    basis = simplex.clr(jnp.eye(n, dtype=log_policy.dtype)[:, : n - 1].T).T

    def centred(logits: Array) -> Array:
        return simplex.clr(next_policy(iteration, simplex.normalize(logits)))

    jacobian = jax.jacfwd(centred)(log_policy)
    inverse = jnp.concatenate([jnp.eye(n - 1, dtype=basis.dtype), -jnp.ones((n - 1, 1), basis.dtype)], axis=1)
    return linalg.eigvals(inverse @ jacobian @ basis)


def slope_at_uniform(objective: str, temperature: Float[Array, "*#batch"] | float) -> Float[Array, "*#batch"]:
    """``b``: how log-ratios answer a small preference: ``1/τ`` for IPO, ``4/β`` for DPO, whose link has slope ¼ (derived)."""
    checks.did_you_mean("objective", objective, OBJECTIVES)
    return jnp.asarray((1.0 if objective == "ipo" else 4.0) / temperature)


def cycle_multiplier(
    power: Float[Array, "*#batch"] | float,
    mixing: Float[Array, "*#batch"] | float,
    advantage: Float[Array, "*#batch"] | float,
    slope: Float[Array, "*#batch"] | float,
) -> tuple[Float[Array, "*#batch"], Float[Array, "*#batch"]]:
    """Modulus and angle of ``a ± i c b λ/√3``, by which a round turns and stretches small deviations from uniform (S12).

    The uniform point of the three-cycle is unstable when the modulus exceeds one, ``a² + c²b²λ²/3 > 1``; a turn then
    takes 2π/angle rounds (angle derived).
    """
    turn = advantage * slope * mixing / math.sqrt(3.0)
    return jnp.hypot(power, turn), jnp.arctan2(turn, power)


def cycle_boundary(
    power: Float[Array, "*#batch"] | float, advantage: Float[Array, ""] | float, slope: Float[Array, ""] | float
) -> Float[Array, "*#batch"]:
    """Mixing λ beyond which the three-cycle's uniform point is unstable: ``√(3(1-a²))/(c b)``; above 1 there is none (S12)."""
    return jnp.sqrt(3.0 * jnp.maximum(1.0 - jnp.square(power), 0.0)) / (advantage * slope)


def contraction_factor(iteration: Iteration) -> Float[Array, ""]:
    """``a + (bλ/2) ‖P - ½11ᵀ‖₂``: below one, IPO's rounds contract to one fixed point (Chen et al. 2602.12180; S12)."""
    cycle = iteration.preference - 0.5
    largest = jnp.sqrt(jnp.maximum(linalg.eigvalsh(cycle.T @ cycle)[-1], 0.0))
    return iteration.power + iteration.mixing * slope_at_uniform("ipo", iteration.temperature) * largest / 2.0
