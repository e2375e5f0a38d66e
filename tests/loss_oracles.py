"""The objectives once more, as double loops over pairs in plain Python floats: no JAX, no didsim.

Each formula is copied from the notation of the objectives' table: ``a``, ``b`` are log(π/π_ref) of the chosen and the
rejected response, ``Δ = a - b``, ``z = βΔ``, ``ℓ`` a log-probability, ``n`` a length.  A pair function returns its value and
its two partial derivatives in ℓ_w and ℓ_l as if log-probabilities were free; the chain rule through the softmax,
``∂L/∂θ_y = g_y - π_y Σ_z g_z``, makes them a gradient in the table's logits.
"""

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class World:
    """One prompt: what an objective may look at besides the policy and the data."""

    ref: np.ndarray
    reward: np.ndarray
    lengths: np.ndarray


@dataclass(frozen=True)
class Seen:
    """One response of a pair: log-probability, log-ratio, length, true reward, chance to beat a draw from π_ref."""

    log: float
    ratio: float
    length: float
    reward: float = 0.0
    wins: float = 0.5


def log_softmax(logits: np.ndarray) -> np.ndarray:
    top = max(logits)
    return np.array([t - top - math.log(sum(math.exp(u - top) for u in logits)) for t in logits])


def log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x)) if x > 0 else x - math.log1p(math.exp(x))


def sigmoid(x: float) -> float:
    return math.exp(log_sigmoid(x))


def dpo(won: Seen, lost: Seen, z0: float, *, beta: float):
    z = beta * (won.ratio - lost.ratio)
    return -log_sigmoid(z), -beta * sigmoid(-z), beta * sigmoid(-z)


def cdpo(won: Seen, lost: Seen, z0: float, *, beta: float, smoothing: float):
    z = beta * (won.ratio - lost.ratio)
    slope = -(1 - smoothing) * sigmoid(-z) + smoothing * sigmoid(z)
    return -(1 - smoothing) * log_sigmoid(z) - smoothing * log_sigmoid(-z), beta * slope, -beta * slope


def ipo_sum(won: Seen, lost: Seen, z0: float, *, beta: float):
    gap = won.ratio - lost.ratio - 1 / (2 * beta)
    return gap**2, 2 * gap, -2 * gap


def hinge(won: Seen, lost: Seen, z0: float, *, beta: float):
    z = beta * (won.ratio - lost.ratio)
    return (1 - z, -beta, beta) if z < 1 else (0.0, 0.0, 0.0)


def hinge_reference_free(won: Seen, lost: Seen, z0: float, *, beta: float):
    z = beta * (won.log - lost.log)
    return (1 - z, -beta, beta) if z < 1 else (0.0, 0.0, 0.0)


def slic(won: Seen, lost: Seen, z0: float, *, margin: float, nll_weight: float):
    gap = margin - won.log + lost.log
    inside = 1.0 if gap > 0 else 0.0
    return inside * gap - nll_weight * won.log, -inside - nll_weight, inside


def smoothed(m: float, smoothing: float) -> tuple[float, float]:
    """``-(1-ε) log σ(m) - ε log σ(-m)`` and its slope."""
    value = -(1 - smoothing) * log_sigmoid(m) - smoothing * log_sigmoid(-m)
    return value, -(1 - smoothing) * sigmoid(-m) + smoothing * sigmoid(m)


def simpo(won: Seen, lost: Seen, z0: float, *, beta: float, gamma: float, smoothing: float = 0.0):
    value, slope = smoothed(beta * (won.log / won.length - lost.log / lost.length) - gamma, smoothing)
    return value, slope * beta / won.length, -slope * beta / lost.length


def cpo(won: Seen, lost: Seen, z0: float, *, beta: float, nll_weight: float, smoothing: float = 0.0):
    value, slope = smoothed(beta * (won.log - lost.log), smoothing)
    return value - nll_weight * won.log, beta * slope - nll_weight, -beta * slope


