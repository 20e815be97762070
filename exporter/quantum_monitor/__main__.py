"""``python -m quantum_monitor``: the command line, where the interpreter's own options are wanted."""

import sys

from quantum_monitor.cli import main

sys.exit(main())
