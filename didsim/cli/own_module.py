"""How is a module of the user's own imported?"""

import importlib
import os
import sys
from types import ModuleType

from didsim.numerics.errors import ArgumentError, printable


def imported(option: str, module: str) -> ModuleType:
    """The module of that name, which is also looked for in the folder one is in.

    Raises:
        ArgumentError: it cannot be imported, or leaves Python while it is: a script that ends in ``sys.exit()`` would
            otherwise end this command, with an exit code that says that all is well.
    """
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(module)
    except (Exception, SystemExit) as error:
        told = why(error)
    raise ArgumentError(f"Argument `{option}` must name a module that can be imported, but {module}: {told}.")


def why(error: BaseException) -> str:
    """What an error of the user's own code says, in one line."""
    if isinstance(error, SystemExit):
        return "SystemExit, which belongs under `if __name__ == '__main__':`"
    text = printable(next(iter(str(error).splitlines()), ""))
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
