"""TRL's DPO loss where settings are combined, on tables of log-probabilities in float64, beside `didsim.pair_losses`.

Run by ``make test-trainers`` in an environment that holds TRL and didsim.  The trainer's method is the real one; the models
beneath it, policy and reference, are tables of log-probabilities of tokens, multiples of 1/16.  Sums, discounted tails and WPO's
weights are made here by NumPy.  Slopes are those in every token of the policy.  Exit code 1 if a row disagrees or its control, a
kindred dialect, agrees.
"""

import sys
import types

import against_models as models
import against_trl
import jax
import numpy as np
import torch
import trl
from against_models import BETA, CONTROLS, DIVERGENCES, LOSSES, SMOOTHING, Row, under
from trl import DPOTrainer

import didsim
from didsim import objectives as o

# Sums of some tens of float64 numbers, and of float32 numbers where the trainer rounds to them.
ALLOWED = {torch.float64: 1e-12, torch.float32: 1e-6}
NARROW = ("exo_pair", "alpha_divergence")  # the first rounds its label smoothing to float32, the second refuses float64
CHOSEN, REJECTED = (6, 3, 1, 7, 2), (4, 3, 5, 2, 6)
RNG = np.random.default_rng(5)
SHAPE = len(CHOSEN + REJECTED), max(CHOSEN + REJECTED)
MASK = (np.arange(SHAPE[1]) < np.array(CHOSEN + REJECTED)[:, None]).astype(float)
POLICY = -RNG.integers(2, 40, SHAPE) / 16 * MASK
REFERENCE = (POLICY + RNG.integers(-15, 16, SHAPE) / 16) * MASK
SQUARES = -RNG.integers(4, 24, SHAPE) / 16 * MASK  # log Σ_v π(v)²


def rows():
    """The combined settings of tiny models, then every other loss with what TRL lets be set beside it."""
    yield from (row for row in models.dpo_rows() if len(row.settings) > 1)
    yield from _weighted()
    yield from _discounted()
    yield from _summed()


def _weighted():
    """WPO's weights; TRL refuses them with losses of sorted batches, and stops on them with `hinge` and `sft`."""
    for loss in ("exo_pair", "discopop", "sigmoid_norm", "nca_pair", "sppo_hard", "apo_zero", "apo_down"):
        settings = {"loss_type": [loss], "use_weighting": True}
        yield Row(settings, LOSSES[loss], CONTROLS[loss], name="weights: WPO's", free={"wpo": True})
    for kind, (divergence, more) in DIVERGENCES.items():
        settings = {"loss_type": ["sigmoid"], "use_weighting": True, "f_divergence_type": kind, **more}
        yield Row(settings, under(LOSSES["sigmoid"], divergence), LOSSES["sigmoid"], name="weights: WPO's", free={"wpo": True})


def _discounted():
    """LD-DPO's tails; likelihood does not look at them."""
    unsorted = dict.fromkeys(("aot", "aot_unpaired"), o.ConservativeDpo(BETA, SMOOTHING))
    for loss in LOSSES:
        if loss not in ("sigmoid", "hinge", "sigmoid_norm", "sft"):
            control = {**CONTROLS, **unsorted}[loss]
            yield Row({"loss_type": [loss], "ld_alpha": 0.25}, LOSSES[loss], control, "tails at α", {"tail": 0.25})
    divergence, _ = DIVERGENCES["js_divergence"]
    settings = {"loss_type": ["ipo"], "ld_alpha": 0.5, "f_divergence_type": "js_divergence", "use_weighting": True}
    name, free = "tails at α, weights: WPO's", {"tail": 0.5, "wpo": True}
    yield Row(settings, under(LOSSES["ipo"], divergence), LOSSES["ipo"], name, free)


def _summed():
    """Lists of losses; the control has its weights exchanged, or leaves the divergence out, at which likelihood does not look."""
    for losses, weights in ((["robust", "aot"], [0.25, 2.0]), (["hinge", "nca_pair", "apo_down"], [1.0, 0.5, 0.125])):
        parts = tuple(LOSSES[loss] for loss in losses)
        wrong = o.WeightedSum(parts, tuple(weights[::-1]))
        yield Row({"loss_type": losses, "loss_weights": weights}, o.WeightedSum(parts, tuple(weights)), wrong)
    divergence, _ = DIVERGENCES["js_divergence"]
    settings = {"loss_type": ["sigmoid", "hinge", "sft"], "loss_weights": [1.0, 0.5, 0.25], "f_divergence_type": "js_divergence"}
    parts, weights = (LOSSES["sigmoid"], LOSSES["hinge"]), (1.0, 0.5, 0.25)
    bent = tuple(under(part, divergence) for part in parts)
    yield Row(settings, o.WeightedSum((*bent, LOSSES["sft"]), weights), o.WeightedSum((*parts, LOSSES["sft"]), weights))


