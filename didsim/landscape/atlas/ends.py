"""Where do many small population losses end, one objective in many worlds at once?

`didsim.solve` compiles the whole iteration for every objective.  Here only the objective itself is compiled, as one program
that expands a batch of worlds to second order in the log-probabilities; the iteration, the pseudo-inverse and the chain rule
through the policy are NumPy on small matrices.  So a row of the atlas costs one short compilation, and takes objectives that
are no mean over pairs, policies of few parameters, and objectives with a part under a stop-gradient, whose end is the point
at which their own gradient vanishes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, final

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from didsim.landscape.atlas.departures import Case
from didsim.landscape.solvers import Status
from didsim.numerics.compilation import QUICKLY
from didsim.numerics.pytrees import pytree
from didsim.objectives import Objective
from didsim.objectives.comparisons import Population, prompt_losses, view
from didsim.objectives.parts import Comparisons
from didsim.policies import Policy, Table

NARROWING, WIDTHS = 0.3, 14  # of the kinks' rounding: from 1 to 2e-7, where a margin's own rounding is 1e-9 of it
FAR = 1e4, 1e5  # nats
SURE = 1e-6  # gradient relative to its curvature above which an iteration that rests is at no minimum
LONGEST = 10.0  # nats of a step
VANISHED = -30.0  # log-probability below which a response is on its way to none
SHORTENINGS, SHORTER = 14, 0.3
CHUNK = 48  # cells expanded by one call
EPS = float(np.finfo(np.float64).eps)
NOISE = 8.0 * EPS


class Expansion(NamedTuple):
    """Value (cells,), gradient (cells, n) and Hessian (cells, n, n) in the log-probabilities, as if they were free."""

    value: np.ndarray
    slope: np.ndarray
    bend: np.ndarray


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


class Laws:
    """Policies of all cells in one batch: parameters, padded to one size, to log-laws with two derivatives.

    Args:
        parts: for each run of cells the policies, stacked as one pytree, and the problems they belong to.
    """

    def __init__(self, parts: Sequence[tuple[Policy, Any]]) -> None:
        firsts = [np.asarray(_first(*part), np.float64) for part in parts]
        self.sizes = np.repeat([one.shape[1] for one in firsts], [len(one) for one in firsts])
        self.n = parts[0][1].log_ref.shape[-1]
        self.width = max(self.n, int(self.sizes.max()))
        self.start = np.concatenate([np.pad(one, ((0, 0), (0, self.width - one.shape[1]))) for one in firsts])
        self.is_free = np.repeat([isinstance(policy, Table) for policy, _ in parts], [len(one) for one in firsts])
        ends = np.cumsum([len(one) for one in firsts])
        self.special = [(part, slice(end - len(one), end)) for part, one, end in zip(parts, firsts, ends, strict=True)
                        if not isinstance(part[0], Table)]  # fmt: skip

    def at(self, cells: np.ndarray, params: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log-laws (cells, n) and their Jacobians (cells, n, width) of some cells at their parameters."""
        size = self.n
        law = _log_softmax(params[:, :size])
        slope = np.zeros((*law.shape, self.width))
        slope[:, :, :size] = np.eye(size) - np.exp(law)[:, None, :]
        for part, here, rows, full in self._others(cells, params):
            found, tangent = (np.asarray(one)[rows] for one in _tangent(*part, full))
            law[here], slope[here] = found, 0.0
            slope[here, :, : tangent.shape[-1]] = tangent
        return law, slope

    def bend(self, cells: np.ndarray, params: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """``Σ_y w_y ∂² log π_y``, shape (cells, width, width)."""
        size = self.n
        mass = np.exp(_log_softmax(params[:, :size]))
        out = np.zeros((len(params), self.width, self.width))
        spread = mass[:, :, None] * (np.eye(size) - mass[:, None, :])
        out[:, :size, :size] = -weight.sum(-1)[:, None, None] * spread
        for part, here, rows, full in self._others(cells, params):
            weights = np.zeros((len(full), weight.shape[1]))
            weights[rows] = weight[here]
            curve = np.asarray(_curve(*part, full, weights))[rows]
            out[here] = 0.0
            out[here, : curve.shape[-1], : curve.shape[-1]] = curve
        return out

    def _others(self, cells: np.ndarray, params: np.ndarray):
        """Policies that are no tables and have cells among the given: which those are, and parameters of all of theirs."""
        for part, where in self.special:
            here = np.flatnonzero((cells >= where.start) & (cells < where.stop))
            if here.size:
                full = self.start[where].copy()
                rows = cells[here] - where.start
                full[rows] = params[here]
                yield part, here, rows, full[:, : self.sizes[where.start]]


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
    given = _Given(objective, cases)
    found = [_through_widths(given, laws, laws.start + one, steps) for one in noise]
    # The best of them; among equals the first, which is the one that training would find.
    values = np.stack([np.where(np.isfinite(one.value), one.value, np.inf) for one in found])
    unit = 1.0 + np.abs(values.min(0))
    best = np.argmax(values <= values.min(0) + 64.0 * EPS * unit, axis=0)
    agreeing = np.sum(values <= values.min(0) + np.sqrt(EPS) * unit, axis=0)
    fields = {name: np.stack([getattr(one, name) for one in found])[best, np.arange(best.size)] for name in vars(found[0])}
    return Ends(**{**fields, "agreeing": agreeing})


class _Given:
    """One objective in many worlds, expanded for a few cells at a time in chunks of one size: one program for all."""

    def __init__(self, objective: Objective, cases: Case) -> None:
        self.objective = objective
        self.leaves, self.build = jax.tree.flatten((objective, cases.problem, cases.ordered))
        self.leaves = [np.asarray(leaf) for leaf in self.leaves]

    def rounded(self, width: float) -> "_Given":
        """The same with the objective's kinks rounded."""
        if not self.objective.kinked:
            return self
        made = _Given.__new__(_Given)
        made.objective = jax.vmap(lambda one: one.smoothed(width))(self.objective)
        _, problem, ordered = jax.tree.unflatten(self.build, self.leaves)
        made.leaves, made.build = jax.tree.flatten((made.objective, problem, ordered))
        made.leaves = [np.asarray(leaf) for leaf in made.leaves]
        return made

    def expand(self, cells: np.ndarray, x: np.ndarray, at: np.ndarray) -> Expansion:
        """Expansion of some cells at ``x``, with everything under a stop-gradient as it is at ``at``."""
        found = []
        for start in range(0, len(cells), CHUNK):
            chosen = np.arange(start, min(start + CHUNK, len(cells)))
            padded = np.resize(chosen, CHUNK)
            parts = jax.tree.unflatten(self.build, [leaf[cells[padded]] for leaf in self.leaves])
            found.append([np.asarray(one)[: chosen.size] for one in _expand(*parts, x[padded], at[padded])])
        return Expansion(*map(np.concatenate, zip(*found, strict=True)))


def gradient_at(objective: Objective, cases: Case, laws: Laws, params: np.ndarray) -> np.ndarray:
    """Gradient of every cell's loss in the parameters, shape (cells, width)."""
    return _local(_Given(objective, cases), laws, np.arange(len(params)), params).gradient


def step_against(objective: Objective, cases: Case, laws: Laws, params: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """``-H⁺ v`` with the Hessian of every cell at its parameters."""
    here = _local(_Given(objective, cases), laws, np.arange(len(params)), params)
    return _direction(here._replace(gradient=gradient), signed=True)[0]


def with_rewards(cases: Case, rewards: np.ndarray) -> Case:
    """The same cells with other rewards shown, shape (cells, 1, n)."""
    return jax.vmap(lambda case, shown: replace(case, problem=replace(case.problem, reward=shown)))(cases, rewards)


def reads_reward(objective: Objective, cases: Case) -> bool:
    """Whether the loss of any cell changes with the reward that the objective is shown."""
    cells, law = np.arange(len(cases.beta)), np.asarray(cases.problem.log_ref)[:, 0]
    other = with_rewards(cases, np.asarray(cases.problem.reward) + np.cos(np.arange(law.shape[-1])))
    values = [_Given(objective, one).expand(cells, law, law) for one in (cases, other)]
    return any(bool(np.any(np.nan_to_num(one) != np.nan_to_num(two))) for one, two in zip(*values, strict=True))


@final
@pytree
class _Pairs(Comparisons):
    """A law of pairs in which a response shown with itself adds nothing to a link of one reward, not even rounding."""

    all: Population

    def mean_link(self, link, chosen_reward, rejected_reward):
        apart = 1.0 - jnp.eye(chosen_reward.shape[-1]) if chosen_reward is rejected_reward else 1.0
        return Population(self.all.ordered * apart).mean_link(link, chosen_reward, rejected_reward)

    def mean_chosen(self, values):
        return self.all.mean_chosen(values)

    def mean_rejected(self, values):
        return self.all.mean_rejected(values)

    def masses(self, n):
        return self.all.masses(n)

    def margins(self, *values):
        return self.all.margins(*values)


def expansion(objective: Objective, problem: Any, ordered: Any, x: Any, at: Any) -> tuple[Any, Any, Any]:
    """Value, gradient and Hessian of one prompt's loss in its log-probabilities."""
    pairs = _Pairs(Population(ordered))
    seen = view(objective, problem, at[None], pairs)

    def loss(free: Any) -> Any:
        return prompt_losses(objective, replace(seen, log_policy=free[None]), pairs)[0]

    def slope(free: Any) -> tuple[Any, tuple[Any, Any]]:
        value, gradient = jax.value_and_grad(lambda y: prompt_losses(objective, replace(seen, log_policy=y[None]), pairs)[0])(
            free
        )
        return gradient, (value, gradient)

    bend, (value, gradient) = jax.jacfwd(slope, has_aux=True)(x)
    return value, gradient, bend


# A row's program runs a few hundred times on arrays of some kilobytes.
_expand = jax.jit(jax.vmap(expansion), compiler_options=QUICKLY)


def _law(policy: Policy, problem: Any, params: Any) -> Any:
    _, rebuild = ravel_pytree(policy.init(problem.log_ref))
    return policy.log_probs(rebuild(params), problem.log_ref)[0]


@jax.jit
@jax.vmap
def _first(policy: Policy, problem: Any) -> Any:
    return ravel_pytree(policy.init(problem.log_ref))[0]


@jax.jit
@jax.vmap
def _tangent(policy: Policy, problem: Any, params: Any) -> tuple[Any, Any]:
    return _law(policy, problem, params), jax.jacfwd(_law, argnums=2)(policy, problem, params)


@jax.jit
@jax.vmap
def _curve(policy: Policy, problem: Any, params: Any, weight: Any) -> Any:
    return jax.hessian(lambda free: weight @ _law(policy, problem, free))(params)


class _Local(NamedTuple):
    """Points with the loss around them, in the parameters: law, value, gradient, Hessian, and the law's Jacobian."""

    law: np.ndarray
    value: np.ndarray
    gradient: np.ndarray
    hessian: np.ndarray
    jacobian: np.ndarray


def _through_widths(given: _Given, laws: Laws, start: np.ndarray, steps: int) -> Ends:
    """Newton at each rounding of the kinks in turn, from where the last two ends point to; then the evidence.

    Margins at a kink shrink with its rounding while their weights stay, so that ends lie on a line towards the sharp one.
    """
    last = given.rounded(1.0)
    params = before = _newton(last, laws, start, steps)
    for width in NARROWING ** np.arange(1, WIDTHS if given.objective.kinked else 1):
        last = given.rounded(width)
        ahead = _lower(last, laws, params, params + NARROWING * (params - before))
        before, params = params, _newton(last, laws, ahead, steps)
    return _judged(last, laws, start, params)


def _lower(given: _Given, laws: Laws, params: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Of two points for each cell the one with the lower loss."""
    cells = np.arange(len(params))
    laws_there = [laws.at(cells, one)[0] for one in (params, other)]
    here, there = (given.expand(cells, law, laws_there[0]).value for law in laws_there)
    return np.where((there < here)[:, None], other, params)


def _newton(given: _Given, laws: Laws, params: np.ndarray, steps: int) -> np.ndarray:
    """Newton's iteration on all cells; one is done when its step is short, nothing is left to gain, or no step leads lower."""
    params, cells = params.copy(), np.arange(len(params))
    for _ in range(steps):
        here = _local(given, laws, cells, params[cells])
        direction = _short(_direction(here)[0])
        gain = -np.sum(here.gradient * direction, -1)
        going = (np.max(np.abs(direction), -1) > EPS**0.75) & (gain > EPS**1.75 * (1.0 + np.abs(here.value)))
        cells, direction = cells[going], direction[going]
        if not cells.size:
            break
        length = _lengths(given, laws, cells, params[cells], direction, _Local(*(one[going] for one in here)))
        params[cells] += length[:, None] * direction
        cells = cells[length > 0]
        if not cells.size:
            break
    return params


def _local(given: _Given, laws: Laws, cells: np.ndarray, params: np.ndarray) -> _Local:
    law, jacobian = laws.at(cells, params)
    at = given.expand(cells, law, law)
    with np.errstate(all="ignore"):
        across, size = np.swapaxes(jacobian, 1, 2), np.abs(jacobian)
        gradient = np.einsum("cyp,cy->cp", jacobian, at.slope)
        hessian = across @ at.bend @ jacobian + laws.bend(cells, params, at.slope)
        # What lies within the rounding of its own sum is zero: a response that no pair shows pulls at nothing.  A slope is no
        # surer than the rounding of the log-probabilities it is taken at, times the curvature; at a minimum little else is left.
        at_most = np.abs(at.slope) + np.einsum("cyz,cz->cy", np.abs(at.bend), 1.0 + np.abs(np.maximum(law, VANISHED)))
        unsure = NOISE * (np.abs(across) @ np.abs(at.bend) @ size + np.abs(laws.bend(cells, params, at_most)))
        hessian = np.where(np.abs(hessian) <= unsure, 0.0, 0.5 * (hessian + np.swapaxes(hessian, 1, 2)))
        gradient = np.where(np.abs(gradient) <= NOISE * np.einsum("cyp,cy->cp", size, at_most), 0.0, gradient)
    return _Local(law, at.value, gradient, hessian, jacobian)


def _direction(here: _Local, *, signed: bool = False) -> tuple[np.ndarray, np.ndarray]:
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


def _lengths(given: _Given, laws: Laws, cells: np.ndarray, params: np.ndarray, direction: np.ndarray, here: _Local) -> np.ndarray:
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


def _judged(given: _Given, laws: Laws, start: np.ndarray, params: np.ndarray) -> Ends:
    """The end with the evidence of its being one; in open directions it goes back to where the start was."""
    cells = np.arange(len(params))
    here = _local(given, laws, cells, params)
    direction, null = _direction(here)
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


def _without_floor(given: _Given, laws: Laws, start: np.ndarray, params: np.ndarray, status: np.ndarray):
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


def _settled(given: _Given, laws: Laws, start, params, here: _Local, null: np.ndarray, where: np.ndarray):
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


def _log_softmax(x: np.ndarray) -> np.ndarray:
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.sum(np.exp(x), -1, keepdims=True))
