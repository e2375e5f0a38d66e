"""Is this loss right, and if not, which one is it?  Somebody's own function on the golden batches, beside all dialects.

A function says by the names of its parameters what it wants: any of the batch's arrays (``policy_chosen``,
``policy_rejected``, ``ref_chosen``, ``ref_rejected``, ``chosen_lengths``, …) and of the objective's numbers (``beta``, …).  It
returns the losses of the pairs, or their mean.  Slopes are compared where the function's module uses PyTorch, or where JAX
can differentiate it.
"""

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from didsim.cli.golden.cases import ARGUMENTS, answer
from didsim.numerics.errors import ArgumentError
from didsim.objectives import OBJECTIVES, pair_losses

Arrays = dict[str, Any]
_KEYS = ("mean", "losses", "gradient_chosen", "gradient_rejected")
DIFFERENT = 10.0  # a candidate further off than this many times the nearest one's error is not mentioned


@dataclass(frozen=True)
class Row:
    """What came out for one objective.

    Attributes:
        objective: which one the function was held against.
        right: cases that agree.
        asked: cases that it was asked.
        worst: largest error, in tolerances; infinite where a number is missing.
        nearest: what it is instead, empty where it is right.
    """

    objective: str
    right: int
    asked: int
    worst: float
    nearest: str

    @property
    def ok(self) -> bool:
        """Whether every case agrees."""
        return self.right == self.asked > 0


def load(word: str) -> Callable[..., Any]:
    """The function that ``module:function`` names; modules are also looked for in the folder one is in."""
    module, colon, name = word.partition(":")
    if not colon or not module or not name:
        raise ArgumentError(f"Argument `--check` must be MODULE:FUNCTION, but is {word!r}.")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found = getattr(importlib.import_module(module), name, None)
    except Exception as error:
        raise ArgumentError(f"Argument `--check` must name a module that can be imported, but {module}: {error}.") from None
    if not callable(found):
        raise ArgumentError(f"Argument `--check` must name a function of {module}, but it has no {name!r}.")
    return found


def check(function: Callable[..., Any], content: dict[str, Any], names: tuple[str, ...]) -> list[Row]:
    """A row for every objective whose numbers the function can be given."""
    rows = []
    for name in names:
        asked = [one for one in content["cases"] if one["objective"] == name and "expected" not in one]
        asked = [one for one in asked if one["batch"] != "weighted" and _takes(function, content["batches"][one["batch"]], one)]
        if asked:
            rows.append(_row(function, content, name, asked))
    return rows


def _row(function: Callable[..., Any], content: dict[str, Any], name: str, asked: list[dict[str, Any]]) -> Row:
    errors = [_error(_own(function, content["batches"][one["batch"]], one["numbers"]), _given(one), one) for one in asked]
    right = sum(error <= 1.0 for error in errors)
    nearest = "" if right == len(asked) else _nearest(function, content, name)
    return Row(name, right, len(asked), max(errors), nearest)


