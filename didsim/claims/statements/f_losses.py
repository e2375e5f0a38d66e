"""Which loss, and what does it end at?  Claims F6 to F11."""

import jax
import jax.numpy as jnp

from didsim import did, objectives, policies
from didsim.claims.arithmetic import gaps
from didsim.claims.ledger import claim
from didsim.claims.statements.conditions import above, floored, odds_of, off, reach, sets, zero
from didsim.claims.statements.one_prompt import labelled, population_loss, shown, slope, world
from didsim.claims.variables import between, law, real
from didsim.numerics import simplex
from didsim.numerics.sequences import SequenceSpace
from didsim.objectives.divergences import log_lambert
from didsim.objectives.squared_log import lower_branch, squared_log_fit
from didsim.objectives.tokenwise import token_log_ratios
from didsim.worlds import preferences

HALVINGS = 50
FEATURES = [[1.0], [-1.0], [0.0]]
REWARD = [1.0, 2.0, 0.0]


def _class_end(v):
    """The one parameter of DPO's population minimum in the class ``π ∝ (e^θ, e^{-θ}, 1)``, by halving its slope."""
    problem = world(jnp.zeros(3), v["beta"], reward=jnp.asarray(REWARD))
    policy, share = policies.LogLinear(jnp.asarray(FEATURES)), v["times"]
    seen = jnp.full((3, 3), -jnp.inf).at[0, 1].set(0.0).at[1, 2].set(0.0).at[0, 2].set(jnp.log(share))

    def rise(theta):
        def value(theta):
            logits = policy.log_probs(theta[None], problem.log_ref)[0]
            return population_loss(objectives.Dpo(v["beta"]), problem, shown(seen), preferences.BradleyTerry(), logits)

        return jax.grad(value)(theta)

    def halve(_, bounds):
        middle = 0.5 * (bounds[0] + bounds[1])
        up = rise(middle) > 0
        return jnp.where(up, bounds[0], middle), jnp.where(up, middle, bounds[1])

    edge = 8.0 / v["beta"]
    theta = jax.lax.fori_loop(0, HALVINGS, halve, (-edge, edge))[0]
    return theta, policy.log_probs(theta[None], problem.log_ref)[0]


@claim(
    "F6.reversal",
    "With infinite Bradley-Terry data DPO in a class of one parameter ends below the mean reward it started from.",
    "E_π r < E_{π_ref} r at DPO's minimum, π ∝ (e^θ, e^{-θ}, 1), r = (1, 2, 0), pairs 1 : 1 : c",
    source="2510.20413; numbers derived",
    proof="The pair shown most asks for a larger θ, and the same θ takes mass from the second response, the best.",
    given={"beta": between(0.3, 5.0), "times": between(1.0, 1000.0)},
    hypotheses=(floored("the pair that misleads is shown four times as often as the others", "times", 4.0),),
    kind="inequality",
    share=0.2,
    smooth=False,
    needs_double=True,
)
def _reversal(v):
    _, log_policy = _class_end(v)
    return above(jnp.exp(log_policy) @ jnp.asarray(REWARD), jnp.ones(()))


WORLD = {"ref": law(), "chosen": law(), "rejected": law(), "beta": between(0.2, 5.0)}
APART = zero("chosen and rejected draws are independent", "odd")


def _joint(v):
    return simplex.normalize(v["chosen"])[:, None] + simplex.normalize(v["rejected"])[None, :] + v["odd"]


@claim(
    "F7.branches",
    "SquaredPO's minimiser needs both branches of Lambert's function: the best response may lie beyond the reward's summit.",
    "∇L = 0 at log(π/π_ref) = -W(-(log(π_w/π_l) + C)/β), W_{-1} for the best response where W_0 leaves mass over",
    source="2602.06788; second branch derived",
    needs_double=True,
    proof=(
        "Solve β x e^{-x} = log(π_w/π_l) + C for x = log(π/π_ref): two real solutions; that the law sums to one picks "
        "branch and C."
    ),
    given=WORLD | {"below": between(0.2, 1.0)},
    hypotheses=(zero("the upper branch is used where it is needed", "below"),),
    smooth=False,
)
def _branches(v):
    problem = world(v["ref"], v["beta"], target=v["ref"], log_chosen=v["chosen"], log_rejected=v["rejected"])
    objective, fit = (
        objectives.SquaredPo(v["beta"]),
        (simplex.normalize(v["chosen"]) - simplex.normalize(v["rejected"])) / v["beta"],
    )
    both = squared_log_fit(problem.log_ref[0], fit)
    one = simplex.normalize(problem.log_ref[0] + lower_branch(fit - jnp.max(fit) + jnp.exp(-1.0)))
    summit = both - problem.log_ref[0] > 1.0
    policy = jnp.where((v["below"] > 0) & jnp.any(summit), one, both)
    table = simplex.normalize(v["chosen"])[:, None] + simplex.normalize(v["rejected"])[None, :]
    found = slope(objective, problem, shown(table), preferences.AsShown(), policy)
    steep = jnp.max(jnp.exp(-(policy - problem.log_ref[0])))
    return off(found / v["beta"], jnp.zeros(()), (1.0 + v["beta"]) * (1.0 + steep) ** 2 * (1.0 + reach(policy, v["ref"])))


