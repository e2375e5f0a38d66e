"""Where does a smooth function of a vector have a minimum near a start?

L-BFGS with a weak Wolfe search, as one loop in which every turn evaluates the function once: to learn how it bends, to
move a trial step, or to take it.  So the function is compiled once, and many starts side by side never wait for one
another's searches.  Losses over sequences bend by many orders of magnitude more along common prefixes than along rare
ones; parameters are scaled by the size of their rows of the Hessian, which a few random differences of the gradient
tell well enough.  The scale is taken anew every `ROUND` steps, and when a search fails.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

Function = Callable[[Float[Array, " d"]], tuple[Float[Array, ""], Array]]
ROUND = 200
MEMORY = 20
PROBES = 8
DIFFERENCE = 1e-5
FLATTEST = 1e-8
DECREASE = 1e-4
CURVATURE = 0.9
MAX_TRIALS = 30


class Search(NamedTuple):
    """State of the search.

    Attributes:
        x: the point, shape (d,).
        value: function there.
        slope: gradient there.
        beside: what else the function returned there.
        phase: 0 at the very start, 1 to `PROBES` while the scale is taken, above that along a direction.
        rows: sum of squared differences of the gradient so far, for the scale.
        scale: lengths in which the Hessian's rows are alike.
        moves: last moves between points over the scale, newest first, shape (m, d).
        bends: changes of the gradient along them times the scale.
        direction: where the next point is looked for.
        length: trial step, with ``low`` and ``high`` around it.
        trials: trial steps along this direction.
        taken: steps taken, and ``fresh`` those since the scale was taken.
        done: the gradient is small enough, or no step lowers the function within its rounding.
    """

    x: Float[Array, " d"]
    value: Float[Array, ""]
    slope: Float[Array, " d"]
    beside: Array
    phase: Int[Array, ""]
    rows: Float[Array, " d"]
    scale: Float[Array, " d"]
    moves: Float[Array, "m d"]
    bends: Float[Array, "m d"]
    direction: Float[Array, " d"]
    length: Float[Array, ""]
    low: Float[Array, ""]
    high: Float[Array, ""]
    trials: Int[Array, ""]
    taken: Int[Array, ""]
    fresh: Int[Array, ""]
    done: Bool[Array, ""]


def minimum(function: Function, start: Float[Array, " d"], stop_below: float, steps: int) -> Search:
    """The end of at most ``steps`` L-BFGS steps (Liu and Nocedal 1989), traceable; the function gives its value and more.

    It ends when no entry of the gradient exceeds ``stop_below``, or when no step against a freshly scaled gradient lowers
    the function within its rounding.
    """

    # Drawn outside the compiled program, where a random-number generator would cost more than all the rest.
    signs = jnp.asarray(np.random.default_rng(0).choice([-1.0, 1.0], (PROBES + 1, start.size)), start.dtype)

    def turn(state: Search) -> Search:
        # Evaluate where the state says; go on measuring the scale, or searching along the direction.
        (value, beside), slope = jax.value_and_grad(function, has_aux=True)(_point(state, signs))
        probed, searched = _probe(state, value, slope, beside), _step(state, value, slope, beside)
        new = _choose(state.phase <= PROBES, probed, searched)
        new = new._replace(done=new.done | (jnp.max(jnp.abs(new.slope)) <= stop_below))
        return _choose(state.done, state, new)  # starts that are done wait for the others as they are

    zero, none, vector = jnp.zeros((), start.dtype), jnp.int32(0), jnp.zeros_like(start)
    history = jnp.zeros((MEMORY, start.size), start.dtype)
    beside = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(function, start)[1])
    state = Search(
        x=start,
        value=zero + jnp.inf,
        slope=vector + jnp.inf,
        beside=beside,
        phase=none,
        rows=vector,
        scale=vector + 1.0,
        moves=history,
        bends=history,
        direction=vector,
        taken=none,
        fresh=none,
        done=jnp.asarray(False),
        **_first_trial(zero),
    )
    return jax.lax.while_loop(lambda s: ~s.done & (s.taken < steps), turn, state)


def _point(state: Search, signs: Float[Array, "p d"]) -> Float[Array, " d"]:
    """Where the function is evaluated next."""
    aside = jnp.where(state.phase == 0, 0.0, DIFFERENCE) * signs[jnp.minimum(state.phase, PROBES)]
    return state.x + jnp.where(state.phase <= PROBES, aside, state.length * state.direction)


def _probe(state: Search, value: Array, slope: Array, beside: Array) -> Search:
    """After an evaluation beside the point: one more difference, and after the last the scale and a first direction."""
    # The first evaluation is at the point itself; the others give differences of the gradient.
    first, last = state.phase == 0, state.phase == PROBES
    value, at = jnp.where(first, value, state.value), jnp.where(first, slope, state.slope)
    rows = jnp.where(first, 0.0, state.rows + ((slope - at) / DIFFERENCE) ** 2)
    # After the last, lengths in which the Hessian's rows are alike.
    sizes = jnp.sqrt(rows / PROBES)
    floor = jnp.maximum(FLATTEST * sizes.max(), jnp.finfo(slope.dtype).tiny)
    scale = jnp.where(last, jax.lax.rsqrt(jnp.maximum(sizes, floor)), state.scale)
    return state._replace(
        value=value,
        slope=at,
        beside=jnp.where(first, beside, state.beside),
        phase=state.phase + 1,
        rows=rows,
        scale=scale,
        moves=jnp.zeros_like(state.moves),
        bends=jnp.zeros_like(state.bends),
        direction=-(scale**2) * at,
        fresh=jnp.zeros_like(state.fresh),
        **_first_trial(1.0 / jnp.maximum(1.0, jnp.linalg.norm(scale * at))),
    )


def _first_trial(length: Array) -> dict[str, Array]:
    """What a search along a fresh direction starts with."""
    zero = jnp.zeros_like(length)
    return {"length": length, "low": zero, "high": zero + jnp.inf, "trials": jnp.int32(0)}


def _step(state: Search, value: Array, slope: Array, beside: Array) -> Search:
    """After an evaluation along the direction: the point is taken, or another trial step is set.

    Where the decrease drowns in the rounding of the value, its sign is read off the slopes alone (Hager and Zhang 2005).
    """
    along, at_start = slope @ state.direction, state.slope @ state.direction
    slack = 4.0 * jnp.finfo(value.dtype).eps * (1.0 + jnp.abs(state.value))
    lower = value <= state.value + DECREASE * state.length * at_start
    level = (value <= state.value + slack) & (along <= (2.0 * DECREASE - 1.0) * at_start)
    enough, bent = lower | level, along >= CURVATURE * at_start
    return _choose(enough & bent, _take(state, value, slope, beside), _again(state, enough))


def _again(state: Search, enough: Bool[Array, ""]) -> Search:
    """A longer or a shorter trial; after too many a fresh scale, and the end if the scale was fresh."""
    low, high = jnp.where(enough, state.length, state.low), jnp.where(enough, state.high, state.length)
    length = jnp.where(jnp.isinf(high), 2.0 * state.length, 0.5 * (low + high))
    failed = state.trials + 1 >= MAX_TRIALS
    return state._replace(
        low=low,
        high=high,
        length=length,
        trials=state.trials + 1,
        phase=jnp.where(failed, 1, state.phase),
        rows=jnp.where(failed, 0.0, state.rows),
        done=failed & (state.fresh == 0),
    )


def _take(state: Search, value: Array, slope: Array, beside: Array) -> Search:
    """The state at the trial point: history, direction and a first trial step of one; at times a fresh scale."""
    # Remember how the gradient changed along the move.
    move = state.length * state.direction
    moves = jnp.concatenate([(move / state.scale)[None], state.moves[:-1]])
    bends = jnp.concatenate([(state.scale * (slope - state.slope))[None], state.bends[:-1]])
    # Look for the next point where the remembered curvature says.
    direction = -state.scale * _inverse_hessian(moves, bends, state.scale * slope)
    over = state.fresh + 1 >= ROUND
    return state._replace(
        x=state.x + move,
        value=value,
        slope=slope,
        beside=beside,
        phase=jnp.where(over, 1, state.phase),
        rows=jnp.where(over, 0.0, state.rows),
        moves=moves,
        bends=bends,
        direction=direction,
        taken=state.taken + 1,
        fresh=state.fresh + 1,
        **_first_trial(jnp.ones_like(value)),
    )


def _inverse_hessian(moves: Float[Array, "m d"], bends: Float[Array, "m d"], slope: Float[Array, " d"]) -> Float[Array, " d"]:
    """Product of the limited-memory inverse Hessian with a vector, by the two-loop recursion; empty rows do nothing."""
    products = jnp.sum(moves * bends, -1)
    weight = jnp.where(products > 0, 1.0 / jnp.where(products > 0, products, 1.0), 0.0)

    def down(q: Array, pair: tuple) -> tuple[Array, Array]:
        move, bend, w = pair
        share = w * (move @ q)
        return q - share * bend, share

    def up(q: Array, pair: tuple) -> tuple[Array, None]:
        move, bend, w, share = pair
        return q + move * (share - w * (bend @ q)), None

    q, shares = jax.lax.scan(down, slope, (moves, bends, weight))
    squares = bends[0] @ bends[0]
    q = q * jnp.where(products[0] > 0, products[0] / jnp.where(squares > 0, squares, 1.0), 1.0)
    return jax.lax.scan(up, q, (moves, bends, weight, shares), reverse=True)[0]


def _choose(condition: Bool[Array, ""], if_true: Search, if_false: Search) -> Search:
    return jax.tree.map(lambda yes, no: jnp.where(condition, yes, no), if_true, if_false)
