"""Which programs need not be traced again?  Those that an earlier process has kept as exported programs.

JAX finds a compiled program by what it says, so Python must trace and lower it first, at every start: most of the time of a
run whose programs are all compiled already.  A function compiled by `jit` is found by what decides its trace instead: this
package's source, the function, the structure of its arguments, their shapes and dtypes, and JAX's settings.

That holds as long as the code that runs is the code in the files.  So the command line keeps traced programs, beside the
compiled ones; Python does where it is asked to, by ``didsim.use_compilation_cache(traces=True)``; ``DIDSIM_TRACES=0`` keeps
none.  What is not of this package nor of what it stands on, such as a user's own objective, is traced as ever.
"""

import functools
import hashlib
import importlib.metadata
import inspect
import io
import os
import pickle
import sys
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax import export

from didsim.numerics import checks
from didsim.numerics.compilation import NO_TRACES, TRACES, Programs, on_processor

STANDS_ON = ("jax", "jaxlib", "numpy", "optax")
KNOWN = {"didsim", *STANDS_ON, *sys.stdlib_module_names}
SETTINGS = (
    *("jax_enable_x64", "jax_explicit_x64_dtypes", "jax_numpy_dtype_promotion", "jax_numpy_rank_promotion"),
    *("jax_default_matmul_precision", "jax_default_prng_impl", "jax_enable_custom_prng", "jax_threefry_partitionable"),
    *("jax_random_seed_offset", "jax_use_direct_linearize", "jax_softmax_custom_jvp", "jax_default_device"),
    *("jax_debug_nans", "jax_debug_infs", "jax_enable_checks", "jax_check_tracer_leaks"),
)  # which decide what is traced


class _Program(NamedTuple):
    """An exported program, compiled when it is first called, and what comes out of it."""

    call: Callable
    out: Any
    kinds: Sequence[Any]


class Jitted:
    """A function compiled as by `jax.jit`, whose traced program is found on disk where it is kept there."""

    def __init__(self, function: Callable, static: tuple[str, ...], options: Any) -> None:
        functools.update_wrapper(self, function)
        self._inner = jax.jit(function, static_argnames=static)
        self.plain = jax.jit(self._inner, static_argnames=static, compiler_options=options) if options else self._inner
        self.trace = self._inner.trace
        self._function, self._static, self._options = function, static, options
        self._names = tuple(inspect.signature(function).parameters) if static else ()
        self._programs: dict[Any, _Program | None] = {}

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        leaves, program = self._find(arguments, keywords)
        if program is None:
            return self.plain(*arguments, **keywords)
        return jax.tree.unflatten(program.out, program.call(*leaves))

    def eval_shape(self, *arguments: Any, **keywords: Any) -> Any:
        """Shapes and dtypes of what comes out, in its structure; nothing is computed."""
        program = self._find(arguments, keywords)[1]
        if program is None:
            return self.plain.eval_shape(*arguments, **keywords)
        return jax.tree.unflatten(program.out, [jax.ShapeDtypeStruct(one.shape, one.dtype) for one in program.kinds])

    def _find(self, arguments: tuple, keywords: dict) -> tuple[list, _Program | None]:
        """Leaves of the arguments and the program for them; None where it has to be traced as usual."""
        store = _store()
        if store is None or checks.is_traced((arguments, keywords)):
            return [], None
        free, fixed = self._parted(arguments, keywords)
        leaves, structure = jax.tree.flatten(free)
        asked = structure, _kinds(leaves), tuple(sorted(fixed.items())), _settings()
        if asked not in self._programs:
            self._programs[asked] = self._made(store, free, fixed, (_code(), self._function, *asked))
        return leaves, self._programs[asked]

    def _parted(self, arguments: tuple, keywords: dict) -> tuple[Any, dict]:
        """Arguments that are traced, by name or in their order, and those that are static."""
        if not self._static:
            return (arguments, keywords), {}
        named = dict(zip(self._names, arguments, strict=False)) | keywords
        fixed = {name: named.pop(name) for name in self._static if name in named}
        return named, fixed

    def _made(self, store: Programs, free: Any, fixed: dict, asked: tuple) -> _Program | None:
        name = _name(asked)
        written = None if name is None else _written(store, name, lambda: self._exported(free, fixed))
        if written is None:
            return None
        out, program = pickle.loads(written)
        program = export.deserialize(program)
        return _Program(jax.jit(program.call, compiler_options=self._options), out, program.out_avals)

    def _exported(self, free: Any, fixed: dict) -> bytes | None:
        """Structure of what comes out and the exported program, as bytes; None where it cannot be exported."""
        leaves, structure = jax.tree.flatten(free)
        out: list[Any] = []

        def flat(*leaves: Any) -> list:
            held = jax.tree.unflatten(structure, leaves)
            result = self._inner(**held, **fixed) if self._static else self._inner(*held[0], **held[1])
            ends, form = jax.tree.flatten(result)
            out.append(form)
            return ends

        try:
            program = export.export(jax.jit(flat))(*leaves)
            return pickle.dumps((out[-1], program.serialize()))
        except Exception:  # whatever it is, the usual way meets it again and tells it
            return None


