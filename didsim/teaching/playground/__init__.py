"""What does a triangle look like that one plays with?  One page for a browser, with its own arithmetic and no network.

The arithmetic is in ``modules``, ES modules that a browser test holds against didsim.  A page that is mailed has no folder to
import them from, so they are joined to one script here.
"""

import base64
import hashlib
import re
from importlib import resources

from didsim.numerics.version import __version__

# Each imports from those before it alone.
MODULES = (
    "laws", "samplers", "objectives", "descent", "minimiser", "readings", "state", "presets", "symbols", "triangle", "charts",
    "answers", "page",
)  # fmt: skip
IMPORT = re.compile(r'^import (\{[^}]*\}) from "\./(\w+)\.js";$', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:const|function) (\w+))", re.MULTILINE)


def render() -> str:
    """The page as one text of HTML that needs nothing else.

    Example:
        >>> from didsim.teaching import playground
        >>> page = playground.render()
        >>> page.startswith("<!DOCTYPE html>"), len(page.encode()) < 300_000
        (True, True)
    """
    script = joined({name: _own(f"modules/{name}.js") for name in MODULES})
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    parts = {"version": __version__, "digest": digest, "style": _own("style.css"), "script": script}
    return re.sub(r"\{\{ (\w+) \}\}", lambda found: parts[found[1]], _own("page.html"))


def joined(modules: dict[str, str]) -> str:
    """ES modules as one script: each a function that is called once and returns what it exports.

    Args:
        modules: name to text, each after those that it imports from; an import is ``import { names } from "./name.js";``, an
            export ``export const name`` or ``export function name``.

    Raises:
        ValueError: one imports from a module that does not stand before it.
    """
    seen: list[str] = []
    for name, text in modules.items():
        late = [home for _, home in IMPORT.findall(text) if home not in seen]
        if late:
            raise ValueError(f"module {name} imports from {', '.join(late)}, which must stand before it")
        seen.append(name)
    return "\n".join(_called(name, text) for name, text in modules.items())


def _called(name: str, text: str) -> str:
    inside = EXPORT.sub("", IMPORT.sub(r"const \1 = $\2;", text))
    return f"const ${name} = (() => {{\n{inside}\nreturn {{ {', '.join(EXPORT.findall(text))} }};\n}})();"


def _own(name: str) -> str:
    return (resources.files("didsim.teaching.playground") / name).read_text(encoding="utf-8")
