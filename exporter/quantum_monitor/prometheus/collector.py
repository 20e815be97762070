"""The collector: turns what the runs of this process have shown into metric families when somebody scrapes."""

from __future__ import annotations

import platform
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from prometheus_client import Metric as Family
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from quantum_monitor._version import __version__
from quantum_monitor.faults import FAULTS
from quantum_monitor.prometheus import catalog
from quantum_monitor.prometheus.buckets import Buckets
from quantum_monitor.prometheus.catalog import Metric
from quantum_monitor.run import LOG_CALLS, Activity, Run

Labels = Mapping[str, str]
Series = tuple[Labels, float]

_RUN_GAUGES = tuple(m for m in catalog.TRAINING + catalog.STATE if m.field)
_CIRCUIT_GAUGES = tuple(m for m in catalog.CIRCUIT if m.field and m.type == "gauge")
_MACHINE_GAUGES = tuple(m for m in catalog.PROCESS if m.kind == "system")


class Tally:
    """Counters of this process that outlive the runs they come from."""

    def __init__(self) -> None:
        self.records: Counter[str] = Counter()
        self.calls: dict[str, list[float]] = {call: [0, 0.0] for call in LOG_CALLS}
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

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self.latest: dict[str, float] = {}
        self.error_ratios: dict[str, float] = {}


class MonitorCollector(Collector):
    """Renders runs, backends, machine and self metrics; holds no numbers of its own.

    Args:
        runs: the runs to show, ended ones in their grace period included.
        backends: the backends to show.
        machine: latest machine sample, field to value.
        tally: counts of forgotten runs.
        on_collected: told when a collection is done, with the ``time.monotonic()`` of its start.
    """

    def __init__(
        self,
        *,
        runs: Callable[[], Sequence[Run]],
        backends: Callable[[], Iterable[BackendStatus]],
        machine: Callable[[], Mapping[str, float]],
        tally: Callable[[], Tally],
        on_collected: Callable[[float], None],
    ) -> None:
        self._runs, self._backends, self._machine, self._tally = runs, backends, machine, tally
        self._on_collected = on_collected

    def describe(self) -> Iterator[Family]:
        """Every family of the catalog, without series: how a registry learns the names."""
        return (Family(_family_name(m), m.help, m.type) for m in catalog.METRICS)

    def collect(self) -> Iterator[Family]:
        """The families that have something to show, in the order of the catalog."""
        started = time.monotonic()
        families = {m.name: Family(_family_name(m), m.help, m.type) for m in catalog.METRICS}
        out = {name: family.samples for name, family in families.items()}
        runs = self._runs()
        for run in runs:
            _guarded("run", lambda run=run: _collect_run(run, out))
        _guarded("backend", lambda: _collect_backends(self._backends(), out))
        _guarded("machine", lambda: _collect_machine(self._machine(), out))
        _guarded("self", lambda: _collect_self(self._tally(), runs, out))
        yield from (family for family in families.values() if family.samples)
        self._on_collected(started)


Out = dict[str, list[Sample]]


def _guarded(part: str, collect: Callable[[], None]) -> None:
    try:
        collect()
    except Exception as error:  # noqa: BLE001 - a part that fails must not take the whole scrape with it
        FAULTS.internal(f"collect_{part}", error)


def _family_name(metric: Metric) -> str:
    return metric.name.removesuffix("_total").removesuffix("_info")


