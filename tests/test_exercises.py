"""Exercises: right answers by plain NumPy pass, typical wrong ones are told what to look at, others get a clear sentence."""

import numpy as np
import pytest

from didsim import exercises
from didsim.checks import ArgumentError
from didsim.exercises.exercise import Exercise, Slip

REF, TARGET = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])


def law(weights):
    return np.asarray(weights) / np.sum(weights)


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x)))


def kl(p, q):
    return np.sum(p * np.log(p / q))


def margins(beta, rate, steps=40):
    """Implicit rewards while DPO descends on uniform pairs of three responses, by loops over pairs."""
    reward, theta, seen = np.array([0.0, 0.3, 0.6]), np.zeros(3), []
    for _ in range(steps):
        slope = np.zeros(3)
        for a in range(3):
            for b in range(3):
                pull = beta * (sigmoid(reward[a] - reward[b]) - sigmoid(beta * (theta[a] - theta[b]))) / 9
                slope[a], slope[b] = slope[a] + pull, slope[b] - pull
        theta = theta + rate * slope
        seen.append(beta * (theta - theta.mean()))
    return np.array(seen)


def same_margins():
    """Learning rate at β = 0.5 that follows β = 0.1 at 1.5 closest, of a fine grid."""
    wanted, rates = margins(0.1, 1.5), np.linspace(0.01, 0.3, 291)
    return rates[np.argmin([np.abs(margins(0.5, rate) - wanted).max() for rate in rates])]


def ends_from_reference(beta=0.5):
    ref = np.array([0.6, 0.3, 0.1])
    return kl(law(ref * np.exp(np.array([0.0, 0.3, 0.6]) / beta)), ref)


def entropy(p):
    return -np.sum(p * np.log(p))


def lower_did_entropy():
    ref = np.array([0.32, 0.32, 0.32, 0.04])
    sharp, flat = (entropy(law(ref**power)) for power in (0.25, -0.25))
    return "sharpening" if sharp < flat else "flattening"


def draws_for_a_hundred():
    p, ref = np.array([0.4, 0.3, 0.3]), np.array([0.1, 0.3, 0.6])
    return 100 * np.sum(law(p / ref) ** 2 / p)


def chosen_change(beta):
    ref, target = np.array([0.25, 0.75]), np.array([0.5, 0.5])
    chosen = law(ref * (target / ref) ** beta)
    return np.sum(chosen * np.log(target / ref))


def first_divergence():
    """2/λ of IPO's curvature on the chain a-b-c, the second differences of the loss itself."""
    hessian = 2 * 0.5 * (np.outer([1, -1, 0], [1, -1, 0]) + np.outer([0, 1, -1], [0, 1, -1]))
    return 2 / np.linalg.eigvalsh(hessian)[-1]


# One entry per exercise, by formulas that import nothing of didsim.
KEY = {
    "01.a": lambda: law(REF * (REF / TARGET) ** 0.5),
    "06.a": same_margins,
    "06.b": ends_from_reference,
    "07.a": lower_did_entropy,
    "07.b": lambda: 46**2 / (4 + 16 + 64 + 256 + 256),
    "07.c": draws_for_a_hundred,
    "08.a": lambda: chosen_change(0.25),
    "08.b": lambda: 1 + np.log(np.log(1.5) / np.log(2)) / np.log(3),
    "09.a": lambda: 9,
    "09.b": first_divergence,
}

# Answers that people give, and a word that what they are told must hold.
WRONG = [
    ("01.a", law(REF * (REF / TARGET)), "β = 1"),
    ("01.a", law(REF * (TARGET / REF) ** 0.5), "way up"),
    ("01.a", TARGET, "itself"),
    ("01.a", REF, "power law"),
    ("01.a", -law(REF * (REF / TARGET) ** 0.5), "sign"),
    ("01.a", np.log(law(REF * (REF / TARGET) ** 0.5)), "logarithms"),
    ("01.a", REF * (REF / TARGET) ** 0.5, "sums to one"),
    ("06.a", 1.5 * 0.2, "clock"),
    ("06.a", 1.5 * 25, "upside down"),
    ("06.b", ends_from_reference(1.0), "β = 1"),
    ("06.b", ends_from_reference(2.0), "divided"),
    ("07.a", "sharpening", "skewed"),
    ("07.b", 1 / (0.25 + 0.0625 + 0.015625 + 2 * 0.00390625), "one over"),
    ("07.b", 5, "number of draws"),
    ("07.c", 100, "less than one"),
    ("08.a", chosen_change(0.0), "averaged over π_ref"),
    ("08.a", -chosen_change(0.25), "sign"),
    ("08.b", 1, "start earlier"),
    ("09.a", 8, "two programs"),
    ("09.a", 960, "Those are the runs"),
    ("09.b", 2 * first_divergence(), "second derivative"),
    ("09.b", first_divergence() / 2, "one step"),
]


