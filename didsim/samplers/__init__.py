"""Which pairs does the learner see?

A sampler maps a problem and the current policy to a *pair law* μ(a, b), the law of the pair shown.  Nothing here passes a
gradient: an on-policy sampler sees the policy through a stop-gradient.  Most samplers are two *behaviours*, laws of one
response, drawn independently; behaviours and samplers nest.
"""

from didsim.samplers.basic import Blocks, ChosenRejected, Independent, Joint, OnPolicy, Product, ReferencePairs, Uniform
from didsim.samplers.behaviours import (
    BestOf,
    FromChosen,
    FromLaw,
    FromPolicy,
    FromReference,
    FromRejected,
    FromTarget,
    FromUniform,
    Geometric,
    Greedy,
    Ranked,
    RejectionSampled,
    Temper,
    Tilt,
    TopP,
)
from didsim.samplers.combinators import Mix, Restrict, Switch
from didsim.samplers.curvature import MixP, MixPStar, MixR, Pilaf
from didsim.samplers.laws import JointLaw, PairLaw, ProductMixture
from didsim.samplers.recipes import BestOfBase, BestOfBoth, OptimalRejected
from didsim.samplers.source import SAMPLERS, Behaviour, Sampler, register

__all__ = [
    "SAMPLERS", "Behaviour", "BestOf", "BestOfBase", "BestOfBoth", "Blocks", "ChosenRejected", "FromChosen",
    "FromLaw", "FromPolicy", "FromReference", "FromRejected", "FromTarget", "FromUniform", "Geometric", "Greedy",
    "Independent", "Joint", "JointLaw", "Mix", "MixP", "MixPStar", "MixR", "OnPolicy", "OptimalRejected", "PairLaw", "Pilaf",
    "Product", "ProductMixture", "Ranked", "ReferencePairs", "RejectionSampled", "Restrict", "Sampler", "Switch", "Temper",
    "Tilt", "TopP", "Uniform", "register",
]  # fmt: skip
