"""Which rivals are here?  Their code lies in ``rivals``, which a wheel leaves out; rows without a rival say why."""

import importlib
import importlib.util
from pathlib import Path
from typing import Any

HERE = (Path(__file__).parent / "rivals" / "__init__.py").exists()
IN_WHEEL = "rivals are measured from a checkout"
NO_C = "no C compiler `cc` with OpenMP" if HERE else IN_WHEEL
NO_NUMPY = "not measured" if HERE else IN_WHEEL
NO_TORCH = "PyTorch is not installed" if HERE else IN_WHEEL


def rival(name: str) -> Any | None:
    """A module of ``rivals``, if it is here."""
    return importlib.import_module(f"didsim.cli.bench.rivals.{name}") if HERE else None


def torch_module() -> Any | None:
    """PyTorch, if it is installed and its loops are here."""
    return importlib.import_module("torch") if HERE and importlib.util.find_spec("torch") else None


def compiled_kernel() -> Any | None:
    """The C kernel built for this very machine, if it is here and there is a compiler."""
    module = rival("c_kernel")
    return module.compile_kernel() if module else None
