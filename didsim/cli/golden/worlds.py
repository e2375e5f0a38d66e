"""Which numbers must a whole world give?  Named problems with their optimum and the ends of objectives in closed form.

All have β = ½ and, but for the sequences, four responses.  Most draw pairs from ``π_w ⊗ π_l`` as shown; some say which
pairs are shown and who wins them, and their ends come from a solver.  Answers are laws, as probabilities, with the residual:
the largest slope left in a logit.  Where minimisers are a set, the end is the one that descent from the reference reaches.
"""

import json
import math
from inspect import signature
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from didsim.landscape import survey
from didsim.landscape.solvers import solve
from didsim.numerics import simplex
from didsim.numerics.errors import ArgumentError
from didsim.objectives import OBJECTIVES, population, responses
from didsim.objectives.comparisons import prompt_losses, with_means
from didsim.samplers import ChosenRejected, Joint, Uniform
from didsim.samplers.data import Data
from didsim.worlds import problem
from didsim.worlds.preferences import AsShown, PreferenceMatrix

FORMAT, BETA = 1, 0.5
SOLVED = 1e-12
SHIPPED = Path(__file__).with_name("worlds.json")
ABOUT = (
    "Preference problems with exact answers. Public domain (CC0). Laws are probabilities; pairs are drawn from chosen x rejected."
)
RISING, FLAT = (0.0, 0.25, 0.5, 1.0), (0.25, 0.25, 0.25, 0.25)
World = dict[str, Any]


def _world(why: str, reference=FLAT, reward=RISING, chosen=None, rejected=None, lengths=(1, 1, 1, 1)) -> World:
    given = {"reference": reference, "reward": reward, "lengths": lengths, "chosen": chosen, "rejected": rejected}
    return {"why": why, **{key: None if value is None else list(map(float, value)) for key, value in given.items()}}


SKEWED, UP, DOWN = (0.1, 0.2, 0.3, 0.4), (0.1, 0.15, 0.25, 0.5), (0.4, 0.3, 0.2, 0.1)
WORLDS: dict[str, World] = {
    "matched": _world("Chosen and rejected follow the power law: DPO ends at the optimum."),
    "matched_skewed": _world("The same with a reference that is not uniform.", SKEWED),
    "weak_reference": _world("The reference rarely gives the best response.", (0.5, 0.3, 0.15, 0.05)),
    "sharp_reference": _world("Nearly all of the reference is one response.", (0.94, 0.02, 0.02, 0.02)),
    "good_reference": _world("The reference prefers what is rewarded already.", (0.05, 0.15, 0.3, 0.5)),
    "no_reward": _world("All responses are alike: the optimum is the reference.", SKEWED, (0, 0, 0, 0)),
    "ties": _world("Two pairs of equal rewards.", SKEWED, (0, 0, 1, 1)),
    "outlier": _world("One response is far better than all others.", FLAT, (0, 0.125, 0.25, 2)),
    "off_power_law": _world("Chosen and rejected are no powers of one another: no law suits all.", FLAT, RISING, UP, DOWN),
    "off_and_skewed": _world("The same with a reference that is not uniform.", SKEWED, RISING, UP, DOWN),
    "misled": _world("Pairs prefer what is not rewarded.", FLAT, RISING, DOWN, UP),
    "reference_rejected": _world("Rejected responses are the reference's, chosen ones tilted.", SKEWED, RISING, UP, SKEWED),
    "barely_chosen": _world("Chosen and rejected hardly differ.", FLAT, RISING, (0.24, 0.25, 0.25, 0.26), FLAT),
    "length_biased": _world("Long responses are rewarded.", FLAT, RISING, None, None, (2, 4, 6, 12)),
    "short_is_good": _world("Short responses are rewarded.", FLAT, RISING, None, None, (12, 6, 4, 2)),
    "lengths_off": _world("Lengths that go neither way, off the power law.", SKEWED, RISING, UP, DOWN, (3, 1, 4, 2)),
    "close_race": _world("The two best are nearly alike.", SKEWED, (0, 0.5, 1, 1.0625)),
    "steep": _world("Rewards of four units, eight in units of β.", FLAT, (0, 1, 2, 4)),
    "reversed_reference": _world("The reference is ordered against the reward.", DOWN),
    "two_good": _world("Two responses are good, two are bad, the reference mixes them.", (0.3, 0.2, 0.2, 0.3), (1, 0, 1, 0)),
}  # fmt: skip


