"""What does a torch language model say of given responses?  Their log-probabilities, and the gradients of these."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple


class Text(NamedTuple):
    """A prompt and a response as token numbers."""

    prompt: list[int]
    response: list[int]


def cut(prompt: Sequence[int], response: Sequence[int], longest: int | None, mode: str) -> Text:
    """The text as a trainer cuts it to ``longest`` tokens: ``keep_start`` cuts the response, ``keep_end`` the prompt first.

    Example:
        >>> cut([1, 2, 3], [4, 5], 4, "keep_start"), cut([1, 2, 3], [4, 5], 4, "keep_end")
        (Text(prompt=[1, 2, 3], response=[4]), Text(prompt=[2, 3], response=[4, 5]))
    """
    over = 0 if longest is None else max(0, len(prompt) + len(response) - longest)
    if mode == "keep_end":
        before = min(over, len(prompt))
        return Text(list(prompt[before:]), list(response[over - before :]))
    after = min(over, len(response))
    return Text(list(prompt[: len(prompt) - over + after]), list(response[: len(response) - after]))


def log_probs(model: Any, texts: Sequence[Text]) -> Any:
    """Log-probability of each response given its prompt, summed over its tokens: Σ_t log softmax(logits_{t-1})[y_t]."""
    import torch  # pyright: ignore[reportMissingImports]

    device = next(model.parameters()).device
    longest = max(len(text.prompt) + len(text.response) for text in texts)
    tokens, seen, counted = (torch.zeros(len(texts), longest, dtype=torch.long, device=device) for _ in range(3))
    for at, (prompt, response) in enumerate(texts):
        size = len(prompt) + len(response)
        tokens[at, :size] = torch.tensor([*prompt, *response], device=device)
        seen[at, :size] = 1
        counted[at, len(prompt) : size] = 1
    logits = model(input_ids=tokens, attention_mask=seen, use_cache=False).logits
    logits = logits[:, -longest:][:, :-1].float()  # adapters that learn a prompt put its positions before the text
    each = torch.log_softmax(logits, -1).gather(-1, tokens[:, 1:, None])[..., 0]
    return (each * counted[:, 1:]).sum(-1)


def gradients(model: Any, chosen: Text, rejected: Text) -> dict[str, float]:
    """Norms of s_w = ∇ log π(chosen), s_l = ∇ log π(rejected) and their cosine, over the weights that are trained.

    A vanishing gradient has no direction; its cosine is given as 0, since a step along it moves neither side.
    """
    import torch  # pyright: ignore[reportMissingImports]

    weights = [one for one in model.parameters() if one.requires_grad]
    with torch.enable_grad():
        won, lost = (
            torch.autograd.grad(log_probs(model, [text]).sum(), weights, allow_unused=True) for text in (chosen, rejected)
        )
    norms = math.sqrt(_inner(won, won)), math.sqrt(_inner(lost, lost))
    size = norms[0] * norms[1]
    cosine = min(1.0, max(-1.0, _inner(won, lost) / size)) if size else 0.0
    return {"grad_norm_chosen": norms[0], "grad_norm_rejected": norms[1], "grad_cosine": cosine}


def _inner(one: Iterable[Any], other: Iterable[Any]) -> float:
    """Inner product over all weights; a weight that a text does not use has no gradient."""
    both = ((x, y) for x, y in zip(one, other, strict=True) if x is not None and y is not None)
    return math.fsum(float((x.float() * y.float()).sum()) for x, y in both)
