"""What was everything made with?  The facts of all manifests, equal ones told once; nothing of the machine's folders."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath

from didsim.cli.report.files import Origin

TABLES = ("ledger", "benchmarks")  # origins that are not figures


@dataclass(frozen=True)
class Fact:
    """One fact and the results it holds for.

    Attributes:
        name: "python".
        value: "3.11.7".
        where: "all", or the figures and tables it holds for.
    """

    name: str
    value: str
    where: str


def facts(origins: dict[str, Origin]) -> tuple[Fact, ...]:
    """All facts, each value of each once.

    Args:
        origins: what the manifests say, by figure or table.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for name, origin in origins.items():
        for fact, value in _said(origin):
            found.setdefault((fact, value), []).append(name)
    order = list(dict.fromkeys(fact for fact, _ in found))
    rows = sorted(found.items(), key=lambda item: order.index(item[0][0]))
    return tuple(Fact(fact, value, _where(names, list(origins))) for (fact, value), names in rows)


def without_folders(command: list[str]) -> str:
    """A command line in which paths that start at the root are cut to their last part.

    Example:
        >>> without_folders(["/opt/bin/didsim", "reproduce", "--out=/data/x/figures", "C:\\\\me\\\\y.toml", "a/b"])
        'didsim reproduce --out=figures y.toml a/b'
    """
    return " ".join(_shortened(word) for word in command)


def _shortened(word: str) -> str:
    flag, sign, rest = word.partition("=") if word.startswith("-") else ("", "", word)
    for kind in (PurePosixPath, PureWindowsPath):
        if kind(rest).is_absolute():
            return f"{flag}{sign}{kind(rest).name}"
    return word


def _said(origin: Origin) -> Iterator[tuple[str, str]]:
    yield "didsim", origin.didsim
    if origin.git.commit:
        yield "commit", origin.git.commit[:12] + (" with uncommitted changes" if origin.git.dirty else "")
    yield from origin.libraries.items()
    single = {"jax": origin.jax, "python": origin.python, "platform": origin.platform, "precision": origin.dtype}
    yield from ((name, value) for name, value in single.items() if value and name not in origin.libraries)
    if origin.devices:
        kinds = dict.fromkeys(origin.devices)
        yield "devices", ", ".join(f"{origin.devices.count(kind)} × {kind}" for kind in kinds)
    if origin.seed is not None:
        yield "seed", str(origin.seed)
    if origin.command:
        yield "command", without_folders(origin.command)


def _where(names: list[str], everything: list[str]) -> str:
    if names == everything:
        return "all"
    figures = [name for name in everything if name not in TABLES]
    tables = [name for name in names if name in TABLES]
    return ", ".join(["all figures", *tables] if len(figures) > 1 and set(figures) <= set(names) else names)
