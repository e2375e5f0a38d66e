"""Would a fault in a room be seen?  Small faults put into the library one at a time, and the oracle that must notice each.

Every mutant changes one place of the source, and its check, which holds on the library as it is, must fail on the mutant.
"""

import inspect
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass

import jax
import pytest
from room_checks import (
    chances_of_ties,
    design_certificates,
    divergences_of_laws,
    entropy_of_draws,
    finite_samples,
    first_signals,
    labels_of_pairs,
    large_solver,
    laws_of_one_response,
    links_by_hand,
    matrices,
    mixtures_of_products,
    outcomes_of_claims,
    outcomes_of_figures,
    ranks_of_draws,
    rounds_as_maps,
    searches,
    sharp_minimisers,
    sums_over_pairs,
    tables_of_wins,
    ways_down,
    words_of_the_solver,
)

from didsim import preferences, simplex
from didsim.claims.ledger import Control, Finding
from didsim.did import estimators
from didsim.dynamics.iterated import endings, maps, stability
from didsim.figures import verdicts
from didsim.landscape import designs, finite_sample, rates, signal
from didsim.landscape.solvers import counts, krylov, newton
from didsim.numerics import linalg, search
from didsim.numerics.pair_sums import panels
from didsim.objectives import comparisons, divergences, inversion, links, shaped, tied
from didsim.samplers import behaviours, laws, ranks


@dataclass(frozen=True)
class Mutant:
    """A fault: the home of what is changed, its name, the text that goes and the text that comes, and who must notice."""

    home: object
    attribute: str
    old: str
    new: str
    check: Callable[[], None]

    @property
    def name(self) -> str:
        return f"{getattr(self.home, '__name__', self.home).split('.')[-1]}.{self.attribute}: {self.old} → {self.new}"


