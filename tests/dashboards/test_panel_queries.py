"""What panels ask: PromQL that parses, of metrics that exist, narrowed by the variables, honest with money."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from quantum_monitor.alerts import rules
from quantum_monitor.prometheus import catalog
from quantum_monitor.prometheus.catalog import Scope
from tests.dashboards.panel_queries import MAY_BE_EMPTY, dashboards, filled, panels, queries, query_variables

promql = pytest.importorskip("promql_parser")

DASHBOARDS = dashboards()
OF_PROMETHEUS = ("up", "ALERTS", "scrape_duration_seconds", "scrape_samples_scraped")
SAMPLES = {
    metric.name + suffix: metric
    for metric in catalog.METRICS
    for suffix in {"histogram": ("_bucket", "_count", "_sum"), "summary": ("_count", "_sum")}.get(metric.type, ("",))
}

NOT_OF_A_TARGET = {
    ("quantum-health", "Watchdog"): "the alert comes from vector(1) and has no job",
    ("quantum-health", "Rules that failed"): "Prometheus' own metrics have a job of their own",
    ("quantum-health", "Notifications"): "Prometheus' own metrics have a job of their own",
    ("quantum-health", "Messages to people"): "Alertmanager's own metrics have a job of their own",
}
"""Panels whose queries are not narrowed by job and instance, and why."""

FIXED_WINDOWS = {
    ("quantum-overview", "Vanished"): "a killed process is told by the minutes after it, whatever the zoom",
    ("quantum-overview", "All runs"): "a killed process is told by the minutes after it, whatever the zoom",
    ("quantum-cost", "Forecast against budget"): "the alert budget_forecast looks at the last hour, whatever the zoom",
    ("quantum-cost", "Forecast by currency"): "as the forecast beside it",
}
"""Panels with a window that does not follow the zoom, and why."""

COUNTERS_AS_THEY_ARE = {
    ("quantum-overview", "Cost of the last 24 hours"): "increase() leaves out the first cost of a run",
    ("quantum-overview", "How often"): "increase() leaves out an alert that fired before the first scrape of its run",
    ("quantum-circuits", "Executions"): "increase() leaves out what ran before the first scrape of the run",
    ("quantum-cost", "Spent in the time range"): "increase() leaves out the first cost of a run",
    ("quantum-cost", "Spent by these runs"): "the sum is asked for, not its change",
    ("quantum-cost", "Forecast by currency"): "what is spent already is a part of what will be",
    ("quantum-health", "Messages to people"): "whether a kind of receiver is in use is asked for, not how much",
    ("quantum-cost", "Cost by run and backend"): "the sum is asked for, and its change as above",
}
"""Panels that use a counter outside `rate` and `increase`, and why."""

each_dashboard = pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=DASHBOARDS)
Dashboard = Mapping[str, Any]


@each_dashboard
def test_every_query_is_promql(dashboard: Dashboard) -> None:
    for asked in queries(dashboard):
        promql.parse(asked.expr)


@each_dashboard
def test_every_metric_is_in_the_catalog_and_every_alert_in_the_vocabulary(dashboard: Dashboard) -> None:
    for asked in queries(dashboard):
        for selector in selectors(promql.parse(asked.expr)):
            name = selector.name
            assert name in SAMPLES or name in OF_PROMETHEUS or name.startswith(("prometheus_", "alertmanager_")), asked
            alerts = [matcher.value for matcher in selector.matchers.matchers if matcher.name == "alert"]
            assert set(alerts) <= set(rules.BY_KEY), asked


@each_dashboard
def test_every_label_that_is_matched_is_one_of_the_metric(dashboard: Dashboard) -> None:
    for asked in queries(dashboard):
        for selector in selectors(promql.parse(asked.expr)):
            metric = SAMPLES.get(selector.name)
            if metric is None:
                continue
            alert = ("experiment", "run", "backend") if metric.scope is Scope.ALERT else ()
            matched = {matcher.name for matcher in selector.matchers.matchers}
            assert matched <= {"job", "instance", *metric.label_names, *alert}, asked


@each_dashboard
def test_variables_are_asked_of_metrics_that_exist_and_narrow_each_other(dashboard: Dashboard) -> None:
    for name, asked in query_variables(dashboard).items():
        match = re.fullmatch(rf"label_values\((.+), {name}\)", asked)
        assert match is not None
        selector = promql.parse(filled(match[1], dict.fromkeys(query_variables(dashboard), ".+")))
        for metric in names_of(selector):
            assert name in ("job", "instance", *SAMPLES[metric].label_names)
        assert name == "job" or 'job=~"$job"' in asked


@each_dashboard
def test_job_and_instance_narrow_every_query(dashboard: Dashboard) -> None:
    for place, expr in written(dashboard):
        for selector in selectors_of(expr):
            narrowed = 'job=~"$job"' in selector and 'instance=~"$instance"' in selector
            assert narrowed is not (place in NOT_OF_A_TARGET), (place, selector)


@each_dashboard
def test_what_has_an_experiment_and_a_run_is_narrowed_by_them_and_nothing_else_is(dashboard: Dashboard) -> None:
    for place, expr in written(dashboard):
        for selector in selectors_of(expr):
            narrowed = 'experiment=~"$experiment"' in selector and 'run=~"$run"' in selector
            assert narrowed is has_labels(selector, "experiment", "run"), (place, selector)


@each_dashboard
def test_what_has_a_backend_is_narrowed_by_it_where_there_is_the_variable(dashboard: Dashboard) -> None:
    variable = "backend" in query_variables(dashboard)
    for place, expr in written(dashboard):
        for selector in selectors_of(expr):
            narrowed = 'backend=~"$backend"' in selector
            assert narrowed is (variable and has_labels(selector, "backend")), (place, selector)


@each_dashboard
def test_alerts_of_every_scope_are_narrowed_without_losing_those_that_have_no_run(dashboard: Dashboard) -> None:
    for place, expr in written(dashboard):
        for selector in selectors_of(expr):
            if "quantum_alert" in selector and "alert=" not in selector:
                assert 'experiment=~"$experiment|"' in selector, place
                assert 'run=~"$run|"' in selector, place


@each_dashboard
def test_windows_follow_the_zoom(dashboard: Dashboard) -> None:
    for place, expr in written(dashboard):
        windows = set(re.findall(r"\[([^\]]*)\]", expr))
        fixed = {window for window in windows if not window.startswith("$")}
        assert windows - fixed <= {"$__rate_interval", "$__range", "$__range:"}, place
        assert not fixed or place in FIXED_WINDOWS, place


@each_dashboard
def test_counters_stand_in_rate_or_increase(dashboard: Dashboard) -> None:
    for place, expr in written(dashboard):
        bare = re.sub(r"\b(?:rate|increase)\(\w+(?:\{[^}]*\})?\[[^\]]*\]\)", "", expr)
        assert place in COUNTERS_AS_THEY_ARE or not re.search(r"\w+_(?:total|bucket)\b", bare), place


@each_dashboard
def test_money_of_different_currencies_or_kinds_is_never_added_up(dashboard: Dashboard) -> None:
    for place, expr in written(dashboard):
        if "quantum_cost" not in expr:
            continue
        grouped = r"\b(sum|max) (?:by|without \(start\)) \("  # without the start of a run, all other labels stay
        assert re.findall(r"\b(?:sum|max)\b", expr) == re.findall(grouped, expr), place
        for by in re.findall(r"\b(?:sum|max) by \(([^)]*)\)", expr):
            assert {"currency", "kind"} <= {label.strip() for label in by.split(",")}, place


@each_dashboard
def test_a_legend_names_labels_that_the_series_have(dashboard: Dashboard) -> None:
    for panel in panels(dashboard):
        for target in panel.get("targets", []):
            by = re.match(r".*?\b(?:sum|max|count) by \(([^)]*)\)", target["expr"])
            kept = {label.strip() for label in by[1].split(",")} if by else None
            named = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            assert kept is None or named <= kept, panel["title"]
            assert target["legendFormat"] or panel["type"] == "table", panel["title"]


def test_every_metric_of_the_catalog_is_shown_somewhere() -> None:
    asked = {
        SAMPLES[selector.name].name
        for dashboard in DASHBOARDS.values()
        for query in queries(dashboard)
        for selector in selectors(promql.parse(query.expr))
        if selector.name in SAMPLES
    }
    behind_the_variables = {"quantum_run_info"}
    assert asked | behind_the_variables == set(catalog.BY_NAME)


def test_exemptions_are_of_panels_that_exist() -> None:
    there = {(asked.dashboard, asked.panel, asked.ref_id) for d in DASHBOARDS.values() for asked in queries(d)}
    assert MAY_BE_EMPTY.keys() <= there
    assert {*NOT_OF_A_TARGET, *FIXED_WINDOWS, *COUNTERS_AS_THEY_ARE} <= {place[:2] for place in there}


# Reading queries


def written(dashboard: Dashboard) -> list[tuple[tuple[str, str], str]]:
    """Every query with its place, the variables as they stand in the file."""
    uid = dashboard["uid"]
    asked = [((uid, panel["title"]), t["expr"]) for panel in panels(dashboard) for t in panel.get("targets", [])]
    events = dashboard["annotations"]["list"]
    return asked + [((uid, event["name"]), event["expr"]) for event in events if "expr" in event]


def has_labels(selector: str, *labels: str) -> bool:
    """Whether every series that a selector finds has these labels."""
    metric = SAMPLES.get(re.split(r"\{", selector)[0])
    alert = re.search(r'alert="(\w+)"', selector)
    if metric is None:
        return False
    if alert:
        own = {"run": Scope.RUN, "backend": Scope.BACKEND, "process": Scope.PROCESS}[rules.BY_KEY[alert[1]].scope].value
    else:
        own = metric.label_names
    return set(labels) <= set(own)


def selectors(node: Any) -> Iterator[Any]:
    """Every selector of a parsed query."""
    if isinstance(node, promql.VectorSelector):
        yield node
    elif isinstance(node, promql.MatrixSelector):
        yield node.vector_selector
    elif isinstance(node, promql.Call):
        for argument in node.args:
            yield from selectors(argument)
    elif isinstance(node, promql.BinaryExpr):
        yield from selectors(node.lhs)
        yield from selectors(node.rhs)
    elif hasattr(node, "expr"):
        yield from selectors(node.expr)


def names_of(selector: Any) -> list[str]:
    """The metric names that a selector matches, one or several."""
    named: list[str] = [m.value for m in selector.matchers.matchers if m.name == "__name__"]
    return named[0].split("|") if named else [selector.name]


def selectors_of(expr: str) -> list[str]:
    """Every metric of a query as it is written, with its matchers."""
    known = "|".join(map(re.escape, (*SAMPLES, *OF_PROMETHEUS)))
    return re.findall(rf"(?<![\w$\"~])(?:{known})\b(?!\()(?:\{{[^}}]*\}})?", expr)
