"""The chapters of a report: each a function from the facts of a run, with no blocks where it has nothing to say."""

from __future__ import annotations

import json
import math
import ntpath
from collections.abc import Iterator, Mapping
from typing import Any

from quantum_monitor import masking
from quantum_monitor.store.artifacts import Artifact
from quantum_monitor.views.observed import ALERTS_AT_MOST
from quantum_monitor.views.report_data import Facts
from quantum_monitor.views.report_gaps import not_measured
from quantum_monitor.views.report_model import Chapter, Heading, Pairs, Paragraph, Table, chapter
from quantum_monitor.views.words import Cell, Code, duration, moment, number

_ARTIFACTS_AT_MOST = 500
_CAUSE_AT_MOST = 100

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


def heading(facts: Facts) -> Heading:
    """Which run this is, how it ended, and when."""
    info = facts.info
    begin, end = _seconds(info.get("start_time")), _seconds(info.get("end_time"))
    until = facts.observed.last_time if end is None else end
    entries: dict[str, Cell] = {
        "Experiment": _told(info.get("experiment")),
        "Run id": _told(info.get("run_id")),
        "Start": None if begin is None else moment(begin),
        "End" if end is not None else "Last record": None if until is None else moment(until),
        "Duration": None if begin is None or until is None else duration(max(0.0, until - begin)),
    }
    return Heading(_name(facts), facts.status, _ending(facts), Pairs(entries))


def _ending(facts: Facts) -> str:
    """How it ended in a sentence, and of what as far as it is known."""
    sentence, cause = _STATUSES.get(facts.status, ""), facts.info.get("ended_by")
    if facts.status not in ("failed", "stopped") or not isinstance(cause, str) or not cause:
        return sentence
    return f"{sentence.removesuffix('.')}: {cause[:_CAUSE_AT_MOST]}."


def environment(facts: Facts) -> Chapter:
    """What the run ran on."""
    info = facts.info
    framework = " ".join(str(info[key]) for key in ("framework", "version") if info.get(key))
    entries: dict[str, Cell] = {"Framework": framework if framework not in {"", "none"} else None}
    for name, value in _flat(_mapping(info, "environment")):
        entries[(name[:1].upper() + name[1:]).replace("_", " ")] = without_folders(value)
    for name, value in _flat(_mapping(info, "labels")):
        entries[f"Label {name}"] = value
    return chapter("Environment", Pairs(entries))


def parameters(facts: Facts) -> Chapter:
    """What the run was started with."""
    return chapter("Parameters", _named_values(_mapping(facts.info, "params"), "Parameters of the run"))


def tags(facts: Facts) -> Chapter:
    """What the run was tagged with."""
    return chapter("Tags", _named_values(_mapping(facts.info, "tags"), "Tags of the run"))


def alerts(facts: Facts) -> Chapter:
    """What alerts reported, on the time axis."""
    observed = facts.observed
    if not observed.alerts_reported:
        return chapter("Alerts", Paragraph("No alert was reported."))
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
    sentence = (
        Paragraph(f"The latest {ALERTS_AT_MOST} of {number(observed.alerts_reported)} reports.") if left else None
    )
    columns = ("Time", "After the start", "Step", "Alert", "Severity", "State", "Value", "Threshold")
    return chapter("Alerts", sentence, Table(columns, rows, "Reports of alerts, oldest first"))


def artifacts(facts: Facts) -> Chapter:
    """The files that belong to the run."""
    shown = facts.artifacts[:_ARTIFACTS_AT_MOST]
    rows = [(a.name, a.kind, a.path.name, moment(a.time), a.register_as, _details(a)) for a in shown]
    left = len(facts.artifacts) - len(shown)
    more = Paragraph(f"{number(left)} more are in the run's directory.") if left else None
    columns = ("Artifact", "Kind", "File", "Time", "Registered as", "Details")
    return chapter("Artifacts", Table(columns, rows, "Files that belong to the run"), more)


def gaps(facts: Facts) -> Chapter:
    """What has no record, and what would bring it."""
    rows = [(what, Code(call)) for what, call in not_measured(facts)]
    sentence = Paragraph("No record tells of these. Each comes with the call beside it.", soft=True) if rows else None
    table = Table(("Quantity", "Call"), rows, "Absent quantities, and the call that brings each")
    return chapter("What was not measured", sentence, table)


def _named_values(values: Mapping[str, Any], label: str) -> Table:
    return Table(("Name", "Value"), [(name, _told(value) or "") for name, value in values.items()], label)


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


def without_folders(value: str) -> str:
    """The name of a file instead of its whole path, which often names a person."""
    return ntpath.basename(value) or value if value.startswith("/") or ntpath.splitdrive(value)[0] else value


def _details(artifact: Artifact) -> str | None:
    return "; ".join(f"{name}: {told}" for name, told in _flat(masking.values(artifact.metadata))) or None


def _mapping(info: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = info.get(key)
    return value if isinstance(value, Mapping) else {}


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None
