"""Which settings does training refuse, and what does it say of them?"""

import jax.numpy as jnp
import pytest
from problem_cases import N, given

from didsim.dynamics import Adam, Sgd, train
from didsim.numerics.checks import ArgumentError
from didsim.objectives import Dpo
from didsim.samplers import ChosenRejected, Product, Restrict
from didsim.worlds.preferences import AsShown, BradleyTerry


def of_no_pairs():
    """A sampler that leaves no pair to show."""
    return Restrict(Product(jnp.log(jnp.eye(N)[0]), jnp.log(jnp.eye(N)[1])), jnp.arange(N) > 2)


ERRORS = {
    "steps": (lambda: {"steps": 0}, "Argument `steps` must be an integer of at least 1, but is 0."),
    "records": (lambda: {"records": 1}, "Argument `records` must be an integer of at least 2, but is 1."),
    "stop": (lambda: {"stop_below": -1.0}, "Argument `stop_below` must be finite and at least 0, but is -1."),
    "pairs": (lambda: {"pairs": 0}, "Argument `pairs` must be an integer of at least 1, but is 0."),
    "negative seed": (lambda: {"seed": -1}, "Argument `seed` must be an integer of at least 0 and below 4294967296, but is -1."),
    "long seed": (
        lambda: {"seed": 2**32},
        "Argument `seed` must be an integer of at least 0 and below 4294967296, but is 4294967296.",
    ),
    "labels alone": (lambda: {"labels": AsShown()}, "Argument `sampler` must be given when the other of sampler and labels is."),
    "sampler alone": (
        lambda: {"sampler": ChosenRejected()},
        "Argument `labels` must be given when the other of sampler and labels is.",
    ),
    "no pairs": (
        lambda: {"sampler": of_no_pairs(), "labels": BradleyTerry()},
        "Argument `sampler` must give every prompt a pair law of total probability 1, but Restrict gives nan.",
    ),
}


@pytest.mark.parametrize("case", sorted(ERRORS))
def test_bad_arguments_are_named(case):
    settings, message = ERRORS[case]
    with pytest.raises(ArgumentError) as raised:
        train(given().problem, Dpo(), **settings())
    assert str(raised.value) == message


@pytest.mark.parametrize("kind", [Sgd, Adam])
def test_bad_optimisers_are_named(kind):
    with pytest.raises(ArgumentError, match=r"Argument `learning_rate` must be positive and finite, but is 0\."):
        kind(0.0)
    with pytest.raises(
        ArgumentError, match=r"Argument `decay` must be one of cosine, none, but is 'cosin'\. Did you mean 'cosine'\?"
    ):
        kind(0.1, "cosin")
