"""Which responses does a sampler ever compare, directly or through others?

Responses are the nodes of a comparison graph, joined when the sampler ever shows them together.  Within a component the
data fixes every ratio of probabilities; between components it fixes nothing (S1).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


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


def component_sums(values: Float[Array, "*#batch n"], label: Int[Array, "*#batch n"]) -> Float[Array, "*#batch n"]:
    """Sum over each response's component, repeated for every member, O(N)."""
    return jnp.vectorize(lambda v, c: jnp.zeros_like(v).at[c].add(v)[c], signature="(n),(n)->(n)")(values, label)


def component_means(values: Float[Array, "*#batch n"], label: Int[Array, "*#batch n"]) -> Float[Array, "*#batch n"]:
    """Unweighted mean over each response's component, repeated for every member."""
    return component_sums(values, label) / component_sums(jnp.ones_like(values), label)
