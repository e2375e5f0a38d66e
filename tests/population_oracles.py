"""Losses of whole laws in plain Python floats: every pair weighed by its probability, gradients by the chain rule.

The pairs' own formulas are those of `loss_oracles`.
"""

import itertools
import math

import numpy as np
from loss_oracles import PAIRS, TOKEN_MEAN, Seen, World, log_softmax, sigmoid
from scipy.optimize import linprog


def chosen_rejected_law(shown: np.ndarray, first_wins: np.ndarray) -> np.ndarray:
    """Law of (chosen, rejected): a pair (a, b) is shown, then a wins with its probability and b otherwise."""
    law = np.zeros_like(shown)
    for a in range(len(shown)):
        for b in range(len(shown)):
            law[a, b] += shown[a, b] * first_wins[a, b]
            law[b, a] += shown[a, b] * (1 - first_wins[a, b])
    return law


def divergence(log_policy: np.ndarray, ref: np.ndarray) -> float:
    return max(0.0, sum(math.exp(p) * (p - q) for p, q in zip(log_policy, ref, strict=True)))


def value_and_gradient(name: str, logits, world: World, law: np.ndarray, *, z0: float | None = None, **numbers):
    """Population value of one prompt and its gradient in the logits; ``z0`` overrides the constant under a stop-gradient."""
    log_policy = log_softmax(logits)
    policy = np.exp(log_policy)
    if name == "rlhf":
        return _rlhf(log_policy, policy, world, **numbers)
    if name == "sft[best_of_k]":
        return _best_of_sft(log_policy, policy, world, **numbers)
    z0 = constant(name, logits, world, law, **numbers) if z0 is None else z0
    columns = zip(log_policy, world.ref, world.lengths, world.reward, win_rates(world), strict=True)
    seen = [Seen(p, p - q, n, r, wins) for p, q, n, r, wins in columns]
    value, slope = 0.0, np.zeros(len(seen))
    for a, won in enumerate(seen):
        for b, lost in enumerate(seen):
            if law[a, b] > 0:
                loss, by_won, by_lost = PAIRS[name](won, lost, z0, **numbers)
                value += law[a, b] * loss
                slope[a] += law[a, b] * by_won
                slope[b] += law[a, b] * by_lost
    return value, slope - policy * slope.sum()


def constant(name: str, logits, world: World, law: np.ndarray, **numbers) -> float:
    """What an objective holds still: ``KL(π‖π_ref)``, the mean reward of the data, or its mean length of chosen responses."""
    if name in TOKEN_MEAN:
        return sum(law[a, b] * world.lengths[a] for a in range(len(law)) for b in range(len(law)))
    log_policy = log_softmax(logits)
    if name != "bco[batch]":
        return divergence(log_policy, world.ref)
    reward = numbers["beta"] * (log_policy - world.ref)
    n = len(reward)
    return sum(law[a, b] * (reward[a] + reward[b]) / 2 for a in range(n) for b in range(n))


def win_rates(world: World) -> list[float]:
    """``Σ_b π_ref(b) σ(r_y - r_b)``."""
    rows = [[math.exp(q) * sigmoid(r - other) for q, other in zip(world.ref, world.reward, strict=True)] for r in world.reward]
    return [sum(row) for row in rows]


def best_of(world: World, draws: int) -> np.ndarray:
    """Law of the best of ``draws`` draws from the reference, by going through all of them; ties share by reference mass."""
    n, mass = len(world.ref), np.exp(world.ref)
    law = np.zeros(n)
    for drawn in itertools.product(range(n), repeat=draws):
        top = max(world.reward[y] for y in drawn)
        winners = [y for y in drawn if world.reward[y] == top]
        for y in winners:
            law[y] += math.prod(mass[z] for z in drawn) / len(winners)
    return law


def _best_of_sft(log_policy, policy, world: World, *, draws: int):
    law = best_of(world, draws)
    return -sum(law * log_policy), policy - law


def _rlhf(log_policy, policy, world: World, *, beta: float):
    """``-E_π r + β KL(π‖π_ref)``; its gradient is ``π_y (c_y - E_π c)`` with ``c = β log(π/π_ref) - r``."""
    cost = beta * (log_policy - world.ref) - world.reward
    mean = sum(p * c for p, c in zip(policy, cost, strict=True))
    return mean, policy * (cost - mean)


def central_difference(function, logits, step: float = 1e-6) -> np.ndarray:
    """Gradient of a scalar function by central differences."""
    slopes = []
    for y in range(len(logits)):
        ahead, behind = np.array(logits, float), np.array(logits, float)
        ahead[y] += step
        behind[y] -= step
        slopes.append((function(ahead) - function(behind)) / (2 * step))
    return np.array(slopes)


def least_subgradient(name: str, logits, world: World, law: np.ndarray, *, kink: float = 1e-6, **numbers) -> float:
    """Smallest largest-entry of a subgradient at a point: zero certifies a minimum of a convex kinked loss.

    Left and right derivatives at every kink within ``kink`` span the subdifferential; a linear programme searches it.
    By convexity the loss is above its minimum by at most this number times the 1-norm of the distance.
    """
    log_policy = log_softmax(logits)
    policy, n = np.exp(log_policy), len(log_policy)
    fixed, choices = np.zeros(n), []
    for a in range(n):
        for b in range(n):
            if law[a, b] == 0:
                continue
            sides = []
            for nudge in (-kink, kink):
                won = Seen(log_policy[a] + nudge, log_policy[a] - world.ref[a] + nudge, world.lengths[a])
                lost = Seen(log_policy[b], log_policy[b] - world.ref[b], world.lengths[b])
                _, by_won, by_lost = PAIRS[name](won, lost, 0.0, **numbers)
                slope = np.zeros(n)
                slope[a] += law[a, b] * by_won
                slope[b] += law[a, b] * by_lost
                sides.append(slope - policy * slope.sum())
            fixed += sides[0]
            if np.abs(sides[1] - sides[0]).max() > 10 * kink * law[a, b]:
                choices.append(sides[1] - sides[0])
    choices = np.array(choices).reshape(-1, n)
    # Variables: one share in [0, 1] per kinked pair, and the bound t on |fixed + Σ share · choice|.
    ones = np.ones((n, 1))
    over = np.vstack([np.hstack([choices.T, -ones]), np.hstack([-choices.T, -ones])])
    result = linprog(
        np.r_[np.zeros(len(choices)), 1.0],
        A_ub=over,
        b_ub=np.r_[-fixed, fixed],
        bounds=[(0, 1)] * len(choices) + [(0, None)],
    )
    return float(result.x[-1])
