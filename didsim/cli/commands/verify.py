"""What does `didsim verify` do?  Judges the ledger's claims, shows what came out, and says so in its exit code."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import jax
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from didsim import claims
from didsim.claims.counterexamples import Counterexample
from didsim.claims.ledger import Control, Finding, chosen
from didsim.numerics import checks
from didsim.numerics.provenance import origin

PROGRAMS_KEPT = 8  # claims


def verify(command: Any) -> int:
    """Judges claims one by one with a live bar, prints the table, writes files: 0 if all came out as they should, else 1."""
    began = time.perf_counter()
    for name in ("json", "counterexamples"):
        _check_file(name, getattr(command, name))
    console, todo = Console(), chosen(command.claims)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    found: list[Finding] = []
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("claims", total=len(todo))
        judged = claims.verify(
            command.claims,
            instances=command.instances,
            attack=command.attack,
            certified=command.certify,
            counterexamples=command.counterexamples is not None,
            seed=command.seed,
            dtype=command.dtype,
            watch=lambda claim: progress.update(task, description=f"{claim.id:24s}"),
        )
        for finding in judged:
            found.append(finding)
            progress.advance(task)
            if len(found) % PROGRAMS_KEPT == 0:
                jax.clear_caches()  # a process can map only so many compiled programs
            if not finding.ok:
                progress.console.print(f"[bold red]{escape(finding.claim.id)}: {escape(_complaint(finding))}[/]")
    _show(console, found, command)
    seconds = time.perf_counter() - began
    _write(command, found, seconds)
    print(_summary(found, len(todo), seconds))
    return 0 if all(finding.ok for finding in found) else 1


def findings_table(found: list[Finding], *, attack: bool, certify: bool) -> Table:
    """Table claim | source | instances | worst | adversarial | certified, with a row below for each hypothesis left out."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("claim", overflow="fold", min_width=24)
    table.add_column("source", overflow="fold")
    for name in ("instances", "worst", "bound", *(["adversarial"] if attack else [])):
        table.add_column(name, justify="right", no_wrap=True)
    if certify:
        table.add_column("certified", overflow="fold")
    table.add_column("")
    for one in found:
        attacked = [] if not attack else ["" if one.climb is None else _number(one.climb.worst)]
        proved = [] if not certify else [_proofs(one)]
        counted = one.trial.instances + sum(trial.instances for trial in one.others)
        numbers = [f"{counted:,}", _number(one.worst), f"{one.bound:.0e}", *attacked, *proved]
        table.add_row(escape(one.claim.id), escape(one.claim.source), *numbers, "ok" if one.ok else "[bold red]FAILED[/]")
        for control in one.controls:
            table.add_row(*_control(control), *[""] * (len(attacked) + len(proved)), _said(control))
    return table


def _show(console: Console, found: list[Finding], command: Any) -> None:
    """The table, and all counterexamples that were looked for or that refute a claim."""
    console.print(findings_table(found, attack=command.attack, certify=command.certify))
    for example in _examples(found):
        console.print(example.table())
        console.print()


def _examples(found: list[Finding]) -> list[Counterexample]:
    own = [one.refutation for one in found]
    return [example for example in [*own, *(c.counterexample for one in found for c in one.controls)] if example is not None]


def _control(control: Control) -> list[str]:
    rate = f"{100 * control.trial.failure_rate:.3g} %"
    return [f"[dim]  without: {escape(control.dropped)}[/]", "[dim]fails on[/]", f"{control.trial.violating:,}", rate, ""]


def _said(control: Control) -> str:
    said = "needed" if control.trial.failures else "not needed"
    return f"[dim]{said}[/]" if control.ok else f"[bold red]{said}[/]"


def _proofs(one: Finding) -> str:
    if one.claim.exact is None:
        return "[dim]no exact form[/]"
    return "\n".join(dict.fromkeys(str(proof) for proof in one.certificates))


def _complaint(one: Finding) -> str:
    if not one.holds:
        return f"does not hold: {_number(max(one.worst, one.climb.worst if one.climb else one.worst))} > {one.bound:.1e}"
    wrong = [control for control in one.controls if not control.ok]
    return "; ".join(
        f"without “{control.dropped}” it {'never fails' if control.needed else 'fails, though it should not'}"
        for control in wrong
    )


def _summary(found: list[Finding], asked: int, seconds: float) -> str:
    controls = [control for one in found for control in one.controls]
    good = sum(one.ok for one in found)
    needed = sum(control.needed for control in controls)
    left_out = "" if len(found) == asked else f"; {asked - len(found)} need double precision and were left out"
    return (
        f"{good} of {len(found)} claims ok; {sum(c.ok for c in controls)} of {len(controls)} hypotheses as said "
        f"({needed} needed, {len(controls) - needed} not); {seconds:.0f} s{left_out}"
    )


def _manifest(command: Any, seconds: float) -> dict[str, Any]:
    """What the findings can be found again with."""
    asked = {name: getattr(command, name) for name in ("instances", "attack", "certify", "seed", "dtype")}
    devices = [device.device_kind for device in jax.devices()]
    return {**origin(), **asked, "devices": devices, "command": ["didsim", *sys.argv[1:]], "seconds": round(seconds, 3)}


def _write(command: Any, found: list[Finding], seconds: float) -> None:
    if command.json is not None:
        rows = [finding.to_json() for finding in found]
        command.json.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        beside = command.json.with_suffix(".manifest.json")
        beside.write_text(json.dumps(_manifest(command, seconds), indent=1) + "\n", encoding="utf-8")
    if command.counterexamples is not None:
        claims.save(command.counterexamples, _examples(found))


def _check_file(name: str, path: Path | None) -> None:
    if path is not None and not path.parent.is_dir():
        raise checks.ArgumentError(f"Argument `--{name}` must lie in a folder that exists, but {path.parent} does not.")
    if path is not None and path.is_dir():
        raise checks.ArgumentError(f"Argument `--{name}` must be a file, but {path} is a folder.")


def _number(value: float) -> str:
    return f"{value:.1e}"
