"""What if the policy draws its own pairs, and if training is iterated?  Claims S11 and S12."""

import jax
import jax.numpy as jnp
import numpy as np

from didsim import objectives, samplers
from didsim.claims.arithmetic import gaps
from didsim.claims.ledger import claim
from didsim.claims.statements.conditions import BRADLEY_TERRY, above, odds_of, off, reach, same, sets, zero
from didsim.claims.statements.d_learning import pair_slope
from didsim.claims.statements.one_prompt import labelled, slope, world
from didsim.claims.variables import between, law, real
from didsim.dynamics.iterated import maps, stability
from didsim.numerics import simplex

PAIRS = {"ref": law(), "reward": real(), "joint": law("n", "n"), "odds": real("n", "n"), "beta": between(0.2, 5.0)}


def _own_draws_exact(m, v):
    mass, margins, odds = m.law(v["ref"] + v["reward"] / v["beta"]), gaps(v["reward"]), odds_of(v["odds"])
    joint = mass[:, None] * mass[None, :]
    plain = pair_slope(m, joint, odds, margins)
    cost = m.sigmoid(odds) * m.log(1 + m.exp(-margins)) + m.sigmoid(-odds) * m.log(1 + m.exp(margins))
    each = (joint * (cost + cost.T)).sum(-1)
    return plain + v["through"] * (each - mass * each.sum())


@claim(
    "S11.own-draws",
    "Training on the policy's own responses keeps the optimum, as long as no gradient flows through the sampling.",
    "∇L(π*) = 0 with μ = stop-gradient(π_θ ⊗ π_θ)",
    source="derived",
    needs_double=True,
    proof="Every pair's term vanishes at π* (S6); without a gradient through the sampler nothing else is left.",
    given={k: PAIRS[k] for k in ("ref", "reward", "odds", "beta")} | {"through": between(0.3, 1.0)},
    hypotheses=(BRADLEY_TERRY, zero("no gradient flows through the sampler", "through")),
    exact=_own_draws_exact,
)
def _own_draws(v):
    odds = odds_of(v["odds"])
    problem = world(v["ref"], v["beta"], reward=v["reward"])

    def loss(logits):
        log_policy = simplex.normalize(logits)[None]
        current = v["through"] * log_policy + (1.0 - v["through"]) * jax.lax.stop_gradient(log_policy)
        if_moved = samplers.Product(current, current)
        stopped = samplers.OnPolicy()
        pairs = [objectives.population(problem, one, labelled(odds), log_policy) for one in (if_moved, stopped)]
        values = [objectives.loss(objectives.Dpo(v["beta"]), problem, log_policy, one) for one in pairs]
        return v["through"] * values[0] + (1.0 - v["through"]) * values[1]

    found = jax.grad(loss)(problem.log_target[0])
    scale = (1.0 + v["beta"]) * (1.0 + reach(v["ref"])) + reach(v["reward"]) * (1.0 + 1.0 / v["beta"])
    return off(found / v["beta"], jnp.zeros(()), scale)


def _ipo_exact(m, v):
    odds, first, second = odds_of(v["odds"]), m.law(v["first"]), m.law(v["second"])
    wins = (m.sigmoid(odds) * first[None, :]).sum(-1) / v["beta"]
    joint = first[:, None] * second[None, :]
    force = joint * (gaps(wins) - (2 * m.sigmoid(odds) - 1) / (2 * v["beta"]))
    return force.sum(-1) - force.sum(-2)


@claim(
    "S12.ipo",
    "IPO's optimum tilts the reference by each response's chance to win against the draws: the sampler moves it.",
    "π_θ ∝ π_ref exp(Pν/τ), any P",
    source="Chen et al. 2602.12180; derived",
    needs_double=True,
    proof=(
        "Stationarity of a squared loss under ν ⊗ ν: each log-ratio is its response's mean win chance over τ, up to a constant."
    ),
    given={"ref": law(), "first": law(), "second": law(), "odds": real("n", "n"), "beta": between(0.2, 5.0)},
    hypotheses=(
        same("both responses are drawn from one law", "second", "first"),
        sets(
            "labels are Bradley-Terry",
            needed=False,
            odds=lambda m, v: gaps(v["ref"]) + v["odds"] * 0,
        ),
    ),
    exact=_ipo_exact,
)
def _ipo(v):
    odds = odds_of(v["odds"])
    draws = [simplex.normalize(v[name])[None] for name in ("first", "second")]
    wins = jax.nn.sigmoid(odds) @ jnp.exp(draws[0][0])
    problem = world(v["ref"], v["beta"], target=v["ref"])
    place = simplex.normalize(v["ref"]) + wins / v["beta"]
    found = slope(objectives.IpoSum(v["beta"]), problem, samplers.Product(*draws), labelled(odds), place)
    told = maps.ipo_optimum(problem.log_ref[0], jax.nn.sigmoid(odds), draws[0][0], v["beta"])
    scale = (1.0 + 1.0 / v["beta"]) * (1.0 + reach(v["ref"]))
    return jnp.maximum(off(found, jnp.zeros(()), scale), off(told, simplex.normalize(place), scale))


