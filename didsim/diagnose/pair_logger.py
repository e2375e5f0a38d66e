"""How does a training run log single pairs?  A callback for TRL's DPOTrainer writes a fixed set of them at chosen steps.

What `diagnose` can say of batch means is little; of the same pairs at a few steps it is all that the theory offers.
"""

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from didsim.numerics import checks
from didsim.numerics.errors import ArgumentError

SIDES = ("chosen", "rejected")
# Columns of token numbers in a tokenised data set, by release of TRL: prompt, chosen and rejected response.
TOKENS = (
    ("prompt_ids", "chosen_ids", "rejected_ids"),
    ("prompt_input_ids", "chosen_input_ids", "rejected_input_ids"),
)
Pair = tuple[list[int], list[int], list[int]]


class PairLogger:
    """A callback that logs log-probabilities of fixed pairs to JSON lines, which ``didsim diagnose`` reads.

    Pairs are logged before the first update, as step 0, then every ``every`` steps and at the end, with sums over the
    response's tokens in nats under the policy and under the trainer's own reference, which is its reference model or the
    policy without its adapter.
    After a resume, rows of later steps than the checkpoint's are dropped and the rest kept.  Only the first process writes.

    Args:
        trainer: the DPOTrainer, its data set tokenised.
        path: ``.jsonl`` file; one that is there is gone on with if the run is resumed, and replaced if it starts anew.
        every: steps between two logs, ≥ 1.
        count: number of pairs, ≥ 5: the first of the evaluation set, or of the training set where there is none.
        batch: pairs in one forward pass, ≥ 1.

    Raises:
        ArgumentError: a number is not allowed, the data set holds no tokenised pairs, or fewer than five.

    Example:
        Three lines are added to a training script::

            from didsim.diagnose import PairLogger
            ...
            trainer.add_callback(PairLogger(trainer, "pairs.jsonl", every=50))
            trainer.train()
    """

    def __init__(self, trainer: Any, path: Path | str, *, every: int = 50, count: int = 64, batch: int = 8) -> None:
        self.every, self.batch = int(checks.at_least("every", every, 1.0)), int(checks.at_least("batch", batch, 1.0))
        self.trainer, self.path = trainer, Path(path)
        held = getattr(trainer, "eval_dataset", None)
        if isinstance(held, dict):  # several sets by name
            held = next(iter(held.values()), None)
        self.pairs = pairs_of(held if held is not None else trainer.train_dataset, int(checks.at_least("count", count, 5.0)))
        self.reference: tuple[list[float], list[float]] | None = None
        self.last = -1

    def __getattr__(self, event: str) -> Callable[..., None]:
        """Events of which nothing is logged."""
        if not event.startswith("on_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {event!r}")
        return lambda *args, **more: None

    def on_train_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        """Reference and start; after a resume what is known of both stays."""
        kept = self._kept(state.global_step) if state.global_step else []
        known = {row["example_id"]: row for row in kept}
        if len(known) == len(self.pairs):
            self.reference = tuple([known[at][f"ref_{side}_logps"] for at in range(len(self.pairs))] for side in SIDES)  # type: ignore
        else:
            kept, self.reference = [], self.sums(reference=True)
        if state.is_world_process_zero:
            self.path.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
        self.last = kept[-1]["step"] if kept else -1
        self.log(state)

    def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        """A row for each pair at every ``every``-th step."""
        if state.global_step % self.every == 0:
            self.log(state)

    def on_train_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        """A row for each pair at the end."""
        self.log(state)

    def log(self, state: Any) -> None:
        """Writes one row for each pair at the present step, unless it has been."""
        if state.global_step == self.last or self.reference is None:
            return
        now, self.last = self.sums(reference=False), int(state.global_step)
        if not state.is_world_process_zero:
            return
        with self.path.open("a", encoding="utf-8") as out:
            for at, (_, *responses) in enumerate(self.pairs):
                row = {"step": self.last, "example_id": at}
                for k, side in enumerate(SIDES):
                    row |= {f"{side}_logps": now[k][at], f"ref_{side}_logps": self.reference[k][at]}
                    row |= {f"{side}_length": len(responses[k])}
                out.write(json.dumps(row) + "\n")

    def sums(self, *, reference: bool) -> tuple[list[float], list[float]]:
        """Log-probabilities of all chosen and all rejected responses, summed over tokens, under the policy or the reference."""
        import torch  # pyright: ignore[reportMissingImports]

        model = self.trainer.model_wrapped if getattr(self.trainer, "model_wrapped", None) is not None else self.trainer.model
        found: tuple[list[float], list[float]] = ([], [])
        with self._model(model, reference) as used, torch.no_grad():
            for begin in range(0, len(self.pairs), self.batch):
                part = self.pairs[begin : begin + self.batch]
                for k in (0, 1):
                    found[k].extend(_log_probs(used, [(pair[0], pair[1 + k]) for pair in part]))
        return found

    @contextlib.contextmanager
    def _model(self, model: Any, reference: bool) -> Iterator[Any]:
        """The model to ask, without dropout."""
        other = getattr(self.trainer, "ref_model", None)
        bare = self.trainer.accelerator.unwrap_model(model)
        with contextlib.ExitStack() as stack:
            if reference and other is None and hasattr(bare, "disable_adapter"):
                stack.enter_context(bare.disable_adapter())
            elif reference and other is None and self.trainer.state.global_step:
                raise ArgumentError(
                    "Argument `trainer` must keep its reference model to be resumed without the log, but has none."
                )
            used = other if reference and other is not None else model
            trained = used.training
            used.eval()
            try:
                yield used
            finally:
                used.train(trained)

    def _kept(self, step: int) -> list[dict[str, Any]]:
        """Rows of an earlier part of the run, up to a step; a line cut off by the interruption is none."""
        rows = []
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.is_file() else []
        for line in lines:
            with contextlib.suppress(json.JSONDecodeError):
                rows.append(json.loads(line))
        return [row for row in rows if row["step"] <= step]


