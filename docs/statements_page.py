"""Writes statements.md: every claim of the ledger with all that is known of it, in the theory's order.

python docs/statements_page.py        after a change of claims, figures, notebooks or figures/ledger.json (make statements)

Statements, formulas, hypotheses and proofs come from the registered claims; residuals and counterexamples from what the
last `make report` found.  A residual stands as the next power of ten, for the digits differ between machines.
"""

import inspect
import json
import math
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "statements.md"
LETTER = "abcdefghijklmnopqrstuvwxyz"
NUMBER = re.compile(r"\b[DSLKF]\d{1,2}\b(?:(?:–|-| to )[DSLKF]\d{1,2}\b)?")
OUTSIDE = ("claims", "figures", "cli", "teaching")  # rooms about statements, not about what they speak of
HEAD = """# Statements

Every statement that the project relies on, {claims} claims under {groups} numbers, made from the ledger by
`make statements`. `didsim verify D7` judges those of a number, `didsim verify D` those of a letter, and prints the statement.

- **Source.** *Paper A* is Won, Lee, Hwang and Seo, [arXiv 2505.23761](https://arxiv.org/abs/2505.23761); *paper B* is Kim,
  Bai, Wang and Chen, [arXiv 2506.04272](https://arxiv.org/abs/2506.04272); other papers stand with their arXiv number.
  *Derived* means that the project's theory derives it from the definitions, *standard* that textbooks have it.
- **Setting.** *Known*: the paper or its published code gives the instance that its figures show. *Unknown*: what is public
  does not say, so the project's figures have settings of their own. *Ours*: no paper shows one.
- **Hypotheses.** Each is left out in turn. *Needed*: the claim then fails; the smallest instance found on which it does
  stands below, laws as whole weights. *Not needed*: it held on every instance tried all the same.
- **Worst residual** over {instances:,} random instances or the share of them that a costly claim gets, in double precision,
  as the next power of ten, beside the bound that counts as holding. This is evidence, not proof; the idea of a proof stands
  under *why*.

Numbers: {letters}.

## Numbers in paper A

As public summaries give them, so **uncertain**; where a cell is empty, no summary names a number.

| here | about | version 1 | version 2 |
|---|---|---|---|
{numbers}
"""


def text() -> str:
    """The whole page."""
    from didsim.claims import LEDGER
    from didsim.claims.groups import GROUPS, LETTERS, group_of, place

    found = {row["id"]: row for row in json.loads((ROOT / "figures" / "ledger.json").read_text(encoding="utf-8"))}
    claims = sorted((claim for claim in LEDGER.values() if group_of(claim.id) in GROUPS), key=lambda claim: place(claim.id))
    places = _places()
    parts = [_head(claims, found, GROUPS, LETTERS)]
    for id, group in GROUPS.items():
        parts.append(f"## {id}\n\n**{group.title[0].upper()}{group.title[1:]}.**\n\n{_about(group, places[id])}\n")
        parts += [_claim(claim, found[claim.id]) for claim in claims if group_of(claim.id) == id]
    return "\n".join(parts)


def _head(claims: list, found: dict[str, Any], groups: dict[str, Any], letters: dict[str, str]) -> str:
    rows = [f"| {id} | {one.title} | {one.v1} | {one.v2} |" for id, one in groups.items() if one.v1 or one.v2]
    lists = [
        f"{what} " + ", ".join(f"[{id}](#{id.lower()})" for id in groups if id[0] == letter) for letter, what in letters.items()
    ]
    return HEAD.format(
        claims=len(claims),
        groups=len(groups),
        instances=max(row["instances"] for row in found.values()),
        letters=";\n".join(lists),
        numbers="\n".join(rows),
    )


def _claim(claim: Any, row: dict[str, Any]) -> str:
    from didsim.numerics.typesetting import tex

    source = re.sub(r",? [DSLKF]\d+(?=;|$)", "", claim.source)
    lines = [
        f"### {claim.id}",
        "",
        claim.statement,
        "",
        f"$$\n{tex(claim.formula)}\n$$",
        "",
        f"- Source: {source}.",
        f"- Why: {_mathematics(claim.proof)}",
        *(f"- Hypothesis: {_hypothesis(control)}" for control in row["controls"]),
        f"- Worst residual: {_power(row['worst'])}, bound {row['bound']:.0e}.",
        "",
    ]
    return "\n".join(lines)


