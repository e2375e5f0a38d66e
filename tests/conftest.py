"""Settings every test shares: double precision, and tolerances that follow from the dtype."""

import inspect
import os
from pathlib import Path

# Nearly all of the tests' time is compilation, and little of that is needed to be right; each process has one core.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1",
)

import jax
import jaxtyping
import pytest

from didsim.numerics.compilation import use_compilation_cache
from didsim.numerics.processes import collect_rarely

collect_rarely()
with_checks = jaxtyping.jaxtyped


def _with_checks_of_annotations(*, typechecker):
    """A wrapper takes longer than a small function, and one inside another is wrapped anew whenever it is made."""
    checked = with_checks(typechecker=typechecker)
    return lambda one: one if inspect.isfunction(one) and not one.__annotations__ else checked(one)


jaxtyping.jaxtyped = _with_checks_of_annotations  # what the import hook of --jaxtyping-packages calls
os.environ["DIDSIM_TRACES"] = "0"  # tests replace parts of the package, which a kept trace would not see
use_compilation_cache(Path(__file__).parents[1] / ".pytest_cache" / "programs")
jax.config.update("jax_enable_x64", True)


@pytest.fixture
def key():
    return jax.random.key(0)


@pytest.fixture(scope="module")
def browser():
    """A browser for the tests of pages; only they import what drives it."""
    from browsing import opened_browser

    with opened_browser() as opened:
        yield opened


@pytest.fixture
def visit(browser, address):
    """Visits to the module's ``address``, checked at the end for what a page fetched or complained of."""
    from browsing import visits

    with visits(browser, address) as opened:
        yield opened


MAPPINGS = Path("/proc/self/maps")
MOST_MAPPINGS = 20_000  # Linux gives a process 65,530; every compiled program takes some, and beyond them XLA crashes


@pytest.fixture(scope="module", autouse=True)
def _forget_programs():
    """Lets go of compiled programs between files when there are very many."""
    yield
    if MAPPINGS.exists() and len(MAPPINGS.read_bytes().splitlines()) > MOST_MAPPINGS:
        jax.clear_caches()
