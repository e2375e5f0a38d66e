"""Which colour says what?  One dictionary for all pictures: the meaning decides, and it keeps its colour across figures.

`MEANING` is the union of the kinds below.  To add a meaning, add a line to its kind: a name that two kinds share must mean
the same in both.  Names that nobody has listed get a colour from their letters, the same one each time (`colour_of`).
"""

import zlib
from collections.abc import Iterable, Mapping

import matplotlib
import numpy as np
from matplotlib.colors import to_hex

# Okabe and Ito's colours and six of Tol's muted ones (doi 10.1038/nmeth.1618, personal.sron.nl/~pault), all told apart by
# colour-blind readers; yellow is left out, since no line of it can be seen on white.
BLACK, ORANGE, SKY, GREEN, BLUE, RED, PINK = (
    "#000000", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7",
)  # fmt: skip
INDIGO, WINE, OLIVE, TEAL, PURPLE, BROWN = "#332288", "#882255", "#999933", "#44AA99", "#AA4499", "#8C510A"
GREY = "#777777"
PALETTE = (BLUE, RED, GREEN, ORANGE, PURPLE, SKY, WINE, TEAL, INDIGO, PINK, OLIVE, BROWN)

ROLES = {
    "chosen": GREEN,
    "rejected": ORANGE,
    "best third": PINK,
    "reference": GREY,
    "target": BLACK,
    "did": PINK,
    "π_ref": GREY,
    "π*": BLACK,
    "q": PINK,
    "unseen": GREY,
    "measured": BLUE,
    "missed": RED,
    "falls": RED,
    "rises": BLUE,
    "apart": BLUE,
    "chosen falls": RED,
    "rejected rises": ORANGE,
}
METRICS = {
    "loss": BLACK,
    "jsd_target": BLUE,
    "kl_target": INDIGO,
    "kl_ref": GREY,
    "entropy": TEAL,
    "did_entropy": PINK,
    "value": OLIVE,
    "value_gap": WINE,
    "accuracy": SKY,
    "margin": PURPLE,
    "chosen_change": GREEN,
    "rejected_change": ORANGE,
    "best_mass": BROWN,
    "misfit": RED,
}
OBJECTIVES = {
    "dpo": BLUE,
    "online dpo": SKY,
    "cdpo": SKY,
    "robust": TEAL,
    "hinge": OLIVE,
    "dpop": WINE,
    "exo_pair": PINK,
    "ipo": GREEN,
    "kto": TEAL,
    "bco": INDIGO,
    "rlhf": INDIGO,
    "simpo": RED,
    "simpo γ=0": RED,
    "simpo γ>0": BROWN,
    "cpo": ORANGE,
    "orpo": PURPLE,
    "slic": OLIVE,
    "sft": GREY,
    "apo_zero": PURPLE,
    "apo_down": BROWN,
    "nca_pair": GREEN,
    "sppo": WINE,
    "projected-gradient DPO": RED,
    "bco[none]": INDIGO,
    "ipo[sum]": GREEN,
    "kldo": GREEN,
    "auxdpo": ORANGE,
    "chipo": PURPLE,
    "squaredpo": BROWN,
    "pro": ORANGE,
    "adpo": PURPLE,
    "adpo, sequence labels": PURPLE,
    "adpo, token labels": SKY,
    "bpo[logistic]": BLUE,
    "bpo[kliep]": GREEN,
    "bpo[basu]": PURPLE,
    "bpo[lsif]": ORANGE,
}
DIVERGENCES = {
    "reverse_kl": BLUE,
    "f-dpo[forward_kl]": RED,
    "f-dpo[js]": GREEN,
    "f-dpo[alpha]": ORANGE,
    "chi-po": PURPLE,
    "forward_kl": RED,
    "js": GREEN,
    "alpha": ORANGE,
    "chi2": PURPLE,
}
SAMPLERS = {
    "uniform": BLUE,
    "reference pairs": GREY,
    "mix-R × 2": BROWN,
    "on-policy": GREEN,
    "half uniform": SKY,
    "mixture": TEAL,
    "rewrites": PINK,
    "one-sided": ORANGE,
    "two-sided": RED,
    "mix-R": WINE,
    "mix-R, reward × 2": BROWN,
    "mix-P": INDIGO,
    "mix-P*": OLIVE,
    "mix_p_star": OLIVE,
    "E-optimal": BLACK,
    "A-optimal": PURPLE,
    "best of 4 / reference": ORANGE,
    "best_of_base": ORANGE,
    "best_of_both": RED,
}
REJECTED = {
    "rejected law": WINE,
    "rejected: optimal": GREEN,
    "rejected: uniform": BLUE,
    "rejected: π_ref": GREY,
    "rejected: hard negatives": RED,
    "rejected: worst of K": ORANGE,
}
LABELS = {
    "bradley_terry": BLUE,
    "as_shown": GREY,
    "hard": RED,
    "ties": ORANGE,
    "davidson": GREEN,
    "users": PURPLE,
    "threshold": WINE,
    "flipped": TEAL,
    "bernoulli": SKY,
    "matrix": INDIGO,
    "ties: dropped": BLUE,
    "ties: split": RED,
    "ties: modelled": GREEN,
}
ASKED = {"asked: pairs": BLUE, "asked: best of K": ORANGE, "asked: ranking": GREEN, "best of K": PINK, "drawn pairs": ORANGE}
REWARDS = {"gold": ORANGE, "proxy": BLUE, "ranking accuracy": ORANGE, "reward accuracy": BLUE}
REFERENCES = {"weak": RED, "even": OLIVE, "strong": BLUE, "right-skewed": GREEN, "unskewed": OLIVE, "left-skewed": BROWN}
POLICIES = {
    "table": GREEN,
    "prefix table": GREEN,
    "k-gram": ORANGE,
    "bigram": ORANGE,
    "transformer": RED,
    "shared features": RED,
    "log-linear": SKY,
}
DYNAMICS = {
    "gradient descent": BLACK,
    "Adam": WINE,
    "reinforcing": BLUE,
    "smoothing": ORANGE,
    "converges": SKY,
    "turns": ORANGE,
    "collapses": RED,
}
ROUNDS = {
    "iterated dpo": BLUE,
    "iterated ipo": GREEN,
    "inpo": RED,
    "optimistic weights": ORANGE,
    "mirror-prox": PURPLE,
    "comal": BLACK,
    "grpo": RED,
    "grpo, mirror": ORANGE,
}
PARTS = {"part: own": BLUE, "part: partner": ORANGE, "part: cross": PINK, "part: normaliser": GREY}
LAWS = {
    "power law": BLUE,
    "bent link": RED,
    "symmetric": SKY,
    "circulating": GREEN,
    "other": RED,
    "mild": SKY,
    "moderate": BLUE,
    "heavy": INDIGO,
    "sequence": WINE,
    "normalised": ORANGE,
    "token": TEAL,
    "upper branch": RED,
    "no preference": BLACK,
    "all pairs": WINE,
    "equal lengths": BROWN,
}
BLOCKS = {f"block {place}": one for place, one in enumerate((BLUE, ORANGE, GREEN, PINK, SKY, RED))}
IMPLEMENTATIONS = {"didsim": BLUE, "C": RED, "NumPy": GREY, "PyTorch": ORANGE}
KINDS: dict[str, Mapping[str, str]] = {
    "role": ROLES,
    "metric": METRICS,
    "objective": OBJECTIVES,
    "divergence": DIVERGENCES,
    "sampler": SAMPLERS,
    "rejected law": REJECTED,
    "labels": LABELS,
    "what is asked": ASKED,
    "reward": REWARDS,
    "reference": REFERENCES,
    "policy": POLICIES,
    "dynamics": DYNAMICS,
    "rounds": ROUNDS,
    "part of a step": PARTS,
    "law": LAWS,
    "block": BLOCKS,
    "implementation": IMPLEMENTATIONS,
}
MEANING: dict[str, str] = {name: colour for kind in KINDS.values() for name, colour in kind.items()}


