"""The alert vocabulary: every built-in alert once, and how ``alert_config`` is read."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import SupportsFloat

from quantum_monitor.names import label_value

Problems = list[tuple[str, str]]
"""What is wrong in an ``alert_config``: key and sentence."""

NAME_LENGTH = 128
_SHOWN_LENGTH = 80
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_RULE_KEYS = ("above", "below", "severity", "for")


class WrongValueError(ValueError):
    """A configured value cannot be used; the sentence says why and what to give instead."""


class Severity(Enum):
    """How bad an alert is: ``word`` in Python, ``label`` in Prometheus."""

    HIGH = ("high", "critical")
    MEDIUM = ("medium", "warning")
    LOW = ("low", "info")

    @property
    def word(self) -> str:
        """The word in Python: high, medium or low."""
        return self.value[0]

    @property
    def label(self) -> str:
        """The value of the label ``severity``: critical, warning or info."""
        return self.value[1]


SEVERITIES: Mapping[str, Severity] = {severity.word: severity for severity in Severity}


@dataclass(frozen=True)
class AlertRule:
    """One built-in alert.

    Attributes:
        key: the key in ``alert_config``, the alert's type and the label ``alert``.
        default: the threshold unless ``alert_config`` sets one; None where the alert is off unless asked for.
        severity: how bad it is.
        scope: what it belongs to: ``run``, ``backend`` or ``process``.
        dashboard: uid of the Grafana dashboard that shows it.
        quantity: what is compared with the threshold, as it stands in the alert's message.
        help: when it fires, in full.
        reads: names under which a bare metrics dictionary carries what the alert is judged from, strongest first; the
            catalog's aliases of each count too.
        below: True where it fires below its threshold, else it fires above.
        example: a sensible threshold, for alerts without a default.
        highest: the largest threshold that makes sense.
        hold_seconds: how long the condition must last before the alert fires.
    """

    key: str
    default: float | None
    severity: Severity
    scope: str
    dashboard: str
    quantity: str
    help: str
    reads: tuple[str, ...]
    below: bool = False
    example: float | None = None
    highest: float = math.inf
    hold_seconds: float = 0.0

    @property
    def prometheus_name(self) -> str:
        """The name of the Prometheus alert: the key in CamelCase behind ``Quantum``."""
        return prometheus_name(self.key)


def prometheus_name(key: str) -> str:
    """An alert's name in Prometheus: its key in CamelCase behind ``Quantum``."""
    return "Quantum" + "".join(part.capitalize() for part in key.split("_"))