def cpo_token_mean(won: Seen, lost: Seen, tokens: float, *, beta: float, nll_weight: float, smoothing: float = 0.0):
    """``tokens`` is the mean length of the data's chosen responses."""
    return cpo(won, lost, tokens, beta=beta, nll_weight=nll_weight / tokens, smoothing=smoothing)


def cpo_simpo(won: Seen, lost: Seen, tokens: float, *, beta: float, gamma: float, nll_weight: float, smoothing: float = 0.0):
    value, by_won, by_lost = simpo(won, lost, tokens, beta=beta, gamma=gamma, smoothing=smoothing)
    return value - nll_weight / tokens * won.log, by_won - nll_weight / tokens, by_lost


def orpo(won: Seen, lost: Seen, z0: float, *, odds_weight: float):
    """Both terms see the per-token mean log-probability, as in ORPO's paper and code."""

    def log_odds(x: float) -> float:
        return x - math.log(-math.expm1(x))

    def slope(x: float) -> float:
        return 1 / -math.expm1(x)

    mean_w, mean_l = won.log / won.length, lost.log / lost.length
    m = log_odds(mean_w) - log_odds(mean_l)
    push = odds_weight * sigmoid(-m)
    return (
        -mean_w - odds_weight * log_sigmoid(m),
        (-1 - push * slope(mean_w)) / won.length,
        push * slope(mean_l) / lost.length,
    )


def dpop(won: Seen, lost: Seen, z0: float, *, beta: float, penalty: float):
    z = beta * (won.ratio - lost.ratio - penalty * max(0.0, -won.ratio))
    rise = 1 + penalty if won.ratio < 0 else 1.0
    return -log_sigmoid(z), -beta * rise * sigmoid(-z), beta * sigmoid(-z)


def kto(won: Seen, lost: Seen, z0: float, *, beta: float, desirable: float, undesirable: float):
    """``z0 = max(0, KL(π_θ‖π_ref))`` is a constant of the gradient."""
    good, bad = sigmoid(beta * (won.ratio - z0)), sigmoid(beta * (z0 - lost.ratio))
    value = desirable * (1 - good) + undesirable * (1 - bad)
    return value, -desirable * beta * good * (1 - good), undesirable * beta * bad * (1 - bad)


def exo_pair(won: Seen, lost: Seen, z0: float, *, beta: float, smoothing: float):
    z = beta * (won.ratio - lost.ratio)
    value = sigmoid(z) * (log_sigmoid(z) - math.log(1 - smoothing)) + sigmoid(-z) * (log_sigmoid(-z) - math.log(smoothing))
    slope = sigmoid(z) * sigmoid(-z) * (z - math.log((1 - smoothing) / smoothing))
    return value, beta * slope, -beta * slope


def sft(won: Seen, lost: Seen, z0: float):
    return -won.log, -1.0, 0.0


def sft_token_mean(won: Seen, lost: Seen, tokens: float):
    return -won.log / tokens, -1.0 / tokens, 0.0


def orpo_prompt(won: Seen, lost: Seen, tokens: float, *, odds_weight: float, prompt: float = 0.0):
    """``tokens`` counts the prompt's as well, ``prompt`` is its log-probability."""
    value, by_won, by_lost = orpo(won, lost, tokens, odds_weight=odds_weight)
    likelihood, rest = won.log / won.length, 1 / won.length
    return value + likelihood - (prompt + won.log) / tokens, by_won + rest - 1 / tokens, by_lost


def half(function):
    """A mean over examples: one pair counts as two."""

    def halved(won: Seen, lost: Seen, z0: float, **numbers):
        return tuple(0.5 * x for x in function(won, lost, z0, **numbers))

    return halved


def robust(won: Seen, lost: Seen, z0: float, *, beta: float, smoothing: float):
    z, rest = beta * (won.ratio - lost.ratio), 1 - 2 * smoothing
    value = (-(1 - smoothing) * log_sigmoid(z) + smoothing * log_sigmoid(-z)) / rest
    slope = (-(1 - smoothing) * sigmoid(-z) - smoothing * sigmoid(z)) / rest
    return value, beta * slope, -beta * slope


