"""Where do rounds of preference optimisation lead when reference and data follow the policy?

Every round solves its objective exactly: its reference is ``π_t^a π_0^{1-a}`` and its pairs are independent draws from
``ν_t = λ π_t + (1-λ) π_0`` (Chen et al. 2602.12180; S12).  Labels are any preference matrix, cycles included.
The map of one round to the next converges, turns in cycles or runs into a corner; whether a point is stable its
Jacobian says, and for the three-cycle the boundary is known in closed form.
"""

from didsim.dynamics.iterated.endings import ending
from didsim.dynamics.iterated.maps import iterate, reached, three_cycle
from didsim.dynamics.iterated.stability import contraction_factor, cycle_boundary, cycle_multiplier, multipliers

__all__ = [
    "contraction_factor", "cycle_boundary", "cycle_multiplier", "ending", "iterate", "multipliers", "reached", "three_cycle",
]  # fmt: skip
