"""What does a survey of samplers say, in words, as a table and as numbers?"""

import warnings
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from rich.table import Table

from didsim.cli import tables
from didsim.landscape.survey import Survey
from didsim.numerics import checks
from didsim.numerics.arrays import read_npy
from didsim.numerics.errors import ArgumentError
from didsim.numerics.memory import check_array
from didsim.samplers import Joint, Sampler
from didsim.sweeps.toml import build_named
from didsim.worlds import Problem, problem

NUMBERS = (
    "components", "open_directions", "unseen_reference", "unseen_target", "undetermined", "smallest", "largest", "condition",
    "step", "rate", "steps", "information", "margin_error", "pairs", "signal", "draws", "value_gap",
)  # fmt: skip
WIDTH = 104  # narrower, the table would lose digits
DEFAULT = ("uniform", "reference", "on_policy", "best_of_base", "best_of_both", "best_worst", "mix_r")


def read_array(option: str, path: Path) -> np.ndarray:
    """Numbers of a .npy file, or of a text file with commas between them.

    Raises:
        ArgumentError: the file cannot be read, or holds none or something else than finite numbers.
    """
    array = read_npy(option, path) if path.suffix == ".npy" else _read_text(option, path)
    if not array.size:
        raise ArgumentError(f"Argument `{option}` must be a file of numbers, but {path} holds none.")
    return np.asarray(checks.finite(option, array), float)


def _read_text(option: str, path: Path) -> np.ndarray:
    try:
        with warnings.catch_warnings(action="ignore"):  # NumPy warns of a file without numbers
            return np.loadtxt(path, delimiter=",", ndmin=1)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ArgumentError(f"Argument `{option}` must be a readable .npy or CSV file, but {path} is not: {reason}") from None


def read_law(option: str, path: Path, *, axes: int) -> np.ndarray:
    """Probabilities from a file, non-negative and normalised over the last ``axes`` axes.

    Raises:
        ArgumentError: the file cannot be read, its shape is wrong, an entry is negative, or it does not sum to one.
    """
    law = read_array(option, path)
    allowed = "(n,) or (prompts, n)" if axes == 1 else "(n, n) or (prompts, n, n)"
    if law.ndim not in (axes, axes + 1) or (axes == 2 and law.shape[-1] != law.shape[-2]):
        raise ArgumentError(f"Argument `{option}` must have shape {allowed}, but {path} has {law.shape}.")
    checks.at_least(option, law, 0.0)
    total = law.sum(tuple(range(-axes, 0)))
    worst = total.flat[np.argmax(abs(total - 1.0))]
    if abs(worst - 1.0) > 1e-6:
        raise ArgumentError(f"Argument `{option}` must sum to 1, but {path} sums to {worst:.6g}; divide by it.")
    return law


def in_words(name: str, found: Survey, accuracy: float) -> list[str]:
    """Lines that say what a sampler can and cannot teach, prompt by prompt."""
    lines = []
    for place in range(found.components.shape[0]):
        one = {key: float(getattr(found, key)[place]) for key in NUMBERS}
        n, shown = found.shown.shape[-1], int(found.shown[place].sum())
        lines.append(f"{name}" + (f", prompt {place}" if found.components.shape[0] > 1 else ""))
        lines += [f"  {line}" for line in (_coverage(one, n, shown), *_speed(one, accuracy, bool(found.resolved[place])))]
    return lines


def comparison(found: dict[str, Survey]) -> Table:
    """Table of samplers; of several prompts the worst is shown."""
    numbers = ("compared", "components", "undetermined", "λ₂", "κ", "steps", "pairs", "signal", "draws")
    table = tables.table("sampler", right=numbers)
    table.columns[0].no_wrap = True
    for name, one in found.items():
        table.add_row(
            name,
            f"{float(one.shown.mean(-1).min()):.0%}",
            str(int(one.components.max())),
            f"{float(one.undetermined.max()):.1%}",
            f"{float(one.smallest.min()):.3g}",
            f"{float(one.condition.max()):.3g}",
            f"{float(one.steps.max()):.3g}",
            f"{float(one.pairs.max()):.3g}",
            f"{float(one.signal.min()):.3g}",
            f"{float(one.draws.max()):.3g}",
        )
    return table


def to_json(found: Survey) -> dict[str, Any]:
    """Numbers of a survey as plain lists, one entry per prompt; what is not known is null."""
    values = {name: np.asarray(getattr(found, name), float) for name in NUMBERS}
    plain = {name: [float(v) if np.isfinite(v) else None for v in value] for name, value in values.items()}
    return {**plain, "component": np.asarray(found.component).tolist(), "resolved": np.asarray(found.resolved).tolist()}


