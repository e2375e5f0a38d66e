"""Which pairs does the learner see?

A sampler maps a problem and the current policy to a *pair law* μ(a, b), the law of the pair shown.  Nothing here passes a
gradient: an on-policy sampler sees the policy through a stop-gradient.
"""

from didsim.samplers.combinators import Mix, Restrict
from didsim.samplers.laws import JointLaw, PairLaw, ProductMixture, product_law
from didsim.samplers.offline import Blocks, ChosenRejected, Joint, Product, ReferencePairs, Uniform
from didsim.samplers.online import OnPolicy
from didsim.samplers.rule import Sampler

__all__ = [
    "Blocks",
    "ChosenRejected",
    "Joint",
    "JointLaw",
    "Mix",
    "OnPolicy",
    "PairLaw",
    "Product",
    "ProductMixture",
    "ReferencePairs",
    "Restrict",
    "Sampler",
    "Uniform",
    "product_law",
]
