"""Is every refusal one line that names the argument, shows the value and says what is allowed; and what is allowed unchanged?"""

import re
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import oracles
import pytest

from didsim.numerics import checks
from didsim.numerics.checks import ArgumentError
from didsim.numerics.pytrees import at_least, between, finite, positive, pytree

NAN, INF = float("nan"), float("inf")


@pytree
class Held:
    """Fields that say what they may hold."""

    beta: Any = positive(default=1.0)
    scale: Any = finite(default=1.0)
    k: Any = at_least(1.0, default=1.0)
    rate: Any = between(0.0, 1.0, default=0.5)


HALVES = np.log([[0.5, 0.5], [0.5, 0.5]])

REFUSED = {
    "word": (
        lambda: checks.did_you_mean("loss", "dppo", ["ipo", "dpo"]),
        "`loss` must be one of dpo, ipo, but is 'dppo'. Did you",
    ),
    "far word": (lambda: checks.did_you_mean("loss", "xyz", ["ipo", "dpo"]), "`loss` must be one of dpo, ipo, but is 'xyz'."),
    "word of none": (
        lambda: checks.did_you_mean("hue", "beta", []),
        "`hue` must not be given, since there is none to choose from, but is 'beta'.",
    ),
    "wide integer": (
        lambda: checks.numbers("steps", 10**22, whole=True),
        "`steps` must be below 2^63, but is an integer of about 23 digits.",
    ),
    "finite": (lambda: checks.finite("r", [[0.0, 1.0], [NAN, 2.0]]), "`r` must be finite, but is nan at index (1, 0)."),
    "finite scalar": (lambda: checks.finite("r", -INF), "`r` must be finite, but is -inf."),
    "positive": (lambda: checks.positive("beta", -0.1), "`beta` must be positive and finite, but is -0.1."),
    "positive zero": (lambda: checks.positive("beta", [1, 0]), "`beta` must be positive and finite, but is 0 at index 1."),
    "positive inf": (lambda: checks.positive("beta", INF), "`beta` must be positive and finite, but is inf."),
    "positive nan": (lambda: checks.positive("beta", NAN), "`beta` must be positive and finite, but is nan."),
    "between": (lambda: checks.between("rate", 1.5, 0.0, 1.0), "`rate` must be in [0, 1], but is 1.5."),
    "between open": (lambda: checks.between("p", 0.5, 0.0, 0.5, open_high=True), "`p` must be in [0, 0.5), but is 0.5."),
    "between nan": (lambda: checks.between("rate", NAN, 0.0, 1.0), "`rate` must be in [0, 1], but is nan."),
    "at least": (lambda: checks.at_least("k", 0.5, 1.0), "`k` must be finite and at least 1, but is 0.5."),
    "at least inf": (lambda: checks.at_least("k", INF, 1.0), "`k` must be finite and at least 1, but is inf."),
    "text": (lambda: checks.positive("beta", "0.5"), "`beta` must be a number or an array of numbers, but is '0.5'."),
    "none": (lambda: checks.finite("r", [None]), "`r` must be a number or an array of numbers, but is [None]."),
    "complex": (lambda: checks.finite("r", 1j), "`r` must be a number or an array of numbers, but is 1j."),
    "ragged": (lambda: checks.finite("r", [[1], [1, 2]]), "`r` must be a number or an array of numbers, but is [[1], [1, 2]]."),
    "whole": (lambda: checks.whole("n", 1.0, least=2), "`n` must be an integer of at least 2, but is 1.0."),
    "whole bool": (lambda: checks.whole("n", True), "`n` must be an integer of at least 0, but is True."),
    "whole low": (lambda: checks.whole("n", 1, least=2), "`n` must be an integer of at least 2, but is 1."),
    "seed negative": (lambda: checks.seed(-1), "`seed` must be an integer of at least 0 and below 4294967296, but is -1."),
    "seed wide": (lambda: checks.seed(2**32), "`seed` must be an integer of at least 0 and below 4294967296, but is 4294967296."),
    "law scalar": (lambda: checks.log_law("p", 0.0), "`p` must hold at least 2 entries on its last axis, but has shape ()."),
    "law of one": (
        lambda: checks.log_law("p", np.array([0.0])),
        "`p` must hold at least 2 entries on its last axis, but has shape (1,).",
    ),
    "law of none": (
        lambda: checks.log_law("p", np.zeros((0, 3))),
        "`p` must hold at least 2 entries on its last axis, but has shape (0, 3).",
    ),
    "law nan": (
        lambda: checks.log_law("p", np.array([0.0, NAN])),
        "`p` must hold log-probabilities (no NaN, no +inf), but is nan at index 1.",
    ),
    "law inf": (
        lambda: checks.log_law("p", np.array([0.0, INF])),
        "`p` must hold log-probabilities (no NaN, no +inf), but is inf at index 1.",
    ),
    "law of probabilities": (
        lambda: checks.log_law("p", np.array([0.5, 0.5])),
        "`p` must be normalised (total probability 1), but a law in it sums to 3.29744; didsim.simplex.normalize does it.",
    ),
    "law with too little mass": (
        lambda: checks.log_law("p", HALVES[0] - 0.1),
        "`p` must be normalised (total probability 1), but a law in it sums to 0.904837; didsim.simplex.normalize does it.",
    ),
    "second law off": (
        lambda: checks.log_law("p", HALVES + np.array([[0.0], [0.1]])),
        "`p` must be normalised (total probability 1), but a law in it sums to 1.10517; didsim.simplex.normalize does it.",
    ),
    "law without mass": (
        lambda: checks.log_law("p", np.array([[0.0, -INF], [-INF, -INF]])),
        "`p` must have mass somewhere, but a law in it has none.",
    ),
    "law without support": (
        lambda: checks.log_law("p", np.array([0.0, -INF]), full_support=True),
        "`p` must give every response some mass, but is -inf at index 1.",
    ),
    "continuity": (
        lambda: checks.absolutely_continuous("p", np.log([0.7, 0.3]), "ref", np.array([0.0, -INF])),
        "`ref` must have mass wherever `p` has, but is zero at index 1 where `p` is 0.3.",
    ),
    "positive leaf": (lambda: Held(beta=0), "`beta` must be positive and finite, but is 0."),
    "positive leaf text": (
        lambda: Held(beta="1"),
        "`beta` must be a number or an array of numbers, but is '1'.",
    ),
    "finite leaf": (lambda: Held(scale=NAN), "`scale` must be finite, but is nan."),
    "leaf at least": (lambda: Held(k=0), "`k` must be finite and at least 1, but is 0."),
    "leaf between": (lambda: Held(rate=-1), "`rate` must be in [0, 1], but is -1."),
    "table shape": (
        lambda: checks.preference_matrix("table", np.ones((2, 3))),
        "`table` must be square on its last two axes, but has shape (2, 3).",
    ),
    "table entries": (
        lambda: checks.preference_matrix("table", np.array([[0.5, 1.5], [-0.5, 0.5]])),
        "`table` must be in [0, 1], but is 1.5 at index (0, 1).",
    ),
    "table complement": (
        lambda: checks.preference_matrix("table", np.array([[0.5, 0.7], [0.7, 0.5]])),
        "`table` must satisfy P[a,b] + P[b,a] = 1, but is off by 0.4 at index (0, 1).",
    ),
    "support of numbers": (
        lambda: checks.some_support("support", np.array([0, 1])),
        "`support` must be an array of booleans, but has dtype int64.",
    ),
    "support empty": (
        lambda: checks.some_support("support", np.array([[True, False], [False, False]])),
        "`support` must keep at least one response for every prompt, but is empty.",
    ),
    "same shape": (
        lambda: checks.same_shape("p", jnp.zeros(2), "q", jnp.zeros(3)),
        "`q` must have the shape of `p`, (2,), but has (3,).",
    ),
    "spread": (
        lambda: checks.spread("p", jnp.zeros(3), (2, 4)),
        "`p` must have shape (4,) or (2, 4), but has shape (3,).",
    ),
    "same responses": (
        lambda: checks.same_responses(p=jnp.zeros(2), q=jnp.zeros(3)),
        "`q` must have as many responses as `p`, 2, but has 3.",
    ),
    "same prompts": (
        lambda: checks.same_responses(p=jnp.zeros((2, 4)), q=jnp.zeros((3, 4))),
        "`q` must have prompts that match `p` of shape (2, 4), but has shape (3, 4).",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_line_that_names_argument_and_value(case):
    call, message = REFUSED[case]
    with pytest.raises(ArgumentError, match=f"^Argument {re.escape(message)}") as caught:
        call()
    assert "\n" not in str(caught.value)


def test_argument_error_is_a_value_error():
    assert issubclass(ArgumentError, ValueError)


def test_suggests_the_nearest_word_or_nothing():
    with pytest.raises(ArgumentError, match=r"Did you mean 'dpo'\?$"):
        checks.did_you_mean("loss", "dppo", ["ipo", "dpo"])
    with pytest.raises(ArgumentError, match=r"but is 'xyz'\.$"):
        checks.did_you_mean("loss", "xyz", ["ipo", "dpo"])
    assert checks.did_you_mean("loss", "dpo", ["ipo", "dpo"]) == "dpo"


@pytest.mark.parametrize(
    "call",
    [
        lambda: checks.finite("r", [0.0, -1e300]),
        lambda: checks.positive("beta", np.array([np.finfo(float).tiny, 1e300])),
        lambda: checks.between("rate", [0, 1], 0.0, 1.0),
        lambda: checks.between("p", 0.0, 0.0, 0.5, open_high=True),
        lambda: checks.at_least("k", 1, 1.0),
        lambda: checks.whole("n", np.int32(7)),
        lambda: checks.seed(0),
        lambda: checks.seed(2**32 - 1),
        lambda: checks.log_law("p", np.array([0.0, -INF])),
        lambda: checks.log_law("p", np.array([0.0]), least=1),
        lambda: checks.log_law("p", HALVES.astype(np.float32) + 1e-4),
        lambda: checks.log_law("p", HALVES.astype(ml_dtypes.bfloat16)),
        lambda: checks.log_law("p", oracles.normalize(np.array([0.0, -1e5])), full_support=True),
        lambda: checks.absolutely_continuous("p", np.array([0.0, -INF]), "ref", np.array([0.0, -INF])),
        lambda: checks.preference_matrix("table", np.array([[0.5, 1.0], [0.0, 0.5]])),
        lambda: checks.some_support("support", np.array([[True, False], [False, True]])),
        lambda: checks.spread("p", jnp.zeros((1, 4)), (2, 4)),
        lambda: checks.same_responses(p=jnp.zeros((2, 4)), q=jnp.zeros(4)),
    ],
)
def test_allowed(call):
    call()


def test_allowed_values_come_back_unchanged():
    beta = np.array([0.5, 2.0])
    assert checks.positive("beta", beta) is beta
    assert checks.whole("n", np.int32(7)) == 7
    assert type(checks.whole("n", np.int32(7))) is int


@pytest.mark.parametrize("leaf", [object(), None])
def test_placeholders_pass(leaf):
    for check in (checks.preference_matrix, checks.some_support):
        check("x", leaf)
    assert Held(leaf, leaf, leaf, leaf).beta is leaf


def test_values_are_not_looked_at_inside_a_trace_but_shapes_are():
    @jax.jit
    def inside(bad):
        checks.positive("x", bad)
        Held(bad)
        checks.log_law("x", bad, full_support=True)
        return bad

    inside(jnp.array([-1.0, jnp.nan]))
    with pytest.raises(ArgumentError, match=r"`x` must hold at least 2 entries on its last axis, but has shape \(1,\)\."):
        inside(jnp.array([-1.0]))


def test_log_law_makes_floats():
    assert checks.log_law("p", np.array([0]), least=1).dtype == np.float64
    assert checks.log_law("p", np.log(np.array([0.5, 0.5], np.float32))).dtype == np.float32
