"""Kernels once more in NumPy, pairs visited one block of targets at a time, and ordinary and adversarial data to sum over."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from didsim.numerics import pair_sums
from didsim.numerics.pair_sums import sums as fast

ANALYTIC = ("log_sigmoid", "sigmoid", "co_sigmoid", "slope", "curvature", "third", "fourth")
POLYNOMIAL = ("square", "double", "two")
RAMP = ("hinge", "step")
FAMILIES = (ANALYTIC, POLYNOMIAL, RAMP)
M, N = 61, 83


def kernel_sum(kernel, *arrays, **settings):
    return pair_sums.kernel_sum(kernel, *map(jnp.asarray, arrays), **settings)


def kernel_sums(kernels, *arrays, **settings):
    return fast.kernel_sums(kernels, *map(jnp.asarray, arrays), **settings)


def expected_kernel(kernel, *arrays, **settings):
    return pair_sums.expected_kernel(kernel, *map(jnp.asarray, arrays), **settings)


def sigma(d):
    return np.where(d >= 0, 1 / (1 + np.exp(-np.abs(d))), np.exp(-np.abs(d)) / (1 + np.exp(-np.abs(d))))


ORACLE = {
    "log_sigmoid": lambda d: -np.logaddexp(0, -d),
    "sigmoid": sigma,
    "co_sigmoid": lambda d: sigma(-d),
    "slope": lambda d: sigma(d) * sigma(-d),
    "curvature": lambda d: sigma(d) * sigma(-d) * (sigma(-d) - sigma(d)),
    "third": lambda d: sigma(d) * sigma(-d) * (1 - 6 * sigma(d) * sigma(-d)),
    "fourth": lambda d: sigma(d) * sigma(-d) * (sigma(-d) - sigma(d)) * (1 - 12 * sigma(d) * sigma(-d)),
    "square": lambda d: d**2,
    "double": lambda d: 2 * d,
    "two": lambda d: 2 + 0 * d,
    "hinge": lambda d: np.where(d > 0, d, 0),
    "step": lambda d: np.where(d > 0, 1.0, np.where(d < 0, 0.0, 0.5)),
}
SLOPE = {
    "log_sigmoid": ORACLE["co_sigmoid"],
    "sigmoid": ORACLE["slope"],
    "co_sigmoid": lambda d: -ORACLE["slope"](d),
    "slope": ORACLE["curvature"],
    "curvature": ORACLE["third"],
    "third": ORACLE["fourth"],
    "square": ORACLE["double"],
    "double": ORACLE["two"],
    "two": lambda d: 0 * d,
    "hinge": ORACLE["step"],
    "step": lambda d: 0 * d,
}


def brute(value, u, v, w):
    u, v, w = (np.asarray(x, np.float64) for x in (u, v, w))
    blocks = [(value(u[i : i + 50, None] - v) * w).sum(-1) for i in range(0, len(u), 50)]
    return np.concatenate(blocks)


def scale(name, u, v, w):
    """sum |w| times the size of the kernel that `kernel_sum` promises its error relative to."""
    far = max(np.max(u) - np.min(v), np.max(v) - np.min(u), 0)
    size = {"log_sigmoid": max(1, far), "square": far**2, "double": far, "hinge": far}.get(name, 1)
    return np.abs(np.asarray(w, np.float64)).sum() * size + np.finfo(np.float64).tiny


def worst(name, got, u, v, w, value=None):
    error = np.abs(np.asarray(got, np.float64) - brute(value or ORACLE[name], u, v, w)).max()
    return error / scale(name, u, v, w)


def instances(dtype=np.float64):
    """Rows (names, u, v, w): all of one shape, so that one compiled call takes them together."""
    rng = np.random.default_rng(7)
    u, v = rng.normal(size=M), rng.normal(size=N)
    signed, law = rng.normal(size=N), rng.dirichlet(np.ones(N))
    table = {
        "ordinary": (2 * u, 2 * v, law),
        "signed": (5 * u, 5 * v, signed),
        "ties": (np.round(u), np.round(v), signed),
        "all equal": (np.full(M, 0.3), np.full(N, 0.3), signed),
        "cell edges": (rng.integers(-8, 8, M) / 2, rng.integers(-8, 8, N) / 2, signed),
        "one huge gap": (np.where(u > 1, 1e5, u), np.where(v > 1, 1e5, v), signed),
        "one outlier source": (u, np.where(np.arange(N) == 3, -900.0, v), law),
        "clusters": (rng.integers(-3, 4, M) * 170 + u / 9, rng.integers(-3, 4, N) * 170 + v / 9, signed),
        "far apart": (u + 300, v - 300, law),
        "far apart the other way": (u - 300, v + 300, law),
        "peaked": (u, v, np.where(np.arange(N) == 5, 1, 1e-30)),
        "cancelling": (u, v, signed - signed.mean()),
        "zero weights": (u, v, 0 * v),
        "large offset": (1e6 + np.round(u * 64) / 64, 1e6 + np.round(v * 64) / 64, signed),
    }
    for spread in (1e-12, 1e-3, 1, 30, 39, 41, 335, 350, 700, 1e4, 1e6, 1e12):
        table[f"spread {spread:g}"] = (spread * rng.uniform(-1, 1, M), spread * rng.uniform(-1, 1, N), signed)
    stacked = [np.stack([row[k] for row in table.values()]).astype(dtype) for k in range(3)]
    return list(table), *stacked


@functools.partial(jax.jit, static_argnames=("kernels", "method", "panels"))
def sums(kernels, u, v, w, method="auto", panels=None):
    return kernel_sums(kernels, u, v, w, method=method, panels=panels)


def bound(dtype):
    """1e-12 as promised in float64; 40 rounding units in float32."""
    return 1e-12 if dtype == np.float64 else 40 * np.finfo(np.float32).eps
