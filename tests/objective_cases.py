"""Every objective with numbers away from its defaults, and one compiled value and gradient for all tests of objectives."""

import jax
import jax.numpy as jnp

from didsim import simplex
from didsim.objectives import OBJECTIVES, loss

# So that every number of every formula is seen.
NUMBERS = {
    "dpo": {"beta": 0.4},
    "cdpo": {"beta": 0.6, "smoothing": 0.2},
    "ipo[sum]": {"beta": 0.3},
    "hinge": {"beta": 0.5},
    "slic": {"margin": 0.8, "nll_weight": 0.3},
    "simpo": {"beta": 1.7, "gamma": 0.4, "smoothing": 0.15},
    "cpo": {"beta": 0.9, "nll_weight": 0.6, "smoothing": 0.1},
    "orpo": {"odds_weight": 0.7},
    "dpop": {"beta": 0.5, "penalty": 3.0},
    "kto": {"beta": 0.8, "desirable": 1.3, "undesirable": 0.7},
    "exo_pair": {"beta": 0.9, "smoothing": 0.05},
    "sft": {},
    "sft[token_mean]": {},
    "cpo[token_mean]": {"beta": 0.9, "nll_weight": 0.6, "smoothing": 0.1},
    "cpo-simpo": {"beta": 1.7, "gamma": 0.4, "nll_weight": 0.1, "smoothing": 0.15},
    "orpo[prompt]": {"odds_weight": 0.7},
    "kto[example_mean]": {"beta": 0.8, "desirable": 1.3, "undesirable": 0.7},
    "apo_zero[example_mean]": {"beta": 0.8, "desirable": 1.3, "undesirable": 0.7},
    "f-dpo[alpha_authors]": {"beta": 0.6, "alpha": 0.4},
    "rlhf": {"beta": 0.6},
    "robust": {"beta": 0.6, "smoothing": 0.2},
    "dpo_norm": {"beta": 1.3},
    "r-dpo": {"beta": 0.5, "length_weight": 0.2},
    "odpo[gap]": {"beta": 0.5, "offset": 0.4},
    "exo_pair[clamped]": {"beta": 0.9, "smoothing": 0.05},
    "discopop": {"beta": 0.4, "temperature": 0.3},
    "f-dpo[forward_kl]": {"beta": 0.2},
    "f-dpo[js]": {"beta": 0.7},
    "f-dpo[alpha]": {"beta": 0.6, "alpha": 0.4},
    "chi-po": {"beta": 0.5, "reward_bound": 0.6},
    "ipo[token_mean]": {"beta": 0.3},
    "ipo[reference_free]": {"beta": 0.4},
    "ipo[margin]": {"beta": 0.8},
    "rebel": {"eta": 0.7},
    "sppo_hard": {"beta": 0.4},
    "sppo": {"eta": 1.7},
    "simpo[gamma_ratio]": {"beta": 1.7, "gamma_ratio": 0.3, "smoothing": 0.15},
    "hinge[reference_free]": {"beta": 0.5},
    "alphapo": {"beta": 1.2, "alpha": 0.6, "gamma": 0.3, "smoothing": 0.15},
    "orpo[sum]": {"odds_weight": 0.7},
    "nca_pair": {"beta": 0.8},
    "bco[none]": {"beta": 0.8},
    "bco[batch]": {"beta": 0.8},
    "bco[running]": {"beta": 0.8, "delta": -0.4},
    "apo_zero": {"beta": 0.8},
    "apo_down": {"beta": 0.8},
    "sft[best_of_k]": {"draws": 3},
    "bpo[logistic]": {"beta": 0.5},
    "bpo[kliep]": {"beta": 0.5},
    "bpo[lsif]": {"beta": 0.5},
    "bpo[basu]": {"beta": 0.5, "power": 0.7},
    "squaredpo": {"beta": 0.8},
}


def make(name, **changed):
    return OBJECTIVES[name](**{**NUMBERS[name], **changed})


def value_at(objective, logits, comparisons, world):
    return loss(objective, world, simplex.normalize(logits), comparisons)


both = jax.jit(jax.value_and_grad(value_at, argnums=1))


def with_slopes(function, *at):
    """Values of a function and the slopes of their sum in each argument."""
    values, back = jax.vjp(function, *at)
    return values, back(jnp.ones_like(values))
