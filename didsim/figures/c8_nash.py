"""C8: which rounds reach the Nash policy of preferences without a best response?  Those that solve the game, then move.

The game ``P(b≻a) = P(c≻b) = .9``, ``P(a≻c) = .8`` has the Nash policy (4, 3, 4)/11.  Iterated DPO and IPO and SPPO circle
it; INPO, whose reference stays, stops at the Nash policy of another game; optimistic weights, mirror-prox and COMAL, which
solves the game with ``τ KL`` to the reference and then moves the reference, converge, COMAL for every τ > 0 (2410.23223,
2512.24818; F16).  Near the end COMAL's distance falls by ``1/(1 + ω²/τ²)`` a round, ``±iω`` the game's frequencies there
(derived).
"""

from typing import ClassVar

import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array
from pydantic import Field

from didsim.dynamics import exploitability, play
from didsim.figures.settings import Positive, config
from didsim.figures.verdicts import Verdict, above, below, by_dtype, must_break
from didsim.numerics import simplex

GAME = ((0.5, 0.1, 0.8), (0.9, 0.5, 0.1), (0.2, 0.9, 0.5))
NASH = np.array([4.0, 3.0, 4.0]) / 11.0
ALGORITHMS = ("iterated DPO", "iterated IPO", "SPPO", "INPO", "optimistic weights", "mirror-prox", "COMAL")
CONVERGE = ALGORITHMS[4:]
CIRCLE = ALGORITHMS[:3]


@config
class Config:
    """Numbers of C8; the game is F16's, steps and weights are this project's own.

    ``eta`` is the step of every algorithm, iterated IPO's 1/τ and a quarter of iterated DPO's 4/β; ``taus`` are COMAL's.
    """

    FAST: ClassVar[dict] = {}  # quick as it is

    start: tuple[Positive, Positive, Positive] = (0.6, 0.2, 0.2)
    eta: Positive = 1.0
    tau: Positive = 0.5
    taus: tuple[Positive, ...] = (0.25, 0.5, 1.0)
    rounds: int = Field(3000, ge=100, le=100_000)
    inner: int = Field(300, ge=10)

    def __post_init__(self) -> None:
        if self.tau not in self.taus:
            raise ValueError("taus must hold tau")


def run(settings: Config) -> xr.Dataset:
    """Policies of every round by algorithm; COMAL's by τ; and the inner steps of one of its rounds."""
    game = jnp.asarray(GAME)
    start = simplex.normalize(jnp.log(jnp.asarray(settings.start)))
    paths = {
        "iterated DPO": play(game, start, "dpo", rounds=settings.rounds, eta=settings.eta),
        "iterated IPO": play(game, start, "ipo", rounds=settings.rounds, eta=settings.eta),
        "SPPO": play(game, start, "sppo", rounds=settings.rounds, eta=settings.eta),
        "INPO": play(game, start, "inpo", rounds=settings.rounds, eta=settings.eta, tau=settings.tau),
        "optimistic weights": play(game, start, "omwu", rounds=settings.rounds, eta=settings.eta),
        "mirror-prox": play(game, start, "mirror-prox", rounds=settings.rounds, eta=settings.eta),
    }
    comal = np.stack([_path(_comal(settings, game, start, tau)) for tau in settings.taus])
    policies = np.stack([*(_path(path) for path in paths.values()), comal[settings.taus.index(settings.tau)]])
    inner = _path(play(game, start, "inpo", rounds=settings.inner, eta=0.5 * settings.eta, tau=settings.tau))
    solution = inner[-1]
    return xr.Dataset(
        {
            "policy": (("algorithm", "round", "response"), np.exp(policies)),
            "exploitability": (("algorithm", "round"), np.asarray(exploitability(jnp.asarray(policies), game), float)),
            "kl": (("algorithm", "round"), _kl(np.log(NASH), policies)),
            "kl_comal": (("tau", "round"), _kl(np.log(NASH), comal)),
            "moved_comal": (("tau", "later"), _kl(comal[:, 1:], comal[:, :-1])),
            "rate": ("tau", _predicted_rates(np.array(settings.taus))),
            "kl_inner": ("step", _kl(solution, inner)),
            "nash_loss": ((), float(exploitability(jnp.log(jnp.asarray(NASH)), game))),
        },
        coords={"algorithm": list(ALGORITHMS), "tau": list(settings.taus)},
        attrs={"inner_rate": 1.0 - 0.25 * settings.eta * settings.tau, "tau": settings.tau, "eta": settings.eta},
    )


