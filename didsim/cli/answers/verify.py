"""What came out of the claims, as a table and in a line?"""

import sys
from typing import Any

import jax
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from didsim.claims import Counterexample, Finding
from didsim.claims.ledger import Control
from didsim.cli import tables
from didsim.numerics.provenance import origin


def findings_table(found: list[Finding], *, attack: bool, certify: bool) -> Table:
    """Table claim | source | instances | worst | adversarial | certified, with a row below for each hypothesis left out."""
    numbers = ("instances", "worst", "bound", *(["adversarial"] if attack else []))
    table = tables.table("claim", "source", right=numbers, last=(*(["certified"] if certify else []), ""))
    table.columns[0].min_width = 24
    for one in found:
        attacked = [] if not attack else ["" if one.climb is None else _number(one.climb.worst)]
        proved = [] if not certify else [_proofs(one)]
        counted = one.trial.instances + sum(trial.instances for trial in one.others)
        shown = [f"{counted:,}", _number(one.worst), f"{one.bound:.0e}", *attacked, *proved]
        table.add_row(escape(one.claim.id), escape(one.claim.source), *shown, "ok" if one.ok else tables.FAILED)
        for control in one.controls:
            table.add_row(*_control(control), *[""] * (len(attacked) + len(proved)), _said(control))
    return table


def show(console: Console, found: list[Finding], command: Any) -> None:
    """The table, and all counterexamples that were looked for or that refute a claim."""
    console.print(findings_table(found, attack=command.attack, certify=command.certify))
    for example in examples(found):
        console.print(example.table())
        console.print()


def examples(found: list[Finding]) -> list[Counterexample]:
    """Instances that refute a claim, and those on which a control fails."""
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


def complaint(one: Finding) -> str:
    """What is wrong with a claim."""
    if not one.holds:
        return f"does not hold: {_number(max(one.worst, one.climb.worst if one.climb else one.worst))} > {one.bound:.1e}"
    wrong = [control for control in one.controls if not control.ok]
    return "; ".join(f"without “{control.dropped}” it {_misbehaves(control)}" for control in wrong)


def _misbehaves(control: Control) -> str:
    """What a hypothesis left out has done that it should not."""
    if not control.needed:
        return "fails, though it should not"
    rate = f"{100 * control.trial.failure_rate:.3g} %"
    return f"fails on {rate}, less than {100 * control.least:.3g} %" if control.trial.failures else "never fails"


def summary(found: list[Finding], asked: int, seconds: float) -> str:
    """All in one line."""
    controls = [control for one in found for control in one.controls]
    good = sum(one.ok for one in found)
    needed = sum(control.needed for control in controls)
    left_out = "" if len(found) == asked else f"; {asked - len(found)} need double precision and were left out"
    return (
        f"{good} of {len(found)} claims ok; {sum(c.ok for c in controls)} of {len(controls)} hypotheses as said "
        f"({needed} needed, {len(controls) - needed} not); {seconds:.0f} s{left_out}"
    )


def manifest(command: Any, seconds: float) -> dict[str, Any]:
    """What the findings can be found again with."""
    asked = {name: getattr(command, name) for name in ("instances", "attack", "certify", "seed", "dtype")}
    devices = [device.device_kind for device in jax.devices()]
    return {**origin(), **asked, "devices": devices, "command": ["didsim", *sys.argv[1:]], "seconds": round(seconds, 3)}


def _number(value: float) -> str:
    return f"{value:.1e}"
