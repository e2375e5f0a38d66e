"""Games, rounds, reinforcement, and credit for tokens.  Claims F16 to F18."""

import jax
import jax.numpy as jnp

from didsim import dynamics, landscape, objectives, samplers
from didsim.claims.arithmetic import turned
from didsim.claims.ledger import claim
from didsim.claims.statements.conditions import above, odds_of, off, reach, sets, zero
from didsim.claims.statements.one_prompt import labelled, slope, world
from didsim.claims.variables import between, law, real
from didsim.numerics import simplex
from didsim.numerics.sequences import SequenceSpace
from didsim.objectives.tokenwise import token_log_ratios

GAME = {"nash": law(), "policy": law(), "advantages": real("n", "n"), "tau": between(0.2, 5.0)}


def _balanced(m, v):
    """Antisymmetric advantages that the policy ``nash`` makes all responses indifferent to: ``Q A Q``, ``Qπ = 0``."""
    mass, table = m.law(v["nash"]), (v["advantages"] - turned(v["advantages"])) / 2
    norm = (mass * mass).sum()
    rows = table - mass[:, None] * (mass[:, None] * table).sum(0) / norm
    return rows - (rows * mass).sum(-1)[:, None] * mass[None, :] / norm


BALANCED = sets("the policy is the game's Nash policy", advantages=_balanced)


def _preference(v):
    """Advantages shrunk into preferences, entries in [0, 1]."""
    table = (v["advantages"] - v["advantages"].T) / 2.0
    return 0.5 + table / (2.0 * (1.0 + jnp.max(jnp.abs(table))))


def _falls_exact(m, v):
    table = (v["advantages"] - turned(v["advantages"])) / 2
    before = v["policy"] - (table * m.law(v["policy"])).sum(-1) / v["tau"]
    return m.kl(v["nash"], before) - m.kl(v["nash"], v["policy"]) - m.kl(v["policy"], before)


@claim(
    "F16.nash",
    "A policy that leaves every response as good as every other cannot be exploited.",
    "Pπ = ½  ⇒  max_a (Pπ)_a = ½",
    source="standard",
    proof="If all responses win with chance one half, so does the best reply.",
    given=GAME,
    hypotheses=(BALANCED,),
)
def _nash(v):
    found = dynamics.exploitability(simplex.normalize(v["nash"]), _preference(v))
    return off(found, jnp.zeros(()), 1.0)


@claim(
    "F16.falls",
    "Solving the game with a KL to the reference and then moving the reference comes nearer to Nash in every round, for any τ.",
    "KL(π*‖π_t) - KL(π*‖π_{t+1}) = KL(π_{t+1}‖π_t) ≥ 0, π_{t+1} ∝ π_t e^{Pπ_{t+1}/τ}",
    source="Liu et al. 2410.23223 (COMAL); the identity derived",
    needs_double=True,
    proof=(
        "log π_{t+1} - log π_t = Pπ_{t+1}/τ + const; its means under π* and under π_{t+1} agree, since both win half "
        "against π_{t+1}."
    ),
    given=GAME,
    hypotheses=(BALANCED,),
    exact=_falls_exact,
)
def _falls(v):
    after, game = simplex.normalize(v["policy"]), _preference(v)
    before = simplex.normalize(after - dynamics.win_rates(after, game) / v["tau"])
    # The round's end is a fixed point of its inner steps, whatever their size.
    stays = dynamics.mirror_step(after, before, game, 0.5 / v["tau"], v["tau"])
    nash = simplex.normalize(v["nash"])
    size = (1.0 + 1.0 / v["tau"]) * (1.0 + reach(after, nash))
    fall = simplex.kl(nash, before) - simplex.kl(nash, after)
    return jnp.maximum(off(stays, after, size), off(fall, simplex.kl(after, before), size))


