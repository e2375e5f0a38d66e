"""Is statement k of paper p true here, with what residual, and does it fail when a hypothesis is dropped?

The ledger of executable claims: each is judged on thousands of random instances, attacked by gradient ascent, certified in
ball arithmetic, and broken on purpose, hypothesis by hypothesis.
"""

from didsim.claims import statements as statements
from didsim.claims.arithmetic import Arithmetic, gaps
from didsim.claims.counterexamples import Counterexample, load, recheck, save, smallest
from didsim.claims.definition import Claim, Hypothesis
from didsim.claims.ledger import LEDGER, Finding, claim, register, verify
from didsim.claims.variables import Variable, between, law, real, whole

__all__ = [
    "LEDGER", "Arithmetic", "Claim", "Counterexample", "Finding", "Hypothesis", "Variable", "between", "claim", "gaps", "law",
    "load", "real", "recheck", "register", "save", "smallest", "verify", "whole",
]  # fmt: skip
