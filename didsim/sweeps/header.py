"""What does a store say about itself?"""

from dataclasses import dataclass
from typing import Any

FORMAT = 1


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

    @property
    def per_program(self) -> int:
        """Blocks per program."""
        return -(-self.lanes // self.width)

    @property
    def blocks(self) -> int:
        """Blocks in all, numbered program by program."""
        return self.programs * self.per_program
