"""Which losses are convex, and is their expansion to second order the traced one?"""

import functools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from contracts import assert_close
from loss_cases import NAMES, case_of, value_and_gradient
from objective_cases import make, value_at
from problem_cases import SHARES, N, P, given
from sampling import picked, sampled
from tolerance import tolerance

from didsim import simplex
from didsim.objectives.comparisons import Population, prompt_losses, view
from didsim.objectives.curvature import expand


@jax.jit
def expanded(objective, logits, comparisons, world):
    return expand(objective, view(objective, world, simplex.normalize(logits), comparisons), comparisons)


@jax.jit
def traced_hessian(objective, logits, comparisons):
    def losses(free):
        return prompt_losses(objective, view(objective, given().problem, simplex.normalize(free), comparisons), comparisons).sum()

    blocks = jax.hessian(losses)(logits)
    return jnp.stack([blocks[x, :, x] for x in range(P)])


# The parts that an expansion is made of: pairs alike or not in both rewards, terms of one response, of a law, none of a pair.
EXPANDED = ["dpo", "exo_pair", "orpo", "kto", "dpop", "rlhf"]


@pytest.mark.parametrize("name", picked(NAMES, EXPANDED))
def test_expansion_is_the_traced_one(name):
    for case in ("joint flipped", "blocks"):
        for objective in (make(name), make(name).smoothed(0.3)):
            got = expanded(objective, given().logits, case_of(case).population, given().problem)
            value, slope = value_and_gradient(objective, given().logits, case_of(case).population)
            assert_close(SHARES @ got.value, value)
            assert_close(SHARES[:, None] * got.gradient, slope)
            hessian = traced_hessian(objective, given().logits, case_of(case).population)
            assert_close(got.hessian, hessian, atol=tolerance(condition=1 + np.abs(hessian).max()))


# A logit common to all responses moves no margin of these rewards, whatever a response's length or mass.
SAME_FOR_ALL = ["dpo", "cdpo", "robust", "r-dpo", "odpo[gap]", "hinge", "exo_pair", "exo_pair[clamped]", "discopop"]
SAME_FOR_ALL += ["ipo[sum]", "ipo[margin]", "rebel"]


@pytest.mark.parametrize("name", sampled(SAME_FOR_ALL, 3))
def test_unseen_responses_bend_nothing(name):
    """Rows of the Hessian and gradient are zero to the last bit, not to rounding, for a response that no pair shows."""
    got = expanded(make(name), given().logits, case_of("blocks").population, given().problem)
    assert not np.any(got.gradient[:, 4])
    assert not np.any(got.hessian[:, 4])
    assert np.all(got.gradient[:, :4] != 0)


@functools.cache
def moves():
    """Policies, moves away from them, and data, drawn at random."""
    rng = np.random.default_rng(11)
    rows = [
        (
            rng.dirichlet(np.full(N * N, 0.3), P).reshape(P, N, N),
            rng.uniform(0.1, 4.0) * rng.standard_normal((P, N)),
            0.3 * rng.standard_normal((P, N)),
        )
        for _ in range(200)
    ]
    law, here, move = map(np.array, zip(*rows, strict=True))
    return here, move, law


@jax.jit
def slopes(objective, logits, laws, world):
    return jax.vmap(lambda at, law: jax.grad(value_at, argnums=1)(objective, at, Population(law), world))(logits, laws)


def least_slope_rise(objective, world=None):
    """The smallest of ``⟨∇L(x) - ∇L(y), x - y⟩ / ‖x - y‖²`` over policies and data drawn at random: negative, not convex."""
    here, move, law = moves()
    start, end = (
        np.asarray(slopes(objective, at, law, given().problem if world is None else world)) for at in (here, here + move)
    )
    return (np.sum((end - start) * move, -1) / SHARES / np.sum(move**2, -1)).min()


@pytest.mark.parametrize("name", sampled(NAMES[::-1], 2))  # from the end, so that every family is there
def test_convex_exactly_where_the_flag_says(name):
    objective = make(name).smoothed(0.5)
    worst = least_slope_rise(objective)
    assert worst > -tolerance(condition=100.0) if objective.convex else worst < -1e-3
    if name in ("simpo", "simpo[gamma_ratio]", "dpo_norm", "ipo[token_mean]", "ipo[reference_free]"):
        # convex, but only where all lengths agree
        assert least_slope_rise(objective, replace(given().problem, lengths=jnp.ones((P, N)))) > -tolerance(condition=100.0)
