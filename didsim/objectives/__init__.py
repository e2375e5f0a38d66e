"""What is being minimised?  Objectives as reward × link × regulariser, averaged exactly or over samples."""

# In the order in which they are listed.
# isort: off
from didsim.objectives.ratio import ConservativeDpo, Dpo, DpoNorm, LengthDpo, OffsetDpo, RobustDpo
from didsim.objectives.shaped import DiscoPop, Dpop, ExoPair, ExoPairClamped, Hinge
from didsim.objectives.divergences import AlphaDpo, AlphaDpoAuthors, ChiPo, ForwardKlDpo, JensenShannonDpo
from didsim.objectives.squared import IpoMargin, IpoReferenceFree, IpoSum, IpoTokenMean, Rebel, Sppo, SppoHard
from didsim.objectives.reference_free import (
    AlphaPo,
    Cpo,
    CpoSimPo,
    CpoTokenMean,
    HingeReferenceFree,
    Orpo,
    OrpoPrompt,
    OrpoSum,
    SimPo,
    SimPoRatio,
    Slic,
)
from didsim.objectives.unpaired import (
    ApoDown,
    ApoZero,
    ApoZeroExampleMean,
    BcoBatch,
    BcoNone,
    BcoRunning,
    Kto,
    KtoExampleMean,
    NcaPair,
)
from didsim.objectives.transport import Aot, AotUnpaired
from didsim.objectives.likelihood import BestOfSft, Rlhf, Sft, SftTokenMean
from didsim.objectives.variational import Hypo, Kldo, Pro
from didsim.objectives.bregman import BpoBasu, BpoKliep, BpoLogistic, BpoLsif
from didsim.objectives.squared_log import SquaredPo
from didsim.objectives.tokenwise import Adpo
from didsim.objectives.rankings import Gvpo, Multinomial, PlackettLuce
from didsim.objectives.tied import DpoD, DpoRk
from didsim.objectives.auxiliary import AuxDpo

# isort: on
from didsim.objectives.comparisons import (
    loss,
    population,
    product_population,
)
from didsim.objectives.links import Link
from didsim.objectives.pairs import PairLosses, pair_losses
from didsim.objectives.parts import OBJECTIVES, Card, Limit, Objective, Responses, register, responses
from didsim.objectives.sums import WeightedSum
from didsim.objectives.under_divergence import UnderDivergence

__all__ = [
    "OBJECTIVES", "Adpo", "AlphaDpo", "AlphaDpoAuthors", "AlphaPo", "Aot", "AotUnpaired", "ApoDown", "ApoZero",
    "ApoZeroExampleMean", "AuxDpo", "BcoBatch", "BcoNone", "BcoRunning", "BestOfSft", "BpoBasu", "BpoKliep",
    "BpoLogistic", "BpoLsif", "Card", "ChiPo", "ConservativeDpo", "Cpo", "CpoSimPo", "CpoTokenMean", "DiscoPop", "Dpo",
    "DpoD", "DpoNorm", "DpoRk", "Dpop", "ExoPair", "ExoPairClamped", "ForwardKlDpo", "Gvpo", "Hinge",
    "HingeReferenceFree", "Hypo", "IpoMargin", "IpoReferenceFree", "IpoSum", "IpoTokenMean", "JensenShannonDpo", "Kldo",
    "Kto", "KtoExampleMean", "LengthDpo", "Limit", "Link", "Multinomial", "NcaPair", "Objective", "OffsetDpo", "Orpo",
    "OrpoPrompt", "OrpoSum", "PairLosses", "PlackettLuce", "Pro", "Rebel", "Responses", "Rlhf", "RobustDpo", "Sft",
    "SftTokenMean", "SimPo", "SimPoRatio", "Slic", "Sppo", "SppoHard", "SquaredPo", "UnderDivergence", "WeightedSum",
    "loss", "pair_losses", "population", "product_population", "register", "responses",
]  # fmt: skip
