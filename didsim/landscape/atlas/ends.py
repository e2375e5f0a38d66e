"""Where do many small population losses end, one objective in many worlds at once?

`didsim.solve` compiles the whole iteration for every objective.  Here only the objective itself is compiled, as one program
that expands a batch of worlds to second order in the log-probabilities; the iteration, the pseudo-inverse and the chain rule
through the policy are NumPy on small matrices.  So a row of the atlas costs one short compilation, and takes objectives that
are no mean over pairs, policies of few parameters, and objectives with a part under a stop-gradient, whose end is the point
at which their own gradient vanishes.
"""

from dataclasses import dataclass, replace

import jax
import numpy as np

from didsim.landscape.atlas.departures import Case
from didsim.landscape.atlas.expansions import EPS, VANISHED, Given, Laws, Local, local
from didsim.landscape.atlas.newton import direction_of, through_widths
from didsim.landscape.solvers import Status
from didsim.objectives import Objective

FAR = 1e4, 1e5  # nats
SURE = 1e-6  # gradient relative to its curvature above which an iteration that rests is at no minimum


@dataclass(frozen=True)
class Ends:
    """Where each cell ends, with the evidence; leading axis cells.

    Attributes:
        log_policy: log-law at the end, shape (cells, n).
        params: parameters there, padded with zeros.
        value: loss there, nats.
        residual: largest entry of the gradient in the parameters, relative to its own curvature; where some responses lose
            all their mass, its absolute size.
        status: a `Status`.
        agreeing: how many starts ended at this loss.
    """

    log_policy: np.ndarray
    params: np.ndarray
    value: np.ndarray
    residual: np.ndarray
    status: np.ndarray
    agreeing: np.ndarray


def solve_cells(objective: Objective, cases: Case, laws: Laws, *, starts: int, steps: int = 60, seed: int = 0) -> Ends:
    """Ends of one objective in many worlds, each the best of several starts; the first start is where training starts.

    Args:
        objective: its numbers stacked, one per cell.
        cases: worlds with their pairs, stacked, one prompt each.
        laws: what the learner can say in each.
        starts: number of starts; those after the first have normal noise on all parameters.
        steps: most Newton steps at each rounding of the kinks.
        seed: of the noise.

    Returns:
        `Ends`; where the minimum is a set, the point of it that differs from the start in no direction that is open (S2).
    """
    noise = np.random.default_rng(seed).normal(size=(starts, laws.width))
    noise[0] = 0.0
    given = Given(objective, cases)
    found = [_judged(*through_widths(given, laws, laws.start + one, steps), laws, laws.start + one) for one in noise]
    # The best of them; among equals the first, which is the one that training would find.
    values = np.stack([np.where(np.isfinite(one.value), one.value, np.inf) for one in found])
    unit = 1.0 + np.abs(values.min(0))
    best = np.argmax(values <= values.min(0) + 64.0 * EPS * unit, axis=0)
    agreeing = np.sum(values <= values.min(0) + np.sqrt(EPS) * unit, axis=0)
    fields = {name: np.stack([getattr(one, name) for one in found])[best, np.arange(best.size)] for name in vars(found[0])}
    return Ends(**{**fields, "agreeing": agreeing})


def gradient_at(objective: Objective, cases: Case, laws: Laws, params: np.ndarray) -> np.ndarray:
    """Gradient of every cell's loss in the parameters, shape (cells, width)."""
    return local(Given(objective, cases), laws, np.arange(len(params)), params).gradient


