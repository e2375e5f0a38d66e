"""Many runs at once: a grid over any field of a run, computed in blocks, returned as one labelled dataset."""

from didsim.sweeps import toml
from didsim.sweeps.axes import grid
from didsim.sweeps.entry import drawn_worlds, sweep
from didsim.sweeps.view import open_sweep

__all__ = ["drawn_worlds", "grid", "open_sweep", "sweep", "toml"]
