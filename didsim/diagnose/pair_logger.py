"""How does a training run log single pairs?  A callback for TRL's DPOTrainer writes a fixed set of them at chosen steps.

What `diagnose` can say of batch means is little; of the same pairs at a few steps it is all that the theory offers.
"""

import contextlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from didsim.diagnose.logs import LEAST_PAIRS
from didsim.diagnose.responses import Text, cut, gradients, log_probs
from didsim.numerics import checks
from didsim.numerics.errors import ArgumentError

SIDES = ("chosen", "rejected")
REFERENCE = tuple(f"ref_{side}_logps" for side in SIDES)
# Columns of token numbers in a tokenised data set, by release of TRL: prompt, chosen and rejected response.
TOKENS = (
    ("prompt_ids", "chosen_ids", "rejected_ids"),
    ("prompt_input_ids", "chosen_input_ids", "rejected_input_ids"),
)
Sums = tuple[list[float], list[float]]


class Pair(NamedTuple):
    """Chosen and rejected text as the trainer sees them, and log-probabilities under its reference if it has computed them."""

    sides: tuple[Text, Text]
    known: tuple[float, float] | None = None


class PairLogger:
    """A callback that logs log-probabilities of fixed pairs to JSON lines, which ``didsim diagnose`` reads.

    Pairs are logged before the first update, as step 0, then every ``every`` steps and at the end, with sums over the
    response's tokens in nats under the policy and under the trainer's own reference: its reference model, the policy without
    its adapter or with the one called ``ref``, or what it has computed before training.  Texts are cut as the trainer cuts them.
    After a resume, rows of later steps than the checkpoint's are dropped and the rest kept.  Only the first process writes.

    With ``gradients`` each row also has ‖s_w‖, ‖s_l‖ and the cosine of s = ∇ log π of the two responses over the weights that
    are trained, from which diagnose says whether a step lifts chosen and lowers rejected responses (arXiv 2604.18239); their
    inner product is the product of the three.  It costs two backward passes a pair and the memory of two gradients.

    Args:
        trainer: the DPOTrainer, its data set tokenised.
        path: ``.jsonl`` file; one that is there is gone on with if the run is resumed, and replaced if it starts anew.
        every: steps between two logs, ≥ 1.
        count: number of pairs, ≥ 5: the first of the evaluation set, or of the training set where there is none.
        batch: pairs in one forward pass, ≥ 1.
        gradients: whether to log gradient norms; every process must hold whole weights, so not under FSDP or DeepSpeed.

    Raises:
        ArgumentError: a number is not allowed, the data set holds no tokenised pairs, or fewer than five, or weights are spread
            over processes and gradients are asked for; in a resumed run that its rows lack gradients, or have them unasked.

    Example:
        Three lines are added to a training script::

            from didsim.diagnose import PairLogger
            ...
            trainer.add_callback(PairLogger(trainer, "pairs.jsonl", every=50))
            trainer.train()
    """

    def __init__(
        self, trainer: Any, path: Path | str, *, every: int = 50, count: int = 64, batch: int = 8, gradients: bool = False
    ) -> None:
        self.every, self.batch = int(checks.at_least("every", every, 1.0)), int(checks.at_least("batch", batch, 1.0))
        self.trainer, self.path, self.gradients = trainer, Path(path), gradients
        spread = [name for name in ("is_fsdp_enabled", "is_deepspeed_enabled") if getattr(trainer, name, False)]
        if gradients and spread:
            raise ArgumentError(f"Argument `gradients` must be False where {spread[0]}: weights are spread, but is True.")
        self.pairs = pairs_of(trainer, int(checks.at_least("count", count, float(LEAST_PAIRS))))
        self.reference: Sums | None = None
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
        if kept:
            self.reference = tuple([known[at][f"ref_{side}_logps"] for at in range(len(self.pairs))] for side in SIDES)  # type: ignore
        else:
            self.reference = self.sums(reference=True)
        if state.is_world_process_zero:
            self.path.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
        self.last = kept[-1]["step"] if kept else -1
        if not kept or state.global_step % self.every == 0:
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
        slopes = self.slopes() if self.gradients else [{}] * len(self.pairs)
        with self.path.open("a", encoding="utf-8") as out:
            for at, pair in enumerate(self.pairs):
                row = {"step": self.last, "example_id": at}
                for k, side in enumerate(SIDES):
                    row |= {f"{side}_logps": now[k][at], f"ref_{side}_logps": self.reference[k][at]}
                    row |= {f"{side}_length": len(pair.sides[k].response)}
                out.write(json.dumps(row | slopes[at]) + "\n")

    def sums(self, *, reference: bool) -> Sums:
        """Log-probabilities of all chosen and all rejected responses, summed over tokens, under the policy or the reference."""
        import torch  # pyright: ignore[reportMissingImports]

        if reference and (before := [pair.known for pair in self.pairs if pair.known]):
            return [won for won, _ in before], [lost for _, lost in before]
        wrapped = getattr(self.trainer, "model_wrapped", None)
        model = self.trainer.model if wrapped is None else wrapped
        found: Sums = ([], [])
        with self._model(model, reference) as used, torch.no_grad():
            for begin in range(0, len(self.pairs), self.batch):
                part = self.pairs[begin : begin + self.batch]
                for k in (0, 1):
                    found[k].extend(log_probs(used, [pair.sides[k] for pair in part]).tolist())
        return found

    def slopes(self) -> list[dict[str, float]]:
        """Norms and cosine of the two gradients of each pair, asked of the bare model: wrappers await a whole step's pass."""
        with self._model(self.trainer.accelerator.unwrap_model(self.trainer.model), False) as used:
            return [gradients(used, *pair.sides) for pair in self.pairs]

    @contextlib.contextmanager
    def _model(self, model: Any, reference: bool) -> Iterator[Any]:
        """The model to ask, without dropout."""
        other = getattr(self.trainer, "ref_model", None)
        bare = self.trainer.accelerator.unwrap_model(model)
        with contextlib.ExitStack() as stack:
            if reference and other is None and hasattr(bare, "disable_adapter"):
                stack.enter_context(_reference_adapter(bare))
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
        """Rows of an earlier part of the run, up to a step, without those of an end that is none any more.

        Nothing is kept where the rows are not of these pairs.
        """
        rows: list[dict[str, Any]] = []
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.is_file() else []
        for line in lines:
            with contextlib.suppress(json.JSONDecodeError):
                rows += [row] if isinstance(row := json.loads(line), dict) else []
        sizes = {(at, *(len(text.response) for text in pair.sides)) for at, pair in enumerate(self.pairs)}
        names = ("example_id", "chosen_length", "rejected_length")
        if {tuple(row.get(name) for name in names) for row in rows} != sizes:
            return []
        kept = [row for row in rows if row["step"] < step or (row["step"] == step and step % self.every == 0)]
        if any(("grad_cosine" in row) != self.gradients for row in kept):
            raise ArgumentError(
                f"Argument `gradients` must be {not self.gradients} as in the rows of {self.path.name} that the run continues, "
                f"but is {self.gradients}."
            )
        return kept


