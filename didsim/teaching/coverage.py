"""What does data leave open?  Exercises of notebook 04."""

import jax.numpy as jnp

from didsim import landscape
from didsim.numerics import simplex
from didsim.teaching.exercise import Exercise, Slip

REFERENCE, REWARD, SHOWN = (0.4, 0.3, 0.2, 0.1), (0.0, 1.0, 2.0, 3.0), (True, True, True, False)
GROUPS = (0, 0, 1, 1, 2, 3)


def _unseen():
    ref, reward = jnp.log(jnp.asarray(REFERENCE)), jnp.asarray(REWARD)
    label = jnp.where(jnp.asarray(SHOWN), 0, jnp.arange(4))
    return jnp.exp(landscape.descent_limit(ref, reward, label, 1.0))[-1]


def _target():
    return jnp.exp(simplex.tilt(jnp.log(jnp.asarray(REFERENCE)), jnp.asarray(REWARD)))[-1]


def _weighted():
    """The unseen mass if the mean reward were weighted by the reference."""
    ref, reward = jnp.asarray(REFERENCE), jnp.asarray(REWARD)
    mean = jnp.sum((ref * reward)[:3]) / jnp.sum(ref[:3])
    weights = ref * jnp.where(jnp.asarray(SHOWN), jnp.exp(reward - mean), 1.0)
    return weights[-1] / weights.sum()


def _components() -> int:
    label = jnp.asarray(GROUPS)
    return int(landscape.component_count(landscape.components(label[:, None] == label[None, :])))


EXERCISES = (
    Exercise(
        id="04.a",
        question=(
            "π_ref = (0.4, 0.3, 0.2, 0.1), rewards (0, 1, 2, 3), β = 1. The sampler shows all pairs of the first three responses "
            "and never the fourth. Which probability has the fourth when gradient descent on DPO has converged? To two digits."
        ),
        answer=_unseen,
        hint="Descent keeps the sum of the logits of the three; the fourth keeps its own. Normalise at the end (S2).",
        slips=(
            Slip(lambda: REFERENCE[-1], "Its logit stays, but the other three move, and with them the normaliser."),
            Slip(_target, "That is its mass under π*, which no pair has told anybody."),
            Slip(_weighted, "The mean reward in S2 is unweighted; you weighted it by π_ref."),
        ),
    ),
    Exercise(
        id="04.b",
        question=(
            "Six responses; the sampler shows the pair of the first two and the pair of the next two, and never the other "
            "two. How many further kinds of pairs must it show, at the least, to determine the policy?"
        ),
        answer=lambda: _components() - 1,
        hint="Draw the comparison graph and count its components.",
        slips=(Slip(_components, "That is the number of components. What joins two of them?"),),
        within=0.1,
    ),
)
