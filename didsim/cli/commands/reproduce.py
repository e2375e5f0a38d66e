"""`didsim reproduce`: figures, their data and their verdicts."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from didsim.cli.command import Command, Overwrite, Single, command, words

if TYPE_CHECKING:
    from rich.table import Table

    from didsim.figures.make import Outcome


@command
class Reproduce(Command):
    """Draw figures of the papers' claims and check their verdicts."""

    ids: Annotated[tyro.conf.Positional[tuple[str, ...]], words("[ID ...]")] = ()
    """Figures to draw, as `didsim list` names them; all if none is named."""
    fast: bool = False
    """Draw small, for a quick look."""
    out: Path = Path("figures")
    """Folder for pictures, data, configs and manifests."""
    set: Annotated[tyro.conf.UseAppendAction[tuple[tuple[str, ...], ...]], tyro.conf.arg(metavar="[ID.]NAME=VALUE")] = ()
    """Change numbers of the configs; lists as 1,2,3."""
    seed: int | None = None
    """Seed of every figure, 0 to 2^32-1; each has its own if missing."""
    single: Single = False
    overwrite: Overwrite = False
    jobs: int | None = None
    """Figures drawn side by side, each in a process of its own; as many as there are cores."""
    kept = "; finished figures are whole"

    def run(self) -> int:
        """Draws the figures, writes the summary after each, prints the verdicts."""
        from rich.console import Console

        from didsim.cli import tables
        from didsim.figures.catalogue import FIGURES
        from didsim.figures.make import make_all, plan, prepare_folder, write_summary

        settings = [text for group in self.set for text in group]
        jobs = plan(self.ids, fast=self.fast, settings=settings, seed=self.seed)
        prepare_folder(self.out, jobs, overwrite=self.overwrite)
        outcomes: list[Outcome] = []
        console = Console()
        with tables.counting_bar(console) as progress:
            task = progress.add_task("figures", total=len(jobs))
            for outcome in make_all(jobs, self.out, self.jobs):
                outcomes.append(outcome)
                write_summary(self.out, outcomes)
                progress.update(task, advance=1, description=f"figures ({outcome.entry.id} done)")
        order = list(FIGURES)
        outcomes.sort(key=lambda outcome: order.index(outcome.entry.id))
        console.print(verdict_table(outcomes))
        failed = [v for outcome in outcomes for v in outcome.verdicts if not v.ok]
        total = sum(len(outcome.verdicts) for outcome in outcomes)
        console.print(f"{total - len(failed)} of {total} verdicts ok; files in {self.out}/")
        return 1 if failed else 0


def verdict_table(outcomes: "list[Outcome]") -> "Table":
    """Table id | verdict | measured | bound | ok | seconds."""
    from rich.markup import escape

    from didsim.cli import tables

    shown = tables.table("id", "verdict", right=("measured", "bound"), last=("",))
    shown.add_column("seconds", justify="right")
    for outcome in outcomes:
        for place, verdict in enumerate(outcome.verdicts):
            shown.add_row(
                outcome.entry.id if place == 0 else "",
                escape(verdict.name),
                f"{verdict.value:.3g}",
                f"{'≤' if verdict.sense == '<=' else '≥'} {verdict.bound:.3g}",
                "ok" if verdict.ok else tables.FAILED,
                f"{outcome.seconds:.1f}" if place == 0 else "",
            )
    return shown
