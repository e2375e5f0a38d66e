"""From parameters to log-probabilities over all responses: what can this policy say?

A policy is a pair of pure functions: ``init`` gives the parameters at which training starts, ``log_probs`` maps
parameters and the reference law to the whole law of every prompt.  Everything above needs only these two, so a table,
a linear model and a sequence model are interchangeable.
"""

from didsim.policies.contextlinear import ContextLinear
from didsim.policies.loglinear import LogLinear
from didsim.policies.policy import Policy, register
from didsim.policies.similarity import ches, normalised_ches
from didsim.policies.table import StartedAt, Table
from didsim.policies.tokentable import k_gram, prefix_table
from didsim.policies.transformer import Transformer

__all__ = [
    "ContextLinear", "LogLinear", "Policy", "StartedAt", "Table", "Transformer", "ches", "k_gram", "normalised_ches",
    "prefix_table", "register",
]  # fmt: skip