# Next-token laws of the reference after each prefix; token 2 ends a response, two tokens are the most.
NEXT_TOKEN = {(): (0.5, 0.3, 0.2), (0,): (0.25, 0.25, 0.5), (1,): (0.6, 0.2, 0.2)}
TOKENS, TOKEN_REWARD = ([2], [0, 2], [1, 2], [0, 0], [0, 1], [1, 0], [1, 1]), (0.0, 0.5, 0.125)


def _sequences(why: str, **laws: Any) -> World:
    """A world whose responses are sequences of tokens, and whose rewards are sums over them."""
    reference = [math.prod(NEXT_TOKEN[tuple(row[:i])][token] for i, token in enumerate(row)) for row in TOKENS]
    reward = [sum(TOKEN_REWARD[token] for token in row) for row in TOKENS]
    return {**_world(why, reference, reward, lengths=[len(row) for row in TOKENS], **laws), "tokens": TOKENS}


CHOSEN_SEQUENCES, REJECTED_SEQUENCES = (0.05, 0.1, 0.15, 0.05, 0.2, 0.1, 0.35), (0.3, 0.2, 0.1, 0.15, 0.1, 0.1, 0.05)
SEQUENCES: dict[str, World] = {
    "sequences": _sequences("Responses are up to two tokens of three, the last of which ends; rewards add up over tokens."),
    "sequences_off": _sequences(
        "The same, off the power law.", chosen=CHOSEN_SEQUENCES, rejected=REJECTED_SEQUENCES,
    ),
}  # fmt: skip


def _shown(why: str, reference, reward, pairs, wins) -> World:
    """A world that says which pairs are shown and who wins them."""
    given = {"reference": reference, "reward": reward, "lengths": (1, 1, 1, 1)}
    tables = {"pairs": np.asarray(pairs, float).tolist(), "wins": np.asarray(wins, float).tolist()}
    return {"why": why, **{key: list(map(float, value)) for key, value in given.items()}, **tables}


ALL_PAIRS = (1.0 - np.eye(4)) / 12
LOGISTIC = 1.0 / (1.0 + np.exp(-np.subtract.outer(RISING, RISING)))
SHOWN: dict[str, World] = {
    "cyclic": _shown(
        "Three responses beat each other in a circle, all beat the fourth: no reward explains it.",
        SKEWED, (0, 0, 0, 0), ALL_PAIRS,
        [[0.5, 0.9, 0.1, 0.8], [0.1, 0.5, 0.9, 0.8], [0.9, 0.1, 0.5, 0.8], [0.2, 0.2, 0.2, 0.5]],
    ),
    "two_components": _shown(
        "The first two responses are compared, and the last two, but never across: the split between them is not learned.",
        SKEWED, RISING, np.kron(np.eye(2), [[0, 0.25], [0.25, 0]]), LOGISTIC,
    ),
    "rare_pairs": _shown(
        "Two halves are joined by pairs that are shown once in a thousand: the optimum is there, and far.",
        SKEWED, RISING, 0.999 * np.kron(np.eye(2), [[0, 0.25], [0.25, 0]]) + 0.001 * ALL_PAIRS, LOGISTIC,
    ),
}  # fmt: skip


def compute() -> dict[str, Any]:
    """The whole file, computed anew: a problem with a prompt for each world of a size, so that each objective is asked once."""
    if not jax.config.jax_enable_x64:  # type: ignore[attr-defined]
        raise ArgumentError("Argument `jax_enable_x64` must be set: gold answers are float64.")
    return {"format": FORMAT, "about": ABOUT, "worlds": _drawn(WORLDS) | _drawn(SEQUENCES) | _solved()}


