"""Random states of the playground, and what didsim says of each: laws, loss, gradient, one step, floor, misfit, minimiser."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from didsim import did, landscape, objectives, preferences, problem, samplers, simplex, solve
from didsim.objectives.comparisons import loss, population

# Each made from the β of the loss and the objective's own number.
OBJECTIVES = {
    "dpo": lambda beta, _: objectives.Dpo(beta),
    "cdpo": lambda beta, extra: objectives.ConservativeDpo(beta, extra),
    "ipo[sum]": lambda beta, _: objectives.IpoSum(beta),
    "rebel": lambda beta, _: objectives.Rebel(1.0 / beta),
    "kto": lambda beta, _: objectives.Kto(beta),
    "rlhf": lambda beta, _: objectives.Rlhf(beta),
    "simpo": lambda beta, extra: objectives.SimPo(beta, extra),
    "cpo": lambda beta, extra: objectives.Cpo(beta, extra),
    "orpo": lambda _, extra: objectives.Orpo(extra),
    "sft": lambda _, __: objectives.Sft(),
}
SOFT = preferences.BradleyTerry()
SAMPLERS = {
    "chosen_rejected": (samplers.ChosenRejected(), preferences.AsShown()),
    "uniform": (samplers.Uniform(), SOFT),
    "reference": (samplers.ReferencePairs(), SOFT),
    "on_policy": (samplers.OnPolicy(), SOFT),
    "best_of_base": (samplers.BestOfBase(k=4.0), SOFT),
    "mix_r": (samplers.MixR(), SOFT),
    "blocks": (samplers.Blocks(jnp.array([0, 0, -1])), SOFT),
}
EXTRA = {"cdpo": (0.0, 0.45), "simpo": (0.0, 2.0), "cpo": (0.05, 2.0), "orpo": (0.0, 2.0)}


def random_states(count: int, seed: int) -> list[dict]:
    """States as the page holds them, every objective with every sampler about equally often."""
    random = np.random.default_rng(seed)
    pairs = [(objective, sampler) for sampler in SAMPLERS for objective in OBJECTIVES]
    return [_random_state(random, *pairs[k % len(pairs)]) for k in range(count)]


def _random_state(random: np.random.Generator, objective: str, sampler: str) -> dict:
    def law():
        return (0.01 + 0.97 * random.dirichlet(np.full(3, random.choice([0.5, 1.0, 5.0])))).tolist()

    beta = float(np.exp(random.uniform(np.log(0.2), np.log(2.0))))
    low, high = EXTRA.get(objective, (0.0, 0.0))
    extra = random.choice([low, random.uniform(low, high)]) if objective == "simpo" else random.uniform(low, high)
    return {
        "objective": objective, "sampler": sampler, "ref": law(), "target": law(),
        "hold": str(random.choice(["target", "reward"])), "reward": random.normal(size=3).round(3).tolist(),
        "beta": beta, "extra": float(extra),
        "lossBeta": random.choice([None, beta * float(np.exp(random.uniform(-0.7, 0.7)))]),
        "place": float(random.choice([0.0, random.uniform(-0.3, 1.3)])),
        "start": random.choice([None, 1]) and law(), "rate": float(np.exp(random.uniform(-4.0, 2.0))),
    }  # fmt: skip


def numbers(state: dict) -> dict[str, np.ndarray]:
    """A state as arrays that can be stacked; the reward from the target, its least entry 0, where the target is held."""
    ref, target = (np.asarray(state[name]) / np.sum(state[name]) for name in ("ref", "target"))
    implied = state["beta"] * np.log(target / ref)
    reward = np.asarray(state["reward"]) if state["hold"] == "reward" else implied - implied.min()
    start = ref if state["start"] is None else np.asarray(state["start"]) / np.sum(state["start"])
    return {
        "ref": ref, "reward": reward, "start": start, "beta": np.float64(state["beta"]), "place": np.float64(state["place"]),
        "loss_beta": np.float64(state["lossBeta"] or state["beta"]), "extra": np.float64(state["extra"]),
        "rate": np.float64(state["rate"]), "sampler": np.int64(list(SAMPLERS).index(state["sampler"])),
    }  # fmt: skip


def world_of(of: dict):
    """The problem of a state's numbers."""
    log_ref = jnp.log(of["ref"])
    target = simplex.tilt(log_ref, of["reward"], 1.0 / of["beta"])
    chosen, rejected = (did.path_law(log_ref, target, place) for place in (of["place"], of["place"] - of["beta"]))
    return problem(log_ref, reward=of["reward"], beta=of["beta"], log_chosen=chosen, log_rejected=rejected)


