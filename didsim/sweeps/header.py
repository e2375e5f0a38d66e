"""What does a store say about itself?"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

FORMAT = 1
LAYOUT = ("dtype", "width", "programs", "lanes", "variables", "axes")


@dataclass(frozen=True)
class Header:
    """What a store says about itself: which sweep, in which blocks and precision, under which labels, made by what."""

    format: int
    config_hash: str
    config: list[str]
    dtype: str
    width: int
    programs: int
    lanes: int
    variables: list[str]
    axes: list[dict[str, Any]]
    provenance: dict[str, Any]
    description: str = "didsim sweep: blocks of `width` lanes per chunk; open with didsim.sweeps.open_sweep"
    layout_hash: str = ""  # empty in stores of releases that wrote none

    def layout(self) -> str:
        """Hash of what places and labels the numbers: the labels of axes are data too, and have no checksum but this."""
        held = {name: getattr(self, name) for name in LAYOUT}
        return hashlib.sha256(json.dumps(held, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def per_program(self) -> int:
        """Blocks per program."""
        return -(-self.lanes // self.width)

    @property
    def blocks(self) -> int:
        """Blocks in all, numbered program by program."""
        return self.programs * self.per_program
