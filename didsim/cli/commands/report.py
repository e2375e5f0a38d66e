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
    appendix: str | None = None
    """Figure (A4) to put on a page of LaTeX for a paper's appendix, instead of all results on one page."""
    out: Path | None = None
    """File for the page; report.html, or appendix-A4.tex, if none is given."""
    overwrite: Overwrite = False
    needs_jax = False

    def check(self) -> None:
        """Refuses folders and files before the page's libraries are imported."""
        if not self.figures.is_dir():
            raise ArgumentError(f"Argument `--figures` must be a folder, but {self.figures} is not.")
        if self.ledger is not None and not self.ledger.is_file():
            raise ArgumentError(f"Argument `--ledger` must be a file that didsim verify --json wrote, but {self.ledger} is not.")
        ledger = self.ledger or self.figures / "ledger.json"
        files.writable("--out", self.place, overwrite=self.overwrite, read={"--ledger": ledger})

    @property
    def place(self) -> Path:
        """Where the page goes."""
        return self.out or Path("report.html" if self.appendix is None else f"appendix-{self.appendix.upper()}.tex")

    def run(self) -> int:
        """Writes the page; 1 if the page tells of something that is not whole or not ok."""
        from didsim.cli.report import gather, summary
        from didsim.cli.report.appendix import appendix
        from didsim.cli.report.page import render

        if self.appendix is not None:
            files.write("--out", self.place, appendix(self.figures, self.appendix, self.place))
            print(f"{self.place}: one page; \\input it where graphicx and booktabs are loaded")
            return 0
        contents = gather(self.figures, self.ledger)
        files.write("--out", self.place, render(contents))
        for line in contents.all_troubles:
            print(f"damaged or missing: {line}", file=sys.stderr)
        for line in contents.failures:
            print(f"failed: {line}", file=sys.stderr)
        print(summary(contents, self.place))
        return 1 if contents.all_troubles or contents.failures else 0