def pairs_of(dataset: Sequence[Any], count: int) -> list[Pair]:
    """The first pairs of a tokenised data set.

    Raises:
        ArgumentError: it holds no columns of tokens, or fewer than five pairs.
    """
    rows = [dataset[at] for at in range(min(count, len(dataset)))]
    if len(rows) < 5:
        raise ArgumentError(f"Argument `trainer` must have a data set of at least 5 pairs, but has one of {len(rows)}.")
    names = next((names for names in TOKENS if set(names) <= set(rows[0])), None)
    if names is None:
        raise ArgumentError(f"Argument `trainer` must have a data set with {', '.join(TOKENS[0])}, but has {', '.join(rows[0])}.")
    prompt, chosen, rejected = names
    return [(list(row[prompt]), list(row[chosen]), list(row[rejected])) for row in rows]


def _log_probs(model: Any, texts: Sequence[tuple[list[int], list[int]]]) -> list[float]:
    """Log-probability of each response given its prompt, summed over its tokens: Σ_t log softmax(logits_{t-1})[y_t]."""
    import torch  # pyright: ignore[reportMissingImports]

    device = next(model.parameters()).device
    longest = max(len(prompt) + len(response) for prompt, response in texts)
    tokens, seen, counted = (torch.zeros(len(texts), longest, dtype=torch.long, device=device) for _ in range(3))
    for at, (prompt, response) in enumerate(texts):
        size = len(prompt) + len(response)
        tokens[at, :size] = torch.tensor([*prompt, *response], device=device)
        seen[at, :size] = 1
        counted[at, len(prompt) : size] = 1
    logits = model(input_ids=tokens, attention_mask=seen, use_cache=False).logits[:, :-1].float()
    each = torch.log_softmax(logits, -1).gather(-1, tokens[:, 1:, None])[..., 0]
    return (each * counted[:, 1:]).sum(-1).tolist()
