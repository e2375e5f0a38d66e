"""How are parameters moved?  Named optimisers whose numbers can be swept, and a door for any optax transformation.

An optimiser is a description; ``transform`` builds the optax transformation from it inside the compiled run, so that a
learning rate may be a traced array.
"""

import abc
from typing import final

import optax
from jaxtyping import Array, Float

from didsim.numerics.pytrees import one_of, positive, pytree, static
from didsim.numerics.registry import Registry

Scalar = float | Float[Array, "..."]
DECAYS = ("none", "cosine")


class Optimiser(abc.ABC):
    """A description of an update rule."""

    example = "didsim.dynamics.Adam(learning_rate=0.02)"

    @abc.abstractmethod
    def transform(self, steps: int) -> optax.GradientTransformation:
        """The optax transformation for a run of ``steps`` steps."""


OPTIMISERS: Registry[type[Optimiser]] = Registry("optimiser")


@OPTIMISERS.register("sgd")
@final
class Sgd(Optimiser):
    """Plain gradient descent ``θ ← θ - η ∇L``: the method of S2 and S4."""

    learning_rate: Scalar = positive(default=1.0)
    decay: str = one_of(DECAYS, default="none")

    def transform(self, steps):
        return optax.sgd(_schedule(self.learning_rate, self.decay, steps))


@OPTIMISERS.register("adam")
@final
class Adam(Optimiser):
    """Adam with optax's constants; it does not conserve the sums that S2 rests on."""

    learning_rate: Scalar = positive(default=0.02)
    decay: str = one_of(DECAYS, default="none")

    def transform(self, steps):
        return optax.adam(_schedule(self.learning_rate, self.decay, steps))


@final
@pytree
class Custom(Optimiser):
    """Any optax transformation, as it is."""

    given: optax.GradientTransformation = static()

    def transform(self, steps):
        del steps
        return self.given


def _schedule(learning_rate, decay: str, steps: int):
    return optax.cosine_decay_schedule(learning_rate, steps) if decay == "cosine" else learning_rate
