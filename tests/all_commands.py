"""Every command in this process, one after another, on the standard output that it was given; their exit codes into a file.

``python all_commands.py codes.json folder [closed]``: with ``closed`` each command finds standard output closed.
"""

import json
import os
import sys
from pathlib import Path

import pytest
from command_cases import CASES, make_quick, spelled

from didsim import cli


def ended(words):
    """The exit code, however the command says it."""
    try:
        return cli.main(words)
    except SystemExit as stop:
        return stop.code


def close_output():
    """Leaves standard output as Python does where a process is started without one."""
    sys.stdout = None
    os.close(1)


def run(codes, folder, closed):
    """All commands."""
    make_quick(pytest.MonkeyPatch())
    found = {}
    for name in CASES:
        if closed:
            close_output()
        found[name] = ended(spelled(name, folder))
    codes.write_text(json.dumps(found))


if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.argv[2], "closed" in sys.argv)
