"""B7: what do RLHF, DPO and online DPO lose when the reward class, the policy class or both are too small?

Worlds have a reward that is linear in four features.  A class "too small" sees two of them.  Where reward and policy class
hold the truth all routes agree; a small policy class favours RLHF, a small reward class favours DPO, classes that are
small in the same way make the two equal, and in different ways leave them without an order (Shi et al.'s (2505.19770) dichotomy).
Wherever DPO misses the target the sampler decides which policy it finds (S6); the same happens to labels that are not
Bradley-Terry.
"""

from dataclasses import replace
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float
from pydantic import Field

from didsim.figures.settings import Positive, Seed, config
from didsim.figures.verdicts import Verdict, above, below, by_dtype, must_break
from didsim.landscape.linear import best_in_class, direct, linear_model, online
from didsim.landscape.linear.model import LinearModel
from didsim.landscape.linear.routes import reward_of, value_expansion, value_weights
from didsim.landscape.solvers import Status
from didsim.numerics import simplex
from didsim.numerics.traces import jit
from didsim.policies import LogLinear
from didsim.samplers import OnPolicy, Product, ReferencePairs, Uniform
from didsim.worlds import LinearReward, Problem
from didsim.worlds.linear import draw_features
from didsim.worlds.preferences import BradleyTerry, Flipped
from didsim.worlds.random import normal

ALL, ONE, TWO = (1.0, 1.0, 1.0, 1.0), (1.0, 1.0, 0.0, 0.0), (1.0, 0.0, 1.0, 0.0)
# Features that the reward class and the policy class see, and the rate of flipped labels.
CELLS = {
    "both hold": (ALL, ALL, 0.0),
    "policy too small": (ALL, ONE, 0.0),
    "reward too small": (ONE, ALL, 0.0),
    "both, alike": (ONE, ONE, 0.0),
    "both, unlike": (TWO, ONE, 0.0),
    "labels not BT": (ALL, ALL, 0.2),
}
SAMPLERS = ("uniform", "reference", "rewrites")
EXACT = ("both hold", "reward too small")  # cells in which DPO reaches the target


@config
class Config:
    """Numbers of B7; the configuration is this project's own.  ``worlds`` draw reward and reference, features are fixed."""

    FAST: ClassVar[dict] = {"worlds": 32}

    n: int = Field(8, ge=4, le=200)
    prompts: int = Field(3, ge=1, le=100)
    beta: Positive = 1.0
    seed: Seed = 0
    worlds: int = Field(128, ge=16)
    starts: int = Field(3, ge=2, le=20)
    rewriting: Positive = 1.0


def run(settings: Config) -> xr.Dataset:
    """Value gaps and policies of every route in every cell, world by world."""
    key = jax.random.key(settings.seed)
    features = draw_features(jax.random.fold_in(key, 0), settings.prompts, settings.n, len(ALL))
    keys = jax.random.split(jax.random.fold_in(key, 1), settings.worlds)
    masks = [jnp.asarray(column, features.dtype) for column in zip(*CELLS.values(), strict=True)]
    over_worlds = jax.vmap(lambda key, *cell: _world(settings, features, key, *cell), in_axes=(0, None, None, None))
    found = jit(jax.vmap(over_worlds, in_axes=(None, 0, 0, 0)))(keys, *masks)
    dims = ("cell", "world")
    inner = {1: ("sampler",), 3: ("sampler", "prompt", "response")}
    return xr.Dataset(
        {name: ((*dims, *inner.get(array.ndim - 2, ())), np.asarray(array)) for name, array in found.items()},
        coords={"cell": list(CELLS), "sampler": list(SAMPLERS)},
        attrs={"beta": settings.beta},
    )


