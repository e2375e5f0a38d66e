"""How is what one used cited?  BibTeX for the software and for the two papers whose statements it puts to the test."""

from didsim.numerics.version import __version__

PAPERS = (
    (
        "won2025differential",
        "Differential Information Distribution: A {Bayesian} Perspective on Direct Preference Optimization",
        "Won, Yunjae and Lee, Hyunji and Hwang, Hyeonbin and Seo, Minjoon",
        "2505.23761",
    ),
    (
        "kim2025sampling",
        "Understanding the Impact of Sampling Quality in Direct Preference Optimization",
        "Kim, Kyung Rok and Bai, Yumo and Wang, Chonghuan and Chen, Guanting",
        "2506.04272",
    ),
)


def bibtex() -> str:
    """Entries for the software at this version and for both papers."""
    software = {
        "title": "{didsim}: the exact laboratory for preference-optimisation theory",
        "author": "{The didsim founders}",
        "year": "2026",
        "version": __version__,
        "note": "Apache-2.0",
    }
    entries = [_entry("software", "didsim", software)]
    for key, title, authors, number in PAPERS:
        fields = {"title": title, "author": authors, "year": f"20{number[:2]}", "eprint": number, "archiveprefix": "arXiv"}
        entries.append(_entry("misc", key, fields))
    return "\n\n".join(entries)


def _entry(kind: str, key: str, fields: dict[str, str]) -> str:
    lines = "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items())
    return f"@{kind}{{{key},\n{lines}}}"
