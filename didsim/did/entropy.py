"""How spread out is the differential information?"""

from jaxtyping import Array, Float

from didsim import simplex
from didsim.did.algebra import log_ratio


def did_entropy(log_p: Float[Array, "*#batch n"], log_ref: Float[Array, "*#batch n"]) -> Float[Array, "*#batch"]:
    """Entropy ``H(q_{π/π_ref})`` in nats, exact by enumeration (paper A; D12)."""
    return simplex.entropy(simplex.normalize(log_ratio(log_p, log_ref)))
