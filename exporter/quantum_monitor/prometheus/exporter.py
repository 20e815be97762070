"""Exporter: the runs of this process, what serves them, and how long an ended run stays visible."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, ProcessCollector

from quantum_monitor.alerts.machine import MachineAlerts
from quantum_monitor.alerts.shared import SharedAlerts
from quantum_monitor.alerts.watcher import Watcher
from quantum_monitor.faults import FAULTS
from quantum_monitor.names import LABEL_LENGTH, label_value
from quantum_monitor.prometheus.collector import SCRAPE_THREAD, BackendStatus, MonitorCollector, Tally
from quantum_monitor.prometheus.endpoints import Endpoints
from quantum_monitor.prometheus.system import SystemSampler

if TYPE_CHECKING:
    from quantum_monitor.alerts.board import Keep
    from quantum_monitor.alerts.system import QuantumAlertSystem
    from quantum_monitor.run import Run

OnSample = Callable[[Mapping[str, float]], None]

_ENDED_AT_MOST = 20
_UNSEEN_SECONDS_AT_MOST = 600.0
_NAMES_REMEMBERED = 10_000
_BACKENDS_AT_MOST = 100
_OPERATIONS_AT_MOST = 20
_MACHINE_SAMPLE_AGE = 1.0
_MACHINE_JUDGED_SECONDS = 10.0


@dataclass
class _Ended:
    run: Run
    since: float
    seen: bool = False


class Exporter:
    """Everything that one registry of this process shows.

    One exporter a registry: monitors that are given none share one registry, one collector and one endpoint.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._clock = time.monotonic
        self.machine = SystemSampler()
        self._samplings: dict[object, tuple[float, OnSample]] = {}
        self._lock = threading.RLock()
        self._live: list[Run] = []
        self._ended: list[_Ended] = []
        self._tally = Tally()
        self._backends: dict[tuple[tuple[str, str], ...], BackendStatus] = {}
        self.endpoints = Endpoints(registry, self.scraped, self._about)
        self._names: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._seen = threading.Condition()
        self._last_seen = 0.0
        self.machine_alerts = MachineAlerts()
        self._watcher = Watcher(self.look_at_alerts)
        collector = MonitorCollector(
            runs=self.runs,
            backends=lambda: list(self._backends.values()),
            machine=lambda: self._judged_sample(_MACHINE_SAMPLE_AGE),
            machine_alerts=lambda: self.machine_alerts.alerts,
            tally=self.tally,
            on_collected=self._collected,
        )
        registry.register(collector)
        with contextlib.suppress(ValueError):  # a registry of the user's, which has the process_* metrics already
            ProcessCollector(registry=registry)

    # The machine

    def start_sampling(self, owner: object, seconds: float, on_sample: OnSample) -> None:
        """Sample the machine for an owner; of several, at the shortest interval that one of them wants."""
        with self._lock:
            self._samplings[owner] = (seconds, on_sample)
            self._restart_sampling()

    def stop_sampling(self, owner: object) -> None:
        """Sample no more for this owner; the last one ends the thread."""
        with self._lock:
            if self._samplings.pop(owner, None) is not None:
                self._restart_sampling()

    def _restart_sampling(self) -> None:
        if self._samplings:
            self.machine.start(min(seconds for seconds, _ in self._samplings.values()), on_sample=self._sampled)
        else:
            self.machine.stop()

    def _sampled(self, sample: Mapping[str, float]) -> None:
        self.machine_alerts.judge(sample)
        for _, on_sample in list(self._samplings.values()):
            on_sample(sample)

    # Alerts

    def judge_by(self, system: QuantumAlertSystem, keep: Keep) -> None:
        """Judge the machine by the thresholds of this system; of several, by those of the latest."""
        self.machine_alerts.judge_by(system, keep)
        self._watcher.start(system)

    def judge_no_more(self, system: QuantumAlertSystem) -> None:
        """This system's monitor is closed: what it knows to fire is over for it."""
        self._watcher.stop(system)
        with self._lock:
            backends = list(self._backends.values())
        for backend in backends:
            backend.alerts.leave(system)
        self.machine_alerts.judge_no_more(system)

    def _judged_sample(self, max_age: float) -> Mapping[str, float]:
        sample = self.machine.latest(max_age)
        self.machine_alerts.judge(sample)
        return sample

    def look_at_alerts(self) -> None:
        """Judge what time changes, of every run, backend and the machine."""
        with self._lock:
            runs, backends = list(self._live), list(self._backends.values())
        looks = [run.look_at_alerts for run in runs] + [backend.alerts.look for backend in backends]
        for look in (*looks, lambda: self._judged_sample(_MACHINE_JUDGED_SECONDS), self.machine_alerts.look):
            try:
                look()
            except Exception as error:  # noqa: BLE001 - what fails must not keep the others from being looked at
                FAULTS.internal("alerts", error)

    # What is shown

    def runs(self) -> list[Run]:
        """Live runs and those that ended lately, oldest first; forgets the others."""
        with self._lock:
            now = self._clock()
            keep = [ended for ended in self._ended if not _over(ended, now)][-_ENDED_AT_MOST:]
            for ended in self._ended:
                if ended not in keep:
                    self._tally.add(ended.run)
            self._ended = keep
            return self._shown()

    def _shown(self) -> list[Run]:
        return [ended.run for ended in self._ended] + self._live

    def tally(self) -> Tally:
        """Counts of all runs this process has had."""
        with self._lock:
            tally, runs = self._tally.copy(), self._shown()
        for run in runs:
            tally.add(run)
        return tally

    def label(self, experiment: str, name: str) -> str:
        """The ``run`` label of a new run: its name, cut at 128 characters, with ``-2`` for a second one."""
        experiment, base = label_value(experiment), label_value(name)
        with self._lock:
            shown = {(run.series_labels["experiment"], run.label) for run in self._shown()}
            number = self._names.pop((experiment, base), 0) + 1
            label = base
            while number > 1 or (experiment, label) in shown:
                suffix = f"-{number}"
                label = base[: LABEL_LENGTH - len(suffix)] + suffix
                if (experiment, label) not in self._names and (experiment, label) not in shown:
                    break
                number += 1
            self._names[experiment, base] = number
            self._names.setdefault((experiment, label), 1)
            while len(self._names) > _NAMES_REMEMBERED:
                self._names.popitem(last=False)
            return label

    def begin(self, run: Run) -> None:
        """Show a run."""
        with self._lock:
            self._live.append(run)

    def retire(self, run: Run) -> None:
        """Keep an ended run for its grace period, and until a scrape has seen its end."""
        with self._lock:
            if run in self._live:
                self._live.remove(run)
                self._ended.append(_Ended(run, self._clock()))
        self.runs()

    def report_backend(
        self,
        name: str,
        constant_labels: Mapping[str, str],
        *,
        fields: Mapping[str, float],
        error_ratios: Mapping[str, float],
        system: QuantumAlertSystem,
        keep: Keep,
    ) -> None:
        """Show what was reported of a backend, unless there are too many of them, or of its operations.

        Whoever reports it judges it, by the thresholds of its alert system.
        """
        labels = {"backend": name, **constant_labels}
        key = tuple(sorted(labels.items()))
        with self._lock:
            status = self._backends.get(key)
            if status is None:
                if len(self._backends) >= _BACKENDS_AT_MOST:
                    self._reject_series(f"quantum_backend_* has its {_BACKENDS_AT_MOST} backends")
                    return
                status = self._backends[key] = BackendStatus(labels, SharedAlerts("backend", labels, system, keep))
            status.latest.update(fields)
            status.latest["last_report"] = time.time()
            for operation, ratio in error_ratios.items():
                if operation in status.error_ratios or len(status.error_ratios) < _OPERATIONS_AT_MOST:
                    status.error_ratios[operation] = ratio
                else:
                    self._reject_series(f"quantum_backend_error_ratio has its {_OPERATIONS_AT_MOST} operations")
            shown = {operation: ratio for operation, ratio in error_ratios.items() if operation in status.error_ratios}
        status.alerts.adopt(system, keep)
        status.alerts.backend(fields, shown)

    def _reject_series(self, reason: str) -> None:
        self._tally.series_rejected += 1
        FAULTS.rejected("series", f"{reason}; further ones are not shown")

    def hardware_status(self) -> dict[str, dict[str, object]]:
        """What is known of each backend, by name."""
        with self._lock:
            backends = list(self._backends.values())
        return {b.labels["backend"]: {**b.latest, "error_rates": b.error_ratios.copy()} for b in backends}

    # Who has seen it

    def _collected(self, started: float) -> None:
        # A registry that is served elsewhere tells only that it was collected; our own server knows when the
        # answer has left.
        if threading.current_thread().name != SCRAPE_THREAD:
            self.scraped(started)

    def scraped(self, started: float) -> None:
        """Note a complete scrape that began at ``started`` (``time.monotonic()``)."""
        with self._lock:
            for ended in self._ended:
                ended.seen = ended.seen or ended.since <= started
        with self._seen:
            self._last_seen = max(self._last_seen, started)
            self._seen.notify_all()

    def wait_for_scrape(self, since: float, timeout: float) -> bool:
        """Wait until a scrape that began after ``since`` is complete, at most ``timeout`` seconds."""
        with self._seen:
            return self._seen.wait_for(lambda: self._last_seen >= since, timeout)

    def _about(self) -> dict[str, str]:
        return {f"{run.experiment} / {run.label}": _standing(run) for run in self.runs()}

    def _after_fork(self) -> None:
        """In a forked child: what the parent has shown is the parent's to show, and so is its endpoint."""
        self._lock = threading.RLock()
        self._seen = threading.Condition()
        self._live, self._ended, self._tally = [], [], Tally()
        self.machine_alerts.renew()
        self._watcher.renew()
        self._backends = {}
        self.endpoints.renew()
        self.registry._lock = threading.Lock()


