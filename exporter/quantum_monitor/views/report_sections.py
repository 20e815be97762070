"""The chapters of a report: each a function from the facts of a run to HTML, empty where it has nothing to say."""

from __future__ import annotations

import json
import math
import ntpath
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from quantum_monitor.store.artifacts import Artifact
from quantum_monitor.views.report_data import ALERTS_AT_MOST, Facts
from quantum_monitor.views.report_gaps import not_measured
from quantum_monitor.views.report_html import (
    Cell,
    Markup,
    duration,
    moment,
    number,
    pairs,
    paragraph,
    section,
    table,
    text,
)
from quantum_monitor.views.report_numbers import backends, circuits, costs, curves, metrics, states, training

_ARTIFACTS_AT_MOST = 500

_STATUSES = {
    "completed": "The training ended by itself.",
    "failed": "The training ended with an error.",
    "stopped": "The run was ended before it was done, by hand or by a signal.",
    "killed": "The process went away without ending the run. What it had recorded until then is here.",
    "running": "The run had not ended when this report was made.",
}


def title(facts: Facts) -> str:
    """What the page is called."""
    return f"{_name(facts)} · {facts.info.get('experiment', '')}"


def _name(facts: Facts) -> str:
    return str(facts.info.get("name") or facts.info.get("run_id") or "A run without a name")


def heading(facts: Facts) -> str:
    """Which run this is, how it ended, and when."""
    info = facts.info
    begin, end = _seconds(info.get("start_time")), _seconds(info.get("end_time"))
    until = facts.observed.last_time if end is None else end
    status = facts.status
    told = text(_STATUSES.get(status, ""))
    known = f' class="{status}"' if status in _STATUSES else ""
    entries: dict[str, Cell] = {
        "Experiment": _told(info.get("experiment")),
        "Run id": _told(info.get("run_id")),
        "Start": None if begin is None else moment(begin),
        "End" if end is not None else "Last record": None if until is None else moment(until),
        "Duration": None if begin is None or until is None else duration(max(0.0, until - begin)),
    }
    return (
        f"<header>\n<h1>{text(_name(facts))}</h1>\n"
        f"<p><strong{known}>{text(status.capitalize())}.</strong> {told}</p>\n{pairs(entries)}\n</header>"
    )


def environment(facts: Facts) -> str:
    """What the run ran on."""
    info = facts.info
    framework = " ".join(str(info[key]) for key in ("framework", "version") if info.get(key))
    entries: dict[str, Cell] = {"Framework": framework if framework not in {"", "none"} else None}
    given = info.get("environment")
    for name, value in _flat(given if isinstance(given, Mapping) else {}):
        entries[(name[:1].upper() + name[1:]).replace("_", " ")] = _without_folders(value)
    for name, value in _flat(_mapping(info, "labels")):
        entries[f"Label {name}"] = value
    return section("Environment", pairs(entries))


def parameters(facts: Facts) -> str:
    """What the run was started with."""
    return section("Parameters", _named_values(_mapping(facts.info, "params"), "Parameters of the run"))


def tags(facts: Facts) -> str:
    """What the run was tagged with."""
    return section("Tags", _named_values(_mapping(facts.info, "tags"), "Tags of the run"))


def alerts(facts: Facts) -> str:
    """What alerts reported, on the time axis."""
    observed = facts.observed
    if not observed.alerts_reported:
        return section("Alerts", paragraph("No alert was reported."))
    begin = _seconds(facts.info.get("start_time"))
    rows = [
        (
            moment(a.time),
            None if begin is None else duration(a.time - begin),
            a.step,
            a.alert,
            a.severity,
            "firing" if a.firing else "resolved",
            a.value,
            a.threshold,
        )
        for a in observed.alerts
    ]
    left = observed.alerts_reported - len(rows)
    sentence = paragraph(f"The latest {ALERTS_AT_MOST} of {number(observed.alerts_reported)} reports.") if left else ""
    columns = ("Time", "After the start", "Step", "Alert", "Severity", "State", "Value", "Threshold")
    return section("Alerts", sentence, table(columns, rows, label="Reports of alerts, oldest first"))


def artifacts(facts: Facts) -> str:
    """The files that belong to the run."""
    shown = facts.artifacts[:_ARTIFACTS_AT_MOST]
    rows = [(a.name, a.kind, a.path.name, moment(a.time), a.register_as, _details(a)) for a in shown]
    left = len(facts.artifacts) - len(shown)
    more = paragraph(f"{number(left)} more are in the run's directory.") if left else ""
    columns = ("Artifact", "Kind", "File", "Time", "Registered as", "Details")
    return section("Artifacts", table(columns, rows, label="Files that belong to the run"), more)


def gaps(facts: Facts) -> str:
    """What has no record, and what would bring it."""
    rows = [(what, Markup(f"<code>{text(call)}</code>")) for what, call in not_measured(facts)]
    sentence = paragraph("No record tells of these. Each comes with the call beside it.", "soft") if rows else ""
    label = "Absent quantities, and the call that brings each"
    return section("What was not measured", sentence, table(("Quantity", "Call"), rows, label=label))


SECTIONS: tuple[Callable[[Facts], str], ...] = (
    curves, training, states, circuits, costs, backends, alerts, parameters, tags, metrics, artifacts, environment,
    gaps,
)  # fmt: skip
"""The chapters in their order."""


def _named_values(values: Mapping[str, Any], label: str) -> str:
    return table(("Name", "Value"), [(name, _told(value) or "") for name, value in values.items()], label=label)


def _told(value: object) -> str | None:
    """A value of ``run.json`` as text."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _flat(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The entries of a nested mapping, each under the last of its names with the others in front."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}: {inner}", told) for inner, told in _flat(value))
        elif value not in (None, "", []):
            yield name, _told(value) or ""


def _without_folders(value: str) -> str:
    """The name of a file instead of its whole path, which often names a person."""
    return ntpath.basename(value) or value if value.startswith("/") or ntpath.splitdrive(value)[0] else value


def _details(artifact: Artifact) -> str | None:
    return "; ".join(f"{name}: {told}" for name, told in _flat(artifact.metadata)) or None


def _mapping(info: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = info.get(key)
    return value if isinstance(value, Mapping) else {}


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None
