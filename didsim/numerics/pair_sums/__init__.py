"""Sums over all pairs of responses in O(N): `sums` is the entry point; `expectation` and `joint` are means under a pair law."""

from didsim.numerics.pair_sums.expectation import expected_kernel
from didsim.numerics.pair_sums.kernels import KERNELS
from didsim.numerics.pair_sums.sums import kernel_sum

__all__ = ["KERNELS", "expected_kernel", "kernel_sum"]
