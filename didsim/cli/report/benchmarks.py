"""How fast was it, and on what?"""

from dataclasses import dataclass
from pathlib import Path

from didsim.cli.report.figures import attempt
from didsim.cli.report.files import BENCH, BENCH_MANIFEST, BenchManifest, BenchRow, read
from didsim.cli.report.picture import Picture, picture

STEM = "bench-cost"
DESCRIPTION = "Seconds per exact gradient against the number of responses, and seconds per run against the runs at once."


@dataclass(frozen=True)
class Benchmarks:
    """Rows of the benchmarks, the machine they were measured on, and their picture."""

    rows: tuple[BenchRow, ...]
    manifest: BenchManifest | None
    picture: Picture | None
    troubles: tuple[str, ...]


def benchmarks(folder: Path) -> Benchmarks | None:
    """Reads what `didsim bench --out` wrote into the folder; None if it wrote nothing."""
    if not any((folder / name).exists() for name in ("bench.json", "bench.manifest.json", f"{STEM}.svg")):
        return None
    troubles: list[str] = []
    rows = attempt(lambda: read(folder / "bench.json", BENCH), troubles) or []
    manifest = attempt(lambda: read(folder / "bench.manifest.json", BENCH_MANIFEST), troubles)
    shown = attempt(lambda: picture(folder / STEM, "Figure: cost of a gradient and of a run.", DESCRIPTION), troubles)
    return Benchmarks(tuple(rows), manifest, shown, tuple(troubles))
