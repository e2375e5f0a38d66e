"""C1: does a larger β keep the policy nearer to the reference, or drive it away faster?  Both, at different times.

Plain gradient descent on pairs that do not follow the policy moves the margins ``u = β log(π/π_ref)`` of a free table by
``u ← u + ηβ² F(u)``, with F the same for every β and every reference (derived from the population loss of section 2).  So
training has one clock, ``ηβ²t``, and one curve ``U``; the policy at step t is ``π_ref e^{U(ηβ²t)/β}``.  Early
``KL(π‖π_ref) ≈ ½(ηβt)² Var F(0)`` grows with β; at the end ``π_ref e^{r/β}`` is nearer to the reference the larger β is.  With
η ∝ 1/β² all margins coincide at every step and the order of the end holds from the first step on.  One pair with a hard
label has no end, and its whole path in closed form (F11).
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float
from pydantic import Field

from didsim.dynamics import Run, Sgd
from didsim.figures.c1_one_pair import LABELS, one_pair
from didsim.figures.settings import Count, NonNegative, Positive, Seed, Share, config
from didsim.figures.verdicts import Verdict, above, below, by_dtype, must_break
from didsim.numerics import simplex
from didsim.numerics.traces import jit
from didsim.objectives import Dpo
from didsim.samplers import Uniform
from didsim.sweeps import drawn_worlds, sweep
from didsim.worlds import RandomReward
from didsim.worlds.preferences import BradleyTerry

RULES = {"fixed": 0, "∝ 1/β": 1, "∝ 1/β²": 2}
FINE = 1.01


@config
class Config:
    """Numbers of C1; the configuration is this project's own.

    ``share`` is the largest step in units of the one that could overshoot, taken at the largest β; there all three
    learning-rate rules agree.
    """

    FAST: ClassVar[dict] = {"betas": (0.2, 0.5, 1.0, 2.0, 5.0), "steps": 16_000, "seeds": 3, "records": 50}

    n: int = Field(12, ge=3, le=200)
    betas: tuple[Positive, ...] = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
    reward_scale: Positive = 0.3
    reference_scale: NonNegative = 1.0
    share: Share = 0.2
    steps: int = Field(250_000, ge=100)
    records: int = Field(80, ge=20)
    seeds: Count = 8
    seed: Seed = 0

    def __post_init__(self) -> None:
        if len(self.betas) < 2 or list(self.betas) != sorted(set(self.betas)):
            raise ValueError("betas must be at least two, increasing")


def watch(problem, objective, log_policy, comparisons) -> dict:
    """Distance from the reference, and the margins ``β log(π/π_ref)`` up to a constant."""
    del comparisons
    return {
        "kl_ref": simplex.kl(log_policy, problem.log_ref)[0],
        "margin": objective.beta * simplex.clr(log_policy - problem.log_ref)[0],
    }


def run(settings: Config) -> xr.Dataset:
    """Trains every β under three learning-rate rules, and predicts all of it from one curve."""
    seeds = range(settings.seed, settings.seed + settings.seeds)
    base = Run(
        RandomReward(settings.n, 1, settings.reference_scale, 0.0, settings.reward_scale),
        Dpo(1.0),
        Uniform(),
        BradleyTerry(),
        optimiser=Sgd(1.0),
        steps=settings.steps,
        records=settings.records,
        metrics=watch,
    )
    rates = learning_rates(settings)
    # Named, since the largest β has one rate under all rules.
    pairs = {f"{rule}, {beta}": (beta, rates[rule][place]) for rule in RULES for place, beta in enumerate(settings.betas)}
    data = sweep(base, {("objective.beta", "optimiser.learning_rate"): pairs}, seeds=seeds)
    rename = {dim: "response" for dim in data["margin"].dims if dim not in data["kl_ref"].dims}
    shape = (len(RULES), len(settings.betas), len(seeds))
    kl = data["kl_ref"].values.reshape(*shape, -1)
    margin = data["margin"].rename(rename).values.reshape(*shape, kl.shape[-1], settings.n)
    steps = data["step"].values
    worlds = drawn_worlds(base, seeds)
    return xr.Dataset(
        {
            "kl_ref": (("rule", "beta", "seed", "record"), kl, {"units": "nats"}),
            "margin_gap": (("rule", "seed", "record"), np.ptp(margin, axis=1).max(-1), {"units": "nats"}),
            **_predictions(settings, rates, worlds, steps),
            **one_pair(settings),
        },
        coords={
            "rule": list(RULES),
            "label": list(LABELS),
            "beta": list(settings.betas),
            "seed": list(seeds),
            "step": ("record", steps),
        },
        attrs={**data.attrs, "n": settings.n},
    ).pipe(_with_crossings)


def learning_rates(settings: Config) -> dict[str, np.ndarray]:
    """Learning rate of every β under every rule, all alike at the largest β.

    The loss's Hessian in the logits is at most ``β²/(2n)`` for uniform pairs (S4), so ``share`` 1 cannot overshoot.
    """
    betas = np.asarray(settings.betas)
    largest = settings.share * 2.0 * settings.n / betas[-1] ** 2
    return {rule: largest * (betas[-1] / betas) ** power for rule, power in RULES.items()}


def pull(margin: Float[Array, "*batch n"], reward: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
    """``F(u)_y = (2/n²) Σ_b [σ(r_y - r_b) - σ(u_y - u_b)]``: what uniform pairs move margins by, per unit of ``ηβ²``."""
    n = reward.shape[-1]

    def won(values: Array) -> Array:
        return jax.nn.sigmoid(values[..., :, None] - values[..., None, :]).sum(-1)

    return 2.0 / n**2 * (won(reward) - won(margin))


@jit
def one_curve(reward: Float[Array, "seeds n"], clock: Float[Array, " times"]) -> Float[Array, "times seeds n"]:
    """``U`` at the given increasing clock times, from ``dU/dτ = F(U)``, ``U(0) = 0``, by Runge and Kutta's method."""

    def step(margin, ends):
        start, stop = ends
        h = stop - start
        one = pull(margin, reward)
        two = pull(margin + 0.5 * h * one, reward)
        three = pull(margin + 0.5 * h * two, reward)
        four = pull(margin + h * three, reward)
        after = margin + h / 6.0 * (one + 2.0 * two + 2.0 * three + four)
        return after, after

    begins = jnp.concatenate([jnp.zeros(1, clock.dtype), clock[:-1]])
    return jax.lax.scan(step, jnp.zeros_like(reward), (begins, clock))[1]


