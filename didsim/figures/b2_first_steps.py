"""B2: where does one gradient step lead, and through which responses?

On three responses the step is an arrow on the simplex, decided by the sampler as much as by the objective.  For a single
pair the step of every response splits into its own pull, its partner's and the normaliser's (L4): in a table the chosen
response always rises; with shared features it falls exactly where ``⟨φ_w - E_πφ, φ_w - φ_l⟩ < 0``, and a third response
takes the mass.  A band for the ratio of a loss's two pulls says whether chosen falls or rejected rises (F4); and flipping a label
adds one vector to the gradient of a log-linear policy, wherever it stands (F15).
"""

from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float
from pydantic import Field

from didsim import did
from didsim.figures import b2_flip
from didsim.figures.b2_band import LOSSES, band, spares
from didsim.figures.settings import Positive, Seed, Share, config
from didsim.figures.verdicts import Verdict, above, below, by_dtype, must_break
from didsim.landscape import explain
from didsim.numerics import simplex
from didsim.numerics.traces import jit
from didsim.objectives import Dpo, IpoSum, Objective, SimPo
from didsim.policies import LogLinear, Policy, Table
from didsim.samplers import Joint
from didsim.worlds import Problem, problem
from didsim.worlds.preferences import AsShown, BradleyTerry

SAMPLERS = ("uniform", "reference", "on-policy")
PARTS = ("own", "partner", "cross", "normaliser")


@config
class Config:
    """Numbers of B2; the configuration is this project's own.  ``cases`` single pairs over ``n`` responses are stepped."""

    FAST: ClassVar[dict] = {"cases": 11_000}

    cases: int = Field(20_000, ge=100)
    n: int = Field(5, ge=3, le=50)
    dimension: int = Field(3, ge=1, le=50)
    beta: Positive = 0.5
    step: Share = 1e-3
    grid: int = Field(9, ge=4, le=40)
    seed: Seed = 0


def run(settings: Config) -> xr.Dataset:
    """Arrows of one step on the simplex, single pairs explained, the band of pulls' ratios, and flipped labels."""
    coords = {"band_loss": list(LOSSES), "flip_policy": list(b2_flip.POLICIES), "flip_moved": list(b2_flip.MOVED)}
    further = xr.Dataset({**band(settings), **b2_flip.flips(settings)}, coords=coords)
    return xr.merge([_arrows(settings), _pairs(settings), further]).assign_attrs(beta=settings.beta, step=settings.step)


def verdicts(data: xr.Dataset) -> list[Verdict]:
    """What must come out of B2, worst over cases."""
    tight = by_dtype(1e-11, 1e-3)
    clear = data["clear"].astype(bool)
    up = data["realised"] > 0
    table = data.sel(policy="table")
    wrong = clear & (up != (data["rate"] > 0))
    naive = clear & (up != (data["naive"] > 0))
    cosine, t, ratio = (data[f"band_{name}"].values for name in ("cosine", "t", "ratio"))
    sure = data["band_clear"].values.astype(bool)
    kept = (data["band_chosen"].values >= 0) & (data["band_rejected"].values <= 0)
    flip = data["flip_error"]
    return [
        above("table, one pair: smallest rate of the chosen response", table["rate"], 0.0),
        below("table, one pair: clear cases in which chosen falls", (clear & ~up).sel(policy="table").sum(), 0.0),
        below("shared features: clear cases whose realised sign is not the predicted one", wrong.sum(), 0.0),
        above("clear cases: share", clear.mean(), by_dtype(0.8, 0.4)),
        below("first-order error ÷ its proven bound", data["error_share"], 1.0),
        below("four parts sum to the derivative: relative error", data["sum_error"], tight),
        below("L4's closed form: relative error", data["closed_error"], tight),
        below("arrows are L4 with one-hot features: |difference|", data["arrow_error"], tight),
        below("first gradient is ½E[m* tanh(m*/2)] (S8): |difference|", data["signal_error"], tight),
        below("band of pulls: clear cases whose outcome is another", (sure & (kept != spares(cosine, ratio / t))).sum(), 0.0),
        above("band of pulls: clear cases: share", sure.mean(), by_dtype(0.8, 0.4)),
        below("band's edges and pulls' ratios in closed form: relative error", _band_error(data), by_dtype(1e-9, 1e-2)),
        below("flipped label, log-linear: change of the vector", flip.sel(flip_policy="log-linear"), by_dtype(1e-10, 1e-3)),
        must_break("band with ρ's sign turned: share it misses", (sure & (kept != spares(-cosine, ratio / t))).mean(1), 0.1),
        must_break("band with t upside down: share it misses", (sure & (kept != spares(cosine, ratio * t))).mean(1)[1:], 0.02),
        must_break("flipped label, transformer: change of the vector", _furthest(flip.sel(flip_policy="transformer")), 0.1),
        must_break("shared features: chosen never falls: share that does", (~up).sel(policy="shared features").mean(), 0.02),
        must_break("sign of ⟨φ_w, φ_w - φ_l⟩ decides: share it misses", naive.sel(policy="shared features").mean(), 0.01),
        must_break("all samplers step the same way: largest angle", data["sampler_angle"].max(), 0.1),
    ]


