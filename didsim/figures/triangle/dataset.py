"""How is all of it gathered for a picture?  One dataset for any number of objectives and samplers in one world."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from didsim import did
from didsim.figures.triangle.field import check_three, inner_points, motion
from didsim.figures.triangle.runs import Laws, follow
from didsim.figures.triangle.solutions import distance, solution_set
from didsim.numerics import checks
from didsim.objectives import Objective
from didsim.samplers import ChosenRejected, OptimalRejected, Sampler
from didsim.worlds import Problem, problem
from didsim.worlds.preferences import AsShown, BradleyTerry, Labels

REFERENCE, REWARD = (0.15, 0.7, 0.15), (0.0, 0.4, 1.0)
CORNERS = ((0.8, 0.1, 0.1), (0.1, 0.8, 0.1), (0.1, 0.1, 0.8))


def three_responses(beta: float = 0.5, reference: Laws = REFERENCE, reward: Laws = REWARD) -> Problem:
    """World of three responses whose reference likes the middle one best, so that π* and q lie well apart.

    Raises:
        ArgumentError: the reference is no law on three responses, the rewards are not three numbers, or ``beta <= 0``.

    Example:
        >>> import jax.numpy as jnp
        >>> from didsim import triangle
        >>> print(jnp.exp(triangle.three_responses().log_target).round(3))
        [[0.053 0.553 0.394]]
    """
    ref, gains = jnp.asarray(reference, float), jnp.asarray(reward, float)
    for name, value in (("reference", ref), ("reward", gains)):
        if value.shape != (3,):
            raise checks.ArgumentError(f"Argument `{name}` must be three numbers, but has shape {value.shape}.")
    checks.positive("reference", ref)
    total = float(ref.sum())
    if abs(total - 1.0) > 1e-3:
        raise checks.ArgumentError(f"Argument `reference` must sum to 1, but sums to {total:.6g}.")
    return problem(jnp.log(ref / ref.sum()), reward=gains, beta=beta)


def default_labels(sampler: Sampler) -> Labels:
    """Labels a sampler goes with: the order shown where it draws chosen and rejected responses (D3), Bradley-Terry elsewhere."""
    return AsShown() if isinstance(sampler, ChosenRejected | OptimalRejected) else BradleyTerry()


def portrait(
    problem: Problem,
    objective: Objective,
    sampler: Sampler,
    labels: Labels | None = None,
    *,
    divisions: int = 10,
    starts: Laws = CORNERS,
    steps: int = 20_000,
    records: int = 80,
) -> xr.Dataset:
    """Everything a picture of one loss on the triangle shows: field, runs, solution set and the laws that matter.

    Args:
        problem: world of one prompt and three responses.
        objective: what is minimised.
        sampler: which pairs are shown.
        labels: who wins; `default_labels` if missing.
        divisions: the field is computed at the inner points of a grid with this many divisions.
        starts: probabilities at which runs start besides the reference, shape (starts, 3).
        steps: most gradient steps of a run.
        records: about how many moments of it are recorded.

    Returns:
        Dataset with the field ``motion`` at ``point_law``; the runs ``path`` at their ``step``, the first from the
        reference, and the distance ``gap`` of their ends from the solution set; that set as ``solution_dimension`` and
        ``solution_ends``; and the laws ``ref_law``, ``target_law`` and ``did_law``.

    Raises:
        ArgumentError: not one prompt and three responses, or a number out of range.

    Example:
        >>> import didsim
        >>> world = didsim.triangle.three_responses()
        >>> data = didsim.triangle.portrait(world, didsim.objectives.Dpo(0.5), didsim.samplers.Uniform())
        >>> dict(data["path"].sizes)["start"], bool(data["gap"].max() < 1e-3)
        (4, True)
    """
    check_three(problem)
    labels = default_labels(sampler) if labels is None else labels
    parts = (problem, objective, sampler, labels)
    everywhere = jnp.concatenate([jnp.exp(problem.log_ref), jnp.atleast_2d(jnp.asarray(starts, problem.log_ref.dtype))])
    points = inner_points(divisions)
    runs = jax.tree.map(lambda *leaves: np.stack(leaves), *follow(*parts, everywhere, steps=steps, records=records))
    found = solution_set(*parts)
    path = runs.metrics["law"][:, :, 0]
    changes = {name: (("start", "record"), runs.metrics[name]) for name in ("loss", "chosen_change", "rejected_change")}
    return xr.Dataset(
        {
            "point_law": (("point", "response"), points),
            "motion": (("point", "response"), np.asarray(motion(*parts, points))),
            "path": (("start", "record", "response"), path),
            "step": ("record", runs.steps),
            **changes,
            "gap": ("start", np.asarray(distance(found, jnp.asarray(path[:, -1])))),
            "solution_dimension": int(found.dimension),
            "solution_ends": (("end", "response"), np.asarray(found.ends)),
            **{name: ("response", law) for name, law in laws(problem).items()},
        },
        coords={"response": [f"r = {float(r):.2g}" for r in problem.reward[0]]},
        attrs={"beta": float(problem.beta)},
    )


def gallery(problem: Problem, objectives: Mapping[str, Objective], samplers: Mapping[str, Sampler], **options) -> xr.Dataset:
    """Portraits of every objective under every sampler, along dimensions ``objective`` and ``sampler``.

    Args:
        problem: world of one prompt and three responses.
        objectives: name to objective, at least one.
        samplers: name to sampler, at least one.
        options: as `portrait` takes them.

    Raises:
        ArgumentError: no objective or no sampler, or as `portrait`.
    """
    for name, given in (("objectives", objectives), ("samplers", samplers)):
        if not given:
            raise checks.ArgumentError(f"Argument `{name}` must name at least one, but is empty.")
    rows = [
        xr.concat([portrait(problem, one, sampler, **options) for sampler in samplers.values()], "sampler", data_vars="all")
        for one in objectives.values()
    ]
    whole = xr.concat(rows, "objective", data_vars="all")
    shared = [name for name in ("point_law", "step", "ref_law", "target_law", "did_law") if name in whole]
    alike = {name: whole[name].isel(objective=0, sampler=0) for name in shared}
    return whole.assign(alike).assign_coords(objective=list(objectives), sampler=list(samplers))


def laws(problem: Problem) -> dict[str, np.ndarray]:
    """The laws that are marked on a triangle, as probabilities: ``ref_law``, ``target_law`` and ``did_law``."""
    logs = {
        "ref_law": problem.log_ref,
        "target_law": problem.log_target,
        "did_law": did.log_did(problem.log_target, problem.log_ref),
    }
    return {name: np.exp(np.asarray(log_law[0])) for name, log_law in logs.items()}