def dpo_norm(won: Seen, lost: Seen, z0: float, *, beta: float):
    m = beta * (won.ratio / won.length - lost.ratio / lost.length)
    return -log_sigmoid(m), -sigmoid(-m) * beta / won.length, sigmoid(-m) * beta / lost.length


def r_dpo(won: Seen, lost: Seen, z0: float, *, beta: float, length_weight: float):
    m = beta * (won.ratio - lost.ratio) + length_weight * (won.length - lost.length)
    return -log_sigmoid(m), -beta * sigmoid(-m), beta * sigmoid(-m)


def odpo_gap(won: Seen, lost: Seen, z0: float, *, beta: float, offset: float):
    m = beta * (won.ratio - lost.ratio) - offset * (won.reward - lost.reward)
    return -log_sigmoid(m), -beta * sigmoid(-m), beta * sigmoid(-m)


def exo_clamped(won: Seen, lost: Seen, z0: float, *, beta: float, smoothing: float):
    return exo_pair(won, lost, z0, beta=beta, smoothing=smoothing if smoothing > 0 else 1e-3)


def discopop(won: Seen, lost: Seen, z0: float, *, beta: float, temperature: float):
    z = beta * (won.ratio - lost.ratio)
    share = sigmoid(z / temperature)
    value = (1 - share) * -log_sigmoid(z) + share * math.exp(-z)
    turn = share * (1 - share) / temperature
    slope = turn * (log_sigmoid(z) + math.exp(-z)) - (1 - share) * sigmoid(-z) - share * math.exp(-z)
    return value, beta * slope, -beta * slope


def forward_kl(won: Seen, lost: Seen, z0: float, *, beta: float):
    m = beta * (math.exp(-lost.ratio) - math.exp(-won.ratio))
    return -log_sigmoid(m), -sigmoid(-m) * beta * math.exp(-won.ratio), sigmoid(-m) * beta * math.exp(-lost.ratio)


def jensen_shannon(won: Seen, lost: Seen, z0: float, *, beta: float):
    m = beta * (log_sigmoid(won.ratio) - log_sigmoid(lost.ratio))
    return -log_sigmoid(m), -sigmoid(-m) * beta * sigmoid(-won.ratio), sigmoid(-m) * beta * sigmoid(-lost.ratio)


def alpha_dpo(won: Seen, lost: Seen, z0: float, *, beta: float, alpha: float):
    up, down = math.exp((alpha - 1) * won.ratio), math.exp((alpha - 1) * lost.ratio)
    m = beta * (up - down) / (alpha - 1)
    return -log_sigmoid(m), -sigmoid(-m) * beta * up, sigmoid(-m) * beta * down


def alpha_authors(won: Seen, lost: Seen, z0: float, *, beta: float, alpha: float):
    up, down = math.exp(-alpha * won.ratio), math.exp(-alpha * lost.ratio)
    m = beta * (down - up) / alpha
    return -log_sigmoid(m), -sigmoid(-m) * beta * up, sigmoid(-m) * beta * down


def chi_po(won: Seen, lost: Seen, z0: float, *, beta: float, reward_bound: float):
    m = beta * (math.exp(won.ratio) + won.ratio - math.exp(lost.ratio) - lost.ratio)
    if abs(m) > 2 * reward_bound:
        return -log_sigmoid(math.copysign(2 * reward_bound, m)), 0.0, 0.0
    push = beta * sigmoid(-m)
    return -log_sigmoid(m), -push * (math.exp(won.ratio) + 1), push * (math.exp(lost.ratio) + 1)


def ipo_token_mean(won: Seen, lost: Seen, z0: float, *, beta: float):
    gap = won.ratio / won.length - lost.ratio / lost.length - 1 / (2 * beta)
    return gap**2, 2 * gap / won.length, -2 * gap / lost.length


def ipo_reference_free(won: Seen, lost: Seen, z0: float, *, beta: float):
    gap = won.log / won.length - lost.log / lost.length - 1 / (2 * beta)
    return gap**2, 2 * gap / won.length, -2 * gap / lost.length


