"""Which claims are there, and what comes out when all of them are put to the test?

The registry holds the project's claims and those a user registers.  `verify` judges each on random instances and each of
its hypotheses by leaving it out; on request it also attacks the claim, certifies the worst instances in ball arithmetic,
and looks for the smallest counterexample to each twin.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from didsim.claims.arithmetic import balls
from didsim.claims.attack import Climb, climb
from didsim.claims.certificates import Certificate, certify
from didsim.claims.counterexamples import Counterexample, smallest
from didsim.claims.definition import Claim
from didsim.claims.groups import every_name, names
from didsim.claims.trials import Trial, instance, run_trial
from didsim.claims.variables import Instance, Variable
from didsim.numerics import checks
from didsim.numerics.memory import check_array
from didsim.numerics.registry import Registry

INSTANCES = 10_000
CONTROL_INSTANCES = 2_500
OTHER_SIZE_INSTANCES = 500
DTYPES = ("float64", "float32")
LEDGER: Registry[Claim] = Registry("claim")
Residual = Callable[[Instance], Float[Array, ""]]


@dataclass(frozen=True)
class Control:
    """One hypothesis left out.

    Attributes:
        dropped: its name.
        needed: whether the claim says that it is needed.
        trial: random instances without it.
        least: share of them on which the claim must clearly fail if the hypothesis is needed.
        counterexample: the smallest found, if one was looked for.
    """

    dropped: str
    needed: bool
    trial: Trial
    least: float = 0.0
    counterexample: Counterexample | None = None

    @property
    def ok(self) -> bool:
        """A needed hypothesis must be missed on the stated share of instances, one that is not needed on none."""
        enough = self.trial.failures > 0 and self.trial.failure_rate >= self.least
        return self.trial.violating > 0 and (enough if self.needed else self.trial.failures == 0)

    def to_json(self) -> dict:
        """Row of a finding's controls."""
        row = {"dropped": self.dropped, "failure_rate": self.trial.failure_rate, "ok": self.ok, "needed": self.needed}
        found = {} if self.counterexample is None else {"counterexample": self.counterexample.to_json()}
        return row | {"instances": self.trial.violating} | found


@dataclass(frozen=True)
class Finding:
    """What came out of one claim.

    Attributes:
        claim: the claim.
        bound: largest residual that counts as holding, in the precision used.
        trial: random instances.
        controls: one per hypothesis.
        climb: the attack, if there was one.
        others: random instances of other sizes, if attacked.
        certificates: of the worst random instance and the worst attacked one, if asked for and possible.
        refutation: smallest instance on which the claim itself fails, if it does and one was found.
    """

    claim: Claim
    bound: float
    trial: Trial
    controls: list[Control]
    climb: Climb | None = None
    others: list[Trial] = field(default_factory=list)
    certificates: list[Certificate] = field(default_factory=list)
    refutation: Counterexample | None = None

    @property
    def worst(self) -> float:
        """Largest residual over all random instances."""
        return max([self.trial.worst, *(trial.worst for trial in self.others)])

    @property
    def holds(self) -> bool:
        """Whether the claim held on everything it was tried on."""
        tried = [self.worst, *([] if self.climb is None else [self.climb.worst])]
        return all(one <= self.bound for one in tried) and not any(one.verdict == "positive" for one in self.certificates)

    @property
    def ok(self) -> bool:
        """Whether it held and every control came out as it should."""
        return self.holds and all(control.ok for control in self.controls)

    def to_json(self) -> dict:
        """Row of the JSON file."""
        row = {
            "id": self.claim.id,
            "source": self.claim.source,
            "statement": self.claim.statement,
            "instances": self.trial.instances + sum(trial.instances for trial in self.others),
            "worst": self.worst,
            "bound": self.bound,
            "ok": self.ok,
            "controls": [control.to_json() for control in self.controls],
            "formula": self.claim.formula,
            "worst_index": self.trial.index,
            "adversarial": None if self.climb is None else self.climb.worst,
            "certified": [str(one) for one in self.certificates],
        }
        return row if self.refutation is None else row | {"counterexample": self.refutation.to_json()}


def register(claim: Claim) -> Claim:
    """Adds a claim to the ledger, where `verify` finds it by its id.

    Raises:
        ArgumentError: the id is taken.
    """
    return LEDGER.register(claim.id)(claim)


def claim(id: str, statement: str, formula: str, *, given: Mapping[str, Variable], **rest: Any) -> Callable[[Residual], Residual]:
    """Decorator: the residual below it becomes a claim of the ledger.

    Args:
        id: short name, "D7.best-rejected".
        statement: one sentence.
        formula: the equation.
        given: what an instance is made of.
        rest: source, hypotheses and the other fields of a `Claim`.

    Raises:
        ArgumentError: the id is taken, or a field of `Claim` is not allowed.
    """

    def add(residual: Residual) -> Residual:
        register(Claim(id=id, statement=statement, formula=formula, variables=given, residual=residual, **rest))
        return residual

    return add


