"""A generic webhook: the alert as JSON."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from quantum_monitor.alerts.links import Links, dashboard_url, runbook_url
from quantum_monitor.alerts.notifiers.http import TIMEOUT, post

VERSION = 1
"""Version of the payload: it rises when a field changes its meaning or goes, not when one is added."""


@dataclass(frozen=True)
class Webhook:
    """Posts each alert to an address: the fields of the alert, ``version``, ``dashboard_url`` and ``runbook_url``.

    Attributes:
        url: where to. May hold a secret: not in the repr.
        authorization: the value of the header ``Authorization``; None for no such header.
        links: where dashboards and runbooks are.
        timeout: seconds, for the connection and for each part of the answer.
    """

    url: str = field(repr=False)
    authorization: str | None = field(default=None, repr=False)
    links: Links = field(default=Links(), kw_only=True)
    timeout: float = field(default=TIMEOUT, kw_only=True)
    name: str = field(default="webhook", init=False)

    def send(self, alert: Mapping[str, Any]) -> None:
        """Post the alert.

        Raises:
            DeliveryError: it did not arrive.
        """
        body = {
            "version": VERSION,
            **alert,
            "host": socket.gethostname(),
            "dashboard_url": dashboard_url(alert, self.links.grafana),
            "runbook_url": runbook_url(alert, self.links.runbooks),
        }
        post(self.url, body, authorization=self.authorization, timeout=self.timeout)
