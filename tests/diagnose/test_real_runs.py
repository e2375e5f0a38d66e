"""Are real small training runs named rightly?"""

import json

import jax.numpy as jnp
import numpy as np
import preference_logs as logs
import preference_runs
import pytest
from sampling import picked, sampled

from didsim import cli, diagnose


# The displaced run is also the sample, and another run's weights as reference are a fault of `test_known_faults`.
@pytest.mark.parametrize("kind", picked(["healthy", "displaced", "wrong reference"], ["healthy"]))
def test_real_runs_are_named_rightly(real_run, kind):
    found = diagnose.diagnose(real_run(kind), beta=preference_runs.BETA)
    assert found.state == kind
    assert found.log.tracks.shape == (7, 100)
    assert bool(found.caution) == (kind == "wrong reference")
    json.dumps(found.dictionary, allow_nan=False)


def test_healthy_is_exit_0(real_run, capsys):
    assert cli.main(["diagnose", str(real_run("healthy")), "--beta", "1"]) == 0
    assert "healthy" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("kind", "drawn", "other"),
    sampled([("healthy", "rejected", "chosen"), ("displaced", "chosen", "rejected")], 2),
)
def test_reference_draws_of_real_runs_fall_by_kl(real_run, kind, drawn, other):
    """Healthy: rejected responses are drawn from the reference; displaced: chosen ones.  There A = 1, elsewhere not (D10)."""
    found = logs.numbers(diagnose.diagnose(real_run(kind), beta=preference_runs.BETA, drawn=drawn, level=0.999), "accounting")
    assert found[f"{drawn}: log A, level (nats)"].holds(0.0)
    assert not found[f"{other}: log A, level (nats)"].holds(0.0)
    assert found[f"{drawn}: change = log A - J (nats)"] < 0


@pytest.mark.slow
def test_the_sample_is_such_a_run(sample, real_run):
    made = [json.loads(line) for line in real_run("displaced").read_text().splitlines()]
    assert [row["example_id"] for row in made] == [row["example_id"] for row in sample]
    assert [list(row) for row in made] == [list(row) for row in sample]
    assert diagnose.diagnose(preference_runs.SAMPLE, beta=preference_runs.BETA).state == "displaced"
    assert preference_runs.SAMPLE.stat().st_size < 200_000


def test_precision_does_not_decide(real_run):
    """Logs are NumPy in double precision; only weights go through JAX."""
    log = diagnose.read_log(real_run("healthy"), beta=1.0)
    assert log.margin.dtype == np.float64
    assert jnp.asarray(log.margin).dtype == jnp.float64
