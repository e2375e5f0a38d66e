"""`didsim diagnose`: what the logs of a real run say."""

from pathlib import Path

import tyro

from didsim.cli.command import Command, Overwrite, command
from didsim.numerics import files


@command
class Diagnose(Command):
    """Say what the preference logs of a real DPO run show, and which known faults."""

    logs: tyro.conf.Positional[Path]
    """One pair a row at two steps or more, .jsonl, .json, .csv, .tsv or .parquet; or a trainer_state.json, which answers less."""
    beta: float | None = None
    """Inverse temperature of the run; from the log, where it says."""
    objective: str | None = None
    """The loss trained, where the log does not show it: dpo, ipo, kto, orpo, simpo, cdpo:smoothing=0.1, …"""
    drawn: str = "unknown"
    """Responses known to be draws from the reference: chosen, rejected, both or unknown."""
    level: float = 0.95
    """Coverage of the intervals."""
    step: str | None = None
    """Column of the training step, where columns do not have TRL's names."""
    example: str | None = None
    """Column that names the pair."""
    chosen: str | None = None
    """Column of log π of the chosen response, summed over its tokens."""
    rejected: str | None = None
    """... of the rejected one."""
    ref_chosen: str | None = None
    """... of the chosen one under the reference."""
    ref_rejected: str | None = None
    """... of the rejected one under the reference."""
    chosen_length: str | None = None
    """Column of the tokens of the chosen response."""
    rejected_length: str | None = None
    """... of the rejected one."""
    score_chosen: str | None = None
    """Column of the true reward of the chosen response, where there is one."""
    score_rejected: str | None = None
    """... of the rejected one."""
    details: bool = False
    """Print every question and fault with its numbers."""
    json: Path | None = None
    """File for all numbers."""
    html: Path | None = None
    """File for a page with pictures."""
    overwrite: Overwrite = False

    def check(self) -> None:
        """Refuses names and files before JAX is imported."""
        files.readable("LOGS", self.logs)
        files.outputs({"--json": self.json, "--html": self.html}, overwrite=self.overwrite, read={"LOGS": self.logs})

    def run(self) -> int:
        """Diagnoses one log: 0 if it looks healthy, 1 if it shows a fault."""
        from rich.console import Console

        from didsim.diagnose import diagnose, page
        from didsim.diagnose.columns import COLUMNS

        names = {meaning: getattr(self, meaning, None) for meaning in COLUMNS if meaning != "beta"}
        found = diagnose(self.logs, beta=self.beta, names=names, drawn=self.drawn, level=self.level, objective=self.objective)
        page.show(found, Console(), details=self.details)
        files.write_json("--json", self.json, found.dictionary)
        if self.html is not None:
            files.write("--html", self.html, page.html(found))
        return 1 if found.faults else 0
