"""Many runs at once: a grid over any field of a run, computed in blocks, returned as one labelled dataset."""

from didsim.sweeps import toml
from didsim.sweeps.grid import Axes, Axis, Grid, grid, replace_path
from didsim.sweeps.sweep import Progress, drawn_worlds, sweep
from didsim.sweeps.view import open_sweep

__all__ = ["Axes", "Axis", "Grid", "Progress", "drawn_worlds", "grid", "open_sweep", "replace_path", "sweep", "toml"]
