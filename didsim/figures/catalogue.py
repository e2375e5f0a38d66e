"""Which figures are there?  A table that costs nothing to read: no JAX, no numpy."""

from collections.abc import Iterable
from dataclasses import dataclass

from didsim.numerics.errors import did_you_mean


@dataclass(frozen=True)
class Entry:
    """One figure: how it is called, what it claims and for whom, and where its code is.

    The numbers come from ``module`` and the picture from the one beside it, ``<module>_picture``; of a figure registered
    from ``outside`` both come from its module.
    """

    id: str
    slug: str
    module: str
    theory: str  # numbers of the statements it rests on
    source: str
    claim: str
    heavy: bool = False  # takes longest: started first
    outside: bool = False
    setting_known: bool = False  # a paper or its published code gives the instance that the paper shows

    @property
    def setting(self) -> str:
        """Whether the setting of the paper's own figure is "known", "unknown", or there is no such figure: "ours"."""
        if self.setting_known:
            return "known"
        return "ours" if self.outside or self.source.startswith("derived") else "unknown"

    @property
    def stem(self) -> str:
        """Name of its files without an ending."""
        return f"{self.id}-{self.slug}"

    @property
    def numbers(self) -> str:
        """Full name of the module with its ``Config``, ``run`` and ``verdicts``."""
        return self.module if self.outside else f"didsim.figures.{self.module}"

    @property
    def picture(self) -> str:
        """Full name of the module with its ``draw``."""
        return self.module if self.outside else f"didsim.figures.{self.module}_picture"


