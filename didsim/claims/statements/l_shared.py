"""What changes when responses share parameters?  Claims L1 to L6."""

import jax
import jax.numpy as jnp

from didsim import objectives, policies, samplers
from didsim.claims.arithmetic import gaps
from didsim.claims.ledger import claim
from didsim.claims.statements.conditions import above, capped, odds_of, off, reach, sets, zero
from didsim.claims.statements.d_learning import pair_slope
from didsim.claims.statements.one_prompt import labelled, population_loss, shown, world
from didsim.claims.variables import between, law, real
from didsim.landscape import explain
from didsim.landscape.linear import model
from didsim.numerics import simplex
from didsim.numerics.sequences import SequenceSpace
from didsim.policies.similarity import ches
from didsim.worlds import preferences

D = 3
SHARED = {
    "ref": law(),
    "reward": real(),
    "features": real("n", D),
    "theta": between(-1.0, 1.0, D),
    "joint": law("n", "n"),
    "odds": real("n", "n"),
    "beta": between(0.2, 5.0),
}
LINEAR = zero("the logits are linear in the parameters", "bend")


def _loss(v, theta):
    """Population DPO loss of the alignment model, its parameters perhaps bent."""
    problem = world(v["ref"], v["beta"], reward=v["reward"])
    policy = policies.LogLinear(v["features"])
    bent = theta + v.get("bend", 0.0) * theta**2 / 2.0
    logits = policy.log_probs(bent, problem.log_ref)[0]
    return population_loss(objectives.Dpo(v["beta"]), problem, shown(v["joint"]), labelled(odds_of(v["odds"])), logits)


def _model(v):
    """The landscape's alignment model of the same data."""
    problem = world(v["ref"], v["beta"], reward=v["reward"])
    policy = policies.LogLinear(v["features"])
    return model.linear_model(problem, policy, shown(v["joint"]), labelled(odds_of(v["odds"])), v["beta"])


def _fitted(v):
    return (v["features"] * v["theta"]).sum(-1)


def _size(v):
    return (1.0 + v["beta"]) ** 2 * (1.0 + reach(v["features"])) ** 2 * (1.0 + reach(v["ref"]))


def _joint_traced(v):
    return jax.nn.softmax(v["joint"].reshape(-1)).reshape(v["joint"].shape)


@claim(
    "L1.gradient",
    "The alignment model's gradient is the mean feature difference weighted by what the labels still surprise.",
    "-∇L = β E[(P - σ(m)) Δφ]",
    source="our reading of paper B's proxy",
    needs_double=True,
    proof="The margin is β⟨θ, Δφ⟩; differentiate -P log σ(m) - (1-P) log σ(-m).",
    given=SHARED | {"bend": between(0.3, 1.0)},
    hypotheses=(LINEAR,),
)
def _gradient(v):
    margins, pairs = v["beta"] * gaps(_fitted(v)), _joint_traced(v)
    force = v["beta"] * pairs * (jax.nn.sigmoid(margins) - jax.nn.sigmoid(odds_of(v["odds"])))
    wanted = jnp.einsum("ab,abd->d", force, v["features"][:, None] - v["features"][None, :])
    found = jax.grad(lambda theta: _loss(v, theta))(v["theta"])
    return jnp.maximum(off(found, wanted, _size(v)), off(_model(v).gradient(v["theta"]), wanted, _size(v)))


@claim(
    "L1.hessian",
    "Its Hessian is a weighted covariance of feature differences, whatever the labels: the loss is convex.",
    "∇²L = β² E[σ'(m) Δφ Δφᵀ]",
    source="our reading of paper B's proxy",
    needs_double=True,
    proof="Differentiate L1.gradient once more; P drops out, and σ' is positive.",
    given=SHARED | {"bend": between(0.3, 1.0)},
    hypotheses=(LINEAR,),
)
def _curvature(v):
    margins, pairs = v["beta"] * gaps(_fitted(v)), _joint_traced(v)
    apart = v["features"][:, None] - v["features"][None, :]
    weights = v["beta"] ** 2 * pairs * jax.nn.sigmoid(margins) * jax.nn.sigmoid(-margins)
    wanted = jnp.einsum("ab,abd,abe->de", weights, apart, apart)
    found, scale = jax.hessian(lambda theta: _loss(v, theta))(v["theta"]), _size(v) * (1.0 + reach(v["theta"]))
    return jnp.maximum(off(found, wanted, scale), off(_model(v).hessian(v["theta"]), wanted, scale))


