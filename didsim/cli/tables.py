"""How does a table look on a terminal, and what shows that something is still going on?"""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

FAILED = "[bold red]FAILED[/]"


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


def counting_bar(console: Console) -> Progress:
    """A bar that counts what is done and goes when all is."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True)