def verdicts(data: xr.Dataset) -> list[Verdict]:
    """What must come out of B7, worst over the worlds where it is a theorem, on average where a control must fail."""
    exact, close, order = by_dtype(1e-12, 1e-5), by_dtype(1e-8, 1e-3), by_dtype(-1e-9, -1e-4)
    dpo, rlhf, best = data["dpo"], data["rlhf"], data["best"]
    policy, reward, unlike = (data.sel(cell=name) for name in ("policy too small", "reward too small", "both, unlike"))
    rlhf_wins = float((unlike["rlhf"] < unlike["dpo"]).mean())
    move, move_rlhf = _moved(data["log_dpo"]), _moved(data["log_rlhf"])
    reached = [dpo.sel(cell="both hold"), rlhf.sel(cell="both hold"), data["online"].sel(cell="both hold"), reward["dpo"]]
    lowest = [float((route - best).min()) for route in (dpo, rlhf, data["online"])]
    alike = abs(data["log_dpo"] - data["log_rlhf"]).sel(cell="both, alike")
    ended = (data["online_status"] != Status.CONVERGED).mean("world")
    short = (policy["dpo"] - policy["best"]).mean("world")
    moved = move.sel(cell=[name for name in CELLS if name not in EXACT]).mean("world")
    return [
        below("classes that hold the truth reach π*: value gap", [float(one.max()) for one in reached], exact),
        below("small policy class: RLHF is the best in its class: |gap - best gap|", abs(policy["rlhf"] - policy["best"]), close),
        above("small policy class: DPO's gap - RLHF's", policy["dpo"] - policy["rlhf"], order),
        above("small reward class: RLHF's gap - DPO's", reward["rlhf"] - reward["dpo"], order),
        below("classes small alike: RLHF and DPO are one policy: max |Δ log π|", alike, by_dtype(1e-6, 1e-2)),
        above("no route beats the best in its class: gap - best gap", lowest, order),
        above("classes small unlike: share of worlds in which the rarer winner wins", min(rlhf_wins, 1.0 - rlhf_wins), 0.02),
        below("DPO reaches one policy from every sampler where π* is in its class", move.sel(cell=list(EXACT)), close),
        below(
            "RLHF reaches one policy from every sampler where r is in its class", move_rlhf.sel(cell="policy too small"), close
        ),
        below("online DPO comes to rest: share of worlds where it does not", ended, 0.05),
        below("value weights make DPO's gradient the value's: relative gap", data["gradient_gap"], by_dtype(1e-9, 1e-3)),
        must_break("small policy class: DPO is the best in its class: mean gap", short, 1e-3),
        must_break("small reward class: RLHF reaches π*: mean gap", reward["rlhf"].mean("world"), 1e-3),
        must_break("classes small unlike: one policy: mean |Δ log π|", abs(unlike["log_dpo"] - unlike["log_rlhf"]).mean(), 1e-3),
        must_break("the sampler does not move DPO (S6): mean max |Δ log π|", moved, 1e-3),
        must_break("the sampler does not move RLHF in a small reward class", move_rlhf.sel(cell="reward too small").mean(), 1e-3),
        must_break("plain on-policy pairs climb the value: mean relative gap", data["gradient_gap_plain"].mean(), 1e-3),
    ]


def _moved(log_policy: xr.DataArray) -> xr.DataArray:
    """Largest difference of log-probabilities between two samplers."""
    spread = log_policy.max("sampler") - log_policy.min("sampler")
    return spread.max(("prompt", "response"))


