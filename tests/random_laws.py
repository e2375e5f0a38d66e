"""Random laws that several files of tests use, drawn when first asked for, and how two batches of numbers are compared."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import oracles
from tolerance import tolerance

DTYPES = (np.float32, np.float64)
N = 6


class Drawn:
    """Values by name, each made when it is first asked for: nothing is computed while tests are collected."""

    def __init__(self, **makers: Callable[[], Any]) -> None:
        self.makers = makers

    def __getattr__(self, name: str) -> Any:
        with jax.ensure_compile_time_eval():  # also where a traced function is the first to ask
            value = self.__dict__["makers"][name]()
        setattr(self, name, value)
        return value


class RandomWorlds:
    """Four log-laws for each of many worlds, the spread of whose logits runs from narrow to wide over the first axis.

    Attributes:
        count: number of worlds.
    """

    def __init__(self, seed: int, count: int, betas: tuple[float, float], n: int = N) -> None:
        self.seed, self.count, self.ends, self.n = seed, count, betas, n

    def _law(self, which: int) -> np.ndarray:
        return oracles.log_laws(self.seed + which, (self.count, self.n))

    @cached_property
    def ref(self) -> np.ndarray:
        return self._law(0)

    @cached_property
    def target(self) -> np.ndarray:
        return np.roll(self._law(1), self.count // 3, axis=0)  # so that wide and narrow laws meet

    @cached_property
    def chosen(self) -> np.ndarray:
        return self._law(2)

    @cached_property
    def rejected(self) -> np.ndarray:
        return self._law(3)

    @property
    def direction(self) -> np.ndarray:
        return self.target - self.ref

    @property
    def betas(self) -> np.ndarray:
        return np.geomspace(*self.ends, self.count)

    @property
    def times(self) -> np.ndarray:
        return np.linspace(-1.5, 2.5, self.count)


MANY, SOME, WIDER = (
    RandomWorlds(10, 2000, (0.05, 20.0)),
    RandomWorlds(20, 400, (0.1, 10.0)),
    RandomWorlds(20, 2000, (1.0, 1.0), 8),
)


def worst(got, wanted, *, scale=1.0) -> float:
    """Largest gap between two batches, in units of ``scale``, after widening."""
    return float(np.max(np.abs(np.asarray(got, np.float64) - np.asarray(wanted, np.float64)) / scale))


def cast(dtype, *arrays):
    return [jnp.asarray(a, dtype) for a in arrays]


def extent(*log_laws) -> float:
    """Largest magnitude among the logs: what one rounding unit is multiplied with."""
    return 1.0 + max(float(np.abs(np.asarray(a)).max()) for a in log_laws)


def near(got, wanted, condition=40.0, dtype=np.float64) -> None:
    """Nothing, if two batches agree to within rounding, relative or absolute."""
    slack = tolerance(dtype, condition=condition)
    np.testing.assert_allclose(np.asarray(got, np.float64), wanted, rtol=slack, atol=slack)
