"""What is each number of the theory about, under which number does a paper have it, and is that paper's setting known?

Numbers in papers are known from public summaries only and may differ from the papers' text; where none is named, none was
found.  A setting is *known* where the paper or its published code gives the instance, *unknown* where the paper's figures
cannot be rebuilt from what is public, and *ours* where no paper shows one.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Setting = Literal["known", "unknown", "ours"]
LETTERS = {
    "D": "differential information",
    "S": "what the sampler decides",
    "L": "policies with shared parameters",
    "K": "computing",
    "F": "claims of the field",
}


@dataclass(frozen=True)
class Group:
    """One number of the theory.

    Attributes:
        title: what it is about.
        setting: whether its paper's setting is known.
        v1: its number in the first version of paper A, as a public summary gives it.
        v2: its number in the second version.
    """

    title: str
    setting: Setting = "ours"
    v1: str = ""
    v2: str = ""


GROUPS: dict[str, Group] = {
    "D1": Group("likelihood ratio", "unknown", "Definition 3.1, Theorem 3.2, Lemma D.1"),
    "D2": Group("algebra of evidence"),
    "D3": Group("what independent draws mean", "unknown", "text before Theorem 3.3"),
    "D4": Group("when preferences encode the differential information", "unknown", "Theorem 3.3"),
    "D5": Group("DPO reaches the target", "unknown"),
    "D6": Group("the log-ratio is the only reward that works", "unknown"),
    "D7": Group("the best rejected law", "unknown"),
    "D8": Group("order of the log-margins", "unknown"),
    "D9": Group("one path holds everything"),
    "D10": Group("change of log-likelihood", "unknown", v2="Theorem 4.1 (the ends a = 0 and a = β)"),
    "D11": Group("reinforcement or smoothing", "unknown"),
    "D12": Group("entropy of the differential information", "unknown"),
    "D13": Group("estimating that entropy", "unknown"),
    "D14": Group("projected gradients"),
    "S1": Group("solution space", "unknown"),
    "S2": Group("where gradient descent lands"),
    "S3": Group("mass off the support"),
    "S4": Group("the Hessian is a graph Laplacian"),
    "S5": Group("quadratic convergence", "known"),
    "S6": Group("samplers and the optimum", "unknown"),
    "S7": Group("finite samples"),
    "S8": Group("the first gradient", "unknown"),
    "S9": Group("share of good responses", "unknown"),
    "S10": Group("best of K"),
    "S11": Group("online training"),
    "S12": Group("IPO and rounds of it", "unknown"),
    "L1": Group("log-linear alignment model", "unknown"),
    "L2": Group("support in feature space"),
    "L3": Group("rates"),
    "L4": Group("who falls, pair by pair"),
    "L5": Group("CHES", "unknown"),
    "L6": Group("sequences"),
    "K1": Group("all pairs in linear time"),
    "K2": Group("few responses"),
    "K3": Group("exact optima"),
    "F1": Group("floor of the loss"),
    "F2": Group("power-law misfit", "unknown"),
    "F3": Group("reward accuracy is not ranking accuracy", "unknown"),
    "F4": Group("band of disentanglement", "unknown"),
    "F5": Group("where gold turns"),
    "F6": Group("reversed preferences", "unknown"),
    "F7": Group("which divergence stops displacement", "unknown"),
    "F8": Group("one minimiser, many losses", "unknown"),
    "F9": Group("a vote and a regulariser", "unknown"),
    "F10": Group("a sum outside the sigmoid", "unknown"),
    "F11": Group("one pair in closed form"),
    "F12": Group("ties", "unknown"),
    "F13": Group("many annotators", "unknown"),
    "F14": Group("rankings, best-of-K or pairs"),
    "F15": Group("flipped labels", "unknown"),
    "F16": Group("Nash, to the last iterate", "known"),
    "F17": Group("policy gradients and GRPO", "unknown"),
    "F18": Group("token credit"),
}


def group_of(id: str) -> str:
    """Number of the theory that a claim belongs to: "D7" of "D7.best-rejected"."""
    return id.partition(".")[0]


def place(id: str) -> tuple[int, int]:
    """What claims are sorted by to stand in the theory's order; claims of one's own come last."""
    number = group_of(id)
    return ("".join(LETTERS).index(number[0]), int(number[1:])) if number in GROUPS else (len(LETTERS), 0)


def names(id: str) -> tuple[str, ...]:
    """What a claim answers to: its id, its number and, if it is of the theory, its letter."""
    number = group_of(id)
    return (id, number, number[0]) if number in GROUPS else (id, number)


def every_name(ids: Iterable[str]) -> list[str]:
    """All that some of these claims answer to, ids first."""
    ids = list(ids)
    return list(dict.fromkeys([*ids, *(name for id in ids for name in names(id))]))
