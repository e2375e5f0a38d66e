"""What does a loss do to every policy over three responses at once?

With three responses all policies are the points of a triangle, so that a loss can be seen whole: where its exact gradient
moves a policy from anywhere, along which path a run goes, and at which policies, a point, a line or all of them, it is least.
"""

from didsim.figures.triangle.dataset import gallery, laws, portrait, three_responses
from didsim.figures.triangle.field import motion
from didsim.figures.triangle.runs import follow
from didsim.figures.triangle.solutions import distance, solution_set

__all__ = [
    "distance", "follow", "gallery", "laws", "motion", "portrait", "solution_set", "three_responses",
]  # fmt: skip
