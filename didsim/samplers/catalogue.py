"""Which samplers and behaviours can be asked for by name?"""

from collections.abc import Callable
from typing import TypeVar

from didsim.numerics import checks
from didsim.samplers import behaviours, combinators, curvature, offline, online, pairs, recipes
from didsim.samplers.rule import Sampler

SAMPLERS: dict[str, type[Sampler]] = {
    "uniform": offline.Uniform,
    "reference": offline.ReferencePairs,
    "chosen_rejected": offline.ChosenRejected,
    "optimal_rejected": recipes.OptimalRejected,
    "on_policy": online.OnPolicy,
    "mix_r": curvature.MixR,
    "mix_p": curvature.MixP,
    "mix_p_star": curvature.MixPStar,
    "half_tilted": recipes.HalfTilted,
    "best_of_base": recipes.BestOfBase,
    "best_of_both": recipes.BestOfBoth,
    "best_worst": pairs.BestWorst,
    "rank_pair": pairs.RankPair,
    "implicit_best_of": recipes.ImplicitBestOf,
    "tempered": recipes.Tempered,
    "top_p": recipes.Nucleus,
    "greedy": recipes.GreedyAgainst,
    "target_against": recipes.TargetAgainst,
    "rewrite": recipes.Rewrite,
    "xpo": recipes.Xpo,
    "geometric": recipes.GeometricMix,
    "hybrid": recipes.Hybrid,
    "pilaf": curvature.Pilaf,
    "rejection": recipes.Rejection,
    "independent": pairs.Independent,
    "product": offline.Product,
    "joint": offline.Joint,
    "blocks": offline.Blocks,
    "restrict": combinators.Restrict,
    "mix": combinators.Mix,
}

BEHAVIOURS: dict[str, type[behaviours.Behaviour]] = {
    "uniform": behaviours.FromUniform,
    "reference": behaviours.FromReference,
    "target": behaviours.FromTarget,
    "chosen": behaviours.FromChosen,
    "rejected": behaviours.FromRejected,
    "policy": behaviours.FromPolicy,
    "law": behaviours.FromLaw,
    "temper": behaviours.Temper,
    "tilt": behaviours.Tilt,
    "geometric": behaviours.Geometric,
    "top_p": behaviours.TopP,
    "greedy": behaviours.Greedy,
    "best_of": behaviours.BestOf,
    "ranked": behaviours.Ranked,
    "rejection_sampled": behaviours.RejectionSampled,
}
Rule = TypeVar("Rule", bound=type[Sampler] | type[behaviours.Behaviour])


def register(name: str) -> Callable[[Rule], Rule]:
    """Class decorator: makes a sampler or behaviour known by name to configs, sweeps and the command line.

    Raises:
        ArgumentError: another sampler, or another behaviour, has that name.
    """

    def add(rule: Rule) -> Rule:
        known: dict = SAMPLERS if issubclass(rule, Sampler) else BEHAVIOURS
        known[checks.own_name("name", name, known)] = rule
        return rule

    return add
