"""What is being minimised?  Objectives as reward × link × regulariser, averaged exactly or over samples."""

from didsim.objectives.catalogue import (
    OBJECTIVES,
    ConservativeDpo,
    Cpo,
    Dpo,
    Dpop,
    ExoPair,
    Hinge,
    IpoSum,
    Kto,
    Orpo,
    Rlhf,
    Sft,
    SimPo,
    Slic,
)
from didsim.objectives.comparisons import (
    Comparisons,
    Population,
    SampledPairs,
    draw_pairs,
    loss,
    population,
    prompt_losses,
)
from didsim.objectives.curvature import Expansion, expand
from didsim.objectives.parts import Objective, Responses, responses

__all__ = [
    "OBJECTIVES",
    "Comparisons",
    "ConservativeDpo",
    "Cpo",
    "Dpo",
    "Dpop",
    "ExoPair",
    "Expansion",
    "Hinge",
    "IpoSum",
    "Kto",
    "Objective",
    "Orpo",
    "Population",
    "Responses",
    "Rlhf",
    "SampledPairs",
    "Sft",
    "SimPo",
    "Slic",
    "draw_pairs",
    "expand",
    "loss",
    "population",
    "prompt_losses",
    "responses",
]
