"""A2: how far off the power law may preference data be before DPO misses the target?

Three dials lead away from data that encodes the differential information: the angle between ``log(π_w/π_l)`` and
``log(π*/π_ref)``, training at another β than the data's, and chosen and rejected responses that are not drawn
independently.  The last breaks D3 only if the correlation is not symmetric in the pair, and even then leaves DPO's
minimiser alone if it circulates: adding a flow without divergence to the law of (chosen, rejected) changes labels, but
neither the pairs shown nor how often each response wins, and the gradient knows nothing else (derived).  Whatever the angle,
all of DPO's update lies along its own data's ``R = log(π_w/π_l)``: J, the part that does not, is 0 for any data (F2), as the
target, off which it ends, could not tell.
"""

from dataclasses import replace
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float, Int
from pydantic import Field

from didsim import did, landscape
from didsim.dynamics import Run
from didsim.figures.settings import Count, Positive, Seed, config
from didsim.figures.verdicts import Verdict, above, below, by_dtype, must_break
from didsim.landscape.solvers import solve
from didsim.numerics import linalg, simplex
from didsim.numerics.traces import jit
from didsim.objectives import Dpo
from didsim.samplers import Joint
from didsim.sweeps import drawn_worlds
from didsim.worlds import Problem, RandomTarget
from didsim.worlds.preferences import AsShown, BradleyTerry

COUPLINGS = ("symmetric", "circulating", "other")
TURNS = 4


@config
class Config:
    """Numbers of A2; the configuration is this project's own.

    Correlation at full strength multiplies the joint law by ``e^{pull · N(0,1)}``, or circulates nearly all it can;
    ``weak`` is the small strength at which the first-order prediction is checked.
    """

    FAST: ClassVar[dict] = {"seeds": 4, "stops": 7}

    n: int = Field(24, ge=6, le=500)
    beta: Positive = 0.5
    seeds: Count = 12
    seed: Seed = 0
    stops: int = Field(13, ge=3)
    widest_ratio: float = Field(4.0, gt=1)
    pull: Positive = 1.5
    weak: float = Field(0.01, gt=0, lt=0.1)

    def __post_init__(self) -> None:
        if self.stops % 2 == 0:
            raise ValueError("stops must be odd, so that the ratio 1 is among them")


def run(settings: Config) -> xr.Dataset:
    """Solves DPO at every stop of the three dials, on the same worlds, beside the predicted minimisers."""
    worlds, noise, pull, turns = _draw(settings)
    angle = np.linspace(0.0, 0.5 * np.pi, settings.stops)
    ratio = settings.widest_ratio ** np.linspace(-1.0, 1.0, settings.stops)
    strength = np.concatenate([[0.0, settings.weak], np.linspace(0.0, 1.0, settings.stops)[1:]])
    laws = _laws(worlds, noise, settings.pull * pull, turns, *(jnp.asarray(dial) for dial in (angle, ratio, strength)))
    found = _solve(worlds, laws["joint"], settings.beta)
    measured = jax.device_get(_measure(worlds, laws, found))
    dims = {"angle": ("angle", "seed"), "ratio": ("ratio", "seed"), "coupling": ("coupling", "strength", "seed")}
    return xr.Dataset(
        {
            **{name: (dims[name.partition("_")[0]], value) for name, value in measured.items()},
            "misfit": (dims["coupling"], np.asarray(laws["misfit"])),
        },
        coords={"angle": np.degrees(angle), "ratio": ratio, "strength": strength, "coupling": list(COUPLINGS)},
        attrs={"beta": settings.beta, "pull": settings.pull},
    )


