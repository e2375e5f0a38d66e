"""TRL's trainers as they are on tiny random models: a table trainer | settings | dialect | error | slopes | control.

Run by ``make test-trainers`` in an environment that holds TRL and didsim.  Each trainer tokenises a data set of unequal lengths,
pads it and computes its loss; beside it stand the model's logits, whose log-probabilities are summed here by NumPy in float64 and
put into `didsim.pair_losses`.  Slopes are those in all of the model's weights, which are float32.  Exit code 1 if a row
disagrees or its control, a kindred dialect, agrees.
"""

import os
import sys
import tempfile
import warnings
from dataclasses import dataclass, field
from typing import Any

os.environ |= {"TQDM_DISABLE": "1", "HF_HUB_OFFLINE": "1", "TRL_EXPERIMENTAL_SILENCE": "1", "CUDA_VISIBLE_DEVICES": ""}
warnings.filterwarnings("ignore")

import datasets  # noqa: E402
import jax  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
import trl  # noqa: E402
from tokenizers import Tokenizer, models, pre_tokenizers  # noqa: E402
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer  # noqa: E402
from trl.experimental.cpo import CPOConfig, CPOTrainer  # noqa: E402
from trl.experimental.orpo import ORPOConfig, ORPOTrainer  # noqa: E402

import didsim  # noqa: E402
from didsim import objectives as o  # noqa: E402

jax.config.update("jax_enable_x64", True)
torch.set_num_threads(1)
datasets.disable_progress_bars()
transformers.logging.set_verbosity_error()

# Sixteen roundings of a float32, for sums of some tokens' log-probabilities; a slope in a weight is a sum over all tokens and
# rows, and is allowed ten times as much of the largest one.  A control must be a thousand times as far away as is allowed.
LOSS, SLOPES = 1e-6, 1e-5
BETA, SMOOTHING = 0.3, 0.125
WORDS = [f"w{i}" for i in range(19)]
ROWS = 4


@dataclass
class Row:
    """One setting of a trainer, the dialect it should be, and a kindred one that it must not be."""

    settings: dict[str, Any]
    dialect: o.Objective
    control: o.Objective
    name: str = ""
    free: dict[str, Any] = field(default_factory=dict)  # what the sums themselves depend on


def told(settings):
    """Settings in words, without those that all rows share."""
    return ", ".join(f"{k}={'+'.join(v) if isinstance(v, list) and isinstance(v[0], str) else v}" for k, v in settings.items())


def under(part, divergence):
    return o.UnderDivergence(part, divergence)


LOSSES = {
    "sigmoid": o.Dpo(BETA), "hinge": o.Hinge(BETA), "ipo": o.IpoTokenMean(BETA), "exo_pair": o.ExoPair(BETA, SMOOTHING),
    "robust": o.RobustDpo(BETA, SMOOTHING), "discopop": o.DiscoPop(BETA, 0.5), "sigmoid_norm": o.DpoNorm(BETA),
    "nca_pair": o.NcaPair(BETA), "bco_pair": o.BcoNone(BETA), "sppo_hard": o.SppoHard(BETA), "aot": o.Aot(BETA, SMOOTHING),
    "aot_unpaired": o.AotUnpaired(BETA, SMOOTHING), "apo_zero": o.ApoZero(BETA), "apo_down": o.ApoDown(BETA),
    "sft": o.SftTokenMean(),
}  # fmt: skip
CONTROLS = {
    "sigmoid": o.ConservativeDpo(BETA, SMOOTHING), "hinge": o.Dpo(BETA), "ipo": o.IpoSum(BETA),
    "exo_pair": o.ConservativeDpo(BETA, SMOOTHING), "robust": o.ConservativeDpo(BETA, SMOOTHING), "discopop": o.Dpo(BETA),
    "sigmoid_norm": o.Dpo(BETA), "nca_pair": o.BcoNone(BETA), "bco_pair": o.NcaPair(BETA), "sppo_hard": o.IpoSum(BETA),
    "aot": o.AotUnpaired(BETA, SMOOTHING), "aot_unpaired": o.Aot(BETA, SMOOTHING), "apo_zero": o.ApoDown(BETA),
    "apo_down": o.ApoZero(BETA), "sft": o.Sft(),
}  # fmt: skip
DIVERGENCES = {
    "forward_kl": (o.ForwardKlDpo(), {}),
    "js_divergence": (o.JensenShannonDpo(), {}),
    "alpha_divergence": (o.AlphaDpo(alpha=0.4), {"f_alpha_divergence_coef": 0.4}),
}
BENT = ("sigmoid", "sigmoid_norm", "hinge", "ipo", "exo_pair", "robust", "discopop")


