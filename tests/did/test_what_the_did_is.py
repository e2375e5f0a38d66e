"""D1-D3: the likelihood ratio, its Bayes update and its algebra, over thousands of random worlds."""

import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from random_laws import DTYPES, MANY, N, cast, extent, worst
from tolerance import tolerance

from didsim import did, simplex
from didsim.numerics.checks import ArgumentError
from didsim.worlds.preferences import BradleyTerry

HALF, SURE, THIRDS = (np.log([0.5, 0.5]), np.array([0.0, -np.inf]), np.log([1 / 3] * 3))


@pytest.mark.parametrize("dtype", DTYPES)
def test_d1_likelihood_ratio(dtype):
    q = did.log_did(*cast(dtype, MANY.target, MANY.ref))
    assert q.dtype == dtype
    assert worst(jnp.exp(q), oracles.rows(oracles.did, np.exp(MANY.target), np.exp(MANY.ref))) < tolerance(
        dtype, condition=extent(MANY.ref, MANY.target)
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_d1_bayes_update_by_the_did_gives_the_target_back(dtype):
    ref, target = cast(dtype, MANY.ref, MANY.target)

    def distance(q):
        return worst(simplex.normalize(ref + q), target)

    near = tolerance(dtype, condition=extent(MANY.ref, MANY.target))
    assert distance(did.log_did(target, ref)) < near
    assert distance(target) > 0.1  # the target itself is no likelihood
    assert distance(did.log_did(ref, target)) > 0.1  # nor is the ratio upside down


def test_d1_it_is_the_only_such_law():
    """Any law q is recovered from the posterior that it makes, so two likelihoods never share a posterior."""
    ref, q = cast(np.float64, MANY.ref, MANY.target)
    near = tolerance(condition=extent(MANY.ref, MANY.target))
    assert worst(did.log_did(simplex.normalize(ref + q), ref), q) < near
    assert worst(did.log_did(simplex.geodesic(ref, q, 0.5), ref), q) > 0.1  # the control: half of the evidence


def test_d1_event_with_that_likelihood_has_the_target_as_posterior():
    ref, target = cast(np.float64, MANY.ref[-1], MANY.target[-1])
    likelihood = did.evidence_likelihood(target, ref)
    assert float(likelihood.max()) == 0.0
    rng = np.random.default_rng(5)
    drawn = rng.choice(N, size=200_000, p=np.exp(MANY.ref[-1]))

    def observed(log_likelihood):
        seen = drawn[rng.random(drawn.size) < np.exp(np.asarray(log_likelihood))[drawn]]
        return oracles.p_value(np.bincount(seen, minlength=N), np.exp(MANY.target[-1]))

    assert observed(likelihood) > 1e-4
    assert observed(0.8 * likelihood) < 1e-6


def test_d1_zero_masses():
    p, ref = oracles.log([[0.5, 0.5, 0.0]]), oracles.log([[0.2, 0.4, 0.4]])
    np.testing.assert_allclose(np.exp(did.log_did(p, ref)), [[2 / 3, 1 / 3, 0.0]], rtol=1e-15)
    np.testing.assert_allclose(np.exp(did.log_did(p, p)), [[0.5, 0.5, 0.0]], rtol=1e-15)
    np.testing.assert_allclose(did.did_entropy(jnp.asarray(p), jnp.asarray(ref)), [np.log(3) - 2 / 3 * np.log(2)], rtol=1e-14)


@pytest.mark.parametrize("dtype", DTYPES)
def test_d2_algebra(dtype):
    a, b, c = cast(dtype, MANY.target, MANY.ref, MANY.chosen)
    near = tolerance(dtype, condition=extent(MANY.target, MANY.ref, MANY.chosen))
    assert worst(did.log_did(a, a), -np.log(N)) < near
    assert worst(did.log_did(b, a), simplex.normalize(-did.log_did(a, b))) < near
    assert worst(did.log_did(a, c), did.compose(did.log_did(a, b), did.log_did(b, c))) < near
    assert worst(did.log_did(a, c), did.compose(did.log_did(a, b), did.log_did(c, b))) > 0.1


@pytest.mark.parametrize("t", [-1.0, 0.3, 2.0])
def test_d2_powers_follow_the_geodesic_and_not_the_mixture(t):
    ref, target = cast(np.float64, MANY.ref, MANY.target)
    power = simplex.normalize(t * did.log_did(target, ref))
    near = tolerance(condition=extent(MANY.ref, MANY.target))
    assert worst(did.log_did(simplex.geodesic(ref, target, t), ref), power) < near
    if 0 < t < 1:
        mixture = jnp.log((1 - t) * jnp.exp(ref) + t * jnp.exp(target))
        assert worst(did.log_did(mixture, ref), power) > 0.1


def test_d3_independent_draws_are_bradley_terry_in_the_log_did():
    joint = np.exp(MANY.chosen[:, :, None] + MANY.rejected[:, None, :])
    model = BradleyTerry().matrix(did.log_did(*cast(np.float64, MANY.chosen, MANY.rejected)))
    assert worst(model, oracles.chosen_given_pair(joint)) < tolerance(condition=extent(MANY.chosen, MANY.rejected))
    pull = np.random.default_rng(6).standard_normal((N, N))
    correlated = joint * np.exp(pull)
    assert worst(model, oracles.chosen_given_pair(correlated)) > 0.1
    # Only correlation that depends on the order matters: a symmetric one (no equal pairs, say) cancels in Bayes' rule.
    symmetric = joint * np.exp(pull + pull.T)
    assert worst(model, oracles.chosen_given_pair(symmetric)) < tolerance(condition=extent(MANY.chosen, MANY.rejected, 2 * pull))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: did.log_did(HALF, SURE),
            "`log_ref` must have mass wherever `log_p` has, but is zero at index 1 where `log_p` is 0.5",
        ),
        (lambda: did.log_did(np.exp(HALF), HALF), "`log_p` must be normalised"),
        (lambda: did.log_did(HALF, np.array([0.0, np.nan])), "`log_ref` must hold log-probabilities"),
        (lambda: did.log_did(HALF, THIRDS), "`log_ref` must have as many responses as `log_p`, 2, but has 3"),
        (lambda: did.log_did(np.stack([HALF] * 2), np.stack([HALF] * 3)), "`log_ref` must have prompts that match `log_p`"),
    ],
)
def test_refused(call, message):
    with pytest.raises(ArgumentError, match=f"^Argument {message}"):
        call()
