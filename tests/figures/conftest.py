"""What the tests of figures share: results of the small figures, and portraits of a loss on three responses."""

import jax.numpy as jnp
import pytest
from small_figures import Results

from didsim import triangle
from didsim.objectives import Dpo
from didsim.samplers import Blocks


@pytest.fixture(scope="session")
def results():
    return Results()


@pytest.fixture(scope="session")
def world():
    return triangle.three_responses(0.5)


@pytest.fixture(scope="session")
def samplers():
    return {"all": Blocks(jnp.array([0, 0, 0])), "last never shown": Blocks(jnp.array([0, 0, -1]))}


@pytest.fixture(scope="session")
def portraits(world, samplers):
    """DPO at two strengths, which share their programs, on all pairs and without the last response."""
    return triangle.gallery(world, {"dpo": Dpo(0.5), "sharper": Dpo(1.0)}, samplers, divisions=5)
