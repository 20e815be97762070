"""The collector: turns what the runs of this process have shown into metric families when somebody scrapes."""

from __future__ import annotations

import math
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from prometheus_client import Metric as Family
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from quantum_monitor import sinks
from quantum_monitor._version import __version__
from quantum_monitor.activity import Activity
from quantum_monitor.alerts.board import AlertRow
from quantum_monitor.alerts.shared import SharedAlerts
from quantum_monitor.faults import FAULTS
from quantum_monitor.prometheus import catalog
from quantum_monitor.prometheus.buckets import Buckets
from quantum_monitor.prometheus.catalog import Metric
from quantum_monitor.run import LOG_CALLS, Run

SCRAPE_THREAD = "quantum-monitor-scrape"
"""Name of the threads in which our own server answers; any other thread that collects belongs to somebody else."""

Labels = dict[str, str]

_RUN_GAUGES = tuple((m.name, m.field) for m in catalog.TRAINING + catalog.STATE if m.field)
_CIRCUIT_GAUGES = tuple((m.name, m.field) for m in catalog.CIRCUIT if m.field and m.type == "gauge")
_BACKEND_GAUGES = tuple((m.name, m.field) for m in catalog.BACKEND if m.field and not m.labels)
_MACHINE_GAUGES = tuple((m.name, m.field) for m in catalog.PROCESS if m.field)


# Shown at 0 from the start: a counter that appears at 1 has no increase.
_KNOWN_DROPS = dict.fromkeys(
    [
        *(("store", reason) for reason in ("queue_full", "forked")),
        ("entropies", "budget"),
        ("circuit_facts", "budget"),
        ("executions", "run_ended"),
        ("jobs", "too_many"),
        *(("artifacts", reason) for reason in ("queue_full", "no_disk", "failed", "closed", "forked")),
        *(("alerts", reason) for reason in ("queue_full", "refused", "undelivered", "closed")),
    ],
    0,
)
_KNOWN_KINDS = dict.fromkeys(
    ["training", "state", "circuit", "transpilation", "backend", "system", "custom", "alert"], 0
)
_KNOWN_PLACES = dict.fromkeys(["store", "backends", "jobs", *LOG_CALLS], 0)


class Tally:
    """Counters of this process that outlive the runs they come from."""

    def __init__(self) -> None:
        self.records: Counter[str] = Counter()
        self.calls: dict[str, list[float]] = {call: [0.0, 0.0] for call in LOG_CALLS}
        self.series_rejected = 0

    def add(self, run: Run) -> None:
        """Add the counts of a run."""
        self.records.update(run.records_by_kind())
        self.series_rejected += run.series_rejected
        for call, (count, seconds) in run.calls.items():
            self.calls[call][0] += count
            self.calls[call][1] += seconds

    def copy(self) -> Tally:
        """An independent copy."""
        tally = Tally()
        tally.records = self.records.copy()
        tally.calls = {call: list(spent) for call, spent in self.calls.items()}
        tally.series_rejected = self.series_rejected
        return tally


class BackendStatus:
    """What is known of one backend, whichever run asked."""

    def __init__(self, labels: Labels, alerts: SharedAlerts) -> None:
        self.labels, self.alerts = labels, alerts
        self.latest: dict[str, float] = {}
        self.error_ratios: dict[str, float] = {}


class MonitorCollector(Collector):
    """Renders runs, backends, machine and self metrics; holds no numbers of its own.

    Args:
        runs: the runs to show, ended ones in their grace period included.
        backends: the backends to show.
        machine: latest machine sample, field to value.
        machine_alerts: the alerts of the machine; None while no monitor is open.
        tally: counts of forgotten runs.
        on_collected: told when a collection is done, with the ``time.monotonic()`` of its start.
    """

    def __init__(
        self,
        *,
        runs: Callable[[], Sequence[Run]],
        backends: Callable[[], Iterable[BackendStatus]],
        machine: Callable[[], Mapping[str, float]],
        machine_alerts: Callable[[], SharedAlerts | None],
        tally: Callable[[], Tally],
        on_collected: Callable[[float], None],
    ) -> None:
        self._runs, self._backends, self._machine, self._tally = runs, backends, machine, tally
        self._machine_alerts = machine_alerts
        self._on_collected = on_collected

    def describe(self) -> Iterator[Family]:
        """Every family of the catalog, without series: how a registry learns the names."""
        return (Family(_family_name(m), m.help, m.type) for m in catalog.METRICS)

    def collect(self) -> Iterator[Family]:
        """The families that have something to show, in the order of the catalog."""
        started = time.monotonic()
        page = _Page()
        runs = self._runs()
        for run in runs:
            _guarded("run", _show_run, run, page)
        _guarded("backend", lambda: _show_backends(self._backends(), page))
        _guarded("machine", lambda: _show_machine(self._machine(), self._machine_alerts(), page))
        _guarded("self", lambda: _show_self(self._tally(), runs, page))
        yield from page.families()
        self._on_collected(started)


