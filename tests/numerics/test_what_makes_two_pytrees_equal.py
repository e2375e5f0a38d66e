"""What makes two pytrees equal: rebuilt without their checks, told apart by class and static fields?"""

import copy
import dataclasses
import pickle

import jax
import jax.numpy as jnp
import pytest
from contracts import assert_round_trip

from didsim.numerics.checks import ArgumentError
from didsim.samplers import Mix, ReferencePairs, Uniform
from didsim.worlds import RandomTarget
from didsim.worlds.preferences import BradleyTerry

NESTED = Mix(Uniform(), Mix(ReferencePairs(), Uniform(), 0.2), 0.4)


def test_round_trip_keeps_the_nesting():
    assert_round_trip(NESTED)
    assert jax.tree.leaves(NESTED) == [0.2, 0.4]
    assert jax.tree.map(lambda leaf: leaf, NESTED) == NESTED


def test_checks_run_when_made_and_not_when_rebuilt():
    with pytest.raises(ArgumentError, match="`temperature` must be positive"):
        BradleyTerry(0.0)
    with pytest.raises(ArgumentError, match="`temperature` must be positive"):
        dataclasses.replace(BradleyTerry(1.0), temperature=-1.0)
    assert jax.tree.map(lambda leaf: 0 * leaf, BradleyTerry(2.0)).temperature == 0.0
    slope = jax.grad(lambda labels: labels.matrix(jnp.array([0.0, 1.0]))[1, 0])(BradleyTerry(1.0))
    assert float(slope.temperature) < 0.0
    stacked = jax.vmap(BradleyTerry)(jnp.array([1.0, 2.0]))
    axes = jax.tree.map(lambda leaf: 0, stacked)
    assert jax.vmap(lambda labels: labels.temperature, in_axes=(axes,))(stacked).tolist() == [1.0, 2.0]


def test_static_fields_and_class_are_structure():
    assert jax.tree.structure(RandomTarget(n=3)) != jax.tree.structure(RandomTarget(n=4))
    assert jax.tree.structure(RandomTarget(beta=0.1)) == jax.tree.structure(RandomTarget(beta=0.2))
    assert jax.tree.structure(Uniform()) != jax.tree.structure(ReferencePairs())
    kind = jax.jit(lambda sampler: jnp.asarray(type(sampler) is Uniform))
    assert [bool(kind(sampler)) for sampler in (Uniform(), ReferencePairs(), Uniform())] == [True, False, True]


def test_leaves_are_named_by_their_path():
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(NESTED)]
    assert paths == [".second.share", ".share"]


def test_frozen_copied_and_pickled():
    with pytest.raises(dataclasses.FrozenInstanceError):
        NESTED.share = 0.5
    assert copy.deepcopy(NESTED) == pickle.loads(pickle.dumps(NESTED)) == NESTED
