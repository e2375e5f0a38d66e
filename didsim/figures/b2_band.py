"""The part of B2 that shows F4: which ratio of pulls spares the chosen response and moves the rejected one down.

A margin loss steps along ``d_w s_w - d_l s_l``, ``s = ∇ log π``.  With ρ the cosine of the scores and ``t = ‖s_l‖/‖s_w‖`` the
chosen response does not fall and the rejected one does not rise iff ``ρt ≤ d_w/d_l ≤ t/ρ``, or ρ ≤ 0 (2604.18239).  In units of
t all cases lie on one map: ``ρ ≤ d_w/(d_l t) ≤ 1/ρ``.

Scores, ρ, t and the ratios are NumPy's: ``d_w/d_l`` is 1 for DPO, ``n_l/n_w`` for SimPO, ``1 + λ [π_w < π_ref]`` for DPOP and
``(1 + u_w)/(1 + u_l)``, ``u = π/π_ref``, for χPO (derived).  A case is clear of the edges where both first-order changes exceed
what the second order can do, an eighth of the squared range of the logits' step, and rounding.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from didsim.landscape import explain
from didsim.numerics.traces import jit
from didsim.objectives import ChiPo, Dpo, Dpop, Objective, SimPo
from didsim.policies import LogLinear
from didsim.samplers import Joint
from didsim.worlds import problem
from didsim.worlds.preferences import AsShown

PENALTY = 3.0  # of DPOP
UNCLIPPED = 1e3  # bound of χPO's rewards, far from any here
LOSSES = ("dpo", "simpo", "dpop", "chi-po")


def band(settings: Any) -> dict:
    """Single pairs of every loss: cosine, t, ratio of pulls, realised changes of chosen and rejected, and which are clear."""
    random = np.random.default_rng(settings.seed + 1)
    cases, n, d = settings.cases // 10, settings.n, settings.dimension
    features = random.standard_normal((cases, n, d))
    alike = random.uniform(size=(cases, 1))
    features[:, 1] = alike * features[:, 0] + np.sqrt(1.0 - alike**2) * features[:, 1]
    log_ref = _normalised(random.standard_normal((cases, n)))
    theta = 0.5 * random.standard_normal((cases, d))
    lengths = np.exp(random.uniform(0.0, 2.0, (cases, n)))
    log_policy = _normalised(log_ref + np.einsum("cnd,cd->cn", features, theta))
    score = features[:, :2] - np.einsum("cn,cnd->cd", np.exp(log_policy), features)[:, None]
    size, cross = np.square(score).sum(-1), np.sum(score[:, 0] * score[:, 1], -1)
    ratios = _ratios(log_policy[:, :2] - log_ref[:, :2], lengths[:, :2])
    given = tuple(jnp.asarray(one) for one in (features, log_ref, theta, lengths))
    stepped = [_stepped(loss, settings.step, *given) for loss in losses(settings.beta).values()]
    # The library's own band against NumPy's, and its pulls against the ratios in closed form.
    low, high = explain.disentanglement_band(*(jnp.asarray(one) for one in (size[:, 0], size[:, 1], cross)))
    tied = cross > 0
    edges = np.stack([low * size[:, 0], size[:, 1] / high])[:, tied] / cross[tied] - 1.0
    pulls = np.stack([-pull[:, 0] / pull[:, 1] for pull, _ in stepped])
    reach = 1.0 + np.abs(log_policy).max(-1)
    clear = [_clear(settings.step, pull, score, size, cross, features, moved.dtype, reach) for pull, moved in stepped]
    moved = np.stack([one for _, one in stepped])
    return {
        "band_cosine": ("band_case", cross / np.sqrt(size.prod(-1))),
        "band_t": ("band_case", np.sqrt(size[:, 1] / size[:, 0])),
        "band_ratio": (("band_loss", "band_case"), ratios),
        "band_chosen": (("band_loss", "band_case"), moved[..., 0]),
        "band_rejected": (("band_loss", "band_case"), moved[..., 1]),
        "band_clear": (("band_loss", "band_case"), np.stack(clear)),
        "band_edge_error": float(np.abs(edges).max(initial=0.0)),
        "band_ratio_error": ("band_loss", np.abs(pulls / ratios - 1.0).max(-1)),
    }


def losses(beta: float) -> dict[str, Objective]:
    """DPO, whose pulls are equal, and three losses whose pulls are not."""
    return dict(zip(LOSSES, (Dpo(beta), SimPo(beta), Dpop(beta, PENALTY), ChiPo(beta, UNCLIPPED)), strict=True))


def spares(cosine: np.ndarray, ratio_over_t: np.ndarray) -> np.ndarray:
    """Whether chosen does not fall and rejected does not rise, as F4 says."""
    return (cosine <= 0) | ((cosine <= ratio_over_t) & (cosine * ratio_over_t <= 1.0))


def _normalised(logits: np.ndarray) -> np.ndarray:
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def _ratios(log_ratio: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    chosen = log_ratio[:, 0]
    rises = 1.0 + np.exp(log_ratio)
    each = np.ones_like(chosen), lengths[:, 1] / lengths[:, 0], 1.0 + PENALTY * (chosen < 0), rises[:, 0] / rises[:, 1]
    return np.stack(each)


def _stepped(loss: Objective, step: float, features, log_ref, theta, lengths) -> tuple[np.ndarray, np.ndarray]:
    """Pulls on chosen and rejected and their realised changes, (case, 2) each."""

    def one(features, log_ref, theta, lengths):
        pair = Joint(jnp.log(jnp.zeros((len(log_ref),) * 2, log_ref.dtype).at[0, 1].set(1.0)))
        world = problem(log_ref, reward=jnp.zeros_like(log_ref), lengths=lengths)
        found = explain.explain(world, loss, pair, AsShown(), LogLinear(features), theta, step)
        return found.pull[0, :2], found.realised[0, :2]

    return jax.device_get(jit(jax.vmap(one))(features, log_ref, theta, lengths))


def _clear(step, pull, score, size, cross, features, dtype, reach) -> np.ndarray:
    pull = np.asarray(pull, float)
    along = np.einsum("cr,crd->cd", pull, score)
    rates = pull * size + pull[:, ::-1] * cross[:, None]
    bound = np.square(step * np.ptp(np.einsum("cnd,cd->cn", features, along), axis=-1)) / 8.0
    return (step * np.abs(rates)).min(-1) > bound + 16.0 * np.finfo(dtype).eps * reach
