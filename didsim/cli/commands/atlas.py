"""`didsim atlas`: where every objective ends under every departure from the matched world."""

import time
from pathlib import Path
from typing import Annotated, Literal

from didsim.cli.command import Command, command, words
from didsim.cli.own_module import imported
from didsim.numerics import files
from didsim.numerics.errors import ArgumentError


@command
class Atlas(Command):
    """Chart exactly where each objective ends on data that depart from the theory's."""

    objective: Annotated[tuple[str, ...], words("NAME ...")] = ()
    """Rows, all if none is given; `didsim objectives` lists them."""
    departure: Annotated[tuple[str, ...], words("NAME ...")] = ()
    """Columns, all if none is given; of one a ranking is shown."""
    measure: Literal["gap", "jsd", "chosen_change", "misfit"] = "gap"
    """Lacking value ÷ the reference's, divergence from π*, change of the chosen, part of the move off the reward."""
    worlds: int = 8
    """Random worlds that every cell is solved in."""
    seed: int = 0
    """Of the worlds."""
    module: Annotated[tuple[str, ...], words("MODULE ...")] = ()
    """Python modules that register objectives or departures of one's own."""
    out: Path | None = None
    """Folder for the cells, CSV, Parquet, netCDF and picture; an interrupted chart goes on there.  didsim report shows it."""

    @property
    def kept(self) -> str:
        """Rows that are whole stay."""
        return "" if self.out is None else "; rows in --out are kept, start again to go on"

    def check(self) -> None:
        """Refuses names that are none, numbers out of range and a folder that cannot be written."""
        from didsim.cli import known

        for option, value, least in (("--worlds", self.worlds, 1), ("--seed", self.seed, 0)):
            if not least <= value < 2**32:
                raise ArgumentError(f"Argument `{option}` must be at least {least} and below {2**32}, but is {value}.")
        if not self.module:
            known.check_parts("--objective", "objectives", self.objective)
            known.check_parts("--departure", "departures", self.departure)
        files.writable_folder("--out", self.out)

    def run(self) -> int:
        """Solves what is not in the folder yet, prints the chart or the ranking, writes the files; 1 if a cell is unsolved."""
        for name in self.module:
            imported("--module", name)
        from rich.console import Console

        from didsim.cli import tables
        from didsim.cli.answers import atlas as answer
        from didsim.landscape import atlas
        from didsim.objectives import OBJECTIVES

        rows = [OBJECTIVES.spelled(word, "--objective") for word in self.objective] or list(OBJECTIVES)
        columns = [atlas.DEPARTURES.spelled(word, "--departure") for word in self.departure] or atlas.columns()
        store = None if self.out is None else self.out / "atlas.jsonl"
        began = time.perf_counter()
        with tables.counting_bar(Console(stderr=True)) as bar:
            task = bar.add_task("objectives", total=len(rows))
            data = atlas.chart(
                rows, columns, worlds=self.worlds, seed=self.seed, store=store, told=lambda name: bar.advance(task)
            )
        answer.print_chart(data, self.measure)
        if self.out is not None:
            seconds = round(time.perf_counter() - began, 3)
            answer.write(data, self.out, {"worlds": self.worlds, "seed": self.seed, "seconds": seconds})
        return 0 if float(atlas.solved(data).mean()) >= answer.ENOUGH else 1
