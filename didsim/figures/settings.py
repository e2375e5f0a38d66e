"""How are a figure's numbers set, checked and written down?"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar, dataclass_transform

import pydantic
from pydantic import Field
from pydantic.dataclasses import dataclass as pydantic_dataclass

from didsim.numerics import checks
from didsim.numerics.texts import read_value

T = TypeVar("T")
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=checks.SEED_LIMIT)]


@dataclass_transform(frozen_default=True)
def config(cls: type[T]) -> type[T]:
    """Class decorator: a frozen dataclass that checks its values and accepts no unknown field.

    A field says what it may hold by its type, `Positive` or `Count`, or beside its default, ``n: int = Field(12, ge=2)``.
    """
    return pydantic_dataclass(frozen=True, config=pydantic.ConfigDict(extra="forbid"))(cls)  # type: ignore[return-value]


def choose_seeds(settings: Any) -> None:
    """Sixteen worlds where ``seeds`` is 0, or one of more than a hundred responses; for a config's ``__post_init__``."""
    if settings.seeds == 0:
        object.__setattr__(settings, "seeds", 16 if settings.n <= 100 else 1)


def configure(config_class: type, changes: dict[str, str], *, fast: bool, seed: int | None) -> Any:
    """Config of a figure from text settings; ``fast`` takes the class's quick values first.

    Raises:
        ArgumentError: an unknown field or a value of the wrong kind or out of range.
    """
    values: dict[str, Any] = dict(config_class.FAST) if fast else {}
    if seed is not None:
        values["seed"] = checks.seed(seed)
    for name, text in changes.items():
        checks.did_you_mean("--set", name, field_names(config_class))
        values[name] = read_value(text, name=name)
    try:
        return config_class(**values)
    except pydantic.ValidationError as error:
        raise _refusal(error, changes) from None


def _refusal(error: pydantic.ValidationError, changes: Mapping[str, str]) -> checks.ArgumentError:
    """What is wrong in one line: with a field, or with several that do not go together."""
    first = error.errors()[0]
    reason = first.get("ctx", {}).get("error", first["msg"])
    if isinstance(reason, checks.ArgumentError):
        return reason
    name = ".".join(str(part) for part in first["loc"])
    given = repr(first["input"]) if name else ", ".join(f"{field}={text}" for field, text in changes.items())
    said = str(reason)
    return checks.ArgumentError(f"Argument `{name or '--set'}` must be valid ({said[0].lower()}{said[1:]}), but is {given}.")


def field_names(config_class: type) -> list[str]:
    """Settable fields of a config class."""
    return [field.name for field in dataclasses.fields(config_class)]


def split_settings(settings: Sequence[str]) -> list[tuple[str | None, str, str]]:
    """``[ID.]name=value`` texts as (figure or None, name, value).

    Raises:
        ArgumentError: a text without an equals sign.
    """
    parts = []
    for text in settings:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise checks.ArgumentError(f"Argument `--set` must be name=value, but is {text!r}.")
        figure, dot, field = name.rpartition(".")
        parts.append((figure if dot else None, field, value))
    return parts


def to_toml(values: Any) -> str:
    """A flat config as TOML text."""
    return "".join(f"{name} = {_toml(value)}\n" for name, value in dataclasses.asdict(values).items())


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml(v) for v in value) + "]"
    return f'"{value}"' if isinstance(value, str) else repr(value)
