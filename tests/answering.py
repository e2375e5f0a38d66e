"""A process that answers command lines one after another as a person's would: no types checked at run time, no warning an error.

Started as a program it reads a folder and words as JSON, line by line, and writes the exit code and what standard error
held.  `Answering` holds one, in another process than the tests', so that one that hangs or crashes is seen and replaced.
"""

import contextlib
import io
import json
import os
import select
import signal
import subprocess
import sys

BUSY = 10  # times as long as a processor's time may the clock's be, on a machine that does other work


class Answering:
    """Commands answered in a process of their own, within so many seconds of a processor each."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.process = None

    def __call__(self, words, folder):
        """The exit code, or a word for what came in its place, and what standard error held."""
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, __file__, str(self.seconds)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        self.process.stdin.write(json.dumps([str(folder), list(words)]).encode() + b"\n")
        self.process.stdin.flush()
        ready, _, _ = select.select([self.process.stdout], [], [], BUSY * self.seconds)
        line = self.process.stdout.readline() if ready else b""
        if line:
            return json.loads(line)
        self.end()
        return ("crashed, or took too long" if ready else "hangs"), ""

    def end(self):
        """Ends the process, if there is one."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


def answer(folder, words):
    """What one command line answers."""
    from didsim import cli

    os.chdir(folder)
    streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2)]
    with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
        try:
            code = cli.main(words)
        except SystemExit as stop:
            code = stop.code
        streams[1].flush()
    return code, streams[1].buffer.getvalue().decode()


def serve():
    """Answers until there are no more words."""
    import pytest
    from command_cases import make_quick

    make_quick(pytest.MonkeyPatch())
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever else writes there is no answer
    for line in sys.stdin:
        signal.setitimer(signal.ITIMER_PROF, float(sys.argv[1]))  # which ends the process, whatever it does
        told = answer(*json.loads(line))
        signal.setitimer(signal.ITIMER_PROF, 0)
        answers.write(json.dumps(told) + "\n")
        answers.flush()


if __name__ == "__main__":
    serve()
