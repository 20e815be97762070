"""PromQL for panels: metric names checked against the catalog, selectors put in by the scope of each metric."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from quantum_monitor.alerts import rules
from quantum_monitor.prometheus import catalog
from quantum_monitor.prometheus.catalog import Scope

FOREIGN = {
    **dict.fromkeys(("up", "scrape_duration_seconds", "scrape_samples_scraped"), ("job", "instance")),
    **dict.fromkeys(
        (
            "ALERTS", "prometheus_rule_evaluation_failures_total", "prometheus_rule_group_iterations_missed_total",
            "prometheus_notifications_sent_total", "prometheus_notifications_errors_total",
            "prometheus_notifications_dropped_total", "alertmanager_notifications_total",
            "alertmanager_notifications_failed_total",
        ),
        (),
    ),
}  # fmt: skip
"""What dashboards ask for beside the catalog, and the labels that select it. The metrics of Prometheus and Alertmanager
have jobs of their own, and the watchdog none."""

_PREFIXES = ("quantum_", "process_", "scrape_", "prometheus_", "alertmanager_")
_SUFFIXES = {"histogram": ("_bucket", "_count", "_sum"), "summary": ("_count", "_sum")}
_ALERT_LABELS = {"run": Scope.RUN.value, "backend": Scope.BACKEND.value, "process": Scope.PROCESS.value}
_TARGET = ("job", "instance")
_OPTIONAL = ("experiment", "run", "backend")
_RUN = (*_TARGET, *Scope.RUN.value)
_TEXT = r'"(?:[^"\\]|\\.)*"' + "|" + r"'(?:[^'\\]|\\.)*'"
_NAME = re.compile(rf"(?P<text>{_TEXT})|(?P<name>[a-zA-Z_:][\w:]*)(?P<matchers>\{{(?:{_TEXT}|[^}}\"'])*\}})?")
_AGGREGATION = re.compile(r"\b(?:sum|max|min|avg|count)\b(?: by \(([^)]*)\))?")
_BY_GRAFANA = "__auto"
_ALERT = re.compile(r'\balert\s*=\s*"([^"]*)"')


@dataclass(frozen=True)
class Query:
    """One query of a panel, as it is written: selectors come on top where the dashboard is put together.

    Attributes:
        expr: PromQL without the selectors of the template variables.
        legend: what a series is called, with labels in double braces.
        threshold: True where it is a limit, drawn as a dashed red line.
        right_unit: the unit of an axis of its own on the right; None for the panel's axis.
    """

    expr: str
    legend: str
    threshold: bool = False
    right_unit: str | None = None


def query(expr: str, legend: str | None = None, *, right_unit: str | None = None) -> Query:
    """A query in PromQL, such as ``query("quantum_training_loss")``.

    Metric names need no selectors: ``job``, ``instance``, ``experiment``, ``run`` and ``backend`` are put in by the
    metric's scope, beside matchers that are written out.

    Args:
        expr: PromQL.
        legend: what a series is called; unless given by the labels that an aggregation keeps, or those of the metric.
        right_unit: Grafana's name of the unit of an axis of its own on the right.

    Raises:
        ValueError: a metric is not in the catalog, or an alert not in the vocabulary.
    """
    labels = [_labels(name, matchers) for name, matchers in _metrics(expr)]
    if not labels:
        raise ValueError(
            f"{expr!r} asks for no metric that is known; name one of quantum_monitor.prometheus.catalog or of "
            f"{', '.join(FOREIGN)}; a metric of another program goes into FOREIGN of {__name__} first"
        )
    return Query(expr, _legend(expr, labels[0]) if legend is None else legend, right_unit=right_unit)


def threshold(alert: str, legend: str | None = None) -> Query:
    """The limit of an alert as the training script set it, drawn as a dashed red line.

    Args:
        alert: a key of the alert vocabulary, such as ``gradient_explosion``.
        legend: what a series is called.

    Raises:
        ValueError: there is no such alert.
    """
    written = query(f'quantum_alert_threshold{{alert="{alert}"}}')
    return Query(written.expr, f"threshold, {written.legend}" if legend is None else legend, threshold=True)


def worst(alert: str, legend: str | None = None) -> Query:
    """What an alert judges: the worst value between two points of the panel, so none is lost at a long time range.

    Args:
        alert: a key of the alert vocabulary, such as ``gradient_explosion``.
        legend: what a series is called.

    Raises:
        ValueError: there is no such alert.
    """
    values = f'quantum_alert_value{{alert="{alert}"}}'
    written = query(values, legend)
    extreme = "min" if rules.BY_KEY[alert].below else "max"
    return replace(written, expr=f"{extreme}_over_time({values}[$__rate_interval])")


def quantile(share: float, histogram: str, by: str, legend: str) -> Query:
    """A quantile of a histogram over the rate interval.

    Args:
        share: which one, from 0 to 1.
        histogram: the metric, without ``_bucket``.
        by: labels to tell apart, separated by commas.
        legend: what a series is called.
    """
    rates = f"sum by (le, {by}) (rate({histogram}_bucket[$__rate_interval]))"
    return query(f"histogram_quantile({share:g}, {rates})", legend)


def last(selector: str) -> str:
    """PromQL of the latest value in the panel's time range, also of runs and processes that are gone."""
    return f"last_over_time({selector}[$__range])"


