"""Sums over all pairs of responses in O(N): see `sums` for the entry point, `expectation` for mean losses under a pair law."""

from didsim.allpairs.expectation import expected_kernel
from didsim.allpairs.kernels import KERNELS, Kernel, kernel_derivative
from didsim.allpairs.sums import CROSSOVER, kernel_sum, kernel_sums, panels_for, picks_dense

__all__ = [
    "CROSSOVER",
    "KERNELS",
    "Kernel",
    "expected_kernel",
    "kernel_derivative",
    "kernel_sum",
    "kernel_sums",
    "panels_for",
    "picks_dense",
]