@claim(
    "F16.contracts",
    "Inner steps of mirror descent shrink the distance to the regularised game's solution by a factor of at least 1 - ητ/2.",
    "KL(π_τ‖π_{k+1}) ≤ (1 - ητ/2) KL(π_τ‖π_k) for η ≤ τ",
    source="Liu et al. 2410.23223 (COMAL); checked where ητ ≤ ½",
    proof=(
        "The divergence makes the regularised game strongly monotone with constant τ; the game's own term costs the "
        "square of a short step."
    ),
    given=GAME | {"start": law(), "step": between(0.05, 200.0)},
    hypotheses=(sets("the step is short", step=lambda m, v: m.smaller(v["step"], 1 + v["step"] * 0)),),
    kind="inequality",
)
def _contracts(v):
    solution, game, tau = simplex.normalize(v["policy"]), _preference(v), v["tau"]
    eta = v["step"] * jnp.minimum(tau, 0.5 / tau)
    ref = simplex.normalize(solution - dynamics.win_rates(solution, game) / tau)
    here = simplex.normalize(v["start"])
    after = dynamics.mirror_step(here, ref, game, eta, tau)
    size = 1.0 + reach(here, solution, after)
    return above(simplex.kl(solution, after), (1.0 - 0.5 * jnp.minimum(eta * tau, 0.5)) * simplex.kl(solution, here), size)


@claim(
    "F17.policy-gradient",
    "The first step of online DPO is a policy gradient of the win rate, for any labels.",
    "-∂L/∂θ_a = 2βπ_a(w_a - ½), w = Pπ, at π = π_ref",
    source="derived",
    proof="At π_ref all margins vanish, and the pull of a pair is P - ½; sum over the opponent.",
    given={"ref": law(), "odds": real("n", "n"), "beta": between(0.1, 5.0), "moved": real()},
    hypotheses=(zero("the policy is the reference", "moved"),),
)
def _policy_gradient(v):
    problem, at = world(v["ref"], v["beta"], target=v["ref"]), simplex.normalize(v["ref"] + v["moved"])
    table = jax.nn.sigmoid(odds_of(v["odds"]))
    found = slope(objectives.Dpo(v["beta"]), problem, samplers.OnPolicy(), labelled(odds_of(v["odds"])), at)
    wanted = 2.0 * v["beta"] * jnp.exp(at) * (dynamics.win_rates(at, table) - 0.5)
    return off(-found, wanted, (1.0 + v["beta"]) * (1.0 + reach(v["ref"])))


BINARY = {"ref": law(), "policy": law(), "reward": between(0.0, 1.0, "n"), "beta": between(0.3, 5.0)}


def _passes(m, v):
    """One and zero: the first response fails and the second succeeds, so that neither is sure."""
    place = (v["reward"] * 0 + 1).cumsum(0)
    hard = m.where(v["reward"] > 0.5, v["reward"] * 0 + 1, v["reward"] * 0)
    return m.where(place == 1, v["reward"] * 0, m.where(place == 2, v["reward"] * 0 + 1, hard))


@claim(
    "F17.grpo",
    "With a binary reward a round of GRPO moves the chance of success by a recursion of one number.",
    "logit p' = logit p_ref + 1/(β √(p(1-p)))",
    source="2503.06639",
    proof=(
        "The whitened reward of success less that of failure is 1/√(p(1-p)); a KL-regularised step adds it over β to the logit."
    ),
    given=BINARY,
    hypotheses=(sets("the reward is one or zero", reward=_passes),),
)
def _recursion(v):
    policy, ref = simplex.normalize(v["policy"]), simplex.normalize(v["ref"])
    size = (1.0 + 1.0 / v["beta"]) * jnp.exp(0.5 * (reach(policy) + 1.0))
    worst = jnp.zeros(())
    for anchor in (ref, policy):
        after = dynamics.grpo_step(policy, anchor, v["reward"], v["beta"])
        success = simplex.expectation(policy, v["reward"])
        wanted = dynamics.success_recursion(success, simplex.expectation(anchor, v["reward"]), v["beta"])
        worst = jnp.maximum(worst, off(simplex.expectation(after, v["reward"]), wanted, size))
    return worst