def step_against(objective: Objective, cases: Case, laws: Laws, params: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """``-H⁺ v`` with the Hessian of every cell at its parameters."""
    here = local(Given(objective, cases), laws, np.arange(len(params)), params)
    return direction_of(here._replace(gradient=gradient), signed=True)[0]


def with_rewards(cases: Case, rewards: np.ndarray) -> Case:
    """The same cells with other rewards shown, shape (cells, 1, n)."""
    return jax.vmap(lambda case, shown: replace(case, problem=replace(case.problem, reward=shown)))(cases, rewards)


def reads_reward(objective: Objective, cases: Case) -> bool:
    """Whether the loss of any cell changes with the reward that the objective is shown."""
    cells, law = np.arange(len(cases.beta)), np.asarray(cases.problem.log_ref)[:, 0]
    other = with_rewards(cases, np.asarray(cases.problem.reward) + np.cos(np.arange(law.shape[-1])))
    values = [Given(objective, one).expand(cells, law, law) for one in (cases, other)]
    return any(bool(np.any(np.nan_to_num(one) != np.nan_to_num(two))) for one, two in zip(*values, strict=True))


def _judged(given: Given, params: np.ndarray, laws: Laws, start: np.ndarray) -> Ends:
    """The end with the evidence of its being one; in open directions it goes back to where the start was."""
    cells = np.arange(len(params))
    here = local(given, laws, cells, params)
    direction, null = direction_of(here)
    # An open direction is one that changes the law and not the loss.
    seen = np.linalg.norm(np.einsum("cyp,cpk->cyk", here.jacobian, null), axis=1)
    is_open = (seen > 1e-9 * np.maximum(np.linalg.norm(null, axis=1), 1.0)).any(1)
    escaped = here.law.min(1) < VANISHED
    step, absolute = np.max(np.abs(direction), -1), np.max(np.abs(here.gradient), -1)
    diagonal = np.abs(np.diagonal(here.hessian, axis1=1, axis2=2))
    # Where there is no curvature at all the direction is open, and the gradient counts as it is.
    relative = np.max(np.abs(here.gradient) / np.where(diagonal > 0, diagonal, 1.0), -1)
    still = (step <= 1e-7) & (relative <= SURE) & np.logical_not(escaped)
    known = [~np.isfinite(here.value), still & is_open, still, escaped & (absolute <= 1e-9)]
    kinds = [Status.NOT_FINITE, Status.NOT_UNIQUE, Status.CONVERGED, Status.UNBOUNDED]
    status = np.select(known, kinds, Status.STALLED)
    status, falls = _without_floor(given, laws, start, params, status)
    residual = np.where(status == Status.UNBOUNDED, np.where(falls < 0, 0.0, absolute), relative)
    params, law = _settled(given, laws, start, params, here, null, np.equal(status, int(Status.NOT_UNIQUE)))
    return Ends(law, params, here.value, residual, status, np.zeros(len(params), int))


def _without_floor(given: Given, laws: Laws, start: np.ndarray, params: np.ndarray, status: np.ndarray):
    """Statuses where iterations that came far are told from those whose loss has no floor, and the slopes that prove it.

    Far out along the way that an iteration took, margins of pairs are so large that links are straight lines; a loss that
    falls there by the same slope at two places, ten times apart, falls for ever.
    """
    way = params - start
    way /= np.maximum(np.linalg.norm(way, axis=-1, keepdims=True), 1e-300)
    cells = np.flatnonzero(status == Status.STALLED)
    slopes = np.zeros((2, len(params)))
    for place, far in zip(slopes, FAR, strict=True):
        if cells.size:
            law, jacobian = laws.at(cells, params[cells] + far * way[cells])
            with np.errstate(all="ignore"):
                place[cells] = np.einsum("cp,cyp,cy->c", way[cells], jacobian, given.expand(cells, law, law).slope)
    found = (slopes[0] < -1e-6) & (np.abs(slopes[1] - slopes[0]) <= 1e-9 * np.abs(slopes[0]))
    return np.where(found, int(Status.UNBOUNDED), status), np.where(found, slopes[0], 0.0)


def _settled(given: Given, laws: Laws, start, params, here: Local, null: np.ndarray, where: np.ndarray):
    """The point of a set of minima that differs from the start in no open direction, where that costs nothing."""
    if not where.any():
        return params, here.law
    vectors, sizes, _ = np.linalg.svd(null, full_matrices=False)
    keep = sizes > 1e-12 * np.maximum(sizes[:, :1], np.finfo(float).tiny)
    drift = np.einsum("cpk,cp->ck", vectors, params - start)
    back = params - np.einsum("cpk,ck->cp", vectors, np.where(keep & where[:, None], drift, 0.0))
    cells = np.arange(len(params))
    law, _ = laws.at(cells, back)
    value = given.expand(cells, law, here.law).value
    free = where & (value <= here.value + 64.0 * EPS * (1.0 + np.abs(here.value)))
    return np.where(free[:, None], back, params), np.where(free[:, None], law, here.law)