def _band_error(data: xr.Dataset) -> float:
    return float(np.maximum(data["band_edge_error"], data["band_ratio_error"].max()))


def _furthest(error: xr.DataArray) -> xr.DataArray:
    return error.sel(flip_moved=max(b2_flip.MOVED)).median("flip_draw")


# Arrows


def objectives(settings: Config) -> dict[str, Objective]:
    """The objectives whose arrows are drawn."""
    return {"dpo": Dpo(settings.beta), "ipo[sum]": IpoSum(settings.beta), "simpo γ=0": SimPo(settings.beta, 0.0)}


def _arrows(settings: Config) -> xr.Dataset:
    """One step's change of probabilities at points of the simplex, for every objective and sampler."""
    dtype = jnp.zeros(()).dtype
    world = problem(
        jnp.log(jnp.asarray([0.25, 0.5, 0.25], dtype)), reward=jnp.asarray([0.0, 0.6, 1.2], dtype), beta=settings.beta
    )
    inner = [(i, j, settings.grid - i - j) for i in range(1, settings.grid) for j in range(1, settings.grid - i)]
    points = jnp.asarray(np.concatenate([np.log(np.asarray(inner) / settings.grid), np.asarray(world.log_ref)]))
    pairs = _pair_laws(world, points)
    fields = {name: _field(objective, world, points, pairs) for name, objective in objectives(settings).items()}
    at_ref = np.asarray(fields["dpo"][1])[:, -1]
    aligned = np.sum(at_ref * np.asarray(world.reward) / settings.beta, -1) - np.asarray(_signal(world, pairs))
    rates = {name: np.asarray(rate) for name, (rate, _) in fields.items()}
    closed = np.asarray(_one_hot(settings.beta, world, points, pairs))
    change = np.exp(np.asarray(points)) * np.stack(list(rates.values()))
    return xr.Dataset(
        {
            "arrow": (("objective", "sampler", "point", "corner"), change),
            "arrow_error": float(np.abs(rates["dpo"] - closed).max()),
            "signal_error": ("sampler", np.abs(aligned)),
            "sampler_angle": ("point", _angle(change[0, 0], change[0, 2])),
            "point_law": (("point", "corner"), np.exp(np.asarray(points))),
            "ref_law": ("corner", np.exp(np.asarray(world.log_ref[0]))),
            "target_law": ("corner", np.exp(np.asarray(world.log_target[0]))),
            "did_law": ("corner", np.exp(np.asarray(jit(did.log_did)(world.log_target, world.log_ref)[0]))),
        },
        coords={"objective": list(rates), "sampler": list(SAMPLERS)},
    )


