"""Sums over all pairs of responses in O(N): `sums` is the entry point; `expectation` and `joint` are means under a pair law."""

from didsim.numerics.pair_sums.expectation import expected_kernel
from didsim.numerics.pair_sums.joint import expected_log_sigmoid, expected_log_sigmoid_of_one, runs_minor
from didsim.numerics.pair_sums.kernels import KERNELS, Kernel, kernel_derivative
from didsim.numerics.pair_sums.sums import CROSSOVER, kernel_sum, kernel_sums, panels_for, picks_dense

__all__ = [
    "CROSSOVER",
    "KERNELS",
    "Kernel",
    "expected_kernel",
    "expected_log_sigmoid",
    "expected_log_sigmoid_of_one",
    "kernel_derivative",
    "kernel_sum",
    "kernel_sums",
    "panels_for",
    "picks_dense",
    "runs_minor",
]
