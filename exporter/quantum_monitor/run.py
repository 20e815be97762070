"""Run: what one run has shown so far, in memory."""

from __future__ import annotations

import math
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from quantum_monitor.activity import Activity
from quantum_monitor.alerts.run_alerts import RunAlerts
from quantum_monitor.environment import quantum_framework
from quantum_monitor.faults import FAULTS
from quantum_monitor.names import label_value
from quantum_monitor.prometheus.buckets import Buckets
from quantum_monitor.record import NO_LABELS, Record
from quantum_monitor.training import StepStatistics, Vector

if TYPE_CHECKING:
    from quantum_monitor.alerts.message import Alert
    from quantum_monitor.alerts.system import QuantumAlertSystem
    from quantum_monitor.config import Settings
    from quantum_monitor.physics.states import Array
    from quantum_monitor.store.artifact_writer import ArtifactStore
    from quantum_monitor.store.history import History
    from quantum_monitor.store.writer import RunStore
    from quantum_monitor.trackers.shipment import Shipment

LOG_CALLS = (
    "log_training_step",
    "log_metrics",
    "log_quantum_state",
    "log_circuit_execution",
    "log_backend_status",
    "instrumentation",
)

TRANSPILED_FACTS = ("depth", "two_qubit_gates")

_BACKENDS_AT_MOST = 50
_TOGETHER = 64
_CURRENCIES_AT_MOST = 10
_LABELS_REMEMBERED = 50
_OTHER = "other"
_LEAST = -math.inf

_new_record: Callable[[type[Record], Iterable[Any]], Record] = tuple.__new__  # half the cost of calling Record


_Execution: TypeAlias = tuple[Mapping[str, float], str, str, str, str, float]
"""Fields, backend, status, currency, kind of the cost, and Unix time."""


