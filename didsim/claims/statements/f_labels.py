"""Which labels, and which questions?  Claims F12 to F15."""

import jax
import jax.numpy as jnp

from didsim import objectives, policies
from didsim.claims.arithmetic import gaps, turned
from didsim.claims.ledger import claim
from didsim.claims.statements.conditions import odds_of, off, reach, sets, zero
from didsim.claims.statements.one_prompt import labelled, population_loss, shown, slope, world
from didsim.claims.variables import between, law, real
from didsim.numerics import simplex
from didsim.objectives.rankings import log_best_of, log_plackett_luce
from didsim.worlds import preferences

TIES = {"gap": between(-4.0, 4.0), "tie": between(0.1, 3.0), "kupper": between(0.3, 1.5), "share": between(0.2, 1.0)}


def _logit(p, q):
    return jnp.log(p) - jnp.log(q)


@claim(
    "F12.dropped",
    "Leaving out Davidson's ties leaves exactly Bradley-Terry labels, however many ties there are.",
    "Pr(a wins | no tie) = σ(r_a - r_b)",
    source="2409.17431; derived",
    proof="The tie's term stands in all three denominators alike and cancels in the ratio of the two wins.",
    given=TIES,
    hypotheses=(zero("ties are Davidson's, not Rao and Kupper's", "kupper"),),
)
def _dropped(v):
    model = preferences.Davidson(v["tie"])
    win, tied = model.outcomes(v["gap"])
    kupper = preferences.Ties(v["kupper"])
    rewards, pair = jnp.stack([v["gap"], jnp.zeros(())]), (jnp.array([0]), jnp.array([1]))
    rk_win = jax.nn.sigmoid(v["gap"] - v["kupper"])
    rk_lose = 1.0 - (2.0 * kupper.probability(rewards, *pair)[0] - rk_win)
    other = v["kupper"] > 0
    odds = jnp.where(other, _logit(rk_win, rk_lose), _logit(win, 1.0 - win - tied))
    left = preferences.Davidson(v["tie"], keep="drop").probability(rewards, *pair)[0]
    return jnp.maximum(off(odds, v["gap"], jnp.exp(jnp.abs(v["gap"]))), off(left, jax.nn.sigmoid(v["gap"])))


@claim(
    "F12.split",
    "Splitting ties evenly halves the log-odds and adds a term that ties alone decide.",
    "logit P = d/2 + log[(1 + νx)/(x + ν)], x = e^{-d/2}",
    source="2409.17431; derived",
    proof="Half a tie to either side: the odds are (1 + νx)/(x² + νx), x = e^{-d/2}.",
    given=TIES,
    hypotheses=(sets("a tie counts half for either side", share=lambda m, v: v["share"] * 0),),
)
def _split(v):
    win, tied = preferences.Davidson(v["tie"]).outcomes(v["gap"])
    split = (1.0 - v["share"]) * (win + 0.5 * tied) + v["share"] * win / (1.0 - tied)
    x = jnp.exp(-0.5 * v["gap"])
    wanted = 0.5 * v["gap"] + jnp.log((1.0 + v["tie"] * x) / (x + v["tie"]))
    rewards = jnp.stack([v["gap"], jnp.zeros(())])
    shown_ = preferences.Davidson(v["tie"]).matrix(rewards)[0, 1]
    size = jnp.exp(jnp.abs(v["gap"]))
    return jnp.maximum(off(_logit(split, 1.0 - split), wanted, size), off(_logit(shown_, 1.0 - shown_), wanted, size))


def _half_exact(m, v):
    x = m.exp(-gaps(v["reward"]) / 2)
    win = (1 + v["tie"] * x) / (1 + x * x + 2 * v["tie"] * x)
    joint = m.law(v["joint"].reshape(-1)).reshape(x.shape)
    force = joint * (m.sigmoid(gaps(v["reward"]) / 2) - win)
    return force.sum(-1) - force.sum(-2)


@claim(
    "F12.half-way",
    "With as many ties as ν = 1 gives, split evenly, DPO ends half-way, as if its β were doubled.",
    "∇L_DPO = 0 at π_ref e^{r/(2β)} for Davidson's ν = 1, ties split",
    source="derived",
    needs_double=True,
    proof="At ν = 1 the logarithm in F12.split vanishes and half the reward gap is left; D5 does the rest.",
    given={"ref": law(), "reward": real(), "joint": law("n", "n"), "beta": between(0.2, 5.0), "tie": between(0.05, 3.0)},
    hypotheses=(sets("Davidson's ν is one", tie=lambda m, v: v["tie"] * 0 + 1),),
    exact=_half_exact,
)
def _half_way(v):
    problem = world(v["ref"], v["beta"], reward=v["reward"])
    end = simplex.tilt(problem.log_ref[0], v["reward"], 0.5 / v["beta"])
    found = slope(objectives.Dpo(v["beta"]), problem, shown(v["joint"]), preferences.Davidson(v["tie"]), end)
    return off(found / v["beta"], jnp.zeros(()), (1.0 + v["beta"]) * (1.0 + reach(v["ref"], v["reward"])))


