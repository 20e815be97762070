"""What every panel is made of: its frame, its queries, its overrides, the meaning of its values."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from typing import Any

from grafanalib import core

from quantum_monitor.grafana.queries import Query

Json = dict[str, Any]
States = Mapping[int, tuple[str, str]]
"""What the values of a state mean: value to text and colour."""

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
NOTHING = "nothing measured in this time range"

VANISHED = 5
"""The state of a run that was running when its series ended and its target failed; no process exports it."""
END_NOT_SEEN = 6
"""The state of a run that was running when its series ended, and whose target did not fail; no process exports it."""
RUN_STATES: States = {
    1: ("running", "blue"),
    2: ("completed", "green"),
    3: ("failed", "red"),
    4: ("stopped", "#808080"),
    VANISHED: ("vanished", "dark-red"),
    END_NOT_SEEN: ("ended, end not seen", "#808080"),
}
AVAILABILITY: States = {0: ("down", "red"), 1: ("up", "green")}
ALERT_STATES: States = {0: ("quiet", "green"), 1: ("firing", "red")}


class Target(core.Target):  # type: ignore[misc]  # grafanalib is untyped here
    """A query as Grafana saves it today: grafanalib's says neither range nor editor, and halves the resolution."""

    def to_json_data(self) -> Json:
        """The query."""
        return {
            "datasource": DATASOURCE,
            "editorMode": "code",
            "expr": self.expr,
            "format": self.format,
            "instant": self.instant,
            "legendFormat": self.legendFormat,
            "range": not self.instant,
            "refId": self.refId,
        }


def common(title: str, description: str, span: int | None) -> Json:
    """The arguments that every panel of grafanalib takes.

    Raises:
        ValueError: it has no title or no description.
    """
    if not (title and description):
        raise ValueError(f"panel {title!r} needs a title and a description: what it shows, and what to read from it")
    return {"title": title, "description": description, "span": span, "dataSource": DATASOURCE, "maxDataPoints": None}


def targets(queries: Sequence[Query], *, instant: bool = False, form: str = "time_series") -> list[Target]:
    """The queries with the letters that tell them apart, of the time range or of its end only.

    Args:
        queries: 26 at most.
        instant: whether only the end of the time range is asked for.
        form: how Grafana reads the answer: ``time_series``, ``table`` or ``heatmap``.
    """
    return [
        Target(
            expr=written.expr,
            legendFormat=written.legend,
            refId=letter,
            instant=instant,
            format=form,
        )
        for letter, written in zip(string.ascii_uppercase, queries, strict=False)
    ]


def override(matcher: str, option: str, properties: Json) -> Json:
    """How some of the fields differ from the others."""
    written = [{"id": name, "value": value} for name, value in properties.items()]
    return {"matcher": {"id": matcher, "options": option}, "properties": written}


def mappings(states: States) -> list[Json]:
    """Texts and colours in the place of values."""
    options = {
        str(value): {"color": color, "index": place, "text": text}
        for place, (value, (text, color)) in enumerate(states.items())
    }
    return [{"options": options, "type": "value"}]
