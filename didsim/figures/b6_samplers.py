"""B6: what do Shi et al.'s (2409.19605) samplers change: the speed, the order of convergence, or the end?

In their published setting every sampler converges linearly at the rate its Laplacian predicts; with a step of its own, Mix-R
and Mix-P square the error every step and Uniform does not (S5).  With sampled pairs and coin-flip labels all end at one and
the same error, which the step and the number of pairs decide, not the sampler (derived).
"""

from typing import ClassVar, final

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float
from pydantic import Field

from didsim import landscape, samplers
from didsim.dynamics import Run, Sgd, record_steps
from didsim.dynamics.run import execute, run_key, run_world
from didsim.figures.settings import Count, Positive, Seed, config
from didsim.figures.verdicts import Verdict, above, below, by_dtype, must_break
from didsim.numerics import linalg, simplex
from didsim.numerics.pytrees import pytree
from didsim.numerics.traces import jit
from didsim.objectives import Dpo
from didsim.samplers import JointLaw, Sampler
from didsim.worlds import Given, Problem, RandomReward
from didsim.worlds.preferences import Bernoulli, BradleyTerry

# Reward, policy and cap that decide μ: see `CappedMix`.
KINDS = {
    "uniform": (0.0, 0.0, 0.0),
    "mix-R": (1.0, 0.0, 0.0),
    "mix-P": (0.0, 1.0, 0.0),
    "mix-P*": (0.0, 1.0, 1.0),
    "mix-R, reward × 2": (2.0, 0.0, 0.0),
}
PUBLISHED = ("uniform", "mix-R", "mix-P", "mix-P*")
LOCAL = 0.01  # errors of the logits, in nats, from which on descent is judged as linear


@config
class Config:
    """Numbers of B6: as in Shi et al.'s published code (N, β, steps, rates, pairs); the number of worlds is this project's.

    ``sampled_seeds`` worlds are trained from drawn pairs as well.
    """

    FAST: ClassVar[dict] = {"seeds": 16, "sampled_seeds": 2, "sampled_steps": 1000, "sampled_rate": 0.2, "pairs": 512}

    n: int = Field(20, ge=3, le=256)
    beta: Positive = 3.0
    reward_scale: Positive = 1.0
    seeds: int = Field(64, ge=4)
    seed: Seed = 0
    steps: int = Field(100, ge=40, le=2000)
    rate: Positive = 10.0
    sampled_seeds: Count = 4
    sampled_steps: int = Field(3000, ge=100)
    sampled_rate: Positive = 0.05
    pairs: Count = 8192


@final
@pytree
class CappedMix(Sampler):
    """``μ_ab ∝ min(1/σ'(s_a - s_b), cap)``, ``s = from_reward · r + from_policy · β log(π_t/π_ref)``: C's samplers in one.

    Uniform is (0, 0), Mix-R (1, 0), Mix-P (0, 1); with ``capped`` 1 the cap is at the largest true gap, which is Mix-P*.
    """

    from_reward: float | Float[Array, "..."]
    from_policy: float | Float[Array, "..."]
    capped: float | Float[Array, "..."]

    @property
    def follows_policy(self):
        return True

    def pair_law(self, problem, log_policy):
        implicit = problem.beta * (jax.lax.stop_gradient(log_policy) - problem.log_ref)
        score = self.from_reward * problem.reward + self.from_policy * implicit
        reach = jnp.max(problem.reward, -1) - jnp.min(problem.reward, -1)
        cap = jnp.where(self.capped > 0, reach, jnp.inf)[:, None, None]
        gap = jnp.minimum(jnp.abs(score[:, :, None] - score[:, None, :]), cap)
        log_joint = gap + 2.0 * jnp.log1p(jnp.exp(-gap))
        return JointLaw(log_joint - jax.nn.logsumexp(log_joint, axis=(1, 2), keepdims=True))


def run(settings: Config) -> xr.Dataset:
    """Exact runs at the published and at each sampler's best step, and sampled runs, over many worlds."""
    base = Run(RandomReward(settings.n, 1, 0.0, 0.0, settings.reward_scale, settings.beta), Dpo(settings.beta))
    seeds = jnp.arange(settings.seed, settings.seed + settings.seeds, dtype=jnp.uint32)
    worlds = jit(jax.vmap(lambda seed: run_world(base, run_key(seed))))(seeds)
    spectra = _spectra(worlds, settings)
    exact = _exact(worlds, spectra, settings)
    sampled = _sampled(worlds, spectra, settings)
    kinds = {"sampler": list(KINDS), "rule": ["published", "best"], "seed": np.asarray(seeds)}
    kept = spectra.drop_vars(["eigenvalue", "eigenvector"])
    return xr.merge([kept, exact, sampled], combine_attrs="override").assign_coords(kinds).assign_attrs(
        rate=settings.rate, beta=settings.beta, n=settings.n, pairs=settings.pairs, sampled_rate=settings.sampled_rate
    )  # fmt: skip


