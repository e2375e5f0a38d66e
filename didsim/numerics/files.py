"""May this be written, and is it written whole?

`writable` is asked before anything is computed; `write` puts the content beside the file and moves it there at once, so
that a file is the old one or the new one at every moment.
"""

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from didsim.numerics.errors import ArgumentError

EVERYBODY_READS = 0o644


def writable(option: str, path: Path | None, *, overwrite: bool, but_not: Path | None = None) -> None:
    """Nothing, if a file may be written there; None asks for no file.

    Args:
        option: which option names it, for the message.
        path: the file.
        overwrite: whether it may replace one.
        but_not: a file that is read, and so must not be this one.

    Raises:
        ArgumentError: it is a folder, is there already, is the file that is read, or its folder is not there.
    """
    if path is None:
        return
    if path.is_dir():
        raise ArgumentError(f"Argument `{option}` must be a file, but {path} is a folder.")
    if but_not is not None and path.exists() and but_not.exists() and path.samefile(but_not):
        raise ArgumentError(f"Argument `{option}` must be a file other than the one that is read, but is {path}.")
    if path.exists() and not overwrite:
        raise ArgumentError(f"Argument `{option}` must not exist already, but {path} does; use --overwrite.")
    if not path.parent.is_dir():
        raise ArgumentError(f"Argument `{option}` must lie in a folder that exists, but {path.parent} does not.")
    if not os.access(path.parent, os.W_OK):
        raise ArgumentError(f"Argument `{option}` must be a file that can be written, but {path.parent} is not open to writing.")


def distinct(files: Mapping[str, Path | None]) -> None:
    """Nothing, if options name different files, whichever way they are written; None names no file.

    Raises:
        ArgumentError: two of them name the same one.
    """
    taken: dict[Path, str] = {}
    for option, path in files.items():
        if path is None:
            continue
        place = path.resolve()
        if place in taken:
            raise ArgumentError(f"Argument `{option}` must be a file other than that of `{taken[place]}`, but is {path}.")
        taken[place] = option


def readable(option: str, path: Path | None) -> None:
    """Nothing, if there is a file that may be read; None asks for no file.

    Raises:
        ArgumentError: there is none, it is a folder, or it is not open to reading.
    """
    if path is None:
        return
    try:
        path.open("rb").close()
    except OSError as error:
        raise ArgumentError(f"Argument `{option}` must be a readable file, but {path} is not: {error.strerror}.") from None


def writable_folder(option: str, folder: Path | None) -> None:
    """Makes a folder, and its parents, if it is not there.

    Raises:
        ArgumentError: it cannot be made, or nothing can be written into it.
    """
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ArgumentError(
            f"Argument `{option}` must be a folder that can be written, but {folder} is not: {error.strerror}."
        ) from None


def write(option: str, path: Path | None, content: str | Callable[[Path], Any]) -> None:
    """Writes a text, or what a function writes to the path it is given, whole or not at all; None asks for no file.

    Raises:
        ArgumentError: the file system refuses.
    """
    if path is None:
        return
    with _whole(option, path) as scratch:
        if callable(content):
            content(scratch)
        else:
            scratch.write_text(content, encoding="utf-8")


def write_json(option: str, path: Path | None, content: Any) -> None:
    """Writes plain data as indented JSON, whole or not at all."""
    write(option, path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


@contextlib.contextmanager
def _whole(option: str, path: Path) -> Iterator[Path]:
    """A path beside the file, with its ending, that becomes the file if nothing is raised."""
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as folder:
            scratch = Path(folder, path.name)
            yield scratch
            scratch.chmod(EVERYBODY_READS)
            scratch.replace(path)
    except OSError as error:
        raise ArgumentError(
            f"Argument `{option}` must be a file that can be written, but {path} is not: {error.strerror}."
        ) from None