class Run:
    """The live state of a run; the collector, the summaries and the alerts read it.

    Everything that changes is guarded by ``lock``, so that a scrape sees all fields of a record or none. The lock is
    reentrant: a signal handler that ends the run may interrupt a log call of the same thread.

    Attributes:
        run_id: unique over all machines.
        name: the name given, else the short id.
        label: the ``run`` label: the name, cut, and made unique in this process.
        process: id of the process that began it; a forked child must not end it.
        series_labels: labels of the run's series: experiment, run and the constant ones.
        finished: whether its store knows of its end.
        shipment: its delivery to trackers, or None.
        artifacts: what writes its artifacts; None before the first.
        latest: latest value of each run-scoped field.
        custom: latest value of each custom metric.
        set_aside: money by currency for executions that have begun and are not counted yet.
        instrumented: whether automatic instrumentation has counted executions.
        at_end: called, in order, when the run is about to end.
        logs_executions: whether the program logs its executions itself: then automatic instrumentation counts none.
    """

    def __init__(
        self,
        *,
        run_id: str,
        name: str,
        label: str,
        experiment: str,
        facts: Mapping[str, str],
        settings: Settings,
        history: History,
        store: RunStore,
        alert_system: QuantumAlertSystem,
    ) -> None:
        self.run_id, self.name, self.label, self.experiment = run_id, name, label, experiment
        self.facts = facts
        self.settings = settings
        self.series_labels: dict[str, str] = {
            "experiment": label_value(experiment),
            "run": label,
            **(settings.labels or {}),
        }
        self.history, self.store = history, store
        self.lock = threading.RLock()
        self.process = os.getpid()
        self.started = time.time()
        self.ended: float | None = None
        self.status = "running"
        self.finished = False
        self.shipment: Shipment | None = None
        self.artifacts: ArtifactStore | None = None
        self.params: dict[str, Any] = {}
        self.tags: dict[str, str] = {}

        self.latest: dict[str, float] = {}
        self.custom: dict[str, float] = {}
        self._circuits: dict[str, Activity] = {}
        self._soon: deque[_Execution] = deque()
        self.set_aside: dict[str, float] = {}
        self.at_end: list[Callable[[], None]] = []
        self.instrumented = False
        self.logs_executions = False
        self.transpilations: list[float] = [0.0, 0.0]
        self.transpiled: dict[tuple[str, str], float] = {}
        self.records: Counter[str] = Counter()
        self.calls: dict[str, list[float]] = {call: [0.0, 0.0] for call in LOG_CALLS}
        self.series_rejected = 0
        self.states_logged = 0
        self._states = 0
        self._state_numbers: dict[str, int] = {}

        self.steps = 0
        self.last_step: Record | None = None
        self.step_number: int | None = None
        self.best_loss = math.inf
        self.best_fidelity = -math.inf
        self.step_duration = Buckets(settings.step_duration_buckets)
        self._last_step_clock: float | None = None
        self._step_calls = self.calls["log_training_step"]
        self._statistics = StepStatistics()
        self._remember_step = history.of("training").append
        self._put = store.put
        store.before_writing = self.take_in_unless_busy
        self.alerts = RunAlerts(history.of("training"), self.series_labels, alert_system, self.note_alert)
        alert_system.judge(self)

    def training_step(
        self,
        step: int | None,
        loss: float | None,
        gradient: Vector | None,
        parameters: Vector | None,
        called_at: float,
    ) -> None:
        """Take in a training step; what is None was not measured. The hot path: every line here is paid each step."""
        with self.lock:
            fields = self._statistics.measure(loss, gradient, parameters)
            now = time.perf_counter()
            self._count_step(_new_record(Record, ("training", time.time(), step, fields, NO_LABELS)), loss, now)
            spent = self._step_calls
            spent[0] += 1
            spent[1] += now - called_at

    def training_step_quietly(
        self,
        step: int | None,
        loss: float | None,
        gradient: Vector | None,
        parameters: Vector | None,
        called_at: float,
    ) -> None:
        """The same without NumPy's floating-point warnings, for a process that turns them into errors.

        Silencing them costs a sixth of a step, and only numbers beyond 1e154 bring them up.
        """
        with self.lock, np.errstate(all="ignore"):
            self._statistics.forget_parameters()
            self.training_step(step, loss, gradient, parameters, called_at)

    def note_framework(self) -> None:
        """A quantum framework was imported: the first one of the run's process is what it is known by."""
        with self.lock:
            if self.facts["framework"] != "none":
                return
            framework = quantum_framework()
            self.facts = {**self.facts, **framework}
        self.store.describe(**framework)

    def note_instrumented(self) -> None:
        """Automatic instrumentation counts executions for this run."""
        self.instrumented = True
        self.store.describe(instrumented=True)

    def spent(self, call: str, called_at: float) -> None:
        """Account the time that a log call took from the training loop."""
        with self.lock:
            spent = self.calls[call]
            spent[0] += 1
            spent[1] += time.perf_counter() - called_at

    def values(
        self,
        kind: str,
        step: int | None,
        fields: dict[str, float],
        *,
        is_step: bool = False,
        state_number: int | None = None,
    ) -> None:
        """Take in values that were measured elsewhere, of kind ``training`` or ``state``.

        What the background measured of a state does not take the place of a later state's values: ``state_number``
        counts the states of the run.
        """
        with self.lock:
            if "gradient_norm" in fields and "gradient_variance" not in fields:
                fields["gradient_variance"] = self._statistics.norm(fields["gradient_norm"])
            record = Record(kind, time.time(), step, fields)
            if is_step:
                self._count_step(record, fields.get("loss"), time.perf_counter())
                return
            now = time.perf_counter()
            self.latest.update(fields if state_number is None else self._still_latest(fields, state_number))
            if kind == "training":
                self._note_loss(fields.get("loss"))
            elif kind == "state":
                fidelity = fields.get("fidelity", -math.inf)
                self.best_fidelity = max(self.best_fidelity, fidelity)
            self._publish(record)
            if kind == "training":
                self.alerts.training(fields, now)
            elif kind == "state":
                self.alerts.state(fields, step, now)

    def next_state(self) -> int:
        """The number of a state that is about to be measured."""
        with self.lock:
            self._states += 1
            return self._states

    def _still_latest(self, fields: dict[str, float], number: int) -> dict[str, float]:
        latest = {name: value for name, value in fields.items() if self._state_numbers.get(name, 0) <= number}
        self._state_numbers.update(dict.fromkeys(latest, number))
        return latest

    def _count_step(self, record: Record, loss: float | None, clock: float) -> None:
        last = self._last_step_clock
        self._last_step_clock = clock
        if last is not None:
            self.step_duration.observe(clock - last)
        self.steps += 1
        self.latest.update(record.fields)
        self.last_step = record
        if record.step is not None:
            self.step_number = record.step
        if loss is not None and -math.inf < loss < self.best_loss:
            self.best_loss = loss
        self._remember_step(record)
        self._put(record)
        # What lies within these bounds can neither begin nor end an alert: see RunAlerts.
        fields, alerts = record.fields, self.alerts
        low = alerts.low
        if not (
            fields.get("gradient_norm", _LEAST) <= alerts.norm
            and low <= fields.get("gradient_component_variance", low) <= alerts.high
            and (loss is None or loss - loss == 0.0)  # finite: a third of the price of math.isfinite
            and self.steps < alerts.next_look
        ):
            alerts.step(self.steps, record, clock)

    def _note_loss(self, loss: float | None) -> None:
        if loss is not None and -math.inf < loss < self.best_loss:
            self.best_loss = loss

    def custom_values(self, step: int | None, fields: Mapping[str, float]) -> None:
        """Take in metrics of the user's own, as many distinct names as the limit allows series for."""
        limit = self.settings.custom_series_limit
        with self.lock:
            shown: dict[str, float] = {}
            for name, value in fields.items():
                if name in self.custom or len(self.custom) < limit:
                    self.custom[name] = shown[name] = value
                else:
                    self.reject_series("quantum_custom_metric", limit)
            record = Record("custom", time.time(), step, fields)
            self.records["custom"] += 1
            if shown:  # the history is as bounded as the series; the store keeps every name
                kept = record if len(shown) == len(fields) else record._replace(fields=shown)
                self.history.of("custom").append(kept)
            self._put(record)
            self.alerts.values("custom", fields, time.perf_counter())

    def execution(
        self,
        fields: Mapping[str, float],
        *,
        backend: str,
        status: str,
        currency: str,
        cost_kind: str,
    ) -> None:
        """Take in a circuit execution."""
        with self.lock:
            self.take_in()
            self._execution((fields, backend, status, currency, cost_kind, time.time()))

    def execution_soon(
        self, fields: Mapping[str, float], *, backend: str, status: str, currency: str, cost_kind: str
    ) -> None:
        """Take in a circuit execution when several have come together, or somebody looks, or 50 ms later.

        Between two calls of a framework, hardly anything of ours is in the processor's caches: one by one, this would
        take four times as long.
        """
        self._soon.append((fields, backend, status, currency, cost_kind, time.time()))
        if len(self._soon) >= _TOGETHER or self.ended is not None:
            self.take_in()

    def take_in(self) -> None:
        """Take in the executions that wait; those that another thread brings when the run has ended are dropped."""
        with self.lock:
            while self._soon:
                try:
                    execution = self._soon.popleft()
                except IndexError:  # a signal handler in between has taken it in
                    return
                if self.ended is None:
                    self._execution(execution)
                else:
                    FAULTS.dropped("executions", "run_ended")

    def forget_what_waits(self) -> None:
        """In a forked child: the parent takes it in."""
        self._soon.clear()

    def take_in_unless_busy(self) -> None:
        """The same, for a thread that must not wait for a log call: a signal handler in it may wait for that thread."""
        if self._soon and self.lock.acquire(blocking=False):
            try:
                self.take_in()
            finally:
                self.lock.release()

    def _execution(self, execution: _Execution) -> None:
        fields, backend, status, currency, cost_kind, at = execution
        backend, activity = self._activity(backend)
        activity.count(fields, status)
        if "cost" in fields:
            self._spend(activity, currency, cost_kind, fields["cost"])
        key = (status, currency, cost_kind) if "cost" in fields else (status,)
        labels = activity.labels.get(key)
        if labels is None:
            money = {"currency": currency, "cost_kind": cost_kind} if "cost" in fields else {}
            labels = {"backend": backend, "status": status, **money}
            if len(activity.labels) < _LABELS_REMEMBERED:
                activity.labels[key] = labels
        self._publish(Record("circuit", at, None, fields, labels))
        self.alerts.execution(fields, backend, status, currency, time.perf_counter())

    def job(self, backend: str, before: str | None, after: str | None) -> None:
        """A job on a backend goes from one status to another: ``queued``, ``running``, or None where it is none."""
        with self.lock:
            self.take_in()
            backend, activity = self._activity(backend)
            for status, change in ((before, -1), (after, 1)):
                if status is not None:
                    activity.jobs[status] += change
            if before is None and after is not None:
                self.alerts.job_began(backend)
            elif before is not None and after is None:
                self.alerts.job_ended(backend)

    def waited(self, seconds: float) -> None:
        """A job has waited for so long, and may still wait: the alert ``queue_time_limit`` is judged by it."""
        with self.lock:
            self.alerts.board.see("queue_time_limit", seconds, time.perf_counter())

    def transpilation(self, seconds: float, before: Mapping[str, float], after: Mapping[str, float]) -> None:
        """Take in that circuits were made ready for a backend, with the facts of the largest, before and after."""
        with self.lock:
            self.transpilations[0] += 1
            self.transpilations[1] += seconds
            fields = {"transpilation_time": seconds}
            for kind, facts in (("before", before), ("after", after)):
                for name in TRANSPILED_FACTS:
                    if name in facts:
                        self.transpiled[name, kind] = fields[f"{name}_{kind}"] = facts[name]
            self._publish(Record("transpilation", time.time(), None, fields))

    def bill(self, cost: float, backend: str, currency: str, estimated: float | None = None) -> None:
        """Take in what a provider has billed for executions that were counted before.

        It takes the place of what was estimated or reported of them: of ``estimated``, or of all there was on that
        backend in that currency since the last bill.
        """
        with self.lock:
            self.take_in()
            backend, activity = self._activity(backend)
            replaced = activity.settle(currency, estimated)
            self._spend(activity, currency, "billed", cost)
            labels = {"backend": backend, "currency": currency, "cost_kind": "billed"}
            self._publish(Record("circuit", time.time(), None, {"cost": cost}, labels))
            self.alerts.bill(cost - replaced, currency, time.perf_counter())

    def circuit_values(self, backend: str, step: int | None, fields: Mapping[str, float]) -> None:
        """Take in facts of a circuit that was not executed."""
        with self.lock:
            self.take_in()
            backend, activity = self._activity(backend)
            activity.keep_facts(fields)
            self._publish(Record("circuit", time.time(), step, fields, {"backend": backend}))
            self.alerts.values("circuit", fields, time.perf_counter())

    def observed(self, kind: str, step: int | None, fields: Mapping[str, float], labels: Mapping[str, str]) -> None:
        """Take in a record that only history and store keep (backend status, machine samples)."""
        with self.lock:
            self._publish(Record(kind, time.time(), step, fields, labels))

    def reference(self, given: object, array: Array) -> None:
        """States are compared with this reference from now on."""
        with self.lock:
            self.alerts.reference(given, array)

    @contextmanager
    def waiting(self, backend: str) -> Iterator[None]:
        """A job waits or runs on a backend while the block lasts."""
        with self.lock:
            self.alerts.job_began(backend)
        try:
            yield
        finally:
            with self.lock:
                self.alerts.job_ended(backend)

    def look_at_alerts(self) -> None:
        """Judge what time changes: training that stands still, values that are held no longer."""
        with self.lock:
            self.take_in()
            self.alerts.look(time.perf_counter(), self._last_step_clock, self.latest)

    def refresh_alerts(self) -> None:
        """Take over thresholds that have changed."""
        with self.lock:
            self.alerts.refresh()

    def standing_alerts(self) -> list[Alert]:
        """The alerts that are pending or firing; none once the run has ended."""
        with self.lock:
            self.take_in()
            return list(self.alerts.board.standing()) if self.ended is None else []

    def note_alert(self, alert: Alert) -> None:
        """Keep a report of an alert in the store, where it stands on the time axis."""
        fields = {f"alert_{name}": alert[name] for name in ("value", "threshold")}
        fields["alert_firing"] = float(alert["state"] == "firing")
        labels = {"alert": alert["type"], "severity": alert["severity"]}
        with self.lock:
            record = Record("alert", alert["timestamp"], self.step_number, fields, labels)
            self.records["alert"] += 1
            self._put(record)

    def artifact_store(self) -> ArtifactStore:
        """What writes the artifacts of this run, or refuses them: in a forked child, once it has ended, in memory."""
        from quantum_monitor.store.artifact_writer import ArtifactStore  # few runs have any

        with self.lock:
            if self.artifacts is None:
                refusal = "forked" if self.process != os.getpid() else "closed" if self.ended is not None else ""
                directory = None if self.store.in_memory else self.store.directory
                self.artifacts = ArtifactStore(directory, refusal=refusal)
            return self.artifacts

    def moment(self) -> dict[str, Any]:
        """Where the run is, for what is kept of this moment: run, experiment, step, loss."""
        with self.lock:
            loss = self.latest.get("loss")
            return {"run_id": self.run_id, "experiment": self.experiment, "step": self.step_number, "loss": loss}

    @property
    def circuits(self) -> dict[str, Activity]:
        """What the run did on each backend, by its name."""
        if self._soon:
            self.take_in()
        return self._circuits

    @property
    def is_held_here(self) -> bool:
        """Whether the calling thread is inside the lock already, as a signal handler may find itself."""
        return bool(self.lock._is_owned())  # type: ignore[attr-defined]  # what threading.Condition asks, too

    def queues_known(self, backend: str) -> bool:
        """Whether an execution on this backend has ever reported a queue."""
        activity = self.circuits.get(backend)
        return activity is not None and activity.queue_time.count > 0

    def costs_known(self, backend: str, currency: str) -> bool:
        """Whether an execution on this backend has ever cost something in this currency."""
        activity = self.circuits.get(backend)
        return activity is not None and any(known == currency for known, _ in activity.costs)

    def records_by_kind(self) -> Counter[str]:
        """Number of records accepted, by kind."""
        # Without the lock, which a log call may hold while a signal handler in it waits for whoever calls this.
        return Counter(self.records.copy()) + Counter(training=self.steps, circuit=len(self._soon))

    def reject_series(self, metric: str, limit: int) -> None:
        """Count a series that a full label set refuses."""
        self.series_rejected += 1
        FAULTS.rejected("series", f"{metric} has its {limit} series; further label values go without one")

    def _publish(self, record: Record) -> None:
        self.records[record.kind] += 1
        self.history.of(record.kind).append(record)
        self._put(record)

    def _activity(self, backend: str) -> tuple[str, Activity]:
        activity = self._circuits.get(backend)
        if activity is None:
            if len(self._circuits) >= _BACKENDS_AT_MOST and backend != _OTHER:
                self.reject_series("quantum_circuit_*", _BACKENDS_AT_MOST)
                return self._activity(_OTHER)
            activity = self._circuits[backend] = Activity(
                Buckets(self.settings.execution_duration_buckets), Buckets(self.settings.queue_duration_buckets)
            )
        return backend, activity

    def _spend(self, activity: Activity, currency: str, kind: str, cost: float) -> None:
        spent = activity.costs.get((currency, kind))
        if spent is None:
            if len(activity.costs) >= _CURRENCIES_AT_MOST:
                self.reject_series("quantum_cost_total", _CURRENCIES_AT_MOST)
                return
            spent = activity.costs[currency, kind] = [0.0, 0.0]
        spent[0] += cost
        spent[1] = cost
