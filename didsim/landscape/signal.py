"""How strongly does a sampler pull the policy towards the target at the first step?

At π_θ = π_ref all margins are zero, and the gradient along the true parameters is half the mean of ``m* tanh(m*/2)`` over
the pairs shown, m* the true margin: the signal is the spread of reward gaps that the sampler shows (paper B's claim, made
exact; S8).  With two levels of reward it is balance that counts, not quality alone (S9).
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from didsim.numerics import checks
from didsim.numerics.pair_sums import kernel_sum
from didsim.samplers import PairLaw, ProductMixture


def first_gradient_signal(law: PairLaw, reward: Float[Array, "prompts n"]) -> Float[Array, " prompts"]:
    """Inner product of the first descent direction with the true parameters, for Bradley-Terry labels (S8).

    ``⟨-∇L, θ*⟩ = ½ E_μ[m* tanh(m*/2)]`` at π_θ = π_ref, with ``m*_ab = r_a - r_b = β⟨θ*, φ_a - φ_b⟩`` (paper B's claim;
    formula derived).  O(N) for mixtures of products; there the error is normwise, about 1e-12 of the largest gap.

    Args:
        law: law of the pair shown, one per prompt.
        reward: true reward in units of the labels' temperature, shape (prompts, n).

    Returns:
        The signal of each prompt, >= 0.

    Example:
        >>> import jax.numpy as jnp
        >>> from didsim.samplers.laws import product_law
        >>> even = jnp.log(jnp.full((1, 2), 0.5))
        >>> signal = first_gradient_signal(product_law(even, even), jnp.array([[0.0, 2.0]]))
        >>> round(float(signal[0]), 6)  # one pair in two has a gap: ½ · ½ · 2 tanh(1)
        0.380797
    """
    if isinstance(law, ProductMixture):
        return _mixture_signal(law, reward)
    gap = reward[:, :, None] - reward[:, None, :]
    return 0.5 * jnp.sum(law.matrix() * gap * jnp.tanh(0.5 * gap), axis=(1, 2))


def two_level_signal(share_first: ArrayLike, share_second: ArrayLike, gap: ArrayLike) -> Float[Array, "..."]:
    """Signal of two independent draws when responses are good or bad, ``gap`` apart in reward (S9).

    ``½ [ε₁(1-ε₂) + ε₂(1-ε₁)] g tanh(g/2)``: for equal shares ``ε(1-ε) g tanh(g/2)``, highest at ``ε = ½``; with one side
    fixed at ε₀ it is linear in the other with slope of the sign of ``1 - 2ε₀`` (paper B's claim with its boundary; derived).

    Args:
        share_first: ε₁, probability that the first response is good.
        share_second: ε₂, the same for the second.
        gap: difference in reward between good and bad.

    Returns:
        The signal, broadcast over the arguments.

    Raises:
        ArgumentError: a share outside [0, 1].
    """
    checks.between("share_first", share_first, 0.0, 1.0)
    checks.between("share_second", share_second, 0.0, 1.0)
    one, two, g = (jnp.asarray(value) for value in (share_first, share_second, gap))
    mixed = one * (1.0 - two) + two * (1.0 - one)
    return 0.5 * mixed * g * jnp.tanh(0.5 * g)


def _mixture_signal(law: ProductMixture, reward: Array) -> Array:
    # m tanh(m/2) = 2 m σ(m) - m, and the mean of m σ(m) is two sums over all pairs.
    centred = (reward - reward.mean(-1, keepdims=True))[:, None, :]
    first, second = jnp.exp(law.log_first), jnp.exp(law.log_second)
    wins = kernel_sum("sigmoid", centred, centred, jnp.stack([second, second * centred]))
    product = jnp.sum(first * (centred * wins[0] - wins[1]), -1)
    mean = jnp.sum((first - second) * centred, -1)
    return jax.nn.relu(jnp.sum(law.weights * (product - 0.5 * mean), -1))
