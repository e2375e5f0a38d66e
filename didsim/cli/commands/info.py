"""`didsim info`: what this is running on."""

from didsim.cli.command import Command, command
from didsim.numerics.version import __version__


@command
class Info(Command):
    """Print versions, devices and precision."""

    def run(self) -> int:
        """Prints versions, devices and precision."""
        import jax

        devices = jax.devices()
        print(f"didsim     {__version__}")
        print(f"jax        {jax.__version__}")
        print(f"backend    {jax.default_backend()}")
        print(f"devices    {len(devices)} × {devices[0].device_kind}")
        print(f"processes  {jax.process_count()}")
        print("precision  float64 on the command line (--no-x64 for float32); in Python as jax_enable_x64 says")
        return 0
