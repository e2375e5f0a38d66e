"""What is a response made of tokens, and how do next-token laws and laws over whole responses go over into each other?

Responses of up to L tokens are the leaves of a tree of prefixes.  A law over all responses is the same thing as one
next-token law per prefix (chain rule), and both directions cost one pass over the tree, so every statement about laws
on a finite set holds for sequences with N = number of responses (L6).

Numbering.  A prefix of k tokens is numbered by its tokens as digits, after all shorter prefixes.  With an end token
(the last of the vocabulary) a response that ends after a prefix has the number of that prefix; those that never end
come after, again by their tokens as digits.  Token arrays have L entries; what follows the end is the end token.
"""

from typing import final

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from didsim.numerics import checks
from didsim.numerics.pytrees import pytree, static, whole

ENUMERABLE = 2**22
LONGEST = 2**16 + 1  # tokens; what lies beyond are numbers of responses that take megabytes to write down


@final
@pytree
class SequenceSpace:
    """All sequences of at most ``length`` tokens from ``vocabulary`` many: V^L of them, or more short ones with ``ends``.

    Args:
        vocabulary: V, number of tokens, >= 2.
        length: L, most tokens in a response, >= 1.
        ends: whether the last token of the vocabulary ends a response; it counts as a token of the response's length.

    Raises:
        ArgumentError: a size out of range.

    Example:
        >>> from didsim.numerics.sequences import SequenceSpace
        >>> space = SequenceSpace(vocabulary=3, length=2, ends=True)
        >>> space.n, space.prefixes
        (7, 3)
        >>> space.tokens().tolist()  # 2 ends: at once, after 0, after 1; then the four that do not end
        [[2, 2], [0, 2], [1, 2], [0, 0], [0, 1], [1, 0], [1, 1]]
        >>> space.lengths().tolist()
        [1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0]
    """

    example = "didsim.numerics.sequences.SequenceSpace(4, 3)"

    vocabulary: int = whole(2)
    length: int = whole(1, below=LONGEST)
    ends: bool = static(default=False)

    @property
    def branching(self) -> int:
        """Tokens after which a response goes on."""
        return self.vocabulary - int(self.ends)

    @property
    def depths(self) -> tuple[int, ...]:
        """Number of prefixes of each number of tokens 0, 1, …, L-1."""
        return tuple(self.branching**depth for depth in range(self.length))

    @property
    def prefixes(self) -> int:
        """Number of prefixes after which a token follows."""
        return sum(self.depths)

    @property
    def n(self) -> int:
        """Number of responses."""
        return self.branching**self.length + (self.prefixes if self.ends else 0)

    def tokens(self) -> Int[Array, "n l"]:
        """Tokens of every response, in order.

        Raises:
            ArgumentError: too many responses to enumerate.
        """
        self.check_enumerable()
        ended = [self._digits(depth) for depth in range(self.length)] if self.ends else []
        return jnp.asarray(np.concatenate([*ended, self._digits(self.length)]))

    def longest_prefixes(self) -> Int[Array, "m l"]:
        """Tokens of one response through each of the longest prefixes, L-1 tokens and a filler, in order.

        Raises:
            ArgumentError: too many responses to enumerate.
        """
        self.check_enumerable()
        return jnp.asarray(self._digits(self.length - 1))

    def lengths(self) -> Float[Array, " n"]:
        """Number of tokens of every response, the end token included.

        Raises:
            ArgumentError: too many responses to enumerate.
        """
        self.check_enumerable()
        ended = np.repeat(np.arange(self.length) + 1.0, self.depths) if self.ends else np.zeros(0)
        whole = np.full(self.branching**self.length, float(self.length))
        return jnp.asarray(np.concatenate([ended, whole]), jnp.zeros(()).dtype)

    def counts(self, tokens: Int[Array, "*batch l"]) -> Bool[Array, "*batch l"]:
        """Whether each token belongs to the response: all up to the first end token."""
        if not self.ends:
            return jnp.ones(tokens.shape, bool)
        over = jnp.cumsum(tokens == self.vocabulary - 1, -1)
        return (over - (tokens == self.vocabulary - 1)) == 0

    def prefix_index(self, tokens: Int[Array, "*batch l"]) -> Int[Array, "*batch l"]:
        """Number of the prefix before each token; beyond the end, that of some prefix.

        Raises:
            ArgumentError: too many responses to enumerate.
        """
        self.check_enumerable()
        digit = jnp.minimum(tokens, self.branching - 1)
        number, places = jnp.zeros(tokens.shape[:-1], tokens.dtype), []
        for depth, start in enumerate(self._starts()):
            places.append(start + number)
            number = number * self.branching + digit[..., depth]
        return jnp.stack(places, -1)

    def index(self, tokens: Int[Array, "*batch l"]) -> Int[Array, "*batch"]:
        """Number of each response, the inverse of `tokens`.

        Raises:
            ArgumentError: too many responses to enumerate.
        """
        places = self.prefix_index(tokens)
        last = places[..., -1] - self._starts()[-1]
        whole = last * self.branching + tokens[..., -1] + (self.prefixes if self.ends else 0)
        if not self.ends:
            return whole
        ending = tokens == self.vocabulary - 1
        first = jnp.argmax(ending, -1)
        return jnp.where(ending.any(-1), jnp.take_along_axis(places, first[..., None], -1)[..., 0], whole)

    def log_law(self, log_next: Float[Array, "*batch prefixes v"]) -> Float[Array, "*batch n"]:
        """Law over responses from next-token log-laws: ``log π(y) = Σ_k log π(y_k|y_{<k})`` (chain rule; L6)."""
        reach, ended = jnp.zeros((*log_next.shape[:-2], 1), log_next.dtype), []
        for start, count in zip(self._starts(), self.depths, strict=True):
            joint = reach[..., None] + log_next[..., start : start + count, :]
            ended.append(joint[..., -1])
            reach = joint[..., : self.branching].reshape(*reach.shape[:-1], -1)
        return jnp.concatenate([*ended, reach], -1) if self.ends else reach

    def next_log_probs(self, log_law: Float[Array, "*batch n"]) -> Float[Array, "*batch prefixes v"]:
        """Next-token log-laws of a law over responses, the inverse of `log_law`; uniform after prefixes without mass."""
        mass, found = log_law[..., self.prefixes if self.ends else 0 :], []
        for start, count in zip(reversed(self._starts()), reversed(self.depths), strict=True):
            children = mass.reshape(*mass.shape[:-1], count, self.branching)
            if self.ends:
                children = jnp.concatenate([children, log_law[..., start : start + count, None]], -1)
            mass = jax.nn.logsumexp(children, -1)
            alive = jnp.isfinite(mass)[..., None]
            found.append(jnp.where(alive, children - jnp.where(alive, mass[..., None], 0.0), -jnp.log(float(self.vocabulary))))
        return jnp.concatenate(found[::-1], -2)

    def check_enumerable(self) -> None:
        """Nothing, if all responses can be written down.

        Raises:
            ArgumentError: there are more than 2²² of them.
        """
        if self.n > ENUMERABLE:
            raise checks.ArgumentError(
                f"Argument `space` must have at most {ENUMERABLE} responses to enumerate them, but has {self.n:.4g}."
            )

    def _starts(self) -> tuple[int, ...]:
        """Number of the first prefix of each number of tokens."""
        return tuple(sum(self.depths[:depth]) for depth in range(self.length))

    def _digits(self, depth: int) -> np.ndarray:
        """All strings of ``depth`` tokens that do not end, filled up with the last token."""
        number = np.arange(self.branching**depth)[:, None]
        digits = number // self.branching ** np.arange(depth - 1, -1, -1) % self.branching
        fill = np.full((len(number), self.length - depth), self.vocabulary - 1)
        return np.concatenate([digits, fill], -1).astype(np.int32)
