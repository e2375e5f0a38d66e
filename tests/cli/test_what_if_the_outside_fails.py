"""Consoles, files and environments that fail: does every command end with the right code, in one line, and in time?"""

import contextlib
import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading

import jax
import pytest
from command_cases import CASES, RUN, given, make_quick, spelled
from sampling import picked

from didsim import cli
from didsim.cli import consoles
from didsim.cli.failures import from_outside
from didsim.numerics import files, provenance
from didsim.numerics.errors import ArgumentError

FULL = pathlib.Path("/dev/full")
DEAR = ("atlas", "sampler", "simplex", "sweep")  # compile much; the others lead every kind of output through the same streams
RUNS = picked(CASES, CASES.keys() - set(DEAR))
WRITERS = [(name, option, ending) for name, case in CASES.items() for option, ending in case.writes]
FOLDERS = [(name, option) for name, case in CASES.items() for option in case.folders]


@pytest.fixture(scope="module")
def ready(tmp_path_factory):
    return given(tmp_path_factory.mktemp("read"))


@pytest.fixture
def quick(monkeypatch):
    make_quick(monkeypatch)


@contextlib.contextmanager
def standing_for(stream, name):
    """The stream as standard output or standard error."""
    before = getattr(sys, name)
    setattr(sys, name, stream)
    try:
        yield
    finally:
        setattr(sys, name, before)


def ended(words):
    """How the command line ends, however it says so."""
    try:
        return cli.main(words)
    except SystemExit as stop:
        return stop.code


def one_line(capsys):
    """What stands on standard error, which must be one line."""
    said = capsys.readouterr().err
    assert said.count("\n") == 1, said
    assert said.startswith("error: "), said
    return said


# Consoles


@pytest.mark.skipif(not FULL.exists(), reason="this system has no device that is always full")
@pytest.mark.parametrize("name", RUNS)
def test_an_output_that_is_full_is_one_line_and_2(ready, quick, capsys, name):
    with open(FULL, "w", encoding="utf-8") as full, standing_for(full, "stdout"):
        assert ended(spelled(name, ready)) == (2 if CASES[name].prints else CASES[name].code)
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    line = "error: Standard output must be open to writing, but is not: No space left on device."
    assert told == [line] * CASES[name].prints


@pytest.mark.parametrize("name", RUNS)
def test_a_reader_that_has_gone_leaves_the_code_that_the_work_earned(ready, quick, capsys, name):
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w", encoding="utf-8") as gone:
        with standing_for(gone, "stdout"):
            assert ended(spelled(name, ready)) == CASES[name].code
        assert "fault of didsim" not in capsys.readouterr().err


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_console_of_another_encoding_is_spelled_for(ready, quick, tmp_path, name, encoding):
    with (tmp_path / "said").open("w", encoding=encoding) as said:
        with standing_for(said, "stdout"):
            assert ended(spelled(name, ready)) == CASES[name].code
        with standing_for(said, "stdout"):
            assert ended([name, "--help"]) == 0
    assert (tmp_path / "said").read_text(encoding=encoding).count("?") < 20


@pytest.mark.parametrize("words", [["--help"], ["list", "--help"], ["list"], ["objectives", "dpo"]], ids=" ".join)
@pytest.mark.parametrize("columns", ["1", "2", "0", "-3", "abc", "999999999999", "²"])
def test_no_width_of_a_console_hangs(monkeypatch, capsys, words, columns):
    with monkeypatch.context() as within:  # pytest would lay its own lines out in that width
        within.setenv("COLUMNS", columns)
        assert ended(words) == 0
        assert os.environ["COLUMNS"] == columns
    assert len(capsys.readouterr().out) < 200_000


def test_a_full_pipe_is_waited_for(capsys):
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    sizes = []

    def read_late():
        while taken := os.read(reading, 1000):
            sizes.append(len(taken))

    reader = threading.Thread(target=read_late)
    with open(writing, "w", encoding="utf-8") as pipe, standing_for(pipe, "stdout"), consoles.standard_streams():
        threading.Timer(0.2, reader.start).start()
        print("x" * 1_000_000)
        assert consoles.ended(1) == 1
    reader.join()
    os.close(reading)
    assert sum(sizes) == 1_000_001


def test_a_closed_output_is_one_that_nobody_reads():
    program = "import sys; from didsim.cli import main; code = main(['list']); open('kept', 'w').write(str(code))"
    command = f'cd "$0" && exec "{sys.executable}" -c "{program}"'
    for closed in (">&-", ">&- 2>&-", "<&- >&- 2>&-"):
        folder = pathlib.Path(os.environ.get("TMPDIR", "/tmp"))
        answer = subprocess.run(["bash", "-c", f"{command} {closed}", str(folder)], capture_output=True, text=True, timeout=120)
        assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")
        assert (folder / "kept").read_text() == "0"
        (folder / "kept").unlink()