def _only_shown(v, n, seen=3):
    """Logits of a pair law on the first few responses."""
    shown_ = jnp.arange(n) < seen
    return jnp.where(shown_[:, None] & shown_[None, :], v["joint"], -1e4)


def _level(m, v):
    """Features whose last column does not tell the shown responses apart."""
    first = v["features"][0, D - 1]
    shown_ = (v["features"] * 0 + 1).cumsum(0) <= 3 + v["features"] * 0
    last = (v["features"] * 0 + 1).cumsum(1) > D - 1 + v["features"] * 0
    return m.where(shown_ * last, v["features"] * 0 + first, v["features"])


def _null_direction_exact(m, v):
    features, joint = v["features"][:3], m.law(v["joint"][:3, :3].reshape(-1)).reshape(3, 3)
    fitted = (features * v["theta"]).sum(-1)
    margins = v["beta"] * gaps(fitted + v["length"] * features[:, D - 1])
    return (features * pair_slope(m, joint, v["beta"] * gaps(fitted), margins)[:, None]).sum(0)


@claim(
    "L2.null",
    "Parameters may move freely along directions in which no two shown responses differ.",
    "∇L(θ* + v) = 0 for v in null(E_μ ΔφΔφᵀ)",
    source="derived",
    needs_double=True,
    proof="No shown margin changes along v.",
    given=SHARED | {"length": between(0.5, 3.0)},
    hypotheses=(sets("shown responses do not differ along the direction", features=_level),),
    exact=_null_direction_exact,
    other_sizes=(4, 12),
)
def _null_direction(v):
    n = v["reward"].shape[-1]
    problem = world(v["ref"], v["beta"], reward=v["beta"] * (v["features"] @ v["theta"]))
    policy, sampler = policies.LogLinear(v["features"]), shown(_only_shown(v, n))

    def loss(theta):
        logits = policy.log_probs(theta, problem.log_ref)[0]
        return population_loss(objectives.Dpo(v["beta"]), problem, sampler, preferences.BradleyTerry(), logits)

    moved = v["theta"] + v["length"] * (jnp.arange(D) == D - 1)
    return off(jax.grad(loss)(moved), jnp.zeros(()), _size(v) * (1.0 + jnp.abs(v["length"])))


@claim(
    "L3.constants",
    "Within a ball of parameters the loss is strongly convex and smooth with constants from the feature covariance.",
    "β²σ'(βR max‖Δφ‖) Cov ≤ ∇²L ≤ (β²/4) Cov on ‖θ‖ ≤ R",
    source="standard",
    needs_double=True,
    proof="In the ball the margins are bounded, so σ' lies between its value at the largest margin and ¼.",
    given=SHARED | {"way": real(D), "radius": between(0.05, 2.0), "stretch": between(0.1, 4.0)},
    hypotheses=(capped("parameters stay in the ball", "stretch", 1),),
    kind="inequality",
    smooth=False,
)
def _strongly_convex(v):
    apart = v["features"][:, None] - v["features"][None, :]
    longest = jnp.sqrt(jnp.max(jnp.sum(apart**2, -1)))
    theta = v["radius"] * v["stretch"] * v["theta"] / jnp.maximum(jnp.linalg.norm(v["theta"]), 1e-6)
    along, pairs = apart @ v["way"], _joint_traced(v)
    covariance = jnp.sum(pairs * along**2)

    def slope(place):
        return jax.grad(lambda t: _loss(v, t))(place)

    _, bent = jax.jvp(slope, (theta,), (v["way"],))
    bow, edge = jnp.sum(v["way"] * bent), v["beta"] * v["radius"] * longest
    low = v["beta"] ** 2 * jax.nn.sigmoid(edge) * jax.nn.sigmoid(-edge) * covariance
    scale = _size(v) * (1.0 + reach(v["way"])) ** 2
    # The room's constants are these with the covariance's smallest and largest eigenvalue, once the whole space is seen.
    told, covariances = model.curvature_bounds(_model(v), v["radius"]), model.feature_covariance(_model(v))
    values = jnp.linalg.eigvalsh(covariances)
    ends = v["beta"] ** 2 * jnp.stack([jax.nn.sigmoid(edge) * jax.nn.sigmoid(-edge) * values[0], 0.25 * values[-1]])
    apart = off(jnp.stack([told.convexity, told.smoothness]), ends, scale)
    return jnp.max(jnp.stack([above(low, bow, scale), above(bow, 0.25 * v["beta"] ** 2 * covariance, scale), apart]))


