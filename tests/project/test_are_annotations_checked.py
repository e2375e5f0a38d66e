"""Do the tests check the shapes that annotations name?"""

import jax.numpy as jnp
import jaxtyping
import pytest

from didsim.numerics import linalg


def test_shapes_must_be_those_of_the_annotations():
    matrix = jnp.eye(3)
    assert linalg.saddle_free_solve(matrix, jnp.ones(3))[0].shape == (3,)
    with pytest.raises(jaxtyping.TypeCheckError, match="right"):
        linalg.saddle_free_solve(matrix, jnp.ones(2))


def test_functions_without_annotations_are_as_they_were_written():
    def plain(x):
        return x

    def shaped(x: jaxtyping.Float[jaxtyping.Array, " n"]):
        return x

    wrap = jaxtyping.jaxtyped(typechecker=None)
    assert wrap(plain) is plain
    assert wrap(shaped) is not shaped