def test_another_failure_is_not_blamed_on_standard_output(monkeypatch, capsys):
    def fail(self):
        print("some")
        raise OSError(5, "Input/output error", "disk.bin")

    monkeypatch.setattr(cli.COMMANDS[1], "run", fail)
    assert cli.main(["list"]) == 2
    assert one_line(capsys) == "error: The system must allow what is asked at disk.bin, but does not: Input/output error.\n"


def test_streams_are_left_as_they_were(capsys):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict")
    with standing_for(stream, "stdout"):
        with consoles.standard_streams():
            print("β")
        assert sys.stdout is stream
        assert stream.errors == "strict"
    assert stream.buffer.getvalue() == b"beta\n"


# Faults of the program


def test_what_nobody_foresaw_keeps_its_traceback_and_is_70(monkeypatch, capsys):
    def fail(self):
        raise ZeroDivisionError("a fault")

    monkeypatch.setattr(cli.COMMANDS[1], "run", fail)
    assert cli.main(["list"]) == 70
    said = capsys.readouterr().err
    assert "Traceback (most recent call last)" in said
    assert "ZeroDivisionError: a fault" in said
    assert said.splitlines()[-1].startswith("error: This is a fault of didsim")
    assert "Please report it" in said


@pytest.mark.parametrize("name", CASES)
def test_an_interruption_is_130_and_one_line(monkeypatch, ready, capsys, name):
    def interrupt(self):
        raise KeyboardInterrupt

    kind = next(kind for kind in cli.COMMANDS if kind.__name__.lower() == name)
    monkeypatch.setattr(kind, "run", interrupt)
    assert cli.main(spelled(name, ready)) == 130
    said = capsys.readouterr().err
    assert said.startswith("interrupted")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MemoryError(), "Memory must suffice for what is asked, but does not."),
        (MemoryError("Unable to allocate 7.28 TiB\nfor an array"), "does not: Unable to allocate 7.28 TiB for an array."),
        (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 8 bytes."), "Out of memory allocating 8"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (jax.errors.JaxRuntimeError("INTERNAL: a fault"), None),
        (ValueError("a fault"), None),
        (TypeError("a fault"), None),
    ],
)
def test_what_comes_from_outside_is_told_from_a_fault(error, told):
    line = from_outside(error)
    assert (line is None) == (told is None)
    assert told is None or (told in line and "\n" not in line)


# Files to write


def impossible(kind, folder, ending):
    """A path at which no file may be written."""
    if kind == "name too long":
        return folder / ("x" * 300 + ending)
    if kind == "path too long":
        return folder.joinpath(*["y" * 200] * 30, f"x{ending}")
    if kind == "folder":
        (folder / f"there{ending}").mkdir()
        return folder / f"there{ending}"
    if kind == "loop":
        (folder / f"loop{ending}").symlink_to(folder / f"loop{ending}")
        return folder / f"loop{ending}"
    if kind == "missing folder":
        return folder / "no" / f"x{ending}"
    if kind == "file as folder":
        (folder / "file").write_text("")
        return folder / "file" / f"x{ending}"
    if kind == "no place for files":
        return pathlib.Path(f"/proc/x{ending}")
    if kind == "there already":
        (folder / f"old{ending}").write_text("old")
        return folder / f"old{ending}"
    os.mkfifo(folder / f"pipe{ending}")
    return folder / f"pipe{ending}"


PLACES = [
    "name too long", "path too long", "folder", "loop", "missing folder", "file as folder", "no place for files", "there already",
    "pipe",
]  # fmt: skip


def refuse_to_start(monkeypatch):
    """Makes whatever comes after the checks a fault of the program."""

    def fail(self):
        raise AssertionError("it has begun to compute")

    for kind in cli.COMMANDS:
        monkeypatch.setattr(kind, "run", fail)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("name", "option", "ending"), WRITERS)
def test_an_impossible_output_is_refused_before_the_work(monkeypatch, ready, tmp_path, capsys, name, option, ending, place):
    refuse_to_start(monkeypatch)
    path = impossible(place, tmp_path, ending)
    words = spelled(name, ready, option, str(path), without=("--out", "--overwrite"))
    assert cli.main(words) == 2
    assert f"Argument `{option}" in one_line(capsys)
    assert not list(tmp_path.glob(f"{files.BESIDE}*"))
    if place not in ("there already", "folder", "pipe"):
        assert cli.main([*words, "--overwrite"]) == 2


