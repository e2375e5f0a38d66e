"""Sums over all pairs of responses in O(N): `sums` is the entry point; `expectation` and `joint` are means under a pair law."""

from didsim.numerics.pair_sums.expectation import expected_kernel
from didsim.numerics.pair_sums.kernels import KERNELS, Kernel
from didsim.numerics.pair_sums.sums import kernel_sum, kernel_sums

__all__ = ["KERNELS", "Kernel", "expected_kernel", "kernel_sum", "kernel_sums"]
