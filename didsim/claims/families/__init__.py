"""The project's own claims, by the part of the theory they come from; importing a family registers its claims."""

from didsim.claims.families import displacement, entropy, evidence, learning, quality, sampling

__all__ = ["displacement", "entropy", "evidence", "learning", "quality", "sampling"]
