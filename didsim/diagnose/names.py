"""What does a column mean, however it is spelled?  Names become sets of words: case, order, blanks, ``/`` and ``_`` are nothing.

``rewards/chosen``, ``Rewards / chosen``, ``chosen_rewards`` and ``rewards_train/chosen`` are the same two words; ``train`` and
``eval`` with their synonyms say only of which rows a column speaks.
"""

import functools
import re
from typing import NamedTuple

TRAIN, EVALUATION = "train", "eval"
SPLITS = dict.fromkeys(("train", "training"), TRAIN) | dict.fromkeys(
    ("eval", "evaluation", "val", "valid", "validation", "test", "dev", "heldout"), EVALUATION
)
SYNONYMS = {
    "rewards": "reward", "margins": "margin", "accuracies": "accuracy", "acc": "accuracy", "losses": "loss",
    "logps": "logp", "logprob": "logp", "logprobs": "logp", "reference": "ref", "preferred": "chosen", "winner": "chosen",
    "win": "chosen", "dispreferred": "rejected", "loser": "rejected", "lose": "rejected",
    "w": "chosen", "won": "chosen", "l": "rejected", "lost": "rejected", "len": "length", "lengths": "length",
    "token": "length", "tokens": "length", "scores": "score", "steps": "step", "update": "step", "updates": "step",
    "iter": "step", "iteration": "step", "iterations": "step", "epochs": "epoch", "gradient": "grad", "lr": "rate",
}  # fmt: skip
# Words that say where a number was written or that it is a mean, not what it is.
NOISE = {
    "policy", "pi", "mean", "avg", "average", "batch", "metric", "metrics", "objective", "dpo", "stats", "counters", "counter",
    "global", "current", "learning", "frac", "logged", "log",
}  # fmt: skip
MEANINGS: dict[frozenset[str], str] = {
    frozenset(words.split()): meaning
    for meaning, spellings in {
        "step": ("step",),
        "epoch": ("epoch",),
        "example": ("example", "example id", "pair", "pair id", "index", "idx", "id"),
        "chosen": ("logp chosen",),
        "rejected": ("logp rejected",),
        "ref_chosen": ("ref logp chosen", "ref chosen"),
        "ref_rejected": ("ref logp rejected", "ref rejected"),
        "chosen_length": ("chosen length",),
        "rejected_length": ("rejected length",),
        "score_chosen": ("score chosen", "true reward chosen"),
        "score_rejected": ("score rejected", "true reward rejected"),
        "reward_chosen": ("reward chosen",),
        "reward_rejected": ("reward rejected",),
        "beta": ("beta",),
        "margin": ("margin", "reward margin"),
        "accuracy": ("accuracy", "reward accuracy"),
        "loss": ("loss",),
        "nll": ("nll loss", "nll"),
        "log_odds": ("odds chosen",),
        "log_odds_ratio": ("odds ratio",),
        "kl": ("kl",),
        "grad_norm": ("grad norm",),
        "rate": ("rate",),
        "norm_chosen": ("grad norm chosen",),
        "norm_rejected": ("grad norm rejected",),
        "cosine": ("grad cosine", "cosine"),
    }.items()
    for words in spellings
}

# Columns of which each pair has an entry of its own.
OF_ONE_PAIR = (
    "chosen", "rejected", "ref_chosen", "ref_rejected", "chosen_length", "rejected_length", "score_chosen", "score_rejected",
    "reward_chosen", "reward_rejected", "norm_chosen", "norm_rejected", "cosine",
)  # fmt: skip
# Columns without which rows are no log of a run: at least one of them is there.
TELLING = ("reward_chosen", "reward_rejected", "margin", "chosen", "rejected", "ref_chosen", "ref_rejected")


class Meant(NamedTuple):
    """What a name says: its meaning, and of which rows, ``train``, ``eval`` or nothing."""

    meaning: str
    split: str


def words_of(name: str) -> list[str]:
    """The words of a column's name, synonyms made one.

    Example:
        >>> words_of("rewards_train/chosen"), words_of("refLogProbs / Rejected")
        (['reward', 'train', 'chosen'], ['ref', 'logp', 'rejected'])
    """
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    joined = re.sub(r"(?i)log[\W_]*(probabilit(y|ies)|probs?|ps?)(?![a-z])", "logp", apart)
    return [SYNONYMS.get(word, word) for word in map(str, re.findall(r"[^\W_]+", joined.lower()))]


@functools.lru_cache(4096)  # a file asks for the same few names at every row
def meant(name: str) -> Meant | None:
    """What a column's name means, None if it is not known.

    Example:
        >>> meant("Rewards / chosen"), meant("val_reward_margin"), meant("logits/chosen")
        (Meant(meaning='reward_chosen', split=''), Meant(meaning='margin', split='eval'), None)
    """
    return _meant_from(name)[0]


def origin(name: str) -> frozenset[str]:
    """The words before a column's meaning that say whose it is, such as the name of a run.

    Example:
        >>> origin("b - train/rewards/chosen"), origin("train/rewards/chosen")
        (frozenset({'b'}), frozenset())
    """
    return _telling("/".join(name.split("/")[: _meant_from(name)[1]]))


def _meant_from(name: str) -> tuple[Meant | None, int]:
    """What a name says, and from which of its parts on it does."""
    words = words_of(name)
    split = next((SPLITS[word] for word in words if word in SPLITS), "")
    if words.count("step") == 2 and {"max", "total"} & set(words):  # "global_step/max_steps": the first of two numbers
        return Meant("step", ""), 0
    parts = name.split("/")
    # Trainers put where they log before a slash; what they log is the rest, if the whole says nothing.
    found = ((MEANINGS.get(_telling("/".join(parts[at:]))), at) for at in range(len(parts)))
    meaning, at = next((one for one in found if one[0] is not None), (None, 0))
    return (None, 0) if meaning is None or (meaning == "step" and split == EVALUATION) else (Meant(meaning, split), at)


def _telling(name: str) -> frozenset[str]:
    """The words of a name that say what it is."""
    return frozenset(word for word in words_of(name) if word not in SPLITS and word not in NOISE)