def test_the_key_has_every_exercise():
    assert set(KEY) == set(exercises.EXERCISES)


@pytest.mark.parametrize("id", KEY)
def test_the_right_answer_passes(id):
    verdict = exercises.check(id, KEY[id]())
    assert verdict.ok, verdict.message
    assert str(verdict) == f"{id}: right."


@pytest.mark.parametrize("id", KEY)
def test_a_perturbed_answer_does_not_pass(id):
    right, within = KEY[id](), exercises.EXERCISES[id].within
    if isinstance(right, str):
        off = next(word for word in exercises.EXERCISES[id].choices if word != right)
    else:
        off = np.asarray(right, float) + 1.5 * within
    assert not exercises.check(id, off)
    assert exercises.check(id, off).message.startswith(f"{id}: wrong. ")


@pytest.mark.parametrize(("id", "answer", "said"), WRONG, ids=lambda value: value if isinstance(value, str) else "")
def test_a_typical_wrong_answer_is_told_where_to_look(id, answer, said):
    verdict = exercises.check(id, answer)
    assert not verdict
    assert verdict.message.startswith(f"{id}: wrong. ")
    assert said in verdict.message


@pytest.mark.parametrize("id", KEY)
def test_every_slip_is_far_from_the_right_answer(id):
    exercise = exercises.EXERCISES[id]
    for slip in exercise.slips:
        assert exercises.check(id, slip.answer()).message == f"{id}: wrong. {slip.hint}"


@pytest.mark.parametrize("id", KEY)
def test_no_hint_gives_the_answer_away(id):
    exercise = exercises.EXERCISES[id]
    right = exercise.answer()
    if isinstance(right, str):
        return
    for value in np.ravel(np.asarray(right)):
        said = [f"{value:.2f}", f"{value:.3f}"] if value != round(float(value)) else []
        for text in (exercise.hint, *(slip.hint for slip in exercise.slips)):
            assert not any(number in text for number in said)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ([0.5, 0.5], "01.a: the answer is 3 numbers, but yours is 2 numbers."),
        (0.5, "01.a: the answer is 3 numbers, but yours is one number."),
        (np.zeros((2, 3)), "01.a: the answer is 3 numbers, but yours is an array of shape (2, 3)."),
        ("half", "01.a: the answer is 3 numbers, but yours is 'half'."),
        ([[1], [1, 2]], "01.a: the answer is 3 numbers, but yours is [[1], [1, 2]]."),
        ([True, False, True], "01.a: the answer is 3 numbers, but yours is [True, False, True]."),
        ([0.5, np.nan, 0.5], "01.a: the answer is finite, but yours holds NaN or infinity."),
    ],
)
def test_an_answer_of_the_wrong_kind_gets_a_sentence(answer, said):
    verdict = exercises.check("01.a", answer)
    assert not verdict.ok
    assert verdict.message == said


def test_no_answer_shows_the_question():
    assert exercises.question("01.a") in exercises.check("01.a").message
    assert exercises.check("01.a", ...).message.startswith("01.a: not answered yet. ")


def test_an_axis_for_the_prompt_is_welcome():
    assert exercises.check("01.a", KEY["01.a"]()[None, :])


def test_words(monkeypatch):
    slip = Slip(lambda: "stays", "It moves.")
    words = Exercise("99.z", "Does it rise?", lambda: "falls", "Look again.", (slip,), choices=("rises", "falls", "stays"))
    monkeypatch.setitem(exercises.EXERCISES, "99.z", words)
    assert exercises.check("99.z", " Falls ")
    assert exercises.check("99.z", "rises").message == "99.z: wrong. Look again."
    assert exercises.check("99.z", "stays").message == "99.z: wrong. It moves."
    for odd in ("up", 1.0):
        assert exercises.check("99.z", odd).message.startswith("99.z: the answer is one of the words rises, falls, stays, but")


@pytest.mark.parametrize("id", ["01.aa", "1.a", "01-a"])
def test_an_unknown_exercise_suggests_one(id):
    with pytest.raises(ArgumentError, match=r"Argument `id` must be one of .* Did you mean '\d\d\.[a-z]'\?"):
        exercises.check(id, 0.0)