def _collect_run(run: Run, out: Out) -> None:
    with run.lock:
        latest, custom = run.latest.copy(), run.custom.copy()
        last_step, steps, durations = run.last_step, run.steps, run.step_duration.copy()
        best_loss, best_fidelity = run.best_loss, run.best_fidelity
        circuits = {backend: activity.copy() for backend, activity in run.circuits.items()}
        status, ended = run.status, run.ended
    labels = run.series_labels

    def show(name: str, value: float, extra: Labels | None = None) -> None:
        out[name].append(Sample(name, {**labels, **extra} if extra else labels, value))

    show("quantum_run_info", 1, {"run_id": run.run_id, **run.facts})
    for name in catalog.RUN_STATUSES:
        show("quantum_run_status", float(name == status), {"status": name})
    show("quantum_run_start_timestamp_seconds", run.started)
    if ended is not None:
        show("quantum_run_end_timestamp_seconds", ended)

    show("quantum_training_steps_total", steps)
    if last_step is not None:
        if last_step.step is not None:
            show("quantum_training_step", last_step.step)
        show("quantum_training_last_step_timestamp_seconds", last_step.time)
        _histogram("quantum_training_step_duration_seconds", durations, labels, out)
    for metric in _RUN_GAUGES:
        if metric.field in latest:
            show(metric.name, latest[metric.field])
    if best_loss < float("inf"):
        show("quantum_training_best_loss", best_loss)
    if best_fidelity > float("-inf"):
        show("quantum_state_best_fidelity", best_fidelity)
    for name, value in custom.items():
        show("quantum_custom_metric", value, {"name": name})
    for backend, activity in circuits.items():
        _collect_activity(activity, {**labels, "backend": backend}, out)


def _collect_activity(activity: Activity, labels: Labels, out: Out) -> None:
    def show(name: str, value: float, extra: Labels | None = None) -> None:
        out[name].append(Sample(name, {**labels, **extra} if extra else labels, value))

    if activity.executed:
        for status, count in activity.executions.items():
            show("quantum_circuit_executions_total", count, {"status": status})
        _histogram("quantum_circuit_execution_duration_seconds", activity.execution_time, labels, out)
    if activity.queue_time.count:
        _histogram("quantum_circuit_queue_duration_seconds", activity.queue_time, labels, out)
    for metric in _CIRCUIT_GAUGES:
        if metric.field in activity.latest:
            show(metric.name, activity.latest[metric.field])
    if activity.shots is not None:
        show("quantum_circuit_shots_total", activity.shots)
    for (currency, kind), (spent, last) in activity.costs.items():
        money = {"currency": currency, "kind": kind}
        show("quantum_cost_total", spent, money)
        show("quantum_cost_last_execution", last, money)


def _histogram(name: str, buckets: Buckets, labels: Labels, out: Out) -> None:
    samples = out[name]
    for bound, count in buckets.cumulative():
        samples.append(Sample(f"{name}_bucket", {**labels, "le": bound}, count))
    samples.append(Sample(f"{name}_count", labels, buckets.count))
    samples.append(Sample(f"{name}_sum", labels, buckets.total))


def _collect_backends(backends: Iterable[BackendStatus], out: Out) -> None:
    for backend in backends:
        for metric in catalog.BACKEND:
            if metric.field == "error_ratio":
                for operation, ratio in backend.error_ratios.copy().items():
                    out[metric.name].append(Sample(metric.name, {**backend.labels, "operation": operation}, ratio))
            elif metric.field in backend.latest:
                out[metric.name].append(Sample(metric.name, backend.labels, backend.latest[metric.field]))


def _collect_machine(machine: Mapping[str, float], out: Out) -> None:
    for metric in _MACHINE_GAUGES:
        if metric.field in machine:
            out[metric.name].append(Sample(metric.name, {}, machine[metric.field]))


def _collect_self(tally: Tally, runs: Sequence[Run], out: Out) -> None:
    def show(name: str, value: float, labels: Labels | None = None, suffix: str = "") -> None:
        out[name].append(Sample(name + suffix, labels or {}, value))

    show("quantum_monitor_build_info", 1, {"version": __version__, "python": platform.python_version()})
    for kind, count in sorted(tally.records.items()):
        show("quantum_monitor_records_total", count, {"kind": kind})
    for (sink, reason), count in sorted(FAULTS.drops.copy().items()):
        show("quantum_monitor_records_dropped_total", count, {"sink": sink, "reason": reason})
    for where, count in sorted(FAULTS.errors.copy().items()):
        show("quantum_monitor_errors_total", count, {"where": where})
    show("quantum_monitor_sink_backlog", sum(run.store.backlog for run in runs), {"sink": "store"})
    for call, (count, seconds) in tally.calls.items():
        show("quantum_monitor_log_duration_seconds", count, {"call": call}, "_count")
        show("quantum_monitor_log_duration_seconds", seconds, {"call": call}, "_sum")
    show("quantum_monitor_series_rejected_total", tally.series_rejected)
