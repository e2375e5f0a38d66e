"""What does training take the way scripts are usually written: a PyTorch loop, one optimiser step at a time?

Twice: as the published bandit script of Shi et al. (arXiv 2409.19605) does it, which computes at every step the pair laws
of all its samplers, two metrics and a check for infinities beside the loss; and tightly, the loss alone.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from didsim.cli.bench.timing import fastest


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


def train_as_published(torch: Any, rewards: Any, *, beta: float, learning_rate: float, steps: int) -> tuple[Any, Any, Any]:
    """Shi et al.'s (2409.19605) exact setting with its uniform sampler: uniform reference, soft labels, plain gradient descent.

    Args:
        torch: the module.
        rewards: tensor (runs, n), true rewards; a batch trains all runs at once.
        beta: inverse temperature of the implicit reward.
        learning_rate: of gradient descent.
        steps: how many.

    Returns:
        Final log-policies (runs, n), and value and mean margin error at every step, both (runs, steps).
    """
    functional, (runs, n) = torch.nn.functional, rewards.shape
    logits = torch.nn.Parameter(torch.zeros_like(rewards))
    optimiser = torch.optim.SGD([logits], lr=learning_rate * runs)
    cap = 2.0 + 2.0 * torch.cosh(rewards.max() - rewards.min()).item()
    values, errors = torch.zeros(runs, steps), torch.zeros(runs, steps)

    def gaps(scores: Any) -> Any:
        return scores.unsqueeze(2) - scores.unsqueeze(1)

    def mixed(scores: Any, cap: float = float("inf")) -> Any:
        weight = 1.0 / (torch.sigmoid(gaps(scores)) * torch.sigmoid(-gaps(scores)))
        weight = torch.clamp(weight, max=cap)
        return weight / weight.sum(dim=(1, 2), keepdim=True)

    for step in range(steps):
        optimiser.zero_grad()
        law, log_policy = torch.softmax(logits, -1), functional.log_softmax(logits, -1)
        implicit = beta * log_policy.detach()
        _ = mixed(rewards), mixed(implicit), mixed(implicit, cap)
        _ = torch.softmax(-beta * logits.detach(), -1), torch.softmax(beta * logits.detach(), -1)
        values[:, step] = ((rewards - implicit) * law.detach()).sum(-1)
        errors[:, step] = gaps(rewards - implicit).abs().mean(dim=(1, 2))
        uniform = torch.ones_like(law) / n
        first_wins, margin = torch.sigmoid(gaps(rewards)), beta * gaps(log_policy)
        item = first_wins * functional.logsigmoid(margin) + (1 - first_wins) * functional.logsigmoid(-margin)
        if torch.isinf(item).any():
            raise FloatingPointError("infinite loss")
        loss = -(item * uniform.unsqueeze(2) * uniform.unsqueeze(1)).sum(dim=(1, 2)).mean()
        loss.backward()
        optimiser.step()
    return functional.log_softmax(logits, -1).detach(), values, errors


def timed(
    torch: Any, loop: Callable[..., object], arrays: tuple[np.ndarray, ...], *, steps: int, **settings: Any
) -> dict[str, Callable[[], object]]:
    """A loop on one thread and on as many as PyTorch takes by itself, without a choice that is hopeless here and now.

    Small tensors are often faster on one thread, and where others use the machine, several can take a hundred times longer.
    """
    tensors = [torch.from_numpy(np.array(array)) for array in arrays]
    default = torch.get_num_threads()

    def with_threads(count: int, steps: int) -> Callable[[], object]:
        def call() -> object:
            torch.set_num_threads(count)
            try:
                return loop(torch, *tensors, steps=steps, **settings)
            finally:
                torch.set_num_threads(default)

        return call

    trial = {count: fastest({"few": with_threads(count, 10)}, 0.0)["few"] for count in sorted({1, default})}
    kept = [count for count, took in trial.items() if took < 5 * min(trial.values())]
    return {f"PyTorch on {count}": with_threads(count, steps) for count in kept}
