"""What does one round do to the policy, solved exactly, and what path do many rounds take?"""

from typing import NamedTuple, final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from didsim.numerics import checks, linalg, simplex
from didsim.numerics.pytrees import between, checked, one_of, positive, pytree

OBJECTIVES = ("ipo", "dpo")
NEWTON_STEPS = 200
LONGEST = 2.0


@final
@pytree
class Iteration:
    """One round's map: what is iterated.

    Attributes:
        preference: ``P_ab = Pr(a preferred to b)``, shape (n, n), cycles allowed.
        log_anchor: π_0, which reference and sampler are mixed with, shape (n,).
        power: a in [0, 1], share of the current policy in the reference's logits.
        mixing: λ in [0, 1], share of the current policy in the sampling law.
        temperature: τ of IPO or β of DPO, > 0.
        objective: ``"ipo"`` or ``"dpo"``.
    """

    preference: Float[Array, "n n"] = checked(checks.preference_matrix)
    log_anchor: Float[Array, " n"]
    power: float | Float[Array, ""] = between(0.0, 1.0, default=1.0)
    mixing: float | Float[Array, ""] = between(0.0, 1.0, default=1.0)
    temperature: float | Float[Array, ""] = positive(default=1.0)
    objective: str = one_of(OBJECTIVES, default="ipo")


def three_cycle(advantage: float | Float[Array, ""]) -> Float[Array, "3 3"]:
    """Rock, paper, scissors: each response beats the next with probability ``½ + c``, c in [0, ½]."""
    turn = jnp.asarray([[0.0, 1.0, -1.0], [-1.0, 0.0, 1.0], [1.0, -1.0, 0.0]])
    return 0.5 + checks.between("advantage", advantage, 0.0, 0.5) * turn


def ipo_optimum(
    log_ref: Float[Array, "*#batch n"],
    preference: Float[Array, "*#batch n n"],
    log_law: Float[Array, "*#batch n"],
    tau: Float[Array, ""] | float,
) -> Float[Array, "*#batch n"]:
    """Population optimum of IPO on independent draws from ν: ``π_ref e^{Pν/τ}`` (Chen et al. 2602.12180; S12)."""
    wins = jnp.einsum("...ab,...b->...a", preference, jnp.exp(log_law))
    return simplex.tilt(log_ref, wins, 1.0 / tau)


class DpoFit(NamedTuple):
    """Population optimum of DPO with its evidence.

    Attributes:
        log_policy: log-law of the optimum, shape (n,).
        margin: implicit reward u with mean zero; ``π = π_ref e^{u/β}``.
        step: largest entry of the Newton step that is left there.
        converged: whether there is a finite optimum and it was reached; where a group of responses never loses to the
            others there is none.
    """

    log_policy: Float[Array, " n"]
    margin: Float[Array, " n"]
    step: Float[Array, ""]
    converged: Bool[Array, ""]


def dpo_optimum(
    log_ref: Float[Array, " n"],
    preference: Float[Array, "n n"],
    log_law: Float[Array, " n"],
    beta: Float[Array, ""] | float,
) -> Float[Array, " n"]:
    """Population optimum of DPO on independent draws from ν with any labels; `dpo_fit` says whether it was reached."""
    return dpo_fit(log_ref, preference, log_law, beta).log_policy


def dpo_fit(
    log_ref: Float[Array, " n"],
    preference: Float[Array, "n n"],
    log_law: Float[Array, " n"],
    beta: Float[Array, ""] | float,
) -> DpoFit:
    """Population optimum of DPO on independent draws from ν with any labels: Newton's method on the margins (derived).

    It solves ``Σ_b ν_b (P_ab - σ(u_a - u_b)) = 0`` for all a, and the policy is ``π_ref e^{u/β}``.  With Bradley-Terry
    labels u is the reward whatever ν is; with others it depends on ν (S6).  From below, Newton's method gains about one
    nat a step where labels are nearly sure.
    """
    mass = jnp.exp(log_law)
    tolerance = jnp.finfo(log_law.dtype).eps ** 0.75

    def newton(margin: Array) -> Array:
        gap = margin[:, None] - margin[None, :]
        pull = mass * jnp.sum(mass * _surprise(preference, gap), -1)
        weight = mass[:, None] * mass * jax.nn.sigmoid(gap) * jax.nn.sigmoid(-gap) * (1.0 - jnp.eye(mass.size, dtype=mass.dtype))
        step = _laplacian_solve(weight, pull)
        # Shortening is for the way, not for the answer: derivatives need not see it.
        longest = jax.lax.stop_gradient(jnp.max(jnp.abs(step)))
        return step * (LONGEST / jnp.maximum(longest, LONGEST))

    def advance(state: tuple) -> tuple:
        count, margin, _ = state
        step = newton(margin)
        return count + 1, margin + step, jnp.max(jnp.abs(step))

    def going(state: tuple) -> Array:
        count, margin, size = state
        return (count < NEWTON_STEPS) & (size > tolerance * (1.0 + jnp.max(jnp.abs(margin))))

    start = (jnp.int32(0), jnp.zeros_like(log_law), jnp.asarray(jnp.inf, log_law.dtype))
    _, margin, _ = jax.lax.while_loop(going, advance, start)
    # One step more: derivatives of the answer are those of this step alone.
    step = newton(margin)
    margin = margin + step
    left = jnp.max(jnp.abs(step))
    beaten = (preference > 0) & (mass[:, None] > 0) & (mass > 0)
    converged = (left <= jnp.sqrt(tolerance)) & linalg.strongly_connected(beaten) & jnp.all(mass > 0)
    return DpoFit(simplex.tilt(log_ref, margin, 1.0 / beta), margin, left, converged)


