"""Draws from laws over very many responses: two stages, no response without mass, the ends of the uniform."""

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest

from didsim.samplers import laws
from didsim.samplers.laws import draw_index


def excess(index, n: int, draws: int) -> float:
    """z-score of the χ² statistic of draws that should be even over n cells."""
    counts = np.bincount(np.asarray(index).ravel(), minlength=n)
    statistic = ((counts - draws / n) ** 2 / (draws / n)).sum()
    return float((statistic - n) / np.sqrt(2.0 * n))


@pytest.mark.slow
def test_single_precision_draws_are_even_over_a_million_cells(monkeypatch):
    """One uniform of 23 bits gives a million cells eight or nine values each; row and column with one each do not."""
    side, draws = 1024, 6_000_000
    even = jnp.full((1, 1, side, side), -2.0 * np.log(side), jnp.float32)
    row, column = jax.jit(laws.draw_cell, static_argnums=2)(jax.random.key(2), even, draws)
    assert abs(excess(row * side + column, side**2, draws)) < 5.0
    uneven = oracles.log(np.arange(1, side**2 + 1) / (side**2 * (side**2 + 1) / 2)).astype(np.float32)[None, None]
    monkeypatch.setattr(laws, "LONG", side**2)
    coarse = laws.draw_index(jax.random.key(2), jnp.asarray(uneven), draws)
    law = np.exp(uneven[0, 0].astype(float))
    counts = np.bincount(np.asarray(coarse).ravel(), minlength=side**2)
    many = law * draws > 1.0
    z = ((counts - law * draws) ** 2 / (law * draws))[many].sum() - many.sum()
    assert z / np.sqrt(2.0 * many.sum()) > 5.0


def test_long_laws_are_drawn_in_two_stages_and_still_right():
    n, draws = 5000, 200_000
    log_law = oracles.normalize(np.random.default_rng(4).standard_normal((1, 1, n)))
    log_law[..., ::7] = -np.inf
    log_law = oracles.normalize(log_law)
    drawn = jax.jit(laws.draw_index, static_argnums=2)(jax.random.key(1), jnp.asarray(log_law), draws)
    counts = np.bincount(np.asarray(drawn).ravel(), minlength=n)
    assert counts[::7].sum() == 0
    group = np.arange(n) // 50
    assert oracles.p_value(np.bincount(group, counts), np.bincount(group, np.exp(log_law.ravel()))) > 1e-4


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_long_law_never_draws_a_response_without_mass(dtype):
    """A parallel cumulative sum of thousands of terms is not flat where the mass is zero; the draw must not notice."""
    rng = np.random.default_rng(12)
    mass = rng.exponential(size=(1, 1, 4096)) * (rng.random((1, 1, 4096)) < 0.5)
    log_law = jnp.asarray(oracles.log(mass / mass.sum()), dtype)
    cdf = jnp.cumsum(jnp.exp(log_law), -1)[0, 0]
    rises = np.flatnonzero((np.diff(cdf) != 0) & (mass[0, 0, 1:] == 0))
    assert rises.size > 10  # the danger is there: aim a uniform at every rise
    with pytest.MonkeyPatch.context() as patch:
        aimed = jnp.nextafter(cdf[1:][rises] / cdf[-1], jnp.zeros((), dtype))
        patch.setattr(jax.random, "uniform", lambda key, shape, dtype: aimed[None, None])
        drawn = jax.jit(lambda: draw_index(jax.random.key(0), log_law, rises.size))()
    assert bool(np.all(mass[0, 0, np.asarray(drawn)] > 0))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("end", [0.0, "one"])
def test_uniforms_at_the_ends_of_their_range(dtype, end):
    log_law = jnp.asarray(oracles.log([[[0.0, 1e-30, 0.3, 0.7, 0.0]]]), dtype)
    value = jnp.full((1, 1, 3), 0.0 if end == 0.0 else 1.0, dtype)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax.random, "uniform", lambda key, shape, dtype: value)
        drawn = draw_index(jax.random.key(0), log_law, 3)
    assert drawn.tolist() == [[[1 if end == 0.0 else 3] * 3]]