@pytest.mark.parametrize("place", [one for one in PLACES if one not in ("missing folder", "folder", "path too long")])
@pytest.mark.parametrize(("name", "option"), FOLDERS)
def test_an_impossible_folder_is_refused_before_the_work(monkeypatch, ready, tmp_path, capsys, name, option, place):
    refuse_to_start(monkeypatch)
    words = spelled(name, ready, option, str(impossible(place, tmp_path, "")), without=("--out",))
    assert cli.main(words) == 2
    assert f"Argument `{option}" in one_line(capsys)


@pytest.mark.parametrize(("name", "option", "ending"), WRITERS)
def test_a_full_disk_is_refused_before_the_work(monkeypatch, ready, tmp_path, capsys, name, option, ending):
    def full(self, content):
        raise OSError(28, "No space left on device")

    refuse_to_start(monkeypatch)
    monkeypatch.setattr(pathlib.Path, "write_bytes", full)
    words = spelled(name, ready, option, str(tmp_path / f"x{ending}"), without=("--out", "--overwrite"))
    assert cli.main(words) == 2
    assert "No space left on device" in one_line(capsys)


def test_one_file_cannot_be_two(monkeypatch, ready, tmp_path, capsys):
    refuse_to_start(monkeypatch)
    path, linked = str(tmp_path / "x.json"), tmp_path / "link.toml"
    linked.symlink_to(ready / "run.toml")
    for words in (
        ["verify", "D1.event", "--json", path, "--counterexamples", path],
        ["verify", "D1.event", "--json", path, "--counterexamples", str(tmp_path / "x.manifest.json")],
        ["verify", "D1.event", "--json", path, "--counterexamples", str(tmp_path / "." / "x.json")],
        ["diagnose", str(ready / "log.json"), "--json", path, "--html", path],
        ["diagnose", str(ready / "log.json"), "--json", str(ready / "log.json"), "--overwrite"],
        ["train", str(ready / "run.toml"), "--out", str(ready / "run.toml"), "--overwrite"],
        ["train", str(ready / "run.toml"), "--out", str(linked), "--overwrite"],
    ):
        assert cli.main(words) == 2, words
        assert "must be a file other than that of" in one_line(capsys)
    assert (ready / "run.toml").read_text() == RUN


def test_a_file_is_the_old_one_or_the_new_one(tmp_path):
    path = tmp_path / "x.json"
    path.write_text("old")

    def half(scratch):
        scratch.write_text("ne")
        raise OSError(28, "No space left on device")

    with pytest.raises(ArgumentError, match="No space left"):
        files.write("--json", path, half)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["x.json"]
    (tmp_path / "link").symlink_to(path)
    files.write("--json", tmp_path / "link", "new\ud800")  # a word of the command line that is no text
    assert path.read_text() == "new\\ud800"
    assert (tmp_path / "link").is_symlink()


def test_what_killed_processes_left_is_removed_and_what_others_write_stays(tmp_path):
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    with files.scratch_folder(tmp_path) as mine:
        left = mine.with_name(mine.name.replace(f"-{os.getpid()}-", f"-{done.pid}-"))
        left.mkdir()
        (left / "half").write_text("")
        with files.scratch_folder(tmp_path) as second:
            assert {mine, second} == set(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())


# Files to read


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/null", "folder", "pipe", "n" * 300, "missing"])
@pytest.mark.parametrize(("name", "option"), [(name, option) for name, case in CASES.items() for (option,) in case.reads])
def test_what_never_ends_or_is_not_there_is_not_read(monkeypatch, ready, tmp_path, capsys, name, option, path):
    monkeypatch.setattr(files, "PATIENCE", 0.05)
    refuse_to_start(monkeypatch)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    words = [name, *([option] if option else []), str(tmp_path / path)]
    assert cli.main(words) == 2
    assert "must be a readable file" in one_line(capsys)


def test_a_pipe_that_is_written_to_is_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(b"x" * 100_000))
    writer.start()
    assert files.read("config", tmp_path / "pipe") == b"x" * 100_000
    writer.join()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"a = " + b"[" * 100_000 + b"]" * 100_000, "must not nest so deeply"),
        (b"a = " + b"1" * 5_000, "must hold numbers of fewer digits"),
        (b"\xff\xfe", "UTF-8"),
        (b"a = \x00", "valid TOML"),
        (b"a.b = 1\na = 2", "valid TOML"),
    ],
)
def test_a_file_that_is_no_toml_is_refused(tmp_path, capsys, content, told):
    (tmp_path / "x.toml").write_bytes(content)
    for name in ("train", "sweep"):
        assert cli.main([name, str(tmp_path / "x.toml")]) == 2
        assert told in one_line(capsys)


# Environments


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.jax])
def test_a_platform_that_is_not_there_is_one_line_for_every_command(monkeypatch, ready, quick, capsys, name):
    def fail(*_):
        raise RuntimeError("Unable to initialize backend 'cuda': not there")

    monkeypatch.setattr(jax, "devices", fail)
    assert cli.main(spelled(name, ready)) == 2
    assert "JAX must start in this environment" in one_line(capsys)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("epoch", ["abc", "1e9", "99999999999999", "9" * 40, "1_0", "١"])
