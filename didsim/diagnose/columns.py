"""Which column means what?  TRL's names and a few others are understood; anything else is mapped by hand."""

from collections.abc import Mapping

from didsim.diagnose.reading import LogError, Rows
from didsim.numerics import checks

# The first name is what we print; per-example names are those of TRL's DPOTrainer, its data sets and its descendants.
PAIR_NAMES: dict[str, tuple[str, ...]] = {
    "step": ("step", "global_step", "train_step"),
    "example": ("example", "example_id", "pair", "pair_id", "index", "idx", "id"),
    "chosen": ("chosen_logps", "policy_chosen_logps", "logps/chosen", "logps_chosen", "chosen_logp", "policy_chosen_logp"),
    "rejected": (
        "rejected_logps", "policy_rejected_logps", "logps/rejected", "logps_rejected", "rejected_logp", "policy_rejected_logp",
    ),
    "ref_chosen": (
        "ref_chosen_logps", "reference_chosen_logps", "ref_logps/chosen", "logps/ref_chosen", "ref_chosen_logp",
        "reference_chosen_logp",
    ),
    "ref_rejected": (
        "ref_rejected_logps", "reference_rejected_logps", "ref_logps/rejected", "logps/ref_rejected", "ref_rejected_logp",
        "reference_rejected_logp",
    ),
    "chosen_length": ("chosen_length", "chosen_len", "chosen_tokens", "len_chosen", "length/chosen"),
    "rejected_length": ("rejected_length", "rejected_len", "rejected_tokens", "len_rejected", "length/rejected"),
    "score_chosen": ("score_chosen", "chosen_score", "true_reward/chosen"),
    "score_rejected": ("score_rejected", "rejected_score", "true_reward/rejected"),
    "reward_chosen": ("rewards/chosen", "chosen_reward", "chosen_rewards"),
    "reward_rejected": ("rewards/rejected", "rejected_reward", "rejected_rewards"),
    "beta": ("beta",),
}  # fmt: skip
NEEDED = ("step", "chosen", "rejected", "ref_chosen", "ref_rejected")
PAIRED_NUMBERS = (("chosen_length", "rejected_length"), ("score_chosen", "score_rejected"), ("reward_chosen", "reward_rejected"))
MEAN_NAMES: dict[str, tuple[str, ...]] = {
    "reward_chosen": ("rewards/chosen",),
    "reward_rejected": ("rewards/rejected",),
    "margin": ("rewards/margins",),
    "accuracy": ("rewards/accuracies",),
    "chosen": ("logps/chosen",),
    "rejected": ("logps/rejected",),
    "loss": ("loss",),
}


def pair_columns(rows: Rows, given: Mapping[str, str | None]) -> dict[str, str]:
    """Name in the file of each meaning that a log of single pairs has; names given by hand come first.

    Raises:
        LogError: a name given by hand is not in the file.
    """
    found = {}
    for meaning, known in PAIR_NAMES.items():
        name = given.get(meaning)
        if name is not None:
            checks.did_you_mean(f"--{meaning.replace('_', '-')}", name, rows.columns)
            found[meaning] = name
        elif (first := next((name for name in known if name in rows.columns), None)) is not None:
            found[meaning] = first
    return found


def mean_columns(rows: Rows) -> dict[str, str]:
    """Name in the file of each logged batch mean; rows of evaluations, always on the same pairs, win where there are two."""
    for prefix in ("eval_", ""):
        names = {meaning: prefix + known for meaning, (known,) in MEAN_NAMES.items() if prefix + known in rows.columns}
        seen = sum(value is not None for value in rows.columns.get(names.get("reward_chosen", ""), []))
        if seen >= (2 if prefix else 1):
            return names
    return {}


def missing(rows: Rows, found: Mapping[str, str]) -> LogError:
    """The error that says which columns a log of single pairs lacks, and how to name them."""
    lacking = [meaning for meaning in NEEDED if meaning not in found]
    flags = ", ".join(f"--{meaning.replace('_', '-')} NAME" for meaning in lacking)
    return LogError(
        f"{rows.path.name}: a log must have a column for {', '.join(lacking)}, but has only {', '.join(rows.columns)}; "
        f"{flags} maps others."
    )
