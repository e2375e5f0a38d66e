"""What is the loss when several are added?  RPO adds likelihood to DPO, MPO adds a classifier's loss and likelihood to it."""

from typing import ClassVar, final

import jax.numpy as jnp

from didsim.numerics import checks
from didsim.numerics.errors import ArgumentError
from didsim.numerics.pytrees import pytree
from didsim.objectives.comparisons import prompt_losses, with_means
from didsim.objectives.parts import Card, Limit, Objective, Scalar


@final
@pytree
class WeightedSum(Objective):
    """``Σ_i c_i L_i``, objectives added with weights: what public code calls a list of loss types.

    RPO is ``c = (1, α)`` on ``dpo`` and ``sft[token_mean]`` (2404.19733), MPO ``(0.8, 0.2, 1)`` on ``dpo``, ``bco[none]`` and
    ``sft[token_mean]`` (2411.10442).  It is trained and sampled as its parts are; no exact solver takes it.

    Attributes:
        parts: the objectives.
        weights: one factor for each, finite.

    Raises:
        ArgumentError: no parts, or another number of weights.

    Example:
        >>> import didsim
        >>> from didsim import objectives
        >>> rpo = objectives.WeightedSum((objectives.Dpo(beta=0.1), objectives.Sft()), (1.0, 0.5))
        >>> print(didsim.pair_losses(rpo, [-4.0], [-5.0], [-4.0], [-5.0]).losses.round(4))
        [2.6931]
    """

    name: ClassVar[str] = "weighted_sum"
    card: ClassVar[Card] = Card("Σ c_i L_i", "none", Limit.OWN, "between those of its parts", "2404.19733")
    convex: ClassVar[bool] = False
    paired: ClassVar[bool] = False
    batch_level: ClassVar[bool] = True
    parts: tuple[Objective, ...]
    weights: tuple[Scalar, ...]

    def __post_init__(self):
        if not self.parts or len(self.parts) != len(self.weights):
            raise ArgumentError(
                "Argument `weights` must be as many numbers as there are parts, at least one, "
                f"but is {len(self.weights)} for {len(self.parts)}."
            )
        for weight in self.weights:
            checks.finite("weights", weight)

    def batch_term(self, seen, comparisons):
        total = jnp.zeros(seen.log_policy.shape[0], seen.log_policy.dtype)
        for part, weight in zip(self.parts, self.weights, strict=True):
            total = total + weight * prompt_losses(part, with_means(part, seen, comparisons), comparisons)
        return total
