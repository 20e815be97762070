"""The catalog: every metric once. Collector, documentation, dashboards, rules and their tests read it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cache


class Scope(Enum):
    """What a series belongs to, which decides its labels (constant user labels come on top)."""

    RUN = ("experiment", "run")
    CIRCUIT = ("experiment", "run", "backend")
    BACKEND = ("backend",)
    PROCESS = ()
    ALERT = ("alert",)
    """As the alert: those of the run, of the backend or of the process that it belongs to come on top."""


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        name: the name of the family in Prometheus, with ``_total`` for counters.
        type: ``gauge``, ``counter``, ``histogram``, ``summary`` (sum and count only) or ``info``.
        scope: what a series belongs to.
        help: one sentence, shown in ``/metrics`` and in the documentation.
        unit: of the value: ``seconds``, ``bytes``, ``ratio`` (0 to 1), ``bits`` or nothing for a plain number.
        labels: labels beside those of the scope.
        kind: the record kind that carries the value; None for what the exporter knows by itself.
        field: the record field that carries the value.
        aliases: further names under which ``log_metrics`` finds it (name and field always do).
    """

    name: str
    type: str
    scope: Scope
    help: str
    unit: str = ""
    labels: tuple[str, ...] = ()
    kind: str | None = None
    field: str | None = None
    aliases: tuple[str, ...] = ()

    @property
    def label_names(self) -> tuple[str, ...]:
        """All label names of a series, in order."""
        scope: tuple[str, ...] = self.scope.value
        return scope + self.labels

    @property
    def names_in_log_metrics(self) -> tuple[str, ...]:
        """Every name under which ``log_metrics`` sets this metric; empty where it cannot."""
        settable = self.type == "gauge" and self.field and self.scope in (Scope.RUN, Scope.CIRCUIT)
        if not settable or self.field is None or self.kind is None:
            return ()
        own = () if self.kind == "circuit" else (self.field,)
        return tuple(dict.fromkeys((*own, *self.aliases, self.name)))


def _run(name: str, help_text: str, unit: str = "", labels: tuple[str, ...] = (), kind: str = "gauge") -> Metric:
    return Metric(f"quantum_run_{name}", kind, Scope.RUN, help_text, unit, labels)


def _training(field: str, help_text: str, *aliases: str) -> Metric:
    name = f"quantum_training_{field}"
    return Metric(name, "gauge", Scope.RUN, help_text, "", (), "training", field, aliases)


def _state(field: str, help_text: str, unit: str = "", *aliases: str) -> Metric:
    name = f"quantum_state_{field}"
    return Metric(name, "gauge", Scope.RUN, help_text, unit, (), "state", field, aliases)


def _circuit(field: str, help_text: str) -> Metric:
    name = f"quantum_circuit_{field}"
    return Metric(name, "gauge", Scope.CIRCUIT, help_text, "", (), "circuit", field, (f"circuit_{field}",))


def _backend(name: str, field: str, help_text: str, unit: str = "", labels: tuple[str, ...] = ()) -> Metric:
    return Metric(f"quantum_backend_{name}", "gauge", Scope.BACKEND, help_text, unit, labels, "backend", field)


def _machine(name: str, field: str, help_text: str, unit: str) -> Metric:
    return Metric(name, "gauge", Scope.PROCESS, help_text, unit, (), "system", field)


def _monitor(name: str, kind: str, help_text: str, labels: tuple[str, ...] = (), unit: str = "") -> Metric:
    return Metric(f"quantum_monitor_{name}", kind, Scope.PROCESS, help_text, unit, labels)


RUN = (
    _run("info", "The run: full id, quantum framework loaded at start and its version, git commit of the code.", "",
         ("run_id", "framework", "version", "git_commit"), "info"),
    _run("status", "1 for the present status of the run, 0 for the others.", "", ("status",)),
    _run("start_timestamp_seconds", "When the run started, Unix time.", "seconds"),
    _run("end_timestamp_seconds", "When the run ended, Unix time; absent while it runs.", "seconds"),
)  # fmt: skip

