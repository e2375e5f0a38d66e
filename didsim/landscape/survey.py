"""What can a sampler teach, how fast, and from how many pairs?

One survey per sampler: which responses it compares (S1), how well it conditions descent (S4), how strongly it pulls at the
first step (S8), how much a pair tells (S7), what it costs, and what follows for the steps and the pairs that an accuracy
takes.  Spectrum, rate and pairs are those at the optimum, with the sampler as it is there; the signal is that at π_ref.
"""

from typing import final

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int

from didsim.landscape.descent import descent_limit, off_support_mass
from didsim.landscape.graph import comparison_graph, component_count, component_sums, components
from didsim.landscape.hessian import hessian_at_optimum, product_laplacian
from didsim.landscape.lanczos import extreme_eigenvalues
from didsim.landscape.rates import best_step
from didsim.landscape.signal import first_gradient_signal
from didsim.numerics import checks, linalg, simplex
from didsim.numerics.pair_sums import expected_kernel
from didsim.numerics.promotion import usual_promotion
from didsim.numerics.pytrees import pytree
from didsim.numerics.traces import jit
from didsim.samplers import ProductMixture, Sampler
from didsim.samplers.data import Data
from didsim.worlds import Problem

LARGEST_DENSE = 2048


@final
@pytree
class Survey:
    """What a sampler does to one problem, an entry per prompt.

    Attributes:
        shown: whether a response is ever compared with another, shape (prompts, n).
        component: smallest index in each response's component of the comparison graph.
        components: components of two responses or more.
        open_directions: dimension of what the data leaves open, one of which is the normalisation.
        unseen_reference: mass of π_ref on responses that are never compared.
        unseen_target: mass of π* there.
        undetermined: mass of π* outside its heaviest component: what no amount of data relates to the rest.
        smallest: λ₂, smallest non-zero eigenvalue of the Hessian at the optimum; NaN if nothing is compared or, beyond
            2,048 responses, the iteration did not converge; zero (and
            infinite steps and pairs) if it is lost in rounding.
        largest: its largest eigenvalue.
        step: fastest step size of plain gradient descent, ``2/(λ₂ + λ_max)``.
        rate: factor by which the error shrinks per step then, ``(κ-1)/(κ+1)``.
        steps: steps until the error near the optimum has shrunk by the accuracy.
        information: Fisher information of one pair about its own log-margin, ``β² E_μ[σ'(r_a - r_b); a ≠ b]``.
        margin_error: root mean square error of a determined log-margin from one pair, to leading order; divide by ``√n``.
        pairs: pairs until that error is the accuracy, in nats; NaN beyond 2,048 responses.
        signal: first-gradient signal (S8).
        draws: responses generated per pair.
        value_gap: value that stays lost however long gradient descent runs, ``β KL(π_∞‖π*)`` (S2).
        resolved: whether λ₂ stands clear of rounding.
    """

    shown: Bool[Array, "prompts n"]
    component: Int[Array, "prompts n"]
    components: Int[Array, " prompts"]
    open_directions: Int[Array, " prompts"]
    unseen_reference: Float[Array, " prompts"]
    unseen_target: Float[Array, " prompts"]
    undetermined: Float[Array, " prompts"]
    smallest: Float[Array, " prompts"]
    largest: Float[Array, " prompts"]
    step: Float[Array, " prompts"]
    rate: Float[Array, " prompts"]
    steps: Float[Array, " prompts"]
    information: Float[Array, " prompts"]
    margin_error: Float[Array, " prompts"]
    pairs: Float[Array, " prompts"]
    signal: Float[Array, " prompts"]
    draws: Float[Array, " prompts"]
    value_gap: Float[Array, " prompts"]
    resolved: Bool[Array, " prompts"]

    @property
    def condition(self) -> Float[Array, " prompts"]:
        """``κ = λ_max/λ₂``."""
        return self.largest / self.smallest


@usual_promotion()
def survey(problem: Problem, sampler: Sampler, *, beta: ArrayLike | None = None, accuracy: ArrayLike = 0.01) -> Survey:
    """Survey of a sampler on a problem, for DPO on a table with Bradley-Terry labels.

    Up to 2,048 responses from the matrix of all pairs; beyond, for mixtures of products, in O(N) and without ``pairs``.

    Args:
        problem: the preference world.
        sampler: which pairs are shown.
        beta: inverse temperature of the implicit reward, > 0; the problem's if missing.
        accuracy: factor of the error that ``steps`` are for, and error in nats that ``pairs`` are for, in (0, 1).

    Returns:
        The `Survey`, an entry per prompt.

    Raises:
        ArgumentError: a number out of range, a pair law that is not one, or a dense law on too many responses.

    Example:
        >>> import jax.numpy as jnp
        >>> import didsim
        >>> world = didsim.problem(jnp.log(jnp.full(4, 0.25)), reward=jnp.array([0.0, 1.0, 2.0, 3.0]))
        >>> found = didsim.survey.survey(world, didsim.samplers.Blocks(jnp.array([0, 0, 1, 1])))
        >>> int(found.components[0]), round(float(found.undetermined[0]), 3)  # the lower two stay unrelated to the upper
        (2, 0.119)
    """
    scale = problem.beta if beta is None else jnp.asarray(checks.positive("beta", beta), problem.log_ref.dtype)
    checks.positive("accuracy", accuracy)
    checks.between("accuracy", accuracy, 0.0, 1.0, open_high=True)
    target = simplex.tilt(problem.log_ref, problem.reward, 1.0 / scale)
    Data(sampler).check(problem, target)
    rule = _dense if problem.log_ref.shape[-1] <= LARGEST_DENSE else _of_products
    return rule(problem, sampler, target, scale, jnp.asarray(accuracy, problem.log_ref.dtype))


