"""Settings every test shares: double precision, and tolerances that follow from the dtype."""

import os

# Nearly all of the tests' time is compilation, and little of that is needed to be right.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

import jax
import pytest

jax.config.update("jax_enable_x64", True)


@pytest.fixture
def key():
    return jax.random.key(0)
