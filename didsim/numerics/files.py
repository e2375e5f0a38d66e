"""May this be written, and is it written whole?  May this be read, and does it end?

`outputs` is asked before anything is computed, and tries what will be done; `write` puts the content beside the file and
moves it there at once, so that a file is the old one or the new one at every moment.
"""

import contextlib
import json
import os
import platform
import select
import shutil
import stat
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from didsim.numerics.errors import ArgumentError

try:
    import fcntl
except ImportError:  # no file locks in this form on Windows
    fcntl = None

EVERYBODY_READS = 0o644
BESIDE = ".didsim-"  # folders of what is being written; short, for the name may be as long as the file system allows
TRIED = bytes(2**16)  # a full disk takes no more of them
PICTURES = (".png", ".svg", ".pdf")
PATIENCE = 5.0  # seconds, until a pipe that nobody writes to is given up


def outputs(files: Mapping[str, Path | None], *, overwrite: bool, read: Mapping[str, Path | None] | None = None) -> None:
    """Nothing, if all the files that a command writes may be written; None asks for no file.

    Args:
        files: option, for the message, to the file it names.
        overwrite: whether they may replace files that are there.
        read: the same for the files that the command reads, none of which may be written.

    Raises:
        ArgumentError: one is no possible file, is there already, is another one of them, or its folder takes no files.
    """
    taken = {option: path for option, path in (read or {}).items() if path is not None}
    for option, path in files.items():
        if path is None:
            continue
        _refuse_present(option, path, overwrite=overwrite)
        for other, there in taken.items():
            if _same(path, there):
                raise ArgumentError(f"Argument `{option}` must be a file other than that of `{other}`, but both are {path}.")
        taken[option] = path
        _try(option, path)


def writable(option: str, path: Path | None, *, overwrite: bool, read: Mapping[str, Path | None] | None = None) -> None:
    """Nothing, if a file may be written there; `outputs` of one file."""
    outputs({option: path}, overwrite=overwrite, read=read)


def ends_in(option: str, path: Path | None, endings: Sequence[str]) -> None:
    """Nothing, if a file may be called so; None asks for no file.

    Raises:
        ArgumentError: it has another ending.
    """
    if path is not None and path.suffix not in endings:
        raise ArgumentError(f"Argument `{option}` must end in one of {', '.join(endings)}, but is {path}.")


def readable(option: str, path: Path | None) -> None:
    """Nothing, if there is a file that may be read; None asks for no file.

    Raises:
        ArgumentError: there is none, it is a folder or a device, or it is not open to reading.
    """
    if path is None:
        return
    with _refused(option, path, "a readable file"):
        if not stat.S_ISREG(path.stat().st_mode):
            raise OSError(0, "it is a folder, a device or a pipe")
        path.open("rb").close()


def read(option: str, path: Path) -> bytes:
    """Content of a file or of a pipe.

    Raises:
        ArgumentError: there is none, it is a folder or a device, is not open to reading, or nobody writes to the pipe.
    """
    with _refused(option, path, "a readable file"):
        if not stat.S_ISFIFO(path.stat().st_mode):
            readable(option, path)
            return path.read_bytes()
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as pipe:
            if not select.select([pipe], [], [], PATIENCE)[0]:
                raise OSError(0, f"nothing came through the pipe in {PATIENCE:g} seconds")
            os.set_blocking(pipe.fileno(), True)
            return pipe.read()


def writable_folder(option: str, folder: Path | None) -> None:
    """Makes a folder, and its parents, if it is not there.

    Raises:
        ArgumentError: it cannot be made, or nothing can be written into it.
    """
    if folder is None:
        return
    with _refused(option, folder, "a folder that can be written"):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as tried:
            tried.write(TRIED)


def place_for_folder(option: str, folder: Path | None) -> None:
    """Nothing, if there is a folder or one can be made with its parents; None asks for none, and nothing is made.

    Raises:
        ArgumentError: something else is there, or none can be made.
    """
    if folder is None or os.path.isdir(folder):
        return
    with _refused(option, folder, "a folder that can be written"):
        if folder.exists() or folder.is_symlink():
            raise OSError(0, "it is a file")
        there = next(parent for parent in folder.absolute().parents if parent.exists())
        with scratch_folder(there) as scratch:
            (scratch / folder.name).mkdir()