@claim(
    "L4.rates",
    "Under gradient flow each likelihood moves with the inner products of its feature with those of the pairs shown.",
    "d/dt log π(y) = β Σ μ_ab (P_ab - σ(m_ab)) ⟨φ(y) - E_πφ, φ(a) - φ(b)⟩",
    source="derived",
    needs_double=True,
    proof="d log π(y) = ⟨φ(y) - E_πφ, dθ⟩ and dθ = -∇L dt (L1.gradient).",
    given=SHARED | {"pace": between(0.2, 3.0, D)},
    hypotheses=(sets("all parameters move at one pace, not Adam's", pace=lambda m, v: v["pace"] * 0 + 1),),
)
def _rates(v):
    problem = world(v["ref"], v["beta"], reward=v["reward"])
    policy, labels, sampler = policies.LogLinear(v["features"]), labelled(odds_of(v["odds"])), shown(v["joint"])
    found = explain.likelihood_rates(problem, objectives.Dpo(v["beta"]), sampler, labels, policy, v["theta"])[0]
    margins, pairs = v["beta"] * gaps(_fitted(v)), _joint_traced(v)
    weights = v["beta"] * pairs * (jax.nn.sigmoid(odds_of(v["odds"])) - jax.nn.sigmoid(margins))
    force = v["pace"] * (jnp.einsum("ab,abd->d", weights, v["features"][:, None] - v["features"][None, :]))
    mass = jnp.exp(policy.log_probs(v["theta"], problem.log_ref)[0])
    wanted = (v["features"] - mass @ v["features"]) @ force
    closed = explain.log_linear_rates(v["features"], jnp.log(mass), weights)
    return jnp.maximum(off(found, wanted, _size(v) ** 2), off(closed, wanted, _size(v) ** 2))


def _one_hot(m, v):
    """Square features that are one-hot."""
    places = (v["features"] * 0 + 1).cumsum(0), (v["features"] * 0 + 1).cumsum(1)
    return m.where(places[0] == places[1], v["features"] * 0 + 1, v["features"] * 0)


def _one_pair_exact(m, v):
    mass, features = m.law(v["policy"]), v["features"]
    n = mass.shape[-1]
    crowd = v["crowd"] * m.law(v["joint"].reshape(-1)).reshape(n, n)
    pull = crowd.sum(1) - crowd.sum(0)
    pull[0], pull[1] = pull[0] + 1, pull[1] - 1
    force = (features * pull[:, None]).sum(0)
    return -((features[0] - (mass[:, None] * features).sum(0)) * force).sum()


