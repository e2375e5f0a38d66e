"""How are the pages made?  From the README, the Markdown files, the notebooks as committed, and the docstrings of each room.

The source folder is the repository itself, so that links and pictures are the same here and where the files are read raw.
"""

import inspect
import re
import shutil
import sys
from pathlib import Path

import ziamath
from docutils import nodes
from latex2mathml.converter import convert
from sphinx.errors import ExtensionError
from sphinx.ext.napoleon.docstring import GoogleDocstring
from sphinx.util.nodes import make_refnode

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import didsim  # noqa: E402
from didsim.claims import LEDGER  # noqa: E402
from didsim.claims.groups import GROUPS  # noqa: E402

project, author, release = "didsim", "The didsim founders", didsim.__version__
copyright = author
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
root_doc = "README"
include_patterns = ["*.md", "docs/*.md", "docs/api/*.rst", "notebooks/*.ipynb"]
exclude_patterns = [".*", "build", "dist", "tests", "didsim"]

html_theme = "furo"
html_title = f"didsim {release}"
html_show_sourcelink = False
html_static_path = ["pages.css"]
html_css_files = ["pages.css"]

html_math_renderer = "mathml"
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # outputs are committed, and continuous integration executes every notebook
nb_ipywidgets_js = {}  # sliders need a kernel; the picture below each does not, and nothing is loaded from elsewhere

default_role = "py:obj"
napoleon_attr_annotations = False  # an annotation such as Float[Array, "*batch"] is no reStructuredText
napoleon_use_ivar = True
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 80
nitpick_ignore_regex = [("py:class", ".*")]  # annotations name the axes of arrays, which are no classes
INNER = """
AsShown Bernoulli Count Design Displacement EntropyEstimate Entry Extremes FIGURES Flipped GeometricMix GreedyAgainst
Grid Hard LinearModel MEANING Minimum Nucleus PREDICTED Positive PowerLaw PowerLawEstimate ProductLaplacian RankPair
RateFit Registry.register SolutionSet Tempered Threshold TokenEntropyEstimate TokenTable checks default_labels linalg
pair_sums provenance pytrees triangles xarray.Dataset
"""  # what docstrings name that stands in a module of its room and on no page of the reference
nitpick_ignore = [("py:exc", "BrokenExecutor"), *(("py:obj", name) for name in INNER.split())]

CONTENTS = """
```{{toctree}}
:hidden:

{pages}
```

```{{toctree}}
:hidden:
:caption: Notebooks

{notebooks}
```
"""
PAGES = (
    "docs/statements",
    "docs/figures",
    "docs/gallery",
    "docs/ledger",
    "docs/sweeps",
    "docs/diagnose",
    "docs/golden",
    "docs/playground",
    "docs/trainers",
    "docs/extending",
    "docs/speed",
    "docs/api/index",
    "CONTRIBUTING",
    "CHANGELOG",
)


def write_reference() -> None:
    """One page for every public room and one for the package, made of docstrings; read off the package, so none is forgotten."""
    modules = {
        name: getattr(didsim, name) for name in didsim.__all__ if inspect.ismodule(getattr(didsim, name)) and name != "cli"
    }
    own = sorted(modules, key=lambda name: modules[name].__name__ == f"didsim.{name}")  # of two names the room's own, last
    rooms = sorted({modules[name]: name for name in own}.values())
    names = ["didsim", *(f"didsim.{room}" for room in rooms)]
    pages = {
        name: f"{name}\n{'=' * len(name)}\n\n.. automodule:: {name}\n   :members: {_named(name)}\n   :show-inheritance:\n"
        for name in names
    }
    objects = {name: getattr(didsim, name) for name in didsim.__all__}
    exported = {name for room in rooms for name in getattr(modules[room], "__all__", ())}
    described = [name for name, one in objects.items() if inspect.isclass(one) and name in exported]
    pages["didsim"] += f"   :exclude-members: {', '.join(described)}\n"  # their rooms describe them
    pages["index"] = reference_front(names)
    folder = ROOT / "docs" / "api"
    folder.mkdir(exist_ok=True)
    for name, text in pages.items():
        path = folder / f"{name}.rst"
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def _named(room: str) -> str:
    """The public names of a module that lies elsewhere and has no list of them; nothing where autodoc finds them itself."""
    module = _module(room) if "." in room else didsim
    if module.__name__ == room or hasattr(module, "__all__"):
        return ""
    return ", ".join(name for name, one in vars(module).items() if name[0] != "_" and _made_in(module, one))


def _made_in(module, one) -> bool:
    """Whether a function or class is made in a module."""
    return callable(one) and getattr(one, "__module__", None) == module.__name__


FIRST = ("Problem", "Run", "Trajectory", "Solution")  # what one holds in one's hands, in the order in which one meets them


def reference_front(names: list[str]) -> str:
    """The list of rooms, each with the question that it answers, after the four objects that one meets first."""
    first = [f"- `{name}`: {_first_sentence(getattr(didsim, name))}" for name in FIRST]
    rooms = [f"- :doc:`{name}`: {_first_sentence(sys.modules.get(name) or _module(name))}" for name in names]
    hidden = ".. toctree::\n   :hidden:\n\n   " + "\n   ".join(names)
    return "\n".join(["Reference", "=========", "", "First:", "", *first, "", "All rooms:", "", *rooms, "", hidden, ""])


def _module(name: str):
    return getattr(didsim, name.removeprefix("didsim."))


def _first_sentence(one) -> str:
    """First paragraph of a docstring up to its first full stop or question mark."""
    paragraph = " ".join((inspect.getdoc(one) or "").split("\n\n")[0].split())
    return re.split(r"(?<=[.?])\s", paragraph)[0]


