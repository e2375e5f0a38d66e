"""What does a text mean that a person typed, for a value or as a TOML file?"""

import tomllib
from pathlib import Path
from typing import Any

from didsim.numerics.errors import ArgumentError


def read_value(text: str, between: str = ",") -> int | float | str | list:
    """The integer, floating-point number or list of such that a text spells; the text itself if it is none of them.

    Args:
        text: ``3``, ``0.5``, ``1e-3``, ``inf``, ``0,0,1`` or a word.
        between: what separates the entries of a list.
    """
    if between in text:
        return [read_value(part, between) for part in text.split(between) if part]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def read_toml(path: Path) -> dict[str, Any]:
    """Contents of a TOML file.

    Raises:
        ArgumentError: the file is missing, unreadable or not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ArgumentError(f"Argument `config` must be valid TOML, but {path} is not: {error}.") from None
    except UnicodeDecodeError:
        raise ArgumentError(f"Argument `config` must be a UTF-8 text file, but {path} is not.") from None
    except OSError as error:
        raise ArgumentError(f"Argument `config` must be a readable file, but {path} is not: {error.strerror}.") from None