@claim(
    "L4.table",
    "A free table that is trained on one pair never lowers its chosen response.",
    "d/dt log π(y_w) ∝ 1 - π_w + π_l > 0",
    source="derived",
    proof="One-hot features in L4.rates: ⟨e_w - π, e_w - e_l⟩ = 1 - π_w + π_l, which is positive.",
    given={
        "policy": law(),
        "features": real("n", "n"),
        "joint": law("n", "n"),
        "crowd": between(1.0, 30.0),
    },
    hypotheses=(
        sets("features are one-hot, nothing is shared", features=_one_hot),
        zero("there is one pair only", "crowd"),
    ),
    exact=_one_pair_exact,
    kind="inequality",
)
def _one_pair(v):
    log_policy = simplex.normalize(v["policy"])
    n = v["policy"].shape[-1]
    pair = jnp.zeros((n, n)).at[0, 1].set(1.0) + v["crowd"] * jax.nn.softmax(v["joint"].reshape(-1)).reshape(n, n)
    rate = explain.log_linear_rates(v["features"], log_policy, pair)[0]
    return above(jnp.zeros(()), rate, 1.0 + reach(v["features"]) ** 2 * (1.0 + v["crowd"]))


@claim(
    "L4.context",
    "With features of the prompt and free weights per response, a single pair cannot displace its chosen response.",
    "d/dt log π(y_w) = βσ(-m) ‖h‖² (1 - π_w + π_l) ≥ 0",
    source="Razin et al. 2410.08847",
    proof="Each response's weights move along h alone, so L4.table's inner product is multiplied by ‖h‖².",
    given={
        "ref": law(),
        "policy": law(),
        "context": real(D),
        "weights": between(-1.0, 1.0, D, "n"),
        "tied": between(0.3, 1.0),
    },
    hypotheses=(zero("no response shares its weights with the chosen one", "tied"),),
    other_sizes=(3, 40),
)
def _context(v):
    n = v["policy"].shape[-1]
    problem = world(v["ref"], jnp.ones(()), target=v["ref"])
    policy = policies.ContextLinear(v["context"][None])
    pair = samplers.Joint(jnp.where(jnp.arange(n * n).reshape(n, n) == 1, 0.0, -jnp.inf))
    rate = explain.likelihood_rates(problem, objectives.Dpo(1.0), pair, preferences.AsShown(), policy, v["weights"].T)[0]
    mass = jnp.exp(policy.log_probs(v["weights"].T, problem.log_ref)[0])
    others = jnp.concatenate([jnp.ones(1), jnp.zeros(1), v["tied"] * jnp.ones(n - 2)])
    margin = (v["context"] @ v["weights"])[0] - (v["context"] @ v["weights"])[1]
    pull = jax.nn.sigmoid(-margin) * jnp.sum(v["context"] ** 2)
    wanted = pull * (1.0 - jnp.sum(mass * others) + mass[1])
    size = (1.0 + jnp.sum(v["context"] ** 2)) * (1.0 + reach(v["weights"])) * (1.0 + reach(v["ref"]))
    return jnp.maximum(off(rate[0], wanted, size), above(jnp.zeros(()), rate[0], size))


def _similarity_exact(m, v):
    centred = v["features"] - v["centre"]
    rate = ((centred[0] - (m.law(v["policy"])[:, None] * centred).sum(0)) * (centred[0] - centred[1])).sum()
    return rate + (centred[0] * centred[1]).sum() - (centred[0] * centred[0]).sum()


@claim(
    "L5.ches",
    "CHES is minus the chosen response's rate exactly where hidden states are centred under the policy.",
    "E_πφ = 0  ⇒  d/dt log π(y_w) ∝ -(⟨φ_w, φ_l⟩ - ‖φ_w‖²)",
    source="score of Razin et al. 2410.08847 tied to L4",
    proof="L4.rates for one pair and centred features is ⟨φ_w, φ_w - φ_l⟩, minus the score.",
    given={"features": real("n", D), "policy": law(), "centre": real(D)},
    hypotheses=(
        sets("states are centred under the policy", centre=lambda m, v: (m.law(v["policy"])[:, None] * v["features"]).sum(0)),
    ),
    exact=_similarity_exact,
)
def _similarity(v):
    features, mass = v["features"], jax.nn.softmax(v["policy"])
    centred = features - v["centre"]
    score = ches(centred[0][None], centred[1][None], jnp.ones(1, bool), jnp.ones(1, bool))
    rate = explain.single_pair_rates(centred, jnp.log(mass), 0, 1)[0]
    return off(rate, -score, (1.0 + reach(features, v["centre"])) ** 2)