def _reference_adapter(model: Any) -> contextlib.AbstractContextManager[Any]:
    """The reference within a model with adapters: the one called ``ref``, a copy of that training began with, else none."""
    if "ref" not in model.peft_config:
        return model.disable_adapter()

    @contextlib.contextmanager
    def switched() -> Iterator[None]:
        before = model.active_adapter
        model.set_adapter("ref")
        try:
            yield
        finally:
            model.set_adapter(before)

    return switched()


def pairs_of(trainer: Any, count: int) -> list[Pair]:
    """The first pairs of a trainer's tokenised data set, those left out that its cut leaves without a response.

    Raises:
        ArgumentError: it holds no columns of tokens, or fewer than five pairs.
    """
    held = getattr(trainer, "eval_dataset", None)
    if isinstance(held, dict):  # several sets by name
        held = next(iter(held.values()), None)
    rows = iter(held if held is not None else trainer.train_dataset)
    first = next(rows, {})
    names = next((names for names in TOKENS if set(names) <= set(first)), None)
    if first and names is None:
        raise ArgumentError(f"Argument `trainer` must have a data set with {', '.join(TOKENS[0])}, but has {', '.join(first)}.")
    every = _pairs(itertools.chain([first], rows), names or TOKENS[0], getattr(trainer, "args", None)) if first else iter(())
    pairs = list(itertools.islice(every, count))
    if len(pairs) < LEAST_PAIRS:
        raise ArgumentError(
            f"Argument `trainer` must have a data set of at least {LEAST_PAIRS} pairs, but has one of {len(pairs)}."
        )
    return pairs


def _pairs(rows: Iterable[Any], names: tuple[str, ...], args: Any) -> Iterator[Pair]:
    longest, mode = getattr(args, "max_length", None), str(getattr(args, "truncation_mode", "keep_start"))
    # Tails that count less make the trainer's sums other than log-probabilities.
    computed = getattr(args, "precompute_ref_log_probs", False) and getattr(args, "ld_alpha", None) is None
    for row in rows:
        texts = [cut(row[names[0]], row[name], longest, mode) for name in names[1:]]
        before = [float(row[name]) for name in REFERENCE if computed and name in row]
        if all(text.response for text in texts):
            yield Pair((texts[0], texts[1]), (before[0], before[1]) if len(before) == 2 else None)