def verdicts(data: xr.Dataset) -> list[Verdict]:
    """What must come out of B6."""
    own, settled = data.sel(rule="best"), data.sel(rule="published", sampler=list(PUBLISHED))
    measured = np.log(settled["measured_rate"].values)

    def off(name: str) -> np.ndarray:
        return np.abs(measured / np.log(settled[name].values) - 1.0)

    doubt = settled["rate_uncertainty"].values / settled["measured_rate"].values / np.abs(measured)
    clear = settled["separated"].values.astype(bool) & (doubt < 0.01)
    local = (settled["predicted_rate"].values < 0.97) & (doubt < 0.05)
    order = own["order"]
    plateau = data["plateau"] / data["plateau_predicted"]
    uniform = data.sel(sampler="uniform")
    return [
        below("one formula is the library's samplers: max |Δμ|", data["law_difference"], by_dtype(1e-13, 1e-6)),
        below("published step: measured ÷ predicted steps per e-fold, slowest mode clear",
              off("predicted_rate")[clear], by_dtype(0.02, 0.1)),
        above("share of runs whose slowest mode is clear", clear.mean(), by_dtype(0.5, 0.2)),
        below("published step, all samplers: measured ÷ (I - ηH)^t's steps per e-fold",
              off("propagated_rate")[local], by_dtype(0.02, 0.1)),
        above("share of the uniform sampler's runs judged so", local[0].mean(), by_dtype(0.5, 0.2)),
        below("uniform: κ ÷ (max σ'/min σ')", uniform["kappa"] / data["kappa_bound"], 1.0),
        below("Mix-R and Mix-P: κ - 1", data["kappa"].sel(sampler=["mix-R", "mix-P", "mix-P*"]) - 1.0, by_dtype(1e-10, 1e-3)),
        below("Mix-R, Mix-P, Mix-P*: |order - 2| at their own step",
              abs(order.sel(sampler=["mix-R", "mix-P", "mix-P*"]) - 2.0), by_dtype(0.15, 0.4)),
        below("uniform: |order - 1| at its best step", abs(order.sel(sampler="uniform") - 1.0), 0.1),
        below("sampled pairs: mean late error ÷ predicted, |ratio - 1|", abs(plateau.mean("trained") - 1.0), 0.15),
        must_break("Mix-R from doubled rewards squares the error: |order - 2|",
                   abs(order.sel(sampler="mix-R, reward × 2") - 2.0), 0.5),
        must_break("the rate of a step 1.2 times longer: median |relative difference|",
                   np.median(off("stretched_rate")[clear]), 0.02),
        must_break("the plateau of twice as many pairs: |ratio - 1|", abs(np.sqrt(2.0) * plateau.mean("trained") - 1.0), 0.15),
    ]  # fmt: skip


def _kinds(names) -> CappedMix:
    return CappedMix(*(jnp.asarray([KINDS[name][k] for name in names]) for k in range(3)))


def _over_batch(function):
    """Function of (world, kind, rate, seed) over samplers × worlds, compiled once."""
    over_worlds = jax.vmap(function, in_axes=(0, None, 0, 0))
    return jit(jax.vmap(over_worlds, in_axes=(None, 0, 0, None)))


def distances(problem: Problem, objective, log_policy, population) -> dict[str, Float[Array, ""]]:
    """Shi et al.'s mean ``|(r - β log π)_a - (r - β log π)_b|``, the loss of value, and the Euclidean error of the logits."""
    del objective, population
    # The world is centred on its optimum, so that rounding is relative to the error and not to the reward.
    error = (log_policy - problem.log_target)[0]
    error = error - error.mean()
    value = problem.beta * simplex.kl(log_policy[0], problem.log_target[0])
    mean = problem.beta * jnp.mean(jnp.abs(error[:, None] - error[None, :]))
    return {"error": mean, "value_gap": value, "logit_error": error}


