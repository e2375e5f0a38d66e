"""What if the console is of another encoding, narrow, closed, full, or its reader has gone?  The work goes on, and is whole.

`standard_streams` sets the streams up once, for every command: what an encoding lacks is spelled out in ASCII, and what can
no longer be printed is let go, so that a failing stream is never taken for a failing computation, nor the other way round.
"""

import codecs
import contextlib
import io
import os
import select
import shutil
import sys
from collections.abc import Iterator
from typing import Any

SPELLED = {
    "β": "beta", "π": "pi", "θ": "theta", "σ": "sigma", "ε": "eps", "γ": "gamma", "λ": "lambda", "ρ": "rho", "Λ": "Lambda",
    "→": "->", "≤": "<=", "≥": ">=", "±": "+-", "·": "*", "–": "-", "−": "-", "…": "...", "✗": "x", "½": "1/2", "²": "^2",
    "√": "sqrt", "∞": "inf", "‖": "||", "µ": "u", "×": "x", "é": "e", "ö": "oe", "ü": "ue", "ä": "ae", "“": '"', "”": '"',
    "α": "alpha", "δ": "delta", "κ": "kappa", "μ": "mu", "τ": "tau", "φ": "phi", "ω": "omega", "Δ": "Delta", "Σ": "Sigma",
    "⁻": "^-", "₂": "_2", "ℓ": "l", "≈": "~", "—": "-", "’": "'",
    **dict(zip("▁▂▃▄▅▆▇█", "_.:-=+*#", strict=True)),
    **dict.fromkeys("─━╌╍═╸╺", "-"), **dict.fromkeys("│┃║", "|"), **dict.fromkeys("┌┐└┘├┤┬┴┼╭╮╰╯╔╗╚╝", "+"),
}  # fmt: skip
NARROWEST, WIDEST = 40, 400  # columns; help can be laid out in no fewer, and pads its lines to as many as it is told


class Forgiving(io.RawIOBase):
    """A file descriptor to write to, whose first failure is kept in ``failure`` and whose further content is let go."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.failure: OSError | None = None

    def write(self, content: Any, /) -> int:
        """Writes all of it or, once the descriptor has failed, nothing; says that it is written either way."""
        left = memoryview(content).cast("B")
        size = left.nbytes
        while left.nbytes and self.failure is None:
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:  # a full pipe that does not wait by itself
                select.select([], [self._descriptor], [])
            except OSError as error:
                self.failure = error
        return size

    def writable(self) -> bool:
        """It is."""
        return True

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return os.isatty(self._descriptor)


@contextlib.contextmanager
def standard_streams() -> Iterator[None]:
    """Within it, printing to the standard streams never raises; `ended` says whether what was printed got there.

    A closed stream is one that nobody reads.  Streams that are no files, a notebook's or a test's, only spell.
    """
    codecs.register_error("spell", _spell)
    _open_closed_descriptors()
    before = sys.stdout, sys.stderr
    with contextlib.ExitStack() as undone:
        sys.stdout, sys.stderr = _set_up(sys.stdout, 1, undone), _set_up(sys.stderr, 2, undone)
        try:
            with _possible_width():
                yield
        finally:
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(OSError, ValueError):  # a stream of somebody else's
                    stream.flush()
            sys.stdout, sys.stderr = before


def ended(code: int) -> int:
    """The exit code of a command that has ended with one: 2, and a line, where standard output was lost.

    A reader that has gone, such as ``head``, had seen enough: then the code is the one that the work earned.
    """
    try:
        sys.stdout.flush()
        failure = getattr(getattr(getattr(sys.stdout, "buffer", None), "raw", None), "failure", None)
    except OSError as error:  # a stream of somebody else's
        failure = error
    if failure is None or isinstance(failure, BrokenPipeError):
        return code
    print(f"error: Standard output must be open to writing, but is not: {failure.strerror}.", file=sys.stderr)
    return 2


def _set_up(stream: Any, descriptor: int, undone: contextlib.ExitStack) -> Any:
    """The stream, spelling what it cannot encode and, if it is a file, forgiving."""
    buffer = getattr(stream, "buffer", None)
    raw = getattr(buffer, "raw", buffer)
    if stream is not None and not (type(stream) is io.TextIOWrapper and type(raw) is io.FileIO):
        if isinstance(stream, io.TextIOWrapper):
            undone.callback(stream.reconfigure, errors=stream.errors)
            stream.reconfigure(errors="spell")
        return stream
    encoding = "utf-8" if stream is None else stream.encoding
    if stream is not None:
        stream.flush()
        descriptor = stream.fileno()
    lines = stream is None or stream.line_buffering
    return io.TextIOWrapper(io.BufferedWriter(Forgiving(descriptor)), encoding, "spell", line_buffering=lines)


def _open_closed_descriptors() -> None:
    """Puts nothing in place of standard streams that are closed, or the next file that is opened would get their number."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


@contextlib.contextmanager
def _possible_width() -> Iterator[None]:
    """Within it, whoever asks how wide the console is gets a width that a page can be laid out in."""
    told = {name: os.environ[name] for name in ("COLUMNS", "LINES") if name in os.environ}
    for name in told:
        if not (told[name].isascii() and told[name].isdigit()):  # some who ask stumble over other alphabets' digits
            del os.environ[name]
    width = shutil.get_terminal_size().columns
    if not NARROWEST <= width <= WIDEST:
        os.environ["COLUMNS"] = str(min(max(width, NARROWEST), WIDEST))
    try:
        yield
    finally:
        for name in ("COLUMNS", "LINES"):
            os.environ.pop(name, None)
        os.environ.update(told)


def _spell(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    wrong = error.object[error.start : error.end]
    return "".join(SPELLED.get(sign, "?") for sign in wrong), error.end