def verdicts(data: xr.Dataset) -> list[Verdict]:
    """What must come out of A2, worst over the worlds."""
    zero, near = by_dtype(1e-10, 1e-6), by_dtype(1e-8, 2e-3)
    middle = data.sizes["ratio"] // 2
    kept, other = data.sel(coupling=["symmetric", "circulating"]), data.sel(coupling="other")
    strong = data.isel(strength=-1)
    weak = other.isel(strength=1)
    return [
        below("angle 0: JSD(π*, π_θ)", data["angle_jsd"].isel(angle=0), zero),
        below("every angle: max |log π_θ - log π_ref(π_w/π_l)^{1/β}|", data["angle_error"], near),
        above("JSD grows with the angle: least increase", data["angle_jsd"].diff("angle"), 0.0),
        below("every angle: J, the update off log(π_w/π_l)", data["angle_off_line"], zero),
        below("β_train = β_data: JSD(π*, π_θ)", data["ratio_jsd"].isel(ratio=middle), zero),
        below("every ratio: max |log π_θ - log π_ref(π*/π_ref)^{β_data/β_train}|", data["ratio_error"], near),
        below("symmetric or circulating correlation reaches π*: JSD", kept["coupling_jsd"], zero),
        below(
            "symmetric correlation keeps Bradley-Terry: |P - σ|", data["misfit"].sel(coupling="symmetric"), by_dtype(1e-12, 1e-5)
        ),
        below("weak other correlation: error of the first order ÷ shift", weak["coupling_error"] / weak["coupling_shift"], 0.1),
        must_break("90° off still reaches π*: JSD", data["angle_jsd"].isel(angle=-1), 1e-3),
        must_break("90° off: J along log(π*/π_ref) in place of log(π_w/π_l)", data["angle_off_target"].isel(angle=-1), 1e-3),
        must_break("β_train = 4β_data reaches π*: JSD", data["ratio_jsd"].isel(ratio=-1), 1e-3),
        must_break("circulating correlation keeps Bradley-Terry: |P - σ|", strong["misfit"].sel(coupling="circulating"), 1e-2),
        must_break("other correlation reaches π*: JSD", strong["coupling_jsd"].sel(coupling="other"), 1e-3),
    ]


def _draw(settings: Config) -> tuple[Problem, Array, Array, Array]:
    """Worlds with ``π_w = π_ref`` on the power law, a direction and a matrix of normal noise, and orders of responses."""
    seeds = range(settings.seed, settings.seed + settings.seeds)
    worlds = drawn_worlds(Run(RandomTarget(n=settings.n, beta=settings.beta), Dpo(settings.beta)), seeds)
    random = np.random.default_rng(settings.seed)
    shape = (settings.seeds, settings.n)
    turns = np.stack([[random.permutation(settings.n) for _ in range(TURNS)] for _ in seeds])
    noise, pull = (jnp.asarray(random.standard_normal(size), worlds.log_ref.dtype) for size in (shape, (*shape, settings.n)))
    return worlds, noise, pull, jnp.asarray(turns)


@jit
def _laws(
    worlds: Problem, noise: Array, pull: Array, turns: Array, angle: Array, ratio: Array, strength: Array
) -> dict[str, Array]:
    """Joint laws of (chosen, rejected) at all stops of all dials, and the minimisers that each must have."""
    turned = _turned(worlds, noise, angle)
    scaled = did.path_law(worlds.log_ref, worlds.log_target, -worlds.beta / ratio[:, None])
    coupled = _coupled(worlds, pull, turns, strength)
    products = worlds.log_ref[None, :, :, None] + jnp.concatenate([turned, scaled])[:, :, None, :]
    first_order = _first_order(worlds, coupled[2])
    target = jnp.broadcast_to(worlds.log_target, first_order.shape)
    return {
        "joint": jnp.concatenate([products, coupled.reshape(-1, *coupled.shape[2:])]),
        "misfit": _misfit(worlds, coupled),
        "turned": turned,
        "angle": did.learned_policy(worlds.log_ref, turned, worlds.log_ref, worlds.beta),
        "ratio": did.path_law(worlds.log_ref, worlds.log_target, 1.0 / ratio[:, None]),
        "coupling": jnp.stack([target, target, first_order]),
    }


def _turned(worlds: Problem, noise: Float[Array, "seed n"], angle: Float[Array, " stop"]) -> Float[Array, "stop seed n"]:
    """Rejected laws whose ``log(π_w/π_l)`` is ``β log(π*/π_ref)``, turned by the angle towards a random direction."""
    aim = simplex.clr(worlds.log_target - worlds.log_ref)
    length = jnp.linalg.norm(aim, axis=-1, keepdims=True)
    free = simplex.clr(noise)
    free = free - jnp.sum(free * aim, -1, keepdims=True) * aim / length**2
    side = length * free / jnp.linalg.norm(free, axis=-1, keepdims=True)
    turned = jnp.cos(angle)[:, None, None] * aim + jnp.sin(angle)[:, None, None] * side
    return simplex.tilt(worlds.log_ref, turned, -worlds.beta)


def _coupled(
    worlds: Problem, pull: Float[Array, "seed n n"], turns: Int[Array, "seed turn n"], strength: Float[Array, " stop"]
) -> Float[Array, "coupling stop seed n n"]:
    """Log joint laws of (chosen, rejected): independent draws, correlated in three ways."""
    joint = worlds.log_ref[:, :, None] + worlds.log_rejected[:, None, :]
    even = (pull + jnp.swapaxes(pull, 1, 2)) / jnp.sqrt(2.0)
    share = strength[:, None, None, None]
    bent = [_normalised(joint + share * values) for values in (even, pull)]
    circulating = jnp.log(jnp.exp(joint) + 0.98 * share * _circulation(jnp.exp(joint), turns))
    return jnp.stack([bent[0], circulating, bent[1]])


