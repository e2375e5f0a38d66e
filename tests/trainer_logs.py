"""Logs in the shapes that trainers write, of made-up pairs: rewards, margins and losses follow from these by formula."""

import math
from collections.abc import Callable

import numpy as np

SIDES = ("chosen", "rejected")


def softplus(x):
    return np.logaddexp(0.0, x)


def dpo(z, beta):
    return softplus(-z)


def cdpo(smoothing: float) -> Callable:
    return lambda z, beta: (1 - smoothing) * softplus(-z) + smoothing * softplus(z)


def ipo(z, beta):
    return (z / beta - 1 / (2 * beta)) ** 2


def hinge(z, beta):
    return np.maximum(0.0, 1.0 - z)


def kto(z, beta):
    return 1 - 1 / (1 + np.exp(-z / 2))


def learned(final: float, speed: float = 4.0) -> Callable:
    """A change in nats that starts at 0 and ends near ``final``."""
    return lambda done: final * (1 - math.exp(-speed * done))


def rows(
    *,
    beta=0.1,
    steps=range(7, 190, 9),
    chosen=learned(5.0),  # noqa: B008 - a constant function
    rejected=learned(-8.0),  # noqa: B008
    scatter=0.35,
    batch=40,
    loss=dpo,
    seed=0,
    same=False,
    reference=False,
    extra: Callable | None = None,
) -> list[dict[str, float]]:
    """Batch means under short names; ``scatter`` is the standard deviation over pairs as a share of the mean change."""
    random, out, kept = np.random.default_rng(seed), [], None
    last = max(steps)
    for step in steps:
        if kept is None or not same:
            kept = random.normal(size=(2, batch)), -random.uniform(60, 300, size=(2, batch))
        noise, ref = kept
        done = step / last
        a, b = (level(done) * (1 + scatter * noise[k]) for k, level in enumerate((chosen, rejected)))
        z = beta * (a - b)
        row = {"step": step, "loss": float(np.mean(loss(z, beta))), "reward_chosen": float(beta * a.mean())}
        row |= {"reward_rejected": float(beta * b.mean()), "margin": float(z.mean()), "accuracy": float(np.mean(z > 0))}
        row |= {"logp_chosen": float((ref[0] + a).mean()), "logp_rejected": float((ref[1] + b).mean())}
        row |= {"ref_chosen": float(ref[0].mean()), "ref_rejected": float(ref[1].mean())} if reference else {}
        out.append(row | (extra(step, row) if extra else {}))
    return out


STYLES: dict[str, dict[str, str]] = {
    "slashes": {
        "reward_chosen": "rewards/chosen", "reward_rejected": "rewards/rejected", "margin": "rewards/margins",
        "accuracy": "rewards/accuracies", "logp_chosen": "logps/chosen", "logp_rejected": "logps/rejected",
        "ref_chosen": "ref_logps/chosen", "ref_rejected": "ref_logps/rejected",
    },
    "prefixed": {
        "step": "trainer/global_step", "loss": "train/loss", "reward_chosen": "train/rewards/chosen",
        "reward_rejected": "train/rewards/rejected", "margin": "train/rewards/margins", "accuracy": "train/rewards/accuracies",
        "logp_chosen": "train/logps/chosen", "logp_rejected": "train/logps/rejected", "ref_chosen": "train/ref_logps/chosen",
        "ref_rejected": "train/reference_logps/rejected",
    },
    "suffixed": {
        "step": "counters/updates", "loss": "loss/train", "reward_chosen": "chosen_reward_train",
        "reward_rejected": "rejected_reward_train", "margin": "reward_margin_train", "accuracy": "reward_acc_train",
        "logp_chosen": "chosen_logps_train", "logp_rejected": "rejected_logps_train", "ref_chosen": "ref_chosen_logps_train",
        "ref_rejected": "ref_rejected_logps_train",
    },
    "blanks": {
        "step": "Step", "loss": "Training Loss", "reward_chosen": "Rewards / Chosen", "reward_rejected": "Rewards / Rejected",
        "margin": "Rewards / Margins", "accuracy": "Rewards / Accuracies", "logp_chosen": "Logps / Chosen",
        "logp_rejected": "Logps / Rejected", "ref_chosen": "Ref Logps / Chosen", "ref_rejected": "Ref Logps / Rejected",
    },
    "joined": {
        "step": "globalStep", "loss": "trainLoss", "reward_chosen": "rewardsChosen", "reward_rejected": "rewardsRejected",
        "margin": "rewardMargin", "accuracy": "rewardAccuracy", "logp_chosen": "policyLogProbsChosen",
        "logp_rejected": "policyLogProbsRejected", "ref_chosen": "refLogProbsChosen", "ref_rejected": "refLogProbsRejected",
    },
}  # fmt: skip


def styled(table: list[dict], style: str = "slashes", prefix: str = "") -> list[dict]:
    """The rows under the names of one trainer; ``prefix`` marks evaluations."""
    names = STYLES[style]
    return [{_name(names.get(name, name), prefix): value for name, value in row.items()} for row in table]


def _name(name: str, prefix: str) -> str:
    return name if name in ("step", "epoch") else prefix + name
