"""QuantumMonitor: what the training loop talks to."""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

from quantum_monitor import environment, observe, plugins, summary, tracking, viewing
from quantum_monitor.alerts.delivery import Retry, Subscriber
from quantum_monitor.alerts.system import QuantumAlertSystem
from quantum_monitor.config import ConfigurationError, Settings, load_settings
from quantum_monitor.described import describe, parameter, tag
from quantum_monitor.faults import FAULTS
from quantum_monitor.guards import never_raises, remembering_what_is_given
from quantum_monitor.log import LOG
from quantum_monitor.names import label_value, text
from quantum_monitor.physics.calculator import QuantumMetricsCalculator
from quantum_monitor.process import OPEN, close_at_exit, close_at_the_end_of_a_worker
from quantum_monitor.prometheus import catalog
from quantum_monitor.prometheus.endpoints import Endpoint
from quantum_monitor.prometheus.exporter import exporter_of
from quantum_monitor.record import NO_LABELS
from quantum_monitor.run import Run
from quantum_monitor.state_observer import StateObserver
from quantum_monitor.store.history import History, Summary
from quantum_monitor.store.layout import run_directory
from quantum_monitor.store.writer import RunStore
from quantum_monitor.tensors import STEP_LIMIT, to_float, to_step, to_vector
from quantum_monitor.training import Vector

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from quantum_monitor.alerts.message import Alert
    from quantum_monitor.backends import Poller
    from quantum_monitor.store.artifact_writer import ArtifactStore

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

_FLOAT64 = np.dtype(np.float64)
_FLUSH_TIMEOUT = 5.0
_SCRAPED_SOON_SECONDS = 2.0


