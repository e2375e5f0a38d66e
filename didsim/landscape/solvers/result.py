"""What is the answer of a solver, how far can it be trusted, and in which precision was it worked out?"""

import enum
from collections.abc import Callable
from typing import Any, final

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from didsim.numerics import checks
from didsim.numerics.brief import called
from didsim.numerics.pytrees import pytree


class Status(enum.IntEnum):
    """How a solve or a run ended; shown as a word, stored as a number."""

    CONVERGED = 0
    NOT_UNIQUE = 1
    UNBOUNDED = 2
    STALLED = 3
    OUT_OF_STEPS = 4
    NOT_FINITE = 5

    def __str__(self) -> str:
        return self.name.lower().replace("_", " ")

    __repr__ = __str__


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

    Attributes:
        log_policy: log-probabilities of the minimiser, shape (prompts, n).
        value: population loss there, nats, shape (prompts,).
        gradient_norm: largest gradient entry relative to the curvature of its response, ``max |g_y|/H_yy``.
        step: largest logit change in the last Newton step.
        undetermined: dimensions of the Hessian's null space beyond the common constant.
        status: a `Status` per prompt.
        iterations: Newton steps taken.
        agreeing: how many starts ended at this value.
    """

    log_policy: Float[Array, "... prompts n"]
    value: Float[Array, "... prompts"]
    gradient_norm: Float[Array, "... prompts"]
    step: Float[Array, "... prompts"]
    undetermined: Int[Array, "... prompts"]
    status: Int[Array, "... prompts"]
    iterations: Int[Array, "... prompts"]
    agreeing: Int[Array, "... prompts"]

    def __repr__(self) -> str:
        return called("Solution", evidence(self.status, self.gradient_norm), log_policy=self.log_policy)


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
