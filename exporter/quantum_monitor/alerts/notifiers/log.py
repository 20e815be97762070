"""The log: each alert as a line of the logger ``quantum_monitor``."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from quantum_monitor.alerts.links import Links
from quantum_monitor.alerts.notifiers.wording import describe, is_resolved
from quantum_monitor.log import LOG


@dataclass(frozen=True)
class Log:
    """Writes one line for each alert: a warning when it fires, an information when it is over.

    Attributes:
        links: where dashboards and runbooks are.
    """

    links: Links = field(default=Links(), kw_only=True)
    name: str = field(default="log", init=False)

    def send(self, alert: Mapping[str, Any]) -> None:
        """Write the line; names in it cannot break it into several."""
        message = describe(alert, self.links)
        level = logging.INFO if is_resolved(alert) else logging.WARNING
        LOG.log(level, "%s: %s (%s)", message.headline, message.sentence, message.runbook)
