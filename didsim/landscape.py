"""What can this sampler teach at all, how fast, and where does gradient descent end?

Responses are the nodes of a comparison graph, joined when the sampler ever shows them together.  Within a component the
data fixes every ratio of probabilities; between components it fixes nothing (S1).  At the optimum the Hessian is a graph
Laplacian, so its null space counts the components and its spectrum is the convergence rate (S4).  Gradient descent never
moves the sum of logits of a component, which decides where in the solution set it lands (S2).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from didsim import matrices, simplex


def comparison_graph(pair_matrix: Float[Array, "*#batch n n"]) -> Bool[Array, "*#batch n n"]:
    """Whether the pair is ever shown, in either order: ``μ_ab + μ_ba > 0``, off the diagonal (S1)."""
    shown = pair_matrix > 0
    n = pair_matrix.shape[-1]
    return (shown | jnp.swapaxes(shown, -1, -2)) & ~jnp.eye(n, dtype=bool)


def components(graph: Bool[Array, "*#batch n n"]) -> Int[Array, "*#batch n"]:
    """Smallest index in each response's connected component, by propagating the minimum until nothing changes."""
    n = graph.shape[-1]
    start = jnp.broadcast_to(jnp.arange(n), graph.shape[:-1])

    def spread(state: tuple[Array, Array]) -> tuple[Array, Array]:
        label, _ = state
        nearest = jnp.min(jnp.where(graph, label[..., None, :], n), axis=-1)
        new = jnp.minimum(label, nearest)
        new = jnp.take_along_axis(new, new, axis=-1)
        return new, jnp.any(new != label)

    label, _ = jax.lax.while_loop(lambda state: state[1], spread, (start, jnp.asarray(True)))
    return label


def component_count(label: Int[Array, "*#batch n"]) -> Int[Array, "*#batch"]:
    """Number of components, from labels that are the smallest index of each."""
    return jnp.sum(label == jnp.arange(label.shape[-1]), axis=-1)


def component_means(values: Float[Array, "*#batch n"], label: Int[Array, "*#batch n"]) -> Float[Array, "*#batch n"]:
    """Unweighted mean over each response's component, repeated for every member."""
    n = label.shape[-1]
    member = (label[..., :, None] == jnp.arange(n)).astype(values.dtype)
    sums = jnp.einsum("...yc,...y->...c", member, values)
    sizes = jnp.maximum(member.sum(-2), 1.0)
    return jnp.take_along_axis(sums / sizes, label, axis=-1)


def laplacian_weights(pair_matrix: Float[Array, "*#batch n n"], reward: Float[Array, "*#batch n"]) -> Float[Array, "*#batch n n"]:
    """Edge weights of the Hessian at the optimum, ``w_ab = (μ_ab + μ_ba) σ'(r_a - r_b)``, zero diagonal (S4)."""
    gap = reward[..., :, None] - reward[..., None, :]
    slope = jax.nn.sigmoid(gap) * jax.nn.sigmoid(-gap)
    both = pair_matrix + jnp.swapaxes(pair_matrix, -1, -2)
    return both * slope * (1.0 - jnp.eye(pair_matrix.shape[-1], dtype=reward.dtype))


def laplacian(weights: Float[Array, "*#batch n n"]) -> Float[Array, "*#batch n n"]:
    """Graph Laplacian ``diag(Σ_b w_ab) - w``."""
    return weights.sum(-1)[..., :, None] * jnp.eye(weights.shape[-1], dtype=weights.dtype) - weights


def hessian_at_optimum(
    pair_matrix: Float[Array, "*#batch n n"], reward: Float[Array, "*#batch n"], beta: Float[Array, ""] | float
) -> Float[Array, "*#batch n n"]:
    """DPO's Hessian ``β² Lap(w)`` at a policy with margins ``r_a - r_b`` (derived; S4)."""
    return beta**2 * laplacian(laplacian_weights(pair_matrix, reward))


def null_space_dimension(hessian: Float[Array, "*#batch n n"]) -> Int[Array, "*#batch"]:
    """Number of zero eigenvalues of a positive semi-definite matrix, after scaling it to unit diagonal."""
    diagonal = jnp.diagonal(hessian, axis1=-2, axis2=-1)
    scale = jnp.where(diagonal > 0, jax.lax.rsqrt(jnp.where(diagonal > 0, diagonal, 1.0)), 1.0)
    values = matrices.eigvalsh(hessian * scale[..., :, None] * scale[..., None, :])
    cut = hessian.shape[-1] * jnp.finfo(hessian.dtype).eps * jnp.maximum(jnp.abs(values).max(-1, keepdims=True), 1.0)
    return jnp.sum(jnp.abs(values) <= cut, axis=-1)


def descent_limit(
    log_ref: Float[Array, "*#batch n"],
    reward: Float[Array, "*#batch n"],
    label: Int[Array, "*#batch n"],
    beta: Float[Array, ""] | float,
) -> Float[Array, "*#batch n"]:
    """Log-policy at which gradient descent on DPO ends from ``θ₀ = log π_ref`` with Bradley-Terry labels.

    ``θ_∞(y) = log π_ref(y) + (r(y) - r̄_C)/β`` with ``r̄_C`` the unweighted mean reward of y's component; responses that
    are never shown keep their logit (derived; S2).

    Args:
        log_ref: reference log-law, shape (..., n).
        reward: true reward, shape (..., n).
        label: component labels from `components`.
        beta: inverse temperature of the implicit reward, > 0.

    Returns:
        Normalised log-policy, shape (..., n).
    """
    return simplex.normalize(log_ref + (reward - component_means(reward, label)) / beta)


def off_support_factor(
    log_ref: Float[Array, "*#batch n"],
    reward: Float[Array, "*#batch n"],
    support: Bool[Array, "*#batch n"],
    beta: Float[Array, ""] | float,
) -> Float[Array, "*#batch"]:
    """``κ = E_{π_ref|S} e^{(r - r̄_S)/β}``: the odds of unseen responses are divided by it in the limit (derived; S3).

    κ > 1 when π_ref is uniform on the support S (Jensen); κ < 1, so that mass leaks to unseen responses, when π_ref puts
    its mass on responses worse than the unweighted mean of S.
    """
    count = jnp.maximum(support.sum(-1, keepdims=True), 1)
    mean = jnp.sum(jnp.where(support, reward, 0.0), -1, keepdims=True) / count
    inside = simplex.normalize(jnp.where(support, log_ref, -jnp.inf))
    return jnp.exp(jax.nn.logsumexp(jnp.where(support, inside + (reward - mean) / beta, -jnp.inf), axis=-1))


def off_support_mass(log_policy: Float[Array, "*#batch n"], support: Bool[Array, "*#batch n"]) -> Float[Array, "*#batch"]:
    """Probability of the responses that are never shown."""
    return jnp.sum(jnp.where(support, 0.0, jnp.exp(log_policy)), axis=-1)


def descent_rate(hessian: Float[Array, "*#batch n n"]) -> tuple[Array, Array, Array]:
    """Smallest non-zero and largest eigenvalue, and the step ``2/(λ₂ + λ_max)`` that contracts fastest (S4).

    At that step gradient descent converges locally at the rate ``(κ-1)/(κ+1)``, ``κ = λ_max/λ₂``.
    """
    values = matrices.eigvalsh(hessian)
    largest = values[..., -1]
    cut = hessian.shape[-1] * jnp.finfo(hessian.dtype).eps * largest[..., None]
    smallest = jnp.min(jnp.where(values > cut, values, jnp.inf), axis=-1)
    return smallest, largest, 2.0 / (smallest + largest)
