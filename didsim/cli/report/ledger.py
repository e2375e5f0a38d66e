"""What does the ledger say, claim by claim, in the words of a table?"""

import re
from dataclasses import dataclass
from pathlib import Path

from didsim.cli.report.files import CLAIMS, ORIGIN, ClaimRow, ExampleRow, Origin, read

WHO = re.compile(r"paper [A-Z]|[A-Z]\w+ et al\. [\d.]+\d|derived|standard")
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Example:
    """A counterexample as a table.

    Attributes:
        head: letters of the responses, as many as the longest row has; empty if each row has one number.
        rows: names of the variables with their entries.
        residual: how far the claim is off.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    residual: float


@dataclass(frozen=True)
class Ledger:
    """The claims with their origin, and by whom claims are stated."""

    claims: tuple[ClaimRow, ...]
    origin: Origin | None
    sources: tuple[str, ...]

    @property
    def good(self) -> int:
        """Claims that came out as they should."""
        return sum(claim.ok for claim in self.claims)

    @property
    def attacked(self) -> bool:
        """Whether the claims were also attacked."""
        return any(claim.adversarial is not None for claim in self.claims)


def ledger(path: Path) -> Ledger:
    """Reads the file of `didsim verify --json`, and the manifest beside it if there is one.

    Raises:
        Damaged: a file is not what it should be.
    """
    claims = tuple(read(path, CLAIMS))
    beside = path.with_suffix(".manifest.json")
    origin = read(beside, ORIGIN) if beside.exists() else None
    sources = sorted({source for claim in claims for source in stated_by(claim.source)})
    return Ledger(claims, origin, tuple(sources))


def stated_by(source: str) -> list[str]:
    """Who states a claim, out of its source.

    Example:
        >>> stated_by("paper A v2, Theorem 4.1; derived"), stated_by("mine")
        (['paper A', 'derived'], ['other'])
    """
    return list(dict.fromkeys(WHO.findall(source))) or ["other"]


def group(id: str) -> str:
    """The part of the theory that a claim belongs to: "D7" of "D7.best-rejected"."""
    return id.split(".")[0]


def tabulated(example: ExampleRow) -> Example:
    """A counterexample with one column per response; tables of pairs and of features become a row for each line.

    Example:
        >>> tabulated(ExampleRow(n=2, values={"ref": ["1", "2"], "P": [["0", "1"], ["1", "0"]]}, residual=0.1)).rows
        (('ref', ('1', '2')), ('P[a]', ('0', '1')), ('P[b]', ('1', '0')))
    """
    rows = tuple(row for name, value in example.values.items() for row in _rows(name, value))
    widest = max((len(entries) for _, entries in rows), default=0)
    head = tuple(LETTERS[k % 26] for k in range(widest)) if widest > 1 else ()
    return Example(head, rows, example.residual)


def _rows(name: str, value: object) -> list[tuple[str, tuple[str, ...]]]:
    if not isinstance(value, list):
        return [(name, (str(value),))]
    if not any(isinstance(entry, list) for entry in value):
        return [(name, tuple(str(entry) for entry in value))]
    return [row for k, entry in enumerate(value) for row in _rows(f"{name}[{LETTERS[k % 26]}]", entry)]
