"""Are plain symbols drawn as mathematics, and words left alone?"""

import pytest
from matplotlib.figure import Figure
from matplotlib.mathtext import MathTextParser

from didsim.plotting import styled, typeset


@pytest.mark.parametrize(
    ("plain", "wanted"),
    [
        ("π_ref", r"$\pi_{\mathrm{ref}}$"),
        ("π_θ", r"$\pi_{\theta}$"),
        ("λ_max / λ₂", r"$\lambda_{\mathrm{max}}$ / $\lambda_{2}$"),
        ("V* − V", "$V^*$ − V"),
        ("H(q₊)", "H($q_{+}$)"),
        ("Λ'(a)", r"$\Lambda^{\prime}$(a)"),
        ("1/β²", r"1/$\beta^{2}$"),
        ("π_∞", r"$\pi_{\infty}$"),
        (r"$\pi_\mathrm{ref}$ and π", r"$\pi_\mathrm{ref}$ and $\pi$"),
        ("exo_pair, best_of_base, it's a world's, 2*x", "exo_pair, best_of_base, it's a world's, 2*x"),
    ],
)
def test_symbols(plain, wanted):
    assert typeset(plain) == wanted
    MathTextParser("path").parse(typeset(plain))  # matplotlib can read it


def test_all_texts_of_a_styled_figure():
    @styled
    def draw():
        ax = Figure().subplots()
        ax.set(xlabel="π_ref", title="λ_max")
        ax.set_xticks([0, 1], ["π_w", "plain"])
        ax.annotate("β_c", (0, 0))
        ax.plot([0, 1], label="π*")
        ax.legend()
        return ax.figure

    (ax,) = draw().axes
    texts = [ax.get_xlabel(), ax.get_title("left"), *(one.get_text() for one in ax.get_xticklabels()), ax.texts[0].get_text()]
    assert texts == [r"$\pi_{\mathrm{ref}}$", r"$\lambda_{\mathrm{max}}$", r"$\pi_{w}$", "plain", r"$\beta_{c}$"]
    assert ax.get_legend().get_texts()[0].get_text() == r"$\pi^*$"
