"""Which numbers must a loss give?  Golden vectors: batches with a reason each, and every objective's answers to them.

The file that ships, ``golden.json`` beside this module, can be read without didsim.  Inputs are multiples of 1/8 below 2048,
which float32 holds exactly; answers are float64.  A case is never changed, only superseded by one with another id.
"""

import functools
import json
from collections.abc import Iterable, Iterator
from inspect import signature
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from didsim.numerics.errors import ArgumentError
from didsim.objectives import OBJECTIVES, pair_losses
from didsim.objectives.names import facts, kindred

FORMAT = 1
SHIPPED = Path(__file__).with_name("golden.json")
ABOUT = (
    "Losses of preference objectives on given pairs, for the tests of any trainer. Public domain (CC0). "
    "Units: nats, summed over tokens. bfloat16 holds sums near -2000 to within 8 and is not to be tested on them."
)
DTYPES = (np.float64, np.float32)
SHAKES = 8  # times that the inputs are moved to measure a tolerance

NUMBERS: dict[str, dict[str, float]] = {
    "squaredpo": {"beta": 0.5},
    "bpo[basu]": {"beta": 0.25, "power": 0.5},
    "cdpo": {"beta": 0.25, "smoothing": 0.125},
    "robust": {"beta": 0.25, "smoothing": 0.125},
    "r-dpo": {"beta": 0.25, "length_weight": 0.0625},
    "odpo[gap]": {"beta": 0.25, "offset": 0.75},
    "dpop": {"beta": 0.25, "penalty": 2.0},
    "exo_pair": {"beta": 0.25, "smoothing": 0.125},
    "exo_pair[clamped]": {"beta": 0.25, "smoothing": 0.0},
    "discopop": {"beta": 0.25, "temperature": 0.5},
    "f-dpo[alpha]": {"beta": 0.25, "alpha": 0.40625},
    "f-dpo[alpha_authors]": {"beta": 0.25, "alpha": 0.40625},
    "chi-po": {"beta": 0.25, "reward_bound": 1.75},
    "rebel": {"eta": 2.0},
    "sppo": {"eta": 4.0},
    "slic": {"margin": 1.0, "nll_weight": 0.125},
    "simpo": {"beta": 2.0, "gamma": 0.5},
    "simpo[gamma_ratio]": {"beta": 2.0, "gamma_ratio": 0.5},
    "alphapo": {"beta": 2.0, "alpha": 0.25, "gamma": 0.5},
    "cpo": {"beta": 0.25, "nll_weight": 0.5},
    "cpo[token_mean]": {"beta": 0.25, "nll_weight": 0.5},
    "cpo-simpo": {"beta": 2.0, "gamma": 0.5, "nll_weight": 0.5},
    "orpo": {"odds_weight": 0.25},
    "orpo[sum]": {"odds_weight": 0.25},
    "orpo[prompt]": {"odds_weight": 0.25},
    "kto": {"beta": 0.25, "desirable": 1.0, "undesirable": 1.5},
    "kto[example_mean]": {"beta": 0.25, "desirable": 1.0, "undesirable": 1.5},
    "bco[running]": {"beta": 0.25, "delta": 0.5},
    "sft": {},
    "sft[token_mean]": {},
}
Batch = dict[str, Any]


def numbers_of(name: str) -> dict[str, float]:
    """The hyper-parameters of an objective's cases."""
    return NUMBERS.get(name, {"beta": 0.25})


def _batch(reason: str, pairs: str, **more: Any) -> Batch:
    """A batch of rows ``policy_chosen policy_rejected ref_chosen ref_rejected chosen_length rejected_length``."""
    columns = np.array([[float(x) for x in row.split()] for row in pairs.split(";")]).T
    names = ("policy_chosen", "policy_rejected", "ref_chosen", "ref_rejected", "chosen_lengths", "rejected_lengths")
    size = columns.shape[1]
    rows = np.arange(size)
    given = dict(zip(names, (x.tolist() for x in columns), strict=True)) | {
        "chosen_rewards": (1.0 - rows / 8).tolist(),
        "rejected_rewards": (rows / 4 - 0.5).tolist(),
        "chosen_win_rates": (0.75 - rows / 32).tolist(),
        "rejected_win_rates": (0.25 + rows / 32).tolist(),
        "kl": 0.375,
        "policy_prompts": (-2.0 - rows / 2).tolist(),
        "prompt_lengths": (3.0 + rows % 2).tolist(),
    }
    return {"reason": reason, **given, **more}