TRAINING = (
    Metric("quantum_training_steps_total", "counter", Scope.RUN, "Training steps logged."),
    Metric("quantum_training_step", "gauge", Scope.RUN, "Number of the latest training step, as the caller counts."),
    _training("loss", "Loss of the latest step.", "training_loss", "quantum_loss"),
    Metric("quantum_training_best_loss", "gauge", Scope.RUN, "Lowest finite loss of the run."),
    _training("gradient_norm", "Euclidean norm of the latest gradient.", "grad_norm", "quantum_gradient_norm"),
    _training("gradient_variance", "Population variance of the gradient norms of the last 10 steps."),
    _training("gradient_component_variance",
              "Population variance across the components of the latest gradient: a proxy for a barren plateau, "
              "which is properly the variance over random parameters. Absent below 8 components."),
    _training("parameter_norm", "Euclidean norm of the parameters.", "param_norm"),
    _training("parameter_change", "Euclidean norm of the parameters' change since the step before.", "param_change"),
    _training("parameters", "Number of parameters.", "n_parameters", "num_parameters"),
    Metric("quantum_training_step_duration_seconds", "histogram", Scope.RUN,
           "Time from one logged training step to the next.", "seconds"),
    Metric("quantum_training_last_step_timestamp_seconds", "gauge", Scope.RUN,
           "When the latest training step was logged, Unix time.", "seconds"),
)  # fmt: skip

STATE = (
    _state("fidelity", "Fidelity (Uhlmann, squared) of the latest state with its reference; absent without one.",
           "ratio", "quantum_fidelity", "state_fidelity"),
    Metric("quantum_state_best_fidelity", "gauge", Scope.RUN, "Highest fidelity of the run.", "ratio"),
    _state("purity", "Purity Tr(rho^2): 1 for a pure state, 1/dimension for the maximally mixed one.", "ratio",
           "state_purity"),
    _state("entanglement_entropy", "Entanglement entropy, in bits, between the halves of the latest pure state.",
           "bits", "entanglement", "quantum_entanglement"),
    _state("von_neumann_entropy", "Von Neumann entropy, in bits, of the latest mixed state.", "bits"),
    _state("global_entanglement", "Meyer-Wallach global entanglement of the latest pure state.", "ratio",
           "meyer_wallach"),
    _state("participation_ratio",
           "Number of computational basis states that take part in the latest state: 1/sum(p^2)."),
    _state("norm", "Norm of the latest state as it was handed over (trace of a density matrix); 1 is right.", "",
           "state_norm"),
    _state("qubits", "Qubits of the latest state.", "", "state_qubits"),
)  # fmt: skip

CIRCUIT = (
    Metric("quantum_circuit_executions_total", "counter", Scope.CIRCUIT, "Circuit executions by outcome.", "",
           ("status",)),
    Metric("quantum_circuit_execution_duration_seconds", "histogram", Scope.CIRCUIT,
           "Time that executions took, without the queue.", "seconds", (), "circuit", "execution_time"),
    Metric("quantum_circuit_queue_duration_seconds", "histogram", Scope.CIRCUIT,
           "Time that executions waited in the backend's queue.", "seconds", (), "circuit", "queue_time"),
    _circuit("depth", "Depth of the latest circuit: layers of gates, without measurements and barriers."),
    _circuit("two_qubit_depth", "Depth of the latest circuit counting gates on two qubits only."),
    _circuit("gates", "Gates of the latest circuit."),
    _circuit("two_qubit_gates", "Gates on two qubits of the latest circuit."),
    _circuit("qubits", "Qubits of the latest circuit."),
    Metric("quantum_circuit_shots_total", "counter", Scope.CIRCUIT, "Shots taken.", "", (), "circuit", "shots"),
    Metric("quantum_circuit_jobs", "gauge", Scope.CIRCUIT, "Jobs sent and not finished, by status: queued or running.",
           "", ("status",)),
    Metric("quantum_circuit_billed_seconds_total", "counter", Scope.CIRCUIT,
           "Time on the quantum processor that the provider says it bills.", "seconds", (), "circuit", "billed_time"),
    Metric("quantum_transpilation_duration_seconds", "summary", Scope.RUN,
           "Time that circuits took to be transpiled for a backend.", "seconds", (), "transpilation",
           "transpilation_time"),
    Metric("quantum_transpilation_depth", "gauge", Scope.RUN,
           "Depth of the circuit transpiled last, of several the deepest, by kind: before and after.", "", ("kind",)),
    Metric("quantum_transpilation_two_qubit_gates", "gauge", Scope.RUN,
           "Gates on two qubits of the circuit transpiled last, by kind: before and after.", "", ("kind",)),
    Metric("quantum_cost_total", "counter", Scope.CIRCUIT,
           "Money spent, in the currency of the label; kind tells a reported, an estimated and a billed sum apart.",
           "", ("currency", "kind"), "circuit", "cost"),
    Metric("quantum_cost_last_execution", "gauge", Scope.CIRCUIT, "Cost of the latest execution.", "",
           ("currency", "kind")),
)  # fmt: skip

