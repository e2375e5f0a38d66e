"""Which pairs does the learner see?

A sampler maps a problem and the current policy to a *pair law* μ(a, b), the law of the pair shown.  Nothing here passes a
gradient: an on-policy sampler sees the policy through a stop-gradient.  Most samplers are two *behaviours*, laws of one
response, drawn independently; behaviours and samplers nest.
"""

from didsim.samplers.behaviours import (
    Behaviour,
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
from didsim.samplers.catalogue import BEHAVIOURS, SAMPLERS, register
from didsim.samplers.combinators import Mix, Restrict
from didsim.samplers.curvature import MixP, MixPStar, MixR, Pilaf
from didsim.samplers.laws import JointLaw, PairLaw, ProductMixture, product_law
from didsim.samplers.offline import Blocks, ChosenRejected, Joint, Product, ReferencePairs, Uniform
from didsim.samplers.online import OnPolicy
from didsim.samplers.pairs import BestWorst, Independent, RankPair
from didsim.samplers.recipes import (
    BestOfBase,
    BestOfBoth,
    GeometricMix,
    GreedyAgainst,
    HalfTilted,
    Hybrid,
    ImplicitBestOf,
    Nucleus,
    OptimalRejected,
    Rejection,
    Rewrite,
    TargetAgainst,
    Tempered,
    Xpo,
)
from didsim.samplers.rule import Sampler

__all__ = [
    "BEHAVIOURS",
    "SAMPLERS",
    "Behaviour",
    "BestOf",
    "BestOfBase",
    "BestOfBoth",
    "BestWorst",
    "Blocks",
    "ChosenRejected",
    "FromChosen",
    "FromLaw",
    "FromPolicy",
    "FromReference",
    "FromRejected",
    "FromTarget",
    "FromUniform",
    "Geometric",
    "GeometricMix",
    "Greedy",
    "GreedyAgainst",
    "HalfTilted",
    "Hybrid",
    "ImplicitBestOf",
    "Independent",
    "Joint",
    "JointLaw",
    "Mix",
    "MixP",
    "MixPStar",
    "MixR",
    "Nucleus",
    "OnPolicy",
    "OptimalRejected",
    "PairLaw",
    "Pilaf",
    "Product",
    "ProductMixture",
    "RankPair",
    "Ranked",
    "ReferencePairs",
    "Rejection",
    "RejectionSampled",
    "Restrict",
    "Rewrite",
    "Sampler",
    "TargetAgainst",
    "Temper",
    "Tempered",
    "Tilt",
    "TopP",
    "Uniform",
    "Xpo",
    "product_law",
    "register",
]
