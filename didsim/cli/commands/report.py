"""`didsim report`: all results on one page, made of files alone."""

import sys
from pathlib import Path

from didsim.cli.command import Command, Overwrite, command
from didsim.numerics import files
from didsim.numerics.errors import ArgumentError


@command
class Report(Command):
    """Put all results on one page: figures, verdicts, data, ledger, speed and origin."""

    figures: Path = Path("figures")
    """Folder with the results of `didsim reproduce`, and of `didsim bench --out` if it was run."""
    ledger: Path | None = None
    """File of `didsim verify --json`; ledger.json in that folder if there is one."""
    out: Path = Path("report.html")
    """File for the page."""
    overwrite: Overwrite = False
    needs_jax = False

    def check(self) -> None:
        """Refuses folders and files before the page's libraries are imported."""
        if not self.figures.is_dir():
            raise ArgumentError(f"Argument `--figures` must be a folder, but {self.figures} is not.")
        if self.ledger is not None and not self.ledger.is_file():
            raise ArgumentError(f"Argument `--ledger` must be a file that didsim verify --json wrote, but {self.ledger} is not.")
        ledger = self.ledger or self.figures / "ledger.json"
        files.writable("--out", self.out, overwrite=self.overwrite, read={"--ledger": ledger})

    def run(self) -> int:
        """Writes the page; 1 if the page tells of something that is not whole or not ok."""
        from didsim.cli.report import gather, summary
        from didsim.cli.report.page import render

        contents = gather(self.figures, self.ledger)
        files.write("--out", self.out, render(contents))
        for line in contents.all_troubles:
            print(f"damaged or missing: {line}", file=sys.stderr)
        for line in contents.failures:
            print(f"failed: {line}", file=sys.stderr)
        print(summary(contents, self.out))
        return 1 if contents.all_troubles or contents.failures else 0
