"""The reference of all alerts, ``docs/alerts.md``, written from the vocabulary."""

from __future__ import annotations

from collections.abc import Mapping

from quantum_monitor.alerts.rules import ALERTS, PROMETHEUS_ALERTS, AlertRule, PrometheusAlert

READS: Mapping[str, tuple[str, ...]] = {
    "exporter_down": ("up", "quantum_monitor_build_info", "quantum_run_end_timestamp_seconds", "ALERTS"),
    "run_vanished": ("quantum_run_status", "up"),
    "run_failed": ("quantum_run_status",),
    "run_finished": ("quantum_run_status",),
    "budget_forecast": ("quantum_alert_value", "quantum_alert_threshold", "ALERTS", "quantum_run_status"),
    "records_dropped": ("quantum_monitor_records_dropped_total",),
    "tracker_behind": ("quantum_monitor_sink_backlog",),
    "custom_alert": ("quantum_alert_firing", "quantum_alerts_total"),
    "watchdog": (),
}
"""Key of an alert that only Prometheus judges to the series that its rule reads."""

_INTRODUCTION = """\
# Alerts

Generated from `quantum_monitor.alerts.rules` by `make generate`; do not edit.

## How an alert comes about

A scrape sees one step in a thousand, so what a single step can show is **judged in the training process**, at every
record. The process calls back and notifies if asked to, and exports what it judged:

| series | says |
|---|---|
| `quantum_alert_value{alert="..."}` | what the threshold is compared with: the worst of at least the last two \
minutes, so that no scrape misses it; the present value where the alert has a duration (`for`) |
| `quantum_alert_threshold{alert="..."}` | what the training script set; absent where the alert is off |
| `quantum_alert_firing{alert="...",severity="..."}` | 1 while it fires in the process, else 0 |
| `quantum_alerts_total{alert="...",severity="..."}` | how often it began to |

**A Prometheus rule compares value and threshold**, so rule files (`alertmanager/rules/*.rules.yml`) hold no number of
yours and a person hears of it with `job` and `instance`. What a dead or silent process cannot say is **judged in
PromQL only**.

An alert fires where the value is above its threshold (for those marked *below*: below it), never at equality, and
never for NaN. Without a series there is no alert: what was not measured, or is off, is silent.

**To change a threshold**, set it where the training starts; no rule is touched and other runs keep theirs. `None`
switches an alert off:

```python
QuantumMonitor("h2", alert_config={"gradient_explosion": 5.0, "cost_budget": 50.0, "queue_time_limit": None})
```

**Alerts of your own**, from a plug-in or from a rule on any metric (`alert_config={"hardware_temp": {"above": 0.02,
"severity": "high", "for": "5m"}}`), are exported in the same series under their own name. They need no rule:
`QuantumCustomAlert` fires for every one that has none, with its name in the label `alert` and its own severity.

**Where it goes** is Alertmanager's part (`alertmanager/alertmanager.yml`). The labels to route by are `severity`
(critical, warning, info: high, medium and low in Python), `alert` (the key), `experiment`, `run` or `backend`, `job`,
`instance`, and constant labels of yours such as `team`, which stay on the alert. The annotations `summary`,
`description`, `value`, `threshold`, `runbook_url` and `dashboard_url` are for people. Names in labels are whatever
somebody typed: texts that show them must escape them."""

_IN_PROCESS = """\
## Judged in the process

All read `quantum_alert_value` and `quantum_alert_threshold`. The scope is what one alert belongs to: a run (labels
`experiment`, `run`), a backend (`backend`) or a process. Several processes that watch one backend alert each by
itself, with its own threshold; grouping makes one message of them."""

_PROMQL_ONLY = """\
## Judged in PromQL only

They have no key in `alert_config`; silence them in Alertmanager, or leave their rule out."""

_LIMITS = """\
## What they cannot tell

- **`QuantumRunVanished`** tells a kill from an orderly end by the target, which a process that ends in order takes
  back. A target in `static_configs` stays: there, a process that ended its run and left before a scrape had seen the
  end looks like one that was killed. It is over by itself after ten minutes: that is no sign of recovery, and no
  message is sent.
- **`QuantumRunFailed`** and **`QuantumRunFinished`** are told once for each end that a scrape has seen, and are over
  ten minutes later. A script that ends on an exception leaves before the next scrape, and is not told, unless it
  waits for one: `final_scrape_timeout=60`, or `QUANTUM_MONITOR_FINAL_SCRAPE_TIMEOUT=60` in its environment.
- **`QuantumExporterDown`** takes every target of the job `quantum-monitor` for a process that announced itself
  (`discovery_dir`), so one that was never reached is reported too. Put targets of `static_configs`, which stay when
  their script is done, into a job of another name: there a target counts for an hour after it last answered, and not
  once a run of it has ended. Where a run vanished, that was told instead, and this is silent on the address for a
  day.
- **`QuantumBudgetForecast`** takes what the last hour cost as the rate, without its dearest quarter of an hour: a
  single lump is no rate. So money that goes in one lump an hour, or less often, is not forecast, and in its first
  hour a run is forecast too low. After a restart under the same name and address, nothing is forecast for an hour.
- **Series in a Pushgateway** stay after their process: a run that was killed there does not vanish."""


def markdown() -> str:
    """The text of ``docs/alerts.md``."""
    return "\n\n".join((_INTRODUCTION, _IN_PROCESS, _in_process(), _PROMQL_ONLY, _promql_only(), _LIMITS)) + "\n"


def _in_process() -> str:
    lines = [
        "| alert | key | scope | severity | threshold | by default | for | compared | when | runbook |",
        "|" + "---|" * 10,
    ]
    for rule in ALERTS:
        cells = (_name(rule), f"`{rule.key}`", rule.scope, rule.severity.label, _threshold(rule), _state(rule),
                 _duration(rule), rule.quantity, rule.help, _runbook(rule))  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _promql_only() -> str:
    lines = ["| alert | key | scope | severity | for | reads | when | runbook |", "|" + "---|" * 8]
    for alert in PROMETHEUS_ALERTS:
        severity = "its own" if alert.key == "custom_alert" else alert.severity.label
        reads = ", ".join(f"`{name}`" for name in READS[alert.key])
        cells = (_name(alert), f"`{alert.key}`", alert.scope, severity, _duration(alert), reads,
                 alert.help.replace("``", "`"), _runbook(alert))  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _name(alert: AlertRule | PrometheusAlert) -> str:
    return f"`{alert.prometheus_name}`"


def _threshold(rule: AlertRule) -> str:
    number = rule.default if rule.default is not None else rule.example
    shown = f"{number:g}" if rule.default is not None else f"none (such as {number:g})"
    return f"{shown}, below" if rule.below else shown


def _state(rule: AlertRule) -> str:
    return "off" if rule.default is None else "on"


def _duration(alert: AlertRule | PrometheusAlert) -> str:
    return f"{alert.hold_seconds / 60:g}m" if alert.hold_seconds else ""


def _runbook(alert: AlertRule | PrometheusAlert) -> str:
    return f"[runbook](runbooks/{alert.key}.md)"