TYPICAL = (
    "-14.5 -19.25 -17.25 -18.75 6 9; -30.125 -22 -29.5 -23.75 14 8; "
    "-9.75 -12.125 -13.25 -14.25 3 4; -21.5 -26.875 -22.75 -22.5 11 7"
)
BATCHES: dict[str, Batch] = {
    "typical": _batch("What a trainer sees after some steps; here every two objectives differ.", TYPICAL),
    "start": _batch(
        "The policy is still the reference: no log-ratio yet.",
        "-14.5 -17.25 -14.5 -17.25 6 9; -30 -22 -30 -22 14 8",
    ),
    "identical": _batch("Chosen and rejected are one response.", "-14.5 -14.5 -15.25 -15.25 6 6; -9 -9 -8 -8 3 3"),
    "one": _batch("One pair alone: what looks at a batch sees only it.", "-9.75 -9.125 -11.5 -10.25 3 4"),
    "long": _batch(
        "Sums near -2000, where float32 keeps few digits.",
        "-1990.25 -2010.5 -1995.5 -2004.125 1500 1800; -60 -1800 -63 -1802 40 1500",
    ),
    "far": _batch(
        "Log-ratios of ±1000: the loss is 0, large or infinite, never NaN.",
        "-3 -1003 -1003 -3 4 4; -1003 -3 -3 -1003 4 4; -1003 -1003 -3 -3 4 4; -3 -3 -1003 -1003 4 4",
    ),
    "short": _batch("Responses of one token.", "-1.5 -2.25 -1.25 -1.75 1 1; -0.5 -0.75 -1 -0.5 1 2"),
    "no_tokens": _batch(
        "A response without tokens: whoever divides by its length must refuse.",
        "0 -2.25 0 -1.75 0 1; -1 -2 -1 -2 1 1",
    ),
    "ties": _batch("Equal implicit rewards: a tie is no hit in accuracy.", "-2 -3 -1 -2 2 2; -4 -5 -5 -6 3 3"),
    "sure": _batch(
        "The policy is sure of the chosen response: log-probability 0.",
        "0 -2.25 -0.5 -1.75 2 3; -1 -2 -1.5 -2.5 2 2",
    ),
    "negative_kl": _batch(
        "An estimate of KL below 0 counts as 0.",
        "-14.5 -17.25 -15.25 -16 6 9; -9.75 -9.125 -11.5 -10.25 3 4", kl=-0.5,
    ),
    "micro": _batch(
        "Two micro-batches of unlike lengths: the mean over tokens of the batch is not the mean of their means.",
        "-6 -9 -6.5 -8 4 5; -48 -30 -44 -32 32 20", micro_batches=[[0], [1]],
    ),
    "tokens": _batch(
        "Token by token: sums of the masked log-probabilities; the second pair has no prompt.",
        "-1.75 -2.5 -2 -2.25 2 3; -3.25 -2 -3 -2.25 3 2",
        policy_chosen_tokens=[[-0.5, -1, -0.75], [-1, -1.25, -1]], chosen_mask=[[0, 1, 1], [1, 1, 1]],
        policy_rejected_tokens=[[-1, -0.5, -1], [-1, -1, -9]], rejected_mask=[[1, 1, 1], [1, 1, 0]],
        policy_prompts=[-0.5, 0.0], prompt_lengths=[1.0, 0.0],
    ),
}  # fmt: skip
_UNEQUAL = _batch(
    "Three chosen examples and one rejected: no pairs.", "-14.5 -17.25 -15.25 -16 6 9; -30 0 -28.5 0 14 1; -9.75 0 -11.5 0 3 1"
)
BATCHES["unequal"] = {key: value[:1] if "rejected" in key else value for key, value in _UNEQUAL.items()}
_CORNER = "-10 -13 -12 -11 5 5; -20 -26 -22 -24 9 9"  # z = β · 4 = 1
BATCHES["corner"] = _batch("A hinge on its corner, z = 1: any slope between the two given is one.", _CORNER)
BATCHES["weighted"] = _batch("Each pair has a factor, as WPO's.", TYPICAL, weights=[0.5, 0.25, 1.0, 0.0])


def cases(names: Iterable[str] = OBJECTIVES) -> Iterator[dict[str, Any]]:
    """Every case: which objective, with which numbers, on which batch, with its answers."""
    for name in names:
        if OBJECTIVES[name].of_pairs:
            yield from _cases_of(name)


