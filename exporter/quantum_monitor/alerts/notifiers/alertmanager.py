"""Alertmanager, through its API v2."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from quantum_monitor.alerts.links import Links
from quantum_monitor.alerts.notifiers.http import TIMEOUT, post
from quantum_monitor.alerts.notifiers.wording import describe, is_resolved, labels_of, number, one_line, severity_label
from quantum_monitor.alerts.rules import BY_KEY, prometheus_name
from quantum_monitor.names import label_value

_Begin = tuple[str, tuple[tuple[str, str], ...]]
_BEGINNINGS_KEPT = 1_000


@dataclass(frozen=True)
class Alertmanager:
    """Posts each alert to Alertmanager, which groups, routes and silences it.

    An alert that fires stands there for ``stands`` seconds and is then taken for resolved, so that one of a process
    that was killed ends by itself. That must be longer than the cooldown, after which what still fires is sent again.

    Alertmanager waits for a group to fill (``group_wait``, 30 s by default) and never tells of an alert that was over
    by then, as when a run ends right after its gradient exploded. So it is not told of the end of an alert that it has
    known for less than ``shown`` seconds; that alert ends by itself, too.

    Attributes:
        url: the address of Alertmanager, without ``/api``.
        user: of basic authentication; None for none.
        password: that goes with the user. Not in the repr.
        links: where dashboards and runbooks are.
        stands: seconds for which a firing alert holds without being sent again; three cooldowns by default.
        shown: seconds for which Alertmanager must have known an alert before it is told of its end.
        timeout: seconds, for the connection and for each part of the answer.
    """

    url: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    links: Links = field(default=Links(), kw_only=True)
    stands: float = field(default=900.0, kw_only=True)
    shown: float = field(default=120.0, kw_only=True)
    timeout: float = field(default=TIMEOUT, kw_only=True)
    name: str = field(default="alertmanager", init=False)
    _known_since: dict[_Begin, float] = field(default_factory=dict, init=False, repr=False, compare=False)

    def send(self, alert: Mapping[str, Any]) -> None:
        """Post the alert.

        Raises:
            DeliveryError: it did not arrive.
        """
        labels = _labels(alert)
        begin = (str(alert["started_at"]), tuple(sorted(labels.items())))
        now = time.time()
        since = self._known_since.get(begin, now)
        if not is_resolved(alert):
            ends = now + self.stands
        else:
            ends = alert["timestamp"] if now - since >= self.shown else now + self.shown
        entry = {
            "labels": labels,
            "annotations": self._annotations(alert),
            "startsAt": _rfc3339(alert["started_at"]),
            "endsAt": _rfc3339(ends),
        }
        post(f"{self.url}/api/v2/alerts", [entry], authorization=self._authorization(), timeout=self.timeout)
        self._note(begin, since, over=is_resolved(alert))

    def _annotations(self, alert: Mapping[str, Any]) -> dict[str, str]:
        message = describe(alert, self.links)
        rule = BY_KEY.get(alert["type"])
        return {
            "summary": message.headline.partition("] ")[2],
            "description": f"{message.sentence}. {rule.help if rule else ''}".strip(),
            "value": number(alert["value"]),
            "threshold": number(alert["threshold"]),
            "runbook_url": message.runbook,
            "dashboard_url": message.dashboard,
        }

    def _authorization(self) -> str | None:
        if self.user is None:
            return None
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()

    def _note(self, begin: _Begin, since: float, *, over: bool) -> None:
        """Remember since when Alertmanager has known an alert."""
        self._known_since.pop(begin, None)
        if not over:
            self._known_since[begin] = since
            if len(self._known_since) > _BEGINNINGS_KEPT:
                del self._known_since[next(iter(self._known_since))]


def _labels(alert: Mapping[str, Any]) -> dict[str, str]:
    """The labels by which Alertmanager groups and routes: those of the rules, but for ``job`` and ``instance``."""
    rule = BY_KEY.get(alert["type"])
    return {
        **{name: label_value(value) for name, value in labels_of(alert).items()},
        "alertname": rule.prometheus_name if rule else prometheus_name("custom_alert"),
        "alert": one_line(alert["type"]),
        "severity": severity_label(alert),
    }


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds")
