"""The oracles of single pairs once more, to 600 digits: the same formulas, run on balls instead of floats."""

import importlib.util
import types
from pathlib import Path

import flint
import numpy as np

BITS = 2000


def _copysign(x, like):
    return abs(x) if like > 0 else -abs(x)


def _ball(x):
    return x if isinstance(x, flint.arb) else flint.arb(x)


BALLS = types.SimpleNamespace(
    exp=lambda x: _ball(x).exp(),
    log=lambda x: _ball(x).log(),
    log1p=lambda x: _ball(x).log1p(),
    expm1=lambda x: _ball(x).expm1(),
    copysign=_copysign,
)


def _load():
    """A module of its own, so that the floats of the other one stay floats."""
    spec = importlib.util.spec_from_file_location("loss_oracles_in_balls", Path(__file__).with_name("loss_oracles.py"))
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    module.math = BALLS
    return module


oracle = _load()


def pair(name, won, lost, constant, **numbers):
    """Value and both slopes of one pair as balls; ``won`` and ``lost`` are log-probability, log-ratio, length, reward, wins."""
    flint.ctx.prec = BITS
    exact = {key: flint.arb(value) for key, value in numbers.items()}
    seen = [oracle.Seen(*(flint.arb(x) for x in one)) for one in (won, lost)]
    return tuple(_ball(x) for x in oracle.PAIRS[name](*seen, _ball(constant), **exact))


def rounded(ball, dtype=np.float64) -> float:
    """The nearest number of a dtype, ∞ where it overflows."""
    flint.ctx.prec = BITS
    top = flint.arb(float(np.finfo(dtype).max))
    if ball > top or ball < -top:
        return np.inf if ball > 0 else -np.inf
    return float(dtype(float(ball.mid())))