def _spectra(worlds: Problem, settings: Config) -> xr.Dataset:
    """Eigenvalues at the optimum, what they predict at the published step, and the laws beside the library's."""

    def one(problem: Problem, kind: CappedMix, unused, seed):
        law = kind.pair_law(problem, problem.log_target).matrix()
        hessian = landscape.hessian_at_optimum(law, problem.reward, problem.beta)
        return linalg.eigh(hessian[0])

    unused = jnp.zeros((len(KINDS), settings.seeds))
    values, vectors = (np.asarray(part) for part in _over_batch(one)(worlds, _kinds(KINDS), unused, worlds.beta))
    values, vectors = values[..., 1:], vectors[..., 1:]
    low, high = values[..., 0], values[..., -1]
    rates = {"published": np.full_like(low, settings.rate), "best": 2.0 / (low + high)}
    every = np.stack([np.abs(1.0 - rate[..., None] * values) for rate in rates.values()], axis=1)
    order = np.sort(every, axis=-1)
    slowest = order[..., -1]
    same = order >= slowest[..., None] * (1.0 - 1e-3)
    second = np.max(np.where(same, 0.0, order), axis=-1)
    stretched = np.abs(1.0 - 1.2 * np.stack(list(rates.values()), 1)[..., None] * values[:, None]).max(-1)
    dims, ruled = ("sampler", "seed"), ("sampler", "rule", "seed")
    bound = np.asarray(landscape.slope_ratio_bound(worlds.reward[:, 0]))
    return xr.Dataset(
        {
            "kappa": (dims, high / low),
            "kappa_bound": ("seed", bound),
            "eigenvalue": ((*dims, "mode"), values),
            "eigenvector": ((*dims, "response", "mode"), vectors),
            "learning_rate": (ruled, np.stack(list(rates.values()), 1)),
            "predicted_rate": (ruled, slowest),
            "stretched_rate": (ruled, stretched),
            # Half-way through the run the next mode must have fallen to a hundredth of the slowest.
            "separated": (ruled, ((second / slowest) ** (settings.steps / 2) < 0.01) & (slowest < 0.99)),
            "law_difference": _law_difference(worlds),
        },
        attrs={"beta": settings.beta},
    )


def _law_difference(worlds: Problem) -> float:
    """Largest difference between the laws of `CappedMix` and those of the library's own samplers, at a policy off the optimum."""
    log_policy = jax.nn.log_softmax(0.5 * worlds.log_target + 0.2 * jnp.sin(7.0 * worlds.reward))
    library = (samplers.Uniform(), samplers.MixR(), samplers.MixP(), samplers.MixPStar())

    @jit
    def largest(problem: Problem, policy: Array) -> Array:
        pairs = zip(PUBLISHED, library, strict=True)
        off = [CappedMix(*KINDS[name]).pair_law(problem, policy).matrix() - other.pair_law(problem, policy).matrix()
               for name, other in pairs]  # fmt: skip
        return jnp.max(jnp.abs(jnp.stack(off)))

    return float(largest(jax.tree.map(lambda leaf: leaf[0], worlds), log_policy[0]))


def _exact(worlds: Problem, spectra: xr.Dataset, settings: Config) -> xr.Dataset:
    """Errors of exact gradient descent at every step, with fitted rates and orders."""

    def one(problem: Problem, kind: CappedMix, rate: Array, seed: Array):
        parts = (Given(problem), Dpo(settings.beta), kind, BradleyTerry())
        # So many log-spaced moments are all moments.
        run = Run(*parts, optimiser=Sgd(rate), steps=settings.steps, records=12 * settings.steps, metrics=distances)
        return execute(run, run_key(seed)).metrics

    seeds = jnp.arange(settings.seeds)
    rates = jnp.asarray(spectra["learning_rate"].values)
    trained = _over_batch(one)
    both = [trained(worlds, _kinds(KINDS), rates[:, k], seeds) for k in range(2)]
    values = {name: np.stack([np.asarray(run[name]) for run in both], 1) for name in both[0]}
    errors = values.pop("logit_error")
    size = np.linalg.norm(errors, axis=-1)
    floor = by_dtype(1e-12, 1e-5)
    steps = np.arange(settings.steps + 1)
    predicted = _propagated(errors, size, spectra)
    fit, wanted = (jit(landscape.fit_rate)(steps, jnp.asarray(one), floor) for one in (size, predicted["size"]))
    dims = ("sampler", "rule", "seed")
    points = {"measured_rate": fit.rate, "rate_uncertainty": fit.uncertainty, "propagated_rate": wanted.rate}
    curves = {**values, "size": size, "predicted_error": predicted["error"]}
    return xr.Dataset(
        {name: ((*dims, "step"), value) for name, value in curves.items()}
        | {name: (dims, np.asarray(value)) for name, value in points.items()}
        | {"order": (("sampler", "rule"), _orders(size, floor))},
        coords={"step": steps},
    )


