"""Which rivals are here?  Their code lies with the tests of a checkout; rows without a rival say why."""

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[3] / "tests" / "rivals"
HERE = FOLDER.is_dir()
IN_WHEEL = "rivals are measured from a checkout"
NO_C = "no C compiler `cc` with OpenMP" if HERE else IN_WHEEL
NO_NUMPY = "not measured" if HERE else IN_WHEEL
NO_TORCH = "PyTorch is not installed" if HERE else IN_WHEEL


def rival(name: str) -> Any | None:
    """One of the rivals as a module, if it is here."""
    if not HERE:
        return None
    known = f"rivals.{name}"
    spec = importlib.util.spec_from_file_location(known, FOLDER / f"{name}.py")
    if spec is not None and spec.loader is not None and known not in sys.modules:
        sys.modules[known] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[known])
    return sys.modules[known]


def torch_module() -> Any | None:
    """PyTorch, if it is installed and its loops are here."""
    return importlib.import_module("torch") if HERE and importlib.util.find_spec("torch") else None


def compiled_kernel() -> Any | None:
    """The C kernel built for this very machine, if it is here and there is a compiler."""
    module = rival("c_kernel")
    return module.compile_kernel() if module else None
