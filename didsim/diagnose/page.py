"""How is a diagnosis read?  As one HTML page that needs nothing from elsewhere, or as text in a terminal."""

from pathlib import Path

import jinja2
from markupsafe import Markup
from rich.console import Console, Group
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from didsim.diagnose.answers import UNTOLD, shown
from didsim.diagnose.diagnosis import Diagnosis
from didsim.diagnose.findings import Finding
from didsim.diagnose.pictures import pictures
from didsim.diagnose.short import lines
from didsim.numerics.errors import printable
from didsim.numerics.version import __version__

HERE = Path(__file__).parent
SEEN = {True: "yes", False: "no", None: "?"}


def html(found: Diagnosis) -> str:
    """The page: state, faults, pictures, every finding with its numbers, the table of faults."""
    environment = jinja2.Environment(
        autoescape=True, loader=jinja2.FileSystemLoader(HERE), trim_blocks=True, undefined=jinja2.StrictUndefined
    )
    style = Markup((HERE / "page.css").read_text(encoding="utf-8"))
    return environment.get_template("page.html.jinja").render(
        found=found, pictures=pictures(found), shown=shown, style=style, version=__version__, **_sorted(found)
    )


def _sorted(found: Diagnosis) -> dict[str, list]:
    """Questions with an answer, those without, and what to do for these, each piece of advice once."""
    untold = [one for one in found.findings if not one.answered]
    told = [one for one in found.findings if one.answered]
    return {"told": told, "untold": untold, "advices": list(dict.fromkeys(one.advice for one in untold if one.advice))}


def show(found: Diagnosis, console: Console, *, details: bool = False) -> None:
    """Prints the diagnosis for people: the short answer, and with ``details`` every question and fault with its numbers."""
    colour = "bold red" if found.faults else "bold green"
    console.print(f"{escape(printable(found.log.path.name))}: [{colour}]{found.state}[/]")
    for line in lines(found):
        console.print(Text(printable(line)))
    if not details:
        console.print(Text("More: --details, or all numbers with --json and pictures with --html.", style="dim"))
        return
    told, untold, advices = _sorted(found).values()
    for finding in told:
        console.print()
        console.print(_finding(finding))
    console.print()
    if untold:
        console.print(_untold(untold, advices))
        console.print()
    console.print(_signatures(found))


def _finding(finding: Finding) -> Group:
    numbers = Table(box=None, show_header=False, pad_edge=False)
    for name, value in finding.numbers.items():
        if name not in finding.series:
            numbers.add_row(Text(name, style="dim"), Text(shown(value)))
    parts = [Text(finding.question, style="bold"), Text(finding.answer), Padding(numbers, (0, 0, 0, 2))]
    if finding.series:
        steps = Table(box=None, pad_edge=False, header_style="dim")
        for name in finding.series:
            steps.add_column(Text(name))
        for row in finding.rows:
            steps.add_row(*(Text(shown(value)) for value in row))
        parts.append(Padding(steps, (0, 0, 0, 2)))
    parts += [Text(finding.open, style="dim")] if finding.open else []
    return Group(*parts, *([Text(f"→ {finding.advice}")] if finding.advice else []))


def _untold(findings: list[Finding], advices: list[str]) -> Group:
    table = Table(box=None, show_header=False, pad_edge=False)
    for finding in findings:
        table.add_row(Text(finding.question), Text(finding.why, style="dim"))
    return Group(Text(UNTOLD.strip(), style="bold"), Padding(table, (0, 0, 0, 2)), *(Text(f"→ {advice}") for advice in advices))


def _signatures(found: Diagnosis) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("seen", "known fault", "evidence"):
        table.add_column(name, overflow="fold")
    for one in found.signatures:
        style = "bold red" if one.found and one.fault else "" if one.found else "dim"
        evidence = f"{one.evidence}. {one.cause} → {one.advice}" if one.found else one.evidence
        table.add_row(*(Text(text, style=style) for text in (SEEN[one.found], one.title)), Text(evidence))
    return table