@claim(
    "F7.summit",
    "No policy gives a response a SquaredPO reward above β/e, so preferences beyond it are out of reach.",
    "β x e^{-x} ≤ β/e",
    source="2602.06788; derived",
    proof="x e^{-x} is largest at x = 1.",
    given={"ref": law(), "policy": law(), "beta": between(0.2, 5.0), "kept": between(0.1, 1.0)},
    hypotheses=(sets("the reward is x e^{-x}, not DPO's x", kept=lambda m, v: v["kept"] * 0 + 1),),
    exact=lambda m, v: (
        (m.log_law(v["policy"]) - m.log_law(v["ref"])) * m.exp(-v["kept"] * (m.log_law(v["policy"]) - m.log_law(v["ref"])))
        - m.exp(m.number(-1))
    ),
    kind="inequality",
)
def _summit(v):
    problem = world(v["ref"], v["beta"], target=v["ref"])
    seen = objectives.responses(problem, simplex.normalize(v["policy"])[None])
    reward = objectives.SquaredPo(v["beta"]).chosen_reward(seen) * jnp.exp((1.0 - v["kept"]) * seen.log_ratio)
    return above(reward / v["beta"], jnp.exp(-jnp.ones(())), 1.0 + reach(v["policy"], v["ref"]))


GENERATORS = (objectives.BpoLogistic, objectives.BpoKliep, objectives.BpoLsif, objectives.BpoBasu)


@claim(
    "F8.one-minimiser",
    "Every strictly convex generator of BPO has DPO's minimiser on independent draws.",
    "∇L_h = 0 at π ∝ π_ref (π_w/π_l)^{1/β} for h of KLIEP, LSIF, Basu and DPO",
    source="2505.19601",
    proof=(
        "Pair by pair the loss is a Bregman divergence of R from the labels' odds; margins equal to their log-odds make "
        "it least everywhere."
    ),
    given={"ref": law(), "chosen": law(), "rejected": law(), "beta": between(0.2, 5.0), "odd": real("n", "n")},
    hypotheses=(APART,),
)
def _one_minimiser(v):
    chosen, rejected = simplex.normalize(v["chosen"]), simplex.normalize(v["rejected"])
    learned = did.learned_policy(chosen, rejected, simplex.normalize(v["ref"]), v["beta"])
    problem, margins = world(v["ref"], v["beta"], target=v["ref"]), gaps(chosen - rejected)
    joint, labels = _joint(v), preferences.AsShown()
    slopes = jnp.stack([slope(kind(v["beta"]), problem, shown(joint), labels, learned) for kind in GENERATORS])
    # Pulls grow as powers of the odds: the size of what cancels.
    pulls = jnp.exp(joint - jax.nn.logsumexp(joint)) * (1.0 + jnp.exp(-2.0 * margins) + jnp.exp(margins))
    size = (1.0 + jnp.sum(pulls) * (1.0 + jnp.max(jnp.abs(margins)))) * (1.0 + reach(chosen, rejected, v["ref"]))
    return off(slopes / v["beta"], jnp.zeros(()), size)


CURVES = {"odds": between(-3.0, 3.0), "beta": between(0.2, 5.0), "aside": between(0.3, 1.5)}
AT_OPTIMUM = zero("the margin is the labels' own", "aside")


