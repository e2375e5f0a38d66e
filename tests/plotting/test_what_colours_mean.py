"""Does a meaning keep one colour everywhere, known or new?"""

import re

import pytest

from didsim.plotting import KINDS, MEANING, colour_of, colours_of


def test_a_name_in_two_kinds_has_one_colour():
    for name, colour in MEANING.items():
        assert {kind[name] for kind in KINDS.values() if name in kind} == {colour}, name
    assert all(re.fullmatch("#[0-9A-F]{6}", colour) for colour in MEANING.values())


@pytest.mark.parametrize(
    ("name", "meaning"),
    [("dpo:beta=0.5", "dpo"), ("Dpo(beta=0.5)", "dpo"), ("ipo[token_mean]", "ipo"), ("mix_p_star", "mix-P*")],
)  # fmt: skip
def test_settings_and_spelling_do_not_change_a_colour(name, meaning):
    assert colour_of(name) == MEANING[meaning]


def test_new_names_have_a_colour_of_their_own_that_stays():
    first = colour_of("a loss of my own")
    assert first == colour_of("a loss of my own")
    assert len({colour_of(f"loss {number}") for number in range(40)}) > 8  # not one grey for all


def test_names_side_by_side_are_told_apart():
    names = ["dpo:beta=0.1", "dpo:beta=1", "mine", "yours", "simpo", "simpo[gamma_ratio]", "cdpo"]
    given = colours_of(names)
    assert list(given) == names
    assert len(set(given.values())) == len(names)
    assert given["dpo:beta=0.1"] == MEANING["dpo"]
    assert len(colours_of([str(number) for number in range(30)])) == 30  # more than there are colours
