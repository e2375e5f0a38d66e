"""Sums over all pairs of responses in O(N): `sums` is the entry point; `expectation` and `joint` are means under a pair law."""

from didsim.allpairs.expectation import expected_kernel
from didsim.allpairs.joint import expected_log_sigmoid, expected_log_sigmoid_of_one, runs_minor
from didsim.allpairs.kernels import KERNELS, Kernel, kernel_derivative
from didsim.allpairs.sums import CROSSOVER, kernel_sum, kernel_sums, panels_for, picks_dense

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