def ipo_margin(won: Seen, lost: Seen, z0: float, *, beta: float):
    gap = won.ratio - lost.ratio - beta
    return gap**2, 2 * gap, -2 * gap


def rebel(won: Seen, lost: Seen, z0: float, *, eta: float):
    gap = (won.ratio - lost.ratio) / eta - (won.reward - lost.reward)
    return gap**2, 2 * gap / eta, -2 * gap / eta


def sppo_hard(won: Seen, lost: Seen, z0: float, *, beta: float):
    up, down = won.ratio - 1 / (2 * beta), lost.ratio + 1 / (2 * beta)
    return up**2 + down**2, 2 * up, 2 * down


def sppo(won: Seen, lost: Seen, z0: float, *, eta: float):
    up, down = won.ratio - eta * (won.wins - 0.5), lost.ratio - eta * (lost.wins - 0.5)
    return up**2 + down**2, 2 * up, 2 * down


def simpo_ratio(won: Seen, lost: Seen, z0: float, *, beta: float, gamma_ratio: float, smoothing: float = 0.0):
    return simpo(won, lost, z0, beta=beta, gamma=beta * gamma_ratio, smoothing=smoothing)


def alphapo(won: Seen, lost: Seen, z0: float, *, beta: float, alpha: float, gamma: float, smoothing: float = 0.0):
    up, down = math.exp(-alpha * won.log / won.length), math.exp(-alpha * lost.log / lost.length)
    value, slope = smoothed(beta * (down - up) / alpha - gamma, smoothing)
    return value, slope * beta * up / won.length, -slope * beta * down / lost.length


def orpo_sum(won: Seen, lost: Seen, z0: float, *, odds_weight: float):
    whole = [Seen(one.log, one.ratio, 1.0) for one in (won, lost)]
    return orpo(*whole, z0, odds_weight=odds_weight)


def nca_pair(won: Seen, lost: Seen, z0: float, *, beta: float):
    u, v = beta * won.ratio, beta * lost.ratio
    value = -log_sigmoid(u) - 0.5 * log_sigmoid(-u) - 0.5 * log_sigmoid(-v)
    return value, beta * (-sigmoid(-u) + 0.5 * sigmoid(u)), beta * 0.5 * sigmoid(v)


def bco(won: Seen, lost: Seen, delta: float, *, beta: float):
    u, v = beta * won.ratio - delta, beta * lost.ratio - delta
    return -log_sigmoid(u) - log_sigmoid(-v), -beta * sigmoid(-u), beta * sigmoid(v)


def bco_none(won: Seen, lost: Seen, z0: float, *, beta: float):
    return bco(won, lost, 0.0, beta=beta)


def bco_running(won: Seen, lost: Seen, z0: float, *, beta: float, delta: float):
    return bco(won, lost, delta, beta=beta)


def apo_zero(won: Seen, lost: Seen, z0: float, *, beta: float):
    u, v = sigmoid(beta * won.ratio), sigmoid(beta * lost.ratio)
    return 1 - u + v, -beta * u * (1 - u), beta * v * (1 - v)


def apo_zero_example_mean(won: Seen, lost: Seen, z0: float, *, beta: float, desirable: float = 1, undesirable: float = 1):
    u, v = sigmoid(beta * won.ratio), sigmoid(beta * lost.ratio)
    value = (desirable * (1 - u) + undesirable * v) / 2
    return value, -desirable * beta * u * (1 - u) / 2, undesirable * beta * v * (1 - v) / 2


def apo_down(won: Seen, lost: Seen, z0: float, *, beta: float):
    u, m = sigmoid(beta * won.ratio), sigmoid(beta * (won.ratio - lost.ratio))
    return u + 1 - m, beta * (u * (1 - u) - m * (1 - m)), beta * m * (1 - m)


def bregman(won: Seen, lost: Seen, *, beta: float, h, slope, bend):
    """``h'(R)R - h(R) - h'(1/R)`` with its slope in ``R``, straight from the generator and its two derivatives."""
    ratio = math.exp(-beta * (won.ratio - lost.ratio))
    value = slope(ratio) * ratio - h(ratio) - slope(1 / ratio)
    push = -beta * ratio * (ratio * bend(ratio) + bend(1 / ratio) / ratio**2)
    return value, push, -push


