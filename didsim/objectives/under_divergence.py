"""What is a loss when another divergence takes the place of the reverse KL?  Its log-ratios become that divergence's rewards."""

from dataclasses import replace
from typing import Any, ClassVar, final

import jax
import jax.numpy as jnp

from didsim.numerics.errors import ArgumentError
from didsim.numerics.pytrees import pytree
from didsim.objectives.divergences import AlphaDpo, AlphaDpoAuthors, ForwardKlDpo, JensenShannonDpo
from didsim.objectives.links import bounded
from didsim.objectives.parts import Card, Limit, Objective, Seen

DIVERGENCES = (ForwardKlDpo, JensenShannonDpo, AlphaDpo, AlphaDpoAuthors)


@final
@pytree
class UnderDivergence(Objective):
    """A loss of margins with ``g(log π/π_ref)`` for every log-ratio: what TRL's ``f_divergence_type`` does to other losses.

    ``g`` is the divergence's reward over its β, 0 at the reference (2309.16240): ``1 - e^{-x}`` for ``f-dpo[forward_kl]``,
    ``log 2 + log σ(x)`` for ``f-dpo[js]``, ``(e^{(α-1)x} - 1)/(α-1)`` for ``f-dpo[alpha]``.  With a reference of probability 1
    and ``f-dpo[alpha_authors]`` it is AlphaPO's reward on sums (2501.03884).  Where a reward
    overflows the loss is its limit; slopes of an infinite one are those of a bounded margin: of
    the right sign and large or ±∞, or 0 in a response whose own reward is flat to every digit.

    Attributes:
        part: an objective of log-ratios with margins and nothing besides, such as ``Hinge`` or ``IpoTokenMean``.
        divergence: one of the ``f-dpo`` objectives; its β is left out.

    Raises:
        ArgumentError: the part looks at something else than margins of log-ratios, or the divergence is no ``f-dpo``.

    Example:
        >>> import didsim
        >>> from didsim import objectives
        >>> hinge = objectives.UnderDivergence(objectives.Hinge(beta=0.5), objectives.JensenShannonDpo())
        >>> print(didsim.pair_losses(hinge, [-4.0], [-6.0], [-4.5], [-4.5]).losses.round(4))
        [0.3863]
    """

    name: ClassVar[str] = "under_divergence"
    card: ClassVar[Card] = Card("that of a part, g(log(π/π_ref)) for its log-ratio", "its part's", Limit.OWN, "none known",
                                "2309.16240")  # fmt: skip
    convex: ClassVar[bool] = False
    part: Objective
    divergence: Objective

    def __post_init__(self):
        part, kind = self.part, type(self.part)
        alone = kind.chosen_term is Objective.chosen_term and kind.rejected_term is Objective.rejected_term
        if not (part.paired and alone) or part.reference_free or part.batch_level or part.centred:
            raise ArgumentError(f"Argument `part` must be an objective of margins of log-ratios alone, but is {part.name!r}.")
        if not isinstance(self.divergence, DIVERGENCES):
            allowed = ", ".join(one.name for one in DIVERGENCES)
            raise ArgumentError(f"Argument `divergence` must be one of {allowed}, but is {self.divergence.name!r}.")

    def link(self, margin):
        return _held(self.part.link, margin)

    def pair_link(self):
        link = self.part.pair_link()
        return replace(link, function=lambda margin: _held(link.function, margin))

    def chosen_reward(self, seen):
        return self._reward(self.part.chosen_reward, seen)

    def rejected_reward(self, seen):
        return self._reward(self.part.rejected_reward, seen)

    def _reward(self, reward, seen):
        bent = _Bent(seen, self.divergence)
        # A part that takes a share of what has overflown would bring it back to a finite number.
        overflown = jnp.abs(bent.log_ratio) >= jnp.finfo(bent.log_ratio.dtype).max / 16
        return jnp.where(overflown, bent.log_ratio, reward(bent))


def _held(link: Any, margin: Any) -> Any:
    """The link's value, its slope finite where the margin is not: ∞ times a reward's slope of 0 would be NaN (derived)."""
    value = jax.lax.stop_gradient(link(margin))
    kept = link(bounded(margin))
    still = jax.lax.stop_gradient(kept)
    return kept + jnp.where(value == still, 0.0, value - still)


class _Bent(Seen):
    """The same view with another log-ratio."""

    def __init__(self, seen: Seen, divergence: Any):
        self._seen, self._divergence = seen, divergence

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_seen"], name)

    def win_rates(self, labels):
        return self._seen.win_rates(labels)

    @property
    def log_ratio(self):
        """``g(log π/π_ref)``."""
        ratio, divergence = self._seen.log_ratio, replace(self._divergence, beta=1.0)
        return divergence.bend(ratio) - divergence.bend(jnp.zeros_like(ratio))