MUTANTS = [
    # The nine that no test had seen.
    Mutant(simplex, "renyi", "(rest <= 0)", "(rest < 0)", divergences_of_laws),
    Mutant(preferences.Threshold, "_decided", ">=", ">", labels_of_pairs),
    Mutant(behaviours.TopP, "log_law", "likelier < self.p", "likelier <= self.p", laws_of_one_response),
    Mutant(newton, "_judge", "eps**0.375, Status.CONVERGED", "eps**0.05, Status.CONVERGED", words_of_the_solver),
    Mutant(krylov, "newton_krylov", "jnp.sum(scale <= 0, -1)", "jnp.sum(scale < 0, -1)", large_solver),
    Mutant(designs, "design_bounds", "return e_bound", "return (1 - 1e-4) * e_bound", design_certificates),
    Mutant(panels, "panel_rule", "Rule(13, 76)", "Rule(13, 50)", sums_over_pairs),
    Mutant(maps, "NEWTON_STEPS", "200", "6", rounds_as_maps),
    Mutant(shaped.Dpop, "__init__", "50.0", "5.0", links_by_hand),
    # Numerics.
    Mutant(simplex, "jsd", "0.5 * jnp.sum(middle", "jnp.sum(middle", divergences_of_laws),
    Mutant(simplex, "jsd", "gap < 1.0, close, far", "gap < 0.0, close, far", divergences_of_laws),
    Mutant(simplex, "entropy", "-expectation", "expectation", divergences_of_laws),
    Mutant(simplex, "cumulants", "centred**3", "centred**2", divergences_of_laws),
    Mutant(simplex, "clr", "mean(-1", "max(-1", divergences_of_laws),
    Mutant(simplex, "jeffreys", "kl(log_q, log_p)", "kl(log_p, log_q)", divergences_of_laws),
    Mutant(panels, "panel_rule", "Rule(13, 76)", "Rule(8, 76)", sums_over_pairs),
    Mutant(linalg, "vanishing", "share * values", "1e14 * values", matrices),
    Mutant(linalg, "saddle_free_solve", "jnp.abs(values), ~null", "values, ~null", matrices),
    Mutant(linalg, "strongly_connected", "(n - 1).bit_length()", "0", matrices),
    Mutant(search, "conjugate_gradients", "residual - length", "residual + length", searches),
    Mutant(search, "longest_step", "2.0 * longest", "longest", searches),
    # The differential information distribution.
    Mutant(estimators, "self_normalised_entropy", "- jnp.sum", "+ jnp.sum", entropy_of_draws),
    Mutant(
        estimators, "log_normaliser", "math.log(log_weights.shape[-1])", "math.log(log_weights.shape[-1] - 1)", entropy_of_draws
    ),
    Mutant(estimators, "delta_error", "(k - 1.0)", "k", entropy_of_draws),
    # Worlds.
    Mutant(preferences.Ties, "matrix", "1.0 - lose", "1.0 + lose", labels_of_pairs),
    Mutant(preferences.Ties, "_outcomes", "-scaled - self.margin", "-scaled + self.margin", labels_of_pairs),
    # Ties (F12), from the labels to the loss.
    Mutant(preferences.Ties, "ties", "1.0 - win - lose", "1.0 - win", chances_of_ties),
    Mutant(preferences.Davidson, "ties", "[1]", "[0]", chances_of_ties),
    Mutant(preferences.Threshold, "ties", ">=", ">", chances_of_ties),
    Mutant(comparisons, "population", "0.5 * ties", "ties", chances_of_ties),
    Mutant(tied.DpoRk, "costs", "-2.0 *", "-1.0 *", chances_of_ties),
    Mutant(tied.DpoD, "costs", "0.5 * margin", "0.4 * margin", chances_of_ties),
    # Samplers.
    Mutant(behaviours.Temper, "log_law", "/ self.temperature", "* self.temperature", laws_of_one_response),
    Mutant(behaviours.RejectionSampled, "log_law", "base.dtype) - 1.0", "base.dtype)", laws_of_one_response),
    Mutant(ranks, "log_best_of", "k * jnp.log(upto)", "(k - 1.0) * jnp.log(upto)", ranks_of_draws),
    Mutant(ranks, "log_rank_of", "k - rank + 1.0", "k - rank + 2.0", ranks_of_draws),
    Mutant(ranks, "log_best_and_worst_of", "(k - 1.0) * _log(reach)", "(k - 2.0) * _log(reach)", ranks_of_draws),
    Mutant(ranks, "SHARE", "0.0625", "-1.0", ranks_of_draws),
    Mutant(ranks, "_fits", "above < first", "above <= first", ranks_of_draws),
    Mutant(laws.ProductMixture, "matrix", "second[:, k, None, :]", "first[:, k, None, :]", mixtures_of_products),
    # Objectives.
    Mutant(links, "ramp", "jnp.maximum(x, 0.0)", "jnp.maximum(x, -0.1)", links_by_hand),
    Mutant(links, "clip", "- bound", "", links_by_hand),
    Mutant(shaped.DiscoPop, "link", "rest * logistic(margin)", "logistic(margin)", links_by_hand),
    Mutant(shaped, "_reverse_kl", "jnp.log1p(-jnp.asarray(smoothing))", "0.0", links_by_hand),
    Mutant(divergences.JensenShannonDpo, "lowered", "jnp.log(-jnp.expm1(-depth))", "jnp.log(depth)", sharp_minimisers),
    Mutant(divergences, "lowered_power", "log_change) / size", "log_change) * size", sharp_minimisers),
    Mutant(divergences.ForwardKlDpo, "lowered", "jnp.log(drop)", "jnp.log(0.5 * drop)", sharp_minimisers),
    Mutant(inversion, "HALVINGS", "200", "8", sharp_minimisers),
    # Landscape.
    Mutant(newton, "_way_down", "falls[:, None]", "False", ways_down),
    Mutant(newton, "_way_down", "stuck[:, None]", "False", ways_down),
    Mutant(newton, "_least_of_pairs", "0.5 * apart", "apart", ways_down),
    Mutant(newton, "_through_widths", "& ~done[-1]", "& done[-1]", words_of_the_solver),
    Mutant(designs, "design_bounds", "trace**2", "trace", design_certificates),
    Mutant(counts, "fit_counts", "wins * off > 0", "wins * off >= 0", tables_of_wins),
    Mutant(signal, "first_gradient_signal", "0.5 * jnp.sum(law", "jnp.sum(law", first_signals),
    Mutant(signal, "_mixture_signal", "0.5 * mean", "mean", first_signals),
    Mutant(signal, "two_level_signal", " + two * (1.0 - one)", "", first_signals),
    Mutant(finite_sample, "score_covariance", " + (chance - fitted) ** 2", "", finite_samples),
    Mutant(rates, "best_step", "2.0 / (", "1.0 / (", finite_samples),
    # Dynamics.
    Mutant(maps, "dpo_fit", " & linalg.strongly_connected(beaten)", "", rounds_as_maps),
    Mutant(maps, "_round", "(1.0 - iteration.mixing)", "iteration.mixing", rounds_as_maps),
    Mutant(stability, "cycle_multiplier", "math.sqrt(3.0)", "3.0", rounds_as_maps),
    Mutant(endings, "_turning", "(peak + jnp", "(1 + peak + jnp", rounds_as_maps),
    # Figures and claims.
    Mutant(verdicts, "below", "np.max", "np.min", outcomes_of_figures),
    Mutant(verdicts, "above", "np.min", "np.max", outcomes_of_figures),
    Mutant(verdicts, "must_break", "np.min", "np.max", outcomes_of_figures),
    Mutant(Control, "ok", "self.trial.violating > 0 and ", "", outcomes_of_claims),
    Mutant(Finding, "holds", "self.worst, *", "*", outcomes_of_claims),
]
CHECKS = list(dict.fromkeys(mutant.check for mutant in MUTANTS))
CHEAP = [outcomes_of_figures, outcomes_of_claims]
QUICK = [*CHEAP, labels_of_pairs, links_by_hand]
FIRST = {mutant.check: mutant for mutant in reversed(MUTANTS)}


