"""Real small DPO runs for the tests of `didsim diagnose`: a causal transformer on a real text, logged pair by pair.

The text is the source of a module of Python's standard library.  A language model is trained on it, then by DPO on pairs of
continuations, and at every checkpoint held-out pairs are logged with TRL's names.  Run as a program it writes the sample
log that the tests and the documentation use: ``python tests/preference_runs.py``.
"""

import argparse
import inspect
import json
from functools import cache, partial
from pathlib import Path
from pydoc_data.topics import topics

import jax
import jax.numpy as jnp
import numpy as np
import optax

from didsim.numerics.sequences import SequenceSpace
from didsim.policies import Transformer

CONTEXT, LENGTH = 8, 16  # characters before the response, and with it
LETTERS = "\n abcdefghijklmnopqrstuvwxyz_.,()"
SPACE = SequenceSpace(vocabulary=len(LETTERS) + 1, length=LENGTH)
POLICY = Transformer(SPACE, width=32, layers=1, heads=4, start="flat")
BETA, RATE, BATCH, PASSAGES = 1.0, 3e-4, 64, 4096
SAMPLE = Path(__file__).parent / "data" / "displaced-run.jsonl"


def code() -> str:
    """A module of Python's standard library: what the language models learn."""
    return inspect.getsource(argparse)


def prose() -> str:
    """The pages that Python's help() shows: what is preferred in the healthy run."""
    return "\n".join(topics.values())


def windows(random: np.random.Generator, text: str, count: int) -> np.ndarray:
    """Passages of a text as numbers of letters, each of a context and its true continuation."""
    number = {letter: place for place, letter in enumerate(LETTERS)}
    letters = np.array([number.get(letter, len(LETTERS)) for letter in text.lower()], np.int32)
    starts = random.integers(0, len(letters) - LENGTH, count)
    return letters[starts[:, None] + np.arange(LENGTH)]


def lengths(random: np.random.Generator, count: int) -> np.ndarray:
    """How many characters of the continuations count as the responses: chosen, rejected."""
    return random.integers(4, LENGTH - CONTEXT + 1, (count, 2))


def token_log_probs(params, tokens):
    return POLICY.token_log_probs(params, tokens[None])[0]


def log_probs(params, tokens, sizes):
    """Log-probability of each response given its context, summed over its characters."""
    place = jnp.arange(LENGTH)
    counted = (place >= CONTEXT) & (place < CONTEXT + sizes[:, None])
    return jnp.sum(jnp.where(counted, token_log_probs(params, tokens), 0.0), -1)


@jax.jit
def language_model(passages, seed, steps):
    """Weights after Adam steps on batches of passages."""
    start = POLICY.weights(jax.random.key(seed), 1, jnp.float32)
    optimiser = optax.adam(3e-3)

    def step(number, carry):
        params, state = carry
        rows = jax.random.randint(jax.random.fold_in(jax.random.key(seed + 1), number), (BATCH,), 0, len(passages))
        gradient = jax.grad(lambda p: -jnp.mean(token_log_probs(p, passages[rows])))(params)
        update, state = optimiser.update(gradient, state)
        return optax.apply_updates(params, update), state

    return jax.lax.fori_loop(0, steps, step, (start, optimiser.init(start)))[0]


@cache
def model_of_code(seed: int, steps: int):
    """A language model of the code."""
    return language_model(windows(np.random.default_rng(seed), code(), PASSAGES), seed, steps)


@jax.jit
def continued(params, passages, seed):
    """The passages with the continuation drawn from the model, character by character."""

    def step(tokens, place):
        logits = POLICY.token_logits(params, tokens[None])[0]
        drawn = jax.random.categorical(jax.random.fold_in(jax.random.key(seed), place), logits[:, place])
        return tokens.at[:, place].set(drawn.astype(tokens.dtype)), None

    return jax.lax.scan(step, passages, jnp.arange(CONTEXT, LENGTH))[0]


def scrambled(random: np.random.Generator, passages: np.ndarray) -> np.ndarray:
    """The passages with the characters of the continuation in random order."""
    return np.concatenate([passages[:, :CONTEXT], random.permuted(passages[:, CONTEXT:], axis=1)], axis=1)


@partial(jax.jit, static_argnames=("checkpoints", "every"))
def dpo(start, pairs, held_out, references, *, checkpoints: int, every: int):
    """DPO by Adam on all pairs at once; log-probabilities of held-out pairs at the start and at every checkpoint."""
    optimiser = optax.adam(RATE)

    def loss(params):
        (chosen, rejected), (ref_chosen, ref_rejected) = both(params, pairs), references
        return jnp.mean(jax.nn.softplus(-BETA * (chosen - ref_chosen - rejected + ref_rejected)))

    def step(carry, _):
        params, state = carry
        update, state = optimiser.update(jax.grad(loss)(params), state)
        return (optax.apply_updates(params, update), state), None

    def checkpoint(carry, _):
        carry, _ = jax.lax.scan(step, carry, length=every)
        return carry, both(carry[0], held_out)

    _, logged = jax.lax.scan(checkpoint, (start, optimiser.init(start)), length=checkpoints)
    return [jnp.concatenate([first[None], rest]) for first, rest in zip(both(start, held_out), logged, strict=True)]


def both(params, pairs):
    """Log-probabilities of the chosen and of the rejected responses of pairs."""
    chosen, rejected, sizes = pairs
    return log_probs(params, chosen, sizes[:, 0]), log_probs(params, rejected, sizes[:, 1])


def run(kind: str, *, fit: int = 200, held: int = 100, checkpoints: int = 6, every: int = 6, seed: int = 0):
    """Rows of one run's log.

    ``healthy``: a model of code learns to prefer prose to its own draws, so that rejected responses come from the
    reference.  ``displaced``: it learns to prefer its own draws to scrambled ones, so that chosen responses come from the
    reference and must fall.  ``wrong reference``: as healthy, but the reference is a language model of other weights.
    """
    random = np.random.default_rng(seed)
    model = model_of_code(seed, 240)
    passages, sizes = windows(random, code() if kind == "displaced" else prose(), fit + held), lengths(random, fit + held)
    drawn = np.asarray(continued(model, passages, seed))
    good, bad = (drawn, scrambled(random, drawn)) if kind == "displaced" else (passages, drawn)
    pairs, held_out = (good[:fit], bad[:fit], sizes[:fit]), (good[fit:], bad[fit:], sizes[fit:])
    reference = model_of_code(seed + 7, 80) if kind == "wrong reference" else model
    measure = jax.jit(both)
    logged = dpo(model, pairs, held_out, measure(reference, pairs), checkpoints=checkpoints, every=every)
    columns = {"chosen_logps": logged[0], "rejected_logps": logged[1]}
    still = dict(zip(("ref_chosen_logps", "ref_rejected_logps"), measure(reference, held_out), strict=True))
    return [
        {
            "step": every * at,
            "example_id": pair,
            **{name: round(float(values[at, pair]), 4) for name, values in columns.items()},
            **{name: round(float(values[pair]), 4) for name, values in still.items()},
            "chosen_length": int(sizes[fit + pair, 0]),
            "rejected_length": int(sizes[fit + pair, 1]),
        }
        for at in range(checkpoints + 1)
        for pair in range(held)
    ]


def write(rows, path: Path) -> Path:
    """The rows as JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


if __name__ == "__main__":
    SAMPLE.parent.mkdir(exist_ok=True)
    write(run("displaced"), SAMPLE)
