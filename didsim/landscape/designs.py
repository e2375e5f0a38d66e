"""Which pairs should be shown, if the reward were known, so that the data tells most?

Edge weights of the Laplacian are linear in the pair law, so the best laws are convex programmes: the E-optimal design
maximises λ₂, the slowest direction's information, and the A-optimal one minimises the trace of the pseudo-inverse, the mean
variance of the log-margins (S7).  Both are solved by one path-following Newton method and carry a certificate: the value of a
dual point, which no design whatever can beat.
"""

import functools
from typing import NamedTuple, final

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from didsim.landscape.finite_sample import margin_variances
from didsim.landscape.hessian import laplacian, laplacian_weights
from didsim.numerics import checks, linalg
from didsim.numerics.pytrees import pytree
from didsim.numerics.search import longest_step
from didsim.numerics.traces import jit
from didsim.samplers import Joint

LARGEST = 64
CRITERIA = ("E", "A")
GROWTH = 4.0
NEWTON_STEPS = 12


@final
@pytree
class Design:
    """An optimal pair law with its certificate.

    Attributes:
        pair_matrix: symmetric law of the pair shown, zero diagonal, shape (..., n, n).
        value: λ₂ of ``Lap(w)`` (E) or the trace of its pseudo-inverse (A), at β = 1.
        bound: value that no pair law can beat: above λ₂ (E), below the trace (A).
        gap: ``|value - bound|/|bound|``.
        converged: whether the gap is below 1e-4, in single precision 1e-2.
    """

    pair_matrix: Float[Array, "*batch n n"]
    value: Float[Array, "*batch"]
    bound: Float[Array, "*batch"]
    gap: Float[Array, "*batch"]
    converged: Bool[Array, "*batch"]

    @property
    def sampler(self) -> Joint:
        """The sampler that shows pairs by the design."""
        return Joint(jnp.log(self.pair_matrix))

    @classmethod
    def judged(cls, pair_matrix: Array, value: Array, bound: Array) -> "Design":
        """A design beside its bound."""
        gap = jnp.abs(value - bound) / bound
        return cls(pair_matrix, value, bound, gap, gap <= (1e-4 if gap.dtype == jnp.float64 else 1e-2))


def optimal_design(reward: Float[Array, "*batch n"], criterion: str = "E") -> Design:
    """Pair law that is E- or A-optimal for learning a reward (derived; S7).

    E maximises ``λ₂(Lap(w))``, A minimises ``tr Lap(w)⁺``, over all laws μ with ``w_ab = (μ_ab + μ_ba) σ'(r_a - r_b)``.

    Args:
        reward: true reward, any leading axes; 2 to 64 responses, because the programme has an unknown for every pair.
        criterion: "E" or "A".

    Returns:
        `Design`; its values are for β = 1 and scale as ``β²`` (E) and ``1/β²`` (A).

    Raises:
        ArgumentError: an unknown criterion, a reward that is not finite, or too few or too many responses.

    Example:
        >>> import jax.numpy as jnp
        >>> best = optimal_design(jnp.zeros(4), "E")
        >>> print(best.value.round(3), best.pair_matrix[0].round(3))
        0.167 [0.    0.083 0.083 0.083]
    """
    checks.did_you_mean("criterion", criterion, CRITERIA)
    checks.finite("reward", reward)
    checks.whole("reward.shape[-1]", reward.shape[-1], least=2, below=LARGEST + 1)
    return optimal_designs(reward, (criterion,))[criterion]


def optimal_designs(reward: Float[Array, "*batch n"], criteria: tuple[str, ...] = CRITERIA) -> dict[str, Design]:
    """Several criteria by one compiled programme; arguments as `optimal_design` has checked them."""
    flat = reward.reshape(-1, reward.shape[-1])
    kinds = jnp.asarray([[criterion == "E"] for criterion in criteria], reward.dtype)
    both = _designs(flat, kinds)
    shaped = jax.tree.map(lambda leaf: leaf.reshape(len(criteria), *reward.shape[:-1], *leaf.shape[2:]), both)
    return {name: jax.tree.map(lambda leaf: leaf[place], shaped) for place, name in enumerate(criteria)}  # noqa: B023