def chosen(ids: Sequence[str]) -> list[Claim]:
    """Claims by id, by number ("D7") or by letter ("D"), in either case; all if none is named.

    Raises:
        ArgumentError: no claim has that id.
    """
    found: list[Claim] = []
    for one in ids:
        group = [claim for id, claim in LEDGER.items() if one.lower() in (name.lower() for name in names(id))]
        found += group or [LEDGER[checks.did_you_mean("CLAIM", one, every_name(LEDGER))]]
    return list(dict.fromkeys(found)) if ids else list(LEDGER.values())


def verify(
    ids: Sequence[str] = (),
    *,
    instances: int = INSTANCES,
    attack: bool = False,
    certified: bool = False,
    counterexamples: bool = False,
    seed: int = 0,
    dtype: str = "float64",
    watch: Callable[[Claim], None] = lambda claim: None,
) -> Iterator[Finding]:
    """Puts claims to the test, one after the other.

    Args:
        ids: claims or groups of claims; all if empty.
        instances: random instances per claim; a quarter of it, at most 2,500, per control.
        attack: climb each residual from many starts, and try other numbers of responses.
        certified: enclose the worst instances in ball arithmetic.
        counterexamples: look for the smallest instance on which each control fails.
        seed: seed of the instances, 0 to 2^32-1.
        dtype: "float64" or "float32"; claims that single precision cannot show are left out there.
        watch: called with each claim before it is judged.

    Yields:
        One `Finding` per claim.

    Raises:
        ArgumentError: an unknown claim, a number out of range, or certificates without python-flint.

    Example:
        >>> from didsim import claims
        >>> (found,) = claims.verify(["D7"], instances=100)
        >>> found.ok, found.controls[0].dropped, found.controls[0].trial.failure_rate > 0.9
        (True, 'the rejected law is the best one', True)
    """
    todo = chosen(ids)
    check_array("instances", checks.whole("instances", instances, least=1), (instances,))
    checks.seed(seed)
    checks.did_you_mean("dtype", dtype, DTYPES)
    if certified:
        with balls(64):
            pass
    return _findings(todo, instances, attack, certified, counterexamples, seed, dtype, watch)


def _findings(todo, instances, attack, certified, counterexamples, seed, dtype, watch) -> Iterator[Finding]:
    for claim in todo:
        if dtype == "float32" and claim.needs_double:
            continue
        watch(claim)
        with _precision(dtype):
            found = _judged(claim, instances, seed)
            found = _attacked(found, instances, seed) if attack else found
            found = _certified(found, seed) if certified else found
            yield _with_counterexamples(found, seed, wanted=counterexamples)


@contextlib.contextmanager
def _precision(dtype: str) -> Iterator[None]:
    with jax.enable_x64(dtype == "float64"):
        yield


def _judged(claim: Claim, instances: int, seed: int) -> Finding:
    many = max(1, round(instances * claim.share))
    trial = run_trial(claim, instances=many, seed=seed)
    few = min(many, CONTROL_INSTANCES)
    controls = [
        Control(
            hypothesis.name,
            hypothesis.needed,
            run_trial(claim, instances=few, seed=seed, dropped=place),
            claim.least_share,
        )
        for place, hypothesis in enumerate(claim.hypotheses)
    ]
    return Finding(claim, claim.bound(jnp.zeros(()).dtype), trial, controls)


def _attacked(found: Finding, instances: int, seed: int) -> Finding:
    claim = found.claim
    few = max(1, round(min(instances, OTHER_SIZE_INSTANCES) * claim.share))
    others = [run_trial(claim, instances=few, seed=seed, n=n) for n in claim.sizes[1:]]
    return replace(found, climb=climb(claim, seed=seed, first=found.trial.index), others=others)


def _certified(found: Finding, seed: int) -> Finding:
    worst = [instance(found.claim, seed, trial.index, trial.n) for trial in (found.trial, *found.others)]
    worst += [] if found.climb is None else [found.climb.raw]
    proofs = [certify(found.claim, {name: np.asarray(value) for name, value in raw.items()}) for raw in worst]
    return replace(found, certificates=[proof for proof in proofs if proof is not None])


def _with_counterexamples(found: Finding, seed: int, *, wanted: bool) -> Finding:
    claim = found.claim
    if not found.holds:
        found = replace(found, refutation=smallest(claim, seed=seed))
    if not wanted:
        return found
    controls = [
        replace(control, counterexample=smallest(claim, control.dropped, seed=seed)) if control.needed else control
        for control in found.controls
    ]
    return replace(found, controls=controls)