def bpo_logistic(won: Seen, lost: Seen, z0: float, *, beta: float):
    return bregman(
        won, lost, beta=beta,
        h=lambda r: r * math.log(r) - (1 + r) * math.log(1 + r),
        slope=lambda r: math.log(r) - math.log(1 + r),
        bend=lambda r: 1 / r - 1 / (1 + r),
    )  # fmt: skip


def bpo_kliep(won: Seen, lost: Seen, z0: float, *, beta: float):
    return bregman(won, lost, beta=beta, h=lambda r: r * math.log(r) - r, slope=math.log, bend=lambda r: 1 / r)


def bpo_lsif(won: Seen, lost: Seen, z0: float, *, beta: float):
    return bregman(won, lost, beta=beta, h=lambda r: (r - 1) ** 2 / 2, slope=lambda r: r - 1, bend=lambda r: 1.0)


def bpo_basu(won: Seen, lost: Seen, z0: float, *, beta: float, power: float):
    return bregman(
        won, lost, beta=beta,
        h=lambda r: (r ** (1 + power) - r) / power,
        slope=lambda r: ((1 + power) * r**power - 1) / power,
        bend=lambda r: (1 + power) * r ** (power - 1),
    )  # fmt: skip


def squared_log(won: Seen, lost: Seen, z0: float, *, beta: float):
    m = beta * (won.ratio * math.exp(-won.ratio) - lost.ratio * math.exp(-lost.ratio))
    push = beta * sigmoid(-m)
    up, down = ((1 - one.ratio) * math.exp(-one.ratio) for one in (won, lost))
    return -log_sigmoid(m), -push * up, push * down


PAIRS = {
    "bpo[logistic]": bpo_logistic,
    "bpo[kliep]": bpo_kliep,
    "bpo[lsif]": bpo_lsif,
    "bpo[basu]": bpo_basu,
    "squaredpo": squared_log,
    "dpo": dpo,
    "cdpo": cdpo,
    "ipo[sum]": ipo_sum,
    "hinge": hinge,
    "hinge[reference_free]": hinge_reference_free,
    "slic": slic,
    "simpo": simpo,
    "cpo": cpo,
    "orpo": orpo,
    "dpop": dpop,
    "kto": kto,
    "exo_pair": exo_pair,
    "sft": sft,
    "robust": robust,
    "dpo_norm": dpo_norm,
    "r-dpo": r_dpo,
    "odpo[gap]": odpo_gap,
    "exo_pair[clamped]": exo_clamped,
    "discopop": discopop,
    "f-dpo[forward_kl]": forward_kl,
    "f-dpo[js]": jensen_shannon,
    "f-dpo[alpha]": alpha_dpo,
    "chi-po": chi_po,
    "ipo[token_mean]": ipo_token_mean,
    "ipo[reference_free]": ipo_reference_free,
    "ipo[margin]": ipo_margin,
    "rebel": rebel,
    "sppo_hard": sppo_hard,
    "sppo": sppo,
    "simpo[gamma_ratio]": simpo_ratio,
    "alphapo": alphapo,
    "orpo[sum]": orpo_sum,
    "nca_pair": nca_pair,
    "bco[none]": bco_none,
    "bco[batch]": bco,
    "bco[running]": bco_running,
    "apo_zero": apo_zero,
    "apo_down": apo_down,
    "sft[token_mean]": sft_token_mean,
    "cpo[token_mean]": cpo_token_mean,
    "cpo-simpo": cpo_simpo,
    "orpo[prompt]": orpo_prompt,
    "kto[example_mean]": half(kto),
    "apo_zero[example_mean]": apo_zero_example_mean,
    "f-dpo[alpha_authors]": alpha_authors,
}
TOKEN_MEAN = ["sft[token_mean]", "cpo[token_mean]", "cpo-simpo", "orpo[prompt]"]