@jax.jit
def worlds(stacked: dict):
    """Problem, law of (chosen, rejected) at the start, and what depends on no objective, of stacked states."""

    def of_one(of):
        world, start = world_of(of), jnp.log(of["start"])[None]
        every = [population(world, *pairs, start) for pairs in SAMPLERS.values()]
        shown = jax.tree.map(lambda *laws: jnp.stack(laws)[of["sampler"]], *every)
        found = did.power_law_misfit(start, world.log_ref, world.log_chosen, world.log_rejected)
        entropies = did.did_entropy(world.log_target, world.log_ref)[0], simplex.entropy(world.log_target)[0]
        laws = {"target": world.log_target, "chosen": world.log_chosen, "rejected": world.log_rejected}
        said = {
            **{name: law[0] for name, law in laws.items()}, "q": did.log_did(world.log_target, world.log_ref)[0],
            "floor": landscape.dpo_floor(shown.ordered)[0], "DID entropy": entropies[0], "entropy": entropies[1],
            "misfit": found.misfit[0], "gamma": found.gamma[0],
        }  # fmt: skip
        return world, shown, said

    return jax.vmap(of_one)(stacked)


@functools.partial(jax.jit, static_argnames="name")
def steps(name: str, stacked: dict, world, shown) -> dict[str, jax.Array]:
    """Loss, gradient in the logits and one step of stacked states of one objective."""

    def of_one(of, world, shown):
        start, objective = jnp.log(of["start"]), OBJECTIVES[name](of["loss_beta"], of["extra"])
        value, gradient = jax.value_and_grad(lambda x: loss(objective, world, simplex.normalize(x)[None], shown))(start)
        after = simplex.normalize(start - of["rate"] * gradient)
        chosen, rejected = (mean((after - start)[None])[0] for mean in (shown.mean_chosen, shown.mean_rejected))
        return {"loss": value, "gradient": gradient, "after": after, "chosen change": chosen, "rejected change": rejected}

    return jax.vmap(of_one)(stacked, world, shown)


@functools.partial(jax.jit, static_argnames=("name", "follows"))
def minimisers(name: str, follows: bool, stacked: dict, world, shown):
    """didsim's solution of stacked states of one objective; ``follows`` where pairs come from the policy itself."""

    def of_one(of, world, shown):
        objective = OBJECTIVES[name](of["loss_beta"], of["extra"])
        fixed = samplers.Joint(jnp.log(shown.ordered)), preferences.AsShown()
        return solve(world, objective, *(SAMPLERS["on_policy"] if follows else fixed), start=jnp.log(of["start"])[None])

    return jax.vmap(of_one)(stacked, world, shown)


def stacked(states: list[dict]) -> dict[str, np.ndarray]:
    """Numbers of several states as one of arrays."""
    rows = [numbers(state) for state in states]
    return {key: np.stack([row[key] for row in rows]) for key in rows[0]}


def expected(states: list[dict]) -> list[dict[str, np.ndarray]]:
    """What didsim says of each state."""
    found: list[dict] = [{}] * len(states)
    for name in OBJECTIVES:
        places = [k for k, state in enumerate(states) if state["objective"] == name]
        if not places:
            continue
        rows = stacked([states[k] for k in places])
        world, shown, said = worlds(rows)
        every = {key: np.asarray(value) for key, value in {**said, **steps(name, rows, world, shown)}.items()}
        for j, k in enumerate(places):
            found[k] = {key: value[j] for key, value in every.items()}
    return found


def shown_by(reading: dict) -> dict[str, np.ndarray]:
    """The same numbers as the page has them."""
    same = ("q", "chosen", "rejected", "loss", "gradient", "after", "floor")
    return {
        **{name: reading[name] for name in same}, "target": reading["world"]["target"], **reading["misfit"],
        "chosen change": reading["change"]["chosen"], "rejected change": reading["change"]["rejected"],
        "DID entropy": reading["entropies"]["did"], "entropy": reading["entropies"]["target"],
    }  # fmt: skip


def worst(readings: list[dict], wanted: list[dict]) -> dict[str, tuple[float, int]]:
    """Of every number the largest difference, relative above 1, and in which state it is; NaN counts as the largest."""
    found: dict[str, tuple[float, int]] = {}
    for k, (reading, said) in enumerate(zip(readings, wanted, strict=True)):
        mine = shown_by(reading)
        for key, value in said.items():
            off = np.max(np.abs(np.asarray(mine[key], float) - value) / (1.0 + np.abs(value)))
            found[key] = max(found.get(key, (0.0, k)), (np.inf if np.isnan(off) else float(off), k))
    return found


def gradients_at_minimisers(states: list[dict], readings: list[dict]) -> dict[int, float]:
    """Largest entry of didsim's gradient at the page's minimiser, with the pairs shown there, of the states that have one."""
    laws = [reading["least"].get("law") for reading in readings]
    moved = [state if law is None else state | {"start": np.exp(law).tolist()} for state, law in zip(states, laws, strict=True)]
    found = expected(moved)  # all of them, so that no other shape is compiled
    return {k: float(np.max(np.abs(found[k]["gradient"]))) for k, law in enumerate(laws) if law is not None}
