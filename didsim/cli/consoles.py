"""What if the console is of another encoding, or cannot be written?  Signs are spelled out, and a failure is one line."""

import codecs
import contextlib
import os
import sys
from collections.abc import Iterator

from didsim.numerics.errors import ArgumentError

SPELLED = {
    "β": "beta", "π": "pi", "θ": "theta", "σ": "sigma", "ε": "eps", "γ": "gamma", "λ": "lambda", "ρ": "rho", "Λ": "Lambda",
    "→": "->", "≤": "<=", "≥": ">=", "±": "+-", "·": "*", "–": "-", "−": "-", "…": "...", "✗": "x", "½": "1/2", "²": "^2",
    "√": "sqrt", "∞": "inf", "‖": "||", "µ": "u", "×": "x", "é": "e", "ö": "oe", "ü": "ue", "ä": "ae",
    **dict(zip("▁▂▃▄▅▆▇█", "_.:-=+*#", strict=True)),
}  # fmt: skip


def _spell(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    wrong = error.object[error.start : error.end]
    return "".join(SPELLED.get(sign, "?") for sign in wrong), error.end


@contextlib.contextmanager
def printing() -> Iterator[None]:
    """Within it, what standard output cannot encode is spelled in ASCII; it is flushed at the end.

    Raises:
        ArgumentError: standard output cannot be written.
        BrokenPipeError: its reader has gone.
    """
    codecs.register_error("spell", _spell)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="spell")  # type: ignore[union-attr]
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        with contextlib.suppress(OSError, ValueError):  # or Python would fail again as it ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise ArgumentError(f"Standard output must be open to writing, but is not: {error.strerror}.") from None
