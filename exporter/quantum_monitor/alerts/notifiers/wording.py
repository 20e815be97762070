"""What a message about an alert says, before Slack or e-mail give it a form. Names in it are untrusted text."""

from __future__ import annotations

import math
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from quantum_monitor.alerts.links import Links, dashboard_url, runbook_url
from quantum_monitor.alerts.rules import SEVERITIES
from quantum_monitor.names import text

_LENGTH = 200
_SHOWN_FIRST = ("experiment", "run", "backend", "host")
_COLOURS = {"critical": "#d92d20", "warning": "#f0a30a", "info": "#3574e2"}
_RESOLVED_COLOUR = "#2e9e5b"


@dataclass(frozen=True)
class Message:
    """A message in plain words.

    Attributes:
        headline: one line: what happened, and in which run.
        sentence: the alert's own message.
        facts: name and text of each: value against threshold, where, since when, how long.
        more: constant labels, ``team=x, site=y``; may be empty.
        dashboard: address of the dashboard.
        runbook: address of the runbook page.
        colour: ``#rrggbb``, by severity, or green when it is over.
    """

    headline: str
    sentence: str
    facts: tuple[tuple[str, str], ...]
    more: str
    dashboard: str
    runbook: str
    colour: str


def describe(alert: Mapping[str, Any], links: Links) -> Message:
    """Put an alert into words.

    Args:
        alert: as callbacks get it.
        links: where dashboards and runbooks are.
    """
    labels = {one_line(name): one_line(value) for name, value in labels_of(alert).items()}
    label = severity_label(alert)
    over = is_resolved(alert)
    place = " / ".join(labels[name] for name in _SHOWN_FIRST if name in labels)
    facts = [("Value", f"{number(alert['value'])} (threshold {number(alert['threshold'])})"), ("Severity", label)]
    facts += [(name.capitalize(), labels[name]) for name in _SHOWN_FIRST if name in labels]
    facts += [("Began", moment(alert["started_at"]))]
    facts += [("Ended", moment(alert["timestamp"])), ("Lasted", span(alert["duration"]))] if over else []
    facts += [("For", span(alert["duration"]))] if not over and alert["duration"] >= 1 else []
    return Message(
        headline=f"[{'RESOLVED' if over else f'FIRING {label}'}] {one_line(alert['type'])}" + (place and f": {place}"),
        sentence=one_line(alert["message"], 2 * _LENGTH),
        facts=tuple(facts),
        more=", ".join(f"{name}={value}" for name, value in labels.items() if name not in _SHOWN_FIRST),
        dashboard=dashboard_url(alert, links.grafana),
        runbook=runbook_url(alert, links.runbooks),
        colour=_RESOLVED_COLOUR if over else _COLOURS[label],
    )


def labels_of(alert: Mapping[str, Any]) -> dict[str, Any]:
    """The alert's labels; where it belongs to no run, with this machine's name, else nobody knows which it was."""
    labels = dict(alert.get("labels") or {})
    return labels if "run" in labels else {**labels, "host": socket.gethostname()}


def is_resolved(alert: Mapping[str, Any]) -> bool:
    """Whether the alert tells that something is over."""
    return bool(alert["state"] == "resolved")


def severity_label(alert: Mapping[str, Any]) -> str:
    """The severity as rules and routes call it: critical, warning or info."""
    return SEVERITIES[alert["severity"]].label


def one_line(value: object, length: int = _LENGTH) -> str:
    """Untrusted text as one line of printable characters, cut: no line break, control or direction mark is left."""
    told = text(value)
    cut = told if len(told) <= length else f"{told[: length - 3]}..."
    return "".join(letter if letter.isprintable() else " " if letter.isspace() else "?" for letter in cut)


def number(value: float) -> str:
    """A value as people read it: six digits at most."""
    return f"{value:.6g}" if math.isfinite(value) else "NaN" if math.isnan(value) else f"{value:+}"


def moment(seconds: float) -> str:
    """A Unix time as a date and time of day in UTC."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


def span(seconds: float) -> str:
    """A duration in its two largest units: ``45 s``, ``3 min 20 s``, ``2 h 5 min``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s" if whole or seconds <= 0 else "less than 1 s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"