@claim(
    "S12.dpo",
    "DPO on one's own draws has the optimum at which every response wins as often as the margins say, whoever labels.",
    "Σ_b ν_b (P_ab - σ(u_a - u_b)) = 0, π_θ = π_ref e^{u/β}",
    source="Chen et al. 2602.12180; derived",
    proof="Sum the gradient of one's own draws over the opponent; it vanishes where the margins' wins are the labels' (D5).",
    given={
        "ref": law(),
        "draws": between(-1.5, 1.5, "n"),
        "other": between(-1.5, 1.5, "n"),
        "odds": between(-3.0, 3.0, "n", "n"),
        "beta": between(0.2, 5.0),
    },
    hypotheses=(same("the optimum is that of the same draws", "other", "draws"),),
    share=0.05,
    smooth=False,
    other_sizes=(2, 12),
)
def _dpo_round(v):
    odds = odds_of(v["odds"])
    draws, other = (simplex.normalize(v[name]) for name in ("draws", "other"))
    problem = world(v["ref"], v["beta"], target=v["ref"])
    end = maps.dpo_optimum(problem.log_ref[0], jax.nn.sigmoid(odds), other, v["beta"])
    found = slope(objectives.Dpo(v["beta"]), problem, samplers.Product(draws[None], draws[None]), labelled(odds), end)
    return off(found / v["beta"], jnp.zeros(()), (1.0 + reach(v["ref"]) + reach(odds)) * (1.0 + v["beta"]))


CYCLE = np.array([[0.0, 1.0, -1.0], [-1.0, 0.0, 1.0], [1.0, -1.0, 0.0]])


def _round(v, wins):
    """Iterated IPO with the uniform law as its start: ``π' ∝ π^a exp(b P ν)``, ``ν = λπ + (1-λ)U``."""
    flat = jnp.full(wins.shape[:1], -jnp.log(float(wins.shape[0])))
    return maps.Iteration(wins, flat, power=v["keep"], mixing=v["mixing"], temperature=1.0 / v["sharpness"])


def _stretched(iteration, place, way):
    """The deviation ``way`` one round later."""
    _, moved = jax.jvp(lambda x: simplex.clr(maps.next_policy(iteration, simplex.normalize(x))), (place,), (way,))
    return moved


def _advantage(v):
    return v["advantage"] * CYCLE + v["other"] * (v["odds"] - v["odds"].T)


def _turn_exact(m, v):
    centred = v["way"] - v["way"].sum() / 3
    mass = m.law(v["start"])
    tilted = mass * (centred - (mass * centred).sum())
    moved = v["keep"] * centred + v["sharpness"] * v["mixing"] * (_advantage(v) * tilted[None, :]).sum(-1)
    moved = moved - moved.sum() / 3
    advantage = v["advantage"] * v["sharpness"] * v["mixing"]
    return (moved * moved).sum() - (v["keep"] * v["keep"] + advantage * advantage / 3) * (centred * centred).sum()


ITERATED = {"keep": between(0.0, 1.0), "sharpness": between(0.1, 10.0), "mixing": between(0.0, 1.0)}


@claim(
    "S12.cycle",
    "At the uniform point of a 3-cycle iterated IPO stretches every deviation alike, so it is unstable beyond one.",
    "‖Jv‖² = (a² + c²b²λ²/3) ‖v‖²",
    source="derived",
    needs_double=True,
    proof="The linearised map is a multiple of the identity plus an antisymmetric part, which turns: lengths add in squares.",
    given=ITERATED
    | {"way": real(3), "start": real(3), "advantage": between(0.05, 0.5), "other": between(0.2, 1.0), "odds": real(3, 3)},
    hypotheses=(
        zero("preferences are one cycle of equal advantages", "other"),
        zero("the policy is uniform", "start"),
    ),
    exact=_turn_exact,
    n=3,
)
def _turn(v):
    centred = simplex.clr(v["way"])
    moved = _stretched(_round(v, 0.5 + _advantage(v)), v["start"], centred)
    told, _ = stability.cycle_multiplier(
        v["keep"], v["mixing"], v["advantage"], stability.slope_at_uniform("ipo", 1.0 / v["sharpness"])
    )
    wanted = v["keep"] ** 2 + (v["advantage"] * v["sharpness"] * v["mixing"]) ** 2 / 3.0
    scale = (1.0 + wanted) * (1.0 + jnp.sum(centred**2)) * (1.0 + reach(v["start"]))
    return jnp.maximum(off(jnp.sum(moved**2), wanted * jnp.sum(centred**2), scale), off(told**2, wanted, scale))


@claim(
    "S12.contraction",
    "Iterated IPO stretches no deviation, at no policy, by more than a + (bλ/2)‖P - ½‖.",
    "‖Jv‖ ≤ (a + (bλ/2) ‖P - ½11ᵀ‖₂) ‖v‖",
    source="derived",
    proof="The softmax's derivative has norm at most one half; the rest is the triangle inequality.",
    given=ITERATED | {"way": real(), "policy": law(), "odds": real("n", "n"), "factor": between(0.0, 0.3)},
    hypotheses=(sets("the constant is one half", factor=lambda m, v: v["factor"] * 0 + m.number(0.5)),),
    kind="inequality",
    share=0.2,
    smooth=False,
    other_sizes=(2, 12),
)
def _shrinks(v):
    wins = jax.nn.sigmoid(odds_of(v["odds"]))
    centred, iteration = simplex.clr(v["way"]), _round(v, wins)
    moved = _stretched(iteration, v["policy"], centred)
    stretch = v["keep"] + 2.0 * v["factor"] * (stability.contraction_factor(iteration) - v["keep"])
    most = stretch * jnp.linalg.norm(centred)
    return above(jnp.linalg.norm(moved), most, (1.0 + most) * (1.0 + reach(v["policy"])))