def is_quick(mutant: Mutant) -> bool:
    return mutant.check in CHEAP or (mutant.check in QUICK and mutant is FIRST[mutant.check])


def mutated(mutant: Mutant):
    """The attribute as the changed source makes it; a plain number is changed itself."""
    found = inspect.getattr_static(mutant.home, mutant.attribute)
    if isinstance(found, (int, float)):
        assert str(found) == mutant.old
        return type(found)(float(mutant.new))
    if mutant.attribute == "__init__":

        def init(self, *args, **kwargs):
            found(self, *args, **{"penalty": float(mutant.new)} | kwargs)

        return init
    plain = found.fget if isinstance(found, property) else inspect.unwrap(found)
    source = textwrap.dedent(inspect.getsource(plain))
    assert mutant.old in source, f"{mutant.name}: the source has changed"
    names = dict(vars(sys.modules[plain.__module__]))
    exec(compile(source.replace(mutant.old, mutant.new, 1), "<mutant>", "exec"), names)
    return names[mutant.attribute]


def places(mutant: Mutant) -> list[object]:
    """All modules that hold the function under its name, or the class."""
    if inspect.isclass(mutant.home):
        return [mutant.home]
    found = getattr(mutant.home, mutant.attribute)
    modules = [module for name, module in sys.modules.items() if name.startswith("didsim")]
    return [module for module in modules if vars(module).get(mutant.attribute) is found]


@pytest.fixture
def fresh():
    """No compiled program of the faulty library outlives its test."""
    jax.clear_caches()
    yield
    jax.clear_caches()


def test_there_are_forty_more():
    assert len(MUTANTS) >= 40
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


def test_every_mutant_is_still_of_this_source():
    """A mutant whose line has moved or changed is seen at once, not when the slow tests next run."""
    for mutant in MUTANTS:
        assert mutated(mutant) is not None


@pytest.mark.parametrize("check", [pytest.param(c, id=c.__name__, marks=() if c in QUICK else pytest.mark.slow) for c in CHECKS])
def test_oracles_hold_on_the_library_as_it_is(check):
    check()


@pytest.mark.parametrize("mutant", [pytest.param(m, id=m.name, marks=() if is_quick(m) else pytest.mark.slow) for m in MUTANTS])
def test_mutant_is_caught(mutant, monkeypatch, fresh):
    wrong = mutated(mutant)
    for place in places(mutant):
        monkeypatch.setattr(place, mutant.attribute, wrong)
    with pytest.raises(AssertionError):
        mutant.check()
