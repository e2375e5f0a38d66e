"""What does training take the way scripts are usually written: a PyTorch loop, one optimiser step at a time?"""

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np

from didsim.bench.timing import fastest

MISSING = "PyTorch is not installed"


def torch_module() -> Any | None:
    """PyTorch, if it is installed."""
    return importlib.import_module("torch") if importlib.util.find_spec("torch") else None


def train(
    torch: Any, log_ref: Any, log_chosen: Any, log_rejected: Any, *, beta: float, learning_rate: float, steps: int
) -> tuple[Any, list[float]]:
    """Trains DPO by exact gradient steps over all pairs, as one would write it down.

    Args:
        torch: the module.
        log_ref: tensor (n,) or (runs, n), reference policy; a batch trains all runs at once.
        log_chosen: law of chosen responses, same shape.
        log_rejected: law of rejected responses.
        beta: inverse temperature of the implicit reward.
        learning_rate: of Adam.
        steps: how many.

    Returns:
        Final log-policies and the loss at every step.
    """
    functional = torch.nn.functional
    logits = torch.nn.Parameter(log_ref.clone())
    optimiser = torch.optim.Adam([logits], lr=learning_rate)
    pair_law = log_chosen.exp().unsqueeze(-1) * log_rejected.exp().unsqueeze(-2)
    losses = []
    for _ in range(steps):
        log_policy = functional.log_softmax(logits, dim=-1)
        reward = beta * (log_policy - log_ref)
        margin = reward.unsqueeze(-1) - reward.unsqueeze(-2)
        loss = -(pair_law * functional.logsigmoid(margin)).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return functional.log_softmax(logits, dim=-1).detach(), losses


def timed(torch: Any, arrays: tuple[np.ndarray, ...], *, steps: int, **settings: Any) -> dict[str, Callable[[], object]]:
    """The loop on one thread and on as many as PyTorch takes by itself, without a choice that is hopeless here and now.

    Small tensors are often faster on one thread, and where others use the machine, several can take a hundred times longer.
    """
    tensors = [torch.from_numpy(np.array(array)) for array in arrays]
    default = torch.get_num_threads()

    def with_threads(count: int, steps: int) -> Callable[[], object]:
        def call() -> object:
            torch.set_num_threads(count)
            try:
                return train(torch, *tensors, steps=steps, **settings)
            finally:
                torch.set_num_threads(default)

        return call

    trial = {count: fastest({"few": with_threads(count, 10)}, 0.0)["few"] for count in sorted({1, default})}
    kept = [count for count, took in trial.items() if took < 5 * min(trial.values())]
    return {f"PyTorch on {count}": with_threads(count, steps) for count in kept}