def design_bounds(
    pair_matrix: Float[Array, "*#batch n n"], reward: Float[Array, "*#batch n"], dual: Float[Array, "*#batch n n"]
) -> tuple[Float[Array, "*#batch"], Float[Array, "*#batch"]]:
    """Bounds on what any pair law can reach, from a design and any positive semi-definite ``Z`` with ``Z1 = 0`` (derived).

    With ``R_ab(X) = X_aa + X_bb - 2X_ab``: ``λ₂ ≤ max_ab σ'_ab R_ab(Z)/tr Z`` for every design, and
    ``tr L⁺ ≥ (tr L₀⁺)²/max_ab σ'_ab R_ab((L₀⁺)²)`` for every design, with ``L₀`` the Laplacian of the given one.

    Args:
        pair_matrix: any pair law with a connected graph, for the second bound.
        reward: true reward.
        dual: ``Z``, for the first bound.

    Returns:
        Upper bound on λ₂ and lower bound on the trace, at β = 1.
    """
    weights = laplacian_weights(pair_matrix, reward)
    inverse = linalg.pseudo_inverse(laplacian(weights))
    slope = laplacian_weights(jnp.full_like(pair_matrix, 0.5), reward)
    e_bound = jnp.max(slope * margin_variances(dual), (-2, -1)) / jnp.trace(dual, axis1=-2, axis2=-1)
    trace = jnp.trace(inverse, axis1=-2, axis2=-1)
    return e_bound, trace**2 / jnp.max(slope * margin_variances(inverse @ inverse), (-2, -1))


class _Point(NamedTuple):
    """Masses of the unordered pairs, and the level λ₂ - slack that the E-criterion pushes up."""

    mass: Float[Array, " pairs"]
    level: Float[Array, ""]


class _Programme(NamedTuple):
    """Ends and slopes of the pairs, the unit of information, and whether the criterion is E (1) or A (0)."""

    first: np.ndarray
    second: np.ndarray
    slope: Array
    unit: Array
    is_e: Array

    def matrix(self, values: Float[Array, " pairs"]) -> Float[Array, "n n"]:
        """A value per pair as a symmetric matrix."""
        n = int(np.max(self.second)) + 1
        half = jnp.zeros((n, n), values.dtype).at[self.first, self.second].set(values)
        return half + half.T


@jit
def _designs(reward: Float[Array, "batch n"], kinds: Float[Array, "criteria 1"]) -> Design:
    over_rewards = jax.vmap(_follow_path, in_axes=(0, None))
    return jax.vmap(lambda kind: over_rewards(reward, kind[0]))(kinds)


def _follow_path(reward: Float[Array, " n"], is_e: Float[Array, ""]) -> Design:
    """Newton's method on criterion + barrier, the barrier shrinking by `GROWTH` from stage to stage."""
    # Set the programme up, and start at its centre.
    n, dtype = reward.shape[-1], reward.dtype
    first, second = np.triu_indices(n, 1)
    slope = jax.nn.sigmoid(reward[first] - reward[second]) * jax.nn.sigmoid(reward[second] - reward[first])
    unit = 1.0 / jnp.sum(1.0 / slope)
    programme = _Programme(first, second, slope, unit, is_e)
    # Equal weights on all pairs: there λ₂ = λ_max.
    mass = (1.0 / slope) / jnp.sum(1.0 / slope)
    point = _Point(mass, jnp.where(is_e > 0, 0.5 * n, 0.0))
    # Follow the path: a few Newton steps at every sharpness, and the certificate where they end.
    sharpest = 1e8 if dtype == jnp.float64 else 1e4
    sharpness = jnp.asarray(np.geomspace(1.0, sharpest, 2 + int(np.log(sharpest) / np.log(GROWTH))), dtype)

    def stage(point: _Point, sharp: Array):
        for_newton = functools.partial(_newton_step, programme, sharp)
        point = jax.lax.fori_loop(0, NEWTON_STEPS, lambda _, at: for_newton(at), point)
        return point, _certified(programme, point, reward)

    _, found = jax.lax.scan(stage, point, sharpness)
    # Keep the best.  Every stage's bound holds; the last ones lose to rounding what they gain in sharpness.
    better = jnp.where(is_e > 0, found.value, -found.value)
    bound = jnp.where(is_e > 0, found.bound.min(), found.bound.max())
    best = jnp.argmax(better)
    return Design.judged(found.pair_matrix[best], found.value[best], bound)


def _slack(programme: _Programme, point: _Point) -> Float[Array, "n n"]:
    """``L/unit - level·(I - 11ᵀ/n) + 11ᵀ/n``, positive definite inside the programme."""
    weights = programme.matrix(point.mass * programme.slope / programme.unit)
    constant = jnp.full_like(weights, 1.0 / len(weights))
    return laplacian(weights) - point.level * (jnp.eye(len(weights), dtype=weights.dtype) - constant) + constant


