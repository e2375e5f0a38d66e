"""TRL's DPOTrainer on a tiny random model with a `PairLogger`: are runs logged as they are, and named for what they are?

Run by ``make test-trainers``.  Three runs are named by `diagnose` from their pairs and from their trainer_state.json; rewards
that the trainer evaluates are β times the logged changes; a run that breaks off and is resumed leaves the log of a whole one;
gradients are those of plain backward passes, token by token; the reference of a model with adapters is the trainer's.
Exit code 1 if a row disagrees, or its control agrees.
"""

import contextlib
import copy
import json
import sys
import tempfile
from pathlib import Path

import datasets
import numpy as np
import torch
import transformers
from against_models import WORDS, model, tokenizer
from trl import DPOConfig, DPOTrainer

from didsim import diagnose

transformers.utils.logging.disable_progress_bar()

PAIRS, EVERY, STEPS, RATE, BETA = 64, 5, 40, 3e-3, 0.1
SIDES = ("chosen", "rejected")
# Sums of some ten float32 log-probabilities of a few nats each, and slopes of a weight over all of them.
ROUNDING = 1e-5


def words(random, among, low=3, high=9):
    return " ".join(random.choice(among, random.integers(low, high)))


def drawn(net, random, prompts):
    """Responses of the model itself, drawn token by token, of words alone."""
    names, out = tokenizer(), []
    torch.manual_seed(int(random.integers(1 << 30)))
    with torch.no_grad():
        for prompt in prompts:
            ids = names(prompt)["input_ids"]
            start = len(ids)
            for _ in range(random.integers(4, 9)):
                law = torch.softmax(net(torch.tensor([ids])).logits[0, -1, 3:].double(), -1)
                ids = [*ids, 3 + int(torch.multinomial(law, 1))]
            out.append(names.decode(ids[start:]))
    return out


def texts(kind, count, seed):
    """Pairs of unequal lengths: sides of other words; or chosen ones that the reference would write."""
    random = np.random.default_rng(seed)
    prompts = [words(random, WORDS, 2, 5) for _ in range(count)]
    if kind == "displaced":
        chosen = drawn(model(), random, prompts)
        rejected = [words(random, WORDS) for _ in range(count)]
    else:
        chosen, rejected = ([words(random, half) for _ in range(count)] for half in (WORDS[:9], WORDS[9:]))
    rows = [{"prompt": p, "chosen": f" {a}", "rejected": f" {b}"} for p, a, b in zip(prompts, chosen, rejected, strict=True)]
    return datasets.Dataset.from_list(rows)


def trainer(folder, kind="healthy", net=None, **more):
    """The real trainer, which evaluates and saves as often as pairs are logged, on the same held-out pairs."""
    settings = {
        "output_dir": str(folder), "report_to": "none", "use_cpu": True, "bf16": False, "gradient_checkpointing": False,
        "beta": BETA, "max_length": 10, "learning_rate": RATE, "max_steps": STEPS, "per_device_train_batch_size": 8,
        "per_device_eval_batch_size": 16, "logging_steps": EVERY, "eval_strategy": "steps", "eval_steps": EVERY,
        "eval_on_start": True, "save_strategy": "steps", "save_steps": EVERY, "disable_tqdm": True,
        "lr_scheduler_type": "constant",
    }  # fmt: skip
    reference = {"ref_model": model(0.05 if kind == "wrong reference" else 0.0)} if net is None else {}
    made = DPOTrainer(
        model=net or model(), args=DPOConfig(**settings | more.pop("settings", {})), processing_class=tokenizer(),
        train_dataset=texts(kind, 160, 1), eval_dataset=texts(kind, PAIRS, 2), **reference, **more,
    )  # fmt: skip
    made.remove_callback(transformers.PrinterCallback)
    return made


