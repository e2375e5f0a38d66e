"""What does everything above a policy know of it?  Where it starts, and its law for given parameters."""

import abc
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Array, Float

from didsim.numerics import checks
from didsim.numerics.registry import Registry

Params = Any
STARTS = ("reference", "flat")


class Policy(abc.ABC):
    """Parameters to laws.  Sizes are fixed by the reference law that both functions are given.

    A policy with few parameters cannot hold the reference in them; it may add its own part to ``log π_ref`` instead,
    and then starts there exactly (``start = "reference"``), or leave the reference out (``start = "flat"``).
    """

    example = "didsim.policies.Table()"

    @abc.abstractmethod
    def init(self, log_ref: Float[Array, "prompts n"]) -> Params:
        """Parameters at the start of training; policies that can represent π_ref start there."""

    @abc.abstractmethod
    def log_probs(self, params: Params, log_ref: Float[Array, "prompts n"]) -> Float[Array, "prompts n"]:
        """Log-probabilities of every response to every prompt; no gradient is meant to flow to the reference."""


POLICIES: Registry[Callable[..., Policy]] = Registry("policy")
register = POLICIES.register


def finite_axes(least: int) -> Callable[[str, Any], None]:
    """The check of a field that holds finite numbers on at least so many axes, none of them empty."""

    def check(name: str, value: Any) -> None:
        shape = np.shape(checks.finite(name, value))
        if len(shape) < least or 0 in shape:
            raise checks.ArgumentError(f"Argument `{name}` must have at least {least} axes, none empty, but has shape {shape}.")

    return check
