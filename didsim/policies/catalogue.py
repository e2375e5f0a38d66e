"""Which policies can be asked for by name?"""

from collections.abc import Callable
from typing import TypeVar

from didsim.numerics import checks
from didsim.policies.contextlinear import ContextLinear
from didsim.policies.loglinear import LogLinear
from didsim.policies.policy import Policy
from didsim.policies.table import StartedAt, Table
from didsim.policies.tokentable import k_gram, prefix_table
from didsim.policies.transformer import Transformer

Maker = TypeVar("Maker", bound=Callable[..., Policy])
POLICIES: dict[str, Callable[..., Policy]] = {
    "table": Table,
    "started_at": StartedAt,
    "log_linear": LogLinear,
    "context_linear": ContextLinear,
    "prefix_table": prefix_table,
    "k_gram": k_gram,
    "transformer": Transformer,
}


def register(name: str) -> Callable[[Maker], Maker]:
    """Decorator: makes a policy, or a function that returns one, known by name to configs and sweeps.

    Raises:
        ArgumentError: another policy has that name.
    """

    def add(maker: Maker) -> Maker:
        POLICIES[checks.own_name("name", name, POLICIES)] = maker
        return maker

    return add
