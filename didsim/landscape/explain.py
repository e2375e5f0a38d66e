"""Who falls in one gradient step, and through which pairs?

A step of size η along ``-∇L`` changes every log-probability by ``η ⟨∇log π(y), -∇L⟩`` to first order, and ``-∇L`` is a sum
of pulls on responses: each pair pulls its chosen response up and its rejected one down.  The change of one response
therefore splits into what its own pull does, what its partners in pairs do, what pairs do that it is not in, and what the
normaliser takes back (L4).  Chosen responses fall when the last three outweigh the first.

The split needs logits.  Those used here are the centred log-probabilities, the one choice that every policy has; a linear
policy's features enter relative to their plain mean over responses, so that adding a constant vector to all features
changes nothing.
"""

from dataclasses import replace
from typing import final

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from didsim.numerics import checks
from didsim.numerics.pytrees import pytree
from didsim.numerics.search import slope
from didsim.numerics.traces import jit
from didsim.objectives import Objective, loss, population
from didsim.objectives.comparisons import Population, comparisons_for, view
from didsim.policies import Policy, Table
from didsim.policies.policy import Params
from didsim.samplers import Sampler
from didsim.worlds import Problem
from didsim.worlds.preferences import Labels

LARGEST = 2**26


@final
@pytree
class Explanation:
    """One step's change of every log-probability, shape (prompts, n), in parts; rates are nats per unit step size.

    Attributes:
        pull: upward pull on the response's logit, ``-∂L/∂log π(y)``.
        own: rate through its own pull, ``pull(y) ‖φ(y)‖²``.
        partner: rate through the responses it is paired with.
        cross: rate through pairs that it is not in, of this prompt or of others.
        normaliser: rate through ``log Z``; the same for all responses of a prompt where pulls sum to zero.
        realised: actual change of ``log π(y)`` after the step, nats.
        step: size of the step.
    """

    pull: Float[Array, "... prompts n"]
    own: Float[Array, "... prompts n"]
    partner: Float[Array, "... prompts n"]
    cross: Float[Array, "... prompts n"]
    normaliser: Float[Array, "... prompts n"]
    realised: Float[Array, "... prompts n"]
    step: Float[Array, "..."]

    @property
    def rate(self) -> Float[Array, "... prompts n"]:
        """``d log π(y)`` per unit step size, the sum of the four parts."""
        return self.own + self.partner + self.cross + self.normaliser


def explain(
    problem: Problem,
    objective: Objective,
    sampler: Sampler,
    labels: Labels,
    policy: Policy | None = None,
    params: Params = None,
    step: float | Float[Array, ""] = 1e-3,
) -> Explanation:
    """Displacement of every response by one gradient step, split over the pairs, beside what the step really does.

    ``d log π(y)/dη = Σ_pairs [u_ab ⟨∇log π(y), ∇log π(a)⟩ - d_ab ⟨∇log π(y), ∇log π(b)⟩] + Σ_z v_z ⟨∇log π(y), ∇log π(z)⟩``
    with ``u_ab = -ν_ab ℓ'(m_ab) g_w'(a)``, ``d_ab = -ν_ab ℓ'(m_ab) g_l'(b)`` the pulls of a pair and ``v`` those of terms on
    single responses.  Source: derived; theory L4, for any policy.  Traceable, so that many cases are one ``vmap``.

    Args:
        problem: the preference world.
        objective: what is minimised.
        sampler: which pairs are shown.
        labels: who wins.
        policy: how parameters become laws; a free table if missing.
        params: parameters at which the step is taken; the policy's start if missing.
        step: step size η > 0 of plain gradient descent.

    Returns:
        `Explanation`.

    Raises:
        ArgumentError: a step that is not positive, an objective that is no mean over pairs, or a policy whose Jacobian has
            more than 2²⁶ entries.

    Example:
        >>> import jax.numpy as jnp
        >>> import didsim
        >>> world = didsim.problem(jnp.log(jnp.array([0.5, 0.3, 0.2])), reward=jnp.zeros(3))
        >>> pair = didsim.samplers.Joint(jnp.log(jnp.zeros((3, 3)).at[0, 1].set(1.0)))  # 0 chosen, 1 rejected
        >>> found = didsim.explain.explain(world, didsim.objectives.Dpo(1.0), pair, didsim.preferences.AsShown())
        >>> print(found.rate[0].round(2))  # 1 - π_w + π_l, -1 - π_w + π_l, -π_w + π_l, times σ(0) = 1/2
        [ 0.4 -0.6 -0.1]
    """
    checks.positive("step", step)
    if objective.batch_level:
        raise checks.ArgumentError(
            f"Argument `objective` must be a mean over pairs or responses, but {objective.name} sorts them."
        )
    policy = Table() if policy is None else policy
    params = policy.init(problem.log_ref) if params is None else params
    _check_size(problem.log_ref, params)
    return _explain(problem, objective, sampler, labels, policy, params, step)