def _over(ended: _Ended, now: float) -> bool:
    age = now - ended.since
    return age > _UNSEEN_SECONDS_AT_MOST or (ended.seen and age > ended.run.settings.grace_period)


def _standing(run: Run) -> str:
    with run.lock:
        loss, fidelity = run.latest.get("loss"), run.latest.get("fidelity")
        parts = [run.status, f"{run.steps} steps"]
    parts += [f"loss {loss:.6g}"] if loss is not None else []
    parts += [f"fidelity {fidelity:.4f}"] if fidelity is not None else []
    return ", ".join(parts)


_EXPORTERS: dict[CollectorRegistry, Exporter] = {}
_LOCK = threading.Lock()
_shared: CollectorRegistry | None = None


def exporter_of(registry: CollectorRegistry | None) -> Exporter:
    """The exporter of a registry; without one, that of the registry which the monitors of this process share."""
    global _shared  # noqa: PLW0603 - made on first use, so that an import registers nothing
    with _LOCK:
        if registry is None:
            registry = _shared = _shared or CollectorRegistry()
        return _EXPORTERS.get(registry) or _EXPORTERS.setdefault(registry, Exporter(registry))


def _after_fork() -> None:
    global _LOCK  # noqa: PLW0603 - it may have been held by a thread that is gone
    _LOCK = threading.Lock()
    for exporter in _EXPORTERS.values():
        exporter._after_fork()


os.register_at_fork(after_in_child=_after_fork)
