"""Does the cache of compiled programs ever change a number, or make a noise?

Every case is a program run in a process of its own, with an output of exact bits and an empty stderr.
"""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from didsim.numerics.compilation import ENDING, trim, user_folder

PROGRAM = """
import sys
from didsim.numerics.compilation import use_compilation_cache
folder = use_compilation_cache(sys.argv[1] or None)
import jax, jax.numpy as jnp
for scale in range(1, 5):
    def scaled(x): return scale * jnp.exp(x) + 1.0
    print(jax.jit(scaled)(jnp.linspace(0.0, 1.0, 5)).tobytes().hex(), end=" ")
print(folder)
"""
SMALL_FILES = "ulimit -f 0; exec "  # nothing can be written: as on a full disk


def start(folder: Path | str, prefix: str = "", **environment: str) -> subprocess.Popen:
    code = [sys.executable, "-c", PROGRAM, str(folder)]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")} | environment
    words = ["bash", "-c", prefix + shlex.join(code)] if prefix else code
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=inherited)


def outcome(process: subprocess.Popen) -> tuple[list[str], str]:
    """Bits of the numbers and the folder in use; nothing else may be said."""
    out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    *bits, where = out.split()
    return bits, where


def entries(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*/jit_scaled*{ENDING}"))


@pytest.fixture(scope="module")
def truth() -> list[str]:
    bits, folder = outcome(start("", JAX_ENABLE_COMPILATION_CACHE="0"))
    assert folder == "None"
    return bits


def test_programs_are_kept_found_and_never_trusted_unseen(tmp_path, truth):
    # Written, then read: the files stay as they are.
    assert outcome(start(tmp_path))[0] == truth
    first = entries(tmp_path)
    assert len(first) == len(truth) == 4
    assert first[0].parent.stat().st_mode & 0o777 == 0o700
    whole, times = [path.read_bytes() for path in first], [path.stat().st_mtime_ns for path in first]
    assert outcome(start(tmp_path))[0] == truth
    assert [path.stat().st_mtime_ns for path in entries(tmp_path)] == times

    # Torn, of another program, foreign, and with one bit turned: all compiled anew and written again.
    flipped = whole[3][:100] + bytes([whole[3][100] ^ 1]) + whole[3][101:]
    for path, damaged in zip(first, (whole[0][:50], whole[2], b"", flipped), strict=True):
        path.write_bytes(damaged)
    assert outcome(start(tmp_path))[0] == truth
    times = [path.stat().st_mtime_ns for path in first]
    assert outcome(start(tmp_path))[0] == truth
    assert [path.stat().st_mtime_ns for path in entries(tmp_path)] == times

    # An entry that can neither be read nor replaced.
    first[0].unlink()
    first[0].mkdir()
    assert outcome(start(tmp_path))[0] == truth


def test_without_checksums_another_programs_entry_would_be_believed(tmp_path, truth):
    """The control: JAX's own cache runs whatever lies under the name."""
    environment = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "own"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    bits, where = outcome(start(tmp_path / "unused", **environment))
    assert (bits, where) == (truth, str(tmp_path / "own"))  # the caller's own folder is left alone
    assert not (tmp_path / "unused").exists()
    first, second, *_ = entries(tmp_path)
    first.write_bytes(second.read_bytes())
    assert outcome(start("", **environment))[0] != truth


def test_two_processes_share_a_folder(tmp_path, truth):
    both = [start(tmp_path), start(tmp_path)]
    assert [outcome(one)[0] for one in both] == [truth, truth]
    assert len(entries(tmp_path)) == 4
    assert len(list(entries(tmp_path)[0].parent.glob("jit_scaled*"))) == 4  # nothing half written is left


def test_other_flags_and_precisions_have_entries_of_their_own(tmp_path, truth):
    outcome(start(tmp_path))
    assert outcome(start(tmp_path, XLA_FLAGS="--xla_cpu_prefer_vector_width=512"))[0] == truth
    assert len(entries(tmp_path)) == 8
    assert outcome(start(tmp_path, JAX_ENABLE_X64="1"))[0] != truth
    assert len(entries(tmp_path)) == 12


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of a POSIX shell")
def test_a_folder_that_cannot_be_written_is_silent(tmp_path, truth):
    assert outcome(start(tmp_path, prefix=SMALL_FILES))[0] == truth
    assert entries(tmp_path) == []
    file = tmp_path / "file"
    file.write_text("")
    assert outcome(start(file / "below")) == (truth, "None")


def test_the_pool_is_bounded_and_the_oldest_go(tmp_path):
    home = tmp_path / "machine"
    home.mkdir()
    for place in range(4):
        path = home / f"{place}{ENDING}"
        path.write_bytes(bytes(100))
        os.utime(path, (0, place))
    trim(tmp_path, limit=400)
    assert len(list(home.iterdir())) == 4
    trim(tmp_path, limit=250)
    assert sorted(path.name for path in home.iterdir()) == [f"2{ENDING}", f"3{ENDING}"]


def test_the_default_folder_is_among_the_users_caches(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    if sys.platform.startswith("linux"):
        assert user_folder() == Path("/somewhere/didsim/programs")
