"""What can the pairs shown teach at all, and where does descent land?  Claims S1 to S3."""

import jax
import jax.numpy as jnp

from didsim import landscape, objectives
from didsim.claims.arithmetic import gaps
from didsim.claims.ledger import claim
from didsim.claims.statements.conditions import ANY_LABELS, BRADLEY_TERRY, above, capped, odds_of, off, reach, same, sets, zero
from didsim.claims.statements.d_learning import pair_slope
from didsim.claims.statements.one_prompt import labelled, shown, slope, world
from didsim.claims.variables import between, law, real, whole
from didsim.numerics import simplex

PAIRS = {"ref": law(), "reward": real(), "joint": law("n", "n"), "odds": real("n", "n"), "beta": between(0.2, 5.0)}
BLOCKED = {"block": whole(0, 2, "n")}


def _together(v):
    """Which pairs lie in one block, as zeros and ones."""
    return 1.0 * (v["block"][:, None] == v["block"][None, :])


def _blocked_law(v):
    """Pair law within blocks, as logits; a bridge joins the first and the last response where it has mass."""
    n = v["block"].shape[-1]
    first = jnp.arange(n) == 0
    bridge = first[:, None] & (jnp.arange(n) == n - 1)[None, :] & (v["bridge"] > 0)
    return jnp.where((_together(v) > 0) | bridge, v["joint"], -jnp.inf)


def _same_block(m, v):
    return m.where(v["block"][:, None] == v["block"][None, :], v["joint"] * 0 + 1, v["joint"] * 0)


def _component_shift(m, v):
    """Shift of each response's block, the same for all of its members."""
    return sum((m.where(v["block"] == k, v["shift"] * 0 + v["levels"][k], v["shift"] * 0) for k in range(3)), v["shift"] * 0)


def _open_directions_exact(m, v):
    joint = m.law(v["joint"].reshape(-1)).reshape(v["joint"].shape) * _same_block(m, v)
    return pair_slope(m, joint, odds_of(v["odds"]), gaps(v["reward"] + v["beta"] * v["shift"]))


@claim(
    "S1.solutions",
    "Any free factor per component of the comparison graph leaves the target a minimiser.",
    "∇L = 0 at π_θ ∝ π* e^{c_C}",
    source="paper B, made exact",
    proof="Pairs are shown within components only, and there a common factor cancels in every margin.",
    given=PAIRS | BLOCKED | {"shift": real(), "levels": real(3), "bridge": whole(0, 0)},
    hypotheses=(BRADLEY_TERRY, sets("the factor is one per component", shift=_component_shift)),
    exact=_open_directions_exact,
)
def _open_directions(v):
    odds = odds_of(v["odds"])
    problem = world(v["ref"], v["beta"], reward=v["reward"])
    place = problem.log_target[0] + v["shift"]
    found = slope(objectives.Dpo(v["beta"]), problem, shown(_blocked_law(v)), labelled(odds), place)
    scale = (1.0 + v["beta"]) * (1.0 + reach(v["ref"], v["shift"])) + reach(v["reward"])
    return off(found / v["beta"], jnp.zeros(()), scale)


@claim(
    "S1.null-space",
    "The Hessian leaves open as many dimensions as the comparison graph has components.",
    "dim null ∇²L = number of components",
    source="paper B, made exact",
    proof="The Hessian's quadratic form Σ w_ab (v_a - v_b)² vanishes exactly for v constant on each component.",
    given=BLOCKED
    | {
        "reward": between(-3.0, 3.0, "n"),
        "joint": between(-2.0, 2.0, "n", "n"),
        "beta": between(0.2, 5.0),
        "bridge": whole(0, 1),
    },
    hypotheses=(zero("no pair is shown across blocks", "bridge"),),
    kind="rate",
    allowance=0.5 / 16.0,
    share=0.2,
    smooth=False,
    other_sizes=(2, 12),
)
def _null(v):
    pairs = jnp.exp(_blocked_law(v) - jax.nn.logsumexp(_blocked_law(v)))
    hessian = landscape.hessian_at_optimum(pairs, v["reward"], v["beta"])
    blocks = sum(jnp.any(v["block"] == k) for k in range(3))
    graph = landscape.component_count(landscape.components(landscape.comparison_graph(pairs)))
    found = landscape.null_space_dimension(hessian)
    return jnp.maximum(jnp.abs(found - blocks), jnp.abs(found - graph) * (v["bridge"] == 0)) * 1.0


