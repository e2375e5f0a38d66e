"""`didsim info`: what this is running on."""

from didsim.cli.answers.citation import bibtex
from didsim.cli.command import Command, command
from didsim.numerics.compilation import use_compilation_cache
from didsim.numerics.version import __version__


@command
class Info(Command):
    """Print versions, devices, precision and folder of compiled programs; or citation."""

    cite: bool = False
    """Print BibTeX entries of this software and of the two papers instead."""

    def run(self) -> int:
        """Prints versions, devices and precision, or BibTeX."""
        if self.cite:
            print(bibtex())
            return 0
        import jax

        devices = jax.devices()
        print(f"didsim     {__version__}")
        print(f"jax        {jax.__version__}")
        print(f"backend    {jax.default_backend()}")
        print(f"devices    {len(devices)} × {devices[0].device_kind}")
        print(f"processes  {jax.process_count()}")
        print(f"programs   {use_compilation_cache() or 'not kept'}")
        print("           JAX_ENABLE_COMPILATION_CACHE=0 keeps none, DIDSIM_TRACES=0 compiled ones alone")
        print("precision  float64 (--no-x64: float32); in Python as jax_enable_x64 says")
        return 0