def dpo_rows():
    for loss, dialect in LOSSES.items():
        yield Row({"loss_type": [loss]}, dialect, CONTROLS[loss])
    for kind, (divergence, more) in DIVERGENCES.items():
        for loss in BENT:
            settings = {"loss_type": [loss], "f_divergence_type": kind, **more}
            yield Row(settings, under(LOSSES[loss], divergence), LOSSES[loss])
    for loss in ("sigmoid", "ipo", "bco_pair", "robust"):
        yield Row(
            {"loss_type": [loss], "use_weighting": True}, LOSSES[loss], CONTROLS[loss], name="weights: WPO's", free={"wpo": True}
        )
    for loss in ("sigmoid", "hinge", "sigmoid_norm"):
        yield Row({"loss_type": [loss], "ld_alpha": 0.25}, LOSSES[loss], CONTROLS[loss], name="tails at α", free={"tail": 0.25})
    for losses, weights in ((["sigmoid", "bco_pair", "sft"], [0.8, 0.2, 1.0]), (["sigmoid", "sft"], [1.0, 0.5])):
        parts = tuple(LOSSES[loss] for loss in losses)
        wrong = o.WeightedSum((*parts[:-1], o.Sft()), tuple(weights))
        yield Row({"loss_type": losses, "loss_weights": weights}, o.WeightedSum(parts, tuple(weights)), wrong)


def cpo_rows():
    both, smooth = {"cpo_alpha": 0.5}, {"label_smoothing": SMOOTHING}

    def and_likelihood(part, weight=0.5):
        return o.WeightedSum((part, o.SftTokenMean()), (1.0, weight))

    yield Row({"loss_type": "sigmoid", **both}, o.CpoTokenMean(BETA, 0.5), o.Cpo(BETA, 0.5))
    yield Row({"loss_type": "sigmoid", **both, **smooth}, o.CpoTokenMean(BETA, 0.5, SMOOTHING), o.CpoTokenMean(BETA, 0.5))
    yield Row({"loss_type": "hinge", "cpo_alpha": 0.0}, o.HingeReferenceFree(BETA), o.Slic(1.0, 0.0))
    yield Row({"loss_type": "hinge", **both}, and_likelihood(o.HingeReferenceFree(BETA)), o.HingeReferenceFree(BETA))
    yield Row({"loss_type": "ipo", "cpo_alpha": 0.0}, o.IpoReferenceFree(BETA), o.IpoTokenMean(BETA))
    yield Row({"loss_type": "ipo", **both}, and_likelihood(o.IpoReferenceFree(BETA)), o.IpoReferenceFree(BETA))
    yield Row({"loss_type": "simpo", "simpo_gamma": 0.5}, o.CpoSimPo(BETA, 0.5, 1.0), o.SimPo(BETA, 0.5))
    yield Row({"loss_type": "simpo", "simpo_gamma": 0.5, "cpo_alpha": 0.0}, o.SimPo(BETA, 0.5), o.SimPoRatio(BETA, 0.5))
    yield Row(
        {"loss_type": "simpo", "simpo_gamma": 0.5, "cpo_alpha": 0.0, **smooth}, o.SimPo(BETA, 0.5, SMOOTHING), o.SimPo(BETA, 0.5)
    )
    alpha = {"loss_type": "simpo", "simpo_gamma": 0.5, "alpha": 0.25}
    yield Row({**alpha, "cpo_alpha": 0.0}, o.AlphaPo(BETA, 0.25, 0.5), o.SimPo(BETA, 0.5))
    yield Row({**alpha, "cpo_alpha": 0.0, **smooth}, o.AlphaPo(BETA, 0.25, 0.5, SMOOTHING), o.AlphaPo(BETA, 0.25, 0.5))
    yield Row({**alpha, **both}, and_likelihood(o.AlphaPo(BETA, 0.25, 0.5)), o.AlphaPo(BETA, 0.25, 0.5))
    # On sums AlphaPO's reward is the α-divergence's with a reference of probability 1.
    for loss, part in (("sigmoid", o.Dpo(BETA)), ("hinge", o.Hinge(BETA))):
        yield Row(
            {"loss_type": loss, "alpha": 0.0625, "cpo_alpha": 0.0}, under(part, o.AlphaDpoAuthors(alpha=0.0625)), part,
            name="reference of probability 1", free={"no_reference": True},
        )  # fmt: skip
    bent = under(o.IpoSum(BETA), o.AlphaDpoAuthors(alpha=0.25))
    yield Row(
        {"loss_type": "ipo", "alpha": 0.25, "cpo_alpha": 0.0}, bent, o.IpoSum(BETA),
        name="means per token, reference of probability 1", free={"no_reference": True, "per_token": True},
    )  # fmt: skip