def _conserved_exact(m, v):
    joint = m.law(v["joint"].reshape(-1)).reshape(v["joint"].shape) * _same_block(m, v)
    moved = v["pace"] * pair_slope(m, joint, odds_of(v["odds"]), v["beta"] * gaps(v["policy"] - v["ref"]))
    return [m.where(v["block"] == k, moved, moved * 0).sum() for k in range(3)]


@claim(
    "S2.conserved",
    "Gradient descent never moves the sum of the logits of a component, whatever the labels.",
    "Σ_{y∈C} ∂L/∂θ_y = 0",
    source="derived",
    proof="Each pair pulls its two logits by the same amount in opposite directions, and both are of one component.",
    given=PAIRS | BLOCKED | {"policy": law(), "pace": between(0.2, 3.0, "n"), "bridge": whole(0, 0)},
    hypotheses=(
        sets("one step size for all logits, not Adam's", pace=lambda m, v: v["pace"] * 0 + 1),
        ANY_LABELS,
    ),
    exact=_conserved_exact,
)
def _conserved(v):
    odds = odds_of(v["odds"])
    problem = world(v["ref"], v["beta"], reward=v["reward"])
    found = slope(objectives.Dpo(v["beta"]), problem, shown(_blocked_law(v)), labelled(odds), v["policy"])
    moved = v["pace"] * found / v["beta"]
    sums = jnp.stack([jnp.sum(jnp.where(v["block"] == k, moved, 0.0)) for k in range(3)])
    return off(sums, jnp.zeros(()), 1.0)


def _block_sums(m, v, values):
    """Sum of the values of each response's block, repeated for its members."""
    return (_same_block(m, v) * values[None, :]).sum(-1)


def _limit_exact(m, v):
    size = _same_block(m, v).sum(-1)
    end = v["ref"] + (v["reward"] - _block_sums(m, v, v["reward"]) / size) / v["beta"]
    joint = m.law(v["joint"].reshape(-1)).reshape(v["joint"].shape) * _same_block(m, v)
    force = pair_slope(m, joint, odds_of(v["odds"]), v["beta"] * gaps(end - v["ref"]))
    drift = _block_sums(m, v, end - v["start"]) / size
    return [*force, *(drift - drift[0])]


@claim(
    "S2.limit",
    "Descent from the reference ends where the reward, less its unweighted mean over the component, is learned.",
    "θ_∞ = log π_ref + (r - r̄_C)/β: ∇L = 0 and Σ_C θ unchanged",
    source="derived",
    proof="Of S1's solutions the conserved sums (S2.conserved) single out one.",
    given=PAIRS | BLOCKED | {"start": law(), "bridge": whole(0, 0)},
    hypotheses=(BRADLEY_TERRY, same("descent starts at the reference", "start", "ref")),
    exact=_limit_exact,
)
def _limit(v):
    odds, ref = odds_of(v["odds"]), simplex.normalize(v["ref"])
    label = landscape.components(landscape.comparison_graph(jnp.exp(_blocked_law(v))))
    end = landscape.descent_limit(ref, v["reward"], label, v["beta"])
    problem = world(v["ref"], v["beta"], reward=v["reward"])
    found = slope(objectives.Dpo(v["beta"]), problem, shown(_blocked_law(v)), labelled(odds), end)
    scale = (1.0 + v["beta"] + 1.0 / v["beta"]) * (1.0 + reach(ref, v["start"], v["reward"]))
    # Sums per component are kept, up to the one constant that normalising takes away.
    drift = end - simplex.normalize(v["start"])
    member = _together(v)
    means = (member @ drift) / member.sum(-1)
    return jnp.maximum(off(found / v["beta"], jnp.zeros(()), scale), off(means, means[0], scale))


