"""How do all parts become one page that needs nothing else?

Style and script stand inside the page; the policy in its head forbids it to fetch anything and to run any other script.
"""

import base64
import hashlib
import math
import re
from dataclasses import dataclass
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from didsim.cli.report.atlas import Atlas
from didsim.cli.report.benchmarks import Benchmarks
from didsim.cli.report.data import affordable
from didsim.cli.report.environment import facts
from didsim.cli.report.figures import Drawn
from didsim.cli.report.files import Origin
from didsim.cli.report.ledger import Ledger, group, stated_by, tabulated
from didsim.cli.wording import duration, measured, size
from didsim.numerics.version import __version__


@dataclass(frozen=True)
class Contents:
    """Everything a page shows.

    Attributes:
        drawn: the figures.
        ledger: the claims; None if they were not judged or cannot be read.
        atlas: the atlas of objectives; None if it was not charted or cannot be read.
        bench: the benchmarks; None if they were not measured.
        troubles: what is missing or damaged beyond the figures and the benchmarks.
        made: time of writing, in UTC.
    """

    drawn: Drawn
    ledger: Ledger | None
    atlas: Atlas | None
    bench: Benchmarks | None
    troubles: tuple[str, ...]
    made: str

    @property
    def all_troubles(self) -> tuple[str, ...]:
        """All that is missing or damaged."""
        figures = [line for figure in self.drawn.figures for line in figure.troubles]
        return (*self.drawn.troubles, *figures, *self.troubles, *(self.bench.troubles if self.bench else ()))

    @property
    def failures(self) -> tuple[str, ...]:
        """Verdicts and claims that failed."""
        verdicts = [f"{f.entry.id}: {v.name}" for f in self.drawn.figures for v in f.verdicts if not v.ok]
        return (*verdicts, *(claim.id for claim in (self.ledger.claims if self.ledger else ()) if not claim.ok))


def render(contents: Contents) -> str:
    """The page as one text of HTML."""
    script = _own("script.js")
    origins = _origins(contents)
    claims = contents.ledger.claims if contents.ledger else ()
    found = [figure.data for figure in contents.drawn.figures if figure.data is not None]
    shown = {
        "page": contents,
        "version": __version__,
        "style": Markup(_own("style.css")),
        "script": Markup(script),
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "carried": affordable(found),
        "anchors": {group(claim.id): f"claim-{claim.id}" for claim in reversed(claims)},
        "facts": facts(origins),
        "origins": origins,
        "total": sum(len(figure.verdicts) for figure in contents.drawn.figures),
        "good": sum(figure.good for figure in contents.drawn.figures),
    }
    return _environment().get_template("page.html.jinja").render(shown)


def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("didsim.cli.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    wording: dict[str, Any] = {
        "duration": duration,
        "size": size,
        "measured": measured,
        "short": short,
        "coded": coded,
        "share": share,
        "day": day,
    }
    made.filters.update(wording, stated_by=stated_by, tabulated=tabulated, data_link=data_link)
    return made


def share(value: float) -> str:
    """A share in per cent, never rounded to all or nothing.

    Example:
        >>> share(0.98764), share(1.0), share(0.9999), share(0.00004)
        ('98.8 %', '100 %', 'over 99.9 %', 'under 0.1 %')
    """
    if 0.0 < value < 0.0005:
        return "under 0.1 %"
    return "over 99.9 %" if 0.9995 <= value < 1.0 else f"{100 * value:.3g} %"


def short(value: float) -> str:
    """A number for a narrow cell.

    Example:
        >>> short(0.1234), short(-2.0), short(1e-13), short(1234.5)
        ('.12', '−2.0', '0', '1e3')
    """
    if not math.isfinite(value) or abs(value) >= 99.5:
        return measured(value) if not math.isfinite(value) else f"{value:.0e}".replace("e+0", "e").replace("-", "−")
    text = f"{value:.2f}" if abs(value) < 0.995 else f"{value:.1f}"
    return text.replace("0.", ".", 1).replace("-", "−") if float(text) else "0"


def coded(text: str) -> Markup:
    """Text with what stands between double backticks set as code.

    Example:
        >>> str(coded("a ``rate`` < 1"))
        'a <code>rate</code> &lt; 1'
    """
    return Markup(re.sub("``(.+?)``", r"<code>\1</code>", str(escape(text))))


def day(time: str) -> str:
    """Date and minute of a time as manifests write it."""
    return time[:16].replace("T", " ") + " UTC" if time.endswith(("+00:00", "Z")) else time


def data_link(text: str, kind: str) -> str:
    """A ``data:`` URL that saves a text."""
    return f"data:{kind};charset=utf-8;base64,{base64.b64encode(text.encode()).decode()}"


def _origins(contents: Contents) -> dict[str, Origin]:
    found: dict[str, Origin] = {f.entry.id: f.manifest for f in contents.drawn.figures if f.manifest is not None}
    if contents.ledger is not None and contents.ledger.origin is not None:
        found["ledger"] = contents.ledger.origin
    if contents.atlas is not None:
        found["atlas"] = contents.atlas.origin
    if contents.bench is not None and contents.bench.manifest is not None:
        found["benchmarks"] = contents.bench.manifest
    return found


def _own(name: str) -> str:
    return (resources.files("didsim.cli.report") / "templates" / name).read_text(encoding="utf-8")
