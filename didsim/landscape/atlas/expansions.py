"""What is the loss of a cell, to second order, in the policy's parameters?

Only the objective itself is compiled, as one program that expands a batch of worlds in the log-probabilities; the chain rule
through the policy is NumPy on small matrices.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, final

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from didsim.landscape.atlas.departures import Case
from didsim.numerics.compilation import quickly
from didsim.numerics.pytrees import pytree
from didsim.numerics.traces import jit
from didsim.objectives import Objective
from didsim.objectives.comparisons import Population, prompt_losses, view
from didsim.objectives.parts import Comparisons
from didsim.policies import Policy, Table

CHUNK = 48  # cells expanded by one call
VANISHED = -30.0  # log-probability below which a response is on its way to none
EPS = float(np.finfo(np.float64).eps)
NOISE = 8.0 * EPS


class Expansion(NamedTuple):
    """Value (cells,), gradient (cells, n) and Hessian (cells, n, n) in the log-probabilities, as if they were free."""

    value: np.ndarray
    slope: np.ndarray
    bend: np.ndarray


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


class Given:
    """One objective in many worlds, expanded for a few cells at a time in chunks of one size: one program for all."""

    def __init__(self, objective: Objective, cases: Case) -> None:
        self.objective = objective
        self.leaves, self.build = jax.tree.flatten((objective, cases.problem, cases.ordered))
        self.leaves = [np.asarray(leaf) for leaf in self.leaves]

    def rounded(self, width: float) -> "Given":
        """The same with the objective's kinks rounded."""
        if not self.objective.kinked:
            return self
        made = Given.__new__(Given)
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
            found.append([np.asarray(one)[: chosen.size] for one in _expander()(*parts, x[padded], at[padded])])
        return Expansion(*map(np.concatenate, zip(*found, strict=True)))


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
        value, gradient = jax.value_and_grad(loss)(free)
        return gradient, (value, gradient)

    bend, (value, gradient) = jax.jacfwd(slope, has_aux=True)(x)
    return value, gradient, bend


@functools.cache
def _expander() -> Callable:
    """A row's program runs a few hundred times on arrays of some kilobytes."""
    return jit(jax.vmap(expansion), compiler_options=quickly())


def _law(policy: Policy, problem: Any, params: Any) -> Any:
    _, rebuild = ravel_pytree(policy.init(problem.log_ref))
    return policy.log_probs(rebuild(params), problem.log_ref)[0]


@jit
@jax.vmap
def _first(policy: Policy, problem: Any) -> Any:
    return ravel_pytree(policy.init(problem.log_ref))[0]


@jit
@jax.vmap
def _tangent(policy: Policy, problem: Any, params: Any) -> tuple[Any, Any]:
    return _law(policy, problem, params), jax.jacfwd(_law, argnums=2)(policy, problem, params)


@jit
@jax.vmap
def _curve(policy: Policy, problem: Any, params: Any, weight: Any) -> Any:
    return jax.hessian(lambda free: weight @ _law(policy, problem, free))(params)


class Local(NamedTuple):
    """Points with the loss around them, in the parameters: law, value, gradient, Hessian, and the law's Jacobian."""

    law: np.ndarray
    value: np.ndarray
    gradient: np.ndarray
    hessian: np.ndarray
    jacobian: np.ndarray


def local(given: Given, laws: Laws, cells: np.ndarray, params: np.ndarray) -> Local:
    """The loss around some cells' parameters."""
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
    return Local(law, at.value, gradient, hessian, jacobian)


def _log_softmax(x: np.ndarray) -> np.ndarray:
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.sum(np.exp(x), -1, keepdims=True))
