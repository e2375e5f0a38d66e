"""What does a text mean that a person typed, for a value or as a TOML file?"""

import re
import tomllib
from pathlib import Path
from typing import Any

from didsim.numerics import files
from didsim.numerics.errors import ArgumentError, shown

INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)  # Python's own readers take 1_0, digits of other scripts and blanks too
REAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(inf|infinity|nan)", re.ASCII | re.IGNORECASE)
DIGITS = 300  # of an integer; what is longer is a floating-point infinity


def read_value(text: str, between: str = ",", *, name: str = "value") -> int | float | str | list:
    """The integer, floating-point number or list of such that a text spells; the text itself if it is none of them.

    Args:
        text: ``3``, ``0.5``, ``1e-3``, ``inf``, ``0,0,1`` or a word.
        between: what separates the entries of a list.
        name: of the argument, for messages.

    Raises:
        ArgumentError: a number in another spelling than plain digits, such as ``1_0``.
    """
    if between in text:
        return [read_value(part, between, name=name) for part in text.removesuffix(between).split(between)]
    if INTEGER.fullmatch(text) and len(text) <= DIGITS:
        return int(text)
    if INTEGER.fullmatch(text) or REAL.fullmatch(text):
        return float(text)
    try:
        float(text)
    except ValueError:
        return text
    raise ArgumentError(f"Argument `{name}` must be a number in plain digits, but is {shown(text)}.")


def read_toml(path: Path) -> dict[str, Any]:
    """Contents of a TOML file.

    Raises:
        ArgumentError: the file is missing, unreadable or not TOML.
    """
    content = files.read("config", path)
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except tomllib.TOMLDecodeError as error:
        raise ArgumentError(f"Argument `config` must be valid TOML, but {path} is not: {error}.") from None
    except UnicodeDecodeError:
        raise ArgumentError(f"Argument `config` must be a UTF-8 text file, but {path} is not.") from None
    except RecursionError:
        raise ArgumentError(f"Argument `config` must not nest so deeply, but {path} does.") from None
    except ValueError:  # an integer of more digits than Python reads
        raise ArgumentError(f"Argument `config` must hold numbers of fewer digits, but {path} does not.") from None
