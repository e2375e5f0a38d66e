"""What should one watch while a policy trains?

Each metric is a number per run at one moment, averaged over the prompt law.  All are exact: every response is enumerated.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from didsim import did
from didsim.numerics import simplex
from didsim.objectives import Link, Objective, loss
from didsim.objectives.comparisons import ProductPopulation
from didsim.objectives.links import Term
from didsim.objectives.parts import Comparisons
from didsim.worlds import Problem

UNITS = {
    "loss": "nats",
    "jsd_target": "nats",
    "kl_target": "nats",
    "kl_ref": "nats",
    "entropy": "nats",
    "did_entropy": "nats",
    "value": "reward",
    "value_gap": "reward",
    "accuracy": "probability",
    "margin": "nats",
    "chosen_change": "nats",
    "rejected_change": "nats",
    "best_mass": "probability",
}

LONG_NAMES = {  # as axes of pictures have them; what follows the comma tells two of a kind apart
    "loss": "loss",
    "jsd_target": "JSD(π*‖π)",
    "kl_target": "KL(π*‖π)",
    "kl_ref": "KL(π‖π_ref)",
    "entropy": "entropy of π",
    "did_entropy": "entropy of the DID of π",
    "value": "reward less β KL(π‖π_ref)",
    "value_gap": "value gap β KL(π‖π*)",
    "accuracy": "preference accuracy",
    "margin": "mean log-ratio margin",
    "chosen_change": "change of log π, chosen",
    "rejected_change": "change of log π, rejected",
    "best_mass": "π of the best response",
}


def measure(
    problem: Problem, objective: Objective, log_policy: Float[Array, "prompts n"], comparisons: Comparisons
) -> dict[str, Float[Array, ""]]:
    """All metrics of a policy in a problem.

    ``jsd_target`` and ``kl_target`` are JSD(π*‖π) and KL(π*‖π); ``kl_ref`` is KL(π‖π_ref); ``value`` is
    ``E_π r - β KL(π‖π_ref)`` at the world's β and ``value_gap`` its distance below the optimum, ``β KL(π‖π*)``;
    ``accuracy`` is the chance that the chosen response has the larger log-ratio (ties count half), ``margin`` the mean
    log-ratio margin, ``chosen_change`` and ``rejected_change`` the mean change of log-likelihood since π_ref on chosen
    and rejected responses of the data, ``best_mass`` the probability of the response that π* likes best.
    """
    ratio = log_policy - problem.log_ref
    mean = _prompt_mean(problem)
    best = jnp.argmax(problem.log_target, -1, keepdims=True)
    cost = problem.beta * simplex.kl(log_policy, problem.log_ref)
    return {
        "loss": loss(objective, problem, log_policy, comparisons),
        "jsd_target": mean(simplex.jsd(problem.log_target, log_policy)),
        "kl_target": mean(simplex.kl(problem.log_target, log_policy)),
        "kl_ref": mean(simplex.kl(log_policy, problem.log_ref)),
        "entropy": mean(simplex.entropy(log_policy)),
        "did_entropy": mean(did.did_entropy(log_policy, problem.log_ref)),
        "value": mean(simplex.expectation(log_policy, problem.reward) - cost),
        "value_gap": mean(problem.beta * simplex.kl(log_policy, problem.log_target)),
        **_accuracy(problem, ratio, comparisons),
        "margin": mean(comparisons.mean_chosen(ratio) - comparisons.mean_rejected(ratio)),
        "chosen_change": mean(comparisons.mean_chosen(ratio)),
        "rejected_change": mean(comparisons.mean_rejected(ratio)),
        "best_mass": mean(jnp.exp(jnp.take_along_axis(log_policy, best, axis=-1)[:, 0])),
    }


def _accuracy(problem: Problem, ratio: Float[Array, "prompts n"], comparisons: Comparisons) -> dict[str, Float[Array, ""]]:
    """Chance that the chosen response has the larger log-ratio; left out for soft labels on very many responses.

    Margins within the rounding of the log-probabilities they are made of are ties, as all are at the reference.
    """
    if isinstance(comparisons, ProductPopulation) and not (comparisons.as_shown or comparisons.is_small):
        return {}
    tie = 16.0 * jnp.finfo(ratio.dtype).eps * (1.0 + jnp.max(jnp.abs(problem.log_ref)))
    steps = (Term("step", 0.5, 1, -tie), Term("step", 0.5, 1, tie))
    share = comparisons.mean_link(Link(lambda m: 0.5 * (1.0 + (m > tie) - (m < -tie)), steps), ratio, ratio)
    return {"accuracy": _prompt_mean(problem)(share)}


def _prompt_mean(problem: Problem):
    return lambda values: jnp.sum(jnp.exp(problem.log_prompts) * values)
