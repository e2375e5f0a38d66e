"""How wide are the blocks of a sweep?"""

from didsim import objectives, preferences, samplers, worlds
from didsim.dynamics import Rounds, Run
from didsim.sweeps import grid
from didsim.sweeps.width import TEMPORARIES, default_width, largest_arrays


def test_widths_follow_from_the_sizes_of_the_arrays():
    def sized(n, pairs=None, **more):
        data = (samplers.Uniform(), preferences.BradleyTerry())
        return Run(worlds.RandomTarget(n=n), objectives.Dpo(0.5), *data, pairs=pairs, **more)

    step, at_all = largest_arrays(sized(64))
    assert step <= at_all
    few, many = (default_width(grid(sized(n), {}, 100_000)) for n in (256, 8))
    assert 1 <= few < many == 1021  # 98 even blocks of at most 1,024
    assert default_width(grid(sized(8), {}, 10)) == 10
    lean = default_width(grid(sized(64), {}, 100_000), memory=100 * TEMPORARIES * at_all)
    assert lean <= 100
    assert default_width(grid(sized(64), {}, 100_000), memory=1) == 1
    assert largest_arrays(sized(64, pairs=4))[0] < largest_arrays(sized(64, pairs=4))[1]  # drawn pairs in the steps only
    assert largest_arrays(sized(64, rounds=Rounds(inner=20)))[0] == step
    every_step = [largest_arrays(sized(64, steps=steps, records=10**6))[0] for steps in (10, 10_000)]
    assert every_step[0] == every_step[1] >= step  # the look is part of the step, what was recorded before is not
