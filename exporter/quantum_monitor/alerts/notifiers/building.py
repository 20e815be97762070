"""Builds the notifiers that the settings ask for; imported where there are some, since they bring a mail package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quantum_monitor.alerts.links import Links
from quantum_monitor.alerts.notifiers.alertmanager import Alertmanager
from quantum_monitor.alerts.notifiers.log import Log
from quantum_monitor.alerts.notifiers.protocol import Notifier
from quantum_monitor.alerts.notifiers.slack import Slack
from quantum_monitor.alerts.notifiers.smtp import Smtp
from quantum_monitor.alerts.notifiers.webhook import Webhook
from quantum_monitor.alerts.rules import SEVERITIES, Severity

if TYPE_CHECKING:
    from quantum_monitor.config import Settings

_KINDS = {"webhook": Webhook, "slack": Slack, "smtp": Smtp, "alertmanager": Alertmanager, "log": Log}
_COOLDOWNS_STANDING = 3
_RANKS = {severity: rank for rank, severity in enumerate(reversed(Severity))}  # low, medium, high


def build(settings: Settings) -> list[Notifier]:
    """The notifiers that the settings ask for; none by default.

    Args:
        settings: checked, with the secrets read.
    """
    links = Links(settings.grafana_url, settings.runbook_url)
    notifiers = {kind: dict(options) for kind, options in (settings.notifiers or {}).items()}
    if "alertmanager" in notifiers:  # there, what is not said again is over
        notifiers["alertmanager"].setdefault("stands", _COOLDOWNS_STANDING * settings.alert_cooldown)
    return [_notifier(kind, options, links) for kind, options in notifiers.items()]


def _notifier(kind: str, options: Mapping[str, Any], links: Links) -> Notifier:
    given = dict(options)
    least = given.pop("min_severity", None)
    notifier: Notifier = _KINDS[kind](**given, links=links)
    return notifier if least is None else _FromSeverity(notifier, SEVERITIES[least])


@dataclass(frozen=True)
class _FromSeverity:
    """A notifier that is spared lesser alerts."""

    notifier: Notifier
    least: Severity

    @property
    def name(self) -> str:
        return self.notifier.name

    def send(self, alert: Mapping[str, Any]) -> None:
        if _RANKS[SEVERITIES[alert["severity"]]] >= _RANKS[self.least]:
            self.notifier.send(alert)