@jit
def _explain(problem, objective, sampler, labels, policy: Policy, params: Params, step) -> Explanation:
    # What every pair pulls at, here.
    log_policy = policy.log_probs(params, problem.log_ref)
    up, down, alone = _pulls(problem, objective, population(problem, sampler, labels, log_policy).ordered, log_policy)
    pull = up.sum(2) - down.sum(1) + alone
    # Where the step leads, and how far every response really moves.
    score = _scores(policy, params, problem.log_ref)
    along = jnp.einsum("xn,xnd->d", pull, score)
    vector, rebuild = ravel_pytree(params)
    moved = policy.log_probs(rebuild((vector + step * along).astype(vector.dtype)), problem.log_ref)
    parts = _split(up, down, pull, score, along)
    return Explanation(pull, *parts, moved - log_policy, jnp.asarray(step, log_policy.dtype))


def likelihood_rates(
    problem: Problem, objective: Objective, sampler: Sampler, labels: Labels, policy: Policy | None = None, params: Params = None
) -> Float[Array, "prompts n"]:
    """Rate ``d log π(y)/dη = ⟨∇log π(y), -∇L⟩`` alone, without the split and without a Jacobian (L4).

    One gradient and one forward derivative; arguments as for `explain`.
    """
    policy = Table() if policy is None else policy
    return _rates(problem, objective, sampler, labels, policy, policy.init(problem.log_ref) if params is None else params)


@jit
def _rates(problem, objective, sampler, labels, policy: Policy, params: Params) -> Float[Array, "prompts n"]:
    def log_probs(free):
        return policy.log_probs(free, problem.log_ref)

    shown = comparisons_for(objective, problem, sampler, labels, log_probs(params))
    uphill = jax.grad(lambda free: loss(objective, problem, log_probs(free), shown))(params)
    return -jax.jvp(log_probs, (params,), (uphill,))[1]


def log_linear_rates(
    features: Float[Array, "*#batch n d"], log_policy: Float[Array, "*#batch n"], weights: Float[Array, "*#batch n n"]
) -> Float[Array, "*#batch n"]:
    """L4's closed form ``d log π(y)/dη = Σ_ab w_ab ⟨φ(y) - E_πφ, φ(a) - φ(b)⟩`` for a log-linear policy (derived).

    For DPO ``w_ab = β μ_ab (P_ab - σ(m_ab))`` over the pairs shown, or ``β ν_ab σ(-m_ab)`` over (chosen, rejected).
    """
    pulled = jnp.einsum("...ab,...ad->...d", weights, features) - jnp.einsum("...ab,...bd->...d", weights, features)
    centred = features - jnp.sum(jnp.exp(log_policy)[..., None] * features, axis=-2, keepdims=True)
    return jnp.einsum("...nd,...d->...n", centred, pulled)


def disentanglement_band(
    chosen: Float[Array, "*batch"], rejected: Float[Array, "*batch"], cross: Float[Array, "*batch"]
) -> tuple[Float[Array, "*batch"], Float[Array, "*batch"]]:
    """Ratios ``d_w/d_l`` of a margin loss's pulls at which the chosen response does not fall and the rejected does not rise.

    The step is ``d_w s_w - d_l s_l`` with ``s = ∇ log π``; both hold iff ``ρt ≤ d_w/d_l ≤ t/ρ``, ``ρ`` the cosine of the two
    scores and ``t = ‖s_l‖/‖s_w‖``, and always if ``ρ ≤ 0`` (2604.18239, F4).

    Args:
        chosen: ``‖s_w‖²`` > 0.
        rejected: ``‖s_l‖²`` > 0.
        cross: ``⟨s_w, s_l⟩``.

    Returns:
        Lower and upper end: 0 and infinity where no ratio does harm.
    """
    tied = cross > 0
    safe = jnp.where(tied, cross, 1.0)
    return jnp.where(tied, safe / chosen, 0.0), jnp.where(tied, rejected / safe, jnp.inf)


