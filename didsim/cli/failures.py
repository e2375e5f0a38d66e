"""Which errors are no fault of this program, although nobody asked for them in advance?  Those of what it stands on.

The file system, memory, and processes and hosts that others end.  Everything else that was not foreseen keeps its traceback.
"""

from concurrent.futures import BrokenExecutor

LONGEST = 300  # signs of what another library says that are passed on
STATUSES = {
    "RESOURCE_EXHAUSTED": "Memory must suffice for what is asked, but does not",
    "UNAVAILABLE": "The other processes must be reached, but are not",
    "DEADLINE_EXCEEDED": "The other processes must answer in time, but do not",
}


def from_outside(error: Exception) -> str | None:
    """One line for an error that comes from outside; None for one that is this program's own fault."""
    if isinstance(error, MemoryError):
        return _line(STATUSES["RESOURCE_EXHAUSTED"], str(error))
    if isinstance(error, BrokenExecutor):
        return _line("Processes that compute must live on, but do not", str(error))
    if isinstance(error, OSError):
        where = "" if error.filename is None else f" at {error.filename}"
        return _line(f"The system must allow what is asked{where}, but does not", error.strerror or str(error))
    if type(error).__name__ in ("JaxRuntimeError", "XlaRuntimeError"):
        status, _, said = str(error).partition(":")
        return _line(STATUSES[status], said) if status in STATUSES else None
    return None


def _line(told: str, reason: str) -> str:
    short = " ".join(reason.split())[:LONGEST].rstrip(".")
    return f"{told}: {short}." if short else f"{told}."
