"""What happens when preferences have no best response: which rounds reach the Nash policy of a preference matrix?

A matrix ``P_ab = Pr(a preferred to b)`` is a symmetric game with value ½.  Rounds are exact, in log-probabilities (F16).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from didsim.numerics import checks, simplex

ALGORITHMS = ("ipo", "sppo", "omwu", "inpo", "comal")


def win_rates(log_policy: Float[Array, "*batch n"], preference: Float[Array, "*#batch n n"]) -> Float[Array, "*batch n"]:
    """``(Pπ)_a``: chance of every response to be preferred to a draw from the policy; its Borda score under it."""
    return jnp.sum(preference * jnp.exp(log_policy)[..., None, :], -1)


def exploitability(log_policy: Float[Array, "*batch n"], preference: Float[Array, "*#batch n n"]) -> Float[Array, "*batch"]:
    """``max_a (Pπ)_a - ½``: how far the best reply beats the policy; zero at the Nash policy alone (derived)."""
    return jnp.max(win_rates(log_policy, preference), -1) - 0.5


def mirror_step(
    log_policy: Float[Array, "*batch n"],
    log_ref: Float[Array, "*batch n"],
    preference: Float[Array, "*#batch n n"],
    eta: float | Float[Array, ""],
    tau: float | Float[Array, ""],
) -> Float[Array, "*batch n"]:
    """``π' ∝ π^{1-ητ} π_ref^{ητ} e^{η Pπ}``: one round of INPO, mirror descent on the game with ``τ KL(π‖π_ref)``.

    At ``τ = 0`` it is multiplicative weights, which is SPPO, and iterated IPO at ``η = 1/β``.
    """
    pull = eta * win_rates(log_policy, preference)
    return simplex.normalize((1.0 - eta * tau) * log_policy + eta * tau * log_ref + pull)


def play(
    preference: Float[Array, "n n"],
    log_start: Float[Array, " n"],
    algorithm: str = "comal",
    *,
    rounds: int = 100,
    eta: float = 0.5,
    tau: float = 0.5,
    inner: int = 100,
) -> Float[Array, "rounds n"]:
    """Log-policies of all rounds, the start first.

    Args:
        preference: P, entries in [0, 1], ``P + Pᵀ = 1``.
        log_start: start and first reference, full support.
        algorithm: "ipo" and "sppo" (multiplicative weights, which cycle), "omwu" (optimistic weights), "inpo" (reference
            stays: ends at the Nash policy of the regularised game), "comal" (that game solved by ``inner`` steps, then the
            reference moves: converges to the Nash policy; COMAL).
        rounds: number of rounds.
        eta: step size, > 0.
        tau: weight of the KL to the reference, > 0, of "inpo" and "comal".
        inner: steps of one round of "comal".

    Raises:
        ArgumentError: a matrix that is none, an unknown algorithm or a number out of range.

    Example:
        >>> import jax.numpy as jnp
        >>> from didsim import dynamics
        >>> game = jnp.array([[0.5, 0.1, 0.8], [0.9, 0.5, 0.1], [0.2, 0.9, 0.5]])
        >>> policies = dynamics.play(game, jnp.log(jnp.array([0.6, 0.2, 0.2])), rounds=200)
        >>> [round(float(mass) * 11, 2) for mass in jnp.exp(policies[-1])]
        [4.0, 3.0, 4.0]
    """
    checks.preference_matrix("preference", preference)
    checks.did_you_mean("algorithm", algorithm, ALGORITHMS)
    checks.whole("rounds", rounds, least=1)
    checks.whole("inner", inner, least=1)
    checks.positive("eta", eta)
    checks.positive("tau", tau)
    start = simplex.normalize(checks.log_law("log_start", log_start, full_support=True))
    if algorithm == "omwu":
        return _optimistic(preference, start, rounds, eta)

    def round_(log_policy, _):
        if algorithm == "comal":
            after = jax.lax.fori_loop(0, inner, lambda _, x: mirror_step(x, log_policy, preference, eta, tau), log_policy)
        else:
            after = mirror_step(log_policy, start, preference, eta, tau if algorithm == "inpo" else 0.0)
        return after, after

    return jnp.concatenate([start[None], jax.lax.scan(round_, start, None, length=rounds)[1]])


def _optimistic(preference, start, rounds, eta):
    def round_(carry, _):
        log_policy, before = carry
        rates = win_rates(log_policy, preference)
        after = simplex.normalize(log_policy + eta * (2.0 * rates - before))
        return (after, rates), after

    _, policies = jax.lax.scan(round_, (start, win_rates(start, preference)), None, length=rounds)
    return jnp.concatenate([start[None], policies])
