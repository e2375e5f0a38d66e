"""How does a figure stand in a paper's appendix?  A page of LaTeX: picture, claim, verdicts, config and where it comes from."""

import hashlib
import os
from pathlib import Path

from didsim.cli.report.figures import Figure, drawn
from didsim.cli.report.files import VerdictRow
from didsim.numerics.errors import ArgumentError, did_you_mean
from didsim.numerics.typesetting import prose

PAGE = r"""% Written by didsim {version}; needs the packages graphicx and booktabs.
\section*{{Figure {id}: {title}}}
{claim} Statements: {theory}. Source: {source}. Setting of the source's own figure: {setting}.

\begin{{center}}
\includegraphics[width=\linewidth,height=0.4\textheight,keepaspectratio]{{{picture}}}
\end{{center}}

{{\scriptsize\noindent
\begin{{tabular}}{{@{{}}p{{0.62\linewidth}}rrl@{{}}}}
\toprule
verdict & measured & must be & \\
\midrule
{rows}
\bottomrule
\end{{tabular}}\par}}

{{\footnotesize\noindent A control drops an assumption, and then the check must fail. Drawn again by
\texttt{{didsim reproduce {id}}} with didsim {version}{commit}, {precision}; SHA-256 of the config \texttt{{{digest}}}:
\begin{{verbatim}}
{config}
\end{{verbatim}}
}}
"""


def appendix(folder: Path, id: str, out: Path) -> str:
    """LaTeX of one figure, to be put into an appendix.

    Args:
        folder: what `didsim reproduce` wrote.
        id: the figure, "A4".
        out: where the page will lie; the picture is named as seen from there.

    Raises:
        ArgumentError: the folder has no such figure, or not all of it.
    """
    figures = {one.entry.id: one for one in drawn(folder).figures}
    figure = figures[did_you_mean("--appendix", id.upper(), figures)]
    if figure.manifest is None or figure.config is None:
        raise ArgumentError(f"Argument `--appendix` must be a figure whose files are whole, but of {id}: {figure.troubles[0]}")
    return _page(figure, folder, out)


def _page(figure: Figure, folder: Path, out: Path) -> str:
    entry, manifest, config = figure.entry, figure.manifest, figure.config or ""
    assert manifest is not None
    return PAGE.format(
        version=manifest.didsim,
        id=entry.id,
        title=entry.slug.replace("-", " "),
        claim=prose(entry.claim),
        theory=entry.theory,
        source=prose(entry.source),
        setting=entry.setting,
        picture=os.path.relpath(folder / f"{entry.stem}.png", out.parent).replace(os.sep, "/"),
        rows="\n".join(_row(verdict) for verdict in figure.verdicts),
        commit=f", commit \\texttt{{{manifest.git.commit[:12]}}}" if manifest.git.commit else "",
        precision=prose(manifest.dtype or "unknown precision"),
        digest=hashlib.sha256(config.encode()).hexdigest()[:16],
        config=config.strip(),
    )


def _row(verdict: VerdictRow) -> str:
    sense = r"$\le$" if verdict.sense == "<=" else r"$\ge$"
    return (
        f"{prose(verdict.name)} & {verdict.value:.3g} & {sense} {verdict.bound:.3g} & {'holds' if verdict.ok else 'fails'} \\\\"
    )
