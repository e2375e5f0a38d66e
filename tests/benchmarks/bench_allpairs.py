"""How fast are sums over all pairs, against C, NumPy and the plain dense form, in one run on one machine?

Prints one JSON row per line, {"name", "ours_s", "rival_s", "ratio", "note"}, ratio = rival_s / ours_s; every time is the
minimum of several.  Run it with `python tests/benchmarks/bench_allpairs.py [--quick]`; without a C compiler the C rows are
left out.
"""

import ctypes
import functools
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import jax
import jax.numpy as jnp
import numpy as np

from didsim.allpairs import expected_kernel, kernel_sum

C_SOURCE = """
#include <math.h>
#include <stdlib.h>
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


def best(function, *args, repeats=25):
    """Time a call: the minimum over several, after one to compile and warm up."""
    jax.block_until_ready(function(*args))
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(function(*args))
        times.append(time.perf_counter() - start)
    return min(times)


def row(name, ours, rival, note):
    """Print one result."""
    print(json.dumps({"name": name, "ours_s": ours, "rival_s": rival, "ratio": rival / ours, "note": note}), flush=True)


def compile_c(folder):
    """Build the C kernels; None without a compiler."""
    if shutil.which("cc") is None:
        return None
    source, library = pathlib.Path(folder, "pairs.c"), pathlib.Path(folder, "pairs.so")
    source.write_text(C_SOURCE)
    flags = ["-O3", "-march=native", "-ffast-math", "-fopenmp", "-shared", "-fPIC"]
    subprocess.run(["cc", *flags, str(source), "-o", str(library), "-lm"], check=True)
    return ctypes.CDLL(str(library))


def c_seconds(library, u, w, repeats=50):
    """Time the better of the two C forms on rows u (runs, n)."""
    out, kind = np.empty_like(u), {4: "f32", 8: "f64"}[u.itemsize]
    pointers = [ctypes.c_void_p(x.ctypes.data) for x in (u, w, out)]
    sizes = [ctypes.c_long(k) for k in u.shape]
    forms = [getattr(library, f"{form}_{kind}") for form in ("direct", "ratio")]
    return min(best(lambda f=f: f(*pointers, *sizes), repeats=repeats) for f in forms)


@jax.jit
def xla_dense(u, w):
    """The plain form: a matrix of logistic functions times the weights."""
    return jnp.einsum("rab,rb->ra", jax.nn.sigmoid(u[:, :, None] - u[:, None, :]), w)


def small_n(library, sizes):
    """Rows for many runs of few responses, float32."""
    ours = jax.jit(lambda u, w: kernel_sum("sigmoid", u, u, w))
    for n, runs in sizes:
        rng = np.random.default_rng(n)
        u = rng.normal(size=(runs, n)).astype(np.float32)
        w = rng.uniform(size=(runs, n)).astype(np.float32)
        data = jnp.asarray(u), jnp.asarray(w)
        seconds, note = best(ours, *data), f"N={n}, {runs} runs, float32"
        gpairs = n * n * runs / seconds / 1e9
        row("small_n_vs_dense", seconds, best(xla_dense, *data), f"{note}, ours {gpairs:.1f} Gpairs/s")
        if library is not None:
            row("small_n_vs_c", seconds, c_seconds(library, u, w), note)


def large_n(library, n):
    """Rows for one population of many responses, float64: a sum, a gradient, a Hessian product."""
    rng = np.random.default_rng(0)
    u, step = jnp.asarray(3 * rng.normal(size=n)), jnp.asarray(rng.normal(size=n))
    p, q = (jnp.asarray(rng.dirichlet(np.ones(n)))[None] for _ in range(2))
    loss = lambda u, p, q: expected_kernel("log_sigmoid", jnp.ones(1), p, q, u, u)  # noqa: E731
    timed = {
        "sum": (lambda u, p: kernel_sum("sigmoid", u, u, p[0]), (u, p), 1),
        "gradient": (jax.grad(loss), (u, p, q), 2),
        "value_and_gradient": (jax.value_and_grad(loss), (u, p, q), 2),
        "hessian_product": (lambda u, p, q, s: jax.jvp(lambda u: jax.grad(loss)(u, p, q), (u,), (s,))[1], (u, p, q, step), 4),
    }
    m = min(n, 20_000)
    rival = None if library is None else c_seconds(library, np.asarray(u[:m])[None], np.asarray(p[0, :m])[None], 3)
    for name, (function, args, sums) in timed.items():
        seconds = best(jax.jit(function), *args, repeats=5)
        scaled = seconds if rival is None else sums * rival * (n / m) ** 2
        row(f"{name}_n{n:.0e}_vs_c".replace("+0", ""), seconds, scaled, f"C: {sums} sums at N={m}, scaled by N^2; float64")


def crossover(sizes):
    """Rows dense against fast, one row of responses: where the ratio passes one is the crossover."""
    for kernel in ("sigmoid", "log_sigmoid", "hinge"):
        for dtype in (jnp.float32, jnp.float64):
            for n in sizes:
                u = jnp.asarray(np.random.default_rng(n).normal(size=(4, n)) * 3, dtype)
                fast, dense = (best(jax.jit(functools.partial(kernel_sum, kernel, method=m)), u, u, u) for m in ("fast", "dense"))
                row(f"crossover_{kernel}_{jnp.dtype(dtype).name}", fast, dense, f"N={n}, 4 rows; rival is the dense path")


def main():
    """Run all rows; `--quick` takes fewer and smaller ones."""
    quick = "--quick" in sys.argv
    jax.config.update("jax_enable_x64", True)
    with tempfile.TemporaryDirectory() as folder:
        library = compile_c(folder)
        small_n(library, [(32, 256), (128, 256)] if quick else [(n, r) for n in (20, 32, 64, 100, 128, 256) for r in (256, 1024)])
        large_n(library, 10**5 if quick else 10**6)
    crossover([256, 1024] if quick else [128, 256, 512, 768, 1024, 1536, 2048, 3072])


if __name__ == "__main__":
    main()