@jit
def _three_responses(beta: Float[Array, ""]) -> Problem:
    """A small world whose reference likes the middle response best."""
    return problem(jnp.log(jnp.asarray([0.25, 0.5, 0.25])), reward=jnp.asarray([0.0, 0.6, 1.2]), beta=beta)


@jit
def _pair_laws(world: Problem, points: Float[Array, "point 3"]) -> Float[Array, "3 point 3 3"]:
    """Log pair laws of uniform, reference and on-policy sampling at every point."""
    each = [jnp.broadcast_to(law, points.shape) for law in (simplex.uniform(3, points.dtype), world.log_ref[0], points)]
    return jnp.stack([law[:, :, None] + law[:, None, :] for law in each])


def _field(objective: Objective, world: Problem, points: Array, pairs: Array) -> tuple[Array, Array]:
    """Rates of log-probabilities and pulls at every sampler and point, one program an objective."""

    def one(point, log_pairs):
        found = explain.explain(world, objective, Joint(log_pairs), BradleyTerry(), Table(), point[None])
        return found.rate[0], found.pull[0]

    return jit(jax.vmap(jax.vmap(one), (None, 0)))(points, pairs)


@jit
def _one_hot(beta, world: Problem, points: Float[Array, "point 3"], pairs: Float[Array, "sampler point 3 3"]) -> Array:
    """L4 for a table: ``w_ab = β μ_ab (P_ab - σ(m_ab))`` with one-hot features."""
    margin = BradleyTerry().matrix(beta * (points - world.log_ref))
    weights = beta * jnp.exp(pairs) * (BradleyTerry().matrix(world.reward) - margin)
    return explain.log_linear_rates(jnp.eye(3, dtype=points.dtype), points, weights)


@jit
def _signal(world: Problem, pairs: Float[Array, "sampler point 3 3"]) -> Float[Array, " sampler"]:
    """S8 at the reference, which is the last point."""
    gap = world.reward[0][:, None] - world.reward[0][None, :]
    return 0.5 * jnp.sum(jnp.exp(pairs[:, -1]) * gap * jnp.tanh(0.5 * gap), (-2, -1))


