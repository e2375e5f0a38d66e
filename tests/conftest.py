"""Settings every test shares: double precision, and tolerances that follow from the dtype."""

import os

# Nearly all of the tests' time is compilation, and little of that is needed to be right.
# On few cores XLA's CPU kernels can wait for each other for ever; one thread each is enough here.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_cpu_multi_thread_eigen=false")

import jax
import pytest

jax.config.update("jax_enable_x64", True)
# On few cores the CPU's asynchronous dispatch can wait for itself for ever (jax issue 25861).
jax.config.update("jax_cpu_enable_async_dispatch", False)


@pytest.fixture
def key():
    return jax.random.key(0)
