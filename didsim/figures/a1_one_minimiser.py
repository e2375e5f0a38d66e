"""The part of A1 that trains BPO's generators: all end at π*, and one number of each says how fast.

Near the optimum gradient descent of rate η takes every eigenvector of the Hessian by ``1 - ηλ`` a step.  The Hessian is
``β²`` times the Laplacian of ``(μ_ab + μ_ba) (1-P) [R h''(R) + h''(1/R)/R²]``, ``R = (1-P)/P``, with h the generator (derived
for 2505.19601, F8), so the last rate is ``1 - ηλ₂``, another one for each.  Uniform pairs give KLIEP one eigenvalue for all:
its weight is 1 for every pair.  What this leaves out are squares: a margin off by e bends its pair's pull by
``½e |ℓ'''/ℓ''|``, the ratio at most 3 for all four, and a margin is off by twice the error at most, so that e-folds counted
between ``e_1`` and ``e_2`` err by ``3(e_1 - e_2)/log(e_1/e_2)``, 0.4 % here; up to 2 % is left to single precision.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
import xarray as xr

from didsim import landscape, objectives
from didsim.dynamics import Run, Sgd
from didsim.figures.verdicts import Verdict, below, by_dtype, must_break
from didsim.numerics import simplex
from didsim.objectives import Dpo
from didsim.samplers import Uniform
from didsim.sweeps import drawn_worlds, sweep
from didsim.worlds import Problem, RandomReward
from didsim.worlds.preferences import BradleyTerry

GENERATORS: dict[str, type] = {
    "bpo[logistic]": objectives.BpoLogistic,
    "bpo[kliep]": objectives.BpoKliep,
    "bpo[basu]": objectives.BpoBasu,
    "bpo[lsif]": objectives.BpoLsif,
}
N, REFERENCE_SCALE, REWARD_SCALE = 8, 1.0, 0.5
LOCAL, ROUNDED = 5e-3, 5e-5  # nats between which e-folds are counted: above, squares; below, rounding of single precision
FOLDS = 20.0  # of the slowest generator: e^-20 is 2e-9


def watch(problem: Problem, objective, log_policy, comparisons) -> dict:
    """Error of the implicit reward up to a constant, and distance to π*."""
    del comparisons
    error = objective.beta * simplex.clr(log_policy - problem.log_target)
    return {"error": error[0], "jsd": simplex.jsd(problem.log_target, log_policy)[0]}


def one_minimiser(settings: Any) -> dict:
    """Distance to π* of every generator against the step, at one rate, and as the Hessian's eigenvalues have it."""
    base = Run(
        RandomReward(N, 1, REFERENCE_SCALE, 0.0, REWARD_SCALE, settings.beta), Dpo(settings.beta), Uniform(), BradleyTerry()
    )
    reward = np.asarray(drawn_worlds(base, [settings.seed]).reward, float)[0]
    kinds = {name: kind(settings.beta) for name, kind in GENERATORS.items()}
    spectra = [np.linalg.eigh(_hessian(reward, one)) for one in kinds.values()]
    rate = 1.0 / max(values[-1] for values, _ in spectra)
    steps = int(np.ceil(FOLDS / (rate * min(values[1] for values, _ in spectra))))
    run = Run(
        base.world, base.objective, Uniform(), BradleyTerry(), optimiser=Sgd(rate), steps=steps, records=steps, metrics=watch
    )
    data = sweep(run, {"objective": kinds}, seeds=[settings.seed]).isel(seed=0)
    error, moments = data["error"].values.astype(float), data["step"].values
    kept = [_kept(one, moments, rate, *spectrum) for one, spectrum in zip(error, spectra, strict=True)]
    as_dpo = [_kept(one, moments, rate, *spectra[0]) for one in error]
    along = ("generator", "bpo_record")
    return {
        "bpo_error": (along, np.linalg.norm(error, axis=-1), {"units": "nats"}),
        "bpo_predicted": (along, np.stack(kept), {"units": "nats"}),
        "bpo_as_dpo": (along, np.stack(as_dpo), {"units": "nats"}),
        "bpo_jsd": ("generator", data["jsd"].values[:, -1], {"units": "nats"}),
        "bpo_last_rate": ("generator", np.array([1.0 - rate * values[1] for values, _ in spectra])),
        "bpo_step": ("bpo_record", moments),
    }


def one_minimiser_verdicts(data: xr.Dataset) -> list[Verdict]:
    """Same end, other speed."""
    others = data.sel(generator=[name for name in GENERATORS if name != "bpo[logistic]"])
    return [
        below("every generator of BPO reaches π*: JSD(π*, π_θ)", data["bpo_jsd"], by_dtype(1e-10, 1e-7)),
        below("BPO: e-folds of the error ÷ the Hessian's: |ratio - 1|", _off(data, "bpo_predicted"), 0.02),
        must_break("BPO: e-folds of the error ÷ those of DPO's weights: |ratio - 1|", _off(others, "bpo_as_dpo"), 0.02),
    ]


def _hessian(reward: np.ndarray, objective: Any) -> np.ndarray:
    """``β²`` times the Laplacian of uniform pairs, each with the weight that the objective's generator gives it."""
    win = 1.0 / (1.0 + np.exp(reward[None, :] - reward[:, None]))
    ratio = (1.0 - win) / win
    weight = (1.0 - win) * (ratio * objective.curvature(ratio) + objective.curvature(1.0 / ratio) / ratio**2)
    both = 2.0 / reward.size**2 * (1.0 - np.eye(reward.size))
    return objective.beta**2 * np.asarray(landscape.laplacian(jnp.asarray(both * weight)), float)


def _kept(error: np.ndarray, moments: np.ndarray, rate: float, values: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Size of the error at every moment since it is ``LOCAL``, each eigenvector on its own; NaN before."""
    start = _first_below(np.linalg.norm(error, axis=-1), LOCAL)
    since = np.maximum(moments - moments[start], 0)[:, None]
    left = np.linalg.norm((1.0 - rate * values) ** since * (error[start] @ vectors), axis=-1)
    return np.where(moments >= moments[start], left, np.nan)


def _first_below(size: np.ndarray, bound: float) -> int:
    return int(np.argmax(size < bound))


def _off(data: xr.Dataset, name: str) -> np.ndarray:
    """Relative error of the e-folds predicted between ``LOCAL`` and ``ROUNDED``."""
    found = []
    for one in data["generator"].values:
        size, predicted = (data[which].sel(generator=one).values for which in ("bpo_error", name))
        start, stop = _first_below(size, LOCAL), _first_below(size, ROUNDED)
        found.append(np.log(size[start] / size[stop]) / np.log(predicted[start] / predicted[stop]) - 1.0)
    return np.abs(found)