def _variance_exact(m, v):
    mass = m.law(v["policy"])
    centred = v["reward"] - (mass * v["reward"]).sum()
    slope = v["stretch"] * mass * centred
    worst = mass[0]
    for k in range(1, mass.shape[0]):
        worst = m.larger(worst, mass[k])
    return (slope * slope).sum() - worst * (mass * centred * centred).sum()


@claim(
    "F17.variance",
    "A reward that hardly varies under the policy teaches slowly, however accurate it is.",
    "‖∇_θ E_π r‖² ≤ max_y π(y) Var_π(r)",
    source="2503.15477; derived",
    proof="The gradient's entries are π(y) A(y), and π² ≤ max π · π.",
    given={"policy": law(), "reward": real(), "stretch": between(2.0, 9.0)},
    hypotheses=(sets("the gradient is in the logits of a free table", stretch=lambda m, v: v["stretch"] * 0 + 1),),
    exact=_variance_exact,
    kind="inequality",
)
def _variance(v):
    def value(logits):
        return simplex.expectation(simplex.normalize(v["stretch"] * logits), v["reward"])

    policy = simplex.normalize(v["policy"])
    found = jnp.sum(jax.grad(value)(v["policy"] / v["stretch"]) ** 2)
    most = jnp.max(jnp.exp(policy)) * simplex.cumulants(policy, v["reward"])[1]
    return above(found, most, v["stretch"] ** 2 * (1.0 + reach(v["reward"])) ** 2)


SPACE = SequenceSpace(2, 3)
TOKENS = {"ref": law(8), "reward": real(8), "beta": between(0.2, 5.0), "moved": real(8)}
AT_TARGET = zero("the policy is the optimum", "moved")


def _credit(v):
    problem = world(v["ref"], v["beta"], reward=v["reward"])
    policy = simplex.normalize(problem.log_target[0] + v["moved"])
    credit = v["beta"] * token_log_ratios(SPACE, policy, problem.log_ref[0])
    values = landscape.state_values(SPACE, problem.log_ref[0], v["reward"], v["beta"])
    return credit, values, (1.0 + v["beta"]) * (1.0 + reach(v["ref"])) + reach(v["reward"])


@claim(
    "F18.credit",
    "The optimum's log-ratio of a token is the token's advantage: what it adds to the value of the prefix.",
    "β log π*(y_t|s)/π_ref(y_t|s) = V*(s, y_t) - V*(s)",
    source="2404.12358; derived",
    proof="The optimum of a KL-regularised tree is π*(y_t|s) = π_ref(y_t|s) e^{(V*(s, y_t) - V*(s))/β}.",
    given=TOKENS,
    hypotheses=(AT_TARGET,),
    n=8,
)
def _advantage(v):
    credit, values, size = _credit(v)
    after = jnp.concatenate([values[:, 1:], v["reward"][:, None]], -1)
    return off(credit, after - values, size)


@claim(
    "F18.telescopes",
    "The credits of a response's tokens add up to its reward less the value of the start.",
    "Σ_t β log π*(y_t|y_{<t})/π_ref(y_t|y_{<t}) = r(y) - V*(∅)",
    source="derived",
    proof="In the sum of F18.credit over the tokens all inner values cancel, and the last value is the reward.",
    given=TOKENS,
    hypotheses=(AT_TARGET,),
    exact=lambda m, v: (
        v["beta"] * (m.log_law(v["ref"] + v["reward"] / v["beta"] + v["moved"]) - m.log_law(v["ref"]))
        - v["reward"]
        + v["beta"] * m.log((m.law(v["ref"]) * m.exp(v["reward"] / v["beta"])).sum())
    ),
    n=8,
)
def _telescopes(v):
    credit, values, size = _credit(v)
    return off(credit.sum(-1), v["reward"] - values[:, 0], size)
