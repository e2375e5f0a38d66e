"""Which objectives are there?  Every named function of public preference-optimisation code, under one name each.

One class per function, in modules by family, with hyperparameters as pytree leaves so that any of them can be swept.
A name in brackets is a dialect: public code has functions of one name that differ, and here none do.
"""

from typing import TypeVar

from didsim.numerics import checks
from didsim.objectives.divergences import AlphaDpo, ChiPo, ForwardKlDpo, JensenShannonDpo
from didsim.objectives.likelihood import BestOfSft, Rlhf, Sft
from didsim.objectives.parts import Objective
from didsim.objectives.ratio import ConservativeDpo, Dpo, DpoNorm, LengthDpo, OffsetDpo, RobustDpo
from didsim.objectives.reference_free import AlphaPo, Cpo, Orpo, OrpoSum, SimPo, SimPoRatio, Slic
from didsim.objectives.shaped import DiscoPop, Dpop, ExoPair, ExoPairClamped, Hinge
from didsim.objectives.squared import IpoMargin, IpoReferenceFree, IpoSum, IpoTokenMean, Rebel, Sppo, SppoHard
from didsim.objectives.transport import Aot, AotUnpaired
from didsim.objectives.unpaired import ApoDown, ApoZero, BcoBatch, BcoNone, BcoRunning, Kto, NcaPair

_KINDS: tuple[type[Objective], ...] = (
    *(Dpo, ConservativeDpo, RobustDpo, DpoNorm, LengthDpo, OffsetDpo),
    *(Hinge, Dpop, ExoPair, ExoPairClamped, DiscoPop),
    *(ForwardKlDpo, JensenShannonDpo, AlphaDpo, ChiPo),
    *(IpoSum, IpoTokenMean, IpoReferenceFree, IpoMargin, Rebel, SppoHard, Sppo),
    *(SimPo, SimPoRatio, AlphaPo, Cpo, Orpo, OrpoSum, Slic),
    *(Kto, NcaPair, BcoNone, BcoBatch, BcoRunning, ApoZero, ApoDown),
    *(Aot, AotUnpaired),
    *(Sft, BestOfSft, Rlhf),
)
OBJECTIVES: dict[str, type[Objective]] = {kind.name: kind for kind in _KINDS}
Kind = TypeVar("Kind", bound=type[Objective])


def register(kind: Kind) -> Kind:
    """Class decorator: makes an objective known under its ``name`` to configs, sweeps and the table of objectives.

    Raises:
        ArgumentError: another objective has that name.
    """
    OBJECTIVES[checks.own_name("kind", kind.name, OBJECTIVES)] = kind
    return kind