def test_a_time_that_is_none_is_refused_before_the_work(monkeypatch, ready, capsys, name, epoch):
    refuse_to_start(monkeypatch)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    assert cli.main(spelled(name, ready)) == 2
    assert "`SOURCE_DATE_EPOCH` must be whole seconds" in one_line(capsys)


def test_a_time_that_is_one_is_the_time(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert provenance.finished() == "1970-01-02T00:00:00+00:00"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "")
    assert provenance.finished() > "2025"


def test_a_git_that_prints_no_text_is_no_error(monkeypatch, tmp_path):
    (tmp_path / "git").write_text("#!/bin/sh\nprintf '\\377\\376'\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert provenance.git_state() == {"commit": "\ufffd\ufffd", "dirty": True}


SETTINGS = [
    ({"JAX_PLATFORMS": "cuda"}, 2),
    ({"JAX_PLATFORMS": "no_such"}, 2),
    ({"XLA_FLAGS": "--xla_force_host_platform_device_count=0"}, 2),
    ({"XLA_FLAGS": "--xla_force_host_platform_device_count=many"}, 2),
    ({"XLA_FLAGS": "--no_such_flag=1"}, 2),
    ({"JAX_NUM_CPU_DEVICES": "many"}, 2),
    ({"JAX_ENABLE_X64": "banana"}, 0),  # the command line says itself which precision it takes
    ({"JAX_ENABLE_COMPILATION_CACHE": "banana"}, 2),
    ({"JAX_DEFAULT_MATMUL_PRECISION": "banana"}, 2),
    ({"SOURCE_DATE_EPOCH": "soon"}, 2),
    ({"PYTHONIOENCODING": "ascii"}, 0),
    ({"COLUMNS": "1"}, 0),
    ({"JAX_NUMPY_DTYPE_PROMOTION": "strict", "JAX_NUMPY_RANK_PROMOTION": "raise"}, 0),
    ({"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}, 0),
]


def started(words, settings, folder):
    """A command in a process of its own, in an environment of its own."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_P", "XLA_"))}
    command = [sys.executable, "-m", "didsim", *words]
    return subprocess.run(
        command,
        capture_output=True,
        timeout=120,
        cwd=folder,
        env={**inherited, **settings},
        stdin=subprocess.DEVNULL,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize(("settings", "code"), SETTINGS, ids=str)
def test_an_environment_works_or_is_one_line(tmp_path, settings, code):
    answer = started(["info"], settings, tmp_path)
    assert answer.returncode == code, answer.stderr
    assert answer.stderr.count(b"\n") == (code == 2), answer.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings", [{"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "cp1252"}, {"JAX_PLATFORMS": "cuda"}], ids=str
)
def test_every_command_in_an_environment(ready, tmp_path, settings):
    with open(tmp_path / "said", "wb") as said:
        codes, errors = all_ended(tmp_path, ready, settings, said)
    refused = [name for name, case in CASES.items() if case.jax and "JAX_PLATFORMS" in settings]
    assert codes == {name: 2 if name in refused else case.code for name, case in CASES.items()}, errors
    assert "Traceback" not in errors
    told = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert len(told) == len(refused)
    assert all("JAX must start in this environment" in line for line in told)


@pytest.mark.slow
@pytest.mark.parametrize("output", ["full", "closed"])
def test_every_command_without_an_output(ready, tmp_path, output):
    with open(FULL if output == "full" else os.devnull, "wb") as stream:
        codes, errors = all_ended(tmp_path, ready, {}, stream, *["closed"] * (output == "closed"))
    lost = [name for name, case in CASES.items() if case.prints and output == "full"]
    assert codes == {name: 2 if name in lost else case.code for name, case in CASES.items()}, errors
    assert "Traceback" not in errors
    assert errors.count("error: ") == errors.count("No space left on device") == len(lost)


def all_ended(folder, ready, settings, output, *more):
    """The exit codes of all commands in one process with those settings and that standard output, and its standard error."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_P", "XLA_"))}
    command = [sys.executable, pathlib.Path(__file__).parents[1] / "all_commands.py", folder / "codes", ready, *more]
    answer = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.PIPE, env={**inherited, **settings}, check=False
    )
    said = answer.stderr.decode(errors="replace")
    assert answer.returncode == 0, said
    return json.loads((folder / "codes").read_text()), said


@pytest.mark.slow
def test_a_platform_that_ends_its_reader_is_survived(tmp_path):
    answer = started(["info"], {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}, tmp_path)
    assert answer.returncode == 0
    assert b"devices    2" in answer.stdout
    assert answer.returncode != -signal.SIGABRT
