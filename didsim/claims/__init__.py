"""Is statement k of paper p true here, with what residual, and does it fail when a hypothesis is dropped?

The ledger of executable claims: each is judged on thousands of random instances, attacked by gradient ascent, certified in
ball arithmetic, and broken on purpose, hypothesis by hypothesis.
"""

from didsim.claims import statements as statements
from didsim.claims.arithmetic import FLOATS, TRACED, Arithmetic, balls, gaps
from didsim.claims.attack import Climb, climb
from didsim.claims.certify import Certificate, certify
from didsim.claims.claim import Claim, Hypothesis
from didsim.claims.counterexamples import Counterexample, load, save, smallest
from didsim.claims.counterexamples import check as recheck
from didsim.claims.ledger import LEDGER, Control, Finding, register, verify
from didsim.claims.trials import Trial, instance, run_trial
from didsim.claims.variables import Variable, between, law, real, whole

__all__ = [
    "FLOATS",
    "LEDGER",
    "TRACED",
    "Arithmetic",
    "Certificate",
    "Claim",
    "Climb",
    "Control",
    "Counterexample",
    "Finding",
    "Hypothesis",
    "Trial",
    "Variable",
    "balls",
    "between",
    "certify",
    "climb",
    "gaps",
    "instance",
    "law",
    "load",
    "real",
    "recheck",
    "register",
    "run_trial",
    "save",
    "smallest",
    "verify",
    "whole",
]
