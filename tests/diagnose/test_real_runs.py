"""Are real small training runs named rightly?"""

import json

import jax.numpy as jnp
import numpy as np
import preference_logs as logs
import preference_runs
import pytest

from didsim import diagnose


@pytest.mark.parametrize("kind", ["healthy", "displaced", "wrong reference"])
def test_real_runs_are_named_rightly(runs, kind):
    found = diagnose.diagnose(runs[kind], beta=preference_runs.BETA)
    assert found.state == kind
    assert found.log.tracks.shape == (7, 100)
    assert bool(found.caution) == (kind == "wrong reference")
    json.dumps(found.dictionary, allow_nan=False)


def test_reference_draws_of_real_runs_fall_by_kl(runs):
    """Healthy: rejected responses are drawn from the reference; displaced: chosen ones.  There A = 1, elsewhere not (D10)."""
    for kind, drawn, other in (("healthy", "rejected", "chosen"), ("displaced", "chosen", "rejected")):
        found = logs.numbers(diagnose.diagnose(runs[kind], beta=preference_runs.BETA, drawn=drawn, level=0.999), "accounting")
        assert found[f"{drawn}: log A, level (nats)"].holds(0.0)
        assert not found[f"{other}: log A, level (nats)"].holds(0.0)
        assert found[f"{drawn}: change = log A - J (nats)"] < 0


def test_the_sample_is_such_a_run(sample, runs):
    made = [json.loads(line) for line in runs["displaced"].read_text().splitlines()]
    assert [row["example_id"] for row in made] == [row["example_id"] for row in sample]
    assert [list(row) for row in made] == [list(row) for row in sample]
    assert diagnose.diagnose(preference_runs.SAMPLE, beta=preference_runs.BETA).state == "displaced"
    assert preference_runs.SAMPLE.stat().st_size < 200_000


def test_precision_does_not_decide(runs):
    """Logs are NumPy in double precision; only weights go through JAX."""
    log = diagnose.read_log(runs["healthy"], beta=1.0)
    assert log.margin.dtype == np.float64
    assert jnp.asarray(log.margin).dtype == jnp.float64
