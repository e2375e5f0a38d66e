"""What does `didsim diagnose` do?  Reads the log, prints what it says, writes files, and exits 1 where a fault was found."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console

from didsim.diagnose import page
from didsim.diagnose.columns import COLUMNS
from didsim.diagnose.diagnosis import diagnose
from didsim.numerics import checks


def run(command: Any) -> int:
    """Diagnoses one log: 0 if it looks healthy, 1 if it shows a fault."""
    outputs = {"--json": command.json, "--html": command.html}
    for name, path in outputs.items():
        _check_file(name, path, command.logs, command.overwrite)
    if command.json is not None and command.json == command.html:
        raise checks.ArgumentError("Argument `--html` must not be the file of `--json`, but is.")
    names = {meaning: getattr(command, meaning, None) for meaning in COLUMNS if meaning != "beta"}
    found = diagnose(command.logs, beta=command.beta, names=names, drawn=command.drawn, level=command.level)
    page.show(found, Console())
    if command.json is not None:
        _write("--json", command.json, json.dumps(found.dictionary, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    if command.html is not None:
        _write("--html", command.html, page.html(found))
    return 1 if found.faults else 0


def _check_file(name: str, path: Path | None, log: Path, overwrite: bool) -> None:
    if path is None:
        return
    if path.exists() and (path.is_dir() or path.samefile(log) if log.exists() else path.is_dir()):
        raise checks.ArgumentError(f"Argument `{name}` must be a file other than the log, but is {path}.")
    if path.exists() and not overwrite:
        raise checks.ArgumentError(f"Argument `{name}` must not exist already, but {path} does; use --overwrite.")
    if not path.parent.is_dir():
        raise checks.ArgumentError(f"Argument `{name}` must lie in a folder that exists, but {path.parent} does not.")


def _write(name: str, path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise checks.ArgumentError(
            f"Argument `{name}` must be a file that can be written, but {path} is not ({error.strerror})."
        ) from None