BACKEND = (
    _backend("up", "up", "1 while the backend is reported available, else 0."),
    _backend("pending_jobs", "pending_jobs", "Jobs waiting in the backend's queue."),
    _backend("error_ratio", "error_ratio", "Reported error rate of an operation (1q, 2q, readout).", "ratio",
             ("operation",)),
    _backend("qubits", "qubits", "Qubits of the backend."),
    _backend("volume", "volume", "Quantum volume of the backend as measured or published."),
    _backend("t1_seconds", "t1", "Median relaxation time T1 over the qubits.", "seconds"),
    _backend("t2_seconds", "t2", "Median dephasing time T2 over the qubits.", "seconds"),
    _backend("calibration_timestamp_seconds", "calibration_time", "When the backend was last calibrated, Unix time.",
             "seconds"),
    _backend("last_report_timestamp_seconds", "last_report", "When the backend was last reported on, Unix time: "
             "what is shown of it was true then.", "seconds"),
    _backend("utilization_ratio", "utilization", "Share of its time that the backend is busy.", "ratio"),
)  # fmt: skip

CUSTOM = (
    Metric("quantum_custom_metric", "gauge", Scope.RUN, "Latest value of a metric of the user's own.", "", ("name",),
           "custom"),
)  # fmt: skip

ALERT = (
    Metric("quantum_alert_value", "gauge", Scope.ALERT,
           "What the alert's threshold is compared with: the worst of at least the last two minutes, so that no scrape "
           "misses it; the present value where the alert waits for a duration."),
    Metric("quantum_alert_threshold", "gauge", Scope.ALERT,
           "The alert's threshold, as the training script set it; absent where the alert is off."),
    Metric("quantum_alert_firing", "gauge", Scope.ALERT, "1 while the alert fires, else 0.", "", ("severity",)),
    Metric("quantum_alerts_total", "counter", Scope.ALERT, "How often the alert began to fire.", "", ("severity",)),
)  # fmt: skip

PROCESS = (
    _machine("quantum_system_cpu_ratio", "cpu_ratio", "Share of the machine's processors in use.", "ratio"),
    _machine("quantum_system_memory_used_bytes", "memory_used_bytes", "Memory in use.", "bytes"),
    _machine("quantum_system_memory_total_bytes", "memory_total_bytes", "Memory there is.", "bytes"),
    _machine("quantum_process_cpu_ratio", "process_cpu_ratio", "Share of the machine's processors that this process "
             "uses.", "ratio"),
    _machine("quantum_process_memory_bytes", "process_memory_bytes", "Resident memory of this process.", "bytes"),
    _machine("quantum_process_threads", "process_threads", "Threads of this process.", ""),
    _monitor("build_info", "info", "Version of quantum-monitor and of Python.", ("version", "python")),
    _monitor("records_total", "counter", "Records accepted, by kind.", ("kind",)),
    _monitor("records_dropped_total", "counter", "Records that a sink did not take.", ("sink", "reason")),
    _monitor("errors_total", "counter", "Input refused and errors met, by place; the log has each cause once.",
             ("where",)),
    _monitor("sink_backlog", "gauge", "Records that wait for a sink.", ("sink",)),
    _monitor("log_duration_seconds", "summary", "Time that log calls took from the training loop.", ("call",),
             "seconds"),
    _monitor("series_rejected_total", "counter", "New series refused because a label set is full."),
)  # fmt: skip