PAPER_A, PAPER_B = "paper A (arXiv 2505.23761)", "paper B (arXiv 2506.04272)"
ENTRIES = (  # id, slug, module, statements it rests on, source, claim
    Entry("A1", "log-ratio-optimality", "a1_log_ratio", "D5, D6, F2, F8", f"{PAPER_A}; limits derived",
        "Only the log-ratio reward turns preference fit into the target policy.", heavy=True),
    Entry("A2", "power-law-dial", "a2_power_law", "D3, D4, D5, F2", f"{PAPER_A}; limits derived",
        "DPO reaches the target on the power law alone, and misses it by a known amount off it."),
    Entry("A3", "log-margin-order", "a3_log_margin", "D8", f"{PAPER_A}; made precise here",
        "Data that encodes the differential information puts all log-margins in order, on lines from rejected to target."),
    Entry("A4", "best-rejected", "a4_best_rejected", "D7", f"{PAPER_A}; limits derived",
        "One rejected law makes DPO's optimum the target; the usual ones teach something else."),
    Entry("A5", "displacement-map", "a5_displacement", "D9, D10", f"{PAPER_A}; map derived",
        "Where chosen and rejected responses lose likelihood is one curve's sign; from the chosen law both always do."),
    Entry("A6", "entropy-and-shape", "a6_entropy", "D11, D12, D14", f"{PAPER_A}; sharpened here",
        "Low DID entropy goes with reinforcement where the reference is right-skewed, and with smoothing where left-skewed."),
    Entry("A7", "entropy-estimator", "a7_estimator", "D13", f"{PAPER_A} has K = 32; errors derived",
        "K = 32 draws do for mild weights, not for long sequences, nor to tell which update has the lower DID entropy."),
    Entry("A8", "sequences", "a8_sequences", "L5, L6, D5, D10, F10",
        f"{PAPER_A} on sequences; CHES from Razin et al. (arXiv 2410.08847); comparisons made here",
        "Token by token, only a policy that says everything reaches the target; shared tokens foretell falls better than CHES.",
        heavy=True),
    Entry("B1", "support", "b1_support", "S1, S2, S3, F9", f"{PAPER_B}; limits derived; PRO from arXiv 2505.23316",
        "What the sampler never shows together, training cannot determine, unless a regulariser sees all pairs."),
    Entry("B2", "first-steps", "b2_first_steps", "S8, L4, F4, F15",
        f"{PAPER_B}; who falls derived; context features, band and flips from arXiv 2410.08847, 2604.18239, 2605.02495",
        "One pair never lowers its chosen response in a table; with shared features one inner product decides."),
    Entry("B3", "signal-and-quality", "b3_signal", "S8, S9", f"{PAPER_B}; boundary derived",
        "Good responses strengthen the first gradient up to a share of one half; balance counts, not quality."),
    Entry("B4", "conditioning", "b4_conditioning", "S4", "derived",
        "The sampler's Laplacian is the speed: a reference that is bad or very good costs condition number."),
    Entry("B5", "online-offline", "b5_online_offline", "S7, S9, S10, S11", f"{PAPER_B}; ½ rule derived",
        "From a weak reference, improving one side of the pair speeds DPO up; improving both slows it down once most are good."),
    Entry("B6", "samplers", "b6_samplers", "S4, S5", "Shi et al. (arXiv 2409.19605); rates derived",
        "Once near, Mix-R and Mix-P square the error every step, each at its own rate; with sampled pairs all end alike.",
        heavy=True, setting_known=True),
    Entry("B7", "mis-specified", "b7_misspecified", "S6, L1, L2",
        "Shi et al. (arXiv 2505.19770), Chen et al. (arXiv 2602.12180); ends derived",
        "Where reward or policy class is too small, RLHF and DPO part, and the sampler decides where DPO ends."),
    Entry("B8", "iterated", "b8_iterated", "S12", "Chen et al. (arXiv 2602.12180); DPO's boundary derived",
        "Rounds on cyclic preferences leave the even law beyond a predicted boundary, to turn or collapse; others never turn."),
    Entry("C1", "beta-clock", "c1_beta_clock", "D5, S2, F11", "derived",
        "A larger β first drives the policy away faster and in the end keeps it nearer: the clock runs at ηβ²."),
    Entry("C2", "finite-sample-design", "c2_finite_sample", "S7", "derived",
        "Learning from n pairs errs by effective resistances; a certified design beats every sampler's slowest direction."),
    Entry("C3", "loss-floor", "c3_loss_floor", "F1", "derived",
        "A loss that stays put is at a floor that the data fix, or training has not begun; few pairs are fitted below it."),
    Entry("C4", "reversal", "c4_reversal", "F6", "arXiv 2510.20413; numbers derived",
        "With infinite data DPO in a small class can end below where it began; RLHF, AuxDPO and a full table do not."),
    Entry("C5", "divergences", "c5_divergences", "F3, F7, D9", "arXiv 2602.06788, 2405.19534, 2602.11902; ends derived",
        "Which divergence one takes decides who is displaced; the optimum itself ranks pairs wrong, and HyPO ends elsewhere."),
    Entry("C6", "votes", "c6_votes", "F12, F13", "arXiv 2409.17431, 2505.23749; ends derived",
        "Dropping Davidson's ties loses nothing, splitting them can double β; where annotators disagree DPO counts points."),
    Entry("C7", "rankings", "c7_rankings", "F14", "derived",
        "A response read tells most in a ranking and least in a best-of-K, and the covariance of the fits is predicted."),
    Entry("C8", "nash", "c8_nash", "F16", "Liu et al. (arXiv 2410.23223), arXiv 2512.24818; rates derived",
        "Rounds that solve the game and then move the reference reach the Nash policy; DPO, IPO and SPPO circle it."),
    Entry("C9", "over-optimisation", "c9_over_optimisation", "F5", "derived",
        "Optimising a proxy turns against what one means exactly where the two are uncorrelated under the policy."),
    Entry("C10", "one-axis", "c10_one_axis", "F17", "arXiv 2503.06639; first step derived",
        "Online DPO starts as a policy gradient and GRPO is a recursion of one number; all end on one curve."),
    Entry("C11", "token-credit", "c11_token_credit", "F18", "arXiv 2404.12358; sums derived",
        "Where DPO ends, the log-ratio of every token is what it adds to the value of its prefix."),
    Entry("C12", "atlas", "c12_atlas", "D3, D4, S2, F12", "derived",
        "There is no best loss: which one is hurt least depends on how the data depart from the matched world.", heavy=True),
)  # fmt: skip
FIGURES: dict[str, Entry] = {entry.id: entry for entry in ENTRIES}


def chosen(ids: Iterable[str]) -> list[Entry]:
    """Figures by id, in either case; all if none is named.

    Raises:
        ArgumentError: no figure has that id.
    """
    return list(dict.fromkeys(FIGURES[did_you_mean("ID", one.upper(), FIGURES)] for one in ids)) or list(FIGURES.values())


def register(id: str, slug: str, claim: str, source: str, theory: str, module: str) -> Entry:
    """Adds a figure of one's own, which ``didsim reproduce`` then draws like the others.

    Args:
        id: short name in capitals, "X1".
        slug: the words of its files' names.
        claim: what it shows, one sentence.
        source: whose claim that is.
        theory: numbers of the statements it rests on.
        module: full name of the module that holds its ``Config``, ``run``, ``verdicts`` and ``draw``; often ``__name__``.

    Returns:
        Its `Entry`.

    Raises:
        ValueError: the id is taken, or not in capitals.
    """
    if id in FIGURES or id != id.upper():
        raise ValueError(f"Argument `id` must be in capitals and not be taken, but is {id!r}.")
    FIGURES[id] = Entry(id, slug, module, theory, source, claim, outside=True)
    return FIGURES[id]
