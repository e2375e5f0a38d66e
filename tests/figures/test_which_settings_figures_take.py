"""Which numbers may a figure be drawn with, and are they written down?"""

import pytest
from small_figures import SMALL, numbers

import didsim
from didsim.figures.settings import configure, to_toml


@pytest.mark.parametrize("id", [id for id, changes in SMALL.items() if changes])
def test_configs_write_themselves(id):
    text = to_toml(configure(numbers(id).Config, SMALL[id], fast=True, seed=None))
    name, value = next(iter(SMALL[id].items()))
    assert f"{name} = {value}\n" in text


@pytest.mark.parametrize(
    ("id", "changes", "message"),
    [
        ("A1", {"learning_rate": "nan"}, "`learning_rate` must be valid .input should be a finite number"),
        ("A2", {"stops": "6"}, r"^Argument `--set` must be valid .stops must be odd.*, but is stops=6\.$"),
        ("A1", {"objectives": "dpo,simpo γ>1"}, r"^Argument `objectives` must be one of .*, but is 'simpo γ>1'"),
        ("A5", {"places": "1.0,0.5"}, "places must be two rising numbers"),
        ("A5", {"betas": "-0.5,1.0"}, "betas must be positive"),
        ("B1", {"blocks": "0.9,0.9"}, "blocks must"),
        ("B6", {"seeds": "3"}, "`seeds` must be valid .input should be greater than or equal to 4"),
    ],
)
def test_figures_refuse_numbers_without_meaning(id, changes, message):
    with pytest.raises(didsim.ArgumentError, match=message):
        configure(numbers(id).Config, changes, fast=True, seed=None)