class QuantumMonitor:
    """Watches the training of a quantum circuit and shows it to Prometheus, to a store on disk and to you.

    The metrics endpoint is up from construction on. No ``log_*`` call raises, and none waits for a network, or for a
    disk to write on: `log_artifact` alone reads, the file that it is given. What cannot be used is counted in
    ``quantum_monitor_errors_total`` and logged once.

    Every option can also stand in a YAML file (``config=`` or ``QUANTUM_MONITOR_CONFIG``) or in the environment
    (``QUANTUM_MONITOR_STORAGE_PATH`` and so on). Arguments are stronger than the file, the file is stronger than the
    environment; None counts as not given, except that ``metrics_port=None`` serves nothing.

    Args:
        experiment_name: groups runs; the label ``experiment``.
        tracking_uri: the MLflow server to deliver to; MLflow's own choice unless given.
        enable_mlflow: deliver runs to MLflow, where it is installed.
        enable_wandb: deliver runs to Weights & Biases.
        wandb_project: the W&B project; the experiment's name unless given.
        alert_config: thresholds by alert, or rules by metric: ``{"hardware_temp": {"above": 0.02}}``.
        notifiers: whom the process itself tells of alerts: ``{"slack": {"webhook_url_file": "..."}}``; nobody unless
            given, since Prometheus rules and Alertmanager do it better.
        storage_path: folder of the runs' directories; ``./quantum_monitoring`` unless given.
        metrics_port: port of the endpoint; the next free one when it is taken, 0 for any, None for no endpoint.
        metrics_addr: address of the endpoint; nobody but this machine can reach the default.
        labels: constant labels on the series of runs, circuits and backends.
        history_limit: records of each kind kept in memory for summaries.
        retention: delete old runs at start: an age such as ``"30d"``, or the number of runs to keep.
        final_scrape_timeout: seconds that the process waits at its end until the last values have been scraped.
        registry: a registry to show everything in, instead of the one that all monitors of the process share.
        config: a YAML file with options.
        **options: the further fields of `quantum_monitor.config.Settings`, such as ``tls_cert_file``.

    Raises:
        ConfigurationError: an option that cannot be used; says which, why, and what to do.

    Example:
        >>> monitor = QuantumMonitor("h2")
        >>> with monitor.start_run("bond-0.74"):
        ...     for step in range(100):
        ...         loss, gradient, parameters = train_step()
        ...         monitor.log_training_step(loss, gradient, parameters, step)
    """

    metrics_calculator = QuantumMetricsCalculator
    _given: Mapping[str, Any]

    @remembering_what_is_given
    def __init__(  # noqa: PLR0917 - existing code passes them by position
        self,
        experiment_name: str = "quantum_experiment",
        tracking_uri: str | None = None,
        enable_mlflow: bool = True,
        enable_wandb: bool = False,
        wandb_project: str | None = None,
        alert_config: Mapping[str, Any] | None = None,
        storage_path: str | Path | None = None,
        *,
        metrics_port: int | None = 9888,
        metrics_addr: str = "127.0.0.1",
        labels: Mapping[str, str] | None = None,
        history_limit: int = 10_000,
        retention: str | int | None = None,
        final_scrape_timeout: float = 0,
        registry: CollectorRegistry | None = None,
        config: str | Path | None = None,
        **options: Any,
    ) -> None:
        plugins.load_entry_points()  # first: alert_config may name an alert of theirs
        self._settings: Settings = load_settings(self._given, config=config)
        self.storage_path = Path(self._settings.storage_path)
        self.alert_system = QuantumAlertSystem(self._settings.alert_config, cooldown=self._settings.alert_cooldown)
        if self._settings.notifiers:
            self._start_notifiers()
        self._exporter = exporter_of(registry)
        try:
            self._endpoint: Endpoint | None = self._exporter.endpoints.serve(self._settings)
        except ValueError as error:
            raise ConfigurationError([str(error)]) from error
        self._states = StateObserver()
        self._lock = threading.RLock()
        self._run: Run | None = None
        self._last_run: Run | None = None
        self._last_end: float | None = None
        self._closed = False
        self._process = os.getpid()
        self._poller: Poller | None = None
        self._blocks: list[Run | None] = []
        self._unwritten: list[ArtifactStore] = []
        self._page = viewing.LivePage()
        self._exporter.judge_by(self.alert_system, self._keep_alert)
        if self._settings.retention is not None:
            summary.clean_up_in_background(self.storage_path, self._settings.retention)
        OPEN.append(self)
        close_at_exit()
        close_at_the_end_of_a_worker()

    def _start_notifiers(self) -> None:
        # Not at the top: few processes tell people themselves, and a mail package comes with it.
        from quantum_monitor.alerts.notifiers.building import build

        for notifier in build(self._settings):
            where = f"notifier_{notifier.name}"
            self.alert_system.notify(Subscriber(notifier.name, notifier.send, retry=Retry(), where=where))

    # Runs

    def start_run(self, name: str | None = None) -> QuantumMonitor:
        """Begin a run; one that is still active ends as completed.

        Args:
            name: shown as the label ``run``; the short run id unless given. A second run of that name in this process
                is shown as ``name-2``.

        Returns:
            The monitor, so that ``with monitor.start_run("a"):`` ends the run with the block: as failed if the block
            raised, as stopped if it was interrupted.
        """
        self._begin(name)
        return self

    def _begin(self, name: str | None) -> Run:
        with self._lock:
            if self._closed:  # started again, without an endpoint
                self._closed = False
                OPEN.append(self)
                self.alert_system.reopen()
                if self._settings.notifiers:
                    self._start_notifiers()
            # Again, where the monitor was closed before, or a fork left the watcher's thread in the parent.
            self._exporter.judge_by(self.alert_system, self._keep_alert)
            run_id = secrets.token_hex(16)
            shown = text(name if name is not None else "") or run_id[:8]
            settings = self._settings
            surroundings = environment.capture()
            facts = {**environment.quantum_framework(), "git_commit": environment.git_commit(surroundings)}
            trackers = tracking.chosen(settings)
            store = RunStore(
                run_directory(self.storage_path, settings.experiment_name, run_id),
                {
                    "run_id": run_id,
                    "name": shown,
                    "experiment": settings.experiment_name,
                    "status": "running",
                    "start_time": time.time(),
                    "labels": dict(settings.labels or {}),
                    "tracking": tracking.described(trackers),
                    "environment": surroundings,
                    **facts,
                },
                keep_states=settings.keep_states,
            )
            run = Run(
                run_id=run_id,
                name=shown,
                label=self._exporter.label(settings.experiment_name, shown),
                experiment=settings.experiment_name,
                facts=facts,
                settings=settings,
                history=History(settings.history_limit, rename=catalog.SUMMARY_NAMES),
                store=store,
                alert_system=self.alert_system,
            )
            run.shipment = tracking.hand_over(store, trackers, settings)
            self._exporter.begin(run)
            # Not necessarily the run that was active at first: a signal handler may have begun one meanwhile.
            before, self._run, self._last_run = self._run, run, run
        if before is not None:  # outside the lock, which another thread's log call may be waiting for
            self._finish(before, "completed")
        return run

    def end_run(self, status: str = "completed") -> None:
        """End the run: its last states are measured, its summary is written. Without an active run, nothing happens.

        Waits for delivery to trackers, ``delivery_timeout`` seconds at most, and logs what is still on its way then.

        Args:
            status: ``completed``, ``failed`` or ``stopped``.
        """
        with self._lock:
            run, self._run = self._run, None
        if run is not None:
            self._finish(run, status)
            if run.finished:  # not so in a forked child, whose parent's run it is
                tracking.wait(run.shipment, self._settings)

    def _finish(self, run: Run, status: str) -> None:
        if run.process != os.getpid():
            return  # a forked child has its parent's run in memory, which is not its to end
        word = text(status)
        if word not in ("completed", "failed", "stopped"):
            FAULTS.rejected("end_run", f"status is {word!r}: say completed, failed or stopped; kept as stopped")
            word = "stopped"
        self._say_that_it_ends(run)
        self._states.flush(run, _FLUSH_TIMEOUT)
        with run.lock:
            run.take_in()
            run.alerts.close(run.latest)
            run.ended, run.status = time.time(), word
        self._exporter.retire(run)
        self._last_end = time.monotonic()
        if run.artifacts is not None and not run.artifacts.close(_FLUSH_TIMEOUT):
            self._unwritten = [store for store in self._unwritten if store.backlog] + [run.artifacts]
            LOG.warning(
                "%d artifacts are still being written: they are lost if this process ends now; what is written after "
                "the end of the run is brought to trackers by `quantum-monitor sync %s`",
                run.artifacts.backlog,
                run.store.directory,
            )
        run.note_framework()
        run.store.describe(environment={"packages": environment.packages()})  # what was imported since the start
        run.store.describe(status=word, end_time=run.ended)
        run.finished = True
        try:
            run.store.describe(summary=summary.comprehensive(run, self))
        except Exception as error:  # noqa: BLE001 - a summary that fails must neither raise nor leave the run open
            FAULTS.internal("end_run", error)
        finally:
            run.store.close(_FLUSH_TIMEOUT)

    @staticmethod
    def _say_that_it_ends(run: Run) -> None:
        """Tell whoever holds something back for this run; instrumentation does."""
        while run.at_end:
            try:
                run.at_end.pop(0)()
            except Exception as error:  # noqa: BLE001 - the run ends whatever they do
                FAULTS.internal("end_run", error)

    def __enter__(self) -> QuantumMonitor:
        """Begin a run unless one is active. Of nested blocks, the one that has the run first ends it."""
        if self._run is None:
            self.start_run()
        self._blocks.append(self._run if self._run not in self._blocks else None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the run as the block ended; an exception goes through."""
        if self._blocks.pop() is None:
            return
        if error is None or (isinstance(error, SystemExit) and not error.code):
            self.end_run("completed")
        else:
            self.end_run("stopped" if isinstance(error, KeyboardInterrupt) else "failed")

    def close(self) -> None:
        """End the active run and give the endpoint back; waits for the last scrape where the settings say so.

        Waits for artifacts as long as writing them makes progress; Ctrl-C gives them up. What is logged afterwards is
        refused and counted.
        """
        self._closed = True
        self.end_run()
        last = self._last_run
        if last is not None and not last.finished:  # an interrupt came in the middle of its end
            self._finish(last, "stopped")
        try:
            self._write_the_rest()
        finally:
            self._leave()

    def _write_the_rest(self) -> None:
        waiting = sum(store.backlog for store in self._unwritten)
        if not waiting:
            return
        try:
            LOG.warning("waiting until %d artifacts are written; Ctrl-C gives them up", waiting)
            for store in self._unwritten:
                store.finish()
        finally:
            lost = sum(store.give_up() for store in self._unwritten)
            if lost:
                LOG.warning("%d artifacts are lost", lost)

    def _leave(self) -> None:
        tracking.leave()
        self._page.stop()
        if self._poller is not None:
            self._poller.close()
        self.stop_realtime_monitoring()
        self._exporter.judge_no_more(self.alert_system)
        self.alert_system.close()
        with contextlib.suppress(ValueError):  # closed before
            OPEN.remove(self)
        with self._lock:
            endpoint, self._endpoint = self._endpoint, None
        if endpoint is None:
            return
        try:
            if self._last_end is not None and self._settings.final_scrape_timeout:
                self._wait_for_the_last_scrape(self._last_end, self._settings.final_scrape_timeout)
        finally:
            self._exporter.endpoints.release(endpoint)

    def _wait_for_the_last_scrape(self, since: float, timeout: float) -> None:
        soon = min(timeout, _SCRAPED_SOON_SECONDS)
        if self._exporter.wait_for_scrape(since, soon):
            return
        LOG.warning("waiting until the end of the run has been scraped, %g s at most; Ctrl-C goes on without", timeout)
        if not self._exporter.wait_for_scrape(since, timeout - soon):
            LOG.warning("no scrape came within %g s: Prometheus has not seen the end of the run", timeout)

    # What the training loop says

    def log_training_step(
        self,
        loss: Any,
        gradients: Any,
        parameters: Any,
        step: Any,
        additional_metrics: Mapping[str, Any] | None = None,
    ) -> None:
        """Log one step of training.

        Args:
            loss: the loss, one real number.
            gradients: its gradient, any shape: array, tensor, or lists of them; None if there is none.
            parameters: the trained parameters, likewise.
            step: the step's number, as you count.
            additional_metrics: further values of this step, as for `log_metrics`.
        """
        called_at = time.perf_counter()
        try:
            run = self._run or self._implicit_run()
            # Spelled out rather than delegated: the common case is a float, two plain vectors and an int.
            gradient: Vector | None
            vector: Vector | None
            if type(gradients) is np.ndarray and gradients.dtype is _FLOAT64 and gradients.ndim == 1 and gradients.size:
                gradient = gradients
            else:
                gradient = observe.usable(to_vector, gradients, "gradients")
            if (
                type(parameters) is np.ndarray
                and parameters.dtype is _FLOAT64
                and parameters.ndim == 1
                and parameters.size
            ):
                vector = parameters
            else:
                vector = observe.usable(to_vector, parameters, "parameters")
            if type(loss) is not float:
                loss = observe.usable(to_float, loss, "loss")
            if type(step) is not int or not -STEP_LIMIT < step < STEP_LIMIT:
                step = observe.usable(to_step, step, "step")
            try:
                run.training_step(step, loss, gradient, vector, called_at)
            except (RuntimeWarning, FloatingPointError):
                run.training_step_quietly(step, loss, gradient, vector, called_at)
            if plugins.GRADIENT and gradient is not None:
                observe.custom(run, step, plugins.evaluate("gradient", gradients))
            if additional_metrics is not None:
                observe.metrics(run, additional_metrics, step, is_step=False)
        except ValueError as error:
            FAULTS.rejected("log_training_step", error)
        except Exception as error:  # noqa: BLE001 - the promise: no log call raises into training
            FAULTS.internal("log_training_step", error)

    @never_raises
    def log_metrics(self, metrics: Mapping[str, Any], step: Any = None) -> None:
        """Log values by name.

        A name that the catalog knows (``docs/metrics.md``) lands in its own metric; ``{"loss": x}`` with a step is a
        training step. Any other lands in ``quantum_custom_metric{name=...}``.

        Args:
            metrics: name to number; an array or tensor is logged as ``NAME_mean``, ``_std``, ``_min`` and ``_max``.
            step: the training step they belong to.
        """
        called_at = time.perf_counter()
        run = self._run or self._implicit_run()
        with np.errstate(all="ignore"):  # a process may have turned NumPy's warnings into errors
            observe.metrics(run, metrics, observe.usable(to_step, step, "step"), is_step=True)
        run.spent("log_metrics", called_at)

    @never_raises
    def log_quantum_state(self, state_vector: Any, step: Any, reference_state: Any = None) -> None:
        """Log a quantum state: purity, entanglement, participation ratio, and fidelity where a reference is given.

        The entropies of a large state are computed in the background, within 5 % of the wall time; when states come
        faster than that, only some of them get entropies. The run keeps snapshots of its states to look at,
        ``keep_states`` at most (200 unless set): the newest, the first, and evenly spread ones between, up to 12 qubits
        (density matrices 6).

        Args:
            state_vector: amplitudes, shape (2**n,), qubit 0 most significant, or a density matrix, shape
                (2**n, 2**n), or a state object of Qiskit, QuTiP, PennyLane or Cirq. Normalised before use; the norm
                it came with is reported as ``quantum_state_norm``.
            step: the training step it belongs to.
            reference_state: the state to compare with, likewise.
        """
        called_at = time.perf_counter()
        run = self._run or self._implicit_run()
        step = observe.usable(to_step, step, "step")
        with np.errstate(all="ignore"):
            self._states.observe(run, state_vector, step, reference_state)
        run.spent("log_quantum_state", called_at)

    @never_raises
    def log_circuit_execution(
        self,
        circuit_description: Any,
        execution_time: Any,
        queue_time: Any = 0.0,
        cost: Any = 0.0,
        backend_info: Any = None,
        *,
        shots: Any = None,
        status: str = "success",
    ) -> None:
        """Log one execution of a circuit.

        Args:
            circuit_description: ``{"gates": [{"type": "h", "qubit": 0}, ...]}``, OpenQASM text, or a circuit of
                Qiskit, PennyLane, Cirq or Braket; None if unknown.
            execution_time: seconds on the backend.
            queue_time: seconds in its queue. 0 means that no queue is known, until this backend has had one.
            cost: what it cost, as you reckon it. 0 means that no cost is known, until this backend has had one.
            backend_info: the backend's name, an object with a ``name``, or a mapping with ``name`` and ``currency``
                (USD unless given).
            shots: number of shots.
            status: ``success``, ``failed`` or ``cancelled``.
        """
        called_at = time.perf_counter()
        run = self._run or self._implicit_run()
        amounts = {"execution_time": execution_time, "queue_time": queue_time, "cost": cost, "shots": shots}
        if not run.logs_executions:
            self._logs_executions(run)
        observe.execution(run, circuit_description, amounts, backend_info, status)
        run.spent("log_circuit_execution", called_at)

    @staticmethod
    def _logs_executions(run: Run) -> None:
        run.logs_executions = True
        if run.instrumented:
            LOG.warning(
                "run %s: the program logs an execution itself, so none is counted automatically from here on", run.label
            )

    @never_raises
    def log_backend_status(
        self,
        name: str,
        *,
        up: bool | None,
        pending_jobs: Any = None,
        error_rates: Mapping[str, Any] | None = None,
        qubits: Any = None,
        volume: Any = None,
        t1: Any = None,
        t2: Any = None,
        calibration_time: Any = None,
        utilization: Any = None,
    ) -> None:
        """Log what is known of a backend; it stays known when the run ends.

        Args:
            name: the backend's name.
            up: whether it takes jobs; None where that is not known.
            pending_jobs: jobs in its queue.
            error_rates: operation (``1q``, ``2q``, ``readout``) to error rate, 0 to 1.
            qubits: number of qubits.
            volume: quantum volume, measured or published.
            t1: relaxation time in seconds; of several (one a qubit) the median is kept.
            t2: dephasing time, likewise.
            calibration_time: when it was last calibrated: a datetime, or Unix time in seconds.
            utilization: share of its time that it is busy, 0 to 1.
        """
        called_at = time.perf_counter()
        values = {
            "up": up,
            "pending_jobs": pending_jobs,
            "qubits": qubits,
            "volume": volume,
            "t1": t1,
            "t2": t2,
            "calibration_time": calibration_time,
            "utilization": utilization,
        }
        with np.errstate(all="ignore"):
            fields, ratios = observe.backend_fields(values, error_rates)
        label = label_value(name)
        constant = self._settings.labels or {}
        self._exporter.report_backend(
            label, constant, fields=fields, error_ratios=ratios, system=self.alert_system, keep=self._keep_alert
        )
        run = self._run
        if run is not None:
            ratio_fields = {f"error_ratio_{operation}": ratio for operation, ratio in ratios.items()}
            run.observed("backend", None, {**fields, **ratio_fields}, {"backend": label})
            run.spent("log_backend_status", called_at)

    @contextlib.contextmanager
    def waiting_for_backend(self, name: str) -> Iterator[None]:
        """Say that a job waits or runs on a backend while the block lasts: training that makes no step is not stalled.

        Args:
            name: the backend's name.

        Example:
            >>> with monitor.waiting_for_backend("ibm_fez"):
            ...     result = job.result()
        """
        run = self._run
        with contextlib.nullcontext() if run is None else run.waiting(label_value(name)):
            yield

    def watch(self, thing: T) -> T:
        """Count what one device, backend or QNode executes, and log it to this monitor, whatever else is instrumented.

        Args:
            thing: a PennyLane device or QNode (whose device is watched), a Qiskit primitive or backend, a Cirq sampler
                or simulator, a Braket device.

        Returns:
            The same object.

        Raises:
            ValueError: nothing that can be watched.

        Example:
            >>> device = monitor.watch(qml.device("default.qubit", wires=4))
        """
        from quantum_monitor.frameworks.watching import watch

        watch(self, thing)
        return thing

    def unwatch(self, thing: Any) -> None:
        """Watch it no more; harmless where it is not watched."""
        from quantum_monitor.frameworks.watching import unwatch

        unwatch(thing)

    def poll_backends(self, *backends: Any, interval: float | None = None) -> None:
        """Ask backends for their status at intervals, in the background; `close` ends it.

        Args:
            *backends: backends of Qiskit or IBM Runtime, or Braket devices.
            interval: seconds from one look to the next; the setting ``backend_poll_interval`` unless given.

        Raises:
            ValueError: an interval of no sense, or a backend that nobody can read.
        """
        self._poller_of(interval).watch(*backends)

    def note_backend(self, backend: Any) -> None:
        """Automatic instrumentation has seen this backend: ask for its status, where the settings do not forbid it."""
        if self._settings.backend_poll_interval and not self._closed:
            (self._poller or self._poller_of(None)).note(backend)

    def _poller_of(self, interval: float | None) -> Poller:
        from quantum_monitor.backends import Poller

        with self._lock:
            if self._poller is None:
                self._poller = Poller(self.log_backend_status, self._settings.backend_poll_interval or 60.0)
            if interval is not None:
                self._poller.interval = interval
            return self._poller

    @never_raises
    def log_bill(self, cost: Any, *, backend_info: Any = None, currency: str = "USD", estimated: Any = None) -> None:
        """Log what the provider has billed for executions that were estimated, or reported, before.

        ``quantum_cost_total{kind="billed"}`` grows by it. Where spent money is added up (the budget, summaries), the
        bill takes the place of what was estimated of the executions that it bills.

        Args:
            cost: the amount, at least 0.
            backend_info: the backend's name, as for `log_circuit_execution`.
            currency: of the amount: that of the estimates, for others are not added up with it.
            estimated: what those executions were estimated at; all on that backend since the last bill unless given.
        """
        observe.bill(self._run or self._implicit_run(), cost, backend_info, currency, estimated)

    def check_budget(self, cost: float = 0.0, currency: str = "USD") -> None:
        """Raise if the active run cannot afford this; of use before a job that is sent without instrumentation.

        Args:
            cost: what is about to be spent.
            currency: of the amount.

        Raises:
            BudgetExceeded: what the run has spent and this come to more than ``cost_budget``.
        """
        from quantum_monitor.costs import budget

        if self._run is not None:
            budget.check(self._run, cost, currency)

    @never_raises
    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log what the run was started with: learning rate, ansatz, molecule, seed.

        A value that takes more than 10,000 characters is kept as the beginning of its text; arrays of parameters are
        no parameters of a run.
        """
        describe(self._run or self._implicit_run(), "params", params, parameter)

    @never_raises
    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Tag the run; values are kept as text."""
        describe(self._run or self._implicit_run(), "tags", tags, tag)

    @never_raises
    def log_model(
        self, name: str, parameters: Any, metadata: Mapping[str, Any] | None = None, *, register_as: str | None = None
    ) -> None:
        """Keep the parameters of a model, as they are now, with what is known of the moment.

        They are copied here and written in the background: ``artifacts/models/NAME/VERSION`` holds ``parameters.npz``
        (never pickled) and ``metadata.json``. A second model of that name is version 2.

        Args:
            name: what the model is called.
            parameters: an array or tensor, a list of them, or a nested mapping of them such as a ``state_dict``.
            metadata: whatever belongs to it, as JSON can say it.
            register_as: name under which the model registry of a tracker lists the version.
        """
        from quantum_monitor import artifacts

        run = self._run or self._implicit_run()
        artifacts.log_model(
            run.artifact_store(), name, parameters, metadata, register_as=register_as, facts=run.moment()
        )

    @never_raises
    def log_circuit(self, circuit: Any, name: str) -> None:
        """Keep a circuit as OpenQASM 3, as a drawing in text and SVG, and with its facts; up to 10,000 gates.

        It is written down here, which takes a millisecond for ten gates and a third of a second for ten thousand.
        Matrices and state vectors of more than 512 elements together are not made into gates, which takes a framework
        seconds: then OpenQASM, and of states the counts of gates, are left out, as ``circuit.json`` says.

        Args:
            circuit: as for `log_circuit_execution`.
            name: what the circuit is called.
        """
        from quantum_monitor import artifacts

        artifacts.log_circuit((self._run or self._implicit_run()).artifact_store(), circuit, name)

    @never_raises
    def log_artifact(self, path: str | Path, name: str | None = None) -> None:
        """Keep a copy of a file or folder of yours: a figure, a table, a configuration.

        A file up to 16 MiB is read in the call, so it may be changed or deleted right after; a larger one is held open
        and copied in the background: it may be deleted, but not written to. A folder is copied in the background, and
        must stay until the end of the run.

        Args:
            path: the file or folder.
            name: what it is called; its own name unless given.
        """
        from quantum_monitor import artifacts

        artifacts.log_artifact((self._run or self._implicit_run()).artifact_store(), path, name)

    def _implicit_run(self) -> Run:
        with self._lock:
            if self._closed:
                raise ValueError("the monitor is closed: start_run() begins another run, without an endpoint")
            if self._run is None:
                LOG.info("logging without a run: one is started; start_run() gives it a name")
                return self._begin(None)
            return self._run

    # Process and machine

    def start_realtime_monitoring(self, update_interval: float = 1.0) -> None:
        """Sample process and machine in the background, into the metrics and into the active run's store.

        Args:
            update_interval: seconds between samples; below 0.05 counts as 0.05.

        Raises:
            ValueError: no number above 0.
        """
        seconds = to_float(update_interval, "update_interval")
        if not seconds > 0:
            raise ValueError(f"update_interval is {seconds}: hand over seconds, such as 1.0")
        self._exporter.start_sampling(self, max(0.05, seconds), self._sampled)

    def stop_realtime_monitoring(self) -> None:
        """Stop sampling for this monitor; a scrape still gets fresh values."""
        self._exporter.stop_sampling(self)

    def _keep_alert(self, alert: Alert) -> None:
        """Keep what was reported of a backend or of the machine in the store of the active run."""
        run = self._run
        if run is not None:
            run.note_alert(alert)

    def _sampled(self, sample: Mapping[str, float]) -> None:
        run = self._run
        if run is not None and sample:
            run.observed("system", None, sample, NO_LABELS)

    # What it knows

    @property
    def is_running(self) -> bool:
        """Whether a run is active."""
        return self._run is not None

    @property
    def active_run(self) -> Run | None:
        """The run that is active, for those who look inside; None without one."""
        return self._run

    @property
    def awaits_its_first_run(self) -> bool:
        """Whether it was made in this process, is open, and has had no run yet."""
        return self._last_run is None and not self._closed and self._process == os.getpid()

    @property
    def price_tables(self) -> Path | None:
        """Prices of the user's own."""
        return self._settings.price_tables

    @property
    def current_run_id(self) -> str | None:
        """Id of the active run, or None."""
        return self._run.run_id if self._run is not None else None

    @property
    def run_path(self) -> Path | None:
        """Directory of the active or, without one, the last run; None before the first."""
        return self._last_run.store.directory if self._last_run is not None else None

    @property
    def experiment_name(self) -> str:
        """Name of the experiment."""
        return self._settings.experiment_name

    @property
    def registry(self) -> CollectorRegistry:
        """The registry that holds everything, to be mounted elsewhere."""
        return self._exporter.registry

    @property
    def metrics_url(self) -> str | None:
        """The address being served, or None."""
        endpoint = self._endpoint
        return endpoint.server.url if endpoint is not None else None

    @property
    def loss_history(self) -> list[float]:
        """Losses of the active or last run, oldest first, ``history_limit`` at most."""
        return self._series("loss")

    @property
    def fidelity_history(self) -> list[float]:
        """Fidelities, likewise."""
        return self._series("fidelity")

    @property
    def entanglement_history(self) -> list[float]:
        """Entanglement entropies in bits, likewise."""
        return self._series("entanglement_entropy")

    def _series(self, field: str) -> list[float]:
        return [] if self._last_run is None else self._last_run.history.series(field)

    def get_metrics_summary(self) -> dict[str, Summary]:
        """``{name: {latest, mean, std, min, max, count, trend}}`` over what the history still holds."""
        self._settle()
        return {} if self._last_run is None else self._last_run.history.summary()

    def get_comprehensive_summary(self) -> dict[str, Any]:
        """Everything about the active or last run, as nested dictionaries."""
        self._settle()
        return summary.comprehensive(self._last_run, self)

    def export_metrics(self, path: str | Path, format: str = "json") -> None:  # noqa: A002 - the public name
        """Write the active or last run to a file.

        Args:
            path: the file to write.
            format: ``json`` (facts of the run and a series a field), ``csv`` (a row a record) or ``comprehensive``
                (JSON with the summary and every record).

        Raises:
            ValueError: another format, or no run yet.
        """
        self._settle()
        summary.export(self._last_run, path, format)

    def generate_report(self, include_visualizations: bool = True) -> str:
        """Write the report of the active or last run into its directory: ``report.html``, and ``report.md`` beside it.

        Args:
            include_visualizations: with figures, which take the extra ``views`` and make a file of 5 MB; without it,
                or without the extra, the page has small curves and no script.

        Returns:
            The path of ``report.html``.

        Raises:
            ValueError: no run yet.
            OSError: the files cannot be written.
        """
        return viewing.report(self, figures=include_visualizations)

    def create_static_dashboard(self, format: str = "html") -> str:  # noqa: A002 - the public name
        """Write all panels of the active or last run into one file of its directory: ``dashboard.html``.

        Args:
            format: ``html``, which needs nothing but a browser to look at it; ``png`` or ``svg``, for which a browser
                (Chromium or Chrome) must be installed here.

        Returns:
            The path of the file.

        Raises:
            ValueError: another format, or no run yet.
            MissingExtraError: the extra ``views`` is not installed.
            ImageError: there is no browser to draw the picture with.
            OSError: the file cannot be written.
        """
        return viewing.static_dashboard(self, format)

    def create_dashboard(self, port: int = 8050, host: str = "127.0.0.1") -> str:
        """Serve the live page of this monitor's storage folder from a process of its own, until `close` or the end.

        The page reads what is on disk: the training does no work for it. Without a monitor:
        ``quantum-monitor dashboard DIR``. A page that is served already stays where it is.

        Args:
            port: of the page; the next free one when it is taken, 0 for any.
            host: address of the page, which asks nobody for a password: nobody but this machine can reach the default.

        Returns:
            The address of the page.

        Raises:
            OSError: it cannot be started; says why, such as that the extra ``live`` is not installed.
        """
        return self._page.serve(self.storage_path, host=host, port=port)

    def tracking_status(self) -> dict[str, Any]:
        """Where runs go, and for the active or last run how far it has come in each tracker."""
        return tracking.status(None if self._last_run is None else self._last_run.shipment, self._settings)

    def hardware_status(self) -> dict[str, dict[str, Any]]:
        """What is known of each backend: its latest values, and its error rates by operation."""
        return self._exporter.hardware_status()

    def _settle(self) -> None:
        if self._last_run is not None:
            self._states.flush(self._last_run, _FLUSH_TIMEOUT)
            self._last_run.take_in()

    def _after_fork(self) -> None:
        """In a forked child: no lock is held by a thread that is gone, and the endpoint is the parent's."""
        self._lock = threading.RLock()
        self._endpoint = None
        self._states.after_fork()
        for run in (self._run, self._last_run):
            if run is not None:
                run.lock = threading.RLock()
                run.forget_what_waits()
                run.alerts.end()  # the run is the parent's to judge


def create_quantum_monitor(
    experiment_name: str, enable_mlflow: bool = True, enable_wandb: bool = False, **kwargs: Any
) -> QuantumMonitor:
    """A `QuantumMonitor` for an experiment; further options as there."""
    # What stands at its default was not asked for: a configuration file may say otherwise.
    asked: dict[str, Any] = {} if enable_mlflow else {"enable_mlflow": False}
    asked |= {"enable_wandb": True} if enable_wandb else {}
    return QuantumMonitor(experiment_name, **asked, **kwargs)


def monitor_quantum_training(monitor: QuantumMonitor, func: Callable[..., R], *args: Any, **kwargs: Any) -> R:
    """Run ``func`` inside a run with real-time monitoring.

    Returns:
        What ``func`` returned; its exceptions go through and end the run as failed.
    """
    monitor.start_realtime_monitoring()
    try:
        with monitor:
            return func(*args, **kwargs)
    finally:
        monitor.stop_realtime_monitoring()
