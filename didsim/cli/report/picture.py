"""How does a picture get into a page where nothing may collide and nothing may be fetched?

As an image that stands in its own address: inside an ``img`` an SVG runs no script, loads nothing, and its names and style
are its own.  What is too heavy for a browser goes in as its PNG.
"""

import base64
import re
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from didsim.cli.report.files import Damaged, content

HEAVIEST = 600_000  # bytes of SVG; beyond, a phone scrolls haltingly
SVG = "{http://www.w3.org/2000/svg}"
SIGNATURE = b"\x89PNG\r\n\x1a\n"
PANEL = re.compile(r"([a-z])  (\S.*)")


@dataclass(frozen=True)
class Picture:
    """A picture as an address with its content.

    Attributes:
        source: ``data:`` URL.
        alternative: what a screen reader says of it.
        note: why it is not the SVG, if it is not.
    """

    source: str
    alternative: str
    note: str = ""


def picture(stem: Path, title: str, description: str) -> Picture:
    """The SVG of a figure, or its PNG where the SVG is too heavy.

    Args:
        stem: path of the files without an ending.
        title: what a screen reader calls it.
        description: what a screen reader says of it; the titles of the panels are added.

    Raises:
        Damaged: a file is missing or not a picture.
    """
    drawing, image = (stem.with_name(stem.name + end) for end in (".svg", ".png"))
    raw = content(drawing)
    panels = "; ".join(f"{found[1]}, {found[2]}" for found in map(PANEL.fullmatch, _texts(raw, drawing.name)) if found)
    alternative = f"{title} {description}" + (f" Panels: {panels}." if panels else "")
    if len(raw) <= HEAVIEST:
        return Picture(_address("image/svg+xml", raw), alternative)
    heavy, raw = len(raw), content(image)
    if not raw.startswith(SIGNATURE):
        raise Damaged(f"{image.name} is damaged: not a PNG.")
    return Picture(_address("image/png", raw), alternative, f"Shown as PNG: the SVG has {heavy / 1e6:.1f} MB.")


def _texts(raw: bytes, file: str) -> list[str]:
    """The texts of a drawing: matplotlib writes each as a comment beside its outlines."""
    parser = ElementTree.XMLParser(target=ElementTree.TreeBuilder(insert_comments=True))
    try:
        root = ElementTree.fromstring(raw, parser)
    except ElementTree.ParseError as error:
        raise Damaged(f"{file} is damaged: not XML: {error}.") from None
    if root.tag != SVG + "svg":
        raise Damaged(f"{file} is damaged: not an SVG.")
    return [str(node.text).strip() for node in root.iter() if node.tag is ElementTree.Comment or node.tag == SVG + "text"]


def _address(kind: str, raw: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(raw).decode()}"
