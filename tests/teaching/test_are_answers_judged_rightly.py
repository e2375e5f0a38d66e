"""Are answers to exercises judged rightly: right ones by plain NumPy pass, wrong ones are told what to look at in a sentence?"""

import numpy as np
import pytest

from didsim import exercises
from didsim.numerics.checks import ArgumentError
from didsim.teaching.exercise import Exercise, Slip

REF, TARGET = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])


def law(weights):
    return np.asarray(weights) / np.sum(weights)


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x)))


def kl(p, q):
    return np.sum(p * np.log(p / q))


def least(loss):
    """Margin of the least loss, on a fine grid."""
    grid = np.linspace(-10, 10, 200_001)
    return grid[np.argmin(loss(grid))]


def flipped_loss(m, rate):
    """Mean DPO loss at margin m of a pair that is 2 nats apart, each label turned over with chance ``rate``."""
    right = (1 - rate) * sigmoid(2) + rate * sigmoid(-2)
    return -right * np.log(sigmoid(m)) - (1 - right) * np.log(sigmoid(-m))


def last_with_a_minimum():
    """Largest chance of winning at which robust DPO's loss, ε = 0.1, is higher far out than before."""

    def loss(m, p):
        return sum(w * (-0.9 * np.log(sigmoid(s * m)) + 0.1 * np.log(sigmoid(-s * m))) for w, s in ((p, 1), (1 - p, -1)))

    return max(p for p in np.linspace(0.5, 1, 1001) if loss(30.0, p) > loss(20.0, p) + 1e-9)


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


def cumulant_slope(place, ref, target):
    """Λ' by a difference of Λ itself."""
    cumulant = [np.log(np.sum(ref * (target / ref) ** (place + shift))) for shift in (-1e-5, 1e-5)]
    return (cumulant[1] - cumulant[0]) / 2e-5


def chosen_stops_falling():
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        falls = cumulant_slope(middle, np.array([0.7, 0.2, 0.1]), np.array([0.2, 0.2, 0.6])) < 0
        low, high = (middle, high) if falls else (low, middle)
    return low


def who_falls():
    rises = [cumulant_slope(place, np.array([0.7, 0.2, 0.1]), np.array([0.2, 0.2, 0.6])) > 0 for place in (0.25, -0.25)]
    return ["both fall", "only rejected falls", "both rise"][sum(rises)]


def suited_reference():
    good = []
    for name, ref in (("uneven", np.array([0.6, 0.3, 0.1])), ("uniform", np.full(3, 1 / 3))):
        target = law(ref * np.exp(np.array([0.0, 0.5, 1.0]) / 0.5))
        good += [name] if np.allclose(law(target / ref), target) else []
    return "both" if len(good) == 2 else good[0] if good else "neither"


def unseen_after_descent():
    """The fourth's mass after many steps of gradient descent on pairs of the first three."""
    theta, reward = np.log([0.4, 0.3, 0.2, 0.1]), np.array([0.0, 1.0, 2.0])
    ref = theta.copy()
    for _ in range(4000):
        implicit = (theta - ref)[:3]
        gap = sigmoid(reward[:, None] - reward) - sigmoid(implicit[:, None] - implicit)
        theta[:3] += 2 * gap.sum(1) / 9
    return law(np.exp(theta))[3]


def fewest_further_pairs():
    """Joins groups one pair at a time until one is left."""
    groups, added = [{0, 1}, {2, 3}, {4}, {5}], 0
    while len(groups) > 1:
        groups, added = [groups[0] | groups[1], *groups[2:]], added + 1
    return added


def best_k():
    signals = []
    for k in range(1, 30):
        good = 1 - 0.8**k
        signals.append(sum(p * q * abs(a - b) for a, p in ((1, good), (0, 1 - good)) for b, q in ((1, good), (0, 1 - good))))
    return 1 + int(np.argmax(signals))


def condition():
    """κ from second differences of the population loss."""
    reward = np.array([0.0, 1.0, 3.0])

    def loss(theta):
        wins = sigmoid(reward[:, None] - reward)
        return -np.sum(wins * np.log(sigmoid(theta[:, None] - theta)) / 9 * 2)

    h, eye = 1e-4, np.eye(3)
    bend = [[(loss(reward + h * (a + b)) - loss(reward + h * (a - b)) - loss(reward - h * (a - b)) + loss(reward - h * (a + b)))
             / (4 * h * h) for a in eye] for b in eye]  # fmt: skip
    values = np.linalg.eigvalsh(bend)
    return values[2] / values[1]


# One entry per exercise, by formulas that import nothing of didsim.
KEY = {
    "01.a": lambda: law(REF * (REF / TARGET) ** 0.25),
    "02.a": lambda: law((TARGET / REF) ** 0.5),
    "02.b": suited_reference,
    "03.a": chosen_stops_falling,
    "03.b": who_falls,
    "04.a": unseen_after_descent,
    "04.b": fewest_further_pairs,
    "05.a": best_k,
    "05.b": condition,
    "06.a": same_margins,
    "06.b": ends_from_reference,
    "07.a": lower_did_entropy,
    "07.b": lambda: 46**2 / (4 + 16 + 64 + 256 + 256),
    "07.c": draws_for_a_hundred,
    "08.a": lambda: chosen_change(0.25),
    "08.b": lambda: 1 + np.log(np.log(1.5) / np.log(2)) / np.log(3),
    "09.a": lambda: 9,
    "09.b": first_divergence,
    "10.a": lambda: least(lambda m: flipped_loss(m, 0.1)),
    "10.b": last_with_a_minimum,
}

