"""How fast is it, against what one would write otherwise?  Ours and a rival in one run on one machine, as ratios."""

from didsim.cli.bench.suite import FULL, QUICK, Measured, Plan, measure
from didsim.cli.bench.timing import Row, fastest

__all__ = ["FULL", "QUICK", "Measured", "Plan", "Row", "fastest", "measure"]