ALERTS: tuple[AlertRule, ...] = (
    AlertRule("fidelity_drop", 0.05, Severity.HIGH, "run", "quantum-state",
              "drop of the fidelity",
              "The rolling median of ten fidelities fell by more than this below its best. It starts anew when the "
              "reference changes; a bare `check_alerts` measures from 1.",
              ("fidelity",), highest=1.0),
    AlertRule("entanglement_loss", None, Severity.MEDIUM, "run", "quantum-state",
              "share of the best entanglement that was lost",
              "The rolling median of ten entanglement entropies fell by more than this fraction of its best. Off "
              "unless asked for: converging to a weakly entangled ground state is no fault.",
              ("entanglement_entropy",), example=0.1, highest=1.0),
    AlertRule("gradient_explosion", 10.0, Severity.HIGH, "run", "quantum-training",
              "gradient norm",
              "The Euclidean norm of the gradient is above this.", ("gradient_norm",)),
    AlertRule("loss_not_finite", 0.0, Severity.HIGH, "run", "quantum-training",
              "steps in a row with a NaN or infinite loss or gradient",
              "More steps in a row than this had a NaN or infinite loss or gradient.",
              ("loss", "gradient_norm")),
    AlertRule("barren_plateau", 1e-6, Severity.MEDIUM, "run", "quantum-training",
              "variance of the gradient",
              "The variance across the gradient's components (eight at least) stayed below this for 100 steps, and the "
              "loss has not improved since the run's start: a proxy for a barren plateau, which is properly the "
              "variance over random parameters.",
              ("gradient_component_variance", "gradient_variance"), below=True),
    AlertRule("training_stalled", 300.0, Severity.MEDIUM, "run", "quantum-training",
              "seconds since the last training step",
              "The last training step or execution was longer ago than this, in seconds, and than ten median steps. "
              "Suspended while a job is known to wait or run on a backend; ten times as patient before two steps are "
              "known.", ("seconds_since_last_step",)),
    AlertRule("queue_time_limit", 300.0, Severity.LOW, "run", "quantum-circuits",
              "queue time in seconds",
              "An execution waited longer than this in the backend's queue, in seconds.", ("queue_time",)),
    AlertRule("cost_spike", 2.0, Severity.MEDIUM, "run", "quantum-cost",
              "cost over the median of recent ones",
              "An execution cost more than this many times the median of the backend's recent ones (five at least), "
              "or of those that were about as dear, where there were two.",
              ("cost",)),
    AlertRule("cost_budget", None, Severity.HIGH, "run", "quantum-cost",
              "money spent",
              "More than this was spent in the run, in the currency of which most was. Off until a budget is set.",
              ("total_cost",), example=50.0),
    AlertRule("circuit_failures", 0.2, Severity.MEDIUM, "run", "quantum-circuits",
              "share of failed executions",
              "A larger share of the last 50 executions than this failed (ten at least; a cancelled one is neither).",
              ("failure_ratio",), highest=1.0),
    AlertRule("error_rate_increase", 0.02, Severity.MEDIUM, "backend", "quantum-circuits",
              "error rate above the backend's best",
              "An error rate of the backend rose by more than this above the best that was seen of that operation.",
              ("error_rate", "error_ratio"), highest=1.0),
    AlertRule("backend_down", 0.0, Severity.HIGH, "backend", "quantum-circuits",
              "backend reported not available (1 is down)",
              "The backend is reported not available.", ("backend_down", "backend_up")),
    AlertRule("cpu_high", 0.95, Severity.LOW, "process", "quantum-health",
              "share of the processors in use",
              "More of the machine's processors than this ratio was in use for five minutes.",
              ("cpu_ratio",), highest=1.0, hold_seconds=300.0),
    AlertRule("memory_high", 0.95, Severity.LOW, "process", "quantum-health",
              "share of the memory in use",
              "More of the machine's memory than this ratio was in use for five minutes.",
              ("memory_ratio",), highest=1.0, hold_seconds=300.0),
)  # fmt: skip
BY_KEY: Mapping[str, AlertRule] = {rule.key: rule for rule in ALERTS}


@dataclass(frozen=True)
class PrometheusAlert:
    """An alert that only Prometheus can judge: what a dead or silent process cannot say, or what spans processes.

    Attributes:
        key: as in `AlertRule`, but not for ``alert_config``; None of these is judged in the process.
        severity: how bad it is.
        scope: what it belongs to: ``run``, ``process``, ``instance`` (a scrape target), ``tracker`` or ``prometheus``.
        dashboard: uid of the Grafana dashboard that shows it.
        help: when it fires, in full.
        hold_seconds: its ``for``.
    """

    key: str
    severity: Severity
    scope: str
    dashboard: str
    help: str
    hold_seconds: float = 0.0

    @property
    def prometheus_name(self) -> str:
        """The name of the Prometheus alert."""
        return prometheus_name(self.key)