class Table(against_trl.Table):
    """A model that has the log-probabilities of tokens, and of squares, that it is given."""

    def __call__(self, **_):
        return types.SimpleNamespace(**{**vars(super().__call__()), "log_sum_sq_probs": torch.tensor(SQUARES)})


def theirs(row, dtype):
    """The trainer's loss and its slopes in all tokens."""
    settings = dict(row.settings)
    losses = settings.pop("loss_type")
    smoothed = {"robust", "exo_pair", "aot", "aot_unpaired"} & {*losses}
    leaf, ref = torch.tensor(POLICY, dtype=dtype, requires_grad=True), torch.tensor(REFERENCE, dtype=dtype)
    made = against_trl.trainer(
        DPOTrainer, beta=BETA, loss_types=losses, **{
            "loss_weights": [1.0] * len(losses), "f_divergence_type": "reverse_kl",
            "label_smoothing": SMOOTHING if smoothed else 0.0, "precompute_ref_logps": False, "ref_model": Table(ref), **settings,
        },
        model=types.SimpleNamespace(training=True, is_gradient_checkpointing=False),
        args=types.SimpleNamespace(discopop_tau=0.5, gradient_checkpointing=False, gradient_checkpointing_kwargs=None),
    )  # fmt: skip
    counted = against_trl.masks(list(CHOSEN + REJECTED))
    inputs = {
        "input_ids": torch.zeros_like(counted), "attention_mask": torch.ones_like(counted), "completion_mask": counted,
    }  # fmt: skip
    loss = made._compute_loss(Table(leaf), inputs, False)
    return float(loss.detach()), torch.autograd.grad(loss, leaf)[0].numpy() * MASK  # what pads a row is no token


def ours(row):
    """The dialect's loss, its slopes in all tokens, and the control's loss."""
    size, lengths = len(CHOSEN), np.array(CHOSEN + REJECTED, float)
    counted = MASK.copy()
    if "tail" in row.free:
        shared = np.tile(np.minimum(lengths[:size], lengths[size:]), 2)
        counted = counted * np.where(np.arange(SHAPE[1]) < shared[:, None], 1.0, row.free["tail"])
    given = {"chosen_lengths": lengths[:size], "rejected_lengths": lengths[size:]}
    ref = (REFERENCE * counted).sum(1)
    given |= {"ref_chosen": ref[:size], "ref_rejected": ref[size:]}
    if row.free.get("wpo"):
        weight = np.exp(((POLICY - SQUARES) * MASK).sum(1) / lengths)
        given["weights"] = weight[:size] * weight[size:]
    sums = (POLICY * counted).sum(1)

    def mean(objective, policy):
        return didsim.pair_losses(objective, policy[:size], policy[size:], **given).mean

    value, slopes = jax.value_and_grad(lambda policy: mean(row.dialect, policy))(sums)
    return float(value), np.asarray(slopes)[:, None] * counted, float(mean(row.control, sums))


def main():
    print(f"TRL {trl.__version__}, torch {torch.__version__.partition('+')[0]}\n")
    print("| settings | dialect | precision | relative error | of slopes | a kindred dialect | is away by |")
    print("|---|---|---|---|---|---|---|")
    bad = 0
    for row in rows():
        words = models.told(row.settings)
        dtype = torch.float32 if any(word in words for word in NARROW) else torch.float64
        (loss, by_token), (value, wanted, other) = theirs(row, dtype), ours(row)
        error, away = models.relative(loss, value), models.relative(other, value)
        slopes = np.abs(by_token - wanted).max() / np.abs(wanted).max()
        good = max(error, slopes) <= ALLOWED[dtype] and away > 1e-3
        bad += not good
        name = models.name_of(row.dialect) + (f" ({row.name})" if row.name else "")
        cells = [words, name, str(dtype).removeprefix("torch."), f"{error:.1e}", f"{slopes:.1e}", models.name_of(row.control)]
        print("| " + " | ".join([*cells, f"{away:.1e}"]) + " |" + ("" if good else " fails"), flush=True)
    print(f"\n{'every combination is its dialect' if not bad else f'{bad} rows disagree, or agree with a wrong dialect'}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