def _angle(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    cosine = np.sum(u * v, -1) / (np.linalg.norm(u, axis=-1) * np.linalg.norm(v, axis=-1))
    return np.arccos(np.clip(cosine, -1.0, 1.0))


# Single pairs


def _pairs(settings: Config) -> xr.Dataset:
    """Random single pairs: rate, parts and realised change of the chosen, the rejected and the best third response."""
    random = np.random.default_rng(settings.seed)
    size = np.geomspace(0.1, 3.0, settings.cases)[:, None, None]
    features = jnp.asarray(size * random.standard_normal((settings.cases, settings.n, settings.dimension)))
    log_ref = jit(simplex.normalize)(jnp.asarray(random.standard_normal((settings.cases, 1, settings.n))))
    theta = jnp.asarray(random.standard_normal((settings.cases, settings.dimension)))
    log_policy = jit(jax.vmap(lambda f, t, r: LogLinear(f).log_probs(t, r)))(features, theta, log_ref)
    found = {
        "shared features": _explained(settings, LogLinear, features, theta, log_ref),
        "table": _explained(settings, lambda _: Table(), features, log_policy, log_ref),
    }
    kept = xr.concat([_roles(one, settings.step) for one in found.values()], "policy").assign_coords(policy=list(found))
    eye = jnp.asarray(np.broadcast_to(np.eye(settings.n, dtype=features.dtype), (settings.cases, settings.n, settings.n)))
    each = (features, found["shared features"]), (eye, found["table"])
    closed = [_closed(settings, phi, jnp.asarray(np.asarray(log_policy)[:, 0]), one) for phi, one in each]
    sizes = abs(kept["split"]).max(("role", "part")) / abs(kept["rate"]).max("role")
    plain = closed[0]["clear"] & (sizes.sel(policy="shared features").values < 2.5)
    example = np.where(plain, closed[0]["taken"], -np.inf).argmax()
    joined = {name: (("policy", "case"), np.stack([one[name] for one in closed])) for name in closed[0]}
    # Of all cases only the chosen response is shown; the other roles and the parts are those of the example.
    shown = kept.isel(case=int(example))[["split", "rate", "realised"]]
    return (
        kept.drop_vars("split")
        .sel(role="chosen", drop=True)
        .assign({name: joined[name] for name in ("closed_error", "error_share", "clear", "naive")})
        .assign({f"example_{name}": shown[name] for name in shown})
    )


def _explained(settings: Config, policy: Callable[[Any], Policy], features, params, log_ref) -> dict[str, np.ndarray]:
    """Every single pair (0 chosen, 1 rejected) in one call; ``total`` is the derivative without the split."""

    def one(features, params, log_ref):
        pair = Joint(jnp.log(jnp.zeros((settings.n, settings.n), log_ref.dtype).at[0, 1].set(1.0)))
        world = problem(log_ref, reward=jnp.zeros_like(log_ref))
        arguments = world, Dpo(settings.beta), pair, AsShown(), policy(features), params
        found = explain.explain(*arguments, settings.step)
        shown = {name: getattr(found, name)[0] for name in (*PARTS, "pull", "rate", "realised")}
        return {**shown, "total": explain.likelihood_rates(*arguments)[0]}

    return jax.device_get(jit(jax.vmap(one))(features, params, log_ref))


def _roles(found: dict[str, np.ndarray], step: float) -> xr.Dataset:
    """Chosen, rejected and the third response that gains most, per unit of the pair's pull."""
    pull, rate = found["pull"][:, 0], found["rate"]
    third = 2 + rate[:, 2:].argmax(1)

    def roles(values: np.ndarray) -> np.ndarray:
        return np.stack([values[:, 0], values[:, 1], values[np.arange(len(values)), third]], 1) / pull[:, None]

    parts = np.stack([roles(found[name]) for name in PARTS], -1)
    largest = np.abs(np.stack([found[name] for name in PARTS])).max((0, 2))
    return xr.Dataset(
        {
            "split": (("case", "role", "part"), parts),
            "rate": (("case", "role"), roles(rate)),
            "realised": (("case", "role"), roles(found["realised"]) / step),
            "sum_error": ("case", np.abs(rate - found["total"]).max(1) / largest),
        },
        coords={"role": ["chosen", "rejected", "best third"], "part": list(PARTS)},
    )


@jit
def _closed_rates(features: Array, log_policy: Array) -> tuple[Array, Array, Array]:
    """Rates by L4, range of the logits' change, and the inner product without the normaliser; per unit pull."""
    rates = explain.single_pair_rates(features, log_policy, 0, 1)
    logits = jnp.einsum("cnd,cd->cn", features, features[:, 0] - features[:, 1])
    return rates, jnp.ptp(logits, axis=-1), logits[:, 0]


def _closed(settings: Config, features: Array, log_policy: Array, found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """L4's closed form beside the explanation, and which cases the second order cannot turn.

    Along a step the second derivative of ``log π`` is minus a variance of logits, at most a quarter of their squared range.
    ``taken`` is how clearly the chosen response falls while a third one rises.
    """
    rates, extent, naive = jax.device_get(_closed_rates(features, log_policy))
    pull, rate, moved = found["pull"], found["rate"], found["realised"]
    rounding = 16.0 * np.finfo(rate.dtype).eps * (1.0 + np.abs(np.asarray(log_policy)).max(-1))
    bound = np.square(settings.step * pull[:, 0] * extent) / 8.0 + rounding
    largest = np.abs(rates).max(-1)
    return {
        "closed_error": np.abs(rate / pull[:, :1] - rates).max(-1) / largest,
        "error_share": np.abs(moved[:, 0] - settings.step * rate[:, 0]) / bound,
        "clear": np.abs(settings.step * rate[:, 0]) > bound,
        "naive": naive,
        "taken": np.minimum(-rates[:, 0], rates[:, 2:].max(-1)) / largest,
    }