def jit(function: Callable, *, static_argnames: str | tuple[str, ...] = (), compiler_options: Any = None) -> Jitted:
    """The function compiled as by `jax.jit`, its traced program kept on disk where the process keeps them.

    Args:
        function: what is compiled; pytrees of arrays in, a pytree of arrays out.
        static_argnames: arguments that are part of the program, hashable.
        compiler_options: as `jax.jit` takes them.

    Example:
        >>> import jax.numpy as jnp
        >>> double = jit(lambda x: 2 * x)
        >>> double(jnp.ones(2)).tolist(), double.eval_shape(jnp.ones(2)).shape
        ([2.0, 2.0], (2,))
    """
    names = (static_argnames,) if isinstance(static_argnames, str) else tuple(static_argnames)
    return Jitted(function, names, compiler_options)


def kept_value(function: Callable) -> Callable:
    """The function, whose plain value for pytrees of such structure, shapes and dtypes is kept on disk as traced programs are."""
    values: dict[Any, Any] = {}

    @functools.wraps(function)
    def found(*arguments: Any) -> Any:
        store = _store()
        if store is None or checks.is_traced(arguments):
            return function(*arguments)
        leaves, structure = jax.tree.flatten(arguments)
        asked = structure, _kinds(leaves), _settings()
        if asked not in values:
            name = _name((_code(), function, *asked))
            written = None if name is None else _written(store, name, lambda: pickle.dumps(function(*arguments)))
            values[asked] = function(*arguments) if written is None else pickle.loads(written)
        return values[asked]

    return found


def _written(store: Programs, name: str, write: Callable[[], bytes | None]) -> bytes | None:
    """What is kept under a name; written there first if nothing is and there is something to write."""
    found = store.get(name)
    if found is None:
        found = write()
        if found is not None:
            store.put(name, found)
    return found


def _store() -> Programs | None:
    """Where traced programs are kept; None where none are, or where no one has tried it."""
    folder = os.environ.get(TRACES, NO_TRACES)
    settings: Any = jax.config
    wanted = folder != NO_TRACES and settings.jax_enable_compilation_cache and not settings.jax_disable_jit
    return Programs(Path(folder)) if wanted and on_processor() and jax.device_count() == 1 else None


def _settings() -> tuple:
    return tuple(getattr(jax.config, name, None) for name in SETTINGS)


def _kinds(leaves: list) -> tuple:
    typed = (one if hasattr(one, "weak_type") else jax.typeof(one) for one in leaves)  # arrays and types of arrays have theirs
    return tuple((one.shape, str(one.dtype), one.weak_type) for one in typed)


@functools.cache
def _code() -> str:
    """Digest of the package's source, and the versions of what it stands on."""
    digest = hashlib.sha256(" ".join(importlib.metadata.version(name) for name in STANDS_ON).encode())
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _name(asked: tuple) -> str | None:
    """A name for what is asked, the same in every process; None where something in it is not known."""
    text = io.BytesIO()
    try:
        writer = _Description(text)
        writer.fast = True  # by value alone, whether or not two parts are one object
        writer.dump(asked)
    except Exception:  # what cannot be written has no name
        return None
    return f"traced-{hashlib.sha256(text.getvalue()).hexdigest()}"


class _Description(pickle.Pickler):
    """Writes values so that equal ones read the same; functions by name or, inside others, by code and what they hold."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, type | types.FunctionType) and obj.__module__.partition(".")[0] not in KNOWN:
            raise pickle.PicklingError(f"{obj.__qualname__} is not of this package")
        if isinstance(obj, types.FunctionType) and _named(obj) is not obj:
            held = tuple(cell.cell_contents for cell in obj.__closure__ or ())
            return tuple, ((obj.__module__, obj.__qualname__, obj.__code__, obj.__defaults__, obj.__kwdefaults__, held),)
        if isinstance(obj, Jitted):
            return tuple, ((obj._function, obj._static),)
        if hasattr(obj, "__wrapped__") and _named(obj) is obj and obj.__module__.partition(".")[0] in KNOWN:  # by `jax.jit`
            return tuple, ((obj.__module__, obj.__qualname__),)
        if isinstance(obj, types.ModuleType) and obj.__name__.partition(".")[0] in KNOWN:
            return tuple, ((obj.__name__,),)
        if isinstance(obj, types.CodeType):
            return tuple, ((obj.co_code, obj.co_names, obj.co_consts),)
        if isinstance(obj, jax.Array):
            return tuple, ((str(obj.dtype), obj.shape, obj.weak_type, jax.device_get(obj).tobytes()),)
        return NotImplemented


def _named(function: Any) -> Any:
    """What stands under a function's name in its module."""
    found: Any = sys.modules.get(function.__module__)
    for part in function.__qualname__.split("."):
        found = getattr(found, part, None)
    return found
