"""Logs for the tests of `didsim diagnose`: exact worlds as tables of all their pairs, and changes to the rows of real runs."""

import functools
import json
import math

import numpy as np
import preference_runs

BETA = 0.5
W, L = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])  # laws of chosen and rejected responses, in hundredths of pairs


@functools.cache
def pairs():
    """Every pair of chosen and rejected response, as often as it comes in a hundred."""
    return [(a, b) for a in range(3) for b in range(3) for _ in range(round(100 * W[a] * L[b]))]


@functools.cache
def target():
    """DPO's optimum with π_ref = π_w (D5)."""
    return W * (W / L) ** (1 / BETA) / np.sum(W * (W / L) ** (1 / BETA))


def tabled(laws, ref, **more):
    """Rows of all pairs under a policy law at each of some steps: frequencies are the laws themselves, without noise."""
    return [
        {
            "step": 10 * at,
            "pair": pair,
            "chosen_logps": math.log(law[a]),
            "rejected_logps": math.log(law[b]),
            "ref_chosen_logps": math.log(ref[a]),
            "ref_rejected_logps": math.log(ref[b]),
            **{name: value(a, b) for name, value in more.items()},
        }
        for at, law in enumerate(laws)
        for pair, (a, b) in enumerate(pairs())
    ]


def along(ref, target, places):
    """Laws on the geodesic from one law to another."""
    laws = [ref ** (1 - t) * target**t for t in places]
    return [law / law.sum() for law in laws]


def written(tmp_path, rows, name="run.jsonl"):
    """The rows as a file of JSON lines."""
    return preference_runs.write(rows, tmp_path / name)


def lines(rows):
    """The rows as the text of JSON lines."""
    return "\n".join(map(json.dumps, rows))


def answer(found, name):
    """The finding of that name."""
    return next(finding for finding in found.findings if finding.name == name)


def numbers(found, name):
    """What the finding of that name rests on."""
    return answer(found, name).numbers


def changed(rows, change):
    """The rows with entries that depend on each."""
    return [{**row, **change(row)} for row in rows]


def broken(rows, line, **change):
    """The rows with entries of one line changed."""
    return [{**row, **change} if at == line - 1 else row for at, row in enumerate(rows)]


def rewarded(rows, beta):
    """The rows with the rewards that a trainer logs."""
    sides = ("chosen", "rejected")
    return changed(rows, lambda row: {f"rewards/{s}": beta * (row[f"{s}_logps"] - row[f"ref_{s}_logps"]) for s in sides})


def scaled(rows, by):
    """Log-ratios of all rows, multiplied."""

    def move(row):
        return {
            f"{s}_logps": min(0.0, row[f"ref_{s}_logps"] + by * (row[f"{s}_logps"] - row[f"ref_{s}_logps"]))
            for s in ("chosen", "rejected")
        }

    return changed(rows, move)


def pulled(rows, chosen, rejected):
    """The references' own log-probabilities, less 20 nats, with other log-ratios on top."""

    def move(row):
        ref = {f"ref_{side}_logps": row[f"ref_{side}_logps"] - 20 for side in ("chosen", "rejected")}
        return {
            **ref,
            "chosen_logps": ref["ref_chosen_logps"] + chosen(row),
            "rejected_logps": ref["ref_rejected_logps"] + rejected(row),
        }

    return changed(rows, move)


def batched(rows):
    """One row of lists per step."""
    steps = sorted({row["step"] for row in rows})
    return [
        {"step": step, **{name: [row[name] for row in rows if row["step"] == step] for name in rows[0] if name != "step"}}
        for step in steps
    ]


def means_of(sample, beta=0.1, prefix=""):
    """What TRL would have logged of the run."""
    rows = []
    for row in batched(sample):
        c, r, rc, rr = (np.array(row[f"{name}_logps"]) for name in ("chosen", "rejected", "ref_chosen", "ref_rejected"))
        margin = beta * (c - rc - r + rr)
        values = {
            "loss": np.logaddexp(0, -margin), "rewards/chosen": beta * (c - rc), "rewards/rejected": beta * (r - rr),
            "rewards/margins": margin, "rewards/accuracies": margin > 0, "logps/chosen": c, "logps/rejected": r,
        }  # fmt: skip
        rows += [{"step": row["step"], "epoch": 0.1, **{prefix + name: float(np.mean(value)) for name, value in values.items()}}]
    return rows
