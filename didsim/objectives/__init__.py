"""What is being minimised?  Objectives as reward × link × regulariser, averaged exactly or over samples."""

# In the order in which they are listed.
# isort: off
from didsim.objectives.ratio import ConservativeDpo, Dpo, DpoNorm, LengthDpo, OffsetDpo, RobustDpo
from didsim.objectives.shaped import DiscoPop, Dpop, ExoPair, ExoPairClamped, Hinge
from didsim.objectives.divergences import AlphaDpo, ChiPo, ForwardKlDpo, JensenShannonDpo
from didsim.objectives.squared import IpoMargin, IpoReferenceFree, IpoSum, IpoTokenMean, Rebel, Sppo, SppoHard
from didsim.objectives.reference_free import AlphaPo, Cpo, Orpo, OrpoSum, SimPo, SimPoRatio, Slic
from didsim.objectives.unpaired import ApoDown, ApoZero, BcoBatch, BcoNone, BcoRunning, Kto, NcaPair
from didsim.objectives.transport import Aot, AotUnpaired
from didsim.objectives.likelihood import BestOfSft, Rlhf, Sft
from didsim.objectives.variational import Hypo, Kldo, Pro
from didsim.objectives.bregman import BpoBasu, BpoKliep, BpoLogistic, BpoLsif
from didsim.objectives.squared_log import SquaredPo
from didsim.objectives.tokenwise import Adpo
from didsim.objectives.rankings import Gvpo, Multinomial, PlackettLuce

# isort: on
from didsim.objectives.comparisons import (
    loss,
    population,
    product_population,
)
from didsim.objectives.links import Link
from didsim.objectives.parts import OBJECTIVES, Card, Limit, Objective, Responses, register, responses

__all__ = [
    "OBJECTIVES",
    "Adpo",
    "AlphaDpo",
    "AlphaPo",
    "Aot",
    "AotUnpaired",
    "ApoDown",
    "ApoZero",
    "BcoBatch",
    "BcoNone",
    "BcoRunning",
    "BestOfSft",
    "BpoBasu",
    "BpoKliep",
    "BpoLogistic",
    "BpoLsif",
    "Card",
    "ChiPo",
    "ConservativeDpo",
    "Cpo",
    "DiscoPop",
    "Dpo",
    "DpoNorm",
    "Dpop",
    "ExoPair",
    "ExoPairClamped",
    "ForwardKlDpo",
    "Gvpo",
    "Hinge",
    "Hypo",
    "IpoMargin",
    "IpoReferenceFree",
    "IpoSum",
    "IpoTokenMean",
    "JensenShannonDpo",
    "Kldo",
    "Kto",
    "LengthDpo",
    "Limit",
    "Link",
    "Multinomial",
    "NcaPair",
    "Objective",
    "OffsetDpo",
    "Orpo",
    "OrpoSum",
    "PlackettLuce",
    "Pro",
    "Rebel",
    "Responses",
    "Rlhf",
    "RobustDpo",
    "Sft",
    "SimPo",
    "SimPoRatio",
    "Slic",
    "Sppo",
    "SppoHard",
    "SquaredPo",
    "loss",
    "population",
    "product_population",
    "register",
    "responses",
]  # fmt: skip