def _propagated(errors: np.ndarray, size: np.ndarray, spectra: xr.Dataset) -> dict[str, np.ndarray]:
    """Errors that ``e_{t+1} = (I - ηH) e_t`` predicts from the first step at which they are below `LOCAL`.

    Before that step they are the measured ones in ``size`` and NaN in ``error``.
    """
    values, vectors = spectra["eigenvalue"].values, spectra["eigenvector"].values
    start = np.argmax(size < LOCAL, axis=-1)
    there = np.take_along_axis(errors, start[..., None, None], -2)[..., 0, :]
    parts = np.einsum("spwa,swam->spwm", there, vectors)
    ahead = np.arange(size.shape[-1]) - start[..., None]
    factor = 1.0 - spectra["learning_rate"].values[..., None] * values[:, None]
    moved = parts[..., None, :] * factor[..., None, :] ** np.maximum(ahead, 0)[..., None]
    logits = np.einsum("spwtm,swam->spwta", moved, vectors)
    gaps = np.abs(logits[..., :, None] - logits[..., None, :]).mean((-2, -1))
    beta = float(spectra.attrs["beta"])
    after = (ahead >= 0) & (np.min(size, -1, keepdims=True) < LOCAL)
    return {"size": np.where(after, np.linalg.norm(logits, axis=-1), size), "error": np.where(after, beta * gaps, np.nan)}


def _orders(size: np.ndarray, floor: float) -> np.ndarray:
    """Slope of ``log e_{t+1}`` on ``log e_t`` over all worlds, from the asymptotic regime down to rounding."""
    found = np.full(size.shape[:2], np.nan)
    for place in np.ndindex(*found.shape):
        before, after = size[place][:, :-1].ravel(), size[place][:, 1:].ravel()
        chosen = (before < by_dtype(0.03, 0.2)) & (after > floor) & (before > floor)
        if chosen.sum() >= 6:
            found[place] = np.polyfit(np.log(before[chosen]), np.log(after[chosen]), 1)[0]
    return found


def _sampled(worlds: Problem, spectra: xr.Dataset, settings: Config) -> xr.Dataset:
    """Errors of descent on freshly drawn pairs with coin-flip labels, and the plateau that theory predicts.

    Near the optimum the gradient of M pairs has covariance ``H/M``, so that with step η every eigendirection of the logits
    ends with variance ``η/(M(2 - ηλ))`` (derived): for small η the same in all directions and for all samplers.
    """
    records, count = 240, min(settings.sampled_seeds, settings.seeds)

    def one(problem: Problem, kind: CappedMix, rate: Array, seed: Array):
        parts = (Given(problem), Dpo(settings.beta), kind, Bernoulli(BradleyTerry()))
        run = Run(
            *parts, optimiser=Sgd(rate), steps=settings.sampled_steps, pairs=settings.pairs, records=records, metrics=distances
        )
        return execute(run, run_key(seed)).metrics["error"]

    some = jax.tree.map(lambda leaf: leaf[:count], worlds)
    rates = jnp.full((len(PUBLISHED), count), settings.sampled_rate)
    errors = np.asarray(_over_batch(one)(some, _kinds(PUBLISHED), rates, jnp.arange(count)))
    moments = record_steps(settings.sampled_steps, records)
    late = moments >= settings.sampled_steps / 2
    predicted = _plateau(spectra, settings)
    dims = ("published", "trained")
    return xr.Dataset(
        {
            "sampled_error": ((*dims, "moment"), errors),
            "plateau": (dims, errors[..., late].mean(-1)),
            "plateau_predicted": predicted,
        },
        coords={"published": list(PUBLISHED), "moment": moments},
    )


def _plateau(spectra: xr.Dataset, settings: Config) -> float:
    """Predicted mean ``β|e_a - e_b|`` of centred normal errors with variance ``η/(2M)`` each, to first order in η."""
    deviation = np.sqrt(settings.sampled_rate / settings.pairs)
    return float(settings.beta * np.sqrt(2.0 / np.pi) * deviation * (1.0 - 1.0 / settings.n))
