"""From parameters to log-probabilities over all responses: what can this policy say?

A policy is a pair of pure functions: ``init`` gives the parameters at which training starts, ``log_probs`` maps
parameters to the whole law of every prompt.  Everything above needs only these two, so a table, a linear model and a
sequence model are interchangeable.
"""

import abc
from typing import Any, final

from jaxtyping import Array, Float

from didsim import simplex
from didsim.records import record

Params = Any


class Policy(abc.ABC):
    """Parameters to laws.  Sizes are fixed by the reference law that ``init`` is given."""

    @abc.abstractmethod
    def init(self, log_ref: Float[Array, "prompts n"]) -> Params:
        """Parameters at the start of training; policies that can represent π_ref start there."""

    @abc.abstractmethod
    def log_probs(self, params: Params) -> Float[Array, "prompts n"]:
        """Log-probabilities of every response to every prompt."""


@final
@record
class Table(Policy):
    """Free logits, one per prompt and response: ``π_θ(y|x) = softmax(θ_x)_y``, started at ``θ = log π_ref``."""

    def init(self, log_ref):
        return log_ref

    def log_probs(self, params):
        return simplex.normalize(params)
