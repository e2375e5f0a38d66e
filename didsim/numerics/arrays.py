"""Which array does a file hold?"""

import math
import tokenize
from pathlib import Path

import jax
import numpy as np

from didsim.numerics import checks


def read_npy(name: str, path: Path) -> np.ndarray | jax.Array:
    """Numbers or booleans of a ``.npy`` file, whose size is held against its header before memory is taken for it.

    Raises:
        ArgumentError: it cannot be read, promises more than it holds, or holds something else; ``name`` is the argument's.
    """
    try:
        if not path.is_file():
            raise ValueError("there is no such file")
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read_header(file)
            promised, held = math.prod(shape) * dtype.itemsize, path.stat().st_size - file.tell()
        if promised > held:
            raise ValueError(f"its header says {promised:,} bytes, it holds {held:,}")
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError, RecursionError, OverflowError, tokenize.TokenError) as error:
        fault = getattr(error, "strerror", None) or str(error).partition("\n")[0].rstrip(".")
        raise checks.ArgumentError(f"Argument `{name}` must name a readable .npy file, but {path} is not: {fault}.") from None
    return array if array.dtype == bool else checks.numbers(name, array)