def _barrier(programme: _Programme, sharp: Array, point: _Point) -> Array:
    """Criterion times sharpness plus barriers; infinite outside."""
    values = linalg.eigvalsh(_slack(programme, point))
    inside = (values[0] > 0) & jnp.all(point.mass > 0)
    safe = jnp.where(values > 0, values, 1.0)
    e_value = -sharp * point.level - jnp.sum(jnp.log(safe))
    a_value = sharp * (jnp.sum(1.0 / safe) - 1.0)
    criterion = jnp.where(programme.is_e > 0, e_value, a_value)
    return jnp.where(inside, criterion - jnp.sum(jnp.log(jnp.where(point.mass > 0, point.mass, 1.0))), jnp.inf)


def _newton_step(programme: _Programme, sharp: Array, point: _Point) -> _Point:
    """One damped Newton step on the simplex; the last unknown is the level, which the A-criterion leaves at zero."""
    gradient, hessian = _expansion(programme, sharp, point)
    # Unit diagonal: the barrier bends by many orders of magnitude more in a mass near zero, or in the level, than elsewhere.
    scale = jax.lax.rsqrt(jnp.diag(hessian))
    gradient, hessian = scale * gradient, scale[:, None] * hessian * scale
    # Eliminate the multiplier of the constraint that the masses sum to one.
    total = scale.at[-1].set(0.0)
    both = jax.vmap(lambda right: linalg.cholesky_solve(hessian, right))(jnp.stack([gradient, total]))
    multiplier = jnp.vdot(total, both[0]) / jnp.vdot(total, both[1])
    move = -(both[0] - multiplier * both[1])
    move = jnp.where(jnp.all(jnp.isfinite(move)), move, 0.0)
    slope, move = jnp.vdot(gradient, move), scale * move

    def at(length: Array) -> _Point:
        mass = point.mass + length * move[:-1]
        return _Point(mass / jnp.sum(mass), point.level + length * move[-1])

    # Search from the longest step that keeps every mass positive.
    start = _barrier(programme, sharp, point)
    longest = jnp.minimum(1.0, 0.95 / jnp.maximum(jnp.max(-move[:-1] / point.mass), jnp.finfo(start.dtype).tiny))
    length = longest_step(lambda t: _barrier(programme, sharp, at(t)), start, slope, longest, share=0.1, slack=64.0)
    return jax.tree.map(lambda new, old: jnp.where(length > 0, new, old), at(length), point)


def _expansion(programme: _Programme, sharp: Array, point: _Point) -> tuple[Array, Array]:
    """Gradient and Hessian of the barrier function in the masses and the level."""
    slope = programme.slope / programme.unit
    values, vectors = linalg.eigh(_slack(programme, point))
    ends = vectors[programme.first] - vectors[programme.second]  # pairs × eigenvectors
    free = 1.0 - jnp.sum(vectors, 0) ** 2 / len(values)  # zero for the constant, one for all others
    one, two = (ends / values) @ ends.T, (ends / values**2) @ ends.T
    q, p = slope * jnp.diag(one), slope * jnp.diag(two)
    outer = slope[:, None] * slope
    is_e = programme.is_e
    slope_mass = jnp.where(is_e > 0, -q, -sharp * p) - 1.0 / point.mass
    slope_level = jnp.where(is_e > 0, -sharp + jnp.sum(free / values), 0.0)
    bend = jnp.where(is_e > 0, outer * one**2, 2.0 * sharp * outer * one * two) + jnp.diag(1.0 / point.mass**2)
    cross = jnp.where(is_e > 0, -p, 0.0)
    own = jnp.where(is_e > 0, jnp.sum(free / values**2), 1.0)
    hessian = jnp.block([[bend, cross[:, None]], [cross[None, :], own[None, None]]])
    return jnp.append(slope_mass, slope_level), hessian


def _certified(programme: _Programme, point: _Point, reward: Array) -> Design:
    """The law at a point, with its value and the bound that its dual point gives."""
    pair_matrix = programme.matrix(0.5 * point.mass)
    values, vectors = linalg.eigh(_slack(programme, point))
    dual = (vectors / values) @ vectors.T - 1.0 / len(values)
    e_bound, a_bound = design_bounds(pair_matrix, reward, dual)
    spectrum = linalg.eigvalsh(laplacian(laplacian_weights(pair_matrix, reward)))
    e_value, a_value = spectrum[1], jnp.sum(1.0 / spectrum[1:])
    value = jnp.where(programme.is_e > 0, e_value, a_value)
    bound = jnp.where(programme.is_e > 0, e_bound, a_bound)
    return Design.judged(pair_matrix, value, bound)
