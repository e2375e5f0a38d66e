"""What is the answer of a solver, how far can it be trusted, and in which precision was it worked out?"""

import enum
from collections.abc import Callable
from typing import Any, final

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from didsim.numerics import checks
from didsim.numerics.brief import called
from didsim.numerics.pytrees import pytree


class Status(enum.IntEnum):
    """How a solve or a run ended; shown as a word, stored as a number.

    CONVERGED: a minimum to first and second order, the only one where the loss is convex.  NOT_UNIQUE: one of a set of
    them.  UNBOUNDED: the loss falls for ever.  SADDLE: no slope, but the loss bends down.
    """

    CONVERGED = 0
    NOT_UNIQUE = 1
    UNBOUNDED = 2
    STALLED = 3
    OUT_OF_STEPS = 4
    NOT_FINITE = 5
    SADDLE = 6

    def __str__(self) -> str:
        return self.name.lower().replace("_", " ")

    __repr__ = __str__


def solved(status: Int[Array, "..."]) -> Bool[Array, "..."]:
    """Where a solve ended at a minimum."""
    return (status == Status.CONVERGED) | (status == Status.NOT_UNIQUE)


def evidence(statuses: Any, residuals: Any) -> str:
    """How solves ended and the largest residual in words, where they can be seen: ``2 converged, gradient 3e-13``."""
    if not (checks.is_number(statuses) and checks.is_number(residuals)):
        return "…"
    kinds = zip(*np.unique(np.asarray(statuses), return_counts=True), strict=True)
    words = [f"{Status(kind)}" if np.ndim(statuses) == 0 else f"{count} {Status(kind)}" for kind, count in kinds]
    return ", ".join([*words, f"gradient {np.max(residuals):.1g}"])


@final
@pytree
class Solution:
    """Exact minimiser of every prompt, with the evidence.

    Where the loss is convex, CONVERGED means the minimum.  Elsewhere it means a minimum among the laws near it, the best
    of ``starts`` starts; it is known to be the least where the value meets the lower bound, which `proved` says.

    Attributes:
        log_policy: log-probabilities of the minimiser, shape (prompts, n).
        value: population loss there, nats, shape (prompts,).
        gradient_norm: largest gradient entry relative to the curvature of its response, ``max |g_y|/H_yy``.
        step: largest logit change in the last Newton step.
        undetermined: dimensions of the Hessian's null space beyond the common constant.
        status: a `Status` per prompt.
        iterations: Newton steps taken.
        agreeing: how many starts ended at this value; not that another value is not less.
        starts: number of starts.
        lower_bound: what no law's loss lies below, nats, to the solve's accuracy: the value itself where a convex loss is
            solved (CONVERGED or NOT_UNIQUE; -inf elsewhere), of others the loss with every pair's margin free where that is
            known, else -inf.
    """

    log_policy: Float[Array, "... prompts n"]
    value: Float[Array, "... prompts"]
    gradient_norm: Float[Array, "... prompts"]
    step: Float[Array, "... prompts"]
    undetermined: Int[Array, "... prompts"]
    status: Int[Array, "... prompts"]
    iterations: Int[Array, "... prompts"]
    agreeing: Int[Array, "... prompts"]
    starts: Int[Array, "... prompts"]
    lower_bound: Float[Array, "... prompts"]

    @property
    def proved(self) -> Bool[Array, "... prompts"]:
        """Where nothing lies below the value by more than the square root of the rounding unit."""
        slack = jnp.finfo(self.value.dtype).eps ** 0.5 * (1.0 + jnp.abs(self.value))
        return solved(self.status) & (self.value <= self.lower_bound + slack)

    def __repr__(self) -> str:
        words = evidence(self.status, self.gradient_norm)
        seen = checks.is_number(self.lower_bound) and checks.is_number(self.status)
        if seen and np.any(np.isin(self.status, (Status.CONVERGED, Status.NOT_UNIQUE)) & ~np.asarray(self.proved)):
            words += f", best of {np.max(self.starts)} starts, {np.asarray(self.proved).sum()} proved"
        return called("Solution", words, log_policy=self.log_policy)


def in_double(solver: Callable[..., Any], everything: tuple) -> Any:
    """What a solver makes of the arguments in float64, cast back to the precision of the first one's ``log_ref``."""
    dtype = everything[0].log_ref.dtype
    with jax.enable_x64(True):
        end = solver(*jax.tree.map(lambda leaf: _cast(leaf, np.float64), everything))
        return jax.tree.map(lambda leaf: _cast(leaf, dtype), end)


def _cast(leaf: Any, dtype: Any) -> Any:
    """Floating arrays in another precision, 64-bit integers in 32 bits when that is narrow; all else as it is."""
    if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jnp.floating):
        return leaf.astype(dtype)
    if isinstance(leaf, jax.Array) and leaf.dtype == jnp.int64 and dtype == jnp.float32:
        return leaf.astype(jnp.int32)
    return leaf
