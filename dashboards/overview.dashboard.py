"""All runs at a glance, and what is wrong now."""

from __future__ import annotations

from quantum_monitor.alerts import rules
from quantum_monitor.grafana import (
    ALERT_STATES,
    END_NOT_SEEN,
    RUN_STATES,
    VANISHED,
    Column,
    alert_list,
    board,
    gained,
    last,
    line,
    query,
    section,
    stat,
    state_timeline,
    table,
)

RUNNING = 'quantum_run_status{status="running"}'
GONE = f"(({last(RUNNING)} unless {RUNNING}) == 1)"  # series end with the process: 1 where it was running to the last
# A process that ends in order takes its target back at once, and at most one scrape fails; that of a killed one keeps
# failing, as the rule of run_vanished asks. Looked for at the time of it: later, others may answer at the same address.
SILENT = "on (job, instance) max_over_time(up[90s]) == 0 and on (job, instance) up == 0"
DIED = f"max_over_time((last_over_time({RUNNING}[4m]) == 1 unless {RUNNING} and {SILENT})[$__range:])"
KILLED = f"({GONE} and {DIED})"
EXPORTED = [(n, f'quantum_run_status{{status="{text}"}}') for n, (text, _) in RUN_STATES.items() if n < VANISHED]
LAST_STATUS = " or ".join([
    f"{VANISHED} * {KILLED}", f"{END_NOT_SEEN} * {GONE}", *(f"{code} * {last(status)}" for code, status in EXPORTED),
])  # fmt: skip
SEEN_STATUS = " or ".join(f"{code} * max_over_time({status}[$__rate_interval])" for code, status in EXPORTED)
FIRING = "(quantum_alert_firing == 1) * on (job, instance, experiment, run, backend, alert) group_left ()"
SELECTION = "var-datasource=${datasource}&${__url_time_range}" + "".join(
    f"&var-{head.lower()}=${{__data.fields.{head}:percentencode}}" for head in ("Instance", "Experiment", "Run")
)
TRAINING = f"/d/quantum-training?{SELECTION}"
OF_ALERT = f"/d/quantum-${{__data.fields.Dashboard}}?{SELECTION}&var-backend=${{__data.fields.Backend:percentencode}}"


def leading(expr: str) -> str:
    """PromQL of alerts' series with the labels that a link needs: the dashboard, and "All" where they have none.

    Grafana takes "All" in an address for the choice of everything. Alerts without a dashboard of their own, on the
    user's metrics, lead to the training.
    """
    for label in ("experiment", "run", "backend"):
        expr = f'label_replace({expr}, "{label}", "All", "{label}", "")'
    expr = f'label_replace({expr}, "dashboard", "training", "alert", ".*")'
    for uid in sorted({rule.dashboard for rule in rules.ALERTS}):
        keys = "|".join(rule.key for rule in rules.ALERTS if rule.dashboard == uid)
        expr = f'label_replace({expr}, "dashboard", "{uid.removeprefix("quantum-")}", "alert", "{keys}")'
    return expr


