"""What is the mean of a pair loss when chosen and rejected are drawn from product laws, or from a mixture of such products?

Samplers of interest (independent draws, both from one policy, Mix-R and Mix-P of theory S5) are mixtures of a few
products p_k (x) q_k, so the mean over all N^2 pairs is K sums over all pairs of rewards, O(K N) in time and memory.  Reverse mode
costs one more sum per product: the gradient in the first reward shares the moments of the value, that in the second runs the
sum the other way round.  Forward-over-reverse (Hessian products for Newton-CG) costs four more.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from didsim.numerics.pair_sums.sums import kernel_sum


def expected_kernel(
    kernel: str,
    shares: Float[Array, "*#batch k"],
    first_laws: Float[Array, "*#batch k n"],
    second_laws: Float[Array, "*#batch k m"],
    first_rewards: Float[Array, "*#batch n"],
    second_rewards: Float[Array, "*#batch m"],
    *,
    method: str = "auto",
    panels: int | None = None,
) -> Float[Array, "*batch"]:
    """Take the mean of K(g_w(a) - g_l(b)) over pairs (a, b) from the law sum_k c_k p_k (x) q_k.

    E = sum_k c_k sum_a p_k(a) sum_b q_k(b) K(g_w(a) - g_l(b)).  Source: derived (K1).  Differentiable in all array arguments, in
    both modes and to higher order:  dE/dg_w(a) = sum_k c_k p_k(a) sum_b q_k(b) K'(g_w(a) - g_l(b)), and likewise in g_l.

    Args:
      kernel: a name in `KERNELS`, "log_sigmoid" for the loss of DPO (with the sign turned).
      shares: c (..., k), weights of the products; any sign, need not sum to one.
      first_laws: p (..., k, n), probabilities of a.
      second_laws: q (..., k, m), probabilities of b.
      first_rewards: g_w (..., n), finite.
      second_rewards: g_l (..., m), finite.
      method, panels: as in `kernel_sum`.

    Returns:
      E (...,).

    Raises:
      ValueError: the numbers of products differ, or a law and its rewards differ in length; and as `kernel_sum`.

    Example:
      >>> one, p, g = jnp.ones(1), jnp.array([[0.5, 0.5]]), jnp.array([0.0, 0.0])
      >>> print(expected_kernel("sigmoid", one, p, p, g, g))
      0.5
    """
    _check(shares, first_laws, second_laws, first_rewards, second_rewards)
    targets, sources = first_rewards[..., None, :], second_rewards[..., None, :]
    sums = kernel_sum(kernel, targets, sources, second_laws, method=method, panels=panels)
    return jnp.sum(shares * jnp.sum(first_laws * sums, -1), -1)


def _check(shares: Array, first_laws: Array, second_laws: Array, first_rewards: Array, second_rewards: Array) -> None:
    counts = (shares.shape[-1:], first_laws.shape[-2:-1], second_laws.shape[-2:-1])
    if len(set(counts)) != 1 or not counts[0]:
        raise ValueError(
            f"Arguments `shares`, `first_laws` and `second_laws` must agree on the number of products, but have {counts}."
        )
    for name, law, rewards in (("first", first_laws, first_rewards), ("second", second_laws, second_rewards)):
        if law.shape[-1] != rewards.shape[-1]:
            raise ValueError(
                f"Arguments `{name}_laws` and `{name}_rewards` must agree in length, "
                f"but have {law.shape[-1]} and {rewards.shape[-1]}."
            )
