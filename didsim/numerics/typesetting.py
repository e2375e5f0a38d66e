"""How does a formula, one line of Unicode, read in TeX, and how does a sentence with such formulas?

Formulas are written as they are printed on a terminal: ``π ∝ π_ref (π_w/π_l)^{1/β}``.  Letters with a name, operators and
words are each turned into the command that sets them; what no rule knows is refused, so that nothing is set wrongly in silence.
"""

import re

from didsim.numerics.errors import ArgumentError

LOWER = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "varepsilon", "ζ": "zeta", "η": "eta", "θ": "theta",
    "κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu", "ξ": "xi", "π": "pi", "ρ": "rho", "σ": "sigma", "τ": "tau",
    "φ": "phi", "χ": "chi", "ψ": "psi", "ω": "omega",
}  # fmt: skip
UPPER = {"Γ": "Gamma", "Δ": "Delta", "Θ": "Theta", "Λ": "Lambda", "Σ": "sum", "Φ": "Phi", "Ψ": "Psi", "Ω": "Omega"}
GREEK = LOWER | UPPER
SIGNS = {
    "∝": r"\propto", "≤": r"\leq", "≥": r"\geq", "⇒": r"\Rightarrow", "⇔": r"\Leftrightarrow", "·": r"\cdot",
    "∇": r"\nabla", "∂": r"\partial", "∫": r"\int", "√": r"\surd", "‖": r"\|", "⟨": r"\langle", "⟩": r"\rangle",
    "∈": r"\in", "⊗": r"\otimes", "∅": r"\varnothing", "½": r"\tfrac{1}{2}", "¼": r"\tfrac{1}{4}", "≠": r"\neq",
    "≻": r"\succ", "ℓ": r"\ell", "−": "-", "→": r"\to", "←": r"\leftarrow", "⅔": r"\tfrac{2}{3}", "∞": r"\infty",
    "×": r"\times", "≈": r"\approx", "…": r"\ldots", "′": "'", "±": r"\pm", "÷": r"\div", "°": r"^\circ",
}  # fmt: skip
ACCENTS = {"\u0304": "bar", "\u0302": "hat", "\u0303": "tilde"}  # combining signs, each after its letter
SUBSCRIPTS = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋∞", [*"0123456789+-", r"\infty"], strict=True))
SUPERSCRIPTS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ᵀ*", [*"0123456789+-", r"\top", "*"], strict=True))
FUNCTIONS = {"log", "ln", "exp", "tanh", "cosh", "max", "min", "dim", "sup", "inf"}
OPERATORS = {"KL", "JSD", "Var", "Cov", "Pr", "Lap", "sign", "null", "logit", "tr", "argmin", "span", "range", "odds", "clr"}
ESCAPED = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"}, "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "|": r"\textbar{}", "<": r"\textless{}", ">": r"\textgreater{}", "–": "--", "—": "---", "’": "'", "“": "``", "”": "''",
}  # fmt: skip
SHORT = {"at", "by", "if", "in", "is", "no", "of", "on", "or", "to", "up"}  # other pairs of letters are products
WORD = r"[A-Za-z][A-Za-z-]+(?<!-)(?:'s)?"
TOKEN = re.compile(
    r"(?P<accent>\w[\u0304\u0302\u0303])|√(?:\((?P<inside>[^()]*(?:\([^()]*\)[^()]*)*)\)|(?P<under>[^\W\d_](?:_\w+)?|\d))"
    r"|(?P<script>[_^](?P<group>\{|[A-Za-z]{2,}|\S))|(?P<sub>[₀-₉₊₋]+)|(?P<sup>[⁰¹²³⁴-⁹⁺⁻ᵀ]+)"
    rf"|(?P<words>{WORD}(?: (?:{WORD}|a(?= )))*)|(?P<space>\s+)|(?P<sign>.)"
)