def _coverage(one: dict[str, float], n: int, shown: int) -> str:
    if shown == 0:
        return f"Nothing is ever compared: all {n} responses stay where the reference has them."
    unseen = "" if shown == n else (
        f"{n - shown} are never compared and hold {one['unseen_reference']:.1%} of the reference "
        f"and {one['unseen_target']:.1%} of the target; "
    )  # fmt: skip
    groups = int(one["components"])
    if groups == 1 and shown == n:
        return f"Compares all {n} responses, all related to each other: the data determines the policy."
    within = "related to each other" if groups == 1 else f"in {groups} groups that are never related"
    return (
        f"Compares {shown} of {n} responses, {within}; {unseen}{one['undetermined']:.1%} of the target stays unrelated to its "
        f"heaviest group. Gradient descent ends {one['value_gap']:.3g} below the best value."
    )


def _speed(one: dict[str, float], accuracy: float, resolved: bool) -> list[str]:
    if one["components"] == 0:
        return [f"Cost {one['draws']:.3g} responses per pair."]
    lines = [
        f"Hessian at the optimum: λ₂ = {one['smallest']:.4g}, λ_max = {one['largest']:.4g}, κ = {one['condition']:.4g}; "
        f"gradient descent with step {one['step']:.4g} shrinks the error by {one['rate']:.4g} per step, "
        f"to {accuracy:g} of it in {one['steps']:.0f} steps.",
        f"One pair tells {one['information']:.4g} about its log-margin; log-margins within a group are known to {accuracy:g} "
        f"nats (root mean square) from {one['pairs']:.3g} pairs.",
        f"First-gradient signal {one['signal']:.4g}; cost {one['draws']:.3g} responses per pair.",
    ]
    return lines if resolved else [*lines, "λ₂ is not resolved: some pairs are so rare that they teach nothing in practice."]


def given_world(command: Any) -> Problem:
    """The world of the options: the user's reward and reference, or drawn ones."""
    if command.reward is not None:
        reward = read_array("--reward", command.reward)
    else:
        shape = checks.whole("--n", command.n, least=2)
        check_array("--n", command.n, (shape,), arrays=8)
        reward = np.random.default_rng(checks.seed(command.seed, "--seed")).normal(size=shape)
    sizes: tuple[int, ...] = np.shape(reward)
    n = sizes[-1] if sizes else 0
    if len(sizes) > 2 or n < 2:
        raise ArgumentError(f"Argument `--reward` must have shape (n,) or (prompts, n), n >= 2, but has {sizes}.")
    if command.reference is None:
        law = np.full(sizes, 1.0 / n)
    else:
        law = read_law("--reference", command.reference, axes=1)
        if not np.all(law > 0):
            raise ArgumentError("Argument `--reference` must give every response some mass, but has a zero.")
    if law.shape[-1] != n:
        raise ArgumentError(f"Argument `--reference` must have as many responses as the reward, {n}, but has {law.shape[-1]}.")
    shape = np.broadcast_shapes(np.atleast_2d(law).shape, np.atleast_2d(reward).shape)
    return problem(jnp.log(jnp.broadcast_to(law, shape)), reward=jnp.broadcast_to(reward, shape), beta=command.beta)


def given_samplers(command: Any, world: Problem) -> dict[str, Sampler]:
    """The samplers of the options by name, the user's own pairs among them."""
    names = command.sampler or (() if command.pairs is not None else DEFAULT)
    found = {name: build_named("sampler", name, "sampler") for name in names}
    if command.pairs is not None:
        law = read_law("--pairs", command.pairs, axes=2)
        n = world.log_ref.shape[-1]
        if law.shape[-1] != n:
            raise ArgumentError(f"Argument `--pairs` must have as many responses as the reward, {n}, but has {law.shape[-1]}.")
        found[command.pairs.name] = Joint(jnp.log(jnp.asarray(law)))
    return found


def world_line(world: Problem, command: Any) -> str:
    """Which world it is, in one line."""
    prompts, n = world.log_ref.shape
    where = str(command.reward) if command.reward is not None else f"standard normal, seed {command.seed}"
    base = str(command.reference) if command.reference is not None else "uniform"
    many = f", {prompts} prompts" if prompts > 1 else ""
    return f"{n} responses{many}; reward: {where}; reference: {base}; β = {command.beta:g}"


def legend(accuracy: float) -> str:
    """What the columns of the table mean."""
    return (
        f"compared: share of responses ever compared; undetermined: target mass unrelated to its heaviest group; steps of "
        f"gradient descent to {accuracy:g} of the error; pairs to {accuracy:g} nats; draws: responses per pair; worst prompt"
    )
