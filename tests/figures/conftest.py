"""What the tests of figures share: results of the small figures, and portraits of two losses on three responses."""

import jax.numpy as jnp
import pytest
from small_figures import Results

from didsim import triangle
from didsim.objectives import Dpo, SimPo
from didsim.samplers import Blocks


@pytest.fixture(scope="session")
def results():
    return Results()


@pytest.fixture(scope="session")
def world():
    return triangle.three_responses(0.5)


@pytest.fixture(scope="session")
def portraits(world):
    """DPO and SimPO, all pairs and without the last response."""
    samplers = {"all": Blocks(jnp.array([0, 0, 0])), "last never shown": Blocks(jnp.array([0, 0, -1]))}
    return triangle.gallery(world, {"dpo": Dpo(0.5), "simpo": SimPo(0.5)}, samplers, divisions=5)