def write(option: str, path: Path | None, content: str | Callable[[Path], Any]) -> None:
    """Writes a text, or what a function writes to the path it is given, whole or not at all; None asks for no file.

    Raises:
        ArgumentError: the file system refuses.
    """
    if path is None:
        return
    with _refused(option, path, "a file that can be written"), scratch_folder(_place(path).parent) as folder:
        scratch = folder / path.name
        if callable(content):
            content(scratch)
        else:
            scratch.write_text(content, encoding="utf-8", errors="backslashreplace")
        scratch.chmod(EVERYBODY_READS)
        scratch.replace(_place(path))


def write_json(option: str, path: Path | None, content: Any) -> None:
    """Writes plain data as indented JSON, whole or not at all."""
    write(option, path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


@contextlib.contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """A folder for what is not whole yet, gone at the end; those that killed processes left there go too."""
    here = f"{BESIDE}{zlib.crc32(platform.node().encode()):08x}-"
    for left in parent.glob(f"{here}*"):
        if not _lives(left.name.removeprefix(here).partition("-")[0]):
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix=f"{here}{os.getpid()}-") as folder:
        yield Path(folder)


def _lives(process: str) -> bool:
    """Whether a process of this machine may still live, as far as one can ask without harm."""
    if os.name != "posix" or not process.isdecimal():
        return True
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


@contextlib.contextmanager
def locked(file: Path) -> Iterator[bool]:
    """Whether no other process holds a lock; if so it is held within, and free at the end, however this process ends.

    Where a platform or a file system knows no locks, nobody is ever seen to hold one.

    Args:
        file: what stands for the lock; made if it is not there, and removed at the end.
    """
    held = _opened_and_locked(file)
    try:
        yield held is not None
    finally:
        if held:
            file.unlink(missing_ok=True)
            os.close(held)


def _opened_and_locked(file: Path) -> int | None:
    """The descriptor of a file that is locked; 0 if there are no locks here, None if another process holds it."""
    while fcntl is not None:
        try:
            held = os.open(file, os.O_CREAT | os.O_RDWR, EVERYBODY_READS)
        except OSError:
            return 0
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(held), file.stat()):
                return held
        except BlockingIOError:
            os.close(held)
            return None
        except FileNotFoundError:
            pass
        except OSError:
            os.close(held)
            return 0
        os.close(held)  # its holder removed it in between
    return 0


def _refuse_present(option: str, path: Path, *, overwrite: bool) -> None:
    """Refuses what is there, unless it is a file that may be replaced."""
    with _refused(option, path, "a file that can be written"):
        try:
            kind = path.stat().st_mode
        except FileNotFoundError:
            return
        if stat.S_ISDIR(kind):
            raise ArgumentError(f"Argument `{option}` must be a file, but {path} is a folder.")
        if not stat.S_ISREG(kind):
            raise OSError(0, "it is a device or a pipe")
        if not overwrite:
            raise ArgumentError(f"Argument `{option}` must not exist already, but {path} does; use --overwrite.")
        path.open("r+b").close()


def _try(option: str, path: Path) -> None:
    """Writes as much as a disk that is not full takes, beside the path and with its name, and removes it."""
    with _refused(option, path, "a file that can be written"):
        parent = _place(path).parent
        if not parent.is_dir():
            raise ArgumentError(f"Argument `{option}` must lie in a folder that exists, but {path.parent} does not.")
        with scratch_folder(parent) as folder:
            (folder / path.name).write_bytes(TRIED)


def _place(path: Path) -> Path:
    """Where the content goes: a link stays, and what it points to is written."""
    return Path(os.path.realpath(path))


def _same(one: Path, other: Path) -> bool:
    """Whether two paths name one file, or would if they were written."""
    try:
        return one.samefile(other)
    except OSError:  # one is not there yet
        return _place(one) == _place(other)


@contextlib.contextmanager
def _refused(option: str, path: Path, what: str) -> Iterator[None]:
    """What the file system refuses within, as one line."""
    try:
        yield
    except ArgumentError:
        raise
    except (OSError, ValueError) as error:  # a zero byte in a name is a ValueError
        reason = getattr(error, "strerror", None) or str(error)
        raise ArgumentError(f"Argument `{option}` must be {what}, but {path} is not: {reason}.") from None
