"""`didsim reproduce`: figures, their data and their verdicts."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from didsim.cli.command import Command, Overwrite, Single, command, words
from didsim.numerics import files

if TYPE_CHECKING:
    from rich.table import Table

    from didsim.figures.make import Outcome
    from didsim.figures.verdicts import Verdict


@command
class Reproduce(Command):
    """Draw figures of the papers' claims and check their verdicts."""

    runs_briefly = True

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
    verbose: bool = False
    """Print every verdict with its number and bound."""
    jobs: int | None = None
    """Figures drawn side by side, each in a process of its own; as many as there are cores."""

    @property
    def kept(self) -> str:
        """Figures are written one by one."""
        return "; finished figures are whole"

    def check(self) -> None:
        """Refuses names and files before JAX is imported."""
        from didsim.figures.catalogue import chosen

        chosen(self.ids)
        files.writable_folder("--out", self.out)

    def run(self) -> int:
        """Draws the figures, writes the summary after each, prints how many of their verdicts hold."""
        from rich.console import Console

        from didsim.cli import tables
        from didsim.figures.catalogue import FIGURES
        from didsim.figures.make import check_folder, make_all, plan, write_summary

        settings = [text for group in self.set for text in group]
        jobs = plan(self.ids, fast=self.fast, settings=settings, seed=self.seed)
        check_folder(self.out, jobs, overwrite=self.overwrite)
        outcomes: list[Outcome] = []
        console = Console()
        with tables.counting_bar(console) as progress:
            task = progress.add_task("figures", total=len(jobs))
            for outcome in make_all(jobs, self.out, self.jobs):
                outcomes.append(outcome)
                write_summary(self.out, outcomes)
                progress.update(task, advance=1, description=f"figures ({outcome.entry.id} done)")
                if not console.is_terminal:
                    print(f"{outcome.entry.id} done in {outcome.seconds:.0f} s, {len(outcomes)} of {len(jobs)}", flush=True)
        order = list(FIGURES)
        outcomes.sort(key=lambda outcome: order.index(outcome.entry.id))
        console.print(outcome_table(outcomes))
        every = [(outcome, verdict) for outcome in outcomes for verdict in outcome.verdicts]
        failed = [(outcome, verdict) for outcome, verdict in every if not verdict.ok]
        if failed or self.verbose:
            console.print()
            console.print(verdict_table(every if self.verbose else failed))
        more = "" if self.verbose else "; each verdict: --verbose, or summary.json"
        print(f"{len(every) - len(failed)} of {len(every)} verdicts ok; files in {self.out}/{more}")
        return 1 if failed else 0


def outcome_table(outcomes: "list[Outcome]") -> "Table":
    """Table id | claim | verdicts that hold | seconds, a row per figure."""
    from rich.markup import escape

    from didsim.cli import tables

    shown = tables.table("id", "claim", right=("verdicts", "seconds"))
    for outcome in outcomes:
        good, total = sum(verdict.ok for verdict in outcome.verdicts), len(outcome.verdicts)
        held = f"{good} of {total}" if good == total else f"[bold red]{good} of {total}[/]"
        shown.add_row(outcome.entry.id, escape(outcome.entry.claim), held, f"{outcome.seconds:.1f}")
    return shown


def verdict_table(found: "list[tuple[Outcome, Verdict]]") -> "Table":
    """Table id | verdict | measured | bound | outcome; a control is the same check with an assumption dropped."""
    from rich.markup import escape

    from didsim.cli import tables

    shown = tables.table("id", "verdict", right=("measured", "bound"), last=("",))
    before = None
    for outcome, verdict in found:
        said = ("fails, as it must" if verdict.control else "ok") if verdict.ok else tables.FAILED
        bound = f"{'≤' if verdict.sense == '<=' else '≥'} {verdict.bound:.3g}"
        shown.add_row("" if outcome is before else outcome.entry.id, escape(verdict.name), f"{verdict.value:.3g}", bound, said)
        before = outcome
    return shown
