"""Which preference world are we in: reference, target, reward, who wins, and the laws chosen and rejected draws come from?

A `Problem` holds every law of one world with prompts as the leading axis.  `problem` builds one from the parts a user
has and derives the rest; a `World` draws one from a key, so that a sweep over seeds is a sweep over worlds.  Reward,
reference and target always agree: ``π* ∝ π_ref e^{r/β}`` with the world's own ``β``.
"""

from didsim.worlds.annotators import distortion, favourite_mass, users
from didsim.worlds.linear import LinearReward
from didsim.worlds.problems import Given, Problem, World, problem
from didsim.worlds.random import RandomReward, RandomSequences, RandomTarget

__all__ = [
    "Given", "LinearReward", "Problem", "RandomReward", "RandomSequences", "RandomTarget", "World", "distortion",
    "favourite_mass", "problem", "users",
]  # fmt: skip
