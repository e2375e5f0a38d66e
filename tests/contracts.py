"""What every pytree of didsim and every function of it must keep: jit, vmap, round trips, one trace."""

import jax
import jax.numpy as jnp
import numpy as np
from tolerance import tolerance


def assert_close(got, wanted, *, rtol: float = 0.0, atol: float | None = None) -> None:
    """Same structure and same numbers, infinities included, reporting the worst."""
    assert jax.tree.structure(got) == jax.tree.structure(wanted)
    for mine, theirs in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
        mine, theirs = np.asarray(mine), np.asarray(theirs)
        slack = tolerance(mine.dtype if mine.dtype.kind == "f" else np.float64) if atol is None else atol
        np.testing.assert_allclose(mine, theirs, rtol=rtol, atol=slack, strict=True)


def assert_jit_and_vmap(function, *calls) -> None:
    """``calls`` are tuples of arguments, alike but for their numbers.

    A jitted loop over them traces once and gives what the plain function gives; all at once gives what the loop gives.
    """
    traces = []

    def counted(*arguments):
        traces.append(1)
        return function(*arguments)

    jitted = jax.jit(counted)
    loop = [jitted(*call) for call in calls]
    assert len(traces) == 1, f"{len(traces)} traces in a loop of {len(calls)}"
    assert_close(loop[0], function(*calls[0]))
    assert_close(jax.jit(jax.vmap(function))(*stack(*calls)), stack(*loop))


def assert_round_trip(tree) -> None:
    """Flattening and mapping give back an equal tree of the same type."""
    leaves, structure = jax.tree.flatten(tree)
    for again in (jax.tree.unflatten(structure, leaves), jax.tree.map(lambda leaf: leaf, tree)):
        assert type(again) is type(tree)
        assert jax.tree.structure(again) == structure
        assert all(mine is theirs for mine, theirs in zip(jax.tree.leaves(again), leaves, strict=True))


def stack(*trees):
    return jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves]), *trees)