def gained(counter: str) -> str:
    """PromQL of what a counter gained in the panel's time range.

    ``increase()`` leaves out the value that a counter has when it is first seen, which is all the money of a run with
    one execution; this counts it. A script that is run again under the same labels starts its counters again:

    - those of runs are added up by the start of each run, at Prometheus' evaluation interval (20 runs over a week take
      two seconds);
    - those of alerts, which are far more, by ``increase()``: it takes a start for one only where it sees the counter
      fall, extrapolates somewhat, and is rounded.

    Args:
        counter: name and matchers of a counter.

    Raises:
        ValueError: a metric of this name is not in the catalog.
    """
    now = last(counter)
    once = f"({now} - (({counter} offset $__range <= {now}) or {now} * 0))"
    of_runs = all(set(_RUN) <= set(_labels(name, matchers)) for name, matchers in _metrics(counter))
    again = _gained_by_starts(counter) if of_runs else _increased(counter)
    return f"({again} or {once})"


def _gained_by_starts(counter: str) -> str:
    """What runs gained that were started several times under the same labels.

    Each start is a series of its own, by a label made of the value of its timestamp.
    """
    start, on = "quantum_run_start_timestamp_seconds", ", ".join(_RUN)

    def apart(offset: str) -> str:
        starts = f'count_values by ({on}) ("start", {start}{offset})'
        return f"{counter}{offset} * on ({on}) group_left (start) {starts}"

    then, before = f"last_over_time(({apart('')})[$__range:])", apart(" offset $__range")
    again = f"changes({start}[$__range]) > 0"
    return f"(sum without (start) ({then} - ({before} or {then} * 0)) and on ({on}) {again})"


def _increased(counter: str) -> str:
    """What counters gained that were seen to fall, as whole numbers."""
    return f"(round(increase({counter}[$__range])) and resets({counter}[$__range]) > 0)"


def expand(expr: str, variables: Collection[str]) -> str:
    """The PromQL with selectors: each metric is matched against those of the variables that its scope has."""

    def with_selectors(match: re.Match[str]) -> str:
        name, matchers = match["name"], match["matchers"] or ""
        if name is None or not _is_metric(name):
            return match[0]
        labels = _labels(name, matchers)
        optional = "|" if _any_scope(name, matchers) else ""
        selectors = [
            f'{label}=~"${label}{optional if label in _OPTIONAL else ""}"' for label in labels if label in variables
        ]
        written = [matchers[1:-1].strip()] if matchers[1:-1].strip() else []
        both = ", ".join(written + selectors)
        return f"{name}{{{both}}}" if both else name

    return _NAME.sub(with_selectors, expr)


def _metrics(expr: str) -> Iterator[tuple[str, str]]:
    """Name and matchers of every metric that is asked for."""
    for match in _NAME.finditer(expr):
        if match["name"] and _is_metric(match["name"]):
            yield match["name"], match["matchers"] or ""


def _is_metric(name: str) -> bool:
    return name in FOREIGN or name.startswith(_PREFIXES)


def _labels(name: str, matchers: str) -> tuple[str, ...]:
    """The labels that select a metric's series.

    Raises:
        ValueError: nobody exports it.
    """
    alert = _ALERT.search(matchers)
    if name in FOREIGN:
        return FOREIGN[name]
    if _any_scope(name, matchers):
        return (*_TARGET, *_OPTIONAL)
    metric = _SAMPLES.get(name)
    if metric is None:
        raise ValueError(f"no metric is called {name}; {rules.nearest(name, (*_SAMPLES, *FOREIGN))}")
    if metric.scope is not Scope.ALERT or alert is None:
        labels: tuple[str, ...] = metric.scope.value
        return (*_TARGET, *labels)
    if alert[1] not in rules.BY_KEY:
        raise ValueError(f"no alert is called {alert[1]}; {rules.nearest(alert[1], rules.BY_KEY)}")
    return (*_TARGET, *_ALERT_LABELS[rules.BY_KEY[alert[1]].scope])


def _any_scope(name: str, matchers: str) -> bool:
    """Whether series of runs, of backends and of the process stand side by side under this name."""
    metric = _SAMPLES.get(name)
    return metric is not None and metric.scope is Scope.ALERT and not _ALERT.search(matchers)


def _legend(expr: str, labels: tuple[str, ...]) -> str:
    aggregation = _AGGREGATION.search(expr)
    if aggregation:
        own = re.findall(r"\w+", aggregation[1] or "")
    else:
        own = [label for label in labels if label not in _TARGET] or ["instance"]
    return " / ".join(f"{{{{{label}}}}}" for label in own) or _BY_GRAFANA


_SAMPLES = {metric.name + suffix: metric for metric in catalog.METRICS for suffix in _SUFFIXES.get(metric.type, ("",))}
"""Every name that a sample of the catalog's metrics can have."""