def kto_rows():
    uneven = {"desirable_weight": 1.25, "undesirable_weight": 0.75}
    # Without its estimate of KL it is the unpaired APO-zero.
    yield Row({"loss_type": "kto"}, o.KtoExampleMean(BETA), o.ApoZeroExampleMean(BETA))
    yield Row({"loss_type": "kto", **uneven}, o.KtoExampleMean(BETA, 1.25, 0.75), o.KtoExampleMean(BETA))
    yield Row({"loss_type": "apo_zero_unpaired"}, o.ApoZeroExampleMean(BETA), o.ApoZero(BETA))
    yield Row({"loss_type": "apo_zero_unpaired", **uneven}, o.ApoZeroExampleMean(BETA, 1.25, 0.75), o.ApoZeroExampleMean(BETA))


def orpo_rows():
    yield Row({}, o.OrpoPrompt(BETA), o.Orpo(BETA))


def tokenizer():
    """One token a word; nothing is downloaded."""
    special = ["<pad>", "<eos>", "<unk>"]
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(special + WORDS)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>")


def model(away=0.0):
    """A Llama of two layers with laws far from uniform; the reference is ``away`` from the policy, as after some steps."""
    config = transformers.LlamaConfig(
        vocab_size=3 + len(WORDS), hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=64, pad_token_id=0, eos_token_id=1, bos_token_id=None,
        initializer_range=0.3,
    )  # fmt: skip
    torch.manual_seed(1)
    made = transformers.LlamaForCausalLM(config)
    with torch.no_grad():
        for weights in made.parameters():
            weights += away * torch.randn(weights.shape)
    return made


def pairs(unpaired):
    """Prompts and responses of unequal lengths; for KTO three good examples and one bad one besides."""
    rng = np.random.default_rng(7)

    def words(low, high):
        return " ".join(rng.choice(WORDS, rng.integers(low, high)))

    rows = [{"prompt": words(1, 6), "chosen": " " + words(2, 9), "rejected": " " + words(2, 9)} for _ in range(ROWS)]
    if unpaired:
        rows = [{"prompt": r["prompt"], "completion": r["chosen"], "label": i != 2} for i, r in enumerate(rows)]
    return datasets.Dataset.from_list(rows)


def trainer(kind, config, row, folder):
    """The real trainer, with a reference of other weights where it takes one."""
    settings = {
        "output_dir": folder, "report_to": "none", "use_cpu": True, "per_device_train_batch_size": ROWS, "bf16": False,
        "gradient_checkpointing": False, "beta": BETA, "max_length": 64, **row.settings,
    }  # fmt: skip
    if kind is DPOTrainer and {"robust", "exo_pair", "aot", "aot_unpaired"} & {*row.settings["loss_type"]}:
        settings["label_smoothing"] = SMOOTHING
    if kind is DPOTrainer and "discopop" in row.settings["loss_type"]:
        settings["discopop_tau"] = 0.5
    # A reference on this side gives KTO an estimate of KL above 0.
    more = {"ref_model": model(away=-0.05 if kind is KTOTrainer else 0.05)} if kind in (DPOTrainer, KTOTrainer) else {}
    return kind(
        model=model(), args=config(**settings), train_dataset=pairs(kind is KTOTrainer), processing_class=tokenizer(), **more
    )


