"""What do many annotators of different tastes want together, and how much of it does a policy give them? (2505.23749, F13)"""

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from didsim.numerics import checks, simplex
from didsim.worlds.problems import WORLDS, Problem, problem


@WORLDS.register("users")
def users(log_weights: ArrayLike, rewards: ArrayLike, *, log_ref: ArrayLike | None = None, beta: ArrayLike = 1.0) -> Problem:
    """Many annotators as one problem: its reward is their average utility ``Σ_u w_u r_u``, and π* the best policy for it.

    Whose labels they give is said by the label model of the same name and numbers, ``preferences.Users``.

    Args:
        log_weights: log-law of the users, shape (users,).
        rewards: reward of each, shape (users, n).
        log_ref: reference, shape (n,) or (prompts, n), full support; uniform if missing.
        beta: inverse temperature, > 0.

    Raises:
        ArgumentError: numbers of users that do not match, a law that is none, or as `problem`.

    Example:
        >>> import jax.numpy as jnp
        >>> from didsim import worlds
        >>> half = jnp.log(jnp.array([0.5, 0.5]))
        >>> worlds.users(half, jnp.array([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]])).reward.tolist()
        [[1.0, 0.5, 0.0]]
    """
    weights = jnp.exp(checks.log_law("log_weights", log_weights))
    table = jnp.asarray(checks.finite("rewards", rewards), weights.dtype)
    if table.ndim != 2 or table.shape[0] != weights.shape[-1] or weights.ndim != 1:
        raise checks.ArgumentError(
            f"Argument `rewards` must have shape (users, n) with {weights.shape[-1]} users, but has shape {table.shape}."
        )
    reference = simplex.uniform(table.shape[1]) if log_ref is None else log_ref
    return problem(reference, reward=weights @ table, beta=beta)


def distortion(
    log_policy: Float[Array, "*batch n"], log_weights: Float[Array, " users"], utilities: Float[Array, "users n"]
) -> Float[Array, "*batch"]:
    """``max_y Σ_u w_u r_u(y) / E_π Σ_u w_u r_u``: by which factor the best response serves the users better (2505.23749).

    Args:
        log_policy: log-law π.
        log_weights: log-law of the users.
        utilities: reward of each, >= 0 and not all zero.

    Returns:
        A factor of at least one, one where π has its mass on the best responses.

    Raises:
        ArgumentError: a utility below zero.
    """
    checks.at_least("utilities", utilities, 0.0)
    average = jnp.exp(log_weights) @ utilities
    return jnp.max(average) / simplex.expectation(log_policy, average)


def favourite_mass(log_policy: Float[Array, "*batch n"], rewards: Float[Array, "users n"]) -> Float[Array, "*batch users"]:
    """Probability that the policy gives each user's favourite response, the first of equals: a minority's may vanish (F13)."""
    return jnp.exp(log_policy)[..., jnp.argmax(rewards, -1)]