def single_pair_rates(
    features: Float[Array, "*#batch n d"], log_policy: Float[Array, "*#batch n"], chosen: int, rejected: int
) -> Float[Array, "*#batch n"]:
    """``⟨φ(y) - E_πφ, φ_w - φ_l⟩``, the rate of every response for one pair up to a positive factor (L4).

    The chosen response falls iff its entry is negative; with one-hot features that entry is ``1 - π_w + π_l > 0``.
    """
    weights = jnp.zeros((features.shape[-2],) * 2, features.dtype).at[chosen, rejected].set(1.0)
    return log_linear_rates(features, log_policy, weights)


def _pulls(problem: Problem, objective: Objective, ordered: Float[Array, "prompts n n"], log_policy: Float[Array, "prompts n"]):
    """Pull of every (chosen, rejected) pair up on its chosen and down on its rejected response, and of single terms up."""

    seen = view(objective, problem, log_policy, Population(ordered))

    def slope_of(part):
        """Derivative of a part in each response's own log-probability, on which alone it depends."""
        return slope(lambda free: part(replace(seen, log_policy=free)), log_policy)

    share = jnp.exp(problem.log_prompts)[:, None]
    single = ordered.sum(2) * slope_of(objective.chosen_term) + ordered.sum(1) * slope_of(objective.rejected_term)
    alone = -share * (single + slope_of(objective.policy_term))
    if not objective.paired:
        return jnp.zeros_like(ordered), jnp.zeros_like(ordered), alone
    margin = objective.chosen_reward(seen)[:, :, None] - objective.rejected_reward(seen)[:, None, :]
    urge = -share[..., None] * ordered * slope(objective.link, margin)
    return urge * slope_of(objective.chosen_reward)[:, :, None], urge * slope_of(objective.rejected_reward)[:, None, :], alone


def _scores(policy: Policy, params: Params, log_ref: Float[Array, "prompts n"]) -> Float[Array, "prompts n d"]:
    """``∇_θ log π(y)`` of every response, parameters in one row."""
    vector, rebuild = ravel_pytree(params)
    return jax.jacrev(lambda flat: policy.log_probs(rebuild(flat), log_ref))(vector)


def _split(up, down, pull, score, along):
    """Own, partner, cross and normaliser part of ``⟨score, along⟩``, in the gauge of centred log-probabilities."""
    shared = score.mean(1)
    feature = score - shared[:, None]
    kernel = jnp.einsum("xnd,xmd->xnm", feature, feature)
    other = 1.0 - jnp.eye(score.shape[1], dtype=score.dtype)
    own = pull * jnp.diagonal(kernel, axis1=1, axis2=2)
    partner = jnp.sum(other * kernel * (jnp.swapaxes(up, 1, 2) - down), axis=2)
    everyone = jnp.einsum("xnd,d->xn", feature, jnp.einsum("xn,xnd->d", pull, feature))
    # Pulls that do not sum to zero, as those of a likelihood term, also act through the normaliser of what they pull.
    unbalanced = jnp.einsum("xnd,d->xn", feature, jnp.einsum("xn,xd->d", pull, shared))
    normaliser = (shared @ along)[:, None] + unbalanced
    return own, partner, everyone - own - partner, normaliser


def _check_size(log_ref: Float[Array, "prompts n"], params: Params) -> None:
    entries = log_ref.size * max(sum(leaf.size for leaf in jax.tree.leaves(params)), log_ref.shape[1])
    if entries > LARGEST:
        raise checks.ArgumentError(
            f"Argument `policy` must have at most {LARGEST} derivatives (responses × parameters), but has {entries}; "
            "likelihood_rates gives the total without them."
        )