class _Page:
    """The families of one scrape, being filled."""

    def __init__(self) -> None:
        self._families = {m.name: Family(_family_name(m), m.help, m.type) for m in catalog.METRICS}

    def show(self, name: str, value: float, labels: Labels, *, suffix: str = "") -> None:
        self._families[name].samples.append(Sample(name + suffix, labels, value))

    def histogram(self, name: str, buckets: Buckets, labels: Labels) -> None:
        for bound, count in buckets.cumulative():
            self.show(name, count, {**labels, "le": bound}, suffix="_bucket")
        self.show(name, buckets.count, labels, suffix="_count")
        self.show(name, buckets.total, labels, suffix="_sum")

    def families(self) -> Iterator[Family]:
        return (family for family in self._families.values() if family.samples)


def _guarded(part: str, show: Callable[..., None], *args: object) -> None:
    try:
        show(*args)
    except Exception as error:  # noqa: BLE001 - a part that fails must not take the whole scrape with it
        FAULTS.internal(f"collect_{part}", error)


def _family_name(metric: Metric) -> str:
    return metric.name.removesuffix("_total").removesuffix("_info")


def _show_run(run: Run, page: _Page) -> None:
    labels = run.series_labels
    with run.lock:
        values = _single_values(run)
        durations = run.step_duration.copy()
        custom = run.custom.copy()
        circuits = {backend: activity.copy() for backend, activity in run.circuits.items()}
        status = run.status
        alerts = list(run.alerts.board.rows())
        transpilations, transpiled = tuple(run.transpilations), run.transpiled.copy()
    page.show("quantum_run_info", 1, {**labels, "run_id": run.run_id, **run.facts})
    for name in catalog.RUN_STATUSES:
        page.show("quantum_run_status", float(name == status), {**labels, "status": name})
    for name, value in values.items():
        page.show(name, value, labels)
    if durations.count:
        page.histogram("quantum_training_step_duration_seconds", durations, labels)
    for name, value in custom.items():
        page.show("quantum_custom_metric", value, {**labels, "name": name})
    if transpilations[0]:
        for suffix, value in zip(("_count", "_sum"), transpilations, strict=True):
            page.show("quantum_transpilation_duration_seconds", value, labels, suffix=suffix)
    for (name, kind), value in transpiled.items():
        page.show(f"quantum_transpilation_{name}", value, {**labels, "kind": kind})
    for backend, activity in circuits.items():
        _show_activity(activity, {**labels, "backend": backend}, page)
    _show_alerts(labels, alerts, page)


def _single_values(run: Run) -> dict[str, float]:
    """Metric name to value, for the metrics of which a run has one series."""
    latest, last = run.latest, run.last_step
    values = {name: latest[field] for name, field in _RUN_GAUGES if field in latest}
    values["quantum_run_start_timestamp_seconds"] = run.started
    values["quantum_training_steps_total"] = run.steps
    if run.ended is not None:
        values["quantum_run_end_timestamp_seconds"] = run.ended
    if last is not None:
        values["quantum_training_last_step_timestamp_seconds"] = last.time
    if run.step_number is not None:
        values["quantum_training_step"] = run.step_number
    if math.isfinite(run.best_loss):
        values["quantum_training_best_loss"] = run.best_loss
    if math.isfinite(run.best_fidelity):
        values["quantum_state_best_fidelity"] = run.best_fidelity
    return values


