"""docs/extending.md does what it says: its examples run as printed, in turn, and what they add keeps the contracts."""

import json
import re
import sys
import types
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from contracts import assert_jit_and_vmap, assert_round_trip
from jax.test_util import check_grads

import didsim
from didsim import claims, objectives, policies, samplers, simplex
from didsim.figures import catalogue
from didsim.objectives.comparisons import comparisons_for
from didsim.policies.policy import POLICIES
from didsim.samplers.source import BEHAVIOURS

PAGE = (Path(__file__).parent.parent.parent / "docs" / "extending.md").read_text(encoding="utf-8")
pytestmark = pytest.mark.pages
REGISTRIES = (
    *(objectives.OBJECTIVES, samplers.SAMPLERS, BEHAVIOURS, POLICIES),
    *(claims.LEDGER, catalogue.FIGURES),
)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Runs the page once; gives its names, what it printed and its folder, and takes away what it registered."""
    before = [dict(registry) for registry in REGISTRIES]
    module = types.ModuleType("extending_page")
    sys.modules[module.__name__] = module
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("COLUMNS", "160")
        for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.S):
            exec(compile(block, module.__name__, "exec"), vars(module))
        yield module, folder
    for registry, old in zip(REGISTRIES, before, strict=True):
        registry.clear()
        registry.update(old)
    del sys.modules[module.__name__]


def test_the_objective_keeps_the_contract(page):
    module, _ = page
    objective, problem = module.Exponential(beta=0.4), module.world
    assert_round_trip(objective)
    logits = jnp.asarray(np.random.default_rng(0).normal(size=(1, 6)))
    parts = samplers.ChosenRejected(), didsim.worlds.preferences.AsShown(), problem.log_ref
    shown = comparisons_for(objective, problem, *parts)

    def value(logits):
        return objectives.loss(objective, problem, simplex.normalize(jnp.asarray(logits)), shown)

    assert_jit_and_vmap(value, (logits,), (2.0 * logits,))
    ratio = np.asarray(simplex.normalize(logits)[0] - problem.log_ref[0])
    weights = np.outer(np.exp(problem.log_chosen[0]), np.exp(problem.log_rejected[0]))
    by_hand = (weights * np.exp(-0.4 * (ratio[:, None] - ratio[None, :]))).sum()
    np.testing.assert_allclose(value(logits), by_hand, rtol=1e-12)
    check_grads(value, (logits,), order=1, modes=["rev"])


def test_the_sampler_gives_laws(page):
    module, _ = page
    law = module.EasyPairs(2.0).pair_law(module.world, module.world.log_ref)
    ref, reward = np.exp(module.world.log_ref[0]), np.asarray(module.world.reward[0])
    by_hand = np.outer(ref, ref) * (reward[:, None] - reward[None, :]) ** 2
    np.testing.assert_allclose(law.matrix()[0], by_hand / by_hand.sum(), rtol=1e-10)
    first, second = law.draw(jax.random.key(0), 500)
    assert not bool((first == second).any())  # equal responses are never shown


def test_the_policy_starts_at_the_reference(page):
    module, _ = page
    start = module.pairs.log_probs(module.pairs.init(module.world.log_ref), module.world.log_ref)
    np.testing.assert_allclose(start, module.world.log_ref, atol=1e-12)


def test_everything_is_found_by_name(page):
    module, _ = page
    assert type(module.mine.objective) is module.Exponential
    assert type(module.mine.sampler) is module.EasyPairs
    assert type(module.mine.policy) is module.Grouped
    assert dict(module.data["jsd_target"].sizes) == {"power": 3, "seed": 8, "record": module.data.sizes["record"]}


def test_the_figure_is_drawn_with_its_verdicts(page):
    module, folder = page
    (row,) = json.loads((folder / "mine" / "summary.json").read_text())
    assert row["id"] == "X1"
    assert [verdict["ok"] for verdict in row["verdicts"]] == [True, True]
    assert all((folder / "mine" / f"X1-assumed-beta{end}").stat().st_size > 0 for end in (".svg", ".png", ".nc", ".toml"))
    data = module.run(module.Config(n=5))
    assert [verdict.ok for verdict in module.verdicts(data.assign(measured=data["measured"] + 1e-3))] == [False, True]
    assert [verdict.ok for verdict in module.verdicts(data.assign(target=data["measured"]))] == [True, False]


def test_names_are_given_once(page):
    module, _ = page
    for again in (
        lambda: objectives.register(module.Exponential),
        lambda: samplers.register("easy_pairs")(module.EasyPairs),
        lambda: policies.register("grouped")(module.Grouped),
        lambda: claims.register(claims.LEDGER["mine.low"]),
        lambda: catalogue.register("X1", "again", "", "", "", module.__name__),
    ):
        with pytest.raises(ValueError, match="taken"):
            again()
