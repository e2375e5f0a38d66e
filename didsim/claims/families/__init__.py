"""The project's own claims, by the part of the theory they come from; importing a family registers its claims."""

# In the order in which the ledger shows them.
# isort: off
from didsim.claims.families import evidence, learning, displacement, entropy, graphs, speed, signal, online, shared, computing

# isort: on
__all__ = [
    "computing",
    "displacement",
    "entropy",
    "evidence",
    "graphs",
    "learning",
    "online",
    "shared",
    "signal",
    "speed",
]
