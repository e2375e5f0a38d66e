"""``python -m didsim``."""

import sys

from didsim.cli import main

sys.exit(main())
