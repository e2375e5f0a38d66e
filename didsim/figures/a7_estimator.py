"""A7: how good is an entropy of the differential information estimated from K draws, and is K = 32 enough?

Self-normalised importance sampling is repeated many times in worlds whose entropy is known by enumeration: bias, spread
and coverage of nominal 95 % intervals against K, beside their first-order predictions (D13); the weights' effective share
and tail; whole sequences of growing length against token-level averages; and the comparison that paper A's claim rests
on, the DID entropy of a sharpening update less that of a flattening one.
"""

from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float, Int, Key
from pydantic import Field

from didsim import did
from didsim.did import estimators
from didsim.figures.a6_entropy import KINDS, normalised, skewed_references, standard
from didsim.figures.settings import Count, Positive, Seed, config
from didsim.figures.verdicts import Verdict, above, below, must_break
from didsim.numerics.traces import jit

TAILS = ("mild", "moderate", "heavy")
TOKENS = 4
LEVEL = 0.95
PAPER = 32
Worlds = dict[str, tuple[tuple[str, ...], np.ndarray, np.ndarray]]
Draws = tuple[Array, Array]  # log-weights and log-ratios


@config
class Config:
    """Numbers of A7; the configuration is this project's own, but for the K = 32 that paper A uses.

    ``spreads`` are the standard deviations of the reference's logits in the mild, moderate and heavy worlds; sequences are
    of 4 tokens up to the length that ``n`` allows, each next-token law with logits of spread 1.  π differs from π_ref by
    log-ratios of standard deviation ``strength``; opposite temperatures by ``1 ± temperature``.  Every world has about
    ``draws`` draws for each K, in at least 128 and at most ``most_replicates`` replicates; the first ``bootstrapped`` of
    them are bootstrapped and have their tails fitted.
    """

    FAST: ClassVar[dict] = {"seeds": 2, "samples": (32, 256)}

    n: int = Field(4096, ge=16, le=65536)
    samples: tuple[int, ...] = (8, 32, 128, 512, 4096)
    draws: int = Field(65536, ge=1024)
    most_replicates: int = Field(2000, ge=100)
    bootstrapped: int = Field(150, ge=50)
    resamples: int = Field(400, ge=50)
    seeds: Count = 4
    seed: Seed = 0
    spreads: tuple[float, float, float] = (0.5, 1.0, 2.5)
    strength: Positive = 0.5
    temperature: float = Field(0.25, gt=0, lt=1)
    gamma_shape: Positive = 1.0

    def replicates(self, samples: int) -> int:
        """How often the estimator is repeated at K."""
        return int(np.clip(self.draws // samples, 128, self.most_replicates))

    def __post_init__(self) -> None:
        if PAPER not in self.samples or sorted(self.samples) != list(self.samples) or self.samples[0] < 2:
            raise ValueError(f"samples must be ascending numbers of draws from 2 on with {PAPER} among them")


def run(settings: Config) -> xr.Dataset:
    """Replicates the estimator in every world at every K, and averages token-level entropies over 32 drawn sequences."""
    random = np.random.default_rng(settings.seed)
    tails, temperatures = _tails(random, settings), _temperatures(random, settings)
    sequences, token = _sequences(random, settings)
    # Intervals and the weights' tails are looked at in the first sort only, and are most of the work.
    others, first = {**temperatures, **sequences}, len(TAILS) * settings.seeds
    data = xr.merge([_measured(tails, 0, settings, settings.bootstrapped), _measured(others, first, settings, 0)])
    data = data.assign(token).assign_coords(tail=list(TAILS), kind=list(KINDS), sign=[1, -1])
    limit = [did.pareto_shape_limit(k) for k in settings.samples]
    repeats = [settings.replicates(k) for k in settings.samples]
    return data.assign(shape_limit=("k", limit), replicates=("k", repeats)).assign_attrs(level=LEVEL)


def _measured(worlds: Worlds, first: int, settings: Config, bootstrapped: int) -> xr.Dataset:
    """What replicates say in worlds that are counted from ``first``; of intervals and weights where some are bootstrapped."""
    log_proposal = jnp.asarray(np.concatenate([laws.reshape(-1, settings.n) for _, laws, _ in worlds.values()]))
    ratio = jnp.asarray(np.concatenate([ratios.reshape(-1, settings.n) for _, _, ratios in worlds.values()]))
    theory = _theory(log_proposal, ratio)
    key, which = jax.random.key(settings.seed), jnp.arange(first, first + len(ratio))
    rows = []
    for k in settings.samples:
        found = _replicate(
            jax.random.fold_in(key, k), which, log_proposal, ratio, theory["exact"], samples=k,
            replicates=settings.replicates(k), bootstrapped=bootstrapped, resamples=settings.resamples,
        )  # fmt: skip
        rows.append(jax.device_get(found))
    measured = {name: np.stack([row[name] for row in rows], axis=-1) for name in rows[0]}
    table = {name: (("world", "k"), value) for name, value in measured.items()}
    table |= {name: (("world",), np.asarray(value)) for name, value in theory.items()}
    return _unstack(xr.Dataset(table, coords={"k": list(settings.samples)}), worlds)


def verdicts(data: xr.Dataset) -> list[Verdict]:
    """What must come out of A7, worlds of one sort pooled; each number is less 3.5 Monte-Carlo errors where it has one."""
    mild, heavy = data.sel(tail="mild"), data.sel(tail="heavy")
    spread = (mild["tail_sd"] / np.sqrt(mild["tail_v"] / mild["k"])).mean("seed") - 1.0
    away = (mild["tail_bias"] - mild["tail_b"] / mild["k"]).mean("seed")
    gap, exact = _gap(data).sel(kind="left-skewed"), data["pair_exact"].sel(kind="left-skewed").mean("seed")
    at_paper, settled = data.sel(k=PAPER), data["k"] >= 4 * PAPER
    longest = at_paper.isel(length=-1)
    limit = mild["tail_draws_per_effective"] / mild["tail_second_moment"]
    repeats = data["replicates"] * data.sizes["seed"]
    away = _from(abs(away) - 3.5 * mild["tail_sd"].mean("seed") / np.sqrt(repeats), PAPER)
    uncovered = LEVEL - heavy["tail_jackknife"].sel(k=PAPER).mean("seed")
    return [
        below("mild, K ≥ 32: |coverage of the jackknife - 0.95|", _miss(data, "mild", PAPER), 0.015),
        below("moderate, K ≥ 128: |coverage of the jackknife - 0.95|", _miss(data, "moderate", 4 * PAPER), 0.02),
        below("mild, K ≥ 32: |spread ÷ first order - 1|", _from(abs(spread) - 3.5 / np.sqrt(2 * repeats), PAPER), 0.05),
        below("mild, K ≥ 32: |bias - first order|, nats", away, 2e-3),
        below("mild: |K/ESS ÷ its limit - 1| at the largest K", abs(limit.isel(k=-1).mean("seed") - 1.0), 0.05),
        above("mild, K ≥ 128: samples whose k̂ is trusted, share", mild["tail_trusted"].mean("seed")[settled], 0.9),
        below("heavy, K ≥ 128: samples whose k̂ is trusted, share", heavy["tail_trusted"].mean("seed")[settled], 0.5),
        below("token-level, K = 32: error, nats per token", at_paper["token_error"], 0.05),
        above("left-skewed: H(q₊) - H(q₋) exactly", exact.sel(sign=1) - exact.sel(sign=-1), 1e-3),
        must_break("heavy, K = 32: |coverage of the jackknife - 0.95|", uncovered, 0.1),
        must_break("sequence-level at the longest length, K = 32: error, nats", longest["sequence_error"], 0.2),
        must_break("left-skewed, K = 32: estimated H(q₋) - H(q₊) is negative", -gap.sel(k=PAPER), 0.0),
    ]


def _from(values: xr.DataArray, least: int) -> xr.DataArray:
    return values.sel(k=values["k"] >= least)


def _miss(data: xr.Dataset, tail: str, least: int) -> xr.DataArray:
    """Distance of the jackknife's pooled coverage from nominal, beyond its Monte-Carlo error."""
    error = np.sqrt(LEVEL * (1 - LEVEL) / (data["replicates"] * data.sizes["seed"]))
    return _from(abs(data["tail_jackknife"].sel(tail=tail).mean("seed") - LEVEL) - 3.5 * error, least)


def _gap(data: xr.Dataset) -> xr.DataArray:
    """Mean estimate of the DID entropy of sharpening less that of flattening, averaged over worlds."""
    mean = (data["pair_exact"] + data["pair_bias"]).mean("seed")
    return mean.sel(sign=1) - mean.sel(sign=-1)


def _tails(random: np.random.Generator, settings: Config) -> Worlds:
    """Normal reference logits of three spreads: weights 1/π_ref are log-normal."""
    shape = (len(TAILS), settings.seeds, settings.n)
    log_ref = normalised(np.reshape(settings.spreads, (-1, 1, 1)) * standard(random.normal(size=shape)))
    ratio = settings.strength * standard(random.normal(size=shape))
    return {"tail": (("tail", "seed"), normalised(log_ref + ratio), ratio)}


def _temperatures(random: np.random.Generator, settings: Config) -> Worlds:
    """Sharpening (+1) and flattening (-1) of references of three shapes, each sampled from its own policy."""
    log_ref = skewed_references(random, settings.seeds, settings.n, settings.gamma_shape)[:, None]
    ratio = np.reshape([settings.temperature, -settings.temperature], (1, 2, 1, 1)) * log_ref
    return {"pair": (("kind", "sign", "seed"), normalised(log_ref + ratio), ratio)}


def _sequences(random: np.random.Generator, settings: Config) -> tuple[Worlds, dict]:
    """Sequences of every length under full prefix tables; shorter spaces are padded by responses without mass."""
    lengths = range(1, int(np.log(settings.n) / np.log(TOKENS) + 1e-9) + 1)
    shape = (len(lengths), settings.seeds, settings.n)
    log_p, whole, mean = np.full(shape, -np.inf), np.full(shape, -np.inf), np.full(shape, -np.inf)
    error = np.zeros(shape[:2])
    for at, length in enumerate(lengths):
        for seed in range(settings.seeds):
            here, reference, tokens = _prefix_tables(random, length, settings.strength)
            inside = slice(0, TOKENS**length)
            log_p[at, seed, inside], whole[at, seed, inside] = here, here - reference
            mean[at, seed, inside] = (here - reference) / length
            exact = np.exp(here) @ tokens
            error[at, seed] = np.sqrt(np.exp(here) @ (tokens - exact) ** 2 / PAPER)
    dims = ("length", "seed")
    return {"sequence": (dims, log_p, whole), "normalised": (dims, log_p, mean)}, {
        "token_error": (dims, error),
        "length": ("length", list(lengths)),
    }


def _prefix_tables(random: np.random.Generator, length: int, strength: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log π and log π_ref of all sequences under random next-token laws, and their mean next-token DID entropy.

    Lengths being equal, the token-level estimate is the plain mean of the last over drawn sequences, so that its error is
    known without drawing: its standard deviation over √K.
    """
    log_p, log_ref, tokens = np.zeros(1), np.zeros(1), np.zeros(1)
    for _ in range(length):
        contexts = len(log_p)
        next_ref = normalised(standard(random.normal(size=(contexts, TOKENS))))
        ratio = strength * random.normal(size=(contexts, TOKENS))
        log_q = normalised(ratio)
        log_p = (log_p[:, None] + normalised(next_ref + ratio)).ravel()
        log_ref = (log_ref[:, None] + next_ref).ravel()
        tokens = np.repeat(tokens - (np.exp(log_q) * log_q).sum(-1), TOKENS)
    return log_p, log_ref, tokens / length


@jit
def _theory(log_proposal: Float[Array, "worlds n"], ratio: Float[Array, "worlds n"]) -> dict[str, Float[Array, " worlds"]]:
    """Exact entropy, first-order bias and variance coefficients, and second moment of the weights."""
    log_q = ratio - jax.nn.logsumexp(ratio, axis=-1, keepdims=True)
    bias, variance = estimators.asymptotic_moments(log_q, jnp.zeros_like(log_q), log_proposal)
    mass = jnp.exp(log_q)
    exact = -jnp.sum(jnp.where(mass > 0, mass * log_q, 0.0), axis=-1)
    return {"exact": exact, "b": bias, "v": variance, "second_moment": estimators.weight_second_moment(log_q, log_proposal)}


@partial(jit, static_argnames=("samples", "replicates", "bootstrapped", "resamples"))
def _replicate(
    key: Key[Array, ""],
    which: Int[Array, " worlds"],
    log_proposal: Float[Array, "worlds n"],
    ratio: Float[Array, "worlds n"],
    exact: Float[Array, " worlds"],
    *,
    samples: int,
    replicates: int,
    bootstrapped: int,
    resamples: int,
) -> dict[str, Float[Array, " worlds"]]:
    """Moments of the estimates over replicates, world by world; where some are bootstrapped, intervals and weights too."""

    def one(world):
        number, log_g, s, truth = world
        draw_key, boot_key = jax.random.split(jax.random.fold_in(key, number))
        u = jax.random.uniform(draw_key, (replicates, samples), dtype=jnp.float32).astype(s.dtype)
        cdf = jnp.cumsum(jnp.exp(log_g))
        last = jnp.max(jnp.where(jnp.isfinite(log_g), jnp.arange(log_g.shape[-1]), 0))
        y = jnp.minimum(jnp.searchsorted(cdf, u * cdf[-1], side="right"), last)
        drawn = (s - log_g)[y], s[y]
        few = drawn[0][:bootstrapped], drawn[1][:bootstrapped]
        return _moments(*drawn, truth) | (_intervals(boot_key, drawn, few, truth, resamples) if bootstrapped else {})

    worlds = which, log_proposal, jnp.where(jnp.isfinite(log_proposal), ratio, 0.0), exact
    return jax.lax.map(one, worlds)


def _moments(log_weights: Array, ratio: Array, truth: Array) -> dict[str, Array]:
    value = estimators.self_normalised_entropy(log_weights, ratio)
    bias, _ = estimators.jackknife(log_weights, ratio)
    return {
        "bias": jnp.mean(value - truth),
        "corrected_bias": jnp.mean(value - bias - truth),
        "sd": jnp.std(value),
        "error": jnp.sqrt(jnp.mean((value - truth) ** 2)),
    }


def _intervals(key: Array, drawn: Draws, few: Draws, truth: Array, resamples: int) -> dict[str, Array]:
    """Coverage of the intervals, the effective share of the draws and the tail of their weights."""
    samples = drawn[0].shape[-1]
    value = estimators.self_normalised_entropy(*drawn)
    delta = estimators.delta_interval(value, estimators.delta_error(*drawn), LEVEL)
    jackknife = estimators.jackknife_interval(value, *estimators.jackknife(*drawn), LEVEL, samples)
    bootstrap = estimators.percentile_interval(estimators.bootstrap(key, *few, resamples), LEVEL)
    shape = did.pareto_shape(few[0])
    return {
        "delta": _coverage(delta, truth),
        "jackknife": _coverage(jackknife, truth),
        "bootstrap": _coverage(bootstrap, truth),
        "draws_per_effective": samples / jnp.mean(did.effective_sample_size(drawn[0])),
        "shape": jnp.nanmean(jnp.where(jnp.isinf(shape), jnp.nan, shape)),
        "trusted": jnp.mean(shape <= did.pareto_shape_limit(samples)),
    }


def _coverage(ends: Float[Array, "replicates 2"], truth: Float[Array, ""]) -> Float[Array, ""]:
    return jnp.mean((ends[:, 0] <= truth) & (truth <= ends[:, 1]))


def _unstack(flat: xr.Dataset, worlds: Worlds) -> xr.Dataset:
    """From one row per world to one variable per sort of world, ``sort_name``, with its own dimensions."""
    found, start = {}, 0
    for sort, (dims, log_proposal, _) in worlds.items():
        lead = log_proposal.shape[:-1]
        stop = start + int(np.prod(lead))
        for name, variable in flat.data_vars.items():
            rest = variable.dims[1:]
            found[f"{sort}_{name}"] = ((*dims, *rest), variable.values[start:stop].reshape(*lead, *variable.shape[1:]))
        start = stop
    return xr.Dataset(found, coords={"k": flat["k"]})
