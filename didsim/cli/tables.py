"""How does a table look on a terminal, and what shows that something is still going on?"""

import os
import re
import sys
import textwrap
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

PIPED = 1000  # columns where nothing is wrapped, for a file or another program reads it
KEPT = "\0"  # stands for a space at which no line may end
FAILED = "[bold red]FAILED[/]"


def console() -> Console:
    """Standard output, as wide as the terminal or as ``COLUMNS`` says; lines that go to a file or a pipe are not wrapped."""
    piped = not sys.stdout.isatty() and not os.environ.get("COLUMNS")
    return Console(width=PIPED) if piped else Console()


def table(*left: str, right: tuple[str, ...] = (), last: tuple[str, ...] = ()) -> Table:
    """A bare table: columns of words, of numbers aligned right, and of words again."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for name in left:
        made.add_column(name, overflow="fold")
    for name in right:
        made.add_column(name, justify="right", no_wrap=True)
    for name in last:
        made.add_column(name, overflow="fold")
    return made


def show(names: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Prints rows of words as a table where it fits without wrapping, and else as blocks, a line or a few for each cell."""
    rows, to = list(rows), console()
    made = table(*names)
    for row in rows:
        made.add_row(*map(escape, row))
    if made.__rich_measure__(to, to.options).maximum <= to.width:
        to.print(made)
        return
    indent = max(map(len, names[1:])) + 4
    for first, *rest in rows:
        to.print(Text(first, style="bold"))
        for name, cell in zip(names[1:], rest, strict=True):
            if cell:
                print(wrapped(name, cell, indent, to.width))


def wrapped(name: str, cell: str, indent: int, width: int) -> str:
    """A cell under its name, broken between words, never at a hyphen nor within a formula's braces."""
    kept = re.sub(r"\{[^{}]*\}", lambda match: match[0].replace(" ", KEPT), cell)
    first, later = f"  {name}".ljust(indent), " " * indent
    lines = textwrap.TextWrapper(
        width, initial_indent=first, subsequent_indent=later, break_on_hyphens=False, break_long_words=False
    )
    return lines.fill(kept).replace(KEPT, " ")


def counting_bar(console: Console) -> Progress:
    """A bar that counts what is done and goes when all is."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
