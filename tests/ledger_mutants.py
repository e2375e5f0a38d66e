"""The watchman's watchman: faults put into the library on purpose, one at a time; the ledger must notice each.

Every mutant replaces one function by a subtly wrong one and names the claims that must catch it.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from didsim import did, dynamics, explain, landscape, objectives, policies, preferences, samplers, sequences, simplex
from didsim.did import path as did_path
from didsim.did.changes import Displacement
from didsim.dynamics import ProjectedGradient
from didsim.numerics import pair_sums
from didsim.objectives import Link, comparisons
from didsim.samplers import behaviours, curvature
from didsim.samplers.laws import product_law


@dataclass(frozen=True)
class Mutant:
    """One fault: where it is put, the wrong function, and which claims must catch it."""

    name: str
    home: object
    attribute: str
    wrong: object
    claims: tuple[str, ...]


def _weaken(function, change):
    """A function whose result is changed."""
    return lambda *args, **kwargs: change(function(*args, **kwargs))


def _with_beta(function, change):
    """A function of laws and β that is given another β."""
    return lambda *args: function(*args[:-1], change(args[-1]))


def _swapped(function, one=0, other=1):
    """A function with two of its arguments exchanged."""

    def wrong(*args):
        args = list(args)
        args[one], args[other] = args[other], args[one]
        return function(*args)

    return wrong


def _leaky(self, problem, log_policy):
    """On-policy pairs with the reference on one side."""
    return product_law(log_policy, problem.log_ref)


def _plain_rule(self, problem, objective, policy, params, compare):
    """Projected gradients that project nothing."""
    from didsim.dynamics.rules import Plain

    return Plain().gradient(problem, objective, policy, params, compare)


def _two_of_three(score):
    """Mix-R that forgets the uniform component."""
    law = curvature_law(score)
    return type(law)(law.weights[:, 1:] / law.weights[:, 1:].sum(-1, keepdims=True), law.log_first[:, 1:], law.log_second[:, 1:])


curvature_law = curvature.inverse_slope_law
best_of = behaviours.log_best_of
factor = landscape.off_support_factor
population = objectives.population
segments = objectives.Adpo.segment_rewards
outcomes = preferences.Davidson.outcomes
values_of = landscape.state_values

MUTANTS = [
    Mutant("DID not normalised", did, "log_did", lambda p, r: p - r, ("D1.unique",)),
    Mutant("DID upside down", did, "log_did", _swapped(did.log_did), ("D1.posterior",)),
    Mutant("likelihood of the evidence exceeds one", did, "evidence_likelihood", lambda p, r: p - r, ("D1.event",)),
    Mutant("chain of evidence subtracts", did, "compose", lambda a, b: simplex.normalize(a - b), ("D2.chain", "D2.reverse")),
    Mutant("path parameter squared", did, "path_law", lambda r, t, s: did_path.path_law(r, t, s**2), ("D2.power",)),
    Mutant("learned policy with β squared", did, "learned_policy", _with_beta(did.learned_policy, jnp.square), ("D5.any-data",)),
    Mutant(
        "learned policy without the reference",
        did,
        "learned_policy",
        lambda w, lost, r, b: simplex.normalize((w - lost) / b),
        ("D5.any-data", "D7.best-rejected"),
    ),
    Mutant(
        "best rejected law with 1/β",
        did,
        "optimal_rejected",
        _with_beta(did.optimal_rejected, lambda b: 1 / b),
        ("D7.best-rejected",),
    ),
    Mutant(
        "best rejected law from the reference", did, "optimal_rejected", _swapped(did.optimal_rejected), ("D7.best-rejected",)
    ),
    Mutant(
        "reference-free limit without 1/β",
        did,
        "reference_free_limit",
        lambda w, lost, b: simplex.normalize(w - lost),
        ("D6.ends-at-did",),
    ),
    Mutant("margin slope upside down", did, "margin_order", _swapped(did.margin_order), ("D8.power-law",)),
    Mutant(
        "half the Jeffreys divergence",
        did,
        "learned_margin",
        lambda w, lost, b: simplex.kl(w, lost) / b,
        ("D8.mean-margin", "D10.gap"),
    ),
    Mutant("path slope of the other end", did, "path_slope", lambda r, t, s: did_path.path_slope(t, r, s), ("D9.slope",)),
    Mutant(
        "path cumulant without its second term",
        did,
        "path_cumulant",
        lambda r, t, s: (s - 1.0) * simplex.path_divergences(r, t, s)[0],
        ("D9.slope",),
    ),
    Mutant(
        "displacement formula drops a term",
        did,
        "displacement_from_chosen",
        lambda w, lost, b: Displacement(simplex.kl(w, lost) / b, -simplex.kl(lost, w) / b),
        ("D10.renyi-chosen",),
    ),
    Mutant("Rényi order off by one", did, "displacement_from_rejected", did.displacement_from_chosen, ("D10.renyi-rejected",)),
    Mutant(
        "rejected law β too early on the path",
        did,
        "path_displacement",
        lambda r, t, a, b: Displacement(did_path.path_slope(r, t, a), did_path.path_slope(r, t, a - 2 * b)),
        ("D10.path",),
    ),
    Mutant("critical β without its root", did, "critical_beta", lambda r, t: jnp.full(r.shape[:-1], 0.5), ("D10.critical",)),
    Mutant(
        "entropy slope with the wrong sign",
        did,
        "entropy_slope",
        _weaken(did.entropy_slope, jnp.negative),
        ("D11.rate", "D11.reinforcement"),
    ),
    Mutant(
        "third cumulant with factor 1/6",
        did,
        "third_order_did_entropy",
        lambda s, e: (
            jnp.log(float(s.shape[-1])) - e**2 * did.uniform_cumulants(s)[1] / 2 - e**3 * did.uniform_cumulants(s)[2] / 6
        ),
        ("D12.third-order",),
    ),
    Mutant(
        "temperature gap upside down",
        did,
        "temperature_gap",
        _weaken(did.temperature_gap, jnp.negative),
        ("D12.sign", "D12.temperature-gap"),
    ),
    Mutant("DID entropy in bits", did, "did_entropy", _weaken(did.did_entropy, lambda h: h / jnp.log(2.0)), ("D13.weights",)),
    Mutant(
        "effective sample size not normalised",
        did,
        "effective_sample_size",
        lambda w: jnp.exp(-jax.nn.logsumexp(2 * w, -1)),
        ("D13.effective-size",),
    ),
    Mutant("KL of the arguments exchanged", simplex, "kl", _swapped(simplex.kl), ("D10.never-rises", "D10.gap")),
    Mutant("projection does nothing", ProjectedGradient, "gradient", _plain_rule, ("D14.projected",)),
    Mutant(
        "DPO forgets the reference",
        objectives.Dpo,
        "chosen_reward",
        lambda self, seen: self.beta * seen.log_policy,
        ("D5.target", "S8.signal"),
    ),
    Mutant(
        "DPO with β squared",
        objectives.Dpo,
        "chosen_reward",
        lambda self, seen: self.beta**2 * seen.log_ratio,
        ("D5.target", "S6.sampler-free"),
    ),
    Mutant(
        "IPO's target margin doubled",
        objectives.IpoSum,
        "pair_link",
        lambda self: Link(lambda m: jnp.square(m - 1.0 / self.beta)),
        ("S12.ipo",),
    ),
    Mutant(
        "population counts each pair one way",
        objectives,
        "population",
        lambda *a: type(population(*a))(jnp.triu(population(*a).ordered)),
        ("S8.signal", "S6.sampler-free"),
    ),
    Mutant(
        "labels exchanged in the population",
        preferences.PreferenceMatrix,
        "matrix",
        lambda self, r: jnp.broadcast_to(1.0 - self.table, (*r.shape, r.shape[-1])),
        ("S8.signal", "S2.limit"),
    ),
    Mutant(
        "Laplacian without β squared",
        landscape,
        "hessian_at_optimum",
        lambda m, r, b: landscape.laplacian(landscape.laplacian_weights(m, r)),
        ("S4.laplacian", "S4.rate"),
    ),
    Mutant(
        "Laplacian weights of one order only",
        landscape,
        "laplacian_weights",
        lambda m, r: m * jax.nn.sigmoid(r[:, None] - r) * jax.nn.sigmoid(r - r[:, None]) * (1 - jnp.eye(len(r))),
        ("S5.quadratic-mix-r",),
    ),
    Mutant(
        "limit with π_ref's mean instead of the plain one",
        landscape,
        "descent_limit",
        lambda p, r, c, b: simplex.normalize(p + (r - jnp.sum(jnp.exp(p) * r) * (c == c[0])) / b),
        ("S2.limit",),
    ),
    Mutant(
        "off-support factor upside down",
        landscape,
        "off_support_factor",
        _weaken(factor, lambda k: 1.0 / k),
        ("S3.uniform", "S3.weak", "S3.leak"),
    ),
    Mutant(
        "best step a tenth too long",
        landscape,
        "descent_rate",
        _weaken(landscape.descent_rate, lambda f: (f[0], f[1], 1.1 * f[2])),
        ("S4.rate",),
    ),
    Mutant(
        "null space misses one",
        landscape,
        "null_space_dimension",
        _weaken(landscape.null_space_dimension, lambda k: k - 1),
        ("S1.null-space",),
    ),
    Mutant("Mix-R without its uniform part", curvature, "inverse_slope_law", _two_of_three, ("S5.mix-r", "S5.quadratic-mix-r")),
    Mutant("best of K - 1", behaviours, "log_best_of", lambda standing, k: best_of(standing, k - 1.0), ("S10.best-of-k",)),
    Mutant("sampler that is biased to the reference", samplers.OnPolicy, "pair_law", _leaky, ("S11.own-draws",)),
    Mutant(
        "stop-gradient missing",
        samplers.Product,
        "pair_law",
        lambda self, p, x: product_law(x, x),
        ("S12.ipo", "S9.one-sided"),
    ),
    Mutant(
        "rates with the features not centred",
        explain,
        "log_linear_rates",
        lambda f, p, w: jnp.einsum("nd,d->n", f, jnp.einsum("ab,ad->d", w, f) - jnp.einsum("ab,bd->d", w, f)),
        ("L4.rates",),
    ),
    Mutant(
        "single pair the wrong way round",
        explain,
        "single_pair_rates",
        lambda f, p, a, b: -explain.log_linear_rates(f, p, jnp.zeros((len(f),) * 2).at[a, b].set(1.0)),
        ("L5.ches",),
    ),
    Mutant(
        "alignment model without the reference",
        policies.LogLinear,
        "log_probs",
        lambda self, x, r: simplex.normalize(jnp.einsum("nd,d->n", self.features, x)[None]),
        ("L1.gradient", "L4.rates"),
    ),
    Mutant(
        "chain rule with a token left out",
        sequences.SequenceSpace,
        "next_log_probs",
        lambda self, p: jnp.full((*p.shape[:-1], self.prefixes, 2), -jnp.log(2.0)),
        ("L6.chain-rule",),
    ),
    Mutant(
        "kernel sum without its weights",
        pair_sums,
        "kernel_sum",
        lambda k, u, v, w, **_: jax.nn.sigmoid(u[:, None] - v[None]).mean(-1),
        ("K1.kernel-sum",),
    ),
    Mutant(
        "product population keeps first wins only",
        comparisons.ProductPopulation,
        "mean_link",
        lambda self, link, a, b: self.written_out().mean_link(link, a, b) * 1.01,
        ("K1.products",),
    ),
    Mutant(
        "Bradley-Terry at twice the temperature",
        preferences.BradleyTerry,
        "matrix",
        lambda self, r: jax.nn.sigmoid(0.5 * preferences.reward_gaps(r)),
        ("D3.bradley-terry", "K2.quotient"),
    ),
    Mutant("floor in bits", landscape, "dpo_floor", _weaken(landscape.dpo_floor, lambda x: x / jnp.log(2.0)), ("F1.reached",)),
    Mutant("floor of one order", landscape, "bco_floor", lambda w, q: 2 * simplex.kl(w, q), ("F1.bco",)),
    Mutant("KLDO's floor the other way", landscape, "kldo_floor", _swapped(landscape.kldo_floor), ("F1.kldo-end",)),
    Mutant(
        "KLDO without its logarithm",
        objectives.Kldo,
        "batch_term",
        lambda self, seen, c: c.mean_rejected(self.beta * seen.log_ratio) - c.mean_chosen(self.beta * seen.log_ratio),
        ("F1.kldo-end",),
    ),
    Mutant("misfit of the ends exchanged", did, "power_law_misfit", _swapped(did.power_law_misfit), ("F2.pythagoras",)),
    Mutant(
        "HyPO keeps the whole reference",
        objectives.Hypo,
        "batch_term",
        lambda self, seen, c: c.mean_link(Link(jax.nn.softplus), -self.beta * seen.log_ratio, -self.beta * seen.log_ratio),
        ("F3.hypo",),
    ),
    Mutant(
        "covariance not centred",
        landscape,
        "gold_slope",
        lambda p, g, r: simplex.expectation(p, g * r),
        ("F5.turn",),
    ),
    Mutant(
        "SquaredPO's reward falls half as fast",
        objectives.SquaredPo,
        "chosen_reward",
        lambda self, seen: self.beta * seen.log_ratio * jnp.exp(-0.5 * seen.log_ratio),
        ("F7.branches", "F7.summit"),
    ),
    Mutant(
        "KLIEP with a steeper line",
        objectives.BpoKliep,
        "pair_link",
        lambda self: Link(lambda m: jnp.exp(-m) - 1.1 * m),
        ("F8.one-minimiser",),
    ),
    Mutant(
        "LSIF not halved",
        objectives.BpoLsif,
        "pair_link",
        lambda self: Link(lambda m: jnp.exp(-2.0 * m) - jnp.exp(m)),
        ("F8.one-minimiser", "F8.weight"),
    ),
    Mutant(
        "PRO forgets its regulariser",
        objectives.Pro,
        "batch_term",
        lambda self, seen, c: c.mean_rejected(seen.log_ratio) - c.mean_chosen(seen.log_ratio),
        ("F9.unseen",),
    ),
    Mutant(
        "segments with β squared",
        objectives.Adpo,
        "segment_rewards",
        lambda self, seen: self.beta * segments(self, seen),
        ("F10.segments",),
    ),
    Mutant(
        "Davidson's tie half as likely",
        preferences.Davidson,
        "outcomes",
        lambda self, gap: outcomes(type(self)(0.5 * self.tie), gap),
        ("F12.split", "F12.half-way"),
    ),
    Mutant(
        "users all alike in weight",
        preferences.Users,
        "matrix",
        lambda self, r: jax.nn.sigmoid(preferences.reward_gaps(self.rewards) ** 3).mean(0),
        ("F13.mixture",),
    ),
    Mutant(
        "IPO at half its aim",
        objectives.IpoSum,
        "pair_link",
        lambda self: Link(lambda m: jnp.square(m - 0.25 / self.beta)),
        ("F13.ipo",),
    ),
    Mutant(
        "GVPO with the policy's sign turned",
        objectives.Gvpo,
        "batch_term",
        lambda self, seen, c: simplex.cumulants(seen.log_ref, seen.reward + self.beta * seen.log_ratio)[..., 1],
        ("F14.one-minimiser",),
    ),
    Mutant("mirror step against the stream", dynamics, "mirror_step", _swapped(dynamics.mirror_step), ("F16.falls",)),
    Mutant(
        "exploitability of the average",
        dynamics,
        "exploitability",
        lambda p, game: jnp.max(game.mean(-1)) - 0.5,
        ("F16.nash",),
    ),
    Mutant(
        "win rate of the other side",
        dynamics,
        "win_rates",
        lambda p, game: game.T @ jnp.exp(p),
        ("F16.falls", "F17.policy-gradient"),
    ),
    Mutant(
        "advantage not standardised",
        dynamics,
        "grpo_step",
        lambda p, a, r, b: simplex.normalize(a + (r - simplex.expectation(p, r)) / b),
        ("F17.grpo",),
    ),
    Mutant(
        "recursion with the variance itself",
        dynamics,
        "success_recursion",
        lambda p, a, b: jax.nn.sigmoid(jax.scipy.special.logit(a) + 1.0 / (b * p * (1.0 - p))),
        ("F17.grpo",),
    ),
    Mutant(
        "values without β in front",
        landscape,
        "state_values",
        lambda s, r, x, b: values_of(s, r, x, b) / b,
        ("F18.credit", "F18.telescopes"),
    ),
]