def _path(log_policies: Array) -> np.ndarray:
    return np.asarray(log_policies, np.float64)


def _comal(settings: Config, game: Array, start: Array, tau: float) -> Array:
    """Steps of half the stable length, as many as solve every round's game to rounding."""
    return play(game, start, rounds=settings.rounds, eta=min(settings.eta, 0.5 / tau), tau=tau, inner=settings.inner)


def _kl(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """``Σ p log(p/q) - p + q``: so written, small distances keep their digits."""
    gap = two - one
    return (np.exp(one) * (np.expm1(gap) - gap)).sum(-1)


def _predicted_rates(taus: np.ndarray) -> np.ndarray:
    """Factor of KL(π*‖π_t) a round of COMAL near the Nash policy, from the frequencies of the linearised game."""
    spread = np.diag(NASH) - np.outer(NASH, NASH)
    frequency = np.abs(np.linalg.eigvals((np.array(GAME) - 0.5) @ spread).imag).max()
    return 1.0 / (1.0 + (frequency / taus) ** 2)


def verdicts(data: xr.Dataset) -> list[Verdict]:
    """What must come out of C8."""
    digits, last = by_dtype(1e-8, 1e-3), data["policy"].isel(round=-1)
    late = data.sel(round=slice(data.sizes["round"] // 2, None))
    comal, moved, tiny = data["kl_comal"].values, data["moved_comal"].values, by_dtype(1e-16, 1e-6)
    fall = comal[:, :-1] - comal[:, 1:]
    measured = [_rate(one, tiny) for one in comal]
    inner = data["kl_inner"].values
    seen = inner[:-1] > 1e3 * tiny
    bias = abs(data["policy"].sel(algorithm="INPO").isel(round=-1) - NASH).max()
    still = abs(np.diff(late["policy"].sel(algorithm="INPO").values, axis=0)).max()
    return [
        below("(4, 3, 4)/11 cannot be exploited: exploitability", data["nash_loss"], by_dtype(1e-12, 1e-6)),
        *(
            below(f"{name} ends at (4, 3, 4)/11: max |Δπ|", abs(last.sel(algorithm=name) - NASH).max(), digits)
            for name in CONVERGE
        ),
        above("COMAL: KL(π*‖π_t) falls every round, every τ: least fall", fall, -tiny),
        below("COMAL: |fall - KL(π_t+1‖π_t)|", abs(fall - moved), by_dtype(1e-10, 1e-5)),
        below("COMAL: rate of KL near the end ÷ predicted: |ratio - 1|, every τ",
              abs(np.array(measured) / data["rate"].values - 1.0), by_dtype(0.01, 0.1)),
        below("inner steps: KL ratio ÷ (1 - ητ/2)", inner[1:][seen] / inner[:-1][seen] / data.attrs["inner_rate"], 1.0),
        below("INPO comes to rest: last moves, max |Δπ|", still, digits),
        must_break("INPO ends at the Nash policy: max |Δπ|", bias, 1e-2),
        *(must_break(f"{name} comes near Nash: least exploitability, later half",
                     late["exploitability"].sel(algorithm=name).min(), 1e-2) for name in CIRCLE),
    ]  # fmt: skip


def _rate(kl: np.ndarray, tiny: float) -> float:
    """Mean factor a round over the rounds in which the distance is small but not yet rounding."""
    near = np.flatnonzero((kl < 1e8 * tiny) & (kl > 1e3 * tiny))
    return float((kl[near[-1]] / kl[near[0]]) ** (1.0 / (near[-1] - near[0])))
