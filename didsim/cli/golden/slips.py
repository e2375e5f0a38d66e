"""What may a wrong loss be?  The right one with a usual slip, another objective, or one of these scaled, shifted or rounded.

A candidate is a label with the answers it would give on a batch.  Slips of the inputs and numbers are the objective itself on
changed ones, so that its slopes come with it; those of the whole loss change its answers.
"""

import inspect
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from didsim.cli.golden.cases import ARGUMENTS, answer, looks_at
from didsim.numerics.errors import ArgumentError
from didsim.objectives import OBJECTIVES, pair_losses

Arrays = dict[str, Any]
KEYS = ("mean", "losses", "gradient_chosen", "gradient_rejected")
SLOPES = KEYS[2:]
PARTS = ("gamma", "gamma_ratio", "nll_weight", "length_weight", "offset", "penalty", "delta", "odds_weight")


def candidates(name: str, one: dict[str, Any], batch: Arrays) -> Iterator[tuple[str, Arrays]]:
    """What a wrong loss may be: the same with a usual slip, then another objective with these numbers."""
    numbers = one["numbers"]
    given = {key: value for key, value in batch.items() if key in ARGUMENTS and key != "weights"}
    for label, changed in _of_inputs(name, given):
        found = _answers(name, numbers, changed)
        yield f"{name}, {label}", exchanged(found) if label == EXCHANGED else found
    for label, other in _of_numbers(numbers):
        yield f"{name}, {label}", _answers(name, other, given)
    if numbers.get("smoothing", 0.0) > 0:
        found = _answers(name, numbers, exchanged(given))
        yield f"{name}, ε taken for 1 - ε, {EXCHANGED}", exchanged(found)
    if name == "bco[batch]":
        yield f"{name}, its mean reward not held still", _moving_baseline(numbers, given)
    plain = _answers(name, numbers, given)
    yield from ((f"{name}, {label}", found) for label, found in _of_whole(name, plain, len(batch["policy_chosen"])))
    for other in OBJECTIVES:
        fields = inspect.signature(OBJECTIVES[other]).parameters
        shared = {key: value for key, value in numbers.items() if key in fields}
        try:
            yield other, _answers(other, shared, given)
        except ArgumentError:
            continue


EXCHANGED = "chosen and rejected exchanged"


def _of_inputs(name: str, given: Arrays) -> Iterator[tuple[str, Arrays]]:
    """Slips in which array is used where, of arrays that the objective looks at."""
    yield EXCHANGED, exchanged(given)
    yield "averaged over the batch before the loss", {key: _level(value) for key, value in given.items()}
    refs, lengths = ("ref_chosen", "ref_rejected"), ("chosen_lengths", "rejected_lengths")
    if looks_at(name, *refs):
        yield "without the reference", given | {key: np.zeros_like(given[key], float) for key in refs}
        yield "its references exchanged", given | dict(zip(refs, (given[key] for key in refs[::-1]), strict=True))
        for key in refs:
            yield f"`{key}` left out", given | {key: np.zeros_like(given[key], float)}
    if looks_at(name, *lengths):
        yield "lengths left out", given | {key: np.ones_like(given[key], float) for key in lengths}
        yield "its lengths exchanged", given | dict(zip(lengths, (given[key] for key in lengths[::-1]), strict=True))
        mean = np.mean([given[key] for key in lengths])
        yield "the batch's mean length for each", given | {key: np.full_like(given[key], mean, float) for key in lengths}
    if looks_at(name, "kl"):
        yield "without its KL term", given | {"kl": 0.0}