SPACE = SequenceSpace(2, 3)


def _sequence_exact(m, v):
    """The same stationarity for the law that the next-token tables spell, by hand for two tokens and three places."""
    mass = m.law(v["target"]).reshape(2, 2, 2)
    first = m.log(mass.sum(-1).sum(-1)) - m.log(mass.sum())
    second = m.log(mass.sum(-1)) - m.log(mass.sum(-1).sum(-1, keepdims=True))
    third = m.log(mass) - m.log(mass.sum(-1, keepdims=True))
    mean = (first + second.sum(0) + third.sum(0).sum(0)) / 7
    keep, lost = 1 - v["forget"], v["forget"]
    spelled = [m.log_law(keep * table + lost * mean) for table in (first, second, third)]
    law_ = (spelled[0][:, None, None] + spelled[1][:, :, None] + spelled[2]).reshape(-1)
    margins = v["beta"] * gaps(law_ - v["ref"])
    force = m.law(v["chosen"])[:, None] * m.law(v["rejected"])[None, :] * (m.sigmoid(margins) - 1)
    return force.sum(-1) - force.sum(-2)


@claim(
    "L6.sequences",
    "A full table of next-token laws over sequences has the free table's minimiser: the target.",
    "∇_{prefix logits} L = 0 at the target's next-token laws",
    source="derived",
    needs_double=True,
    proof=(
        "By the chain rule the gradient in the next-token logits is a linear image of that in the sequences' logits, "
        "zero at π* (D5)."
    ),
    given={
        "ref": law(8),
        "target": law(8),
        "chosen": law(8),
        "rejected": law(8),
        "beta": between(0.2, 5.0),
        "forget": between(0.3, 1.0),
    },
    hypotheses=(
        sets("the data obey the power law", rejected=lambda m, v: v["chosen"] + v["beta"] * (v["ref"] - v["target"])),
        zero("the table looks at the whole prefix", "forget"),
    ),
    exact=_sequence_exact,
    n=8,
)
def _sequence_slope(v):
    log_target = simplex.normalize(v["target"])
    problem = world(v["ref"], v["beta"], target=log_target, log_chosen=v["chosen"], log_rejected=v["rejected"])
    policy = policies.prefix_table(SPACE, start="flat")
    tokens = SPACE.next_log_probs(log_target[None])
    # Mixing the tables of all prefixes forgets what came before.
    flat = jnp.mean(tokens, axis=1, keepdims=True)
    tokens = (1.0 - v["forget"]) * tokens + v["forget"] * flat

    def loss(params):
        logits = policy.log_probs(params, problem.log_ref)[0]
        return population_loss(objectives.Dpo(v["beta"]), problem, samplers.ChosenRejected(), preferences.AsShown(), logits)

    found = jax.grad(loss)(tokens)
    size = (1.0 + v["beta"]) * (1.0 + reach(v["ref"], v["target"], v["chosen"]))
    return off(found / v["beta"], jnp.zeros(()), 8.0 * size)


@claim(
    "L6.chain-rule",
    "A law over sequences and its next-token laws determine each other.",
    "log π(y) = Σ_k log π(y_k | y_{<k})",
    source="standard",
    proof="The definition of a conditional probability, token by token.",
    given={"law": law(8), "other": law(7, 2), "forget": between(0.3, 1.0)},
    hypotheses=(zero("next-token laws are the law's own", "forget"),),
    n=8,
)
def _chain(v):
    log_law = simplex.normalize(v["law"])
    tables = SPACE.next_log_probs(log_law[None])
    tables = (1.0 - v["forget"]) * tables + v["forget"] * simplex.normalize(v["other"].reshape(1, 7, 2))
    return off(jnp.exp(SPACE.log_law(tables)[0]), jnp.exp(log_law), 1.0 + reach(log_law))