@dataclass
class Summed:
    """Sums of a batch's log-probabilities: as NumPy numbers, and the same as a function of the model's weights."""

    values: np.ndarray
    leaves: torch.Tensor
    lengths: np.ndarray
    wpo: np.ndarray


def summed(net, ids, attention, mask, tail=None):
    """``Σ_t w_t log π(token t)`` of each row over the tokens of a mask, from the model's plain logits."""
    logits = net(input_ids=ids, attention_mask=attention, use_cache=False).logits[:, :-1].double()
    targets, counted = ids[:, 1:], mask[:, 1:].numpy().astype(float)
    if tail is not None:
        half = len(counted) // 2
        shared = np.minimum(counted[:half].sum(1), counted[half:].sum(1))
        place = counted.cumsum(1)
        counted = counted * np.where(place > np.tile(shared, 2)[:, None], tail, 1.0)
    raw = logits.detach().numpy()
    law = raw - raw.max(-1, keepdims=True)
    law = law - np.log(np.exp(law).sum(-1, keepdims=True))
    each = np.take_along_axis(law, targets.numpy()[..., None], -1)[..., 0]
    lengths = mask[:, 1:].numpy().sum(1).astype(float)
    aligned = each - np.log(np.exp(2 * law).sum(-1))
    wpo = np.exp((aligned * mask[:, 1:].numpy()).sum(1) / lengths)
    traced = torch.log_softmax(logits, -1).gather(-1, targets[..., None])[..., 0]
    return Summed((each * counted).sum(1), (traced * torch.tensor(counted)).sum(1), lengths, wpo)


def split(one, chosen, rejected):
    """Arguments of `pair_losses` of the policy, and the traced sums in the same order."""
    given = {"policy_chosen": one.values[chosen], "policy_rejected": one.values[rejected]}
    return given | {"chosen_lengths": one.lengths[chosen], "rejected_lengths": one.lengths[rejected]}, [
        one.leaves[chosen],
        one.leaves[rejected],
    ]


def of_pairs(made, batch, row):
    """What DPO's trainer is shown, for `pair_losses`."""
    chosen, rejected = slice(0, ROWS), slice(ROWS, None)
    seen = [batch[key] for key in ("input_ids", "attention_mask", "completion_mask")]
    tail = row.free.get("tail")
    one = summed(made.model, *seen, tail)
    given, leaves = split(one, chosen, rejected)
    with torch.no_grad():
        ref = summed(made.ref_model, *seen, tail).values
    given |= {"ref_chosen": ref[chosen], "ref_rejected": ref[rejected]}
    if row.free.get("wpo"):
        given["weights"] = one.wpo[chosen] * one.wpo[rejected]
    return given, leaves


def of_examples(made, batch, row):
    """What KTO's trainer is shown; its KL is estimated from completions of other prompts."""
    del row
    good = np.flatnonzero(batch["label"].numpy())
    bad = np.flatnonzero(~batch["label"].numpy().astype(bool))
    seen = [batch[key] for key in ("input_ids", "attention_mask", "completion_mask")]
    one = summed(made.model, *seen)
    given, leaves = split(one, good, bad)
    with torch.no_grad():
        ref = summed(made.ref_model, *seen).values
        if "KL_input_ids" in batch:
            other = [batch[f"KL_{key}"] for key in ("input_ids", "attention_mask", "completion_mask")]
            given["kl"] = float(np.mean(summed(made.model, *other).values - summed(made.ref_model, *other).values))
    return given | {"ref_chosen": ref[good], "ref_rejected": ref[bad]}, leaves


