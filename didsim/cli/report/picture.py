"""How does a picture get into a page where nothing may collide and nothing may be fetched?

An SVG is taken apart and put together anew: only drawing elements pass, links may point inside the picture alone, and the
names that are left carry the figure's id.  What is too heavy for a browser goes in as its PNG.
"""

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from didsim.cli.report.files import Damaged, content

HEAVIEST = 600_000  # bytes of SVG; beyond, a phone scrolls haltingly
SVG = "{http://www.w3.org/2000/svg}"
LINK = "{http://www.w3.org/1999/xlink}href"
DRAWING = frozenset({
    "svg", "g", "defs", "clipPath", "path", "use", "rect", "circle", "ellipse", "line", "polyline", "polygon", "image", "text",
    "tspan", "style", "linearGradient", "radialGradient", "stop", "pattern", "mask", "symbol", "marker", "title", "desc",
})  # fmt: skip
REFERENCE = re.compile(r"url\(\s*['\"]?#([^)'\"]+)['\"]?\s*\)")
FOREIGN = re.compile(r"url\(\s*['\"]?(?!#)|@import|expression\(", re.IGNORECASE)
SIGNATURE = b"\x89PNG\r\n\x1a\n"
PANEL = re.compile(r"([a-z])  (\S.*)")


@dataclass(frozen=True)
class Picture:
    """A picture as markup.

    Attributes:
        markup: an ``svg`` or ``img`` element.
        panels: the titles of its panels, as written in it.
        size: bytes of markup.
        note: why it is not the SVG, if it is not.
    """

    markup: str
    panels: tuple[str, ...] = ()
    size: int = 0
    note: str = ""


def picture(stem: Path, name: str, title: str, description: str) -> Picture:
    """The SVG of a figure made safe for a page, or its PNG where the SVG is too heavy.

    Args:
        stem: path of the files without an ending.
        name: what its names are made unique with.
        title: what a screen reader calls it.
        description: what a screen reader says of it; the titles of the panels are added.

    Raises:
        Damaged: a file is missing or not a picture, or the SVG holds what is not drawing.
    """
    raw = content(stem.with_name(stem.name + ".svg"))
    root, said = _parsed(raw, stem.name + ".svg")
    panels = tuple(f"{found[1]}, {found[2]}" for found in map(PANEL.fullmatch, said) if found)
    told = f"{description} Panels: {'; '.join(panels)}." if panels else description
    markup = _inline(root, name, title, told, stem.name + ".svg")
    if len(markup.encode()) > HEAVIEST:
        image = content(stem.with_name(stem.name + ".png"))
        markup = _image(image, f"{title} {told}", stem.name + ".png")
        return Picture(markup, panels, len(markup), f"Shown as PNG: the SVG has {len(raw) / 1e6:.1f} MB.")
    return Picture(markup, panels, len(markup.encode()))


def _parsed(raw: bytes, file: str) -> tuple[ElementTree.Element, list[str]]:
    """Root of the drawing, and the texts in it: matplotlib writes each as a comment beside its outlines."""
    parser = ElementTree.XMLParser(target=ElementTree.TreeBuilder(insert_comments=True))
    try:
        root = ElementTree.fromstring(raw, parser)
    except ElementTree.ParseError as error:
        raise Damaged(f"{file} is damaged: not XML: {error}.") from None
    if root.tag != SVG + "svg":
        raise Damaged(f"{file} is damaged: not an SVG.")
    said = [str(node.text).strip() for node in root.iter() if node.tag is ElementTree.Comment or node.tag == SVG + "text"]
    return root, said


def _inline(root: ElementTree.Element, name: str, title: str, description: str, file: str) -> str:
    """The drawing with names of its own and no namespace, as HTML wants it."""
    _only_drawing(root, file)
    used = set(_references(root))
    for node in root.iter():
        node.tag = str(node.tag).removeprefix(SVG)
        if LINK in node.attrib:
            node.set("href", node.attrib.pop(LINK))
        _rename(node, name, used)
        if node.tag not in ("text", "tspan", "style"):
            node.text = None
        node.tail = node.tail if (node.tail or "").strip() else None
    for style in root.iter("style"):
        style.text = _scoped(style.text or "", name, file)
    _label(root, name, title, description)
    return ElementTree.tostring(root, encoding="unicode")


def _only_drawing(node: ElementTree.Element, file: str) -> None:
    """Drops comments and metadata, and refuses what is not drawing."""
    for child in list(node):
        if child.tag in (ElementTree.Comment, SVG + "metadata", SVG + "title", SVG + "desc"):
            node.remove(child)
            continue
        if str(child.tag).removeprefix(SVG) not in DRAWING:
            raise Damaged(f"{file} is refused: it holds <{str(child.tag).removeprefix(SVG)}>, which is not drawing.")
        _only_drawing(child, file)
    for key, value in node.attrib.items():
        link = key in (LINK, "href")
        outside = link and not value.startswith("#") and not value.startswith("data:image/png;base64,")
        if outside or (not link and FOREIGN.search(value)) or key.lower().startswith("on"):
            raise Damaged(f"{file} is refused: its {key.rpartition('}')[2]} reaches outside the picture.")


def _references(root: ElementTree.Element) -> Iterator[str]:
    for node in root.iter():
        for key, value in node.attrib.items():
            yield from REFERENCE.findall(value)
            if key in (LINK, "href") and value.startswith("#"):
                yield value[1:]


def _rename(node: ElementTree.Element, name: str, used: set[str]) -> None:
    """Names that something refers to carry the figure's; the others go."""
    if node.attrib.get("id") not in used:
        node.attrib.pop("id", None)
    for key, value in node.attrib.items():
        if key == "id":
            node.set(key, f"{name}-{value}")
        elif key == "href" and value.startswith("#"):
            node.set(key, f"#{name}-{value[1:]}")
        else:
            node.set(key, REFERENCE.sub(lambda found: f"url(#{name}-{found[1]})", value))


def _scoped(rules: str, name: str, file: str) -> str:
    """The one rule matplotlib writes, for everything, kept to this picture."""
    found = re.fullmatch(r"\s*\*\s*\{([^{}<]*)\}\s*", rules)
    if found is None or FOREIGN.search(rules):
        raise Damaged(f"{file} is refused: it holds style rules of its own.")
    return f"#{name}-picture *{{{found[1]}}}"


def _label(root: ElementTree.Element, name: str, title: str, description: str) -> None:
    for place, (tag, text) in enumerate((("title", title), ("desc", description))):
        made = ElementTree.Element(tag, id=f"{name}-{tag}")
        made.text = text
        root.insert(place, made)
    for key in ("width", "height", "version"):  # the view box says the shape, the page the width
        root.attrib.pop(key, None)
    root.attrib.update(id=f"{name}-picture", role="img")
    root.set("aria-labelledby", f"{name}-title {name}-desc")


def _image(raw: bytes, alternative: str, file: str) -> str:
    if not raw.startswith(SIGNATURE):
        raise Damaged(f"{file} is damaged: not a PNG.")
    source = f"data:image/png;base64,{base64.b64encode(raw).decode()}"
    made = ElementTree.Element("img", src=source, alt=alternative)
    return ElementTree.tostring(made, encoding="unicode", method="html")