def _surprise(preference: Array, gap: Array) -> Array:
    """``P - σ(g)``; from the smaller of the two chances, so that nearly sure labels keep their digits."""
    return jnp.where(gap > 0, jax.nn.sigmoid(-gap) - preference.T, preference - jax.nn.sigmoid(gap))


def next_policy(iteration: Iteration, log_policy: Float[Array, " n"]) -> Float[Array, " n"]:
    """Policy after one more round: the exact optimum at ``π_t^a π_0^{1-a}`` with pairs from ``λ π_t + (1-λ) π_0`` (S12)."""
    return _round(iteration, log_policy)[0]


def reached(iteration: Iteration, path: Float[Array, "times n"]) -> Bool[Array, " rounds"]:
    """Which rounds of a path of `iterate` are the optimum they stand for.

    IPO's has a closed form.  DPO's is finite only if no group of responses never loses to the others, and is found by Newton's
    method, where every response keeps mass; a round that has none, and those after it, say nothing.

    Args:
        iteration: the map.
        path: log-policies of shape (rounds + 1, n), as `iterate` returns them.

    Returns:
        Truths of shape (rounds,).

    Raises:
        ArgumentError: a path of fewer than two laws, or responses that do not match.

    Example:
        >>> import jax.numpy as jnp
        >>> from didsim import iterated
        >>> flat = jnp.log(jnp.full(3, 1 / 3))
        >>> chain = jnp.array([[0.5, 1.0, 1.0], [0.0, 0.5, 0.8], [0.0, 0.2, 0.5]])  # the first response never loses
        >>> sure = Iteration(chain, flat, objective="dpo")
        >>> bool(iterated.reached(sure, iterated.iterate(sure, flat, rounds=3)).any())
        False
    """
    checks.whole("rounds", path.shape[0] - 1, least=1)
    checks.same_responses(preference=iteration.preference, log_anchor=iteration.log_anchor, path=path[0])
    return jax.vmap(lambda log_policy: _round(iteration, log_policy)[1])(path[:-1])


def _round(iteration: Iteration, log_policy: Float[Array, " n"]) -> tuple[Float[Array, " n"], Bool[Array, ""]]:
    """The policy after one more round, and whether it is the round's optimum."""
    anchor = iteration.log_anchor.astype(log_policy.dtype)
    log_ref = simplex.geodesic(anchor, log_policy, iteration.power)
    log_law = jnp.log(iteration.mixing * jnp.exp(log_policy) + (1.0 - iteration.mixing) * jnp.exp(anchor))
    preference = iteration.preference.astype(log_policy.dtype)
    if iteration.objective == "ipo":
        new = ipo_optimum(log_ref, preference, log_law, iteration.temperature)
        return new, jnp.all(jnp.isfinite(new))
    fit = dpo_fit(log_ref, preference, log_law, iteration.temperature)
    return fit.log_policy, fit.converged


def iterate(iteration: Iteration, log_first: Float[Array, " n"], rounds: int) -> Float[Array, "times n"]:
    """Log-policies of all rounds, the first the given one; `reached` says which of them are their round's optimum.

    Args:
        iteration: the map.
        log_first: policy to start from, full support.
        rounds: how many rounds, >= 1.

    Returns:
        Path of shape (rounds + 1, n).

    Raises:
        ArgumentError: a number of rounds below one, or responses that do not match.

    Example:
        >>> import jax.numpy as jnp
        >>> from didsim import iterated
        >>> flat = jnp.log(jnp.full(3, 1 / 3))
        >>> turning = Iteration(iterated.three_cycle(0.4), flat, power=0.9, mixing=1.0, temperature=0.25)
        >>> path = iterated.iterate(turning, jnp.log(jnp.array([0.4, 0.3, 0.3])), rounds=500)
        >>> iterated.endings.Fate(int(iterated.ending(path).fate)).name
        'CYCLE'
    """
    checks.whole("rounds", rounds, least=1)
    checks.same_responses(preference=iteration.preference, log_anchor=iteration.log_anchor, log_first=log_first)

    def body(log_policy: Array, _: None) -> tuple[Array, Array]:
        new = next_policy(iteration, log_policy)
        return new, new

    _, path = jax.lax.scan(body, log_first, None, rounds)
    return jnp.concatenate([log_first[None], path])


def _laplacian_solve(weight: Float[Array, "n n"], right: Float[Array, " n"]) -> Float[Array, " n"]:
    """Zero-sum-scaled solution of ``Lap(w) x = right``, the matrix scaled to unit diagonal and its null direction filled in."""
    degree = weight.sum(-1)
    scale = jax.lax.rsqrt(jnp.maximum(degree, jnp.finfo(degree.dtype).tiny))
    null = 1.0 / scale / jnp.linalg.norm(1.0 / scale)
    scaled = jnp.eye(degree.size, dtype=degree.dtype) - weight * scale[:, None] * scale + null[:, None] * null
    return simplex.clr(scale * linalg.small_solve(scaled, scale * right))
