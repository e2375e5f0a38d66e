"""How low can a loss fall on given data, whatever the policy?

A plateau at ln 2 says one of two things: the data hold no preference, or training has not begun.  The floors tell them
apart (F1).  ν is the law of (chosen, rejected), π_w and π_l its marginals.
"""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from didsim.numerics import simplex
from didsim.objectives import Objective
from didsim.objectives.comparisons import Population, ProductPopulation
from didsim.objectives.links import logistic_link
from didsim.objectives.parts import Comparisons
from didsim.objectives.unpaired import BcoBatch, BcoNone, BcoRunning
from didsim.objectives.variational import Kldo


def dpo_floor(ordered: Float[Array, "*batch n n"]) -> Float[Array, "*batch"]:
    """``ln 2 - JSD(ν‖νᵀ) = Σ ν log(1 + νᵀ/ν)`` nats: no policy's population DPO loss on ν is lower (derived, F1).

    It is reached iff ``log(ν/νᵀ)`` is a difference of scores, as for independent draws and for Bradley-Terry labels.

    Args:
        ordered: law ν of (chosen, rejected), chosen on the row, entries summing to one.

    Returns:
        The floor, between 0 (every pair has its winner) and ln 2 (no preference at all).

    Example:
        >>> import jax.numpy as jnp
        >>> from didsim import landscape
        >>> bool(landscape.dpo_floor(jnp.array([[0.0, 0.5], [0.5, 0.0]])) == jnp.log(2.0))
        True
    """
    seen = ordered > 0
    mass = jnp.where(seen, ordered, 1.0)
    return jnp.sum(jnp.where(seen, ordered * jnp.log1p(jnp.swapaxes(ordered, -1, -2) / mass), 0.0), (-2, -1))


def bco_floor(log_chosen: Float[Array, "*batch n"], log_rejected: Float[Array, "*batch n"]) -> Float[Array, "*batch"]:
    """``2 ln 2 - 2 JSD(π_w‖π_l)`` nats, below which no BCO loss falls, shifted or not (derived, F1)."""
    return 2.0 * math.log(2.0) - 2.0 * simplex.jsd(log_chosen, log_rejected)


def kldo_floor(log_chosen: Float[Array, "*batch n"], log_rejected: Float[Array, "*batch n"]) -> Float[Array, "*batch"]:
    """``-KL(π_w‖π_l)`` nats, below which no KLDO loss falls: the Donsker-Varadhan bound (2502.00657, F1)."""
    return -simplex.kl(log_chosen, log_rejected)


def loss_floor(objective: Objective, comparisons: Comparisons, n: int) -> Float[Array, " prompts"] | None:
    """The floor of an objective's population loss on given data, prompt by prompt; None where none is known (F1).

    Known are those of BCO, of KLDO and of every loss ``-log σ(m)`` whose margin is the difference of one reward: DPO's,
    whatever the reward looks at.  A mixture of products shown in a fixed order has to be written out for it.

    Args:
        objective: what is minimised.
        comparisons: the population of (chosen, rejected) pairs.
        n: number of responses.
    """
    if isinstance(objective, Kldo | BcoNone | BcoBatch | BcoRunning):
        chosen, rejected = (jnp.log(mass) for mass in comparisons.masses(n))
        return kldo_floor(chosen, rejected) if isinstance(objective, Kldo) else bco_floor(chosen, rejected)
    return _logistic_floor(comparisons) if _is_logistic(objective) else None


def _is_logistic(objective: Objective) -> bool:
    """Whether the loss is ``-log σ(g_w - g_l)`` with one reward g and nothing else."""
    terms = (type(objective).chosen_term, type(objective).rejected_term, type(objective).policy_term)
    if not (objective.paired and objective.one_reward) or objective.batch_level:
        return False
    if terms != (Objective.chosen_term, Objective.rejected_term, Objective.policy_term):
        return False
    parts = objective.pair_link().terms or ()
    plain = all(isinstance(number, float) for term in parts for number in (term.scale, term.shift))  # none that is being traced
    return plain and parts == logistic_link().terms


def _logistic_floor(comparisons: Comparisons) -> Float[Array, " prompts"] | None:
    if isinstance(comparisons, ProductPopulation):
        if comparisons.scores is not None:
            return comparisons.mean_link(logistic_link(), comparisons.scores, comparisons.scores)
        comparisons = comparisons.written_out() if comparisons.is_small else comparisons
    return dpo_floor(comparisons.ordered) if isinstance(comparisons, Population) else None
