"""Does an update sharpen or flatten the policy, and what does the entropy of its differential information say?  D11 to D13."""

import jax
import jax.numpy as jnp

from didsim import did
from didsim.claims.ledger import claim
from didsim.claims.statements.conditions import above, capped, off, reach, same, sets, zero
from didsim.claims.variables import between, law, real
from didsim.did import estimators
from didsim.numerics import simplex

# Cumulants of a variable of range w: |κ₄| ≤ 3w⁴/16 and |κ₅| ≤ w⁵/3, from its central moments.
FOURTH = 3.0 / 16.0 / 8.0
TINY = 1e-30
FIFTH = 1.0 / 3.0 / 15.0


def spread(m, x):
    """Range of the values."""
    low = high = x[..., 0]
    for k in range(1, x.shape[-1]):
        low, high = m.smaller(low, x[..., k]), m.larger(high, x[..., k])
    return high - low


def central(x, weights, order):
    """Central moment under weights that sum to one."""
    mean = (weights * x).sum(-1)
    far, power = x - mean, weights
    for _ in range(order):
        power = power * far
    return power.sum(-1)


def _third(m, x):
    return central(x, 1 / (x * 0 + x.shape[-1]), 3)


@claim(
    "D11.rate",
    "The policy's entropy moves at minus the covariance of the log-ratio with the log of the reference.",
    "dH(π_t)/dt at 0 = -Cov_{π_ref}(s, log π_ref)",
    source="paper A's claim with its condition",
    proof="Along the path dπ = π (s - E s), and dH = -Σ dπ log π.",
    given={"ref": law(), "way": real(), "t": between(0.1, 2.0)},
    hypotheses=(zero("the rate is taken at the reference", "t"),),
)
def _rate(v):
    ref = simplex.normalize(v["ref"])
    there = simplex.tilt(ref, v["way"], v["t"])
    _, rate = jax.jvp(lambda t: simplex.entropy(simplex.tilt(ref, v["way"], t)), (v["t"],), (jnp.ones_like(v["t"]),))
    return off(did.entropy_slope(ref, v["way"]), rate, (1.0 + reach(v["way"])) * (1.0 + reach(ref, there)))


def _sharpens_exact(m, v):
    log_ref = m.log_law(v["ref"])
    way = v["gain"] * log_ref + v["noise"]
    return m.mean(v["ref"], way) * m.mean(v["ref"], log_ref) - m.mean(v["ref"], way * log_ref)


@claim(
    "D11.reinforcement",
    "An update that favours what the reference favours lowers the entropy.",
    "s = g·log π_ref, g ≥ 0  ⇒  dH ≤ 0",
    source="paper A's claim with its condition",
    proof="D11.rate with s = g log π_ref: minus g times a variance.",
    given={"ref": law(), "gain": between(-1.0, 1.0), "noise": real()},
    hypotheses=(
        sets("the update correlates with the reference", gain=lambda m, v: m.size(v["gain"])),
        zero("nothing else moves", "noise"),
    ),
    exact=_sharpens_exact,
    kind="inequality",
)
def _sharpens(v):
    ref = simplex.normalize(v["ref"])
    way = v["gain"] * ref + v["noise"]
    return above(did.entropy_slope(ref, way), jnp.zeros(()), (1.0 + reach(way)) * (1.0 + reach(ref)))


def _third_order_exact(m, v):
    way, n = v["way"] * v["amount"], v["way"].shape[-1]
    weights, wide = m.law(v["weights"]), spread(m, v["way"] * v["amount"])
    found = m.log(m.number(n)) - central(way, weights, 2) / 2 - central(way, weights, 3) / 3
    return m.size(m.entropy(way) - found) - 3 * wide * wide * wide * wide / 128


@claim(
    "D12.third-order",
    "The entropy of the differential information is log N less two cumulants, to fourth order with a stated constant.",
    "|H(q) - (log N - ε²κ₂/2 - ε³κ₃/3)| ≤ (3/128) (ε·range s)⁴",
    source="derived",
    proof=(
        "H(q) is the cumulant function of s less ε times its slope; expand both. The fourth cumulant of any law is "
        "bounded by a power of the range."
    ),
    given={"way": real(), "amount": between(0.01, 1.0), "weights": law()},
    hypotheses=(zero("cumulants are taken under the uniform law", "weights"),),
    exact=_third_order_exact,
    kind="inequality",
)
def _third_order(v):
    way = v["way"] * v["amount"]
    weights = jax.nn.softmax(v["weights"])
    mean = jnp.sum(weights * way)
    moments = jnp.stack([mean, jnp.sum(weights * (way - mean) ** 2), jnp.sum(weights * (way - mean) ** 3)])
    shift = (moments[1] - did.uniform_cumulants(way)[1]) / 2.0 + (moments[2] - did.uniform_cumulants(way)[2]) / 3.0
    exact = simplex.entropy(simplex.normalize(way))
    found = did.third_order_did_entropy(v["way"], v["amount"]) - shift
    wide = jnp.max(way) - jnp.min(way)
    return above(jnp.abs(exact - found), FOURTH * wide**4, 1.0 + wide**3)


