"""From parameters to log-probabilities over all responses: what can this policy say?

A policy is a pair of pure functions: ``init`` gives the parameters at which training starts, ``log_probs`` maps
parameters and the reference law to the whole law of every prompt.  Everything above needs only these two, so a table,
a linear model and a sequence model are interchangeable.
"""

from didsim.policies.contextlinear import ContextLinear
from didsim.policies.loglinear import LogLinear
from didsim.policies.policy import STARTS, Params, Policy
from didsim.policies.table import Table

POLICIES: dict[str, type[Policy]] = {"table": Table, "log_linear": LogLinear, "context_linear": ContextLinear}

__all__ = ["POLICIES", "STARTS", "ContextLinear", "LogLinear", "Params", "Policy", "Table"]