# Answers that people give, and a word that what they are told must hold.
WRONG = [
    ("01.a", lambda: law(REF * (REF / TARGET)), "β = 1"),
    ("01.a", lambda: law(REF * (TARGET / REF) ** 0.25), "way up"),
    ("01.a", lambda: law(REF * (REF / TARGET) ** 0.5), "own rejected law"),
    ("01.a", lambda: TARGET, "itself"),
    ("01.a", lambda: REF, "power law"),
    ("01.a", lambda: -law(REF * (REF / TARGET) ** 0.25), "sign"),
    ("01.a", lambda: np.log(law(REF * (REF / TARGET) ** 0.25)), "logarithms"),
    ("01.a", lambda: REF * (REF / TARGET) ** 0.25, "sums to one"),
    ("02.a", lambda: law(TARGET / REF), "q itself"),
    ("02.a", lambda: TARGET, "reference"),
    ("02.a", lambda: law((TARGET / REF) ** 2), "upside down"),
    ("02.b", lambda: "both", "When is that"),
    ("03.a", lambda: 0.5, "symmetric"),
    ("03.a", lambda: 1 - chosen_stops_falling(), "measured from"),
    ("03.b", lambda: "both rise", "zero of"),
    ("04.a", lambda: 0.1, "normaliser"),
    ("04.a", lambda: law(np.array([0.4, 0.3, 0.2, 0.1]) * np.exp(np.arange(4)))[3], "under π*"),
    ("04.b", lambda: 4, "components"),
    ("05.a", lambda: 20, "More is not better"),
    ("05.a", lambda: 2, "1 − 0.8^K"),
    ("05.b", lambda: np.cosh(1.5) ** 2, "upper bound"),
    ("06.a", lambda: 1.5 * 0.2, "clock"),
    ("06.a", lambda: 1.5 * 25, "upside down"),
    ("06.b", lambda: ends_from_reference(1.0), "β = 1"),
    ("06.b", lambda: ends_from_reference(2.0), "divided"),
    ("07.a", lambda: "sharpening", "skewed"),
    ("07.b", lambda: 1 / (0.25 + 0.0625 + 0.015625 + 2 * 0.00390625), "one over"),
    ("07.b", lambda: 5, "number of draws"),
    ("07.c", lambda: 100, "less than one"),
    ("08.a", lambda: chosen_change(0.0), "averaged over π_ref"),
    ("08.a", lambda: -chosen_change(0.25), "sign"),
    ("08.b", lambda: 1, "start earlier"),
    ("09.a", lambda: 8, "two programs"),
    ("09.a", lambda: 960, "Those are the runs"),
    ("09.b", lambda: 2 * first_divergence(), "second derivative"),
    ("09.b", lambda: first_divergence() / 2, "one step"),
    ("10.a", lambda: 1.6, "log-odds do not"),
    ("10.a", lambda: 2.0, "clean labels"),
    (
        "10.a",
        lambda: least(lambda m: -np.log(sigmoid(m)) * 0.9 * sigmoid(2) - np.log(sigmoid(-m)) * (1 - 0.9 * sigmoid(2))),
        "add",
    ),
    ("10.b", lambda: 0.6, "m → ∞"),
    ("10.b", lambda: 0.8, "scales the loss"),
]


def of(id, *rest):
    """Parameters of a test of one exercise: the first of each notebook is quick."""
    return pytest.param(id, *rest, marks=() if id.endswith(".a") else pytest.mark.slow)


def test_the_key_has_every_exercise():
    assert set(KEY) == set(exercises.EXERCISES)


@pytest.mark.parametrize("id", [of(id) for id in KEY])
def test_the_right_answer_passes(id):
    verdict = exercises.check(id, KEY[id]())
    assert verdict.ok, verdict.message
    assert str(verdict) == f"{id}: right."


@pytest.mark.parametrize("id", [of(id) for id in KEY])
def test_a_perturbed_answer_does_not_pass(id):
    right, within = KEY[id](), exercises.EXERCISES[id].within
    if isinstance(right, str):
        off = next(word for word in exercises.EXERCISES[id].choices if word != right)
    else:
        off = np.asarray(right, float) + 1.5 * within
    assert not exercises.check(id, off)
    assert exercises.check(id, off).message.startswith(f"{id}: wrong. ")


@pytest.mark.parametrize(
    ("id", "answer", "said"), [of(*row) for row in WRONG], ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_typical_wrong_answer_is_told_where_to_look(id, answer, said):
    verdict = exercises.check(id, answer())
    assert not verdict
    assert verdict.message.startswith(f"{id}: wrong. ")
    assert said in verdict.message


@pytest.mark.parametrize("id", [of(id) for id in KEY])
def test_every_slip_is_far_from_the_right_answer(id):
    exercise = exercises.EXERCISES[id]
    for slip in exercise.slips:
        assert exercises.check(id, slip.answer()).message == f"{id}: wrong. {slip.hint}"


@pytest.mark.parametrize("id", [of(id) for id in KEY])
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