def _drawn(worlds: dict[str, World]) -> dict[str, Any]:
    """Worlds of one number of responses whose pairs are drawn from ``π_w ⊗ π_l``, with every closed-form end."""
    given = list(worlds.values())
    alone = [_problem(one) for one in given]
    stacked = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *[_laws(one) for one in alone])
    together = problem(
        stacked["log_ref"], reward=stacked["reward"], beta=BETA, lengths=stacked["lengths"],
        log_chosen=stacked["log_chosen"], log_rejected=stacked["log_rejected"],
    )  # fmt: skip
    ends = {name: rows for name in OBJECTIVES if (rows := _ends(together, name)) is not None}
    found = survey.survey(together, Uniform())
    made = {}
    for i, (name, one) in enumerate(worlds.items()):
        target = together.log_target[i]
        value = jnp.sum(jnp.exp(target) * (together.reward[i] - BETA * (target - together.log_ref[i])))
        made[name] = {
            **one, "chosen": _law(together.log_chosen[i]), "rejected": _law(together.log_rejected[i]), "beta": BETA,
            "target": _law(target), "value": float(value), "divergence": float(simplex.kl(target, together.log_ref[i])),
            "uniform_pairs": {
                "lambda_2": float(found.smallest[i]), "kappa": float(found.largest[i] / found.smallest[i]),
                "signal": float(found.signal[i]),
            },
            "ends": {label: rows[i] for label, rows in ends.items()},
        }  # fmt: skip
    return made


def _solved() -> dict[str, Any]:
    """Worlds of given pairs, with the ends of the convex objectives of pairs as the solver finds them."""
    given = list(SHOWN.values())
    laws = [jnp.asarray([one[key] for one in given]) for key in ("pairs", "wins")]
    log_ref, reward = (jnp.asarray([one[key] for one in given]) for key in ("reference", "reward"))
    together = problem(jnp.log(log_ref), reward=reward, beta=BETA)
    data = Data(Joint(jnp.log(laws[0])), PreferenceMatrix(laws[1]))
    ends = {}
    for name, kind in OBJECTIVES.items():
        if kind.convex and kind.paired and kind.of_pairs and not kind.kinked:
            objective = kind(**{"beta": BETA} if "beta" in signature(kind).parameters else {})
            end = solve(together, objective, data.sampler, data.labels)
            ends[name] = _rows(together, objective, data, end.log_policy)
    return {
        name: {
            **one, "beta": BETA, "target": _law(together.log_target[i]),
            "ends": {label: rows[i] for label, rows in ends.items() if rows[i]["residual"] < SOLVED},
        }
        for i, (name, one) in enumerate(SHOWN.items())
    }  # fmt: skip


def _problem(one: World) -> Any:
    laws = {f"log_{key}": np.log(one[key]) for key in ("chosen", "rejected") if one[key] is not None}
    return problem(np.log(one["reference"]), reward=np.array(one["reward"]), beta=BETA, lengths=np.array(one["lengths"]), **laws)


def _laws(one: Any) -> dict[str, Any]:
    return {key: getattr(one, key) for key in ("log_ref", "reward", "lengths", "log_chosen", "log_rejected")}


def _ends(together: Any, name: str) -> list[dict[str, Any]] | None:
    """Where an objective ends in every world, at the world's β if it has one; None where there is no closed form."""
    numbers = {"beta": BETA} if "beta" in signature(OBJECTIVES[name]).parameters else {}
    objective = OBJECTIVES[name](**numbers)
    best = objective.minimiser(together)
    if best is None:
        return None
    return _rows(together, objective, Data(ChosenRejected(), AsShown()), best)


def _rows(together: Any, objective: Any, data: Data, best: Any) -> list[dict[str, Any]]:
    """Laws, losses there, and the largest slope that is left."""
    shown = population(together, data.sampler, data.labels, best)

    def losses(logits: Any) -> Any:
        return prompt_losses(objective, with_means(objective, responses(together, simplex.normalize(logits)), shown), shown)

    values, slopes = losses(best), jax.grad(lambda logits: losses(logits).sum())(best)
    columns = zip(best, values, slopes, strict=True)
    return [{"law": _law(law), "loss": float(loss), "residual": float(jnp.abs(slope).max())} for law, loss, slope in columns]


def _law(log_law: Any) -> list[float]:
    return [float(x) for x in np.exp(np.asarray(log_law))]


def shipped() -> dict[str, Any]:
    """The file that ships with this package."""
    return json.loads(SHIPPED.read_text(encoding="utf-8"))


def text(content: dict[str, Any]) -> str:
    """A file's text: one world to a line."""
    head = json.dumps({key: value for key, value in content.items() if key != "worlds"}, ensure_ascii=False)[:-1]
    rows = [
        f"{json.dumps(key)}: {json.dumps(one, ensure_ascii=False, allow_nan=False)}" for key, one in content["worlds"].items()
    ]
    return head + ',\n"worlds": {\n' + ",\n".join(rows) + "}}\n"
