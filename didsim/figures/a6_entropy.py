"""A6: does a low entropy of the differential information go with reinforcement, and what does the chosen likelihood cost?

An update of π_ref along s lowers the policy's entropy iff s correlates with log π_ref (D11).  The entropy of the DID tells
such updates apart only through the third cumulant of log π_ref over responses: where it is right-skewed, few likely
responses and many unlikely ones, low DID entropy goes with reinforcement as paper A finds; where it is left-skewed the
relation is reversed (D12).  Projected-gradient DPO keeps the chosen likelihood above DPO's, and pays with the target (D14).
"""

from functools import partial
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float
from pydantic import Field
from scipy import stats

from didsim import did
from didsim.did.entropy import did_entropy_deficit
from didsim.dynamics import Adam, Plain, ProjectedGradient, Run
from didsim.figures.settings import Count, Positive, Seed, Share, config
from didsim.figures.verdicts import Verdict, above, below, by_dtype, must_break
from didsim.numerics import simplex
from didsim.numerics.traces import jit
from didsim.objectives import Dpo, Objective
from didsim.objectives.parts import Comparisons
from didsim.sweeps import drawn_worlds, sweep
from didsim.worlds import Problem, RandomTarget

KINDS = ("right-skewed", "unskewed", "left-skewed")


@config
class Config:
    """Numbers of A6; the configuration is this project's own.

    ``strength`` is the standard deviation of an update's log-ratio over responses; logits of all references have
    standard deviation 1.  References count for the sign rule if the skewness of log π_ref exceeds ``clear``.
    """

    FAST: ClassVar[dict] = {"steps": 1500, "seeds": 4, "references": 3000}

    n: int = Field(128, ge=8, le=2048)
    seeds: Count = 12
    seed: Seed = 0
    updates: int = Field(200, ge=20)
    strength: Share = 0.5
    gamma_shape: Positive = 1.0
    references: int = Field(6000, ge=100)
    clear: Positive = 0.1
    sign_strength: Share = 0.2
    beta: Positive = 0.2
    trained_n: int = Field(32, ge=4, le=2048)
    trained_scale: Positive = 1.5
    chosen_at: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
    steps: int = Field(2000, ge=100)
    learning_rate: Positive = 0.05


def run(settings: Config) -> xr.Dataset:
    """Updates of references of three shapes, the sign rule on thousands, and DPO beside projected-gradient DPO."""
    random = np.random.default_rng(settings.seed)
    references = skewed_references(random, settings.seeds, settings.n, settings.gamma_shape)
    directions = random_directions(random, references, settings)
    paths = np.linspace(-1.0, 1.0, 41) * settings.strength
    found = _updates(*(jnp.asarray(a) for a in (references, directions, paths)), slope_step=by_dtype(1e-4, 2e-2))
    data = xr.Dataset(
        {name: (("kind", "seed", inner), np.asarray(value)) for inner, part in found.items() for name, value in part.items()}
    )
    many = skewed_at_random(random, settings.references, settings.n)
    gap, leading, skewed = _sign_rule(jnp.asarray(many), settings.sign_strength)
    rule = {"sign_gap": gap, "sign_leading": leading, "skewness": skewed}
    data = data.assign({name: ("reference", np.asarray(value)) for name, value in rule.items()})
    data = data.assign(rank_correlation=(("kind", "seed"), _rank_correlation(data))).assign_coords(kind=list(KINDS))
    attrs = {name: getattr(settings, name) for name in ("n", "clear", "strength", "sign_strength", "beta")}
    return xr.merge([data.drop_vars("seed", errors="ignore"), _projection(settings)]).assign_attrs(attrs)


