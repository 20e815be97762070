"""Circuits that were executed, and the backends that they ran on."""

from __future__ import annotations

from quantum_monitor.grafana import (
    AVAILABILITY,
    Column,
    board,
    gained,
    heatmap,
    line,
    quantile,
    query,
    section,
    stat,
    state_timeline,
    table,
    threshold,
    timeseries,
    worst,
)

NO_CIRCUIT = "no circuit execution logged"
NO_QUEUE = "no queue time logged"
NO_TRANSPILING = "no circuit transpiled under instrumentation"
NO_STATUS = "no backend status logged"
RUN_ON = "{{run}} on {{backend}}"
EXECUTED = "quantum_circuit_executions_total"
FAILED = 'quantum_circuit_executions_total{status="failed"}'
QUEUE = "quantum_circuit_queue_duration_seconds"
LATENCY = "quantum_circuit_execution_duration_seconds"
TRANSPILED = "quantum_transpilation_duration_seconds"

dashboard = board(
    "quantum-circuits",
    "Whether circuits get through, how long they wait and run, and how the backends stand.",
    section(
        "Executions",
        line(
            timeseries("Executions a second", "Executions by outcome, over all runs and backends of the selection.",
                       "cps", query(f"sum by (status) (rate({EXECUTED}[$__rate_interval]))", "{{status}}"),
                       empty=NO_CIRCUIT, stacked=True, minimum=0),
            timeseries("Failure share", "Share of the executions that failed, by backend.", "percentunit",
                       query(f"sum by (backend) (rate({FAILED}[$__rate_interval])) "
                             f"/ sum by (backend) (rate({EXECUTED}[$__rate_interval]))", "{{backend}}"),
                       empty=NO_CIRCUIT, minimum=0, maximum=1),
            timeseries("Failures among the last 50", "Share of failed executions among the last 50 of a run. Dashed: "
                       "above it, circuit_failures fires.", "percentunit",
                       worst("circuit_failures"), threshold("circuit_failures"),
                       empty="fewer than 10 executions logged", minimum=0, maximum=1),
        ),
        line(
            stat("Executions", "Executions within the time range, by outcome; of scripts that are run again under the "
                 "same names, too.", "short",
                 query(f"sum by (status) ({gained(EXECUTED)})", "{{status}}"), empty=NO_CIRCUIT, span=8, decimals=0),
            timeseries("Shots a second", "Shots taken, by backend.", "cps",
                       query("sum by (backend) (rate(quantum_circuit_shots_total[$__rate_interval]))", "{{backend}}"),
                       empty="no shots logged", span=16, minimum=0),
            height=6,
        ),
    ),
    section(
        "Waiting and running",
        line(
            heatmap("Queue time", "Executions by the time they waited in the backend's queue.", "s",
                    QUEUE, empty=NO_QUEUE),
            heatmap("Execution time", "Executions by the time they took, without the queue.", "s",
                    LATENCY, empty=NO_CIRCUIT),
        ),
        line(
            timeseries("Queue time quantiles", "Half and 95 % of the executions waited at most this. Dashed: above it, "
                       "queue_time_limit fires for a single execution.", "s",
                       quantile(0.5, QUEUE, "backend", "50 %, {{backend}}"),
                       quantile(0.95, QUEUE, "backend", "95 %, {{backend}}"),
                       worst("queue_time_limit", "longest, {{experiment}} / {{run}}"),
                       threshold("queue_time_limit"), empty=NO_QUEUE, log=True),
            timeseries("Execution time quantiles", "Half and 95 % of the executions took at most this.", "s",
                       quantile(0.5, LATENCY, "backend", "50 %, {{backend}}"),
                       quantile(0.95, LATENCY, "backend", "95 %, {{backend}}"), empty=NO_CIRCUIT, log=True),
        ),
        line(
            timeseries("Jobs on their way", "Jobs that were sent and are not finished, by status.", "none",
                       query("sum by (backend, status) (quantum_circuit_jobs)", "{{status}}, {{backend}}"),
                       empty="no job sent", minimum=0),
            timeseries("Billed processor time", "Seconds a second that providers say they bill, by backend.", "none",
                       query("sum by (backend) (rate(quantum_circuit_billed_seconds_total[$__rate_interval]))",
                             "{{backend}}"), empty="no billed time known", minimum=0),
        ),
    ),
    section(
        "Circuits",
        line(
            timeseries("Depth", "Depth of the latest circuit, in layers of gates without measurements and barriers; "
                       "and counting gates on two qubits only.", "none",
                       query("quantum_circuit_depth", f"all gates, {RUN_ON}"),
                       query("quantum_circuit_two_qubit_depth", f"two-qubit, {RUN_ON}"), empty=NO_CIRCUIT, minimum=0),
            timeseries("Gates", "Gates of the latest circuit, and those on two qubits.", "none",
                       query("quantum_circuit_gates", f"all, {RUN_ON}"),
                       query("quantum_circuit_two_qubit_gates", f"two-qubit, {RUN_ON}"), empty=NO_CIRCUIT, minimum=0),
            timeseries("Qubits", "Qubits of the latest circuit.", "none", query("quantum_circuit_qubits", RUN_ON),
                       empty=NO_CIRCUIT, minimum=0),
        ),
        line(
            timeseries("Depth before and after transpiling", "Layers of gates of the circuit transpiled last.", "none",
                       query("quantum_transpilation_depth", "{{kind}}, {{run}}"), empty=NO_TRANSPILING, minimum=0),
            timeseries("Two-qubit gates before and after transpiling", "Of the circuit transpiled last.", "none",
                       query("quantum_transpilation_two_qubit_gates", "{{kind}}, {{run}}"), empty=NO_TRANSPILING,
                       minimum=0),
            timeseries("Transpiling", "Mean time that a transpilation takes.", "s",
                       query(f"rate({TRANSPILED}_sum[$__rate_interval]) / rate({TRANSPILED}_count[$__rate_interval])",
                             "{{run}}"), empty=NO_TRANSPILING, minimum=0),
        ),
    ),
    section(
        "Backends",
        line(
            state_timeline("Availability", "Whether a backend is reported available, the worst between two points. A "
                           "gap is a time without a report.", AVAILABILITY,
                           query("max by (backend) (min_over_time(quantum_backend_up[$__rate_interval]))",
                                 "{{backend}}"), empty=NO_STATUS, span=12),
            table("Backends now", "What was last reported of each backend.", {"backend": "Backend"},
                  Column("Status", query("quantum_backend_up"), states=AVAILABILITY),
                  Column("Pending jobs", query("quantum_backend_pending_jobs"), "none"),
                  Column("Busy", query("quantum_backend_utilization_ratio"), "percentunit"),
                  Column("Device qubits", query("quantum_backend_qubits"), "none"),
                  Column("Volume", query("quantum_backend_volume"), "none"),
                  Column("Calibrated", query("1000 * quantum_backend_calibration_timestamp_seconds"),
                         "dateTimeFromNow"),
                  Column("Reported", query("1000 * quantum_backend_last_report_timestamp_seconds"), "dateTimeFromNow"),
                  empty=NO_STATUS, span=12),
        ),
        line(
            timeseries("Pending jobs", "Jobs that wait in the backend's queue.", "none",
                       query("max by (backend) (quantum_backend_pending_jobs)", "{{backend}}"),
                       empty="no pending jobs reported", minimum=0),
            timeseries("Utilisation", "Share of its time that a backend is busy.", "percentunit",
                       query("max by (backend) (quantum_backend_utilization_ratio)", "{{backend}}"),
                       empty="no utilisation reported", minimum=0, maximum=1),
            timeseries("Calibration age", "Time since a backend was last calibrated.", "s",
                       query("time() - max by (backend) (quantum_backend_calibration_timestamp_seconds)",
                             "{{backend}}"), empty="no calibration time reported", minimum=0),
        ),
        line(
            timeseries("Error rates", "Reported error rate of each operation, on a log axis.", "percentunit",
                       query("max by (backend, operation) (quantum_backend_error_ratio)", "{{operation}}, {{backend}}"),
                       empty="no error rates reported", log=True),
            timeseries("Error rate above the best", "Rise of the error rate above the best that was seen. Dashed: "
                       "above it, error_rate_increase fires.", "percentunit",
                       worst("error_rate_increase"), threshold("error_rate_increase"),
                       empty="no error rates reported", minimum=0),
            timeseries("Coherence", "Median T1 (relaxation) and T2 (dephasing) over the qubits.", "s",
                       query("max by (backend) (quantum_backend_t1_seconds)", "T1, {{backend}}"),
                       query("max by (backend) (quantum_backend_t2_seconds)", "T2, {{backend}}"),
                       empty="no T1 and T2 reported", minimum=0),
        ),
    ),
    by_backend=True,
)  # fmt: skip
