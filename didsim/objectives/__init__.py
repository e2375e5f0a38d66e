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

__all__ = [
    "OBJECTIVES", "AlphaDpo", "AlphaDpoAuthors", "AlphaPo", "Aot", "AotUnpaired", "ApoDown", "ApoZero", "ApoZeroExampleMean",
    "BcoBatch", "BcoNone", "BcoRunning", "BestOfSft", "Card", "ChiPo", "ConservativeDpo", "Cpo", "CpoSimPo", "CpoTokenMean",
    "DiscoPop", "Dpo", "DpoNorm", "Dpop", "ExoPair", "ExoPairClamped", "ForwardKlDpo", "Hinge", "IpoMargin",
    "IpoReferenceFree", "IpoSum", "IpoTokenMean", "JensenShannonDpo", "Kto", "KtoExampleMean", "LengthDpo", "Limit", "Link",
    "NcaPair", "Objective", "OffsetDpo", "Orpo", "OrpoPrompt", "OrpoSum", "PairLosses", "Rebel", "Responses", "Rlhf",
    "RobustDpo", "Sft", "SftTokenMean", "SimPo", "SimPoRatio", "Slic", "Sppo", "SppoHard", "WeightedSum", "loss",
    "pair_losses", "population", "product_population", "register", "responses",
]  # fmt: skip