def without_reference(made, batch, row):
    """What CPO's and ORPO's trainers are shown; the first token of a prompt is never predicted."""
    sides, prompts = [], None
    for role in ("chosen", "rejected"):
        ids, attention = batch[f"{role}_input_ids"], batch[f"{role}_attention_mask"]
        answer = (batch[f"{role}_labels"] != -100).long()
        sides.append(summed(made.model, ids, attention, answer))
        if role == "chosen":
            prompts = summed(made.model, ids, attention, attention * (1 - answer))
    chosen, rejected = sides
    given = {"policy_chosen": chosen.values, "policy_rejected": rejected.values}
    given |= {"chosen_lengths": chosen.lengths, "rejected_lengths": rejected.lengths}
    leaves = [chosen.leaves, rejected.leaves]
    if row.free.get("per_token"):
        given["policy_chosen"], given["policy_rejected"] = (one.values / one.lengths for one in sides)
        leaves = [one.leaves / torch.tensor(one.lengths) for one in sides]
    if row.free.get("no_reference"):
        given |= {"ref_chosen": np.zeros(ROWS), "ref_rejected": np.zeros(ROWS)}
    elif isinstance(made, ORPOTrainer):
        given |= {"policy_prompts": prompts.values, "prompt_lengths": prompts.lengths}
        leaves.append(prompts.leaves)
    else:  # a control may look at a reference that the trainer has not
        given |= {"ref_chosen": chosen.values - 1.0, "ref_rejected": rejected.values - 2.0}
    return given, leaves


def relative(mine, theirs):
    return abs(mine - theirs) / max(1.0, abs(theirs))


def one_row(kind, config, look, row):
    """Relative errors of the loss and of its slopes in the weights, and how far the control is away."""
    with tempfile.TemporaryDirectory() as folder:
        made = trainer(kind, config, row, folder)
        batch = next(iter(made.get_train_dataloader()))
        weights = [x for x in made.model.parameters() if x.requires_grad]
        loss = made.compute_loss(made.model, dict(batch))
        theirs = torch.autograd.grad(loss, weights)
    given, leaves = look(made, batch, row)
    keys = ["policy_chosen", "policy_rejected", *(["policy_prompts"] if len(leaves) > 2 else [])]

    def mean(values):
        return didsim.pair_losses(row.dialect, **{**given, **values}).mean

    value, slopes = jax.value_and_grad(mean)({key: given[key] for key in keys})
    back = [torch.tensor(np.asarray(slopes[key])) for key in keys]
    mine = torch.autograd.grad(sum((b * leaf).sum() for b, leaf in zip(back, leaves, strict=True)), weights)
    size = max(float(x.abs().max()) for x in theirs)
    gap = max(float((x.double() - y.double()).abs().max()) for x, y in zip(mine, theirs, strict=True))
    other = float(didsim.pair_losses(row.control, **given).mean)
    return relative(float(loss.detach()), float(value)), gap / size, relative(other, float(value))


def name_of(objective):
    """A dialect in words, composites spelt out."""
    if isinstance(objective, o.WeightedSum):
        parts = zip(objective.weights, objective.parts, strict=True)
        return " + ".join(f"{weight:g} {name_of(part)}".removeprefix("1 ") for weight, part in parts)
    if isinstance(objective, o.UnderDivergence):
        return f"{name_of(objective.part)} under {name_of(objective.divergence)}"
    return f"`{objective.name}`"


TRAINERS = [
    ("DPO", DPOTrainer, DPOConfig, of_pairs, dpo_rows),
    ("KTO", KTOTrainer, KTOConfig, of_examples, kto_rows),
    ("CPO", CPOTrainer, CPOConfig, without_reference, cpo_rows),
    ("ORPO", ORPOTrainer, ORPOConfig, without_reference, orpo_rows),
]


def main():
    print(f"TRL {trl.__version__}, torch {torch.__version__.partition('+')[0]}, transformers {transformers.__version__}\n")
    print("| trainer | settings | dialect | relative error | of slopes | a kindred dialect | is away by |")
    print("|---|---|---|---|---|---|---|")
    bad = 0
    for title, kind, config, look, rows in TRAINERS:
        for row in rows():
            error, by_weights, away = one_row(kind, config, look, row)
            good = error <= LOSS and by_weights <= SLOPES and away > 1000 * LOSS
            bad += not good
            words = name_of(row.dialect) + (f" ({row.name})" if row.name else "")
            other = name_of(row.control) + (" of other numbers" if name_of(row.control) == name_of(row.dialect) else "")
            cells = [title, told(row.settings), words, f"{error:.1e}", f"{by_weights:.1e}", other, f"{away:.1e}"]
            print("| " + " | ".join(cells) + " |" + ("" if good else " fails"), flush=True)
    print(f"\n{'every setting is its dialect' if not bad else f'{bad} settings disagree, or agree with a wrong dialect'}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