VOTES = {
    "ref": law(),
    "policy": law(),
    "sampler": law(),
    "odds": real("n", "n"),
    "beta": between(0.2, 5.0),
    "odd": real("n", "n"),
}
PRODUCT = zero("pairs are two independent draws of one law", "odd")


def _borda(m, v):
    return (m.sigmoid(odds_of(v["odds"])) * m.law(v["sampler"])).sum(-1)


def _pairs(m, v):
    mass = m.law(v["sampler"])
    joint = mass[:, None] * mass[None, :] * m.exp(v["odd"])
    return joint / joint.sum()


def _borda_exact(m, v):
    mass, scores = m.law(v["sampler"]), v["beta"] * gaps(v["policy"] - v["ref"])
    force = _pairs(m, v) * (m.sigmoid(scores) - m.sigmoid(odds_of(v["odds"])))
    return force.sum(-1) - force.sum(-2) - 2 * mass * ((m.sigmoid(scores) * mass).sum(-1) - _borda(m, v))


@claim(
    "F13.borda",
    "Under a product sampler DPO sees of any labels the Borda scores alone, and orders log-ratios as they do.",
    "∂L/∂h_y = 2βμ_y [Σ_b μ_b σ(β(h_y - h_b)) - (Pμ)_y], zero where the rising sum meets the Borda score",
    source="2505.23749; derived",
    proof="Sum the pair terms over the opponent b: labels enter through Σ_b P_yb μ_b alone, and the other sum rises with h_y.",
    given=VOTES,
    hypotheses=(PRODUCT,),
    exact=_borda_exact,
)
def _counts_points(v):
    problem = world(v["ref"], v["beta"], target=v["ref"])
    log_mass = simplex.normalize(v["sampler"])
    table, labels = log_mass[:, None] + log_mass[None, :] + v["odd"], labelled(odds_of(v["odds"]))
    found = slope(objectives.Dpo(v["beta"]), problem, shown(table), labels, v["policy"])
    scores, mass = v["beta"] * gaps(simplex.normalize(v["policy"]) - problem.log_ref[0]), jnp.exp(log_mass)
    borda = jax.nn.sigmoid(odds_of(v["odds"])) @ mass
    wanted = 2.0 * mass * (jax.nn.sigmoid(scores) @ mass - borda)
    return off(found / v["beta"], wanted, (1.0 + v["beta"]) * (1.0 + reach(v["ref"], v["policy"])))


def _ipo_exact(m, v):
    """Slope of IPO's loss over 4 at the law that is linear in the Borda scores, by hand."""
    fitted = gaps(_borda(m, v) / v["beta"])
    aim = (2 * m.sigmoid(odds_of(v["odds"])) - 1) / (2 * v["beta"])
    force = _pairs(m, v) * (fitted - aim)
    return force.sum(-1) - force.sum(-2)


@claim(
    "F13.ipo",
    "IPO's log-ratios are the Borda scores themselves over β, whatever the labels.",
    "∇L_IPO = 0 at log(π/π_ref) = Pμ/β + const",
    source="derived",
    needs_double=True,
    proof="The same sum with IPO's linear link: h_y less its mean is (Pμ)_y less its mean, over β.",
    given=VOTES,
    hypotheses=(PRODUCT,),
    exact=_ipo_exact,
)
def _linear_in_points(v):
    problem = world(v["ref"], v["beta"], target=v["ref"])
    log_mass = simplex.normalize(v["sampler"])
    table, labels = log_mass[:, None] + log_mass[None, :] + v["odd"], labelled(odds_of(v["odds"]))
    borda = jax.nn.sigmoid(odds_of(v["odds"])) @ jnp.exp(log_mass)
    found = slope(objectives.IpoSum(v["beta"]), problem, shown(table), labels, problem.log_ref[0] + borda / v["beta"])
    return off(found, jnp.zeros(()), 8.0 * (1.0 + 1.0 / v["beta"]) * (1.0 + reach(v["ref"])))


USERS = {"weights": law(3), "rewards": real(3, "n")}


def _one_mind(m, v):
    return v["rewards"][:1] + v["rewards"] * 0


def _mixture_exact(m, v):
    chances = (m.law(v["weights"])[:, None, None] * m.sigmoid(gaps(v["rewards"]))).sum(0)
    odds = m.log(chances) - m.log(turned(chances))
    return odds[0, :, None] + odds - odds[0, None, :]