def _takes(function: Callable[..., Any], batch: Arrays, one: dict[str, Any]) -> bool:
    """Whether a batch and a case's numbers hold all that the function must be given."""
    parameters = inspect.signature(function).parameters.values()
    wanted = {p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
    return wanted <= {*batch, *one["numbers"]}


def _own(function: Callable[..., Any], batch: Arrays, numbers: dict[str, float]) -> Arrays:
    """The function's own mean, losses and slopes on a batch."""
    parameters = inspect.signature(function).parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    given = {key: np.asarray(value, float) for key, value in batch.items() if key in ARGUMENTS}
    given = {key: value for key, value in {**given, **numbers}.items() if open_ended or key in parameters}
    torch = sys.modules.get("torch")
    if torch is not None and _uses(function, "torch"):
        return _with_torch(torch, function, given)
    try:
        return _with_jax(function, given)
    except Exception:
        return _values(function(**given))


def _uses(function: Callable[..., Any], package: str) -> bool:
    module = sys.modules.get(getattr(function, "__module__", ""), None)
    names = vars(module).values() if module else ()
    return any((getattr(one, "__module__", None) or getattr(one, "__name__", "")).split(".")[0] == package for one in names)


def _with_torch(torch: Any, function: Callable[..., Any], given: Arrays) -> Arrays:
    tensors = {key: torch.tensor(value) if isinstance(value, np.ndarray) else value for key, value in given.items()}
    leaves = [tensors[key].requires_grad_() for key in ("policy_chosen", "policy_rejected") if key in tensors]
    out = function(**tensors)
    slopes = torch.autograd.grad(out.mean(), leaves, allow_unused=True)
    plain = [np.zeros(leaf.shape) if slope is None else slope.numpy() for slope, leaf in zip(slopes, leaves, strict=True)]
    return _values(out.detach().numpy()) | dict(zip(("gradient_chosen", "gradient_rejected"), plain, strict=False))


def _with_jax(function: Callable[..., Any], given: Arrays) -> Arrays:
    moving = {key: jnp.asarray(given[key]) for key in ("policy_chosen", "policy_rejected") if key in given}

    def mean(free: Arrays) -> tuple[Any, Any]:
        out = jnp.asarray(function(**{**given, **free}))
        return out.mean(), out

    slopes, out = jax.grad(mean, has_aux=True)(moving)
    return _values(out) | {key.replace("policy", "gradient"): np.asarray(slope) for key, slope in slopes.items()}


def _values(out: Any) -> Arrays:
    losses = np.asarray(out, float)
    return {"mean": losses.mean(), **({"losses": losses} if losses.ndim else {})}


def _given(one: dict[str, Any]) -> Arrays:
    """A case's answers as arrays, an interval of slopes as two of them."""
    return {key: np.asarray(one[key], object).astype(float) for key in _KEYS}


def _error(mine: Arrays, right: Arrays, one: dict[str, Any], dtype: str = "float64") -> float:
    """The largest difference in units of the case's tolerance."""
    units, worst = one["tolerance"][dtype], 0.0
    for key in mine.keys() & right.keys():
        unit = units["gradient" if key.startswith("gradient") else "loss"]
        here, there = np.asarray(mine[key], float), right[key]
        if key.startswith("gradient") and one["batch"] == "corner":
            gap = np.maximum(there[..., 0] - here, here - there[..., 1]).clip(0)
        elif here.shape != there.shape:
            continue
        else:
            gap = np.where(here == there, 0.0, np.abs(here - there))
        worst = max(worst, float(np.nan_to_num(np.max(gap), nan=np.inf, posinf=np.inf)) / unit)
    return worst


def _nearest(function: Callable[..., Any], content: dict[str, Any], name: str) -> str:
    """The candidate whose values and slopes on the typical batch are closest to the function's."""
    (one,) = [case for case in content["cases"] if case["id"] == f"{name}/typical"]
    batch = content["batches"]["typical"]
    mine = _own(function, batch, one["numbers"])
    ranked = sorted(
        (_error(mine, answers, one), place, label) for place, (label, answers) in enumerate(candidates(name, one, batch))
    )
    error, _, label = ranked[0]
    return label if error <= 1.0 else f"none; least far: {label}"


def candidates(name: str, one: dict[str, Any], batch: Arrays) -> Iterator[tuple[str, Arrays]]:
    """What a wrong loss may be: the same with a usual slip, then another objective with these numbers."""
    numbers = one["numbers"]
    given = {key: value for key, value in batch.items() if key in ARGUMENTS and key != "weights"}
    for label, changed, other in _slips(numbers, given):
        found = _answers(name, other, changed)
        yield f"{name}, {label}", {_other_role(k): v for k, v in found.items()} if "exchanged" in label else found
    if name == "bco[batch]":
        yield f"{name}, its mean reward not held still", _moving_baseline(numbers, given)
    if name in ("kto", "kto[example_mean]"):
        yield f"{name}, without its KL term", _answers(name, numbers, {**given, "kl": 0.0})
    for other in OBJECTIVES:
        fields = inspect.signature(OBJECTIVES[other]).parameters
        shared = {key: value for key, value in numbers.items() if key in fields}
        try:
            yield other, _answers(other, shared, given)
        except ArgumentError:
            continue
    plain = _answers(name, numbers, given)
    yield f"{name}, with its sign turned", {key: -value for key, value in plain.items()}
    yield f"{name}, summed over the batch", {key: v * len(batch["policy_chosen"]) for key, v in plain.items() if key != "losses"}


def _slips(numbers: dict[str, float], given: Arrays) -> Iterator[tuple[str, Arrays, dict[str, float]]]:
    swapped = {key: given[_other_role(key)] for key in given}
    yield "chosen and rejected exchanged", swapped, numbers
    nothing = {key: np.zeros_like(np.asarray(value, float)) if key.startswith("ref_") else value for key, value in given.items()}
    yield "without the reference", nothing, numbers
    ones = {key: np.ones_like(np.asarray(value, float)) if key.endswith("d_lengths") else value for key, value in given.items()}
    yield "lengths left out", ones, numbers
    if "beta" in numbers:
        yield "β taken for 1/β", given, {**numbers, "beta": 1 / numbers["beta"]}
        yield "β left out", given, {**numbers, "beta": 1.0}
    if numbers.get("smoothing", 0.0) > 0:
        yield "label smoothing left out", given, {**numbers, "smoothing": 0.0}
        yield "ε taken for 1 - ε, chosen and rejected exchanged", swapped, numbers
    for key in ("gamma", "gamma_ratio", "nll_weight", "length_weight", "offset", "penalty", "delta", "odds_weight"):
        if numbers.get(key):
            yield f"`{key}` left out", given, {**numbers, key: 0.0}


def _other_role(key: str) -> str:
    return key.replace("chosen", "\0").replace("rejected", "chosen").replace("\0", "rejected")


def _answers(name: str, numbers: dict[str, float], given: Arrays) -> Arrays:
    return {key: value for key, value in answer(name, numbers, given).items() if key in _KEYS}


def _moving_baseline(numbers: dict[str, float], given: Arrays) -> Arrays:
    """``bco[batch]`` differentiated through its mean reward."""
    beta, ref = numbers["beta"], [jnp.asarray(given[key]) for key in ("ref_chosen", "ref_rejected")]

    def mean(*policy: Any) -> Any:
        middle = 0.5 * beta * sum(jnp.mean(p - q) for p, q in zip(policy, ref, strict=True))
        got = pair_losses("bco[running]", *policy, *ref, beta=beta, delta=middle)
        return got.mean, got.losses

    slopes, losses = jax.grad(mean, argnums=(0, 1), has_aux=True)(*(jnp.asarray(given[k]) for k in ARGUMENTS[:2]))
    return {"mean": np.asarray(losses.mean()), "losses": np.asarray(losses)} | {
        key: np.asarray(slope) for key, slope in zip(_KEYS[2:], slopes, strict=True)
    }
