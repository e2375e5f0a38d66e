"""Is a value shown in one line, under tracing too?"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import didsim
from didsim.numerics.brief import brief, called


@pytest.fixture
def world():
    log_ref = jnp.log(jnp.asarray([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]]))
    return didsim.problem(log_ref, reward=jnp.arange(3.0), beta=0.5)


def test_values_are_shown_by_what_they_are():
    assert brief(np.zeros((2, 5))) == "float64[2,5]"
    assert brief(jnp.float32(0.1)) == "0.1"
    assert brief(jax.random.key(0)) == "key<fry>[]"
    assert brief({"a": (1, 2.5, None), "b": ["c", True, max]}) == "{a: (1, 2.5, None), b: ('c', True, max)}"
    assert called("Thing", "word", beta=0.5, law=np.zeros(3)) == "Thing(beta=0.5, law=float64[3], word)"


def test_dataclasses_inside_are_shown_in_full_only_if_they_hold_no_array(world):
    assert brief(didsim.objectives.Dpo()) == "Dpo(beta=0.1)"
    assert brief(didsim.samplers.Mix(didsim.samplers.Uniform(), didsim.samplers.OnPolicy())) == (
        "Mix(first=Uniform(), second=OnPolicy(), share=0.5)"
    )
    assert brief(didsim.worlds.Given(world)) == "Given(given=Problem(…))"
    assert brief(didsim.samplers.FromLaw(world.log_ref)) == "FromLaw(given=float64[2,3])"


def test_a_problem_is_one_line_also_where_its_numbers_cannot_be_looked_at(world):
    seen = []
    jax.jit(lambda traced: seen.append(repr(traced)) or traced.beta)(world)
    assert repr(world) == "Problem(prompts=2, n=3, beta=0.5, float64)"
    assert seen == ["Problem(prompts=2, n=3, beta=float64[], float64)"]
    assert repr(jax.tree.map(lambda _: None, world)) == "Problem(…)"