def _plain(name: str) -> str:
    return name.lower().replace("_", " ").replace("-", " ").strip()


_KNOWN = {_plain(name): colour for name, colour in MEANING.items()}


def colour_of(name: object) -> str:
    """Colour of a meaning: as `MEANING` says, or from the letters of the name, the same one each time.

    What follows a colon or a bracket is a setting: ``"dpo:beta=0.5"`` and ``"ipo[token_mean]"`` are ``dpo`` and ``ipo`` where
    they are not listed themselves.

    Args:
        name: of an objective, a sampler, a role or anything else.

    Example:
        >>> from didsim.plotting import MEANING, colour_of
        >>> colour_of("dpo:beta=0.5") == MEANING["dpo"]
        True
        >>> colour_of("a loss of my own") == colour_of("a loss of my own")
        True
    """
    text = str(name)
    for known in (text, text.partition(":")[0], text.partition("(")[0], text.partition("[")[0]):
        if _plain(known) in _KNOWN:
            return _KNOWN[_plain(known)]
    return PALETTE[zlib.crc32(_plain(text).encode()) % len(PALETTE)]


def colours_of(names: Iterable[object]) -> dict[str, str]:
    """A colour for every name, no two alike as long as there are enough: first come, first served.

    Example:
        >>> from didsim.plotting import colours_of
        >>> len(set(colours_of(["dpo", "dpo:beta=1", "simpo"]).values()))
        3
    """
    given: dict[str, str] = {}
    for name in dict.fromkeys(str(name) for name in names):
        first = colour_of(name)
        start = PALETTE.index(first) if first in PALETTE else 0
        others = [*PALETTE[start:], *PALETTE[:start]]
        given[name] = next((one for one in (first, *others) if one not in given.values()), first)
    return given


def shades(count: int) -> list[str]:
    """Colours from dark to light for an ordered quantity."""
    return [to_hex(one) for one in matplotlib.colormaps["viridis"](np.linspace(0.0, 0.86, count))]
