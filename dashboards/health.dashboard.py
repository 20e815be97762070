"""Whether the monitor itself is well: targets, log calls, losses, the machine, Prometheus."""

from __future__ import annotations

from quantum_monitor.grafana import (
    AVAILABILITY,
    Column,
    board,
    line,
    query,
    section,
    stat,
    state_timeline,
    table,
    threshold,
    timeseries,
)

DROPPED = "quantum_monitor_records_dropped_total"
MISSED = "prometheus_rule_group_iterations_missed_total"
CALLS = "quantum_monitor_log_duration_seconds"
TRIED = "alertmanager_notifications_total"
FAILED = "alertmanager_notifications_failed_total"
IN_USE = f"on (integration) sum by (integration) ({TRIED}) > 0"  # every kind that Alertmanager knows has a series
UNSCRAPED = "this Prometheus does not scrape itself"

dashboard = board(
    "quantum-health",
    "Whether every process is scraped, what monitoring costs it, and whether anything is lost.",
    section(
        "Targets",
        line(
            state_timeline("Scraped", "Whether Prometheus reaches each target of the selected jobs, the worst between "
                           "two points.", AVAILABILITY,
                           query("max by (job, instance) (min_over_time(up[$__rate_interval]))",
                                 "{{job}} {{instance}}"), empty="no target", span=12),
            timeseries("Scrape duration", "Time that a scrape takes; Prometheus gives up at its timeout.", "s",
                       query("scrape_duration_seconds"), empty="no target", span=6, minimum=0),
            timeseries("Series", "Samples of a scrape: series that a process exports. A run with one backend has at "
                       "most 150.", "short", query("scrape_samples_scraped"), empty="no target", span=6, minimum=0),
        ),
        line(
            stat("Targets that are down", "Targets of the selected jobs that Prometheus does not reach: training "
                 "processes that announced themselves, and whatever else it watches.", "none",
                 query("count(up == 0) or vector(0)", "down"), span=6, red_from=1),
            table("Versions", "What runs where.",
                  {"job": "Job", "instance": "Instance", "version": "quantum-monitor", "python": "Python"},
                  Column("Running", query("quantum_monitor_build_info"), "none"), empty="no target", span=18),
            height=6,
        ),
    ),
    section(
        "What monitoring costs",
        line(
            timeseries("Mean duration of a log call", "Time that a log call takes from the training loop.", "s",
                       query(f"sum by (call) (rate({CALLS}_sum[$__rate_interval])) "
                             f"/ sum by (call) (rate({CALLS}_count[$__rate_interval]))", "{{call}}"),
                       empty="no log call yet", log=True),
            timeseries("Share of the time", "Share of wall time that a process spends in log calls.", "percentunit",
                       query(f"sum by (instance) (rate({CALLS}_sum[$__rate_interval]))", "{{instance}}"),
                       empty="no log call yet", minimum=0),
            timeseries("Records a second", "Records accepted, by kind.", "cps",
                       query("sum by (kind) (rate(quantum_monitor_records_total[$__rate_interval]))", "{{kind}}"),
                       empty="no record yet", stacked=True, minimum=0),
        ),
    ),
    section(
        "Lost and late",
        line(
            timeseries("Records dropped", "Records that a sink did not take, by sink and reason.", "short",
                       query(f"sum by (sink, reason) (increase({DROPPED}[$__rate_interval]))", "{{sink}}: {{reason}}"),
                       minimum=0),
            timeseries("Errors", "Input refused and errors met, by place; the log has each cause once.", "short",
                       query("sum by (where) (increase(quantum_monitor_errors_total[$__rate_interval]))", "{{where}}"),
                       minimum=0),
            timeseries("Backlog", "Records that wait for a sink.", "short",
                       query("quantum_monitor_sink_backlog", "{{sink}}, {{instance}}"), minimum=0),
            timeseries("Series refused", "New series refused because a label set is full.", "short",
                       query("increase(quantum_monitor_series_rejected_total[$__rate_interval])", "{{instance}}"),
                       minimum=0),
        ),
    ),
    section(
        "Process and machine",
        line(
            timeseries("Processors", "Share of the machine's processors in use, by everything and by the process. "
                       "Dashed: above it for five minutes, cpu_high fires.", "percentunit",
                       query("quantum_system_cpu_ratio", "machine, {{instance}}"),
                       query("quantum_process_cpu_ratio", "process, {{instance}}"),
                       threshold("cpu_high"), minimum=0, maximum=1),
            timeseries("Memory share", "Share of the machine's memory in use. Dashed: above it for five minutes, "
                       "memory_high fires.", "percentunit",
                       query("quantum_system_memory_used_bytes / quantum_system_memory_total_bytes",
                             "machine, {{instance}}"),
                       threshold("memory_high"), minimum=0, maximum=1),
            timeseries("Memory of the process", "Resident memory of the training process.", "bytes",
                       query("quantum_process_memory_bytes"), minimum=0),
            timeseries("Threads", "Threads of the training process.", "none", query("quantum_process_threads"),
                       minimum=0),
        ),
    ),
    section(
        "Prometheus and Alertmanager",
        line(
            stat("Watchdog", "The alert that always fires: without it, rules are not evaluated.", "none",
                 query('count(ALERTS{alertname="QuantumWatchdog", alertstate="firing"})', "firing"),
                 empty="the watchdog does not fire: rules are not loaded or not evaluated", span=6),
            timeseries("Rules that failed", "Evaluations of rules that failed, and evaluations that were missed.",
                       "short",
                       query("sum(increase(prometheus_rule_evaluation_failures_total[$__rate_interval]))", "failed"),
                       query(f"sum(increase({MISSED}[$__rate_interval]))", "missed"),
                       empty=UNSCRAPED, span=9, minimum=0),
            timeseries("Notifications", "Alerts handed to Alertmanager, refused by it, and dropped.", "short",
                       query("sum(increase(prometheus_notifications_sent_total[$__rate_interval]))", "sent"),
                       query("sum(increase(prometheus_notifications_errors_total[$__rate_interval]))", "refused"),
                       query("sum(increase(prometheus_notifications_dropped_total[$__rate_interval]))", "dropped"),
                       empty=UNSCRAPED, span=9, minimum=0),
        ),
        line(
            timeseries("Messages to people", "What Alertmanager tried to send and failed to, by kind of receiver: "
                       "slack, email, webhook. A failure means that people are not told; the log of Alertmanager has "
                       "its cause.", "short",
                       query(f"sum by (integration) (increase({TRIED}[$__rate_interval])) and {IN_USE}",
                             "tried, {{integration}}"),
                       query(f"sum by (integration) (increase({FAILED}[$__rate_interval])) and {IN_USE}",
                             "failed, {{integration}}"),
                       empty="no message sent yet, or this Prometheus does not scrape Alertmanager", minimum=0),
        ),
    ),
)  # fmt: skip