def _cases_of(name: str) -> Iterator[dict[str, Any]]:
    kind, numbers = OBJECTIVES[name], numbers_of(name)
    unpaired, whole = not kind.paired and not kind.batch_level, kind.batch_level or kind.centred or kind.token_mean
    divides = looks_at(name, "chosen_lengths", "rejected_lengths")
    wanted = {"typical", "start", "identical", "long", "far"}
    wanted |= {"no_tokens", "short"} if divides else set()
    wanted |= {"one"} if whole or name == "dpo" else set()
    wanted |= {"tokens"} if divides or kind.token_mean or name == "dpo" else set()
    wanted |= {"sure"} if kind.reference_free or name == "dpo" else set()
    wanted |= {"unequal"} if unpaired else set()
    wanted |= {"micro"} if kind.token_mean else set()
    wanted |= {"corner"} if name == "hinge" else set()
    wanted |= {"negative_kl"} if looks_at(name, "kl") else set()
    wanted |= {"ties", "weighted"} if name in ("dpo", "ipo[sum]", "simpo", "kto") else set()
    for batch in BATCHES:
        if batch in wanted:
            yield case(name, numbers, batch)
    if "smoothing" in signature(kind).parameters:
        for value in (0.0, 1e-3, 0.4990234375, 0.5, 0.75):
            yield case(name, {**numbers, "smoothing": value}, "typical", f"smoothing={value:g}")
    if "beta" in numbers:
        yield case(name, {**numbers, "beta": 2.0**-20}, "typical", "beta=2^-20")


def looks_at(name: str, *left_out: str) -> bool:
    """Whether an objective looks at some of a batch's arguments: it refuses one from which they are left out."""
    batch = {key: jnp.asarray(value) for key, value in BATCHES["typical"].items() if key in ARGUMENTS and key not in left_out}
    try:
        jax.eval_shape(lambda given: pair_losses(name, **given, **numbers_of(name)).mean, batch)
    except ArgumentError:
        return True
    return False


def case(name: str, numbers: dict[str, float], batch: str, mark: str = "") -> dict[str, Any]:
    """One case with its answers, or ``"expected": "refuse"``."""
    label = f"{name}/{batch}" + (f"/{mark}" if mark else "")
    made: dict[str, Any] = {"id": label, "objective": name, "numbers": numbers, "batch": batch}
    given = {key: value for key, value in BATCHES[batch].items() if key in ARGUMENTS}
    try:
        pair_losses(name, **given, **numbers)
    except ArgumentError:
        return {**made, "expected": "refuse"}
    answers = answer(name, numbers, BATCHES[batch])
    told = LOGGED if batch in ("typical", "ties", "tokens", "unequal") and not mark else ()
    made |= {key: _plain(value) for key, value in answers.items() if key in told or key not in LOGGED}
    if batch == "corner":
        slope = numbers["beta"] / 2  # of the mean of two pairs
        made |= {"gradient_chosen": [[-slope, 0.0]] * 2, "gradient_rejected": [[0.0, slope]] * 2}
    made["tolerance"] = {np.dtype(kind).name: _tolerance(name, numbers, BATCHES[batch], answers, kind) for kind in DTYPES}
    if batch == "typical" and not mark:
        made["not_to_be_confused_with"] = _others(name, BATCHES[batch])
    if "micro_batches" in BATCHES[batch]:
        parts = [[i] for i in range(2)]
        means = [answer(name, numbers, _rows(BATCHES[batch], rows))["mean"] for rows in parts]
        made["mean_of_micro_batches"] = float(np.mean(means))
    return made


def answer(name: str, numbers: dict[str, float], batch: Batch) -> dict[str, np.ndarray]:
    """Losses, mean, slopes of the mean, implicit rewards and accuracy of an objective on a batch, in float64."""
    if not jax.config.jax_enable_x64:  # type: ignore[attr-defined]
        raise ArgumentError("Argument `jax_enable_x64` must be set: golden vectors are float64.")
    arguments = {key: jnp.asarray(value, jnp.float64) for key, value in batch.items() if key in ARGUMENTS}
    chosen, rejected = arguments.pop("policy_chosen"), arguments.pop("policy_rejected")
    losses, back, got = _differentiated(name)(chosen, rejected, arguments, numbers)
    return {
        "losses": np.asarray(losses), "mean": np.asarray(got[0]),
        "gradient_chosen": np.asarray(back[0]), "gradient_rejected": np.asarray(back[1]),
        "implicit_rewards_chosen": np.asarray(got[1]), "implicit_rewards_rejected": np.asarray(got[2]),
        "accuracy": np.asarray(got[3]),
    }  # fmt: skip


ARGUMENTS = (
    "policy_chosen", "policy_rejected", "ref_chosen", "ref_rejected", "chosen_lengths", "rejected_lengths", "chosen_rewards",
    "rejected_rewards", "chosen_win_rates", "rejected_win_rates", "kl", "policy_prompts", "prompt_lengths", "weights",
)  # fmt: skip
LOGGED = ("implicit_rewards_chosen", "implicit_rewards_rejected", "accuracy")


