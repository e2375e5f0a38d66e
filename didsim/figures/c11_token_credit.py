"""C11: which token of a response gets the credit?  At the optimum, every token its advantage.

``β log(π*(y_t|s)/π_ref(y_t|s)) = V*(s, y_t) - V*(s)`` with ``V*(s) = β log E_{π_ref}[e^{r/β}|s]`` (2404.12358, F18): where
DPO ends, the log-ratio of a token is what it adds to the value of the prefix, and along a response the credits telescope to
``r - V*(start)`` (derived).  A policy on its way there has no such credits, nor does a reward spread evenly over the tokens.
"""

from typing import ClassVar

import jax
import numpy as np
import xarray as xr
from pydantic import Field

from didsim.figures.settings import Positive, Seed, Share, config
from didsim.figures.verdicts import Verdict, below, by_dtype, must_break
from didsim.landscape import state_values
from didsim.landscape.solvers import solve
from didsim.numerics import simplex
from didsim.numerics.sequences import SequenceSpace
from didsim.objectives import Dpo
from didsim.objectives.tokenwise import token_log_ratios
from didsim.samplers import Uniform
from didsim.worlds import RandomSequences
from didsim.worlds.preferences import BradleyTerry


@config
class Config:
    """Numbers of C11; the configuration is this project's own.  ``way`` is how far the control's policy has come."""

    FAST: ClassVar[dict] = {}  # quick as it is

    vocabulary: int = Field(3, ge=2, le=6)
    length: int = Field(3, ge=2, le=5)
    beta: Positive = 0.5
    way: Share = 0.5
    seed: Seed = 0

    def __post_init__(self) -> None:
        if self.vocabulary**self.length > 512:
            raise ValueError("vocabulary and length must leave at most 512 responses")


def run(settings: Config) -> xr.Dataset:
    """Credits of every token at DPO's end and half-way, and values of all prefixes summed anew, response by response."""
    space = SequenceSpace(settings.vocabulary, settings.length)
    world = RandomSequences(space, beta=settings.beta).draw(jax.random.key(settings.seed))
    end = solve(world, Dpo(settings.beta), Uniform(), BradleyTerry()).log_policy[0]
    early = simplex.geodesic(world.log_ref[0], end, settings.way)
    credit, credit_early = (
        settings.beta * np.asarray(token_log_ratios(space, law, world.log_ref[0]), float) for law in (end, early)
    )
    values = np.asarray(state_values(space, world.log_ref[0], world.reward[0], settings.beta), float)
    reward, mass = np.asarray(world.reward[0], float), np.exp(np.asarray(world.log_ref[0], float))
    tokens = np.asarray(space.tokens())
    summed = _values(tokens, mass, reward, settings.beta)
    return xr.Dataset(
        {
            "credit": (("response", "token"), credit),
            "credit_early": (("response", "token"), credit_early),
            "value": (("response", "moment"), np.concatenate([values, reward[:, None]], 1)),
            "value_summed": (("response", "moment"), summed),
            "reward": ("response", reward),
            "target": ("response", np.exp(np.asarray(world.log_target[0], float))),
            "letter": (("response", "token"), tokens),
        },
        attrs={"beta": settings.beta, "vocabulary": settings.vocabulary},
    )


def _values(tokens: np.ndarray, mass: np.ndarray, reward: np.ndarray, beta: float) -> np.ndarray:
    """``V*`` before every token and at the end, by going through all responses that share a prefix."""
    found = np.empty((len(tokens), tokens.shape[1] + 1))
    for row, response in enumerate(tokens):
        for depth in range(tokens.shape[1] + 1):
            same = (tokens[:, :depth] == response[:depth]).all(1)
            found[row, depth] = beta * np.log((mass[same] * np.exp(reward[same] / beta)).sum() / mass[same].sum())
    return found


def verdicts(data: xr.Dataset) -> list[Verdict]:
    """What must come out of C11."""
    exact = by_dtype(1e-10, 1e-3)  # a solved end; in float32 the solver's float64 answer is rounded
    gains = np.diff(data["value_summed"].values, axis=1)
    total = data["reward"].values - data["value_summed"].values[:, 0]
    even = np.broadcast_to(total[:, None] / gains.shape[1], gains.shape)
    return [
        below("values of prefixes, library - summed over responses",
              abs(data["value"] - data["value_summed"]), by_dtype(1e-12, 1e-5)),
        below("credit of every token - its advantage", abs(data["credit"].values - gains), exact),
        below("credits telescope to r - V*(start)", abs(data["credit"].values.sum(1) - total), exact),
        must_break("half-way policy's credits are advantages: largest difference",
                   abs(data["credit_early"].values - gains).max(), 1e-2),
        must_break("half-way policy's credits telescope: largest difference",
                   abs(data["credit_early"].values.sum(1) - total).max(), 1e-2),
        must_break("reward spread evenly is the credit: largest difference", abs(even - gains).max(), 1e-2),
    ]  # fmt: skip
