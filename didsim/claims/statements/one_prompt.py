"""How do claims about one prompt call the library, which works on many?"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from didsim import objectives, samplers, worlds
from didsim.numerics import simplex
from didsim.objectives import Objective
from didsim.samplers import Sampler
from didsim.worlds import Problem, preferences
from didsim.worlds.preferences import Labels


def world(ref: Array, beta: Array, *, reward: Array | None = None, target: Array | None = None, **laws: Array) -> Problem:
    """A problem with one prompt from logits; the reference is normalised here."""
    laws = {name: simplex.normalize(value) for name, value in laws.items()}
    log_target = None if target is None else simplex.normalize(target)
    return worlds.problem(simplex.normalize(ref), reward=reward, log_target=log_target, beta=beta, **laws)


def shown(joint: Float[Array, "n n"]) -> samplers.Joint:
    """Sampler that shows pairs by a table of logits."""
    return samplers.Joint(jnp.asarray(joint - jax.nn.logsumexp(joint)))


def labelled(odds: Float[Array, "n n"]) -> preferences.PreferenceMatrix:
    """Labels with given antisymmetric log-odds."""
    return preferences.PreferenceMatrix(jax.nn.sigmoid(odds))


def population_loss(
    objective: Objective, problem: Problem, sampler: Sampler, labels: Labels, logits: Float[Array, " n"]
) -> Array:
    """Population loss of one prompt in a table's logits; the pair law does not move with them."""
    log_policy = simplex.normalize(logits)[None]
    pairs = objectives.population(problem, sampler, labels, jax.lax.stop_gradient(log_policy))
    return objectives.loss(objective, problem, log_policy, pairs)


def slope(objective: Objective, problem: Problem, sampler: Sampler, labels: Labels, logits: Float[Array, " n"]) -> Array:
    """Gradient of the population loss in a table's logits."""
    return jax.grad(lambda x: population_loss(objective, problem, sampler, labels, x))(logits)


def drawn_apart() -> tuple[Sampler, Labels]:
    """Independent chosen and rejected draws, shown in that order."""
    return samplers.ChosenRejected(), preferences.AsShown()