@functools.cache
def _differentiated(name: str) -> Any:
    """Losses, both slopes of the mean and what is logged, compiled once for each objective and shape."""

    def value(chosen, rejected, arguments, numbers):
        got = pair_losses(name, chosen, rejected, **arguments, **numbers)
        return got.mean, (got.losses, (got.mean, got.chosen_rewards, got.rejected_rewards, got.accuracy))

    def all_of(*given):
        slopes, (losses, logged) = jax.grad(value, argnums=(0, 1), has_aux=True)(*given)
        return losses, slopes, logged

    return jax.jit(all_of)


def _tolerance(
    name: str, numbers: dict[str, float], batch: Batch, answers: dict[str, np.ndarray], dtype: Any
) -> dict[str, float]:
    """Measured: inputs moved by a unit roundoff, times four; and four units of the value and the smallest normal number."""
    eps, tiny = float(np.finfo(dtype).eps), float(np.finfo(dtype).tiny)
    rng = np.random.default_rng(0)
    moved = dict.fromkeys(("losses", "gradient_chosen", "gradient_rejected"), 0.0)
    for _ in range(SHAKES):
        shaken = {k: _shaken(v, rng, eps) if k in ARGUMENTS[:4] else v for k, v in batch.items()}
        there = answer(name, {k: float(_shaken(v, rng, eps)) if k == "beta" else v for k, v in numbers.items()}, shaken)
        for key in moved:
            both = np.isfinite(there[key]) & np.isfinite(answers[key])
            moved[key] = max(moved[key], _largest(np.where(both, there[key], 0.0) - np.where(both, answers[key], 0.0)))
    units = {key: 4 * moved[key] + 4 * eps * _largest(answers[key]) + tiny for key in moved}
    gradient = max(units["gradient_chosen"], units["gradient_rejected"])
    return {"loss": _rounded_up(units["losses"]), "gradient": _rounded_up(gradient)}


def _rounded_up(value: float) -> float:
    """Two digits, upwards."""
    return float(f"{1.05 * value:.1e}")


def _shaken(value: Any, rng: np.random.Generator, eps: float) -> Any:
    array = np.asarray(value, float)
    return array * (1 + eps * rng.choice([-1.0, 1.0], array.shape))


def _largest(values: np.ndarray) -> float:
    finite = np.abs(values[np.isfinite(values)])
    return float(finite.max()) if finite.size else 0.0


def _others(name: str, batch: Batch) -> dict[str, float]:
    """The means of kindred objectives on the same batch, each with its own numbers."""
    return {other: float(answer(other, numbers_of(other), batch)["mean"]) for other in kindred(name)}


def _rows(batch: Batch, rows: list[int]) -> Batch:
    return {key: [value[i] for i in rows] if isinstance(value, list) else value for key, value in batch.items()}


def _plain(value: Any) -> Any:
    """As JSON holds it: infinities as the words that ``float`` reads, what is no number as null."""
    if np.ndim(value):
        return [_plain(x) for x in value]
    number = float(value)
    return None if np.isnan(number) else number if np.isfinite(number) else str(number)


def compute(names: Iterable[str] = OBJECTIVES) -> dict[str, Any]:
    """The file, or that of some objectives, computed anew."""
    made = list(cases(names))
    named = {one["objective"] for one in made}
    told = {name: _facts(name) for name in OBJECTIVES if name in named}
    return {"format": FORMAT, "about": ABOUT, "objectives": told, "batches": BATCHES, "cases": made}


def _facts(name: str) -> dict[str, Any]:
    card, more = OBJECTIVES[name].card, facts(name)
    return {"formula": more["formula"], "reward": card.reward, "link": card.link, "source": card.source, "names": more["names"]}


def shipped() -> dict[str, Any]:
    """The file that ships with this package."""
    return json.loads(SHIPPED.read_text(encoding="utf-8"))


def text(content: dict[str, Any]) -> str:
    """A file's text: one case to a line."""
    head = {key: value for key, value in content.items() if key not in ("batches", "cases", "objectives")}
    lines = [json.dumps(head, ensure_ascii=False)[:-1] + ","]
    for key in ("objectives", "batches"):
        rows = [f"{json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in content[key].items()]
        lines += [f'"{key}": {{', ",\n".join(rows), "},"]
    rows = [json.dumps(one, ensure_ascii=False, allow_nan=False, separators=(",", ":")) for one in content["cases"]]
    return "\n".join([*lines, '"cases": [', ",\n".join(rows), "]}"]) + "\n"
