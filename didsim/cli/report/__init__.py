"""What does a person open?  One page with all results: figures and verdicts, the ledger, the atlas, the benchmarks, the
environment.

It is made of files alone, so it needs no JAX, and what is missing or damaged among them is told on it.
"""

from pathlib import Path

from didsim.cli.report.atlas import atlas
from didsim.cli.report.benchmarks import benchmarks
from didsim.cli.report.figures import attempt, drawn
from didsim.cli.report.ledger import ledger
from didsim.cli.report.page import Contents
from didsim.cli.wording import size
from didsim.numerics.errors import ArgumentError
from didsim.numerics.provenance import finished

LEDGER, ATLAS = "ledger.json", Path("atlas", "atlas.json")


def gather(figures: Path, ledger_file: Path | None = None) -> Contents:
    """Reads a results folder, with the atlas of `didsim atlas --out` in its folder ``atlas``, and the ledger.

    Args:
        figures: folder that `didsim reproduce` wrote.
        ledger_file: file of `didsim verify --json`; ``ledger.json`` in that folder if there is one and none is named.

    Raises:
        ArgumentError: the folder holds no results at all, or the file that is named is not there.
    """
    found = drawn(figures)
    if not found.figures:
        raise ArgumentError(f"Argument `--figures` must be a folder with results of didsim reproduce, but {figures} has none.")
    troubles: list[str] = []
    path = figures / LEDGER if ledger_file is None else ledger_file
    claims = attempt(lambda: ledger(path), troubles) if ledger_file is not None or path.exists() else None
    chart = attempt(lambda: atlas(figures / ATLAS), troubles) if (figures / ATLAS).exists() else None
    return Contents(found, claims, chart, benchmarks(figures), tuple(troubles), finished())


def summary(contents: Contents, out: Path) -> str:
    """One line: what is on the page, and how large it is."""
    verdicts = [verdict for figure in contents.drawn.figures for verdict in figure.verdicts]
    parts = [f"{len(contents.drawn.figures)} figures", f"{sum(v.ok for v in verdicts)} of {len(verdicts)} verdicts ok"]
    if contents.ledger is not None:
        parts.append(f"{contents.ledger.good} of {len(contents.ledger.claims)} claims ok")
    if contents.atlas is not None:
        parts.append(f"{contents.atlas.good} of {contents.atlas.total} cells of the atlas solved or explained")
    return f"{out}: {', '.join(parts)}; {size(out.stat().st_size)}"
