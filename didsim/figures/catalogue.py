"""Which figures are there?  A table that costs nothing to read: no JAX, no numpy."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """One figure: how it is called, what it claims and for whom, and where its code is.

    The numbers come from ``module`` and the picture from the one beside it, ``<module>_picture``; of a figure registered
    from ``outside`` both come from its module.
    """

    id: str
    slug: str
    claim: str
    source: str
    theory: str
    module: str
    heavy: bool = False  # takes longest: started first
    outside: bool = False

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


FIGURES: dict[str, Entry] = {
    entry.id: entry
    for entry in (
        Entry(
            "A1",
            "log-ratio-optimality",
            "Only the log-ratio reward turns preference fit into the target policy.",
            "paper A (arXiv 2505.23761)",
            "D5, D6",
            "a1_log_ratio",
            heavy=True,
        ),
        Entry(
            "A2",
            "power-law-dial",
            "DPO reaches the target on the power law alone, and misses it by a known amount off it.",
            "paper A (arXiv 2505.23761); limits derived",
            "D3, D4, D5",
            "a2_power_law",
        ),
        Entry(
            "A3",
            "log-margin-order",
            "Data that encodes the differential information orders all log-margins, on one line.",
            "paper A (arXiv 2505.23761)",
            "D8",
            "a3_log_margin",
        ),
        Entry(
            "A4",
            "best-rejected",
            "One rejected law makes DPO's optimum the target; the usual ones teach something else.",
            "paper A (arXiv 2505.23761); limits derived",
            "D7",
            "a4_best_rejected",
        ),
        Entry(
            "A5",
            "displacement-map",
            "Where chosen and rejected responses lose likelihood is one curve's sign; from the chosen law both always do.",
            "paper A (arXiv 2505.23761); map derived",
            "D9, D10",
            "a5_displacement",
        ),
        Entry(
            "A6",
            "entropy-and-shape",
            "Low DID entropy goes with reinforcement where the reference is right-skewed, and with smoothing where left-skewed.",
            "paper A (arXiv 2505.23761)",
            "D11, D12, D14",
            "a6_entropy",
        ),
        Entry(
            "A7",
            "entropy-estimator",
            "K = 32 draws do for even weights, not for long sequences, nor to tell which update has the lower DID entropy.",
            "paper A (arXiv 2505.23761)",
            "D13",
            "a7_estimator",
        ),
        Entry(
            "A8",
            "sequences",
            "Token by token, only a policy that can say everything reaches the target; hidden states warn of falling responses.",
            "paper A (arXiv 2505.23761) on sequences; CHES from Razin et al. (arXiv 2410.08847)",
            "L5, L6, D5, D10",
            "a8_sequences",
            heavy=True,
        ),
        Entry(
            "B1",
            "support",
            "What the sampler never shows together, training cannot determine.",
            "paper B (arXiv 2506.04272)",
            "S1, S2, S3",
            "b1_support",
        ),
        Entry(
            "B2",
            "first-steps",
            "One pair never lowers its chosen response in a table; with shared features one inner product decides.",
            "paper B (arXiv 2506.04272); split derived",
            "S8, L4",
            "b2_first_steps",
        ),
        Entry(
            "B3",
            "signal-and-quality",
            "Good responses strengthen the first gradient up to a share of one half; balance counts, not quality.",
            "paper B (arXiv 2506.04272)",
            "S8, S9",
            "b3_signal",
        ),
        Entry(
            "B4",
            "conditioning",
            "The sampler's Laplacian is the speed: a reference that is bad or very good costs condition number.",
            "derived",
            "S4",
            "b4_conditioning",
        ),
        Entry(
            "B5",
            "online-offline",
            "Improving one side of the pair speeds DPO up; improving both slows it down once most responses shown are good.",
            "paper B (arXiv 2506.04272)",
            "S7, S9, S10, S11",
            "b5_online_offline",
        ),
        Entry(
            "B6",
            "samplers",
            "Mix-R and Mix-P square the error every step, each at its own step; with sampled pairs all samplers end alike.",
            "Shi et al. (arXiv 2409.19605); rates derived",
            "S4, S5",
            "b6_samplers",
            heavy=True,
        ),
        Entry(
            "B7",
            "mis-specified",
            "Where reward or policy class is too small, RLHF and DPO part, and the sampler decides where DPO ends.",
            "Shi et al. (arXiv 2505.19770)",
            "S6, L1, L2",
            "b7_misspecified",
        ),
        Entry(
            "B8",
            "iterated",
            "Rounds on cyclic preferences turn for ever beyond a predicted boundary; transitive ones never turn.",
            "Chen et al. (arXiv 2602.12180)",
            "S12",
            "b8_iterated",
        ),
        Entry(
            "C1",
            "beta-clock",
            "A larger β first drives the policy away faster and in the end keeps it nearer: the clock runs at ηβ².",
            "derived",
            "D5, S2",
            "c1_beta_clock",
        ),
        Entry(
            "C2",
            "finite-sample-design",
            "Learning from n pairs errs by effective resistances; a certified design beats every sampler's slowest direction.",
            "derived",
            "S7",
            "c2_finite_sample",
        ),
    )
}


def register(id: str, slug: str, claim: str, source: str, theory: str, module: str) -> Entry:
    """Adds a figure of one's own, which `didsim reproduce` then draws like the others.

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
    FIGURES[id] = Entry(id, slug, claim, source, theory, module, outside=True)
    return FIGURES[id]