def logged(made, path, **more):
    """The trainer with a logger, not yet run."""
    made.add_callback(diagnose.PairLogger(made, path, **{"every": EVERY} | more))
    return made


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def named(folder, kind):
    """State by pairs, by means, and how far evaluated rewards are from β times the logged changes, at that step and the last."""
    made = logged(trainer(folder, kind), folder / "pairs.jsonl")
    made.train()
    made.state.save_to_json(str(folder / "trainer_state.json"))
    found, means = (diagnose.diagnose(folder / name, beta=BETA) for name in ("pairs.jsonl", "trainer_state.json"))
    told = {row["step"]: row for row in made.state.log_history if "eval_rewards/chosen" in row}
    gap, control = 0.0, np.inf
    for k, side in enumerate(SIDES):
        change = (found.log.change_chosen, found.log.change_rejected)[k]
        mine = {step: BETA * change[found.log.at(step)].mean() for step in found.log.steps}
        theirs = {step: row[f"eval_rewards/{side}"] for step, row in told.items()}
        gap = max(gap, *(abs(mine[step] - theirs[step]) for step in theirs))
        control = min(control, abs(mine[STEPS] - theirs[STEPS - EVERY]))
    same = found.state == means.state == kind and set(told) == set(mine) and len(found.log.chosen) == len(told) * PAIRS
    return same and gap <= ROUNDING < control / 100, f"{found.state} / {means.state}", gap, control


class Broken(transformers.TrainerCallback):
    """Breaks off a run."""

    def __init__(self, at):
        self.at = at

    def on_step_begin(self, args, state, control, **more):
        if state.global_step == self.at:
            raise KeyboardInterrupt


def resumed(folder):
    """The largest difference of a log that goes on after an interruption from one of a run without, and from its own start."""
    short = {"settings": {"max_steps": 12, "save_steps": 4}}
    logged(trainer(folder / "whole", **copy.deepcopy(short)), folder / "whole.jsonl").train()
    made = logged(trainer(folder / "parts", **copy.deepcopy(short)), folder / "parts.jsonl")
    made.add_callback(Broken(7))
    with contextlib.suppress(KeyboardInterrupt):
        made.train()
    before = {row["step"] for row in rows_of(folder / "parts.jsonl")}
    logged(trainer(folder / "parts", **copy.deepcopy(short)), folder / "parts.jsonl").train(resume_from_checkpoint=True)
    whole, parts = rows_of(folder / "whole.jsonl"), rows_of(folder / "parts.jsonl")
    same = [row.keys() for row in whole] == [row.keys() for row in parts] and before == {0, 5}
    gap = max(abs(a[name] - b[name]) for a, b in zip(whole, parts, strict=True) for name in a)
    moved = max(abs(a["chosen_logps"] - b["chosen_logps"]) for a, b in zip(whole, whole[-PAIRS:], strict=False))
    return same and gap <= ROUNDING < moved / 100, "the log of an uninterrupted run", gap, moved


def backward(net, prompt, response):
    """∇ log π(response | prompt) over the weights that are trained, one backward pass of one text without padding, as float64."""
    net.zero_grad()
    logits = net(torch.tensor([[*prompt, *response]])).logits[0]
    total = 0.0
    for at, token in enumerate(response):
        row = logits[len(prompt) + at - 1]
        total = total + row[token] - torch.logsumexp(row, -1)
    total.backward()
    slopes = [torch.zeros_like(x) if x.grad is None else x.grad.clone() for x in net.parameters() if x.requires_grad]
    net.zero_grad()
    return np.concatenate([slope.numpy().astype(float).ravel() for slope in slopes])


