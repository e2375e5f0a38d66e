"""B3: do better responses make a stronger first gradient?

Where two responses are drawn from laws with shares ε₁ and ε₂ of good ones, the signal of the first step is exactly
``½[ε₁(1-ε₂) + ε₂(1-ε₁)] g tanh(g/2)`` (S8, S9): improving both sides helps up to ε = ½ and hurts beyond; improving one side
helps exactly when the other side is weak.  The same is measured with rewards of any shape in a log-linear model, where the
quality of the responses is set by best-of-K sampling.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from pydantic import Field

from didsim.figures.settings import NonNegative, Positive, Seed, config
from didsim.figures.verdicts import Verdict, above, below, by_dtype, must_break
from didsim.landscape.signal import first_gradient_signal, two_level_signal
from didsim.numerics import simplex
from didsim.numerics.traces import jit
from didsim.objectives import Dpo, loss, population
from didsim.objectives.comparisons import comparisons_for
from didsim.policies import LogLinear
from didsim.samplers import BestOfBase, BestOfBoth, FromLaw, Independent, Sampler
from didsim.worlds import Problem
from didsim.worlds.preferences import BradleyTerry
from didsim.worlds.problems import on_geodesic
from didsim.worlds.random import normal

SIDES = ("one-sided", "both-sided")
DENSE = 128
REFERENCES = ("weak", "even", "strong")


@config
class Config:
    """Numbers of B3; the configuration is this project's own.

    ``skills`` sets the references: ``log π_ref ∝ skill · r`` plus noise, in the order weak, even, strong.
    """

    FAST: ClassVar[dict] = {"seeds": 8, "grid": 21}

    n: int = Field(60, ge=4, le=1000)
    features: int = Field(8, ge=2, le=200)
    beta: Positive = 0.5
    gap: Positive = 2.0
    grid: int = Field(41, ge=5)
    bases: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7, 0.9)
    best_of: tuple[float, ...] = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
    skills: tuple[float, ...] = (-1.5, 0.0, 1.5)
    noise: NonNegative = 0.3
    seeds: int = Field(32, ge=2)
    seed: Seed = 0

    def __post_init__(self) -> None:
        if len(self.skills) != len(REFERENCES) or list(self.skills) != sorted(self.skills):
            raise ValueError("skills must be three rising numbers")
        if not self.bases or not all(0 <= base <= 1 for base in self.bases):
            raise ValueError("bases must hold shares between 0 and 1")
        if not self.best_of or not all(k >= 1 for k in self.best_of):
            raise ValueError("best_of must hold numbers of at least 1")


def run(settings: Config) -> xr.Dataset:
    """Two levels over a grid of shares; best-of-K in a log-linear model for three references."""
    return xr.merge([_two_levels(settings), _best_of(settings)], combine_attrs="drop_conflicts").assign_attrs(
        gap=settings.gap, n=settings.n
    )


def verdicts(data: xr.Dataset) -> list[Verdict]:
    """What must come out of B3, worst over shares, worlds and references."""
    tight = by_dtype(1e-10, 1e-4)
    return [*_two_level_verdicts(data, tight), *_best_of_verdicts(data, tight)]


def _two_level_verdicts(data: xr.Dataset, tight: float) -> list[Verdict]:
    both, one, base = data["both"], data["one"], data["base"]
    step = float(data["share"][1] - data["share"][0])
    off_half = abs(data["share"][both.argmax("share")] - 0.5) / step
    slopes = one.diff("share") / one.max()
    weak, strong = slopes.sel(base=base[base < 0.5]), slopes.sel(base=base[base > 0.5])
    fall = -both.diff("share").min() / both.max()
    return [
        below("two levels: closed form ÷ autodiff of the loss, |ratio - 1|", _off(data["both_predicted"], both), tight),
        below("one side fixed: closed form ÷ autodiff, |ratio - 1|", _off(data["one_predicted"], one), tight),
        below("both sides: distance of the peak from ½, in grid steps", off_half, 0.5001),
        above("weak other side, ε₀ < ½: least rise per grid step ÷ largest signal", weak, tight),
        below("strong other side, ε₀ > ½: least fall, as a rise", strong, -tight),
        must_break("signal as mean |gap|/2, without tanh: |ratio - 1|", _off(data["both_naive"], both), tight),
        must_break("more good ones always help, both sides: largest fall ÷ largest signal", fall, tight),
        must_break("more good ones always help, one side: its fall against a strong other side", -strong, tight),
    ]


def _best_of_verdicts(data: xr.Dataset, tight: float) -> list[Verdict]:
    found = data["differentiated"] / abs(data["differentiated"]).max()
    one, both = found.sel(side="one-sided"), found.sel(side="both-sided")
    gap = abs(data["formula"] - data["differentiated"]) / abs(data["differentiated"]).max()
    return [
        below("S8's formula against autodiff, log-linear: |Δ| ÷ largest signal", gap, tight),
        above("weak reference: rise of the signal from base to best of the most, one side", _ends(one, "weak"), tight),
        below("strong reference: change of the signal from base to best of the most, both sides", _ends(both, "strong"), -tight),
        must_break("improving both sides is as good: shortfall against one side, weak", -_ends(both - one, "weak"), tight),
    ]


def _ends(signal: xr.DataArray, reference: str) -> xr.DataArray:
    """Change of the signal from the least to the largest K at a reference."""
    one = signal.sel(reference=reference)
    return one.sel(k=one["k"].max()) - one.sel(k=one["k"].min())


def _off(predicted: xr.DataArray, measured: xr.DataArray) -> xr.DataArray:
    return abs(predicted / measured - 1.0)


def _two_levels(settings: Config) -> xr.Dataset:
    """Signal by autodiff of the population loss over a grid of shares, for both sides alike and for one side fixed."""
    shares = np.linspace(0.0, 1.0, settings.grid)[1:-1]
    bases = np.asarray(settings.bases)
    firsts = np.concatenate([shares, np.tile(shares, len(bases))])
    seconds = np.concatenate([shares, np.repeat(bases, len(shares))])
    predicted = np.asarray(two_level_signal(firsts, seconds, settings.gap))
    good = np.arange(settings.n) < max(1, settings.n // 3)
    found = _shares_signal(settings, good, firsts, seconds)
    count, square = len(shares), (len(bases), len(shares))
    return xr.Dataset(
        {
            "both": ("share", found[:count]),
            "both_predicted": ("share", predicted[:count]),
            "both_naive": ("share", shares * (1.0 - shares) * settings.gap),
            "one": (("base", "share"), found[count:].reshape(square)),
            "one_predicted": (("base", "share"), predicted[count:].reshape(square)),
        },
        coords={"share": ("share", shares), "base": ("base", bases)},
    )


def _shares_signal(settings: Config, good: np.ndarray, firsts: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Signal for every pair of shares; all features but the first are noise that the target does not use."""
    features = np.random.default_rng(settings.seed).normal(size=(settings.n, settings.features))
    features[:, 0] = good
    truth = np.zeros(settings.features)
    truth[0] = settings.gap / settings.beta

    def measure(first: jax.Array, second: jax.Array, phi: jax.Array, theta: jax.Array) -> jax.Array:
        world = _world(jnp.zeros(settings.n), phi, theta, settings.beta)
        laws = (jnp.where(good, jnp.log(share / good.sum()), jnp.log((1.0 - share) / (~good).sum())) for share in (first, second))
        return _differentiated(Independent(*map(FromLaw, laws)), world, phi, theta, settings.beta)

    arrays = map(jnp.asarray, (firsts, seconds, features, truth))
    return np.asarray(jit(jax.vmap(measure, in_axes=(0, 0, None, None)))(*arrays))