def _of_numbers(numbers: dict[str, float]) -> Iterator[tuple[str, dict[str, float]]]:
    """Slips in the objective's numbers."""
    if beta := numbers.get("beta"):
        for label, value in (("1/β", 1 / beta), ("β²", beta**2), ("β/2", beta / 2), ("2β", 2 * beta)):
            yield f"β taken for {label}", {**numbers, "beta": value}
        yield "β left out", {**numbers, "beta": 1.0}
    if smoothing := numbers.get("smoothing"):
        yield "label smoothing left out", {**numbers, "smoothing": 0.0}
        yield "ε taken for ε/2", {**numbers, "smoothing": smoothing / 2}
    for key in PARTS:
        if value := numbers.get(key):
            yield f"`{key}` left out", {**numbers, key: 0.0}
            yield f"`{key}` with its sign turned", {**numbers, key: -value}
            yield f"`{key}` taken for its inverse", {**numbers, key: 1 / value}
    if "desirable" in numbers:
        yield "its weights left out", {**numbers, "desirable": 1.0, "undesirable": 1.0}


def _of_whole(name: str, plain: Arrays, pairs: int) -> Iterator[tuple[str, Arrays]]:
    """Slips in what is made of the losses."""
    yield "with its sign turned", {key: -value for key, value in plain.items()}
    yield "summed over the batch", {key: value * pairs for key, value in plain.items() if key != "losses"}
    for role in ("chosen", "rejected"):
        slope = f"gradient_{role}"
        yield f"no slope in the {role} responses", {**plain, slope: np.zeros_like(plain[slope])}
    if OBJECTIVES[name].card.link == "-log σ(m)":  # of a loss l = -log σ(m) it is -σ(m) = -e^{-l}
        sigmoid = np.exp(-plain["losses"])
        slopes = {key: plain[key] * sigmoid for key in SLOPES if plain[key].shape == sigmoid.shape}
        yield "σ in place of log σ", {"mean": -sigmoid.mean(), "losses": -sigmoid, **slopes}


def scaled(mine: Arrays, label: str, found: Arrays) -> Iterator[tuple[str, Arrays]]:
    """A candidate times the constant, or plus the one, that brings it nearest to a loss of which more is known than the mean."""
    shared = [key for key in KEYS[1:] if key in mine and key in found and np.shape(mine[key]) == np.shape(found[key])]
    if not shared:
        return
    here, there = (np.concatenate([np.ravel(one[key]) for key in shared]) for one in (mine, found))
    size = float(there @ there)
    factor = float(here @ there) / size if size > 0 and np.isfinite(size) else 0.0
    if factor:
        yield f"{label}, times {factor:.4g}", {key: value * factor for key, value in found.items()}
    shift = float(mine["mean"] - found["mean"])
    if any(key in SLOPES for key in shared) or "losses" in shared:
        yield f"{label}, plus {shift:.4g}", {key: value + (0 if key in SLOPES else shift) for key, value in found.items()}


def exchanged(given: Arrays) -> Arrays:
    """Arrays of the chosen responses as those of the rejected ones, and the other way round."""
    return {key.replace("chosen", "\0").replace("rejected", "chosen").replace("\0", "rejected"): v for key, v in given.items()}


def _level(value: Any) -> Any:
    array = np.asarray(value, float)
    return np.full_like(array, array.mean()) if array.ndim else value


def _answers(name: str, numbers: dict[str, float], given: Arrays) -> Arrays:
    return {key: value for key, value in answer(name, numbers, given).items() if key in KEYS}


def _moving_baseline(numbers: dict[str, float], given: Arrays) -> Arrays:
    """``bco[batch]`` differentiated through its mean reward."""
    beta, ref = numbers["beta"], [jnp.asarray(given[key]) for key in ("ref_chosen", "ref_rejected")]

    def mean(*policy: Any) -> Any:
        middle = 0.5 * beta * sum(jnp.mean(p - q) for p, q in zip(policy, ref, strict=True))
        got = pair_losses("bco[running]", *policy, *ref, beta=beta, delta=middle)
        return got.mean, got.losses

    slopes, losses = jax.grad(mean, argnums=(0, 1), has_aux=True)(*(jnp.asarray(given[k]) for k in ARGUMENTS[:2]))
    return {"mean": np.asarray(losses.mean()), "losses": np.asarray(losses)} | {
        key: np.asarray(slope) for key, slope in zip(SLOPES, slopes, strict=True)
    }