def _show_activity(activity: Activity, labels: Labels, page: _Page) -> None:
    if activity.executed:
        for status, count in activity.executions.items():
            page.show("quantum_circuit_executions_total", count, {**labels, "status": status})
    for name, buckets in (("execution", activity.execution_time), ("queue", activity.queue_time)):
        if buckets.count:
            page.histogram(f"quantum_circuit_{name}_duration_seconds", buckets, labels)
    for name, field in _CIRCUIT_GAUGES:
        if field in activity.latest:
            page.show(name, activity.latest[field], labels)
    if activity.shots is not None:
        page.show("quantum_circuit_shots_total", activity.shots, labels)
    for status, jobs in activity.jobs.items():
        page.show("quantum_circuit_jobs", jobs, {**labels, "status": status})
    if activity.billed_time is not None:
        page.show("quantum_circuit_billed_seconds_total", activity.billed_time, labels)
    _show_costs(activity, labels, page)


def _show_costs(activity: Activity, labels: Labels, page: _Page) -> None:
    for (currency, kind), (spent, last) in activity.costs.items():
        money = {**labels, "currency": currency, "kind": kind}
        page.show("quantum_cost_total", spent, money)
        page.show("quantum_cost_last_execution", last, money)


def _show_backends(backends: Iterable[BackendStatus], page: _Page) -> None:
    for backend in backends:
        for name, field in _BACKEND_GAUGES:
            if field in backend.latest:
                page.show(name, backend.latest[field], backend.labels)
        for operation, ratio in backend.error_ratios.copy().items():
            page.show("quantum_backend_error_ratio", ratio, {**backend.labels, "operation": operation})
        _show_alerts(*backend.alerts.rows(), page)


def _show_alerts(scope: Mapping[str, str], alerts: Iterable[AlertRow], page: _Page) -> None:
    for row in alerts:
        labels = {**scope, "alert": row.alert}
        if row.value is not None:
            page.show("quantum_alert_value", row.value, labels)
        page.show("quantum_alert_threshold", row.threshold, labels)
        labels = {**labels, "severity": row.severity}
        page.show("quantum_alert_firing", float(row.firing), labels)
        page.show("quantum_alerts_total", row.times_fired, labels)


def _show_machine(machine: Mapping[str, float], alerts: SharedAlerts | None, page: _Page) -> None:
    for name, field in _MACHINE_GAUGES:
        if field in machine:
            page.show(name, machine[field], {})
    if alerts is not None:
        _show_alerts(*alerts.rows(), page)


def _show_self(tally: Tally, runs: Sequence[Run], page: _Page) -> None:
    page.show("quantum_monitor_build_info", 1, {"version": __version__, "python": platform.python_version()})
    for kind, count in sorted({**_KNOWN_KINDS, **tally.records}.items()):
        page.show("quantum_monitor_records_total", count, {"kind": kind})
    backlogs = sinks.backlogs()
    refused = {(sink, "rejected"): 0 for sink in backlogs}
    for (sink, reason), count in sorted({**_KNOWN_DROPS, **refused, **FAULTS.drops.copy()}.items()):
        page.show("quantum_monitor_records_dropped_total", count, {"sink": sink, "reason": reason})
    for where, count in sorted({**_KNOWN_PLACES, **FAULTS.errors.copy()}.items()):
        page.show("quantum_monitor_errors_total", count, {"where": where})
    backlogs = {"store": sum(run.store.backlog for run in runs), **backlogs}
    written = [run.artifacts for run in runs if run.artifacts is not None]
    if written:
        backlogs["artifacts"] = sum(artifacts.backlog for artifacts in written)
    for sink, backlog in backlogs.items():
        page.show("quantum_monitor_sink_backlog", backlog, {"sink": sink})
    for call, (times, seconds) in tally.calls.items():
        page.show("quantum_monitor_log_duration_seconds", times, {"call": call}, suffix="_count")
        page.show("quantum_monitor_log_duration_seconds", seconds, {"call": call}, suffix="_sum")
    page.show("quantum_monitor_series_rejected_total", tally.series_rejected, {})
