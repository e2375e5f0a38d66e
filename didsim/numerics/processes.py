"""How do processes that compute start, and how do those that one starts end with it, however it ends?"""

import gc
import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import wait
from typing import Any

from didsim.numerics import checks
from didsim.numerics.compilation import inherit_compilation_cache

PER_CORE = 8  # processes; more only take memory, hundreds of megabytes each
OF_A_GPU = "XLA_PYTHON_CLIENT_MEM_FRACTION"
OTHER_LIMITS = ("XLA_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_PREALLOCATE", "XLA_PYTHON_CLIENT_ALLOCATOR")
SHARED = 0.9  # of a GPU's memory; the rest is its driver's, which takes some for each process


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def asked_for(option: str, workers: object) -> int:
    """The number of processes, if that many may be asked for: some for each core.

    Raises:
        ArgumentError: it is less than one, or more than this machine could ever use.
    """
    count, most = checks.whole(option, workers, least=1), PER_CORE * cores()
    if count > most:
        raise checks.ArgumentError(f"Argument `{option}` must be at most {most}, {PER_CORE} for each core here, but is {count}.")
    return count


def process_pool(workers: int, initializer: Any = None, initargs: tuple = ()) -> ProcessPoolExecutor:
    """A pool of fresh processes, which share the cache of compiled programs and live no longer than this one.

    Forked ones would inherit JAX's threads half alive.

    Args:
        workers: how many at most.
        initializer: what each calls first, with ``initargs``.
    """
    share_accelerator(workers)
    fresh = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=fresh, initializer=_begin, initargs=(initializer, initargs))


def share_accelerator(workers: int) -> None:
    """Lets this process and so many that it starts have equal shares of a GPU's memory, of which JAX gives each 75 % otherwise.

    Nothing is changed where the user has set a variable of JAX's about it.  It must be called before JAX looks for devices,
    which is when it reads the variable; processes that are started later inherit it.

    Args:
        workers: how many processes are started, ≥ 1.
    """
    if not any(name in os.environ for name in (OF_A_GPU, *OTHER_LIMITS)):
        os.environ[OF_A_GPU] = f"{SHARED / (workers + 1):.3f}"


def collect_rarely() -> None:
    """Lets Python look for unreachable cycles a fourteenth as often: while tracing, a tenth of the time went into that."""
    gc.set_threshold(10_000, 20, 50)


def end_with_parent() -> None:
    """Ends this process at once when the one that started it has ended, even if that was killed.

    A thread waits on the end of the pipe that the parent holds open as long as it lives; whatever the parent's end was, the
    system closes it.  Nothing is done for a process that `multiprocessing` did not start.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent.sentinel,), name="end with parent", daemon=True).start()


def _follow(sentinel: Any) -> None:
    wait([sentinel])
    os._exit(1)


def _begin(initializer: Any, initargs: tuple) -> None:
    end_with_parent()
    collect_rarely()
    inherit_compilation_cache()
    if initializer is not None:
        initializer(*initargs)
