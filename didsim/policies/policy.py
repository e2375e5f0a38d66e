"""What does everything above a policy know of it?  Where it starts, and its law for given parameters."""

import abc
from typing import Any

from jaxtyping import Array, Float

Params = Any
STARTS = ("reference", "flat")


class Policy(abc.ABC):
    """Parameters to laws.  Sizes are fixed by the reference law that both functions are given.

    A policy with few parameters cannot hold the reference in them; it may add its own part to ``log π_ref`` instead,
    and then starts there exactly (``start = "reference"``), or leave the reference out (``start = "flat"``).
    """

    @abc.abstractmethod
    def init(self, log_ref: Float[Array, "prompts n"]) -> Params:
        """Parameters at the start of training; policies that can represent π_ref start there."""

    @abc.abstractmethod
    def log_probs(self, params: Params, log_ref: Float[Array, "prompts n"]) -> Float[Array, "prompts n"]:
        """Log-probabilities of every response to every prompt; no gradient is meant to flow to the reference."""