@claim(
    "F8.weight",
    "What tells the generators apart at the common minimum is the weight that each gives a pair.",
    "P ℓ''(m) + (1-P) ℓ''(-m) = (1-P) [R h''(R) + h''(1/R)/R²], R = e^{-m} = (1-P)/P",
    source="derived for 2505.19601",
    proof="Differentiate the loss twice in the margin and put in R = (1-P)/P.",
    given=CURVES,
    hypotheses=(AT_OPTIMUM,),
)
def _weight(v):
    win, margin = jax.nn.sigmoid(v["odds"]), v["odds"] + v["aside"]
    ratio, worst = jnp.exp(-v["odds"]), jnp.zeros(())
    for kind in GENERATORS:
        objective = kind(v["beta"])
        link = objective.pair_link()

        def pair(m, link=link):
            return win * link(m) + (1.0 - win) * link(-m)

        wanted = (1.0 - win) * (ratio * objective.curvature(ratio) + objective.curvature(1.0 / ratio) / ratio**2)
        size = 1.0 + jnp.exp(2.0 * jnp.abs(margin))
        worst = jnp.maximum(worst, off(jax.grad(jax.grad(pair))(margin), wanted, size))
    return worst


VOTES = {"ref": law(), "policy": law(), "joint": law("n", "n"), "odds": real("n", "n"), "beta": between(0.2, 5.0)}


def _vote_exact(m, v):
    joint = m.law(v["joint"].reshape(-1)).reshape(v["joint"].shape)
    other = m.law((v["joint"] + v["drift"]).reshape(-1)).reshape(v["joint"].shape)
    win, margins = m.sigmoid(odds_of(v["odds"])), v["beta"] * gaps(v["policy"] - v["ref"])
    dpo = joint * (win * m.log(1 + m.exp(-margins)) + (1 - win) * m.log(1 + m.exp(margins)))
    half = m.number(1) / 2
    cosh = m.log(m.exp(margins * half) + m.exp(-margins * half))
    return (dpo + joint * (win - half) * margins - other * cosh).sum()


@claim(
    "F9.vote",
    "DPO's loss is a vote, linear in the margins, and a regulariser that does not look at the labels.",
    "L_DPO = E_μ[-(P - ½) z + log 2cosh(z/2)]",
    source="2505.23316; derived",
    proof="-P log σ(z) - (1-P) log σ(-z) = -(P - ½)z + log 2cosh(z/2).",
    given=VOTES | {"drift": real("n", "n")},
    hypotheses=(zero("vote and regulariser see the same pairs", "drift"),),
    exact=_vote_exact,
)
def _vote(v):
    problem = world(v["ref"], v["beta"], target=v["ref"])
    win, margins = jax.nn.sigmoid(odds_of(v["odds"])), v["beta"] * gaps(simplex.normalize(v["policy"]) - problem.log_ref[0])
    found = population_loss(objectives.Dpo(v["beta"]), problem, shown(v["joint"]), labelled(odds_of(v["odds"])), v["policy"])
    joint, other = (jnp.exp(t - jax.nn.logsumexp(t)) for t in (v["joint"], v["joint"] + v["drift"]))
    size = jnp.abs(margins)
    cosh = jnp.sum(other * (0.5 * size + jnp.log1p(jnp.exp(-size))))
    return off(found, cosh - jnp.sum(joint * (win - 0.5) * margins), 1.0 + v["beta"] * reach(v["policy"], v["ref"]))


@claim(
    "F9.unseen",
    "With the regulariser over all pairs the mass of a response that no pair shows is determined by the others alone.",
    "∂L_PRO/∂h_y = β π_ref(y) Σ_b π_ref(b) tanh(β(h_y - h_b)/2) for y unseen",
    source="2505.23316; derived",
    needs_double=True,
    proof="The vote has no term in an unseen response, and the derivative of log 2cosh(z/2) is ½ tanh(z/2).",
    given=VOTES | {"leak": between(-3.0, 3.0)},
    hypotheses=(sets("no pair shows the response", leak=lambda m, v: v["leak"] * 0 - 1e4),),
)
def _unseen(v):
    n = v["ref"].shape[-1]
    last = jnp.arange(n) == n - 1
    joint = jnp.where(last[:, None] | last[None, :], v["leak"], v["joint"])
    problem = world(v["ref"], v["beta"], target=v["ref"])
    found = slope(objectives.Pro(v["beta"]), problem, shown(joint), labelled(odds_of(v["odds"])), v["policy"])
    h, mass = simplex.normalize(v["policy"]) - problem.log_ref[0], jnp.exp(problem.log_ref[0])
    wanted = mass[-1] * jnp.sum(mass * jnp.tanh(0.5 * v["beta"] * (h[-1] - h)))
    return off(found[-1] / v["beta"], wanted, (1.0 + v["beta"]) * (1.0 + reach(v["ref"], v["policy"])))


