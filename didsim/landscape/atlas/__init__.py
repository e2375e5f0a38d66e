"""Where does every objective end under every departure from the matched world, and which is hurt least by which?"""

from didsim.landscape.atlas.cells import MARKS, MEASURES, WORDS, Kind, median_interval
from didsim.landscape.atlas.departures import DEPARTURES, Case, Departure, WithLabels, WithSampler, WithWorld, register
from didsim.landscape.atlas.grid import chart, solved

__all__ = [
    "DEPARTURES", "MARKS", "MEASURES", "WORDS", "Case", "Departure", "Kind", "WithLabels", "WithSampler", "WithWorld", "chart",
    "median_interval", "register", "solved",
]  # fmt: skip
