"""Which worlds have rewards that features explain, wholly or in part?"""

from typing import final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from didsim.numerics import checks, linalg, simplex
from didsim.numerics.memory import check_array
from didsim.numerics.pytrees import at_least, finite, positive, pytree
from didsim.worlds.problems import Problem, World, on_geodesic
from didsim.worlds.random import normal


def draw_features(key: Key[Array, ""], prompts: int, n: int, d: int, *, context: int = 3) -> Float[Array, "prompts n d"]:
    """Features ``φ(x,y) = (b_y + A_y h(x)/√c)/√2`` of contexts ``h(x) ~ N(0, I_c)``, with normal ``A_y``, ``b_y`` (derived).

    Every entry has variance one; responses keep part of their features from prompt to prompt, as one parameter vector
    for all prompts needs.

    Args:
        key: random key, consumed.
        prompts: number of contexts drawn from their law, >= 1.
        n: number of responses, >= 2.
        d: number of features, >= 1.
        context: dimension c of the contexts, >= 1.

    Raises:
        ArgumentError: a size out of range.
    """
    for name, size, least in (("prompts", prompts, 1), ("n", n, 2), ("d", d, 1), ("context", context, 1)):
        checks.whole(name, size, least=least)
    check_array("n", n, (max(prompts, context), n, d))
    context_key, slope_key, base_key = jax.random.split(key, 3)
    contexts = normal(context_key, (prompts, context))
    slopes = normal(slope_key, (n, d, context))
    base = normal(base_key, (n, d))
    return (base + jnp.einsum("xc,ndc->xnd", contexts, slopes) / context**0.5) / 2.0**0.5


@final
@pytree
class LinearReward(World):
    """Reward ``r = β⟨θ*, φ⟩ + misfit · ε``, ε normal noise without the part that features and prompt constants explain.

    ``misfit = 0`` is realisable: the target is log-linear in the features (L1).  The reference has normal logits.

    Attributes:
        features: φ, shape (prompts, n, d).
        beta: inverse temperature, > 0.
        parameter_scale: standard deviation of the entries of θ*.
        misfit: standard deviation of the noise before its explained part is taken out, >= 0.
        reference_scale: standard deviation of the reference's logits.
    """

    features: Float[Array, "prompts n d"] = finite()
    beta: float | Float[Array, ""] = positive(default=1.0)
    parameter_scale: float | Float[Array, ""] = finite(default=1.0)
    misfit: float | Float[Array, ""] = at_least(0.0, default=0.0)
    reference_scale: float | Float[Array, ""] = at_least(0.0, default=0.5)

    def draw(self, key) -> Problem:
        ref_key, theta_key, noise_key = jax.random.split(key, 3)
        prompts, n, d = self.features.shape
        theta = self.parameter_scale * normal(theta_key, (d,))
        reward = self.beta * jnp.einsum("xnd,d->xn", self.features, theta)
        reward = reward + self.misfit * _unexplained(self.features, normal(noise_key, (prompts, n)))
        log_ref = simplex.normalize(self.reference_scale * normal(ref_key, (prompts, n)))
        return on_geodesic(log_ref, simplex.tilt(log_ref, reward, 1.0 / self.beta), self.beta, 0.0)


def _unexplained(features: Float[Array, "prompts n d"], noise: Float[Array, "prompts n"]) -> Float[Array, "prompts n"]:
    """Noise, centred per prompt, minus its projection on the centred features."""
    prompts, n, d = features.shape
    centred = (features - features.mean(1, keepdims=True)).reshape(prompts * n, d)
    left, sizes = linalg.left_singular(centred)
    left = jnp.where(sizes > prompts * n * jnp.finfo(sizes.dtype).eps * sizes[0], left, 0.0)
    flat = simplex.clr(noise).reshape(-1)
    return (flat - left @ (left.T @ flat)).reshape(prompts, n)
