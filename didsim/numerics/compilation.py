"""Where are compiled programs kept between processes?  In JAX's persistent compilation cache, in a folder of this library's.

Nearly all of a first run's time is compilation.  The command line keeps programs; from Python one line does,
``didsim.use_compilation_cache()``.  JAX's own variables decide before anything here does: ``JAX_ENABLE_COMPILATION_CACHE=0``
turns the cache off, ``JAX_COMPILATION_CACHE_DIR`` names another folder.  JAX's keys hold the program, the compiler's options
and the version of JAX; the folder's name holds the processor too, for which a program was compiled.
"""

import contextlib
import hashlib
import os
import platform
import sys
import warnings
from pathlib import Path
from typing import Any

SIZE_LIMIT = 2 * 2**30  # bytes
QUICKLY: Any = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
"""``compiler_options`` of programs that run briefly, whose compilation takes most of their time: a quarter of it is left."""
LIGHTLY: Any = {"xla_backend_optimization_level": 1, "xla_cpu_use_fusion_emitters": False}
"""``compiler_options`` that leave half of the time to compile, and of few responses cost none to run."""
SHORT = 20  # responses of rows for which `lightly` costs nothing: at 20 no run took longer, at 32 half as long again
ENDING = "-cache"  # as JAX has it
MARK = hashlib.sha256().digest_size
TRACES = "DIDSIM_TRACES"  # variable of the environment: the folder of traced programs
NO_TRACES = "0"


def on_processor() -> bool:
    """Whether programs run on the CPU by default: an accelerator's compiler need not know these options, nor gain by them."""
    import jax

    return jax.default_backend() == "cpu"


def quickly() -> Any:
    """``compiler_options`` of a program that runs briefly: `QUICKLY`, which only the processor's compiler knows."""
    return QUICKLY if on_processor() else None


def lightly() -> Any:
    """`LIGHTLY`, for programs over rows so short that vectors save nothing.

    What the environment's XLA_FLAGS say of the same options stands.
    """
    return {name: value for name, value in LIGHTLY.items() if name not in os.environ.get("XLA_FLAGS", "")}


def use_compilation_cache(folder: Path | str | None = None, *, traces: bool = False) -> Path | None:
    """Keeps compiled programs on disk and finds them there, from now on in this process and in those it starts.

    An entry that is torn, or not the one that was written under its name, is compiled anew; what cannot be written is not
    kept.  Neither is told, neither changes a number.  Beyond 2 GiB the entries that were written first are removed.

    Args:
        folder: where; the user's cache folder if missing.
        traces: keep traced programs too (``didsim.numerics.traces``), so that what was run before is not traced again either:
            for processes that run this package as it is on disk, with no part of it replaced in memory.

    Returns:
        The folder in use; None if the cache is off or no folder can be made.
    """
    import jax

    settings: Any = jax.config
    if not settings.jax_enable_compilation_cache:
        return None
    name, chosen = _machine(), settings.jax_compilation_cache_dir
    if chosen and Path(chosen).name != name:  # the caller's own
        return Path(chosen)
    pool = Path(chosen).parent if chosen else user_folder() if folder is None else Path(folder).absolute()
    home = pool / name
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)  # who can write here can run code as this user
        if not chosen:  # once, where the folder is chosen: not in every process that is started
            trim(pool)
    except OSError:
        return None
    for option, value in (("jax_compilation_cache_dir", str(home)), ("jax_persistent_cache_min_compile_time_secs", 0.0)):
        jax.config.update(option, value)
        os.environ[option.upper()] = str(value)  # for the processes that this one starts
    if traces:
        os.environ.setdefault(TRACES, str(home))
    _check_entries(home)
    return home


def inherit_compilation_cache() -> None:
    """The cache of the process that started this one, if it has one."""
    if os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        use_compilation_cache()


class Programs:
    """Compiled programs as files, each with a checksum of its key and content; what JAX calls a cache interface."""

    def __init__(self, home: Path) -> None:
        self._path = home

    def get(self, key: str) -> bytes | None:
        """The program's bytes; None if there are none, or others than were written."""
        try:
            whole = (self._path / f"{key}{ENDING}").read_bytes()
        except OSError:
            return None
        value, mark = whole[:-MARK], whole[-MARK:]
        return value if mark == _mark(key, value) else None

    def put(self, key: str, value: bytes) -> None:
        """Writes the program's bytes, whole or not at all."""
        scratch = self._path / f"{key}.{os.getpid()}"
        try:
            scratch.write_bytes(value + _mark(key, value))
            scratch.replace(self._path / f"{key}{ENDING}")
        except OSError:  # no room, or no right: then it is compiled next time too
            with contextlib.suppress(OSError):
                scratch.unlink(missing_ok=True)


def _mark(key: str, value: bytes) -> bytes:
    return hashlib.sha256(key.encode() + b"\0" + value).digest()


def _check_entries(home: Path) -> None:
    """Lets JAX read and write through `Programs`; a JAX that has no such place keeps its own, without checksums."""
    from jax._src import compilation_cache

    if hasattr(compilation_cache, "_cache") and hasattr(compilation_cache, "_cache_initialized"):
        compilation_cache._cache = Programs(home)  # type: ignore[assignment]
        compilation_cache._cache_initialized = True
    warnings.filterwarnings("ignore", r"Error (reading|writing) persistent compilation cache entry", UserWarning)


def user_folder() -> Path:
    """The folder of this library's compiled programs among the user's caches."""
    home = Path.home()
    if sys.platform == "win32":
        caches = Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local"))
    elif sys.platform == "darwin":
        caches = home / "Library" / "Caches"
    else:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return caches / "didsim" / "programs"


def trim(pool: Path, limit: int = SIZE_LIMIT) -> None:
    """Removes the files that were written first until all together are no larger than the limit, in bytes."""
    found = []
    for path in pool.glob("*/*"):
        with contextlib.suppress(OSError):  # another process may have removed it
            about = path.stat()
            found.append((about.st_mtime, about.st_size, path))
    excess = sum(size for _, size, _ in found) - limit
    for _, size, path in sorted(found):
        if excess <= 0:
            return
        path.unlink(missing_ok=True)
        excess -= size


def _machine() -> str:
    """Name of the folder of programs for this processor, JAX and jaxlib."""
    from importlib.metadata import version  # slow to import, and most commands do not need it

    processor = platform.machine() + platform.processor()
    with contextlib.suppress(OSError), Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as about:
        wanted = ("model name", "flags", "Features", "CPU part")
        processor += "".join(sorted({line for line in about if line.startswith(wanted)}))
    return f"jax-{version('jax')}-{version('jaxlib')}-{hashlib.sha256(processor.encode()).hexdigest()[:12]}"