def _gap_exact(m, v):
    way = v["ref"] * v["amount"]
    wide = spread(m, way)
    gap = m.entropy(way) - m.entropy(-way) + v["tilt"]
    return m.size(gap + 2 * _third(m, way) / 3) - wide * wide * wide * wide * wide / 45


@claim(
    "D12.temperature-gap",
    "Sharpening and flattening differ in the entropy of their differential information by a third cumulant.",
    "|H(q₊) - H(q₋) + (2/3)κ₃ε³| ≤ (ε·range log π_ref)⁵/45",
    source="derived",
    proof="In D12's expansion even orders agree for +ε and -ε; the third is left twice, with a fifth-order remainder.",
    given={"ref": law(), "amount": between(0.01, 1.0), "tilt": between(0.05, 0.5)},
    hypotheses=(zero("both updates are tempered references", "tilt"),),
    exact=_gap_exact,
    kind="inequality",
)
def _gap(v):
    ref = simplex.normalize(v["ref"])
    wide = (jnp.max(ref) - jnp.min(ref)) * v["amount"]
    lead = did.temperature_gap_third_order(ref, v["amount"])
    gap = did.temperature_gap(ref, v["amount"]) + v["tilt"]
    return above(jnp.abs(gap - lead), FIFTH * wide**5, 1.0 + wide**3)


def _right_skewed(m, v):
    return m.where(_third(m, v["ref"]) < 0, -v["ref"], v["ref"])


def _safe_amount(m, v):
    """Largest ε at which the third cumulant outweighs all that follows: ``ε² ≤ 30 κ₃ / range⁵``, by a rough square root."""
    wide, third = spread(m, v["ref"]), m.size(_third(m, v["ref"]))
    square = 30 * third / (wide * wide * wide * wide * wide + TINY)
    guess = m.exp(m.log(square + TINY) / 2)
    return guess * m.number(0.999)


@claim(
    "D12.sign",
    "A low entropy of the differential information goes with reinforcement where log π_ref is right-skewed, "
    "as in language; on left-skewed references it is the other way round.",
    "κ₃(log π_ref) > 0  ⇒  H(q₊) < H(q₋)",
    source="paper A's claim with its condition",
    proof="The leading term of D12.temperature-gap is -(2/3)κ₃ε³.",
    given={"ref": law(), "amount": between(0.02, 3.0)},
    hypotheses=(
        sets("log π_ref is right-skewed over responses", ref=_right_skewed),
        capped("the update is small", "amount", _safe_amount),
    ),
    exact=lambda m, v: m.entropy(v["amount"] * v["ref"]) - m.entropy(-v["amount"] * v["ref"]),
    kind="inequality",
    other_sizes=(3, 40),
)
def _low_goes_with_sharpening(v):
    ref = simplex.normalize(v["ref"])
    return above(did.temperature_gap(ref, v["amount"]), jnp.zeros(()))


def _weighted_exact(m, v):
    weights = m.law(v["drawn"]) / m.law(v["ref"])
    ratio = m.log_law(v["policy"]) - m.log_law(v["ref"])
    return m.log(weights.sum()) - (weights * ratio).sum() / weights.sum() - m.entropy(v["policy"] - v["ref"])


@claim(
    "D13.weights",
    "Weights 1/π_ref on draws from the policy give the entropy of the differential information in the limit.",
    "H(q) = log E_π[1/π_ref] - E_q log(π/π_ref)",
    source="paper A's estimator, made exact",
    proof="E_π[u f]/E_π[u] = E_q f for u = 1/π_ref, and log q = log(π/π_ref) - log E_π[1/π_ref].",
    given={"ref": law(), "policy": law(), "drawn": law()},
    hypotheses=(same("responses are drawn from the policy itself", "drawn", "policy"),),
    exact=_weighted_exact,
)
def _weighted(v):
    policy, ref, drawn = (simplex.normalize(v[name]) for name in ("policy", "ref", "drawn"))
    log_weights = -ref + (drawn - policy) * 0.0
    # Each response once, weighed by how often it is drawn: the estimate from all draws there are.
    estimate = estimators.self_normalised_entropy(log_weights + drawn + jnp.log(float(drawn.shape[-1])), policy - ref)
    return off(estimate, did.did_entropy(policy, ref), 1.0 + reach(policy, ref, drawn))


def _effective_exact(m, v):
    weights = m.law(v["log_weights"])
    found, k = 1 / (weights * weights).sum(), v["log_weights"].shape[-1]
    return [found - k * (1 - v["uneven"]), 1 - found]


@claim(
    "D13.effective-size",
    "The effective sample size lies between 1 and the number of draws, and no smaller upper bound holds.",
    "1 ≤ (Σu)²/Σu² ≤ K",
    source="standard",
    proof="(Σu)² ≤ K Σu² by Cauchy and Schwarz, with equality for even weights; (Σu)² ≥ Σu² for weights that are not negative.",
    given={"log_weights": law(), "uneven": between(0.05, 0.5)},
    hypotheses=(zero("the bound is K itself", "uneven"),),
    exact=_effective_exact,
    kind="inequality",
)
def _effective(v):
    k = v["log_weights"].shape[-1]
    found = did.effective_sample_size(v["log_weights"])
    return jnp.maximum(above(found, k * (1.0 - v["uneven"])), above(1.0 - found, jnp.zeros(()))) / k
