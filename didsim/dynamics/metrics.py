"""What should one watch while a policy trains?

Each metric is a number per run at one moment, averaged over the prompt law.  All are exact: every response is enumerated.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from didsim import did
from didsim.landscape.floors import loss_floor
from didsim.numerics import simplex
from didsim.numerics.pair_sums import kernel_sum
from didsim.objectives import Link, Objective, loss
from didsim.objectives.comparisons import Population, ProductPopulation
from didsim.objectives.links import Term
from didsim.objectives.parts import Comparisons
from didsim.worlds import Problem

UNITS = {
    "loss": "nats",
    "floor": "nats",
    "excess": "nats",
    "jsd_target": "nats",
    "kl_target": "nats",
    "kl_ref": "nats",
    "entropy": "nats",
    "did_entropy": "nats",
    "value": "reward",
    "value_gap": "reward",
    "misfit": "nats",
    "gamma": "1",
    "accuracy": "probability",
    "ranking_accuracy": "probability",
    "ranking_accuracy_target": "probability",
    "exploitability": "probability",
    "margin": "nats",
    "chosen_change": "nats",
    "rejected_change": "nats",
    "best_mass": "probability",
}

LONG_NAMES = {  # as axes of pictures have them; what follows the comma tells two of a kind apart
    "loss": "loss",
    "floor": "floor of the loss",
    "excess": "loss above its floor",
    "jsd_target": "JSD(π*‖π)",
    "kl_target": "KL(π*‖π)",
    "kl_ref": "KL(π‖π_ref)",
    "entropy": "entropy of π",
    "did_entropy": "entropy of the DID of π",
    "value": "reward less β KL(π‖π_ref)",
    "value_gap": "value gap β KL(π‖π*)",
    "misfit": "J, KL(π‖π_ref) off the power law",
    "gamma": "γ*, strength along log(π_w/π_l)",
    "accuracy": "preference accuracy",
    "ranking_accuracy": "ranking accuracy",
    "ranking_accuracy_target": "ranking accuracy, of π*",
    "exploitability": "gain of the best reply",
    "margin": "mean log-ratio margin",
    "chosen_change": "change of log π, chosen",
    "rejected_change": "change of log π, rejected",
    "best_mass": "π of the best response",
}


def measure(
    problem: Problem, objective: Objective, log_policy: Float[Array, "prompts n"], comparisons: Comparisons
) -> dict[str, Float[Array, ""]]:
    """All metrics of a policy in a problem.

    ``floor`` is the number below which no policy's loss falls on these data, ``excess`` what the loss lacks to it, NaN
    where no floor is known (`landscape.loss_floor`, F1); ``misfit`` is J, the part of KL(π‖π_ref) that the direction
    ``log(π_w/π_l)`` does not explain, and ``gamma`` the strength γ* along it, 1/β at DPO's end (F2). ``jsd_target`` and
    ``kl_target`` are JSD(π*‖π) and KL(π*‖π); ``kl_ref`` is KL(π‖π_ref); ``value`` is ``E_π r - β KL(π‖π_ref)`` at the
    world's β and ``value_gap`` its distance below the optimum, ``β KL(π‖π*)``; ``accuracy`` is the chance that the chosen
    response has the larger log-ratio (ties count half), ``ranking_accuracy`` that it is the likelier one,
    ``ranking_accuracy_target`` the same of π*, which need not be 1 (F3); ``exploitability`` is the gain ``max_a (Pπ)_a -
    ½`` of the best reply, P the chance of either response of a pair shown to be the chosen one, ½ for pairs that are not
    shown (F16); ``margin`` is the mean log-ratio margin, ``chosen_change`` and ``rejected_change`` the mean change of
    log-likelihood since π_ref on chosen and rejected responses of the data, ``best_mass`` the probability of the response
    that π* likes best.
    """
    ratio = log_policy - problem.log_ref
    mean = _prompt_mean(problem)
    best = jnp.argmax(problem.log_target, -1, keepdims=True)
    cost = problem.beta * simplex.kl(log_policy, problem.log_ref)
    explained = did.power_law_misfit(log_policy, problem.log_ref, problem.log_chosen, problem.log_rejected)
    return {
        **_losses(problem, objective, log_policy, comparisons),
        "jsd_target": mean(simplex.jsd(problem.log_target, log_policy)),
        "kl_target": mean(simplex.kl(problem.log_target, log_policy)),
        "kl_ref": mean(simplex.kl(log_policy, problem.log_ref)),
        "entropy": mean(simplex.entropy(log_policy)),
        "did_entropy": mean(did.did_entropy(log_policy, problem.log_ref)),
        "value": mean(simplex.expectation(log_policy, problem.reward) - cost),
        "value_gap": mean(problem.beta * simplex.kl(log_policy, problem.log_target)),
        "misfit": mean(explained.misfit),
        "gamma": mean(explained.gamma),
        **_accuracies(problem, log_policy, comparisons),
        "margin": mean(comparisons.mean_chosen(ratio) - comparisons.mean_rejected(ratio)),
        "chosen_change": mean(comparisons.mean_chosen(ratio)),
        "rejected_change": mean(comparisons.mean_rejected(ratio)),
        "best_mass": mean(jnp.exp(jnp.take_along_axis(log_policy, best, axis=-1)[:, 0])),
    }


def _losses(
    problem: Problem, objective: Objective, log_policy: Float[Array, "prompts n"], comparisons: Comparisons
) -> dict[str, Float[Array, ""]]:
    value = loss(objective, problem, log_policy, comparisons)
    known = loss_floor(objective, comparisons, log_policy.shape[-1])
    floor = jnp.full_like(value, jnp.nan) if known is None else _prompt_mean(problem)(known)
    return {"loss": value, "floor": floor, "excess": value - floor}


def _accuracies(problem: Problem, log_policy: Float[Array, "prompts n"], comparisons: Comparisons) -> dict[str, Float[Array, ""]]:
    """What needs pairs one by one: whether the chosen response is ahead, and how the policy fares in the labels' game.

    Left out for soft labels on very many responses.
    """
    if isinstance(comparisons, ProductPopulation) and not (comparisons.as_shown or comparisons.is_small):
        return {}
    mean = _prompt_mean(problem)
    ahead = {
        "accuracy": log_policy - problem.log_ref,
        "ranking_accuracy": log_policy,
        "ranking_accuracy_target": problem.log_target,
    }
    shares = {name: mean(_share_ahead(problem, values, comparisons)) for name, values in ahead.items()}
    wins = _win_rates(log_policy, comparisons)
    return shares if wins is None else shares | {"exploitability": mean(jnp.max(wins, -1) - 0.5)}


def _share_ahead(problem: Problem, values: Float[Array, "prompts n"], comparisons: Comparisons) -> Float[Array, " prompts"]:
    """Chance that the chosen response has the larger value.

    Margins within the rounding of the log-probabilities they are made of are ties, as all are at the reference.
    """
    tie = 16.0 * jnp.finfo(values.dtype).eps * (1.0 + jnp.max(jnp.abs(problem.log_ref)))
    steps = (Term("step", 0.5, 1, -tie), Term("step", 0.5, 1, tie))
    return comparisons.mean_link(Link(lambda m: 0.5 * (1.0 + (m > tie) - (m < -tie)), steps), values, values)


def _win_rates(log_policy: Float[Array, "prompts n"], comparisons: Comparisons) -> Float[Array, "prompts n"] | None:
    """``(Pπ)_a`` with ``P_ab = ν_ab/(ν_ab + ν_ba)``; None where pairs are neither written out nor explained by scores."""
    mass = jnp.exp(log_policy)
    if isinstance(comparisons, ProductPopulation):
        if comparisons.scores is not None:
            return kernel_sum("sigmoid", comparisons.scores, comparisons.scores, mass)
        comparisons = comparisons.written_out() if comparisons.is_small else comparisons
    if not isinstance(comparisons, Population):
        return None
    both = comparisons.ordered + jnp.swapaxes(comparisons.ordered, -1, -2)
    chance = jnp.where(both > 0, comparisons.ordered / jnp.where(both > 0, both, 1.0), 0.5)
    return jnp.einsum("pab,pb->pa", chance, mass)


def _prompt_mean(problem: Problem):
    return lambda values: jnp.sum(jnp.exp(problem.log_prompts) * values)
