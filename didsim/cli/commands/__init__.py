"""What does each command do?  One file a command, which holds one class; a new one is named in the table below."""

from didsim.cli.command import Command
from didsim.cli.commands.atlas import Atlas
from didsim.cli.commands.bench import Bench
from didsim.cli.commands.diagnose import Diagnose
from didsim.cli.commands.golden import Golden
from didsim.cli.commands.info import Info
from didsim.cli.commands.list import List
from didsim.cli.commands.objectives import Objectives
from didsim.cli.commands.playground import Playground
from didsim.cli.commands.plot import Plot
from didsim.cli.commands.report import Report
from didsim.cli.commands.reproduce import Reproduce
from didsim.cli.commands.sampler import Sampler
from didsim.cli.commands.simplex import Simplex
from didsim.cli.commands.sweep import Sweep
from didsim.cli.commands.train import Train
from didsim.cli.commands.verify import Verify
from didsim.cli.commands.worlds import Worlds

# In the order in which help shows them.
COMMANDS: tuple[type[Command], ...] = (
    Reproduce,
    List,
    Verify,
    Report,
    Diagnose,
    Objectives,
    Atlas,
    Golden,
    Worlds,
    Sampler,
    Simplex,
    Playground,
    Train,
    Sweep,
    Plot,
    Bench,
    Info,
)