def _predictions(settings: Config, rates: dict[str, np.ndarray], worlds, steps: np.ndarray) -> dict:
    """Early law, the whole path from the one curve, and the end, for every β at the fixed rate."""
    betas, rate = np.asarray(settings.betas), rates["fixed"]
    spread = rate * betas**2
    start, last = 1e-2 * spread[0], min(spread[-1] * steps[-1], 1e3 * settings.n)
    clock = start * FINE ** np.arange(int(np.log(last / start) / np.log(FINE)) + 2)
    # Runge and Kutta's method is stable for steps up to about 2.7 units of 2n, the inverse of F's largest slope.
    clock = np.cumsum(np.minimum(np.diff(clock, prepend=0.0), 2.0 * settings.n))
    curve = np.asarray(one_curve(worlds.reward, jnp.asarray(clock, worlds.reward.dtype)))
    log_ref = np.asarray(worlds.log_ref)
    path = np.stack([_along(curve, clock, log_ref, beta, one * beta**2 * steps) for beta, one in zip(betas, rate, strict=True)])
    first = np.asarray(pull(jnp.zeros_like(worlds.reward), worlds.reward))
    mass = np.exp(log_ref)
    variance = (mass * first**2).sum(-1) - (mass * first).sum(-1) ** 2
    early = 0.5 * (rate * betas)[:, None] ** 2 * variance
    ends = np.stack([simplex.kl(simplex.tilt(worlds.log_ref, worlds.reward, 1.0 / beta), worlds.log_ref) for beta in betas])
    return {
        "kl_path": (("beta", "seed", "record"), path, {"units": "nats"}),
        "kl_first": (("beta", "seed"), early, {"units": "nats"}),
        "kl_end": (("beta", "seed"), ends, {"units": "nats"}),
        "rate": (("rule", "beta"), np.stack(list(rates.values()))),
    }


def _along(curve: np.ndarray, clock: np.ndarray, log_ref: np.ndarray, beta: float, times: np.ndarray) -> np.ndarray:
    """``KL(π_ref e^{U(τ)/β} ‖ π_ref)`` at clock times, shape (seeds, times); the curve is straight between grid points."""
    place = np.clip(np.searchsorted(clock, times), 1, len(clock) - 1)
    left = np.clip((times - clock[place - 1]) / (clock[place] - clock[place - 1]), 0.0, 1.0)[:, None, None]
    margin = (1.0 - left) * curve[place - 1] + left * curve[place]
    margin = np.where((times <= clock[0])[:, None, None], curve[0] * (times / clock[0])[:, None, None], margin)
    policy = simplex.tilt(jnp.asarray(log_ref), jnp.asarray(margin, log_ref.dtype), 1.0 / beta)
    return np.asarray(simplex.kl(policy, jnp.asarray(log_ref))).T