SPACE = SequenceSpace(2, 2)


@claim(
    "F10.segments",
    "A sum over tokens outside the sigmoid keeps the optimum only if each token has labels of its own, not the sequence's.",
    "∇ Σ_i E ℓ(β[h_i(w) - h_i(l)]) = 0 at π* if P_i = σ(β[h*_i(w) - h*_i(l)])",
    source="2602.09533 claims it without the hypothesis; derived",
    proof=(
        "Each token's term is stationary where its own log-odds are matched; one sequence label for all of them matches "
        "only their sum."
    ),
    given={"ref": law(4), "reward": real(4), "joint": law(4, 4), "beta": between(0.3, 5.0), "whole": between(0.3, 1.0)},
    hypotheses=(zero("every token is labelled by its own margin, not by the sequence's", "whole"),),
    n=4,
)
def _segments(v):
    problem = world(v["ref"], v["beta"], reward=v["reward"])
    objective = objectives.Adpo(v["beta"])
    own = v["beta"] * token_log_ratios(SPACE, problem.log_target[0], problem.log_ref[0])
    whole = own.sum(-1, keepdims=True)
    odds = [gaps(((1.0 - v["whole"]) * own + v["whole"] * whole)[:, k]) for k in range(2)]
    sampler, joint = shown(v["joint"]), jnp.exp(v["joint"] - jax.nn.logsumexp(v["joint"]))

    def value(logits):
        log_policy = simplex.normalize(logits)[None]
        rewards = objective.segment_rewards(objectives.responses(problem, log_policy))[0]
        total = jnp.zeros(())
        for k in range(2):
            win, margin = jax.nn.sigmoid(odds[k]), gaps(rewards[:, k])
            total = total + jnp.sum(joint * (win * jax.nn.softplus(-margin) + (1.0 - win) * jax.nn.softplus(margin)))
        return total

    found = jax.grad(value)(problem.log_target[0])
    one_label = slope(objective, problem, sampler, labelled(gaps(v["reward"])), problem.log_target[0])
    # Sequence labels on every token are the objective itself: its slope at π* is what the twin shows.
    found = jnp.where(v["whole"] == 0, found, one_label * v["whole"])
    return off(found / v["beta"], jnp.zeros(()), (1.0 + v["beta"]) * (1.0 + reach(v["ref"], v["reward"])))


@claim(
    "F11.clock",
    "One pair with a hard label never comes to rest: its margin grows as Lambert's function of time says.",
    "βΔ + e^{βΔ} = 1 + 2β²t: dΔ/dt = (∂_l - ∂_w) L along gradient flow in the logits",
    source="derived",
    proof="dΔ/dt = 2βσ(-βΔ), so (1 + e^{βΔ}) d(βΔ) = 2β² dt; integrate from Δ = 0.",
    given={"ref": law(), "beta": between(0.1, 5.0), "time": between(0.01, 50.0), "soft": between(0.05, 1.0)},
    hypotheses=(zero("the label is hard", "soft"),),
)
def _clock(v):
    clock = 1.0 + 2.0 * v["beta"] ** 2 * v["time"]
    margin = log_lambert(clock)
    n = v["ref"].shape[-1]
    pair = jnp.where(jnp.arange(n * n).reshape(n, n) == 1, 0.0, -jnp.inf)
    problem = world(v["ref"], v["beta"], target=v["ref"])
    at = problem.log_ref[0].at[0].add(margin / v["beta"])
    odds = jnp.log((2.0 - v["soft"]) / jnp.maximum(v["soft"], 1e-30))
    labels = labelled(odds * jnp.zeros((n, n)).at[0, 1].set(1.0).at[1, 0].set(-1.0))
    pull = slope(objectives.Dpo(v["beta"]), problem, shown(pair), labels, at)
    speed = jax.grad(lambda t: log_lambert(1.0 + 2.0 * v["beta"] ** 2 * t))(v["time"])
    size = (1.0 + v["beta"]) ** 2 * (1.0 + reach(v["ref"]) + margin)
    return jnp.maximum(off(v["beta"] * (pull[1] - pull[0]), speed, size), off(margin + jnp.exp(margin), clock, clock))