def _mathematics(proof: str) -> str:
    """Signs that Markdown would take for its own."""
    return re.sub(r"([*_|<])", r"\\\1", proof)


def _hypothesis(control: dict[str, Any]) -> str:
    if not control["needed"]:
        return f"{control['dropped']} — *not needed*."
    example = control.get("counterexample")
    return f"{control['dropped']} — *needed*{'' if example is None else ': ' + _example(example)}."


def _example(example: dict[str, Any]) -> str:
    values = "; ".join(f"{name} {_entries(value)}" for name, value in example["values"].items())
    return f"off by {_size(example['residual'])} at N = {example['n']}, `{values}`"


def _entries(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(f"({_entries(one)})" if isinstance(one, list) else str(one) for one in value)
    return str(value)


def _size(residual: float) -> str:
    return f"{residual:.2g}" if residual < 1e4 else f"10^{math.floor(math.log10(residual))}"


def _power(worst: float) -> str:
    """The next power of ten, for the last digits of rounding are a machine's own."""
    return "none" if worst <= 0 else f"below 1e{math.floor(math.log10(worst)) + 1}"


def _about(group: Any, places: dict[str, list[str]]) -> str:
    versions = [f"version {at}: {number}" for at, number in ((1, group.v1), (2, group.v2)) if number]
    lines = [f"Setting: {group.setting}", *([f"In paper A, uncertain: {'; '.join(versions)}"] if versions else [])]
    return "\n".join(
        f"- {line}." for line in [*lines, *(f"{what}: {', '.join(found)}" for what, found in places.items() if found)]
    )


def _places() -> dict[str, dict[str, list[str]]]:
    """Figures, notebooks and public names by the numbers of the theory that they name."""
    from didsim.claims.groups import GROUPS

    found: dict[str, dict[str, list[str]]] = {id: {"Figures": [], "Notebooks": [], "Functions": []} for id in GROUPS}
    for kind, entries in (("Figures", _figures()), ("Notebooks", _notebooks()), ("Functions", _functions())):
        for named, words in entries:
            for id in named & found.keys():
                found[id][kind].append(words)
    return found


def numbers(words: str) -> set[str]:
    """Numbers of the theory in a text; "D5 to D7" names three."""
    named: set[str] = set()
    for match in NUMBER.finditer(words):
        first, *last = re.findall(r"[DSLKF]\d+", match[0])
        stop = int(last[0][1:]) if last and last[0][0] == first[0] else int(first[1:])
        named |= {f"{first[0]}{number}" for number in range(int(first[1:]), stop + 1)} | set(last)
    return named


def _figures() -> Iterator[tuple[set[str], str]]:
    from didsim.figures.catalogue import FIGURES

    for entry in FIGURES.values():
        if not entry.outside:
            yield numbers(entry.theory), f"[{entry.id}](../figures/{entry.stem}.png)"


def _notebooks() -> Iterator[tuple[set[str], str]]:
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        yield numbers("\n".join("".join(cell["source"]) for cell in cells)), f"[{path.stem[:2]}](../notebooks/{path.name})"


def _functions() -> Iterable[tuple[set[str], str]]:
    import didsim

    seen: dict[int, tuple[set[str], str]] = {}
    rooms = [name for name in didsim.__all__ if inspect.ismodule(getattr(didsim, name)) and name not in OUTSIDE]
    for room in sorted(rooms, key=lambda name: getattr(didsim, name).__name__ != f"didsim.{name}"):
        module = getattr(didsim, room)
        for name in getattr(module, "__all__", ()):
            one = getattr(module, name)
            if callable(one) and id(one) not in seen:
                seen[id(one)] = numbers(inspect.getdoc(one) or ""), f"`didsim.{room}.{name}`"
    return seen.values()


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    PAGE.write_text(text(), encoding="utf-8")
