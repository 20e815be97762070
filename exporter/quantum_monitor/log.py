"""The logger of the package."""

from __future__ import annotations

import logging

LOG = logging.getLogger("quantum_monitor")