PROMETHEUS_ALERTS: tuple[PrometheusAlert, ...] = (
    PrometheusAlert("exporter_down", Severity.HIGH, "instance", "quantum-health",
                    "Prometheus cannot scrape a training process that announced itself.", 60.0),
    PrometheusAlert("run_vanished", Severity.HIGH, "run", "quantum-overview",
                    "A run was running within the last ten minutes, and now its process does not answer and has shown "
                    "no end: it was killed, or its machine is gone.", 60.0),
    PrometheusAlert("run_failed", Severity.MEDIUM, "run", "quantum-overview",
                    "A run ended as failed within the last ten minutes."),
    PrometheusAlert("run_finished", Severity.LOW, "run", "quantum-overview",
                    "A run ended as completed or stopped within the last ten minutes."),
    PrometheusAlert("budget_forecast", Severity.MEDIUM, "run", "quantum-cost",
                    "At the rate of the last hour, its dearest quarter left out, the run goes over its budget within "
                    "six hours.", 300.0),
    PrometheusAlert("records_dropped", Severity.MEDIUM, "process", "quantum-health",
                    "Records were lost within the last ten minutes: a sink did not take them. States that are skipped "
                    "to stay within the time budget do not count."),
    PrometheusAlert("tracker_behind", Severity.LOW, "process", "quantum-health",
                    "Records have waited for a sink, in growing number, for a quarter of an hour.", 900.0),
    PrometheusAlert("custom_alert", Severity.MEDIUM, "run", "quantum-overview",
                    "An alert fires that has no rule of its own: a plug-in, or a rule on a metric in ``alert_config``. "
                    "Its severity is that of the alert."),
    PrometheusAlert("watchdog", Severity.LOW, "prometheus", "quantum-health",
                    "Always fires: an outside receiver that misses it knows that alerting is broken."),
)  # fmt: skip


@dataclass(frozen=True)
class MetricRule:
    """A threshold of the user's own on any metric.

    Attributes:
        name: the metric: a name or alias of the catalog, or the free name of a custom metric. Also the alert's type.
        threshold: what the value is compared with.
        below: True where it fires below the threshold, else it fires above.
        severity: how bad it is; medium unless given.
        hold_seconds: how long the condition must last before the alert fires.
    """

    name: str
    threshold: float
    below: bool = False
    severity: Severity = Severity.MEDIUM
    hold_seconds: float = 0.0


AlertConfig = Mapping[str, "float | MetricRule | None"]
"""A checked ``alert_config``: built-in alerts have a threshold or None for off, any other metric its rule."""


def read_alert_config(config: object) -> tuple[dict[str, float | MetricRule | None], Problems]:
    """Check an ``alert_config`` and bring it into one form.

    Args:
        config: a mapping as in ``QuantumMonitor(alert_config=...)``, or one that was read before; None is empty.

    Returns:
        The entries that are right, and what is wrong with the others.
    """
    if config is None:
        return {}, []
    if not isinstance(config, Mapping):
        return {}, [("", f'{short(config)} is not a mapping; give one such as {{"gradient_explosion": 10.0}}')]
    entries: dict[str, float | MetricRule | None] = {}
    problems: Problems = []
    for key, value in config.items():
        try:
            entries[key] = _entry(key, value)
        except ValueError as error:
            problems.append((str(key)[:NAME_LENGTH], str(error)))
    return entries, problems


def _entry(key: object, value: object) -> float | MetricRule | None:
    if not isinstance(key, str) or not key.strip() or len(key) > NAME_LENGTH:
        raise WrongValueError(f"the name of an alert or metric is a text of 1 to {NAME_LENGTH} characters; write it so")
    if label_value(key) != key:  # a surrogate or NUL in one name would cost every alert its series
        raise WrongValueError(f"the name cannot be a label of a series; call it {label_value(key)!r}")
    if isinstance(value, MetricRule) and value.name == key:
        return value
    rule = BY_KEY.get(key)
    if rule is not None:
        return _threshold(rule.default if rule.default is not None else rule.example, rule.highest, value)
    own = _own_alerts()
    if key in own and not isinstance(value, Mapping):
        return _threshold(own[key].threshold, None, value)
    if isinstance(value, Mapping):
        return _metric_rule(key, value)
    if any(key == alert.key for alert in PROMETHEUS_ALERTS):
        raise WrongValueError(
            "Prometheus judges this alert by itself, and it has no threshold; leave its rule out there"
        )
    known = {**BY_KEY, **own}
    if value is None or value is False:
        raise WrongValueError(f"there is no such alert to switch off; {nearest(key, known)}")
    mend = 'a metric needs a rule of its own, such as {"above": 0.5}'
    raise WrongValueError(f"there is no such alert; {nearest(key, known)}; {mend}")


