"""Which pictures stand on the page of pictures?  Those that its own lines draw: they are run as printed.

``make gallery`` renews them.
"""

import contextlib
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE, PICTURES = ROOT / "docs" / "gallery.md", ROOT / "docs" / "gallery"


def draw(folder: Path) -> None:
    """Runs the page's Python in a folder, into which it draws."""
    names: dict = {}
    with contextlib.chdir(folder):
        for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.S):
            exec(block, names)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    draw(PICTURES)
