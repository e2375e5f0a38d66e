"""Short training runs on the shared problem, and the same runs in plain NumPy loops."""

import jax
import numpy as np
import oracles
import population_oracles
from objective_cases import NUMBERS, make
from problem_cases import SHARES, given

from didsim.dynamics import train
from didsim.dynamics.metrics import measure
from didsim.worlds.preferences import BradleyTerry

STEPS = 8
measured = jax.jit(measure)


def watch(world, objective, log_policy, comparisons):
    """Metrics of a run: the policy alone."""
    return {"log_policy": log_policy}


def every_step(name, sampler=None, **settings):
    """Log-policies at every step of a short run, and the run."""
    sampler = given().pairs if sampler is None else sampler
    run = train(given().problem, make(name), sampler, BradleyTerry(), steps=STEPS, records=50, metrics=watch, **settings)
    assert np.array_equal(run.steps, np.arange(STEPS + 1))
    return run.metrics["log_policy"], run


def gradient(name, logits, shown=None):
    """Gradient of the loss in the logits, the prompts weighed by their shares."""
    shown, slopes = given().shown if shown is None else shown, []
    for row, world, pairs, wins in zip(logits, given().worlds, shown, given().soft, strict=True):
        law = population_oracles.chosen_rejected_law(pairs, wins)
        slopes.append(population_oracles.value_and_gradient(name, row, world, law, **NUMBERS[name])[1])
    return SHARES[:, None] * np.array(slopes)


def by_hand(name, move, shown=lambda logits: None):
    """The same run in NumPy: ``move(step, gradient, memory)`` gives the update and the new memory."""
    logits, memory, path = given().ref.copy(), None, [given().ref]
    for k in range(STEPS):
        update, memory = move(k, gradient(name, logits, shown(logits)), memory)
        logits = logits + update
        path.append(oracles.normalize(logits))
    return np.array(path)


def sgd(rate):
    """Plain gradient steps."""
    return lambda k, slope, memory: (-rate * slope, None)
