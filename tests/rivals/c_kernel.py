"""What does a good C loop over all pairs take?  Compiled on the spot, for all cores, with vector instructions."""

import ctypes
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

SOURCE = """
#include <math.h>
#include <omp.h>
#include <stdlib.h>
void threads(int count) { omp_set_num_threads(count); }
#define KERNELS(T, EXP, NAME) \\
void direct_##NAME(const T*u, const T*w, T*s, long R, long N) { \\
  _Pragma("omp parallel for collapse(2)") for (long r = 0; r < R; r++) for (long a = 0; a < N; a++) { \\
    const T *v = u + r*N, *q = w + r*N; T x = v[a], t = 0; \\
    for (long b = 0; b < N; b++) t += q[b] / (1 + EXP(v[b] - x)); s[r*N + a] = t; } } \\
void ratio_##NAME(const T*u, const T*w, T*s, long R, long N) { \\
  T *e = malloc(R*N*sizeof(T)); \\
  _Pragma("omp parallel for") for (long i = 0; i < R*N; i++) e[i] = EXP(u[i]); \\
  _Pragma("omp parallel for collapse(2)") for (long r = 0; r < R; r++) for (long a = 0; a < N; a++) { \\
    const T *v = e + r*N, *q = w + r*N; T x = v[a], t = 0; \\
    for (long b = 0; b < N; b++) t += q[b] / (x + v[b]); s[r*N + a] = x*t; } \\
  free(e); }
KERNELS(float, expf, f32)
KERNELS(double, exp, f64)
"""
COMPILE = ("-O3", "-march=native", "-ffast-math", "-fopenmp", "-fPIC", "-c")
# Linked without -ffast-math: with it, compilers before GCC 13 add code that turns subnormal numbers off for the whole process
# that loads the library.
LINK = ("-fopenmp", "-shared")
FORMS = ("direct", "ratio")


class CKernel:
    """The sums ``Σ_b w_b σ(u_a - u_b)`` over rows, one exponential per pair ("direct") or per response ("ratio")."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    def sums(self, u: np.ndarray, w: np.ndarray, form: str = "ratio") -> np.ndarray:
        """Sums for arrays (runs, n) of one dtype, float32 or float64."""
        out = np.empty_like(u)
        self.calls(u, w, out)[form]()
        return out

    def calls(self, u: np.ndarray, w: np.ndarray, out: np.ndarray) -> dict[str, Callable[[], None]]:
        """Each form ready to be timed; arguments are converted beforehand."""
        kind = {4: "f32", 8: "f64"}[u.itemsize]
        pointers = [ctypes.c_void_p(x.ctypes.data) for x in (u, w, out)]
        sizes = [ctypes.c_long(size) for size in u.shape]
        keep = (u, w, out)  # the pointers do not keep their arrays alive

        def ready(form: str) -> Callable[[], None]:
            function = getattr(self._library, f"{form}_{kind}")
            return lambda: (function(*pointers, *sizes), keep)[0]

        return {form: ready(form) for form in FORMS}

    def timed(self, u: np.ndarray, w: np.ndarray) -> dict[str, Callable[[], None]]:
        """Both forms on one thread and on all cores: where others use the machine, one may be faster than all."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        out = np.empty_like(u)

        def with_threads(call: Callable[[], None], count: int) -> Callable[[], None]:
            return lambda: (self._library.threads(ctypes.c_int(count)), call())[1]

        ready = self.calls(u, w, out).items()
        return {f"C {form} on {count}": with_threads(call, count) for form, call in ready for count in sorted({1, cores})}


def compile_kernel() -> CKernel | None:
    """Builds the kernel for this very machine; None where that is not possible."""
    if shutil.which("cc") is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        source, compiled, library = (str(Path(folder, f"pairs.{end}")) for end in ("c", "o", "so"))
        Path(source).write_text(SOURCE, encoding="utf-8")
        for words in ((*COMPILE, source, "-o", compiled), (*LINK, compiled, "-o", library, "-lm")):
            if subprocess.run(["cc", *words], capture_output=True, check=False).returncode != 0:
                return None
        return CKernel(ctypes.CDLL(library))
