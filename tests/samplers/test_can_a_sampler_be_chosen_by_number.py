"""A `Switch` shows what the sampler of its number shows: alone, over all numbers at once, and as the axis of a sweep."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from contracts import assert_close, assert_jit_and_vmap, assert_round_trip
from random_laws import Drawn
from sampling import sampled

import didsim
from didsim.numerics.checks import ArgumentError
from didsim.objectives import Dpo
from didsim.samplers import JointLaw, MixPStar, MixR, OnPolicy, ProductMixture, ReferencePairs, Restrict, Switch, Uniform
from didsim.samplers.recipes import BestWorst
from didsim.worlds import RandomTarget
from didsim.worlds.preferences import BradleyTerry

PRODUCTS = (Uniform(), OnPolicy(), MixR())
DENSE = (*PRODUCTS, BestWorst(k=3), MixPStar())
L = Drawn(
    world=lambda: RandomTarget(n=4, prompts=2).draw(jax.random.key(0)),
    policy=lambda: jax.nn.log_softmax(jax.random.normal(jax.random.key(1), (2, 4))),
)


@pytest.mark.parametrize(("samplers", "kind"), [(PRODUCTS, ProductMixture), (DENSE, JointLaw)])
def test_it_shows_what_the_sampler_of_that_number_shows(samplers, kind):

    @jax.jit
    def shown(sampler):
        law = sampler.pair_law(L.world, L.policy)
        return law, law.matrix(), law.total(), sampler.draws(L.world, L.policy)

    alone = [shown(sampler) for sampler in samplers]
    for index, (_, matrix, _, draws) in enumerate(alone):
        law, *numbers = shown(Switch(samplers, index))
        assert isinstance(law, kind)  # a mixture of products wherever all are
        for got, wanted in zip(numbers, (matrix, jnp.ones(2), draws), strict=True):
            assert_close(got, wanted)
    others = shown(Switch(samplers, 0))[1]
    assert float(jnp.abs(others - alone[1][1]).max()) > 0.01


@pytest.mark.parametrize("samplers", sampled([(PRODUCTS,), (DENSE,)], 2))
def test_contracts(samplers):
    assert_round_trip(Switch(samplers, 1))
    calls = [(jnp.asarray(index), L.world, L.policy) for index in range(3)]
    assert_jit_and_vmap(lambda index, *rest: Switch(samplers, index).pair_law(*rest), *calls)


def test_components_of_weight_zero_are_never_drawn():
    @jax.jit
    def drawn(sampler):
        law = sampler.pair_law(L.world, L.policy)
        return law.weights, law.draw(jax.random.key(2), 1000)

    weights, (first, second) = drawn(Switch((Restrict(Uniform(), jnp.array([True, True, False, False])), MixR()), 0))
    assert weights.shape == (2, 3)
    assert int(jnp.maximum(first, second).max()) == 1


def test_it_follows_the_policy_if_one_of_them_does():
    assert Switch(PRODUCTS).follows_policy
    assert not Switch((Uniform(), MixR())).follows_policy


def test_it_is_the_axis_of_a_sweep_in_one_program():
    named = {"uniform": Uniform(), "reference": ReferencePairs(), "on-policy": OnPolicy()}
    run = didsim.Run(RandomTarget(n=4), Dpo(0.5), Switch((*named.values(),)), BradleyTerry(), steps=20, records=2)
    by_number = didsim.sweep(run, {"sampler.index": dict(zip(named, range(3), strict=True))}, seeds=2)
    by_choice = didsim.sweep(run, {"sampler": named}, seeds=2)
    np.testing.assert_allclose(by_number["log_policy"].values, by_choice["log_policy"].values, rtol=1e-12, atol=1e-12)
    assert list(by_number["index"].values) == list(named)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Switch(()), "`samplers` must hold at least one sampler, but is empty"),
        (lambda: Switch(PRODUCTS, 3), r"`index` must be in \[0, 2\], but is 3"),
        (lambda: Switch(PRODUCTS, -1), r"`index` must be in \[0, 2\], but is -1"),
        (lambda: Switch(PRODUCTS, 0.5), "`index` must be a whole number, but is 0.5"),
    ],
)
def test_refused(make, message):
    with pytest.raises(ArgumentError, match=f"^Argument {message}"):
        make()
