"""Does what computes here give the same under the strictest promotion of dtypes and ranks, which a user may have set?"""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sampling import sampled

import didsim
from didsim.dynamics.run import execute, run_key
from didsim.landscape.solvers.entry import solve
from didsim.landscape.survey import survey
from didsim.numerics.promotion import usual_promotion

RUN = didsim.Run(didsim.worlds.RandomTarget(n=4), didsim.objectives.Dpo(beta=0.5), steps=5, records=2)


@contextlib.contextmanager
def strict():
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        yield


def world():
    return didsim.worlds.problem(jnp.log(jnp.full((1, 4), 0.25)), reward=jnp.arange(4.0)[None], beta=0.5)


COMPUTED = {
    "run": lambda: jax.jit(execute)(RUN, run_key(0)).metrics,
    "sweep": lambda: didsim.sweep(RUN, {"objective.beta": [0.5, 1.0]}, seeds=2)["loss"].values,
    "survey": lambda: survey(world(), didsim.samplers.Uniform()),
    "solve": lambda: solve(world(), didsim.objectives.Dpo(beta=0.5)).log_policy,
}


@pytest.mark.parametrize("name", sampled(["sweep", "run", "survey", "solve"], 2))
def test_it_computes_the_same(name):
    usual = COMPUTED[name]()
    with strict():
        for one, other in zip(jax.tree.leaves(usual), jax.tree.leaves(COMPUTED[name]()), strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_users_own_slips_are_still_found():
    with strict():
        with usual_promotion():
            assert (jnp.ones((2, 3)) + jnp.ones(3)).shape == (2, 3)
        with pytest.raises(ValueError, match="rank_promotion"):
            jnp.ones((2, 3)) + jnp.ones(3)
        COMPUTED["survey"]()
        with pytest.raises(ValueError, match="rank_promotion"):
            jnp.ones((2, 3)) + jnp.ones(3)
