"""How do several processes, on one machine or many, share a sweep?

Each takes every P-th block of what is to do and writes to the same folder; they only meet before the first block and
wait for one another after the last.  Nothing is exchanged inside a computation, so a process that dies costs nothing but
its unfinished block.  JAX ends the others some 100 seconds later; start the same command again, with any number.
"""

import os
import time
from collections.abc import Callable

import jax
from jax.experimental import multihost_utils

from didsim.numerics import checks

POLL_SECONDS = 0.5


def join(coordinator: str | None = None, processes: int | None = None, process: int | None = None) -> None:
    """Joins the processes of one sweep; must come before JAX is used for anything else.

    Without arguments it joins what Slurm (inside ``srun``), Open MPI or a TPU pod describe in the environment, or does
    nothing where they describe one process.

    Args:
        coordinator: ``host:port`` of process 0.
        processes: how many there are.
        process: number of this one, from 0.

    Raises:
        ArgumentError: only some of the three are given, or one is out of range.
    """
    given = {"coordinator": coordinator, "num-processes": processes, "process-id": process}
    missing = [name for name, value in given.items() if value is None]
    if len(missing) == len(given):
        if detected():
            jax.distributed.initialize()
        return
    if missing:
        raise checks.ArgumentError(
            f"Argument `--{missing[0]}` must be given with the other two of several hosts, but is missing."
        )
    host, colon, port = str(coordinator).rpartition(":")
    if not (host and colon and port.isdigit()):
        raise checks.ArgumentError(f"Argument `--coordinator` must be host:port, but is {coordinator!r}.")
    checks.whole("--process-id", process, least=0, below=checks.whole("--num-processes", processes, least=1))
    jax.distributed.initialize(coordinator, processes, process)


def detected() -> bool:
    """Whether the environment says that this is one of several processes that JAX knows how to join."""
    env = os.environ
    slurm, mpi = (int(env.get(name) or 1) for name in ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE"))
    return slurm > 1 or mpi > 1 or "," in env.get("TPU_WORKER_HOSTNAMES", "")


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
