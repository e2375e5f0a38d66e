"""Ten thousand online runs as one file: sampler × K × quality of the reference × β × seeds, thinned to run here."""

import copy
import tomllib

import numpy as np
from online_runs import TEXT

from didsim.sweeps import grid, open_sweep, sweep
from didsim.sweeps.toml import sweep_from


def test_the_file_is_ten_thousand_runs_in_two_programs():
    run, axes, seeds = sweep_from(tomllib.loads(TEXT))
    cells = grid(run, axes, seeds)
    programs = cells.programs()
    assert len(programs) * cells.size == 10_000
    assert [type(program.sampler).__name__ for program in programs] == ["BestOfBase", "BestOfBoth"]
    assert all(program.sampler.follows_policy for program in programs)


def test_thinned_it_runs_resumes_and_orders_the_sides(tmp_path):
    table = copy.deepcopy(tomllib.loads(TEXT))
    table["seeds"], table["records"] = 4, 2
    table["axes"]["sampler.k"] = [1, 4]
    table["axes"]["world.reference_skill"] = [-0.8, 0.8]
    table["axes"]["objective.beta+world.beta"] = [1.0]
    run, axes, seeds = sweep_from(table)
    done = []
    data = sweep(run, axes, seeds=seeds, out=tmp_path / "store", width=8, progress=lambda now, total: done.append((now, total)))
    assert done[-1] == (4, 4)
    gap = data["value_gap"].isel(record=-1).transpose("sampler", "k", "reference_skill", "beta", "seed")
    np.testing.assert_allclose(gap.sel(k=1)[0], gap.sel(k=1)[1], rtol=1e-9)  # the best of one is a draw
    one, both = gap.sel(sampler="best_of_base"), gap.sel(sampler="best_of_both")
    weak_one, weak_both = (side.sel(k=4, reference_skill=-0.8) for side in (one, both))
    assert float((weak_both - weak_one).min()) > 0.0  # from a weak reference two sides improved are slower than one
    later = []
    again = sweep(run, axes, seeds=seeds, out=tmp_path / "store", width=8, progress=lambda now, total: later.append((now, total)))
    assert later == [(4, 4)]  # nothing is computed twice
    np.testing.assert_array_equal(again["value_gap"], open_sweep(tmp_path / "store")["value_gap"])
