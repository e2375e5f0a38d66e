"""Does the playground's JavaScript say what didsim says: laws, loss, gradient, one step, floor, misfit, minimiser, run, field?"""

import contextlib

import jax.numpy as jnp
import numpy as np
import pytest
from browsing import BROWSER
from playground_states import (
    OBJECTIVES,
    SAMPLERS,
    expected,
    gradients_at_minimisers,
    minimisers,
    random_states,
    stacked,
    world_of,
    worlds,
    worst,
)
from sampling import sampled

from didsim import explain, triangle
from didsim.landscape.solvers import Status
from didsim.teaching import playground

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium or google-chrome found: the page is not computed")

CLOSE = 1e-9  # both are double precision on three responses; what is seen is below 1e-13
STATES = 500
READINGS = "states => states.map(playground.readings)"
EVERY_PAIR = len(OBJECTIVES) * len(SAMPLERS)


@pytest.fixture(scope="module")
def states():
    return random_states(STATES, seed=0)


@pytest.fixture(scope="module")
def wanted(states):
    return expected(states)


@pytest.fixture(scope="module")
def readings(browser, states):
    return computed(browser, playground.render(), READINGS, states)


def computed(browser, html, script, argument):
    """What a script answers on a page; a page that was changed is allowed to run although its digest is another one."""
    with contextlib.closing(browser.new_context(bypass_csp=True)) as context:
        page = context.new_page()
        page.set_content(html)
        page.wait_for_function("globalThis.playground")
        return page.evaluate(script, argument)


def test_the_page_has_these_losses_and_pairs(browser):
    names = computed(browser, playground.render(), "() => [playground.objectives, playground.samplers].map(Object.keys)", None)
    assert names == [list(OBJECTIVES), list(SAMPLERS)]


def test_every_number_agrees(states, readings, wanted):
    assert {(state["objective"], state["sampler"]) for state in states} == {(o, s) for o in OBJECTIVES for s in SAMPLERS}
    found = worst(readings, wanted)
    assert len(found) == 14
    assert {name: (off, states[k]) for name, (off, k) in found.items() if off > CLOSE} == {}


def test_the_gradient_vanishes_at_every_minimiser(states, readings):
    found = gradients_at_minimisers(states, readings)
    assert len(found) > 0.7 * STATES
    assert {k: (off, states[k]) for k, off in found.items() if off > CLOSE} == {}


def test_a_minimiser_is_no_higher_than_the_start(states, readings):
    compared = 0
    for state, reading in zip(states, readings, strict=True):
        if reading["atLeast"] and state["sampler"] != "on_policy":  # there the pairs change with the policy
            assert reading["atLeast"]["loss"] <= reading["loss"] + 1e-12, state
            compared += 1
    assert compared > 0.6 * STATES


@pytest.mark.slow
@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("follows", [False, True], ids=["fixed pairs", "own pairs"])
def test_minimisers_are_the_solvers(states, readings, name, follows):
    """The same kind of answer, a point, a line or none, and the same law."""
    places = [k for k, s in enumerate(states) if s["objective"] == name and (s["sampler"] == "on_policy") == follows]
    rows = stacked([states[k] for k in places])
    world, shown, _ = worlds(rows)
    found = minimisers(name, follows, rows, world, shown)
    for j, k in enumerate(places):
        least, status = readings[k]["least"], Status(int(found.status[j, 0]))
        assert least["kind"] == kind(status, int(found.undetermined[j, 0])), (states[k], status)
        if least["kind"] != "none":
            np.testing.assert_allclose(np.exp(least["law"]), np.exp(found.log_policy[j, 0]), rtol=0, atol=CLOSE)


def kind(status: Status, undetermined: int) -> str:
    if status not in (Status.CONVERGED, Status.NOT_UNIQUE):
        return "none"
    return ("point", "line", "all")[undetermined]


# What is changed in the script, and a number that must then be wrong.
FAULTS = {
    "entropy without its sign": ("entropy = (law) => -mean", "entropy = (law) => mean", "DID entropy"),
    "the DID the wrong way up": ("normalize(minus(law, ref))", "normalize(minus(ref, law))", "q"),
    "the best of three draws": ("BEST_OF = 4", "BEST_OF = 3", "loss"),
    "rejected on the wrong side": ("place - beta)", "place + beta)", "rejected"),
    "labels of the pair shown second": ("mu[b][a] * (1 - wins(b, a))", "mu[b][a] * (1 - wins(a, b))", "loss"),
    "IPO's margin twice": ("squared(m, 0.5 / beta)", "squared(m, 1 / beta)", "loss"),
    "a normaliser forgotten": ("slope - mass[y] * total", "slope", "gradient"),
    "a step uphill": ("x - rate * gradient[y]", "x + rate * gradient[y]", "after"),
    "KTO without its divergence": ("one.divergence = kl(policy, world.ref)", "one.divergence = 0", "loss"),
    "a floor of one-way pairs": ("Math.log1p(nu[b][a] / mass)", "Math.log1p(nu[a][b] / mass)", "floor"),
    "misfit at the wrong place": ("gamma: gamma / width", "gamma: gamma", "gamma"),
    "changes of the wrong side": ("chosen: dot(chosenMass(nu)", "chosen: dot(rejectedMass(nu)", "chosen change"),
}  # fmt: skip