def skewed_references(random: np.random.Generator, seeds: int, n: int, gamma_shape: float) -> Float[np.ndarray, "3 seeds n"]:
    """Log-laws with logits of standard deviation 1: gamma, mirrored normal without any odd moment, negative gamma."""
    gamma = random.gamma(gamma_shape, size=(2, seeds, n))
    half = random.normal(size=(seeds, n // 2))
    mirrored = np.concatenate([half, -half, np.zeros((seeds, n % 2))], axis=-1)
    return normalised(standard(np.stack([gamma[0], mirrored, -gamma[1]])))


def skewed_at_random(random: np.random.Generator, count: int, n: int) -> Float[np.ndarray, "count n"]:
    """Log-laws whose skewness runs from strongly left to strongly right: signed gamma logits of random shape."""
    shape = np.exp(random.uniform(np.log(0.5), np.log(50.0), (count, 1)))
    sign = random.choice([-1.0, 1.0], (count, 1))
    return normalised(standard(sign * random.gamma(shape, size=(count, n))))


def random_directions(
    random: np.random.Generator, references: np.ndarray, settings: Config
) -> Float[np.ndarray, "3 seeds updates n"]:
    """Log-ratios of the given strength: log π_ref and noise, mixed in every proportion from along to against."""
    shape = (*references.shape[:2], settings.updates)
    along = random.uniform(-1.0, 1.0, (*shape, 1))
    noise = standard(random.normal(size=(*shape, references.shape[-1])))
    mixed = along * standard(references)[:, :, None] + np.sqrt(1.0 - along**2) * noise
    return settings.strength * standard(mixed)


def standard(values: np.ndarray) -> np.ndarray:
    """Mean 0 and standard deviation 1 over responses."""
    centred = values - values.mean(-1, keepdims=True)
    return centred / centred.std(-1, keepdims=True)


def normalised(logits: np.ndarray) -> np.ndarray:
    """Log-law in NumPy, drawn the same in either precision."""
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def verdicts(data: xr.Dataset) -> list[Verdict]:
    """What must come out of A6, worst over references and worlds."""
    seen = 3.5 / np.sqrt(data.sizes["update"])  # a rank correlation of as many unrelated points stays below
    right, even, left = (data.sel(kind=kind) for kind in KINDS)
    clear = abs(data["skewness"]) > data.attrs["clear"]
    agree = np.sign(data["sign_gap"]) == -np.sign(data["skewness"])
    steep = abs(data["slope"]) > by_dtype(1e-4, 5e-2)
    plain, projected = data.sel(rule="DPO"), data.sel(rule="projected-gradient DPO")
    gain = projected["chosen_change"] - plain["chosen_change"]
    earlier = zero_crossing(plain["chosen_change"]) - zero_crossing(projected["chosen_change"])
    at_reference = data["chosen_change"] + data["kl_from_ref"]
    return [
        below("D11: |dH/dt + Cov(s, log π_ref)|", abs(data["measured_slope"] - data["slope"]), by_dtype(1e-6, 5e-3)),
        above("D11: updates that the covariance sorts right, share", _share(data, steep), 1.0),
        above("D12: references with |skewness| clear of zero", clear.sum(), 2000.0 if data.sizes["reference"] >= 3000 else 1.0),
        above("D12: sign rule right, share of them", agree.values[clear.values].mean(), 0.99),
        above("right-skewed: rank correlation of H(DID) and entropy change", right["rank_correlation"], seen),
        below("left-skewed: rank correlation of H(DID) and entropy change", left["rank_correlation"], -seen),
        below("unskewed: |rank correlation of H(DID) and entropy change|", abs(even["rank_correlation"]), seen),
        below(
            "bookkeeping, by symmetry: unskewed, |H(q₊) - H(q₋)| of opposite temperatures",
            abs(_opposite(even)),
            by_dtype(1e-12, 1e-5),
        ),
        below("DPO reaches π*: JSD", plain["jsd_target"], by_dtype(1e-10, 1e-7)),
        above("projected gradient: chosen likelihood above DPO's by at least", gain, 1e-5),
        above("projected gradient raises the chosen where DPO lowers it: width of that range of a", earlier, 1e-4),
        below(
            "bookkeeping, an identity: chosen from π_ref, any rule: chosen change + KL(π_ref‖π)",
            abs(at_reference.isel(chosen_at=0)),
            by_dtype(1e-10, 1e-5),
        ),
        must_break("left-skewed: sharpening has the lower DID entropy: H(q₊) - H(q₋)", _opposite(left), 1e-3),
        must_break(
            "covariance under the uniform law sorts updates: share wrong", 1.0 - _share(data, steep, "uniform_slope"), 0.01
        ),
        must_break("projected gradient reaches π*: JSD", projected["jsd_target"], by_dtype(1e-8, 1e-6)),
    ]


def zero_crossing(change: xr.DataArray) -> np.ndarray:
    """Place ``a`` on the path where a change that rises with ``a`` turns positive, by linear interpolation, per world."""
    rows = change.transpose("seed", "chosen_at").values
    return np.array([np.interp(0.0, row, change["chosen_at"].values) for row in rows])


def _share(data: xr.Dataset, steep: xr.DataArray, name: str = "slope") -> float:
    right = np.sign(data["measured_slope"]) == np.sign(data[name])
    return float(right.values[steep.values].mean())


def _opposite(kind: xr.Dataset) -> xr.DataArray:
    """DID entropy at the sharpest temperature less that at the flattest."""
    return kind["path_did"].isel(place=-1) - kind["path_did"].isel(place=0)


def _rank_correlation(data: xr.Dataset) -> np.ndarray:
    """Spearman's correlation between DID entropy and entropy change over the random updates of every reference."""
    low, moved = (stats.rankdata(data[name].values, axis=-1) for name in ("did_entropy", "entropy_change"))
    return np.mean(standard(low) * standard(moved), axis=-1)


@partial(jit, static_argnames=("slope_step",))
def _updates(
    log_ref: Float[Array, "kinds seeds n"],
    direction: Float[Array, "kinds seeds updates n"],
    amounts: Float[Array, " places"],
    *,
    slope_step: float,
) -> dict[str, dict[str, Array]]:
    """Entropy changes and DID entropies (less log N) of random updates and along the temperature path."""
    base, start = log_ref[:, :, None], simplex.entropy(log_ref)[..., None]
    scale = jnp.std(log_ref, axis=-1, keepdims=True)
    path = simplex.clr(log_ref)[:, :, None] * (amounts[:, None] / scale[:, :, None])
    ahead, back = (simplex.entropy(simplex.tilt(base, direction, sign * slope_step)) for sign in (1.0, -1.0))
    flat = jnp.zeros_like(base) + simplex.uniform(log_ref.shape[-1], log_ref.dtype)
    law = jnp.broadcast_to(base, direction.shape)
    cross = jnp.mean(simplex.clr(direction) * simplex.clr(law), axis=-1)
    n = jnp.log(float(log_ref.shape[-1]))
    random = {
        "entropy_change": simplex.entropy(simplex.tilt(base, direction, 1.0)) - start,
        "did_entropy": -did_entropy_deficit(direction + flat, jnp.broadcast_to(flat, direction.shape)),
        "slope": did.entropy_slope(law, direction),
        "uniform_slope": -cross,
        "measured_slope": (ahead - back) / (2.0 * slope_step),
    }
    temperature = {
        "path_change": simplex.entropy(simplex.tilt(base, path, 1.0)) - start,
        "path_did": -did_entropy_deficit(path + flat, jnp.broadcast_to(flat, path.shape)),
        "path_third": did.third_order_did_entropy(path, 1.0) - n,
    }
    return {"update": random, "place": temperature}


@jit
def _sign_rule(log_refs: Float[Array, "references n"], strength: Float[Array, ""] | float) -> tuple[Array, Array, Array]:
    """Gap between opposite temperatures and its leading term in units of strength³, and the skewness of log π_ref."""
    amount = strength / jnp.std(log_refs, axis=-1)
    gaps = did.temperature_gap(log_refs, amount), did.temperature_gap_third_order(log_refs, amount)
    return gaps[0] / strength**3, gaps[1] / strength**3, did.skewness(log_refs)


def _watch(problem: Problem, objective: Objective, log_policy: Float[Array, "prompts n"], comparisons: Comparisons) -> dict:
    """What the picture shows, and no more: each metric is compiled into every program."""
    del objective, comparisons
    return {
        "chosen_change": simplex.expectation(problem.log_chosen, log_policy - problem.log_ref)[0],
        "jsd_target": simplex.jsd(problem.log_target, log_policy)[0],
        "kl_from_ref": simplex.kl(problem.log_ref, log_policy)[0],
        "entropy": simplex.entropy(log_policy)[0],
    }


def _projection(settings: Config) -> xr.Dataset:
    """Where DPO and projected-gradient DPO end when chosen responses come from further and further towards π*."""
    seeds = range(settings.seed, settings.seed + settings.seeds)
    world = RandomTarget(settings.trained_n, 1, settings.trained_scale, settings.trained_scale, settings.beta)
    base = Run(
        world,
        Dpo(settings.beta),
        optimiser=Adam(settings.learning_rate, decay="cosine"),
        steps=settings.steps,
        records=2,
        metrics=_watch,
    )
    rules = {"DPO": Plain(), "projected-gradient DPO": ProjectedGradient()}
    data = sweep(base, {"rule": rules, "world.chosen_at": list(settings.chosen_at)}, seeds=seeds)
    worlds = drawn_worlds(base, seeds)
    at = jnp.asarray(settings.chosen_at)[:, None]
    predicted = jit(did.path_slope)(worlds.log_ref, worlds.log_target, at)
    kept = (
        data[["chosen_change", "jsd_target", "kl_from_ref", "entropy"]]
        .isel(record=-1, drop=True)
        .drop_vars("step", errors="ignore")
    )
    kept = kept.assign(predicted_change=(("chosen_at", "seed"), np.asarray(predicted)))
    return kept.assign(entropy_moved=data["entropy"].isel(record=-1) - data["entropy"].isel(record=0)).drop_vars("entropy")