def mixture_components(law: ProductMixture) -> Int[Array, "prompts n"]:
    """Component labels of a mixture of products in O(k² N), as `components` gives them (derived; S1).

    A product joins everything that it shows on either side; products that share a response join each other.
    """
    side = (law.log_first > -jnp.inf) | (law.log_second > -jnp.inf)
    # A product that shows one response only compares it with nothing.
    shown = side & (law.weights > 0)[..., None] & (side.sum(-1, keepdims=True) > 1)
    n = shown.shape[-1]
    lowest = jnp.min(jnp.where(shown, jnp.arange(n), n), axis=-1)
    meet = jnp.einsum("...ky,...ly->...kl", shown.astype(jnp.float32), shown.astype(jnp.float32)) > 0
    for _ in range(shown.shape[-2]):
        lowest = jnp.minimum(lowest, jnp.min(jnp.where(meet, lowest[..., None, :], n), axis=-1))
    label = jnp.min(jnp.where(shown, lowest[..., None], n), axis=-2)
    return jnp.where(label < n, label, jnp.arange(n))


@jit
def _dense(problem: Problem, sampler: Sampler, target: Array, beta: Array, accuracy: Array) -> Survey:
    shown = sampler.pair_law(problem, target).matrix()
    label = components(comparison_graph(shown))
    hessian = hessian_at_optimum(shown, problem.reward, beta)
    values, vectors = linalg.eigh(hessian)
    # The graph says how many eigenvalues are zero; rounding need not.
    positive = jnp.arange(values.shape[-1]) >= component_count(label)[:, None]
    smallest = jnp.min(jnp.where(positive, values, jnp.inf), -1)
    size = component_sums(jnp.ones_like(problem.reward), label)
    diagonal = jnp.einsum("xyk,xk->xy", vectors**2, linalg.divide(1.0, values, positive))
    # Mean resistance over ordered pairs of one component: each costs the two diagonal entries, the rest sums to zero.
    resistance = 2.0 * jnp.sum(size * diagonal, -1) / jnp.sum(size - 1.0, -1)
    information = 0.5 * jnp.trace(hessian, axis1=1, axis2=2)
    spectrum = jnp.where(jnp.isfinite(smallest), smallest, jnp.nan), values[:, -1]
    return _surveyed(problem, sampler, target, beta, accuracy, label, spectrum, information, jnp.sqrt(resistance))


def _of_products(problem: Problem, sampler: Sampler, target: Array, beta: Array, accuracy: Array) -> Survey:
    law = sampler.pair_law(problem, target)
    if not isinstance(law, ProductMixture):
        raise checks.ArgumentError(
            f"Argument `problem` must have at most {LARGEST_DENSE} responses for {type(sampler).__name__}, whose law is dense, "
            f"but has {problem.log_ref.shape[-1]}."
        )
    ends = extreme_eigenvalues(product_laplacian(law, problem.reward, beta))
    first, second = jnp.exp(law.log_first), jnp.exp(law.log_second)
    every = expected_kernel("slope", law.weights, first, second, problem.reward, problem.reward)
    same = jnp.sum(law.weights * jnp.sum(first * second, -1), -1)
    unknown = jnp.full_like(ends.largest, jnp.nan)
    smallest = jnp.where(ends.converged & (ends.smallest > 0), ends.smallest, jnp.nan)
    label, information = mixture_components(law), beta**2 * (every - 0.25 * same)
    return _surveyed(problem, sampler, target, beta, accuracy, label, (smallest, ends.largest), information, unknown)


def _surveyed(problem, sampler, target, beta, accuracy, label, spectrum, information, margin_error) -> Survey:
    smallest, largest = spectrum
    n = label.shape[-1]
    resolved = smallest > n * jnp.finfo(largest.dtype).eps * largest
    lost = ~resolved & ~jnp.isnan(smallest)
    smallest, margin_error = jnp.where(lost, 0.0, smallest), jnp.where(lost, jnp.inf, margin_error)
    size = component_sums(jnp.ones_like(problem.reward), label)
    shown = size > 1
    log_rate = jnp.log1p(-2.0 * smallest / (largest + smallest))
    limit = descent_limit(problem.log_ref, problem.reward, label, beta)
    alone = label == jnp.arange(n)
    return Survey(
        shown=shown,
        component=label,
        components=jnp.sum(alone & shown, -1),
        open_directions=jnp.sum(alone, -1),
        unseen_reference=off_support_mass(problem.log_ref, shown),
        unseen_target=off_support_mass(target, shown),
        undetermined=jnp.maximum(1.0 - jnp.max(component_sums(jnp.exp(target), label), -1), 0.0),
        smallest=smallest,
        largest=largest,
        step=best_step(smallest, largest),
        rate=jnp.exp(log_rate),
        steps=jnp.where(lost, jnp.inf, jnp.maximum(jnp.ceil(jnp.log(accuracy) / log_rate), 1.0)),
        information=information,
        margin_error=margin_error,
        pairs=jnp.ceil((margin_error / accuracy) ** 2),
        signal=first_gradient_signal(sampler.pair_law(problem, problem.log_ref), problem.reward),
        draws=sampler.draws(problem, target),
        value_gap=beta * simplex.kl(limit, target),
        resolved=resolved,
    )
