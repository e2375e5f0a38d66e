"""Is this loss right, and if not, which one is it?  Somebody's own function on the golden batches, beside all dialects.

A function says by the names of its parameters what it wants: any of the batch's arrays (``policy_chosen``,
``policy_rejected``, ``ref_chosen``, ``ref_rejected``, ``chosen_lengths``, …) and of the objective's numbers (``beta``, …).  It
returns the losses of the pairs, or their mean.  Slopes are compared where the function's module uses PyTorch, or where JAX
can differentiate it.
"""

import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from didsim.cli.golden import slips
from didsim.cli.golden.cases import ARGUMENTS
from didsim.cli.own_module import imported, why
from didsim.numerics.errors import ArgumentError

Arrays = dict[str, Any]
NO_LOSSES = "none: on "
_KEYS = slips.KEYS
SLACK = 64 * float(np.finfo(float).eps)  # numbers of a slip are larger than those that a case's tolerance was measured on


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
    found = getattr(imported("--check", module), name, None)
    if not callable(found):
        raise ArgumentError(f"Argument `--check` must name a function of {module}, but it has no {name!r}.")
    if inspect.iscoroutinefunction(found):
        raise ArgumentError(f"Argument `--check` must name a function that returns losses, but {name} has to be awaited.")
    return found


def check(function: Callable[..., Any], content: dict[str, Any], names: tuple[str, ...]) -> list[Row]:
    """A row for every objective whose numbers the function can be given.

    Raises:
        ArgumentError: the function wants what no case has, or gives no losses on any.
    """
    known = {*ARGUMENTS, *(key for one in content["cases"] for key in one["numbers"])}
    unknown = sorted(_wanted(function) - known)
    if unknown:
        raise ArgumentError(
            f"Argument `--check` must be a function of {', '.join(ARGUMENTS)} and numbers such as beta, by these names, but "
            f"wants {', '.join(unknown)}."
        )
    rows = []
    for name in names:
        asked = [one for one in content["cases"] if one["objective"] == name and "expected" not in one]
        asked = [one for one in asked if one["batch"] != "weighted" and _takes(function, content["batches"][one["batch"]], one)]
        if asked:
            rows.append(_row(function, content, name, asked))
    if rows and all(row.nearest.startswith(NO_LOSSES) for row in rows):
        told = rows[0].nearest.removeprefix(NO_LOSSES)
        raise ArgumentError(
            f"Argument `--check` must name a function that returns losses of pairs, or their mean, but on {told}."
        )
    return rows


def _row(function: Callable[..., Any], content: dict[str, Any], name: str, asked: list[dict[str, Any]]) -> Row:
    typical = next(one for one in content["cases"] if one["id"] == f"{name}/typical")
    called = {one["id"]: one for one in [*asked, typical]}
    own = {id: _own(function, content["batches"][one["batch"]], one) for id, one in called.items()}
    errors = {one["id"]: _error(own[one["id"]], _given(one), one) for one in asked}
    wrong = [id for id, error in errors.items() if not error <= 1.0]
    mine = own[typical["id"]]
    if not wrong:
        nearest = ""
    elif errors.get(typical["id"], np.inf) <= 1.0:  # right where it is usual
        nearest = f"{name}, but not on " + ", ".join(id.partition("/")[2] for id in wrong)
    elif isinstance(mine, str):
        nearest = f"{NO_LOSSES}{mine}"
    else:
        nearest = _nearest(mine, typical, content["batches"]["typical"])
    return Row(name, len(asked) - len(wrong), len(asked), max(errors.values()), nearest)


def _takes(function: Callable[..., Any], batch: Arrays, one: dict[str, Any]) -> bool:
    """Whether a batch and a case's numbers hold all that the function must be given."""
    return _wanted(function) <= {*batch, *one["numbers"]}


def _wanted(function: Callable[..., Any]) -> set[str]:
    """Names of what the function must be given."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}


def _own(function: Callable[..., Any], batch: Arrays, one: dict[str, Any]) -> Arrays | str:
    """The function's own mean, losses and slopes on a case's batch, or why it has none there."""
    try:
        found = _called(function, batch, one["numbers"])
    except (Exception, SystemExit) as error:
        return f"{one['id']} it ends in {why(error)}"
    shape = np.shape(found["losses"]) if "losses" in found else ()
    allowed = {(), np.shape(one["losses"]), np.shape(batch["policy_chosen"])}
    return found if shape in allowed else f"{one['id']} it returns an array of shape {shape}"


def _called(function: Callable[..., Any], batch: Arrays, numbers: dict[str, float]) -> Arrays:
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
    losses = np.asarray(out)
    if losses.dtype.kind in "bcmMOSTU":
        raise TypeError(f"it returns {type(out).__name__}, no real numbers")
    losses = losses.astype(float)
    return {"mean": losses.mean(), **({"losses": losses} if losses.ndim else {})}


def _given(one: dict[str, Any]) -> Arrays:
    """A case's answers as arrays, an interval of slopes as two of them."""
    return {key: np.asarray(one[key], object).astype(float) for key in _KEYS}


def _error(mine: Arrays | str, right: Arrays, one: dict[str, Any], dtype: str = "float64", slack: float = 0.0) -> float:
    """The largest difference in units of the case's tolerance, and of ``slack`` times the largest answer."""
    if isinstance(mine, str):
        return np.inf
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
        unit += slack * float(np.max(np.abs(there))) if slack else 0.0
        worst = max(worst, float(np.nan_to_num(np.max(gap), nan=np.inf, posinf=np.inf)) / unit)
    return worst


def _nearest(mine: Arrays, one: dict[str, Any], batch: Arrays) -> str:
    """The candidate whose values and slopes on the typical batch are closest to the function's; scaled ones where none is it."""
    if not all(np.all(np.isfinite(value)) for value in mine.values()):
        return "none: not finite on the typical batch"
    found = list(slips.candidates(one["objective"], one, batch))
    errors = [_error(mine, answers, one, slack=SLACK) for _, answers in found]
    best = int(np.argmin(errors))
    label, answers = found[best]
    if errors[best] <= 1.0:
        return label
    # The objective itself before its slips, so that a factor of -½ is told as that.
    for pair in sorted(found, key=lambda pair: pair[0] != one["objective"]):
        for other, more in slips.scaled(mine, *pair):
            if _error(mine, more, one, slack=SLACK) <= 1.0:
                return other
    if _error(mine, answers, one, "float32") <= 1.0:
        return f"{label}, in float32"
    return f"none; least far: {label}, off by {_apart(mine, answers):.2g}"


def _apart(mine: Arrays, answers: Arrays) -> float:
    """The largest relative difference, each array's in units of its largest entry."""
    shared = [key for key in _KEYS if key in mine and key in answers and np.shape(mine[key]) == np.shape(answers[key])]
    return max(float(np.max(np.abs(mine[key] - answers[key])) / max(np.max(np.abs(answers[key])), 1e-300)) for key in shared)