METRICS: tuple[Metric, ...] = RUN + TRAINING + STATE + CIRCUIT + BACKEND + CUSTOM + ALERT + PROCESS
BY_NAME: dict[str, Metric] = {metric.name: metric for metric in METRICS}

RUN_STATUSES = ("running", "completed", "failed", "stopped")
EXECUTION_STATUSES = ("success", "failed", "cancelled")


@cache
def settable() -> dict[str, Metric]:
    """Every name that ``log_metrics`` knows, with the metric it sets."""
    return {name: metric for metric in METRICS for name in metric.names_in_log_metrics}


@cache
def _judgeable() -> dict[str, tuple[str, str, str]]:
    names: dict[str, tuple[str, str, str]] = {}
    scopes = {Scope.BACKEND: "backend", Scope.PROCESS: "process"}
    for metric in METRICS:
        if metric.kind is None or metric.field is None:
            continue
        own = f"backend_{metric.field}" if metric.kind == "backend" else metric.field
        place = (metric.kind, metric.field, scopes.get(metric.scope, "run"))
        # A counter shows a sum; what a record carries of it, such as ``cost``, goes by the field's name only.
        shown = () if metric.type == "counter" else (metric.name, metric.name.removeprefix("quantum_"))
        for name in (*shown, own):
            names.setdefault(name, place)
    for name, metric in settable().items():
        names[name] = (str(metric.kind), str(metric.field), "run")
    return names


def judged(name: str) -> tuple[str, str, str]:
    """Where a rule on a metric finds its values: record kind, field, and scope (``run``, ``backend``, ``process``).

    A name that the catalog does not know is a custom metric's.
    """
    return _judgeable().get(name, ("custom", name, "run"))


SUMMARY_NAMES: dict[tuple[str, str], str] = {
    **{("circuit", m.field): f"circuit_{m.field}" for m in CIRCUIT if m.field},
    **{("backend", m.field): f"backend_{m.field}" for m in BACKEND if m.field},
    **{
        ("transpilation", f"{fact}_{kind}"): f"transpilation_{fact}_{kind}"
        for fact in ("depth", "two_qubit_gates")
        for kind in ("before", "after")
    },
}
"""What summaries call a field of a record kind, where its bare name could be a state's or the user's own."""


_CHAPTERS = (
    ("Run", "What a run is and how it stands.", RUN),
    ("Training", "From `log_training_step`, or `log_metrics` with a known name.", TRAINING),
    ("State", "From `log_quantum_state`. Qubit 0 is the most significant in a bare state vector.", STATE),
    ("Circuits and cost", "From `log_circuit_execution`, and from automatic instrumentation.", CIRCUIT),
    ("Backends", "From `log_backend_status` and from polling: facts of a machine, whichever run asked.", BACKEND),
    ("Your own", "Any other name in `log_metrics`, and plug-in metrics.", CUSTOM),
    (
        "Alerts",
        "The labels are those of the run, of the backend or of the process, and `alert`; see `docs/alerts.md`.",
        ALERT,
    ),
    ("Process, machine and the monitor itself", "Beside prometheus_client's own `process_*`.", PROCESS),
)


def markdown() -> str:
    """The text of ``docs/metrics.md``."""
    lines = [
        "# Metrics",
        "",
        "Generated from `quantum_monitor.prometheus.catalog` by `make generate`; do not edit.",
        "",
        "A series has the labels of its scope: *run* has `experiment` and `run`, *circuit* adds `backend`, *backend*",
        "has only `backend`, *process* none. Labels given as `QuantumMonitor(labels=...)` come on top. A value keeps",
        "its latest measurement while its run lives; what was never measured is absent.",
    ]
    for title, text, metrics in _CHAPTERS:
        lines += ["", f"## {title}", "", text, "", "| metric | type | unit | labels | meaning | in `log_metrics` |"]
        lines.append("|---|---|---|---|---|---|")
        for m in metrics:
            labels = ", ".join(f"`{name}`" for name in m.label_names)
            names = ", ".join(f"`{name}`" for name in m.names_in_log_metrics)
            lines.append(f"| `{m.name}` | {m.type} | {m.unit} | {labels} | {m.help} | {names} |")
    return "\n".join(lines) + "\n"