def tex(formula: str) -> str:
    r"""A formula in TeX.

    Args:
        formula: one line of Unicode, subscripts as ``π_ref`` or ``q_{a/b}``, superscripts as ``^{1/β}``, ``²`` or ``ᵀ``.

    Returns:
        The same in TeX's mathematics, without dollars.

    Raises:
        ArgumentError: it has a letter or sign that no rule knows.

    Example:
        >>> from didsim.numerics.typesetting import tex
        >>> tex("π ∝ π_ref (π_w/π_l)^{1/β}")
        '\\pi\\propto\\pi_{\\mathrm{ref}} (\\pi_{w}/\\pi_{l})^{1/\\beta}'
    """
    opened: list[str] = []
    text = "".join(_set(match, opened) for match in TOKEN.finditer(formula))
    # A starred symbol has its superscript: a power of it needs braces around both.
    text = re.sub(r"(\\[A-Za-z]+|[A-Za-z]) ?((?:_\{[^{}]*(?:\{[^{}]*\})?\})?)\^\*(?=\^)", r"{\1\2^*}", text)
    return re.sub(r"(\\[A-Za-z]+) +(?=[^A-Za-z\s]|$)", r"\1", re.sub(" +", " ", text)).strip()


def prose(text: str) -> str:
    r"""A sentence in LaTeX: words of plain letters as they are, those with Greek, scripts or operators as mathematics.

    Example:
        >>> from didsim.numerics.typesetting import prose
        >>> prose("100 % reach π*")
        '100 \\% reach $\\pi^*$'
    """
    return " ".join(_in_prose(word) for word in text.split(" "))


def _in_prose(word: str) -> str:
    first, core, last = re.fullmatch(r"([(\[|“]*)(.*?)([)\],.;:|”]*)", word).groups()  # type: ignore[union-attr]
    if core.count("(") > core.count(")"):
        core, last = core + last, ""
    mathematics = re.search(r"[^\x00-\x7f–—’“”éöüä]|\w_\w", core)
    return _escaped(first) + (f"${tex(core)}$" if mathematics else _escaped(core)) + _escaped(last)


def _escaped(text: str) -> str:
    return "".join(ESCAPED.get(sign, sign) for sign in text)


def _set(match: re.Match, opened: list[str]) -> str:
    kind = match.lastgroup if match.lastgroup != "group" else "script"
    text = match[kind or 0]
    if kind == "script":
        return _script(match, opened)
    if kind in ("inside", "under"):
        return rf"\sqrt{{{tex(text)}}}"
    if kind == "sub":
        return f"_{{{''.join(SUBSCRIPTS[one] for one in text)}}}"
    if kind == "sup":
        return f"^{{{''.join(SUPERSCRIPTS[one] for one in text)}}}"
    if kind == "words":
        return _words(text)
    if kind == "space":
        return r"\quad " if len(text) > 1 else " "
    return _accented(text, opened) if kind == "accent" else _sign(text, opened)


def _accented(text: str, opened: list[str]) -> str:
    return rf"\{ACCENTS[text[1]]}{{{_sign(text[0], opened).strip()}}} "


def _words(text: str) -> str:
    """A function's name, a product of letters, or words as words, whichever each is."""
    found, plain = "", []
    for word in text.split(" "):
        name = word.removesuffix("'s")
        if name in FUNCTIONS or name in OPERATORS or (len(word) == 2 and word not in SHORT):
            found, plain = found + _spelt(plain) + _name(word), []
        else:
            plain.append(word)
    return found + _spelt(plain)


def _spelt(words: list[str]) -> str:
    return rf"\;\text{{{' '.join(words)}}}\;" if words else ""


def _name(word: str) -> str:
    if word in FUNCTIONS:
        return rf"\{word} "
    return rf"\operatorname{{{word}}} " if word in OPERATORS else rf" {word} "


def _script(match: re.Match, opened: list[str]) -> str:
    group = match["group"]
    if group == "{":
        opened.append("}")
        return match["script"]
    inner = rf"\mathrm{{{group}}}" if len(group) > 2 else _sign(group, opened).strip() if len(group) == 1 else group
    return f"{match['script'][0]}{{{inner}}}"


def _sign(sign: str, opened: list[str]) -> str:
    if sign == "{":
        opened.append(r"\}")
        return r"\{"
    if sign == "}":
        return opened.pop()
    if sign in GREEK or sign in SIGNS:
        return (rf"\{GREEK[sign]}" if sign in GREEK else SIGNS[sign]) + " "
    if sign.isascii():
        return "^*" if sign == "*" else sign
    raise ArgumentError(f"Argument `formula` must be of signs that have a TeX command, but has {sign!r}.")