def _mask(v):
    return v["seen"] > 0.5


def _odds(mass):
    return mass / jnp.maximum(1.0 - mass, 1e-300)


@claim(
    "S3.leak",
    "Training divides the odds of responses that are never shown by a factor that the data's support decides.",
    "odds_∞(off S) = odds_ref(off S)/κ, κ = E_{π_ref|S} e^{(r - r̄_S)/β}",
    source="derived",
    proof="Normalise S2.limit: the mass on S is multiplied by κ, the mass off it by one.",
    given={
        "ref": between(-2.0, 2.0, "n"),
        "reward": between(-3.0, 3.0, "n"),
        "beta": between(0.2, 5.0),
        "seen": whole(0, 1, "n"),
        "part": whole(0, 1, "n"),
    },
    hypotheses=(zero("the support is one component", "part"),),
    rounding=256.0,
    smooth=False,
    other_sizes=(3, 12),
)
def _leak(v):
    ref, support = simplex.normalize(v["ref"]), _mask(v)
    label = jnp.where(support, 0, 1 + jnp.arange(ref.shape[-1])) + jnp.where(support & (v["part"] > 0.5), 100, 0)
    _, label = jnp.unique(label, return_inverse=True, size=ref.shape[-1])
    first = jnp.argmax(label[:, None] == label[None, :], axis=1)
    end = landscape.descent_limit(ref, v["reward"], first, v["beta"])
    factor = landscape.off_support_factor(ref, v["reward"], support, v["beta"])
    odds = [_odds(landscape.off_support_mass(one, support)) for one in (ref, end)]
    some = jnp.any(support) & jnp.any(~support)
    return jnp.where(some, jnp.abs(odds[1] * factor / odds[0] - 1.0) / (1.0 + reach(ref) + reach(v["reward"]) / v["beta"]), 0.0)


def _log_factor(m, v):
    """log κ with every response in the support, by hand."""
    mean = v["reward"].sum(-1) / v["reward"].shape[-1]
    return m.log(m.mean(v["ref"], m.exp((v["reward"] - mean) / v["beta"])))


def _factor(v, sign):
    everything = jnp.ones(v["ref"].shape, bool)
    found = jnp.log(landscape.off_support_factor(simplex.normalize(v["ref"]), v["reward"], everything, v["beta"]))
    return above(sign * found, jnp.zeros(()), 1.0 + reach(v["ref"]) + reach(v["reward"]) / v["beta"])


claim(
    "S3.uniform",
    "Unseen responses lose mass where the reference is uniform over the support.",
    "π_ref uniform on S  ⇒  κ ≥ 1",
    source="derived",
    proof="Jensen: the mean of an exponential is at least the exponential of the mean.",
    given={"ref": law(), "reward": real(), "beta": between(0.2, 5.0)},
    hypotheses=(zero("the reference is uniform on the support", "ref"),),
    exact=lambda m, v: -_log_factor(m, v),
    kind="inequality",
)(lambda v: _factor(v, -1.0))


claim(
    "S3.weak",
    "Mass leaks to unseen responses where the reference falls with the reward at least as fast as 1/β.",
    "log π_ref = s·r + const on S, s ≤ -1/β  ⇒  κ ≤ 1",
    source="derived",
    proof=(
        "At a skill of exactly -1/β, κ is one over a mean of e^{-(r - r̄)/β}, at least one by Jensen; a lower skill only lowers κ."
    ),
    given={"ref": law(), "reward": real(), "beta": between(0.3, 5.0), "skill": between(-4.0, 1.0), "noise": real()},
    hypotheses=(
        capped("the reference's skill is at most -1/β", "skill", lambda m, v: -1 / v["beta"]),
        zero("the reference knows the reward alone", "noise"),
        sets("the reference is made of skill", ref=lambda m, v: v["skill"] * v["reward"] + v["noise"]),
    ),
    exact=_log_factor,
    kind="inequality",
)(lambda v: _factor(v, 1.0))
