"""The part of A8 that puts the sum over tokens outside the sigmoid: the optimum stays only if every token has labels of its own.

Four sequences of two tokens and a uniform reference.  DPO's margin is the sum of the tokens' log-ratios, ADPO's loss a sum of
one logistic for each (2602.09533).  If token i is labelled by ``P_i = σ(β[h*_i(w) - h*_i(l)])`` every term is stationary at
π*; one Bradley-Terry label of the whole sequence for all of them asks of each token what only their sum can meet, and the
minimum moves (derived, F10).  With it the chance that the first token is 0 goes from .766 to .683: three digits are given.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float

from didsim import objectives
from didsim.figures.verdicts import Verdict, below, by_dtype, must_break
from didsim.numerics import simplex
from didsim.numerics.sequences import SequenceSpace
from didsim.numerics.traces import jit
from didsim.objectives.tokenwise import token_log_ratios
from didsim.samplers import Uniform
from didsim.worlds import Problem, problem
from didsim.worlds.preferences import BradleyTerry

SPACE = SequenceSpace(2, 2)
REWARD = 1.5 * np.array([1.2, -0.3, 0.4, -1.0])
BETA = 1.0
STATED = 0.683  # π(first = 0) where ADPO ends under one label a sequence
RATE, STEPS = 4.0, 600
LOSSES = ("dpo", "adpo, sequence labels", "adpo, token labels")


def segments() -> dict:
    """π(first = 0) of gradient descent on DPO, and on ADPO with labels of whole sequences and of tokens, by step."""
    world = problem(jnp.zeros(SPACE.n) - jnp.log(float(SPACE.n)), reward=jnp.asarray(REWARD), beta=BETA)
    paths = {name: np.asarray(_descended(loss, world.log_ref[0])) for name, loss in _losses(world).items()}
    first = {name: np.exp(path)[:, : SPACE.n // 2].sum(-1) for name, path in paths.items()}
    return {
        "first_zero": (("segment_loss", "segment_step"), np.stack([*first.values()]), {"units": "probability"}),
        "first_zero_target": float(np.exp(np.asarray(world.log_target))[0, : SPACE.n // 2].sum()),
    }


def segment_verdicts(data: xr.Dataset) -> list[Verdict]:
    """Token labels keep the optimum, sequence labels move it to the number that the four rewards imply."""
    end, target, exact = data["first_zero"].isel(segment_step=-1), data["first_zero_target"], by_dtype(1e-10, 1e-5)
    whole = end.sel(segment_loss="adpo, sequence labels")
    return [
        below("dpo ends at π*: |Δ π(first = 0)|", abs(end.sel(segment_loss="dpo") - target), exact),
        below(
            "adpo, token labels, ends at π*: |Δ π(first = 0)|", abs(end.sel(segment_loss="adpo, token labels") - target), exact
        ),
        below("adpo, sequence labels, ends at π(first = 0) = .683: |difference|", abs(whole - STATED), 5e-4),
        must_break("adpo, sequence labels, ends at π*: |Δ π(first = 0)|", abs(whole - target), 1e-2),
    ]


def _losses(world: Problem) -> dict[str, Callable[[Array], Array]]:
    """The three losses as functions of log π, on uniform pairs, in the order of `LOSSES`."""
    pairs = objectives.population(world, Uniform(), BradleyTerry(), world.log_ref)
    token_wise = objectives.Adpo(BETA, SPACE.vocabulary, SPACE.length)
    own = BETA * token_log_ratios(SPACE, world.log_target[0], world.log_ref[0])
    win = BradleyTerry().matrix(own.T)

    def by_token(log_policy: Float[Array, "prompts n"]) -> Array:
        rewards = token_wise.segment_rewards(objectives.responses(world, log_policy))[0].T
        margins = rewards[:, :, None] - rewards[:, None, :]
        return 2.0 * jnp.sum(jnp.mean(win * jax.nn.softplus(-margins), (1, 2)))

    return {
        LOSSES[0]: lambda log_policy: objectives.loss(objectives.Dpo(BETA), world, log_policy, pairs),
        LOSSES[1]: lambda log_policy: objectives.loss(token_wise, world, log_policy, pairs),
        LOSSES[2]: by_token,
    }


def _descended(loss: Callable[[Array], Array], log_ref: Float[Array, " n"]) -> Float[Array, "step n"]:
    """log π at every step of gradient descent on a table's logits, the first of them the reference."""
    slope = jax.grad(lambda logits: loss(simplex.normalize(logits)[None]))

    def step(logits: Array, _: None) -> tuple[Array, Array]:
        return logits - RATE * slope(logits), simplex.normalize(logits)

    return jit(lambda start: jax.lax.scan(step, start, None, length=STEPS + 1)[1])(log_ref)
