"""Are the fast ways of computing the same as the slow ones?  Claims K1 to K3."""

import jax
import jax.numpy as jnp

from didsim import did, objectives, samplers
from didsim.claims.arithmetic import gaps
from didsim.claims.ledger import claim
from didsim.claims.statements.conditions import off, reach, same, zero
from didsim.claims.statements.one_prompt import drawn_apart, world
from didsim.claims.variables import between, law, real
from didsim.landscape.solvers.newton import newton
from didsim.numerics import pair_sums, simplex
from didsim.samplers.data import Data
from didsim.worlds import preferences


@claim(
    "K1.kernel-sum",
    "Sums of the logistic function over all pairs come out of panels in time linear in N, to rounding.",
    "Σ_b w_b σ(u_a - v_b) by Chebyshev panels",
    source="derived",
    proof=(
        "σ is analytic for |Im| < π, so polynomials on panels of width about one converge geometrically: 16 Chebyshev "
        "nodes reach rounding."
    ),
    given={"targets": real("n"), "sources": real("n"), "weights": law("n"), "moved": between(0.3, 1.0)},
    hypotheses=(zero("the sources are the same", "moved"),),
    n=64,
    share=0.02,
    smooth=False,
    other_sizes=(2, 512),
)
def _panels(v):
    found = pair_sums.kernel_sum("sigmoid", v["targets"], v["sources"], jax.nn.softmax(v["weights"]), method="fast")
    wanted = jax.nn.sigmoid(v["targets"][:, None] - (v["sources"] + v["moved"])[None, :]) @ jax.nn.softmax(v["weights"])
    return off(found, wanted, 1.0)


@claim(
    "K1.far",
    "The same holds for scores so far apart that the logistic function is nearly one or zero on most of the pairs.",
    "Σ_b w_b σ(u_a - v_b), scores in clusters up to 80 nats apart",
    source="derived",
    proof="Far beyond a panel σ is a constant or one exponential, which moments sum exactly; near it K1.kernel-sum applies.",
    given={
        "targets": between(-40.0, 40.0, "n"),
        "sources": between(-40.0, 40.0, "n"),
        "weights": law("n"),
        "moved": between(0.3, 1.0),
    },
    hypotheses=(zero("the sources are the same", "moved"),),
    n=64,
    share=0.02,
    smooth=False,
    rounding=450.0,  # panels promise 1e-13
    other_sizes=(2, 512),
)
def _far(v):
    # Half of the scores lie within a nat of each other: near and far are both summed.
    sources = jnp.where(jnp.arange(v["sources"].shape[-1]) % 2 == 0, v["sources"], v["sources"] / 40.0)
    found = pair_sums.kernel_sum("sigmoid", v["targets"], sources, jax.nn.softmax(v["weights"]), method="fast")
    wanted = jax.nn.sigmoid(v["targets"][:, None] - (sources + v["moved"])[None, :]) @ jax.nn.softmax(v["weights"])
    return off(found, wanted, 1.0)


@claim(
    "K1.products",
    "The population gradient of a mixture of products needs no table of pairs: kernel sums give the same.",
    "∇L from Σ_k c_k p_k ⊗ q_k = ∇L from the N×N table",
    source="derived",
    proof="The gradient is linear in the pair law; of a product it is p_a times a kernel sum over q.",
    given={
        "ref": law(),
        "reward": between(-2.0, 2.0, "n"),
        "chosen": law(),
        "rejected": law(),
        "policy": law(),
        "moved": real(),
        "beta": between(0.2, 5.0),
    },
    hypotheses=(zero("both are taken at one policy", "moved"),),
    share=0.2,
    other_sizes=(2, 40),
)
def _never_written_out(v):
    chosen, rejected = simplex.normalize(v["chosen"]), simplex.normalize(v["rejected"])
    problem = world(v["ref"], jnp.ones(()), reward=v["reward"], log_chosen=chosen, log_rejected=rejected)
    pairs = samplers.MixR().pair_law(problem, problem.log_ref)
    written = objectives.population(problem, samplers.MixR(), preferences.BradleyTerry(), problem.log_ref)
    kept = objectives.product_population(problem, pairs, preferences.BradleyTerry())
    place = simplex.normalize(v["policy"])[None]
    moved = simplex.normalize(v["policy"] + v["moved"])[None]
    slopes = [
        jax.grad(lambda x, one=one: objectives.loss(objectives.Dpo(v["beta"]), problem, x, one))(where)[0]
        for one, where in ((kept, place), (written, moved))
    ]
    return off(slopes[0], slopes[1], (1.0 + v["beta"]) * (1.0 + reach(v["reward"])))


@claim(
    "K2.quotient",
    "All logistic functions of differences are quotients of N exponentials.",
    "σ(u_a - u_b) = e^{u_a} / (e^{u_a} + e^{u_b})",
    source="derived",
    proof="Multiply the fraction 1/(1 + e^{-(u_a - u_b)}) by e^{u_a} above and below.",
    given={"scores": real(), "other": real()},
    hypotheses=(same("the scores are the same", "other", "scores"),),
    exact=lambda m, v: (
        m.exp(v["scores"])[:, None] / (m.exp(v["scores"])[:, None] + m.exp(v["scores"])[None, :]) - m.sigmoid(gaps(v["other"]))
    ),
)
def _quotient(v):
    scale = jnp.exp(v["scores"] - jnp.max(v["scores"]))
    found = scale[:, None] / (scale[:, None] + scale[None, :])
    wanted = preferences.BradleyTerry().matrix(v["other"])
    summed = pair_sums.kernel_sum(
        "sigmoid", v["scores"][None], v["scores"][None], jnp.eye(scale.size, dtype=scale.dtype), method="dense"
    )
    size = 1.0 + reach(v["scores"])
    return jnp.maximum(off(found, wanted, size), off(summed.T, wanted, size))


def _learned(v, beta):
    chosen, rejected, ref = (simplex.normalize(v[name]) for name in ("chosen", "rejected", "ref"))
    return did.learned_policy(chosen, rejected, ref, beta)


def _three(low, high):
    return between(low, high, "n")


@claim(
    "K3.newton",
    "Newton's method with the Laplacian's pseudo-inverse finds the minimiser that the closed form names.",
    "argmin L = π_ref (π_w/π_l)^{1/β}",
    source="derived",
    proof="The loss is smooth and strictly convex up to constants; the one place where its gradient vanishes is D5's.",
    given={
        "ref": _three(-1.5, 1.5),
        "chosen": _three(-1.5, 1.5),
        "rejected": _three(-1.5, 1.5),
        "beta": between(0.5, 2.0),
        "told": between(0.5, 2.0),
    },
    hypotheses=(same("the closed form is told the same β", "told", "beta"),),
    kind="rate",
    rounding=0.0,
    allowance=1e-9,
    share=0.02,
    smooth=False,
    needs_double=True,
    other_sizes=(2, 12),
)
def _solved(v):
    problem = world(v["ref"], v["beta"], target=v["ref"], log_chosen=v["chosen"], log_rejected=v["rejected"])
    end = newton(problem, objectives.Dpo(v["beta"]), Data(*drawn_apart()), problem.log_ref, jnp.uint32(0), 1, 60)
    closed = _learned(v, v["told"])
    return off(jnp.exp(end.log_policy[0]), jnp.exp(closed), 1.0)
