"""The numbers with which the tests draw every figure small, and what comes out, made once."""

import importlib

import pytest

from didsim.figures import FIGURES
from didsim.figures.settings import configure

SMALL = {  # of the others ``FAST`` is small enough
    "A1": {"n": "8", "seeds": "2"},
    "A2": {"n": "9", "seeds": "2", "stops": "5"},
    "A3": {"n": "8", "seeds": "2", "steps": "3000"},
    "A4": {"n": "6", "seeds": "3"},
    "A5": {"n": "8", "points": "6", "steps": "1500", "strayed": "4"},
    "A6": {"n": "64", "seeds": "2", "references": "3000", "trained_n": "8", "chosen_at": "0.0,0.5"},
    "A7": {"n": "64", "seeds": "2", "samples": "32,128", "draws": "16384", "resamples": "50", "bootstrapped": "50"},
    "A8": {"length": "3", "small_length": "3", "starts": "2", "pairs": "128", "inits": "2", "steps": "600"},
    "B1": {"n": "12", "seeds": "2", "graphs": "16"},
    "B2": {"n": "4", "cases": "2000", "grid": "5"},
    "B3": {"n": "12", "seeds": "4", "grid": "7", "best_of": "1,4,16"},
    "B4": {"n": "8", "seeds": "8", "steps": "1500"},
    "B5": {"n": "10", "seeds": "4", "steps": "60", "small": "8", "sets": "192"},
    "B6": {"n": "20", "seeds": "8", "pairs": "64", "sampled_steps": "800"},
    "B7": {"n": "6", "worlds": "24"},
    "B8": {"n": "4", "grid": "9", "matrices": "8"},
    "C1": {"n": "6", "seeds": "2", "betas": "0.5,1,2", "steps": "3000", "records": "50"},
    "C2": {"n": "8", "repeats": "40"},
}
QUICK = {"A4", "B3"}  # the others take ten seconds to a minute each to compile


def slow(id, *rest):
    """Parameters of a test that draws this figure, marked where that takes long."""
    return pytest.param(id, *rest, marks=() if id in QUICK else pytest.mark.slow)


def numbers(id):
    """The module with the figure's config, run and verdicts."""
    return importlib.import_module(FIGURES[id].numbers)


def picture(id):
    """The module with the figure's draw."""
    return importlib.import_module(FIGURES[id].picture)


class Results(dict):
    """Config, dataset and verdicts of each figure, run small when first asked for."""

    def __missing__(self, id):
        module = numbers(id)
        config = configure(module.Config, SMALL.get(id, {}), fast=True, seed=None)
        data = module.run(config)
        self[id] = config, data, module.verdicts(data)
        return self[id]
