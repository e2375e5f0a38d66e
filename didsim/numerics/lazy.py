"""How do public names load on first use, so that what needs no JAX does not wait for it?"""

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def lazy(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a package.

    Args:
        package: its full name.
        homes: public name to the module it is, or to the module and the name in it, ``"did:log_did"``, seen from the package.
    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, _, attribute = homes[name].partition(":")
        home = importlib.import_module(f"{package}.{module}")
        return getattr(home, attribute) if attribute else home

    return get, lambda: sorted(homes)
