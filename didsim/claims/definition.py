"""What is a claim that a machine can check?

A claim is a statement with the instances it speaks of, a residual that is small on every one of them, and its hypotheses.
A hypothesis is a map that makes any instance satisfy it and leaves alone those that do; so its predicate is "the map
changes nothing", and its negative control is the same claim with that one map left out.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from didsim.claims.arithmetic import TRACED, Arithmetic, Number
from didsim.claims.variables import Instance, Variable
from didsim.numerics import checks

KINDS = ("equality", "inequality", "rate")
CLEARLY = 16.0
# A control must miss by what no rounding explains, 6e-7 of the residual's scale in double and 2e-3 in single precision, ...
VISIBLE = 0.4
# ... and not on a chance instance alone: an equality breaks nearly everywhere, an inequality may have slack.
LEAST_SHARES = {"equality": 0.5, "inequality": 0.01, "rate": 0.5}


@dataclass(frozen=True)
class Hypothesis:
    """A named condition, as the map that imposes it.

    Attributes:
        name: what is assumed.
        impose: arithmetic and instance to the nearest instance that satisfies it; changes nothing where it holds.
        needed: whether the claim fails without it; if not, the control must hold as the claim does.
    """

    name: str
    impose: Callable[[Arithmetic, dict[str, Number]], dict[str, Number]]
    needed: bool = True


@dataclass(frozen=True, eq=False)
class Claim:
    """An executable statement.

    Attributes:
        id: short name, "D7.best-rejected".
        source: who states it: a paper, or "derived".
        statement: one sentence.
        formula: the equation.
        variables: what an instance is made of.
        residual: instance (hypotheses imposed) to a scalar that is at most ``bound`` where the claim holds.
        hypotheses: imposed in order; the later ones may rest on the earlier.
        exact: the difference that must vanish (equality) or not be positive (inequality), in the `Arithmetic` interface,
            written without the library; None where it cannot be.
        kind: "equality", "inequality" (signed slack) or "rate" (measured against predicted).
        rounding: bound in rounding units of the precision used.
        allowance: what a rate may be off beyond rounding.
        n: responses per instance.
        other_sizes: further numbers of responses, tried under attack.
        share: share of the asked-for number of instances, less than one for costly claims.
        smooth: whether reverse-mode gradients of the residual exist.
        needs_double: whether single precision cannot show it.
        proof: why it holds, in a line or two.
    """

    id: str
    source: str
    statement: str
    formula: str
    variables: Mapping[str, Variable]
    residual: Callable[[Instance], Float[Array, ""]]
    hypotheses: tuple[Hypothesis, ...] = ()
    exact: Callable[[Arithmetic, dict[str, Number]], Number] | None = None
    kind: str = "equality"
    rounding: float = 64.0
    allowance: float = 0.0
    n: int = 6
    other_sizes: tuple[int, ...] = field(default=(2, 40))
    share: float = 1.0
    smooth: bool = True
    needs_double: bool = False
    proof: str = ""

    def __post_init__(self) -> None:
        checks.did_you_mean("kind", self.kind, KINDS)
        checks.whole("n", self.n, least=2)
        checks.between("share", self.share, 0.0, 1.0)
        if not self.variables:
            raise checks.ArgumentError("Argument `variables` must name at least one variable, but is empty.")
        names = [one.name for one in self.hypotheses]
        if len(set(names)) < len(names):
            raise checks.ArgumentError(f"Argument `hypotheses` must have different names, but has {', '.join(names)}.")

    def bound(self, dtype) -> float:
        """Largest residual that counts as holding, in a precision."""
        return self.allowance + self.rounding * float(jnp.finfo(dtype).eps)

    def clear(self, dtype) -> float:
        """Residual from which on a control has clearly failed: many times the bound, and many times rounding."""
        return max(CLEARLY * self.bound(dtype), float(jnp.finfo(dtype).eps) ** VISIBLE)

    @property
    def least_share(self) -> float:
        """Share of the instances without a needed hypothesis on which the claim must clearly fail."""
        return LEAST_SHARES[self.kind]

    @property
    def sizes(self) -> tuple[int, ...]:
        """All numbers of responses it is tried at: one if nothing in it depends on n."""
        depends = any("n" in variable.shape for variable in self.variables.values())
        return (self.n, *self.other_sizes) if depends else (self.n,)

    def place(self, hypothesis: str | None) -> int | None:
        """Index of a hypothesis by name; None for none.

        Raises:
            ArgumentError: the claim has no such hypothesis.
        """
        names = [one.name for one in self.hypotheses]
        return None if hypothesis is None else names.index(checks.did_you_mean("dropped", hypothesis, names))

    def imposed(self, m: Arithmetic, raw: dict[str, Number], without: int | None = None) -> dict[str, Number]:
        """An instance that satisfies all hypotheses, but perhaps one."""
        made = dict(raw)
        for place, hypothesis in enumerate(self.hypotheses):
            made = made if place == without else hypothesis.impose(m, made)
        return made


def judge(claim: Claim, raw: Instance, dropped: Bool[Array, " h"]) -> tuple[Float[Array, ""], Bool[Array, " h"]]:
    """Residual of an instance with some hypotheses not imposed, and which of them it then violates."""
    made = dict(raw)
    for place, hypothesis in enumerate(claim.hypotheses):
        fixed = hypothesis.impose(TRACED, made)
        made = {name: jnp.where(dropped[place], made[name], fixed[name]) for name in made}
    broken = [_differs(made, hypothesis.impose(TRACED, made)) for hypothesis in claim.hypotheses]
    return jnp.asarray(claim.residual(made)), jnp.stack(broken) if broken else jnp.zeros(0, bool)


def _differs(one: Instance, other: Instance) -> Bool[Array, ""]:
    worst = [jnp.max(jnp.abs(one[name] - other[name]) / (1.0 + jnp.abs(one[name]))) for name in one]
    return jnp.max(jnp.stack(worst)) > 1e-3
