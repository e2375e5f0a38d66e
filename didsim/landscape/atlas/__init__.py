"""Where does every objective end under every departure from the matched world, and which is hurt least by which?"""

from didsim.landscape.atlas.cells import MARKS, MEASURES, WORDS, Kind, median_interval
from didsim.landscape.atlas.departures import DEPARTURES, Case, Departure, WithLabels, WithSampler, WithWorld, register
from didsim.landscape.atlas.grid import WORLD, chart, closed_forms, columns, departure, solved
from didsim.landscape.atlas.sensitivity import curves
from didsim.landscape.atlas.summary import main_kind, ranking, summary

__all__ = [
    "DEPARTURES", "MARKS", "MEASURES", "WORDS", "WORLD", "Case", "Departure", "Kind", "WithLabels", "WithSampler", "WithWorld",
    "chart", "closed_forms", "columns", "curves", "departure", "main_kind", "median_interval", "ranking", "register", "solved",
    "summary",
]  # fmt: skip
