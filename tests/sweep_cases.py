"""One small sweep, in Python and as a file, that tests of stored sweeps and of their command share."""

from didsim import objectives, preferences, samplers, worlds
from didsim.dynamics import Run, Sgd
from didsim.sweeps.store import open_store

RUN = Run(
    worlds.RandomReward(n=4, prompts=2, beta=0.5),
    objectives.Dpo(0.5),
    samplers.Uniform(),
    preferences.BradleyTerry(),
    optimiser=Sgd(2.0),
    steps=10,
    records=4,
)
AXES = {
    "objective.beta": [0.3, 1.0],
    "sampler": {"uniform": samplers.Uniform(), "reference": samplers.ReferencePairs()},
    "optimiser.learning_rate": [0.5, 1.0, 2.0],
}
SWEEP = {"run": RUN, "axes": AXES, "seeds": [3, 7, 1], "width": 4}  # 2 programs of 18 lanes in 5 blocks, the last of 2
CONFIG = """
steps = 30
records = 5
seeds = 40
[world]
name = "random_target"
n = 4
[objective]
name = "dpo"
beta = 0.5
[axes]
"objective.beta" = [0.3, 0.5, 1.0]
"""


def assert_same_numbers(one, other):
    assert set(one.data_vars) == set(other.data_vars)
    for name in one.data_vars:
        assert one[name].dims == other[name].dims
        assert one[name].dtype == other[name].dtype
        assert one[name].values.tobytes() == other[name].values.tobytes(), name


def chunk(out, name="loss", block=1):
    return open_store(out).chunk_file(name, block)
