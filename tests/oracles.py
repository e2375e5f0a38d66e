"""The quantities of didsim once more: plain NumPy float64 loops or exact ball arithmetic, importing no didsim."""

import math

import flint
import numpy as np
from scipy import stats

flint.ctx.prec = 256


def log_laws(seed: int, shape: tuple[int, ...], *, widest: float = 3.0) -> np.ndarray:
    """Random log-laws on the last axis; the spread of their logits runs from 1e-3 to ``widest`` over the first axis."""
    rng = np.random.default_rng(seed)
    scale = np.geomspace(1e-3, widest, shape[0]).reshape(-1, *[1] * (len(shape) - 1))
    return normalize(scale * rng.standard_normal(shape))


def normalize(weights: np.ndarray) -> np.ndarray:
    top = weights.max(-1, keepdims=True)
    return weights - top - np.log(np.exp(weights - top).sum(-1, keepdims=True))


def log(masses) -> np.ndarray:
    """Log that lets zero masses be."""
    with np.errstate(divide="ignore"):
        return np.log(np.asarray(masses, dtype=np.float64))


def rows(function, *arrays) -> np.ndarray:
    """A function of vectors applied row by row over the first axis."""
    return np.array([function(*vectors) for vectors in zip(*arrays, strict=True)])


def entropy(p) -> float:
    return -sum(a * math.log(a) for a in p if a > 0)


def kl(p, q) -> float:
    if any(a > 0 and b == 0 for a, b in zip(p, q, strict=True)):
        return math.inf
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True) if a > 0)


def jsd(p, q) -> float:
    middle = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
    return (kl(p, middle) + kl(q, middle)) / 2


def renyi(p, q, alpha: float) -> float:
    if alpha > 1 and any(a > 0 and b == 0 for a, b in zip(p, q, strict=True)):
        return math.inf
    return math.log(sum(a**alpha * b ** (1 - alpha) for a, b in zip(p, q, strict=True) if a > 0)) / (alpha - 1)


def cumulants(p, values) -> list[float]:
    mean = sum(a * v for a, v in zip(p, values, strict=True) if a > 0)
    return [mean] + [sum(a * (v - mean) ** k for a, v in zip(p, values, strict=True) if a > 0) for k in (2, 3)]


def exact_kl(log_p, log_q) -> float:
    """KL of the laws that the given floats stand for, normalised exactly, in 256-bit ball arithmetic."""
    p, q = _exact_law(log_p), _exact_law(log_q)
    return float(sum((a * (a / b).log() for a, b in zip(p, q, strict=True)), flint.arb(0)))


def exact_jsd(log_p, log_q) -> float:
    """Jensen-Shannon divergence of the laws that the given floats stand for, normalised exactly."""
    p, q = _exact_law(log_p), _exact_law(log_q)
    terms = [a * (2 * a / (a + b)).log() + b * (2 * b / (a + b)).log() for a, b in zip(p, q, strict=True)]
    return float(sum(terms, flint.arb(0)) / 2)


def exact_renyi(log_p, log_q, alpha: float) -> float:
    """Rényi divergence of the laws that the given floats stand for, normalised exactly; KL at ``alpha = 1``."""
    if alpha == 1:
        return exact_kl(log_p, log_q)
    order = flint.arb(alpha)
    terms = [a**order * b ** (1 - order) for a, b in zip(_exact_law(log_p), _exact_law(log_q), strict=True)]
    return float(sum(terms, flint.arb(0)).log() / (order - 1))


def _exact_law(log_law) -> list[flint.arb]:
    masses = [flint.arb(float(value)).exp() for value in log_law]
    total = sum(masses, flint.arb(0))
    return [mass / total for mass in masses]


def did(p, ref) -> np.ndarray:
    ratio = np.array([a / b if a > 0 else 0.0 for a, b in zip(p, ref, strict=True)])
    return ratio / sum(ratio)


def bradley_terry(reward) -> np.ndarray:
    """``σ(r_a - r_b)`` without overflow."""
    gaps = reward[..., :, None] - reward[..., None, :]
    small = np.exp(-np.abs(gaps))
    return np.where(gaps >= 0, 1.0, small) / (1.0 + small)


def chosen_given_pair(joint) -> np.ndarray:
    """Bayes: probability that ``a`` was the chosen one, given the unordered pair, from the law of (chosen, rejected)."""
    return joint / (joint + np.swapaxes(joint, -1, -2))


def dpo_gradient(logits, ref, chosen, rejected, beta: float) -> np.ndarray:
    """Gradient of ``-Σ π_w(a) π_l(b) log σ(m_ab)`` in the logits, pair by pair."""
    slope = np.zeros_like(logits)
    implicit = beta * (logits - ref)
    for a in range(len(logits)):
        for b in range(len(logits)):
            pull = beta * np.exp(chosen[a] + rejected[b]) / (1 + np.exp(implicit[a] - implicit[b]))
            slope[a] -= pull
            slope[b] += pull
    return slope


def pair_slope(u, v) -> tuple[float, float]:
    """Slope and relative residual of ``u(a)-u(b)`` against ``v(a)-v(b)`` by least squares over all pairs."""
    x = np.array([v[a] - v[b] for a in range(len(v)) for b in range(len(v))])
    y = np.array([u[a] - u[b] for a in range(len(u)) for b in range(len(u))])
    slope = float(np.linalg.lstsq(x[:, None], y, rcond=None)[0][0])
    return slope, float(np.linalg.norm(y - slope * x) / np.linalg.norm(y))


def p_value(counts, law) -> float:
    """χ² p-value of counts against a law; a count where the law is zero is impossible, p = 0."""
    counts, law = np.ravel(counts), np.ravel(law)
    if counts[law == 0].any():
        return 0.0
    return float(stats.chisquare(counts[law > 0], counts.sum() * law[law > 0] / law.sum()).pvalue)


def pair_counts(first, second, n: int) -> np.ndarray:
    return np.bincount(np.asarray(first) * n + np.asarray(second), minlength=n * n).reshape(n, n)
