"""What is the state of this run?  All findings and signatures of a log, and one word for the whole."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from didsim.diagnose import mean_signatures  # noqa: F401 - enters the faults of means
from didsim.diagnose.answers import plain
from didsim.diagnose.columns import exactly
from didsim.diagnose.findings import Finding, found_in
from didsim.diagnose.logs import PairLog, read
from didsim.diagnose.means import MeanLog
from didsim.diagnose.signatures import Signature, signatures
from didsim.numerics import checks
from didsim.numerics.errors import ArgumentError
from didsim.numerics.version import __version__

HEALTHY = "healthy"
LEAST_LEVEL = 1e-9  # nearer to 0 or 1 no interval has digits left
REFERENCE_FAULTS = ("identical", "constant reference", "moving reference", "wrong reference")
CAUTION = "All answers below are relative to the logged reference; put that right first."


@dataclass(frozen=True)
class Diagnosis:
    """A diagnosed log.

    Attributes:
        log: the checked log.
        level: coverage of the intervals.
        findings: the questions, answered as far as the log goes.
        signatures: the faults, gravest first.
    """

    log: PairLog | MeanLog
    level: float
    findings: list[Finding]
    signatures: list[Signature]

    @property
    def faults(self) -> list[Signature]:
        """Faults that were found, gravest first."""
        return [signature for signature in self.signatures if signature.fault and signature.found]

    @property
    def state(self) -> str:
        """Name of the gravest fault, or healthy."""
        return self.faults[0].name if self.faults else HEALTHY

    @property
    def caution(self) -> str:
        """A warning where the reference is not to be trusted: every answer is relative to it."""
        return CAUTION if self.state in REFERENCE_FAULTS else ""

    @property
    def summary(self) -> str:
        """One sentence on the log itself."""
        log = self.log
        pairs = isinstance(log, PairLog)
        steps = log.steps if pairs else log.step
        if not len(steps):
            return "Single pairs, but none at two steps before the numbers end." if pairs else "Batch means, none of them finite."
        span = f"{len(steps)} steps from {exactly(steps[0])} to {exactly(steps[-1])}"
        beta = f"β = {log.beta:.4g} ({log.beta_from})" if log.beta else "β unknown"
        if isinstance(log, PairLog):
            together = f" ({log.pooled:,} of the log, adjacent ones taken together)" if log.pooled else ""
            return f"{len(log.step):,} rows, each a pair, at {span}{together}, {beta}."
        return f"Batch means{' of evaluations' if log.evaluated else ''}, {span}, {beta}."

    @property
    def dictionary(self) -> dict[str, Any]:
        """Everything for JSON."""
        return {
            "didsim": __version__,
            "log": self.log.path.name,
            "summary": self.summary,
            "state": self.state,
            "faults": [signature.name for signature in self.faults],
            "level": self.level,
            "beta": self.log.beta,
            "objective": plain(vars(self.log.objective)),
            "notes": list(self.log.notes),
            "findings": {found.name: plain(vars(found)) for found in self.findings},
            "signatures": {signature.name: plain(vars(signature)) for signature in self.signatures},
        }


def _level(level: float) -> None:
    checks.finite("--level", level)
    if not LEAST_LEVEL <= level <= 1 - LEAST_LEVEL:
        raise ArgumentError(f"Argument `--level` must be in [{LEAST_LEVEL:g}, 1 - {LEAST_LEVEL:g}], but is {exactly(level)}.")


def diagnose(
    log: Any,
    *,
    beta: float | None = None,
    names: Mapping[str, str | None] | None = None,
    drawn: str = "unknown",
    level: float = 0.95,
    objective: str | None = None,
) -> Diagnosis:
    """Diagnoses the preference log of a DPO run.

    The log holds log-probabilities, summed over tokens, of chosen and rejected responses under the policy and under the
    reference, one pair a row, at two steps or more; TRL's batch means are understood too and answer less.

    Args:
        log: path of a ``.jsonl``, ``.json``, ``.csv``, ``.tsv`` or ``.parquet`` file, a pandas frame or a list of rows.
        beta: inverse temperature of the run, > 0; from the log if missing, where it says.
        names: column names by meaning (``chosen``, ``ref_chosen``, …) where they are not TRL's.
        drawn: which responses are known to be draws from the reference: ``chosen``, ``rejected``, ``both`` or ``unknown``.
        level: coverage of the intervals, in (0, 1).
        objective: the loss that was trained, as ``ipo`` or ``cdpo:smoothing=0.1``, where the log does not show it.

    Returns:
        `Diagnosis`.

    Raises:
        LogError: the log cannot be read or is not allowed.
        ArgumentError: another argument is not allowed.

    Example:
        >>> import json, math, pathlib, tempfile
        >>> from didsim.diagnose import diagnose
        >>> rows = [
        ...     {"step": step, "chosen_logps": -9 - pair - step / 20, "rejected_logps": -9 - pair - step / 4,
        ...      "ref_chosen_logps": -9 - pair, "ref_rejected_logps": -9 - pair}
        ...     for step in (0, 10, 20) for pair in range(8)
        ... ]
        >>> file = pathlib.Path(tempfile.mkdtemp(), "run.jsonl")
        >>> _ = file.write_text("\\n".join(map(json.dumps, rows)))
        >>> found = diagnose(file, beta=0.1)
        >>> print(found.state, [fault.name for fault in found.faults])
        displaced ['displaced']
    """
    _level(level)
    checked = read(log, beta=beta, names=names, drawn=drawn, objective=objective)
    return Diagnosis(checked, level, found_in(checked, level), signatures(checked, level))