def slopes(folder, net=None, **more):
    """Relative error of the logged norms and cosines at the last step, and the least one of another pair's numbers."""
    made = logged(trainer(folder, net=net, settings={"max_steps": 3}, **more), folder / "g.jsonl", count=6, gradients=True)
    made.train()
    made.model.eval()
    errors, controls = [], []
    last = rows_of(folder / "g.jsonl")[-6:]
    for at, row in enumerate(last):
        example = made.eval_dataset[at]
        room = 10 - len(example["prompt_ids"])
        one, other = (backward(made.model, example["prompt_ids"], example[f"{side}_ids"][:room]) for side in SIDES)
        sizes = np.linalg.norm(one), np.linalg.norm(other)
        right = np.array([*sizes, one @ other / (sizes[0] * sizes[1])])
        for to, numbers in ((errors, row), (controls, last[at - 1])):
            mine = np.array([numbers["grad_norm_chosen"], numbers["grad_norm_rejected"], numbers["grad_cosine"]])
            to.append(float(np.max(np.abs(mine - right) / np.abs(right))))
    band = next(one for one in diagnose.diagnose(folder / "g.jsonl").findings if one.name == "band")
    count = sum(x.requires_grad for x in made.model.parameters())
    return max(errors) <= 10 * ROUNDING < min(controls) / 100 and band.answered, f"{count} weights", max(errors), min(controls)


def adapters(folder, trained):
    """How far logged references are from the trainer's own, and from the bare model's if the adapter was trained before."""
    import peft

    config = peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    net = peft.get_peft_model(model(), config)
    if trained:
        with torch.no_grad():
            for name, weights in net.named_parameters():
                if "lora_B" in name:
                    weights += 0.5 * torch.randn(weights.shape)
    bare = copy.deepcopy(net.get_base_model() if not trained else net).eval()
    made = logged(trainer(folder, net=net if trained else model(), peft_config=None if trained else config,
                          settings={"max_steps": 6, "learning_rate": 0.05}), folder / "a.jsonl", count=8)  # fmt: skip
    before = {name: x.requires_grad for name, x in made.model.named_parameters()}
    made.train()
    batch = made.data_collator([made.eval_dataset[at] for at in range(8)])
    theirs = torch.cat(made.compute_ref_log_probs(made.model, batch)).numpy()
    rows = rows_of(folder / "a.jsonl")
    mine = np.array([[row[f"ref_{side}_logps"] for row in rows[-8:]] for side in SIDES]).ravel()
    moved = np.abs(mine - np.array([[row[f"{side}_logps"] for row in rows[-8:]] for side in SIDES]).ravel()).max()
    with torch.no_grad():
        logits = bare(batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1]
    each = torch.log_softmax(logits, -1).gather(-1, batch["input_ids"][:, 1:, None])[..., 0]
    right = (each * batch["completion_mask"][:, 1:]).sum(1).numpy()
    gap = max(np.abs(mine - theirs).max(), np.abs(mine - right).max())
    kept = before == {name: x.requires_grad for name, x in made.model.named_parameters()}
    start = max(abs(row[f"{side}_logps"] - row[f"ref_{side}_logps"]) for row in rows[:8] for side in SIDES)
    return kept and max(gap, start) <= 10 * ROUNDING < moved / 100, "the trainer's reference", max(gap, start), moved


def checks():
    """Name of each row, and the check of it in an empty folder."""
    for kind in ("healthy", "displaced", "wrong reference"):
        yield f"{kind}: by pairs / by means", lambda folder, kind=kind: named(folder, kind)
    yield "broken off and resumed", resumed
    yield "gradients", slopes
    try:
        import peft
    except ImportError:
        return
    low = peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    yield "gradients of an adapter", lambda folder: slopes(folder, net=model(), peft_config=low)
    yield "reference below a new adapter", lambda folder: adapters(folder, trained=False)
    yield "reference of a trained adapter", lambda folder: adapters(folder, trained=True)


def main():
    print("| run | seen | largest difference | of the control |")
    print("|---|---|---|---|")
    bad = 0
    for name, check in checks():
        with tempfile.TemporaryDirectory() as folder:
            good, seen, gap, control = check(Path(folder))
        bad += not good
        print(f"| {name} | {seen} | {gap:.1e} | {control:.1e} |" + ("" if good else " fails"), flush=True)
    print(f"\n{'every run is logged as it is' if not bad else f'{bad} rows disagree, or agree with their control'}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
