import sys

from didsim import solvers

sys.modules[__name__] = solvers
