"""What happens when preferences have no best response: which rounds reach the Nash policy of a preference matrix?

A matrix ``P_ab = Pr(a preferred to b)`` is a symmetric game with value ½.  Rounds are exact, in log-probabilities (F16).
An algorithm is registered as a function ``round(game, carry) -> carry`` of a `Game` and what it carries from round to
round, the log-policy first.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from didsim.dynamics.iterated.maps import dpo_optimum
from didsim.numerics import checks, simplex
from didsim.numerics.registry import Registry


class Game(NamedTuple):
    """What a round is played with.

    Attributes:
        preference: P, shape (n, n).
        log_start: policy of the start, shape (n,).
        eta: step size.
        tau: weight of the KL to the reference.
        inner: steps of one round of "comal".
    """

    preference: Float[Array, "n n"]
    log_start: Float[Array, " n"]
    eta: float | Float[Array, ""]
    tau: float | Float[Array, ""]
    inner: int


Carry = tuple[Array, Array]
ALGORITHMS: Registry[Callable[[Game, Carry], Carry]] = Registry("algorithm")


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


def _moved(game: Game, log_policy: Array, log_ref: Array, tau: float | Array) -> Array:
    """`mirror_step` with the game's own matrix and step."""
    return mirror_step(log_policy, log_ref, game.preference, game.eta, tau)


@ALGORITHMS.register("dpo")
def iterated_dpo(game: Game, carry: Carry) -> Carry:
    """The exact optimum of DPO with reference and pairs from ``π_t``, at ``β = 4/η``: to first order a step of weights (S12)."""
    log_policy = carry[0]
    return dpo_optimum(log_policy, game.preference, log_policy, 4.0 / game.eta), carry[1]


@ALGORITHMS.register("ipo")
def iterated_ipo(game: Game, carry: Carry) -> Carry:
    """The exact optimum of IPO with reference and pairs from ``π_t``, at τ = 1/η: ``π_t e^{η Pπ_t}`` (2602.12180)."""
    return _moved(game, carry[0], carry[0], 0.0), carry[1]


@ALGORITHMS.register("sppo")
def multiplicative_weights(game: Game, carry: Carry) -> Carry:
    """``π_t e^{η Pπ_t}``: self-play by multiplicative weights, which circles (2405.00675)."""
    return _moved(game, carry[0], carry[0], 0.0), carry[1]


@ALGORITHMS.register("inpo")
def regularised_step(game: Game, carry: Carry) -> Carry:
    """``π_t^{1-ητ} π_ref^{ητ} e^{η Pπ_t}``, the reference that of the start: ends at the game's with ``τ KL`` (2407.00617)."""
    return _moved(game, carry[0], game.log_start, game.tau), carry[1]


@ALGORITHMS.register("omwu")
def optimistic_weights(game: Game, carry: Carry) -> Carry:
    """``π_t e^{η(2Pπ_t - Pπ_{t-1})}``: weights that expect rates to change as they just did (1807.04252)."""
    log_policy, before = carry
    rates = win_rates(log_policy, game.preference)
    return simplex.normalize(log_policy + game.eta * (2.0 * rates - before)), rates


@ALGORITHMS.register("mirror-prox")
def mirror_prox(game: Game, carry: Carry) -> Carry:
    """``π_t e^{η Pπ'}``, ``π' = π_t e^{η Pπ_t}``: the step that the rates one step ahead ask for (Nemirovski 2004)."""
    log_policy = carry[0]
    ahead = _moved(game, log_policy, log_policy, 0.0)
    return simplex.normalize(log_policy + game.eta * win_rates(ahead, game.preference)), carry[1]


@ALGORITHMS.register("comal")
def solve_then_move(game: Game, carry: Carry) -> Carry:
    """``π_{t+1} ∝ π_t e^{Pπ_{t+1}/τ}`` by ``inner`` steps: the game with ``τ KL(π‖π_t)`` is solved, its end is the next reference
    (COMAL, 2410.23223)."""
    log_ref = carry[0]
    return jax.lax.fori_loop(0, game.inner, lambda _, x: _moved(game, x, log_ref, game.tau), log_ref), carry[1]


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
        algorithm: "dpo", "ipo" and "sppo" (exact optima on the policy's own pairs, and multiplicative weights: they circle),
            "omwu" and "mirror-prox" (optimistic weights and a step taken with the rates one step ahead: converge), "inpo"
            (reference stays: ends at the Nash policy of the regularised game), "comal" (that game solved by ``inner`` steps,
            then the reference moves: converges to the Nash policy; COMAL, 2410.23223).
        rounds: number of rounds.
        eta: step size, > 0; "dpo" takes β = 4/η.
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
    checks.did_you_mean("algorithm", algorithm, tuple(ALGORITHMS))
    checks.whole("rounds", rounds, least=1)
    checks.whole("inner", inner, least=1)
    checks.positive("eta", eta)
    checks.positive("tau", tau)
    start = simplex.normalize(checks.log_law("log_start", log_start, full_support=True))
    game, step = Game(preference, start, eta, tau, inner), ALGORITHMS[algorithm]

    def round_(carry: Carry, _: Any) -> tuple[Carry, Array]:
        after = step(game, carry)
        return after, after[0]

    _, policies = jax.lax.scan(round_, (start, win_rates(start, preference)), None, length=rounds)
    return jnp.concatenate([start[None], policies])
