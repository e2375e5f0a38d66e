"""Which policy has a given implicit reward, and which reward do independent chosen and rejected draws teach?

A loss that depends on a policy through margins alone is least where the margins are, and every policy whose implicit
reward is the taught one up to a constant has them.  The constant is what makes the policy sum to one.  So the minimiser
of a population loss is its reward turned round, for any reward that is an increasing function of the log-probability
(derived; D5 and D6 are the linear cases).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from didsim.numerics import simplex
from didsim.worlds import Problem

HALVINGS = 200
FARTHEST = 1e6


def logistic_fit(problem: Problem) -> Float[Array, "prompts n"]:
    """``log(π_w/π_l)``: the reward that a logistic link learns from independent draws (D3), up to a constant."""
    return problem.log_chosen - problem.log_rejected


def squared_fit(problem: Problem, aim: Float[Array, ""] | float) -> Float[Array, "prompts n"]:
    """The reward that ``(m - c)²`` learns from independent draws, up to a constant.

    ``D s(y)`` with ``s = π_w/(π_w + π_l)`` and ``D = 2c / (1 + E_{π_w} s - E_{π_l} s)``: setting the derivative in ``g(y)``
    to zero gives ``g = B + (A - B) s`` with ``A = E_{π_l} g + c``, ``B = E_{π_w} g - c`` (derived).
    """
    share = jax.nn.sigmoid(logistic_fit(problem))
    spread = simplex.expectation(problem.log_chosen, share) - simplex.expectation(problem.log_rejected, share)
    return 2.0 * aim / (1.0 + spread)[:, None] * share


def policy_with_reward(
    log_policy_of: Callable[[Float[Array, "prompts n"]], Float[Array, "prompts n"]], reward: Float[Array, "prompts n"]
) -> Float[Array, "prompts n"]:
    """Log-law whose implicit reward is ``reward`` up to a constant.

    Where the implicit reward has an upper end, near which a constant loses its digits, `policy_below` finds the law.

    Args:
        log_policy_of: log-probability from implicit reward, response by response, increasing; ±inf beyond its range.
        reward: wanted reward.

    Returns:
        ``log π`` with ``Σ_y π(y) = 1``, the constant found by bisection.
    """
    end = jnp.full_like(reward[:, :1], FARTHEST)
    return _normalised(lambda constant: log_policy_of(reward + constant), -end, end)


def policy_below(
    log_policy_of: Callable[[Float[Array, "prompts 1"], Float[Array, "prompts n"]], Float[Array, "prompts n"]],
    reward: Float[Array, "prompts n"],
    low: Float[Array, "prompts n"],
    high: Float[Array, "prompts n"],
) -> Float[Array, "prompts n"]:
    """Log-law whose implicit reward is ``reward`` up to a constant, found from the response of the highest reward.

    Laws may be as sharp as they like: what is sought is the best response's own log-ratio, a number of moderate size
    whose digits are those of the answer, and not a constant added to rewards (derived).

    Args:
        log_policy_of: log-probabilities from that number and from how far rewards lie below the highest, >= 0; increasing
            in the number.
        reward: wanted reward.
        low: least value of the number for each response, were it the best.
        high: greatest value.
    """
    best = jnp.argmax(reward, -1)[:, None]
    drop = jnp.take_along_axis(reward, best, -1) - reward
    return _normalised(
        lambda top: log_policy_of(top, drop), jnp.take_along_axis(low, best, -1), jnp.take_along_axis(high, best, -1)
    )


def _normalised(log_policy_at: Callable[[Array], Array], low: Array, high: Array) -> Float[Array, "prompts n"]:
    """The law among increasing log-weights that sums to one, by bisection."""

    def halve(_, bounds):
        low, high = bounds
        middle = 0.5 * (low + high)
        too_much = jax.nn.logsumexp(log_policy_at(middle), axis=-1, keepdims=True) > 0
        return jnp.where(too_much, low, middle), jnp.where(too_much, middle, high)

    low, _ = jax.lax.fori_loop(0, HALVINGS, halve, (low, high))
    return simplex.normalize(log_policy_at(low))