def _own_alerts() -> Mapping[str, MetricRule]:
    from quantum_monitor import plugins

    return plugins.alerts()


def _threshold(example: float | None, highest: float | None, value: object) -> float | None:
    """A threshold from 0 to ``highest``, or any number where that is None; None for off."""
    if value is None or value is False:
        return None
    mend = f"give a number such as {example:g}, or None to switch the alert off"
    if isinstance(value, Mapping):
        raise WrongValueError(f"{short(value)} is a rule, but this alert has its own; {mend}")
    number = finite(value, mend)
    if highest is not None and not 0 <= number <= highest:
        limits = f"from 0 to {highest:g}" if math.isfinite(highest) else "of 0 or more"
        raise WrongValueError(f"{short(value)} is out of range: the threshold is a number {limits}; {mend}")
    return number


def _metric_rule(name: str, rule: Mapping[object, object]) -> MetricRule:
    from quantum_monitor.prometheus.catalog import BY_NAME, judged

    if name in BY_NAME and judged(name)[0] == "custom":
        raise WrongValueError(
            "no record carries this metric, so no rule can judge it; Prometheus can, by a rule of yours"
        )
    for key in rule:
        if key not in _RULE_KEYS:
            raise WrongValueError(f"a rule has no {short(key)}; {nearest(str(key), _RULE_KEYS)}")
    sides = [side for side in ("above", "below") if side in rule]
    if len(sides) != 1:
        raise WrongValueError('a rule has either "above" or "below"; give one of them, such as {"above": 0.5}')
    word = rule.get("severity", Severity.MEDIUM.word)
    if not isinstance(word, str) or word not in SEVERITIES:
        raise WrongValueError(f"severity {short(word)} is unknown; give one of {', '.join(SEVERITIES)}")
    threshold = finite(rule[sides[0]], f'give a number, such as {{"{sides[0]}": 0.5}}')
    return MetricRule(name, threshold, sides[0] == "below", SEVERITIES[word], _duration(rule.get("for", 0)))


def _duration(value: object) -> float:
    mend = 'give seconds, or a text such as "30s", "5m" or "1h"'
    if isinstance(value, str):
        match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)([smhd])", value.strip(), re.ASCII)
        if match is None:
            raise WrongValueError(f'"for" {short(value)} is no duration; {mend}')
        return float(match[1]) * _SECONDS[match[2]]
    seconds = finite(value, mend)
    if seconds < 0:
        raise WrongValueError(f'"for" {short(value)} is negative; {mend}')
    return seconds


def finite(value: object, mend: str) -> float:
    """The value as a finite float; a text or a boolean is not taken for a number.

    Raises:
        WrongValueError: it is none; the sentence ends in ``mend``.
    """
    if isinstance(value, bool) or not isinstance(value, SupportsFloat):
        raise WrongValueError(f"{short(value)} is not a number; {mend}")
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise WrongValueError(f"{short(value)} is not a finite number; {mend}")
    return number


def short(value: object) -> str:
    """The value as it stands in an error: its repr, cut."""
    text = repr(value)
    return text if len(text) <= _SHOWN_LENGTH else f"{text[: _SHOWN_LENGTH - 3]}..."


def nearest(key: str, known: Mapping[str, object] | tuple[str, ...]) -> str:
    """A sentence naming the known key nearest to ``key``, or all of them where none is near."""
    near = difflib.get_close_matches(key[:NAME_LENGTH], known, n=1)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
