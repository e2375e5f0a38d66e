"""How do several processes, on one machine or many, share a sweep?

Each takes every P-th block of what is to do and writes to the same folder; they only meet before the first block and
wait for one another after the last.  Nothing is exchanged inside a computation, so a process that dies costs nothing but
its unfinished block.  JAX ends the others some 100 seconds later; start the same command again, with any number.
"""

import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import jax
from jax.experimental import multihost_utils

from didsim.numerics import checks

POLL_SECONDS = 0.5
PATIENCE = 60.0  # seconds, until processes that do not come are given up
PORTS = 2**16
COUNTS = ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE")


def join(coordinator: str | None = None, processes: int | None = None, process: int | None = None) -> None:
    """Joins the processes of one sweep; must come before JAX is used for anything else.

    Without arguments it joins what Slurm (inside ``srun``), Open MPI or a TPU pod describe in the environment, or does
    nothing where they describe one process.

    Args:
        coordinator: ``host:port`` of process 0.
        processes: how many there are.
        process: number of this one, from 0.

    Raises:
        ArgumentError: only some of the three are given, one is out of range, or the processes do not meet within a minute.
    """
    given = {"coordinator": coordinator, "num-processes": processes, "process-id": process}
    missing = [name for name, value in given.items() if value is None]
    if len(missing) == len(given):
        if detected():
            _initialize()
        return
    if missing:
        raise checks.ArgumentError(
            f"Argument `--{missing[0]}` must be given with the other two of several hosts, but is missing."
        )
    host, colon, port = str(coordinator).rpartition(":")
    if not (host and colon and port.isascii() and port.isdigit() and len(port) < 6 and 0 < int(port) < PORTS):
        hint = f"; ports are below {PORTS}" if host and port.isdigit() else ""
        raise checks.ArgumentError(f"Argument `--coordinator` must be host:port, but is {coordinator!r}{hint}.")
    checks.whole("--process-id", process, least=0, below=checks.whole("--num-processes", processes, least=1))
    if process:
        _reach(host.strip("[]"), int(port))
    elif processes != 1:
        print(f"waiting at {coordinator} for {int(processes or 0) - 1} other processes", file=sys.stderr)
    _initialize(coordinator, processes, process)


def _reach(host: str, port: int) -> None:
    """Nothing, once process 0 listens; says when that is not at once.

    Raises:
        ArgumentError: it does not within `PATIENCE` seconds.
    """
    end, told = time.monotonic() + PATIENCE, False
    while True:
        try:
            socket.create_connection((host, port), timeout=PATIENCE).close()
        except (OSError, UnicodeError) as error:  # a host's name may be none
            if time.monotonic() + POLL_SECONDS > end or isinstance(error, (socket.gaierror, UnicodeError)):
                reason = getattr(error, "strerror", None) or str(error)
                raise checks.ArgumentError(
                    f"Argument `--coordinator` must be where process 0 listens, but {host}:{port} was not reached: {reason}."
                ) from None
            if not told:
                print(f"waiting up to {PATIENCE:.0f} seconds for process 0 at {host}:{port}", file=sys.stderr)
                told = True
            time.sleep(POLL_SECONDS)
        else:
            return


def _initialize(*given: Any) -> None:
    """Joins the others; ends the process, with a line and code 2, where they are not all there in time.

    JAX, which waits in a call that nothing interrupts, would end the process too, without a line.

    Raises:
        ArgumentError: the environment describes them incompletely.
    """
    told = "process {2} of {1} at {0}".format(*given) if given else f"what the environment says ({_described()})"
    end = threading.Timer(PATIENCE, _give_up, (told,))
    end.daemon = True
    end.start()
    try:
        jax.distributed.initialize(*given, initialization_timeout=int(2 * PATIENCE))
    except (KeyError, ValueError, RuntimeError, OSError) as error:  # a lacking variable is a KeyError
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise checks.ArgumentError(f"The processes that share a sweep must meet as {told}, but do not: {reason}.") from None
    finally:
        end.cancel()


def _give_up(told: str) -> None:
    print(f"error: The processes that share a sweep must meet as {told}, but have not in {PATIENCE:g} seconds.", file=sys.stderr)
    sys.stderr.flush()
    os._exit(2)


def _described() -> str:
    return ", ".join(f"{name}={os.environ[name]}" for name in (*COUNTS, "TPU_WORKER_HOSTNAMES") if os.environ.get(name))


def detected() -> bool:
    """Whether the environment says that this is one of several processes that JAX knows how to join.

    Raises:
        ArgumentError: what it says is no number.
    """
    counts = [os.environ.get(name) or "1" for name in COUNTS]
    for name, count in zip(COUNTS, counts, strict=True):
        if not (count.isascii() and count.isdigit() and len(count) < 10):
            raise checks.ArgumentError(f"Environment variable `{name}` must be a number of processes, but is {count!r}.")
    return max(map(int, counts)) > 1 or "," in os.environ.get("TPU_WORKER_HOSTNAMES", "")


def is_first() -> bool:
    """Whether this process makes the store."""
    return jax.process_index() == 0


def own_share(blocks: list[int]) -> list[int]:
    """This process's part of the blocks."""
    return blocks[jax.process_index() :: jax.process_count()]


def wait_for_all(name: str) -> None:
    """Returns when every process has come here."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def wait_until(finished: Callable[[], bool]) -> None:
    """Waits for the other processes' blocks: a process that leaves early would end the others."""
    while jax.process_count() > 1 and not finished():
        time.sleep(POLL_SECONDS)