dashboard = board(
    "quantum-overview",
    "How every run stands, and what is wrong now.",
    section(
        "At a glance",
        line(
            stat("Running", "Runs that are running now.", "none",
                 query(f"sum({RUNNING}) or vector(0)", "running"), span=3),
            stat("Finished", "Runs that ended as completed or stopped within the time range.", "none",
                 query('sum(max_over_time(quantum_run_status{status=~"completed|stopped"}[$__range])) or vector(0)',
                       "finished"), span=3),
            stat("Failed", "Runs that ended as failed within the time range.", "none",
                 query('sum(max_over_time(quantum_run_status{status="failed"}[$__range])) or vector(0)', "failed"),
                 span=3, red_from=1),
            stat("Vanished", "Runs whose series ended within the time range while they were running, and whose target "
                 "failed for a minute and a half then: the process was killed, or its machine is gone.", "none",
                 query(f"sum({KILLED}) or vector(0)", "vanished"), span=3, red_from=1),
            stat("Alerts firing", "Alerts that the training processes judge, and that fire now.", "none",
                 query("sum(quantum_alert_firing) or vector(0)", "firing"), span=3, red_from=1),
            stat("Backends up", "Backends reported available, and backends known.", "none",
                 query("sum(max by (backend) (quantum_backend_up))", "up"),
                 query("count(max by (backend) (quantum_backend_up))", "known"),
                 empty="no backend status logged", span=3),
            stat("Cost of the last 24 hours", "Money spent, by currency and kind: reported by the caller, estimated or "
                 "billed. Sums of different kinds are never added up; scripts that are run again under the same names "
                 "are, exact to Prometheus' evaluation interval.", "short",
                 query(f"sum by (currency, kind) ({gained('quantum_cost_total')})", "{{currency}}, {{kind}}"),
                 empty="no cost logged", decimals=2, since="24h", span=6),
            height=4,
        ),
    ),
    section(
        "What is wrong now",
        line(
            alert_list("Firing alerts", "Alerts that Prometheus or Grafana hold firing, without the watchdog.",
                       '{alertname!="QuantumWatchdog"}', empty="nothing fires", span=8),
            table("Value against threshold", "Alerts that the training processes judge: what is compared, and what the "
                  "training script set. An alert leads to its dashboard; All: it belongs to no run or no backend.",
                  {"severity": "Severity", "alert": "Alert", "experiment": "Experiment", "run": "Run",
                   "backend": "Backend", "instance": "Instance", "dashboard": "Dashboard"},
                  Column("Value", query(leading(f"{FIRING} quantum_alert_value"))),
                  Column("Threshold", query(leading(f"{FIRING} quantum_alert_threshold"))),
                  empty="nothing fires", span=16, link=("Alert", OF_ALERT)),
        ),
    ),
    section(
        "Runs",
        line(
            table("All runs", "Every run of the time range with its latest values, also after its end. A run that "
                  "vanished was running when its process or machine went. End not seen: its process ended in order "
                  "before a scrape saw how the run did, or was replaced within a minute and a half.",
                  {"experiment": "Experiment", "run": "Run", "instance": "Instance"},
                  Column("Status", query(LAST_STATUS), states=RUN_STATES),
                  Column("Alerts", query('sum by (experiment, run, instance) (quantum_alert_firing{run!=""})'),
                         alarming=True),
                  Column("Step", query(last("quantum_training_step")), "none"),
                  Column("Loss", query(last("quantum_training_loss")), "none", decimals=6),
                  Column("Best loss", query(last("quantum_training_best_loss")), "none", decimals=6),
                  Column("Fidelity", query(last("quantum_state_fidelity")), "none", decimals=6),
                  Column("Started", query(f"1000 * {last('quantum_run_start_timestamp_seconds')}"), "dateTimeFromNow"),
                  Column("Last step", query(f"1000 * {last('quantum_training_last_step_timestamp_seconds')}"),
                         "dateTimeFromNow"),
                  empty="no run in this time range", link=("Run", TRAINING), sort_by="Started"),
            height=10,
        ),
        line(
            state_timeline("State of the runs", "From start to end, short ones too; a bar that stops while it is blue "
                           "is a run that vanished or whose end no scrape saw, or the present.", RUN_STATES,
                           query(f"max by (job, instance, experiment, run) ({SEEN_STATUS})",
                                 "{{experiment}} / {{run}} ({{instance}})"),
                           empty="no run in this time range"),
            height=9,
        ),
    ),
    section(
        "Alerts",
        line(
            state_timeline("Alerts over time", "When an alert of any run, backend or process fired, however shortly.",
                           ALERT_STATES,
                           query("max by (alert) (max_over_time(quantum_alert_firing[$__rate_interval]))"),
                           empty="no alert is judged", span=16),
            table("How often", "How often each alert began to fire within the time range, where it did. Extrapolated "
                  "and rounded where a script was run again under the same names.",
                  {"alert": "Alert", "severity": "Severity"},
                  Column("Times", query(f"sum by (alert, severity) ({gained('quantum_alerts_total')}) > 0"), "none"),
                  empty="nothing fired", span=8, sort_by="Times"),
            height=12,
        ),
    ),
)  # fmt: skip