def add_contents(app, docname: str, source: list[str]) -> None:
    """The list of pages, which has no place in a README that is read by itself."""
    if docname == app.config.root_doc:
        notebooks = sorted(f"notebooks/{path.stem}" for path in (ROOT / "notebooks").glob("*.ipynb"))
        source[0] += CONTENTS.format(pages="\n".join(PAGES), notebooks="\n".join(notebooks))


def find_by_last_name(app, env, node, content):
    """The object that a docstring calls by its last name only, if just one has it."""
    if node.get("refdomain") != "py":
        return None
    objects = env.get_domain("py").objects
    found = [name for name in objects if name.endswith("." + node["reftarget"])]
    homes = {objects[name].node_id: name for name in sorted(found, key=len, reverse=True)}
    if not homes or len({name.rpartition(".")[2] for name in homes.values()}) > 1:
        return None
    name = min(homes.values(), key=len)
    return make_refnode(app.builder, node["refdoc"], objects[name].docname, objects[name].node_id, [content], name)


STATEMENT = re.compile(r"\b([DSLKF]\d{1,2})(\.[a-z][a-z0-9-]+)?\b")
STATEMENTS = "docs/statements"


def link_statements(app, doctree, docname: str) -> None:
    """Every number of a statement in running text leads to the page of statements; public names lead to the reference there."""
    objects = app.env.get_domain("py").objects
    kept = (nodes.reference, nodes.title, nodes.literal_block, nodes.math, nodes.math_block, nodes.raw)
    for text in list(doctree.findall(nodes.Text)):
        above = [text.parent, *_ancestors(text)]
        if any(isinstance(one, kept) for one in above) or (docname == STATEMENTS and not isinstance(text.parent, nodes.literal)):
            continue
        if isinstance(text.parent, nodes.literal):
            name = text.astext()
            if docname == STATEMENTS and name in objects:
                one = objects[name]
                text.parent.replace_self(make_refnode(app.builder, docname, one.docname, one.node_id, text.parent.deepcopy()))
            continue
        parts = _linked(app, docname, text.astext())
        if len(parts) > 1:
            text.parent.replace(text, parts)


def _ancestors(node):
    while node.parent is not None:
        node = node.parent
        yield node


def _linked(app, docname: str, text: str) -> list[nodes.Node]:
    parts, last = [], 0
    for match in STATEMENT.finditer(text):
        if match[1] in GROUPS:
            target = match[0].lower().replace(".", "-") if match[0] in LEDGER else match[1].lower()
            shown = nodes.Text(match[0])
            parts += [nodes.Text(text[last : match.start()]), make_refnode(app.builder, docname, STATEMENTS, target, shown)]
            last = match.end()
    return [*parts, nodes.Text(text[last:])]


def set_mathematics(self, node) -> None:
    """Formulas as MathML, which browsers set without a script and screen readers read."""
    block = isinstance(node, nodes.math_block)
    written = convert(node.astext(), display="block" if block else "inline")
    self.body.append(f'<div class="math">{_spaced(written)}</div>' if block else _spaced(written))
    raise nodes.SkipNode


def _spaced(written: str) -> str:
    """A thin space between a function's name and a letter, which the converter leaves out."""
    return re.sub(r"(<mi>(?:log|ln|exp|tanh|cosh|max|min|dim)</mi>)(?=<m(?:i|n|sub|sup|row|frac)\b)",
                  r'\1<mspace width="0.17em"/>', written)  # fmt: skip


def bring_font(app) -> None:
    """A font with mathematics beside the pages, for systems that have none."""
    font = Path(ziamath.__file__).parent / "fonts" / "STIXTwoMath-Regular.ttf"
    folder = Path(app.outdir) / "_static"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(font, folder / font.name)


def shorten_signature(app, what, name, obj, options, signature, returned):
    """Arrays under the name that the sources use."""
    return tuple(text and text.replace("jaxlib._jax.Array", "Array") for text in (signature, returned))


def all_is_described(app, env) -> None:
    """An error where the page of a room leaves out what it names."""
    described = env.get_domain("py").objects
    for page in (ROOT / "docs" / "api").glob("didsim*.rst"):
        named = re.findall(r":members: (.+)", page.read_text())
        missing = [name for names in named for name in names.split(", ") if f"{page.stem}.{name}" not in described]
        if missing:
            raise ExtensionError(f"{page.stem}: not described are {', '.join(missing)}")


def point_to_front(app, error) -> None:
    """An index.html, which servers look for, that leads to the front page."""
    if error is None and app.builder.format == "html":
        (Path(app.outdir) / "index.html").write_text(f'<meta http-equiv="refresh" content="0; url={app.config.root_doc}.html">\n')


def whole_docstring(self) -> tuple[str, list[str]]:
    """No type and all lines: properties are annotated, so what stands before a colon is part of the sentence."""
    return "", self.__class__(self._consume_to_end(), self._config).lines()


def setup(app) -> None:
    GoogleDocstring._consume_inline_attribute = whole_docstring
    write_reference()
    app.add_html_math_renderer("mathml", (set_mathematics, None), (set_mathematics, None))
    app.connect("builder-inited", bring_font)
    app.connect("doctree-resolved", link_statements)
    app.connect("source-read", add_contents)
    app.connect("missing-reference", find_by_last_name)
    app.connect("autodoc-process-signature", shorten_signature)
    app.connect("env-check-consistency", all_is_described)
    app.connect("build-finished", point_to_front)
