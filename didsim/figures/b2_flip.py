"""The part of B2 that shows F15: what flipping one label does to the gradient.

``-log σ(m) + log σ(-m) = -m``, and the margin of a log-linear policy is linear in θ: the gradients under either label differ by
``β(φ_a - φ_b)`` wherever training stands (2605.02495; derived).  The margin of a transformer is not linear in its weights, so the
difference changes as they do; it is held against the difference at the start.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from didsim.numerics.sequences import SequenceSpace
from didsim.numerics.traces import jit
from didsim.objectives import Dpo, loss
from didsim.objectives.comparisons import comparisons_for
from didsim.policies import LogLinear, Policy, Transformer
from didsim.samplers import Joint
from didsim.worlds import problem
from didsim.worlds.preferences import AsShown

POLICIES = ("log-linear", "transformer")
MOVED = (0.01, 0.03, 0.1, 0.3, 1.0)  # distance from the start, root mean square over parameters
SPACE = SequenceSpace(3, 2)
DRAWS = 16


def flips(settings: Any) -> dict:
    """Relative distance of the flip's vector from ``β(φ_a - φ_b)``, or for a transformer from what it is at the start."""
    random = np.random.default_rng(settings.seed + 2)
    features = jnp.asarray(random.standard_normal((SPACE.n, settings.dimension)))
    log_ref = jax.nn.log_softmax(jnp.asarray(random.standard_normal((1, SPACE.n))))
    log_linear, transformer = LogLinear(features), Transformer(SPACE, width=8, start="flat", seed=settings.seed)
    wanted = settings.beta * (features[0] - features[1])
    start = _vector(transformer.init(log_ref))
    held = _flip(settings.beta, log_ref, transformer, start)
    found = [
        _distances(random, settings.beta, log_ref, log_linear, jnp.zeros(settings.dimension, log_ref.dtype), wanted),
        _distances(random, settings.beta, log_ref, transformer, start, held),
    ]
    return {"flip_error": (("flip_policy", "flip_moved", "flip_draw"), np.stack(found))}


def _vector(params: Any) -> Float[Array, " d"]:
    return ravel_pytree(params)[0]


def _flip(beta: float, log_ref: Array, policy: Policy, flat: Float[Array, " d"]) -> Float[Array, " d"]:
    """Gradient with response 1 preferred to 0 less the gradient with 0 preferred to 1."""
    world, rebuild = problem(log_ref, reward=jnp.zeros_like(log_ref)), ravel_pytree(policy.init(log_ref))[1]
    objective, n = Dpo(beta), log_ref.shape[-1]

    def gradient(chosen: int, rejected: int) -> Array:
        pair = Joint(jnp.log(jnp.zeros((n, n), log_ref.dtype).at[chosen, rejected].set(1.0)))

        def value(free: Array) -> Array:
            law = policy.log_probs(rebuild(free), log_ref)
            return loss(objective, world, law, comparisons_for(objective, world, pair, AsShown(), law))

        return jax.grad(value)(flat)

    return gradient(1, 0) - gradient(0, 1)


def _distances(random, beta: float, log_ref: Array, policy: Policy, start: Array, wanted: Array) -> np.ndarray:
    """Relative distances, (size of the step, draw)."""
    drawn = random.standard_normal((len(MOVED), DRAWS, len(start))) * np.asarray(MOVED)[:, None, None]
    found = jit(jax.vmap(jax.vmap(lambda flat: _flip(beta, log_ref, policy, flat))))(start + jnp.asarray(drawn, start.dtype))
    return np.asarray(jnp.linalg.norm(found - wanted, axis=-1) / jnp.linalg.norm(wanted))