def _with_crossings(data: xr.Dataset) -> xr.Dataset:
    """When each β is overtaken by the next smaller one at the fixed rate, trained and predicted, and how often they cross."""
    steps = data["step"].values
    trained, path = data["kl_ref"].sel(rule="fixed").values, data["kl_path"].values
    found = {}
    for name, kl in (("crossing", trained), ("crossing_predicted", path)):
        with np.errstate(divide="ignore", invalid="ignore"):
            lead = np.log(kl[1:]) - np.log(kl[:-1])
        found[name] = (("pair", "seed"), _zero(lead[..., 1:], steps[1:]))
        if name == "crossing":
            found["crossings"] = (("pair", "seed"), (np.diff(lead[..., 1:] > 0, axis=-1)).sum(-1))
    middle = np.sqrt(data["beta"].values[1:] * data["beta"].values[:-1])
    return data.assign(found).assign_coords(pair=middle)


def _zero(lead: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Step at which a lead falls through zero first, by straight lines in the logarithm of the step; NaN if never."""
    last = np.argmax(lead <= 0, axis=-1)
    before = np.maximum(last - 1, 0)
    up, down = (np.take_along_axis(lead, at[..., None], -1)[..., 0] for at in (before, last))
    with np.errstate(divide="ignore", invalid="ignore"):
        part = up / (up - down)
        log_step = np.log(steps[before]) + part * (np.log(steps[last]) - np.log(steps[before]))
    return np.where(last > 0, np.exp(log_step), np.nan)


def verdicts(data: xr.Dataset) -> list[Verdict]:
    """What must come out of C1, worst over the worlds."""
    fixed, slow, clocked = (data["kl_ref"].sel(rule=rule).transpose("beta", "seed", "record").values for rule in RULES)
    gap = data["margin_gap"]
    rounding = by_dtype(1e-10, 1e-3)
    lead = (fixed[1:, :, 1:] / fixed[:-1, :, 1:]).max(-1)
    at_end = abs(fixed[..., -1] / data["kl_end"] - 1.0)
    apart = abs(slow[..., 1] / slow[-1:, :, 1] - 1)
    off = abs(data["pair_margin"] - data["pair_predicted"]) / data["pair_bound"]
    moved = (data["pair_margin"].sel(label="hard") / data["beta"]).transpose("beta", "record").values
    return [
        below("first step: KL ÷ ½(ηβ)² Var F(0): |ratio - 1|", abs(fixed[..., 1] / data["kl_first"].values - 1.0), 0.05),
        above("fixed rate, first step: KL of next larger β ÷ of β", fixed[1:, :, 1] / fixed[:-1, :, 1], 1.0),
        above("fixed rate, at the end: KL of β ÷ of next larger β", fixed[:-1, :, -1] / fixed[1:, :, -1], 1.0),
        below("fixed rate, at the end: KL ÷ that of π_ref e^{r/β}: |ratio - 1|", at_end, 0.05),
        below("neighbours cross once: |crossings - 1|", abs(data["crossings"] - 1), 0.0),
        below("crossing step ÷ predicted: |ratio - 1|", abs(data["crossing"] / data["crossing_predicted"] - 1.0), 0.03),
        below("rate ∝ 1/β²: margins of all β coincide: max gap", gap.sel(rule="∝ 1/β²"), rounding),
        above("rate ∝ 1/β²: KL of β ÷ of next larger β, at every step", clocked[:-1, :, 1:] / clocked[1:, :, 1:], 1.0),
        below("rate ∝ 1/β: first steps coincide: KL ÷ largest β's: |ratio - 1|", apart, rounding),
        below("hard pair: |z - log ω(1 + 2τ)| ÷ a step of the clock", off.sel(label="hard"), 1.0),
        above("hard pair: log-ratio of next larger β ÷ of β, first step", moved[1:, 1] / moved[:-1, 1], 1.0),
        above("hard pair: log-ratio of β ÷ of next larger β, last step", moved[:-1, -1] / moved[1:, -1], 1.0),
        must_break("soft pair: |z - log ω(1 + 2τ)| ÷ a step of the clock", off.sel(label="soft").max("record"), 1.0),
        must_break("fixed rate: margins coincide: max gap", gap.sel(rule="fixed").max("record"), 1e-2),
        must_break("rate ∝ 1/β: margins coincide: max gap", gap.sel(rule="∝ 1/β").max("record"), 1e-2),
        must_break("fixed rate: β stays ahead of next larger β: largest KL ratio against it", lead, 1.0 + 1e-2),
    ]
