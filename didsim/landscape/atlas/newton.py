"""How are the minima of many cells found?  Newton's iteration on all at once, at each rounding of the kinks in turn."""

import numpy as np

from didsim.landscape.atlas.expansions import EPS, Given, Laws, Local, local

NARROWING, WIDTHS = 0.3, 14  # of the kinks' rounding: from 1 to 2e-7, where a margin's own rounding is 1e-9 of it
LONGEST = 10.0  # nats of a step
SHORTENINGS, SHORTER = 14, 0.3


def through_widths(given: Given, laws: Laws, start: np.ndarray, steps: int) -> tuple[Given, np.ndarray]:
    """Newton at each rounding of the kinks in turn, from where the last two ends point to.

    Returns:
        The loss at the narrowest rounding, and the parameters that it is least at.

    Margins at a kink shrink with its rounding while their weights stay, so that ends lie on a line towards the sharp one.
    """
    last = given.rounded(1.0)
    params = before = _newton(last, laws, start, steps)
    for width in NARROWING ** np.arange(1, WIDTHS if given.objective.kinked else 1):
        last = given.rounded(width)
        ahead = _lower(last, laws, params, params + NARROWING * (params - before))
        before, params = params, _newton(last, laws, ahead, steps)
    return last, params


def _lower(given: Given, laws: Laws, params: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Of two points for each cell the one with the lower loss."""
    cells = np.arange(len(params))
    laws_there = [laws.at(cells, one)[0] for one in (params, other)]
    here, there = (given.expand(cells, law, laws_there[0]).value for law in laws_there)
    return np.where((there < here)[:, None], other, params)


def _newton(given: Given, laws: Laws, params: np.ndarray, steps: int) -> np.ndarray:
    """Newton's iteration on all cells; one is done when its step is short, nothing is left to gain, or no step leads lower."""
    params, cells = params.copy(), np.arange(len(params))
    for _ in range(steps):
        here = local(given, laws, cells, params[cells])
        direction = _short(direction_of(here)[0])
        gain = -np.sum(here.gradient * direction, -1)
        going = (np.max(np.abs(direction), -1) > EPS**0.75) & (gain > EPS**1.75 * (1.0 + np.abs(here.value)))
        cells, direction = cells[going], direction[going]
        if not cells.size:
            break
        length = _lengths(given, laws, cells, params[cells], direction, Local(*(one[going] for one in here)))
        params[cells] += length[:, None] * direction
        cells = cells[length > 0]
        if not cells.size:
            break
    return params


def direction_of(here: Local, *, signed: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Saddle-free Newton direction ``-|H|⁺g``, or ``-H⁺g`` if ``signed``, and the null space of H in columns, zeros elsewhere.

    H is scaled to unit diagonal first, so that masses over many orders of magnitude do not look like a null space.
    """
    fine = np.isfinite(np.sum(here.hessian, (1, 2)) + np.sum(here.gradient, 1))
    hessian = np.where(fine[:, None, None], here.hessian, 0.0)
    gradient = np.where(fine[:, None], here.gradient, 0.0)
    diagonal = np.abs(np.diagonal(hessian, axis1=1, axis2=2))
    scale = np.where(diagonal > 0, 1.0 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0)), 1.0)
    values, vectors = np.linalg.eigh(hessian * scale[:, :, None] * scale[:, None, :])
    size = np.abs(values)
    null = size <= 64.0 * size.shape[1] * EPS * np.maximum(size.max(1, keepdims=True), np.finfo(float).tiny)
    along = np.einsum("cpk,cp->ck", vectors, scale * gradient)
    along = np.where(null, 0.0, along / np.where(null, 1.0, values if signed else size))
    direction = -scale * np.einsum("cpk,ck->cp", vectors, along)
    return np.where(fine[:, None], direction, np.nan), np.where(null[:, None, :], scale[:, :, None] * vectors, 0.0)


def _short(direction: np.ndarray) -> np.ndarray:
    longest = np.max(np.abs(direction), -1, keepdims=True)
    return direction * np.minimum(1.0, LONGEST / np.maximum(longest, LONGEST))


def _lengths(given: Given, laws: Laws, cells: np.ndarray, params: np.ndarray, direction: np.ndarray, here: Local) -> np.ndarray:
    """Length of each step, at most one, by shortening until the loss is lower; zero where no step leads lower."""
    length, left = np.ones(len(cells)), np.arange(len(cells))
    slope = np.sum(here.gradient * direction, -1)
    slack = 8.0 * EPS * (1.0 + np.abs(here.value))
    for _ in range(SHORTENINGS):
        law, jacobian = laws.at(cells[left], params[left] + length[left, None] * direction[left])
        trial = given.expand(cells[left], law, here.law[left])
        with np.errstate(all="ignore"):
            along = np.einsum("cp,cyp,cy->c", direction[left], jacobian, trial.slope)
        lower = trial.value <= here.value[left] + 1e-4 * length[left] * slope[left]
        # Where the decrease drowns in rounding its sign is read off the slopes (Hager and Zhang 2005).
        level = (trial.value <= here.value[left] + slack[left]) & (np.abs(along) <= 0.9998 * np.abs(slope[left]))
        left = left[~(np.isfinite(trial.value) & (lower | level))]
        if not left.size:
            return length
        length[left] *= SHORTER
    length[left] = 0.0
    return length
