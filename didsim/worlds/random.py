"""Which worlds are drawn from a key?  A sweep over seeds is a sweep over these."""

from dataclasses import replace
from typing import final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from didsim.numerics import simplex
from didsim.numerics.memory import check_array
from didsim.numerics.pytrees import finite, positive, static, whole
from didsim.numerics.sequences import SequenceSpace
from didsim.worlds.problems import WORLDS, World, on_geodesic


@WORLDS.register("random_target")
@final
class RandomTarget(World):
    """Reference and target with independent normal logits; chosen and rejected laws by the power law.

    ``log π_ref ∝ reference_scale · N(0,1)``, ``log π* ∝ target_scale · N(0,1)``; chosen responses come from the point
    ``chosen_at`` of the geodesic from π_ref (0) to π* (1), rejected ones from ``chosen_at - beta`` (D9).
    """

    n: int = whole(2, default=32)
    prompts: int = whole(1, default=1)
    reference_scale: float | Float[Array, ""] = finite(default=1.0)
    target_scale: float | Float[Array, ""] = finite(default=1.0)
    beta: float | Float[Array, ""] = positive(default=0.5)
    chosen_at: float | Float[Array, ""] = finite(default=0.0)

    def __post_init__(self) -> None:
        check_array("n", self.n, (self.prompts, self.n))

    def draw(self, key):
        ref_key, target_key = jax.random.split(key)
        shape = (self.prompts, self.n)
        log_ref = simplex.normalize(self.reference_scale * normal(ref_key, shape))
        log_target = simplex.normalize(self.target_scale * normal(target_key, shape))
        return on_geodesic(log_ref, log_target, self.beta, self.chosen_at)


@WORLDS.register("random_reward")
@final
class RandomReward(World):
    """Reference with normal logits and an independent normal reward; the target follows from ``beta``.

    ``reference_skill`` adds that multiple of the reward to the reference logits: negative makes a weak reference that
    puts its mass on bad responses, positive a strong one.
    """

    n: int = whole(2, default=20)
    prompts: int = whole(1, default=1)
    reference_scale: float | Float[Array, ""] = finite(default=0.0)
    reference_skill: float | Float[Array, ""] = finite(default=0.0)
    reward_scale: float | Float[Array, ""] = finite(default=1.0)
    beta: float | Float[Array, ""] = positive(default=1.0)

    def __post_init__(self) -> None:
        check_array("n", self.n, (self.prompts, self.n))

    def draw(self, key):
        ref_key, reward_key = jax.random.split(key)
        shape = (self.prompts, self.n)
        reward = self.reward_scale * normal(reward_key, shape)
        log_ref = simplex.normalize(self.reference_scale * normal(ref_key, shape) + self.reference_skill * reward)
        return on_geodesic(log_ref, simplex.tilt(log_ref, reward, 1.0 / self.beta), self.beta, 0.0)


@WORLDS.register("random_sequences")
@final
class RandomSequences(World):
    """Responses made of tokens: reference and target with independent normal next-token logits after every prefix (L6).

    Chosen and rejected laws follow the power law from the point ``chosen_at`` of the geodesic on, as in `RandomTarget`;
    ``lengths`` are the numbers of tokens.
    """

    space: SequenceSpace = static(default=SequenceSpace(4, 3))
    prompts: int = whole(1, default=1)
    reference_scale: float | Float[Array, ""] = finite(default=1.0)
    target_scale: float | Float[Array, ""] = finite(default=1.0)
    beta: float | Float[Array, ""] = positive(default=0.5)
    chosen_at: float | Float[Array, ""] = finite(default=0.0)

    def __post_init__(self) -> None:
        self.space.check_enumerable()
        check_array("prompts", self.prompts, (self.prompts, self.space.n))

    def draw(self, key):
        scales = zip(jax.random.split(key), (self.reference_scale, self.target_scale), strict=True)
        shape = (self.prompts, self.space.prefixes, self.space.vocabulary)
        log_ref, log_target = (self.space.log_law(simplex.normalize(scale * normal(own, shape))) for own, scale in scales)
        made = on_geodesic(log_ref, log_target, self.beta, self.chosen_at)
        return replace(made, lengths=jnp.broadcast_to(self.space.lengths(), log_ref.shape))


def normal(key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Standard normal draws made in float32 and widened, so that a world is the same in either precision."""
    # A loop of one round, of which the compiler does not know that it is one (no odd number is even): the draw is then kept in
    # memory for all laws that read it.  Drawn anew within each law's own sums, it may be rounded otherwise in one than in
    # another.
    words = jax.random.key_data(key)
    rounds = jnp.int32(1) + (2 * words[0] + 1 == 2 * words[1])
    drawn = jax.lax.fori_loop(0, rounds, lambda *_: jax.random.normal(key, shape, jnp.float32), jnp.zeros(shape, jnp.float32))
    return drawn.astype(jnp.zeros(()).dtype)
