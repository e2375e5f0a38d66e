"""From parameters to log-probabilities over all responses: what can this policy say?

A policy is a pair of pure functions: ``init`` gives the parameters at which training starts, ``log_probs`` maps
parameters and the reference law to the whole law of every prompt.  Everything above needs only these two, so a table,
a linear model and a sequence model are interchangeable.
"""

from didsim.policies.autoregressive import Autoregressive
from didsim.policies.catalogue import POLICIES, register
from didsim.policies.ches import ches, normalised_ches
from didsim.policies.contextlinear import ContextLinear
from didsim.policies.loglinear import LogLinear
from didsim.policies.policy import STARTS, Params, Policy
from didsim.policies.table import StartedAt, Table
from didsim.policies.tokentable import TokenTable, k_gram, prefix_table
from didsim.policies.transformer import Transformer

__all__ = [
    "POLICIES",
    "STARTS",
    "Autoregressive",
    "ContextLinear",
    "LogLinear",
    "Params",
    "Policy",
    "StartedAt",
    "Table",
    "TokenTable",
    "Transformer",
    "ches",
    "k_gram",
    "normalised_ches",
    "prefix_table",
    "register",
]