@pytest.mark.parametrize("fault", sampled(FAULTS, 12))
def test_a_planted_fault_is_seen(browser, states, wanted, fault):
    *change, name = FAULTS[fault]
    found = worst(computed(browser, changed(*change), READINGS, states[:EVERY_PAIR]), wanted[:EVERY_PAIR])
    assert found[name][0] > 1e-3


def test_a_wrong_minimiser_is_seen(browser, states):
    html = changed("tilt(world.ref, world.reward, 1 / beta);", "tilt(world.ref, world.reward, 1);")
    found = computed(browser, html, READINGS, states)
    off = gradients_at_minimisers(states, found)
    assert max(off.values()) > 1e-3
    assert {states[k]["objective"] for k, value in off.items() if value > CLOSE} == {"dpo", "rebel", "rlhf"}  # and only they


def changed(before, after):
    """The page with a piece of its script exchanged, which must be there once."""
    html = playground.render()
    assert html.count(before) == 1
    return html.replace(before, after)


@pytest.mark.parametrize(("objective", "sampler"), sampled([("orpo", "on_policy"), ("dpo", "chosen_rejected")], 2))
def test_run_field_and_one_step(browser, states, objective, sampler):
    """The whole run, the field, one step and the condition number, from didsim's own functions for them."""
    state = next(s for s in states if (s["objective"], s["sampler"]) == (objective, sampler) and s["start"]) | {"rate": None}
    row = {key: jnp.asarray(value) for key, value in stacked([state]).items()}
    of = {key: value[0] for key, value in row.items()}
    world, loss = world_of(of), OBJECTIVES[objective](float(of["loss_beta"]), float(of["extra"]))
    parts = world, loss, *SAMPLERS[sampler]
    points = [[0.2, 0.3, 0.5], [0.7, 0.2, 0.1], [0.05, 0.05, 0.9]]
    script = """([state, points]) => {
      const found = playground.readings(state);
      const field = points.map((law) => playground.motion(found.problem, law.map(Math.log)));
      return { found, field, run: playground.run(found, 2000) };
    }"""
    got = computed(browser, playground.render(), script, [state, points])
    np.testing.assert_allclose(got["field"], triangle.motion(*parts, np.array(points)), rtol=0, atol=CLOSE)
    (run,) = triangle.follow(*parts, np.asarray(of["start"])[None], steps=2000)
    mine = {record["step"]: record for record in got["run"]["records"]}
    shared = [k for k, step in enumerate(np.asarray(run.steps).tolist()) if step in mine and step < 2000]
    assert len(shared) > 10
    for k in shared:
        record = mine[int(run.steps[k])]
        np.testing.assert_allclose(np.exp(record["policy"]), run.metrics["law"][k, 0], rtol=0, atol=CLOSE)
        names = ("loss", "chosen_change", "rejected_change")
        np.testing.assert_allclose(
            [record["loss"], record["chosen"], record["rejected"]], [run.metrics[name][k] for name in names], rtol=0, atol=CLOSE
        )
    start = jnp.log(of["start"])[None]
    step = explain.explain(*parts, params=start, step=got["found"]["rate"])
    np.testing.assert_allclose(np.asarray(got["found"]["after"]) - np.asarray(start[0]), step.realised[0], rtol=0, atol=CLOSE)


def test_the_condition_number_is_that_of_the_laplacian(states, readings):
    """κ of DPO at its end, from the graph Laplacian with weights (μ_ab + μ_ba) σ'(r_a - r_b) in plain NumPy (S4)."""
    seen = 0
    for state, reading in zip(states, readings, strict=True):
        if state["objective"] == "dpo" and state["sampler"] in ("uniform", "reference"):
            side = np.full(3, 1 / 3) if state["sampler"] == "uniform" else np.asarray(state["ref"]) / sum(state["ref"])
            gap = np.subtract.outer(*[np.asarray(reading["world"]["reward"])] * 2)
            weights = 2 * np.outer(side, side) / (2 + 2 * np.cosh(gap))
            values = np.linalg.eigvalsh(np.diag(weights.sum(1)) - weights)
            np.testing.assert_allclose(reading["atLeast"]["condition"], values[2] / values[1], rtol=1e-8)
            seen += 1
    assert seen > 10