def _world(settings: Config, features: Float[Array, "x n d"], key: Array, sees_reward: Array, sees_policy: Array, flip: Array):
    """All routes on one world in one cell."""
    problem = LinearReward(features, settings.beta).draw(key)
    policy, labels = LogLinear(features * sees_policy), Flipped(BradleyTerry(), flip)
    noise = normal(jax.random.fold_in(key, 2), (settings.starts + 1, features.shape[-1])) * sees_policy
    starts = noise[1:].at[0].set(0.0)
    models = jax.vmap(lambda shown: _shown(problem, policy, labels, settings, shown))(_pair_laws(settings, problem))

    def law(theta: Array) -> Array:
        return policy.log_probs(theta, problem.log_ref)

    def lost(log_policy: Array) -> Array:
        return problem.beta * jnp.sum(jnp.exp(problem.log_prompts) * simplex.kl(log_policy, problem.log_target))

    def at_policy(theta: Array) -> LinearModel:
        return linear_model(problem, policy, OnPolicy(), labels, settings.beta, law(theta))

    fits = jax.vmap(lambda model: _both_fits(model, features * sees_reward))(models)
    dpo = jax.vmap(law)(fits[:, 0])
    # Second stage of RLHF for every fitted reward, and for the true one: the best in the class.
    rewards = jnp.concatenate([jax.vmap(reward_of, (None, 0))(features * sees_reward, fits[:, 1]), problem.reward[None]])
    ends = jax.vmap(lambda reward: best_in_class(replace(problem, reward=reward), policy, starts))(rewards)
    rlhf = jax.vmap(law)(ends.theta[:-1])
    resting = online(at_policy, jnp.zeros_like(sees_policy))
    weighted, plain = _gradient_gaps(problem, policy, noise[0], at_policy)
    return {
        "dpo": jax.vmap(lost)(dpo),
        "rlhf": jax.vmap(lost)(rlhf),
        "online": lost(law(resting.theta)),
        "online_status": resting.status,
        "best": lost(law(ends.theta[-1])),
        "log_dpo": dpo,
        "log_rlhf": rlhf,
        "gradient_gap": weighted,
        "gradient_gap_plain": plain,
    }


def _both_fits(model: LinearModel, reward_features: Float[Array, "x n d"]) -> Float[Array, "2 d"]:
    """Parameters of DPO's policy and of the maximum-likelihood reward, on the same pairs."""

    def fit(features: Array, beta: Array) -> Array:
        return direct(replace(model, features=features, beta=beta)).theta

    beta = jnp.asarray(model.beta, reward_features.dtype)
    return jax.vmap(fit)(jnp.stack([model.features, reward_features]), jnp.stack([beta, jnp.ones_like(beta)]))


def _pair_laws(settings: Config, problem: Problem) -> Float[Array, "samplers x n n"]:
    """Pairs shown: uniform, from the reference, and the reference's own responses beside rewritten, better ones."""
    rewritten = Product(simplex.tilt(problem.log_ref, problem.reward, settings.rewriting), problem.log_ref)
    return jnp.stack([s.pair_law(problem, problem.log_ref).matrix() for s in (Uniform(), ReferencePairs(), rewritten)])


def _shown(problem: Problem, policy: LogLinear, labels: Flipped, settings: Config, shown: Array) -> LinearModel:
    return LinearModel(policy.features, shown, labels.matrix(problem.reward), problem.log_prompts, jnp.asarray(settings.beta))


def _gradient_gaps(problem: Problem, policy: LogLinear, theta: Array, at_policy) -> tuple[Array, Array]:
    """Relative distance of DPO's downward gradient from ``2β ∇V``, on value-weighted and on plain on-policy pairs."""
    log_policy = policy.log_probs(theta, problem.log_ref)
    plain = at_policy(theta)
    _, climb, _ = value_expansion(problem, plain.features, theta)
    soft = BradleyTerry().matrix(problem.reward)

    def pull(shown: Array) -> Array:
        return -LinearModel(plain.features, shown, soft, plain.log_prompts, plain.beta).gradient(theta)

    pulls = jax.vmap(pull)(jnp.stack([value_weights(problem, log_policy, plain.beta), plain.shown]))
    # Plain pairs are granted the best scale of all: only the direction counts.
    scales = jnp.stack([2.0 * plain.beta, (pulls[1] @ pulls[1]) / (pulls[1] @ climb)])
    return tuple(jnp.linalg.norm(pulls / scales[:, None] - climb, axis=-1) / jnp.linalg.norm(climb))