def _best_of(settings: Config) -> xr.Dataset:
    """Signal against K for one and for both sides improved, by the formula and by autodiff of the loss."""

    def one_world(key: jax.Array, skill: jax.Array, k: jax.Array) -> dict[str, jax.Array]:
        feature_key, truth_key, noise_key = jax.random.split(key, 3)
        phi = normal(feature_key, (settings.n, settings.features))
        theta = normal(truth_key, (settings.features,))
        theta = theta / (settings.beta * jnp.std(phi @ theta))  # rewards of variance one
        reward = settings.beta * phi @ theta
        world = _world(skill * reward + settings.noise * normal(noise_key, (settings.n,)), phi, theta, settings.beta)
        sides: list[Sampler] = [BestOfBase(k=k), BestOfBoth(k=k)]
        formula = [first_gradient_signal(side.pair_law(world, world.log_ref), world.reward)[0] for side in sides]
        slope = [_differentiated(side, world, phi, theta, settings.beta) for side in sides]
        return {"formula": jnp.stack(formula), "differentiated": jnp.stack(slope)}

    keys = jax.vmap(jax.random.key)(np.arange(settings.seed, settings.seed + settings.seeds, dtype=np.uint32))
    inner = jax.vmap(jax.vmap(one_world, (None, None, 0)), (None, 0, None))
    skills, best_of = jnp.asarray(settings.skills, float), jnp.asarray(settings.best_of, float)
    found = jit(lambda each: jax.lax.map(lambda key: inner(key, skills, best_of), each))(keys)
    dims = ("seed", "reference", "k", "side")
    coords = {"reference": list(REFERENCES), "k": list(settings.best_of), "side": list(SIDES)}
    return xr.Dataset({name: (dims, np.asarray(value)) for name, value in found.items()}, coords=coords)


def _world(logits: jax.Array, phi: jax.Array, theta: jax.Array, beta: float) -> Problem:
    """Problem of one prompt whose reward is ``β⟨θ*, φ⟩``."""
    log_ref = simplex.normalize(logits[None])
    return on_geodesic(log_ref, simplex.normalize(log_ref + phi @ theta), beta, 0.0)


def _differentiated(sampler: Sampler, world: Problem, phi: jax.Array, theta: jax.Array, beta: float) -> jax.Array:
    """``⟨-∇L, θ*⟩`` at θ = 0, by reverse-mode differentiation of the population loss."""
    policy, objective = LogLinear(phi), Dpo(beta)
    data = world, sampler, BradleyTerry(), world.log_ref
    few = world.log_ref.shape[-1] <= DENSE  # a dense matrix of pairs compiles faster
    shown = population(*data) if few else comparisons_for(objective, *data)
    gradient = jax.grad(lambda params: loss(objective, world, policy.log_probs(params, world.log_ref), shown))
    return -jnp.vdot(gradient(policy.init(world.log_ref)), theta)