def _circulation(joint: Float[Array, "seed n n"], turns: Int[Array, "seed turn n"]) -> Float[Array, "seed n n"]:
    """Flow without divergence, at most the joint law in size: cycles through triples, their edge carrying what it can."""
    n = joint.shape[-1]
    triples = turns[..., : n - n % 3].reshape(joint.shape[0], -1, 3)
    a, b, c = (triples[..., k] for k in range(3))
    which = jnp.arange(joint.shape[0])[:, None]
    edges = ((a, b), (b, c), (c, a))
    most = jnp.stack([jnp.minimum(joint[which, i, j], joint[which, j, i]) for i, j in edges]).min(0) / TURNS
    flow = jnp.zeros_like(joint)
    for i, j in edges:
        flow = flow.at[which, i, j].add(most).at[which, j, i].add(-most)
    return flow


def _first_order(worlds: Problem, log_joint: Float[Array, "stop seed n n"]) -> Float[Array, "stop seed n"]:
    """Minimiser to first order in the correlation: one Newton step from the reward of independent draws (derived)."""
    joint = jnp.exp(log_joint)
    data = worlds.log_ref - worlds.log_rejected
    both = joint + jnp.swapaxes(joint, -1, -2)
    surplus = jnp.sum(joint - both * BradleyTerry().matrix(data), -1)
    stiff = landscape.laplacian(landscape.laplacian_weights(joint, jnp.broadcast_to(data, surplus.shape)))
    step = linalg.cholesky_solve(stiff + 1.0 / data.shape[-1], surplus)
    return simplex.tilt(worlds.log_ref, data + step, 1.0 / worlds.beta)


def _misfit(worlds: Problem, log_joint: Float[Array, "coupling stop seed n n"]) -> Float[Array, "coupling stop seed"]:
    """Largest distance of the labels that a joint law implies from Bradley-Terry in ``log(π_w/π_l)`` (D3)."""
    implied = jax.nn.sigmoid(log_joint - jnp.swapaxes(log_joint, -1, -2))
    return jnp.abs(implied - BradleyTerry().matrix(worlds.log_ref - worlds.log_rejected)).max((-2, -1))


def _normalised(log_joint: Array) -> Array:
    return log_joint - jax.nn.logsumexp(log_joint, axis=(-2, -1), keepdims=True)


def _solve(worlds: Problem, log_joint: Float[Array, "stop seed n n"], beta: float) -> Array:
    """Newton's minimiser for every joint law, the worlds repeated as prompts of one problem."""
    stops, seeds, n, _ = log_joint.shape
    found = solve(repeated(worlds, stops), Dpo(beta), Joint(log_joint.reshape(-1, n, n)), AsShown()).log_policy
    return found.reshape(stops, seeds, n)


def repeated(worlds: Problem, times: int) -> Problem:
    """All worlds so many times over, as equally likely prompts of one problem."""
    dtype, prompts = worlds.log_ref.dtype, times * worlds.log_ref.shape[0]

    def again(leaf: Array) -> Array:
        return jnp.asarray(np.concatenate([np.asarray(leaf)] * times), dtype) if leaf.ndim else leaf

    return replace(jax.tree.map(again, worlds), log_prompts=jnp.asarray(np.full(prompts, -np.log(prompts)), dtype))


@jit
def _measure(worlds: Problem, laws: dict[str, Array], found: Float[Array, "stop seed n"]) -> dict[str, Array]:
    """Distances to the target of what was found and of what was predicted, and the largest error of the prediction."""
    measured, start = {}, 0
    for dial in ("angle", "ratio", "coupling"):
        predicted = laws[dial]
        stops = predicted.size // (found.shape[1] * found.shape[2])
        mine = found[start : start + stops].reshape(predicted.shape)
        start += stops
        measured |= {
            f"{dial}_jsd": simplex.jsd(worlds.log_target, mine),
            f"{dial}_predicted": simplex.jsd(worlds.log_target, predicted),
            f"{dial}_error": jnp.abs(mine - predicted).max(-1),
            f"{dial}_shift": jnp.abs(mine - worlds.log_target).max(-1),
        }
    ends = found[: laws["turned"].shape[0]]
    rejected = {"angle_off_line": laws["turned"], "angle_off_target": worlds.log_rejected}
    for name, log_rejected in rejected.items():
        measured[name] = did.power_law_misfit(ends, worlds.log_ref, worlds.log_ref, log_rejected).misfit
    return measured