@claim(
    "F13.mixture",
    "A mixture of Bradley-Terry annotators is Bradley-Terry only if they agree: its log-odds do not add up.",
    "logit P_ab + logit P_bc = logit P_ac",
    source="2505.23749",
    needs_double=True,
    proof="The logit of a mean of logistic functions is additive along a chain only if all of them are the same.",
    given=USERS,
    hypotheses=(sets("all users have one reward", rewards=_one_mind),),
    exact=_mixture_exact,
    other_sizes=(3, 12),
)
def _mixture(v):
    table = preferences.Users(simplex.normalize(v["weights"]), v["rewards"]).matrix(v["rewards"][0])
    odds = jnp.log(table) - jnp.log(table.T)
    size = jnp.exp(2.0 * reach(v["rewards"])) * (1.0 + reach(v["rewards"]))
    return off(odds[0, :, None] + odds, odds[0, None, :], size)


K = 4
LISTS = {"scores": real(K)}
EQUAL = zero("all K responses are equally good", "scores")


def _information(log_chance, scores):
    """Trace of the Fisher information of a list's scores."""
    return -jnp.trace(jax.hessian(log_chance)(scores))


@claim(
    "F14.ranking",
    "Near indifference a full ranking of K responses is worth 2(K - H_K) pairs.",
    "tr I_ranking = K - H_K = 2(K - H_K) tr I_pair",
    source="derived",
    proof="A ranking is K - 1 choices; the one among k equals has information of trace (k-1)/k, and these sum to K - H_K.",
    given=LISTS,
    hypotheses=(EQUAL,),
)
def _ranking(v):
    pair = _information(log_plackett_luce, jnp.zeros(2))
    harmonic = sum(1.0 / k for k in range(1, K + 1))
    return off(_information(log_plackett_luce, v["scores"]), 2.0 * (K - harmonic) * pair)


@claim(
    "F14.best-of",
    "Near indifference the best of K responses is worth less than two pairs, however large K is.",
    "tr I_best = (K - 1)/K = 2(K - 1)/K tr I_pair",
    source="derived",
    proof="It is the first of those choices only: (K-1)/K, against ½ for a pair.",
    given=LISTS,
    hypotheses=(EQUAL,),
)
def _best_of(v):
    pair = _information(log_best_of, jnp.zeros(2))
    return off(_information(log_best_of, v["scores"]), 2.0 * (K - 1.0) / K * pair)


@claim(
    "F14.one-minimiser",
    "Rankings, choices and rewards all lead where pairs lead, to the target.",
    "∇L = 0 at π* for plackett-luce, multinomial and gvpo",
    source="derived",
    proof="A likelihood's mean score vanishes at the data's own law, and gvpo's variance is zero at π*.",
    given={"ref": law(), "reward": real(), "beta": between(0.2, 5.0), "off": real()},
    hypotheses=(zero("the policy is the target", "off"),),
    n=4,
    other_sizes=(2,),
    share=0.3,
)
def _listwise(v):
    problem = world(v["ref"], v["beta"], reward=v["reward"])
    kinds = objectives.PlackettLuce, objectives.Multinomial, objectives.Gvpo
    at = problem.log_target[0] + v["off"]
    sampler, labels = shown(jnp.zeros((v["ref"].shape[-1],) * 2)), preferences.BradleyTerry()
    slopes = jnp.stack([slope(kind(v["beta"]), problem, sampler, labels, at) for kind in kinds])
    size = (1.0 + v["beta"]) ** 2 * (1.0 + reach(v["ref"], v["reward"])) ** 2
    return off(slopes / v["beta"], jnp.zeros(()), size)


D = 3


@claim(
    "F15.flip",
    "Flipping one label of a log-linear policy adds the same vector to the gradient wherever training stands.",
    "∇L(a wins) - ∇L(b wins) = -β(φ_a - φ_b)",
    source="2605.02495; derived",
    proof="-log σ(m) + log σ(-m) = -m, and the margin of a log-linear policy is linear in θ.",
    given={
        "ref": law(),
        "features": real("n", D),
        "theta": between(-1.0, 1.0, D),
        "beta": between(0.2, 5.0),
        "bend": between(0.3, 1.0),
    },
    hypotheses=(zero("the logits are linear in the parameters", "bend"),),
)
def _flip(v):
    problem, policy = world(v["ref"], v["beta"], target=v["ref"]), policies.LogLinear(v["features"])
    n = v["ref"].shape[-1]
    places = jnp.arange(n * n).reshape(n, n)

    def gradient(place):
        def value(theta):
            logits = policy.log_probs(theta + v["bend"] * theta**2 / 2.0, problem.log_ref)[0]
            pair = shown(jnp.where(places == place, 0.0, -jnp.inf))
            return population_loss(objectives.Dpo(v["beta"]), problem, pair, preferences.AsShown(), logits)

        return jax.grad(value)(v["theta"])

    wanted = -v["beta"] * (v["features"][0] - v["features"][1])
    return off(gradient(1) - gradient(n), wanted, (1.0 + v["beta"]) * (1.0 + reach(v["features"])) * (1.0 + reach(v["ref"])))
