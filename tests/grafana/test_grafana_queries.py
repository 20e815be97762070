"""Queries are written without selectors, get those of their metric's scope, and fail at once where a name is wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytest.importorskip("grafanalib")

from quantum_monitor.grafana import gained, last, quantile, query, threshold, worst
from quantum_monitor.grafana.queries import Query, expand

ALL = ("job", "instance", "experiment", "run", "backend")
TARGET = 'job=~"$job", instance=~"$instance"'
RUN = f'{TARGET}, experiment=~"$experiment", run=~"$run"'


@pytest.mark.parametrize(
    ("written", "narrowed"),
    [
        ("quantum_training_loss", f"quantum_training_loss{{{RUN}}}"),
        ("quantum_circuit_depth", f'quantum_circuit_depth{{{RUN}, backend=~"$backend"}}'),
        ("quantum_backend_up", f'quantum_backend_up{{{TARGET}, backend=~"$backend"}}'),
        ("quantum_process_threads", f"quantum_process_threads{{{TARGET}}}"),
        ("up", f"up{{{TARGET}}}"),
        ("prometheus_notifications_sent_total", "prometheus_notifications_sent_total"),
    ],
)
def test_the_scope_of_a_metric_decides_what_narrows_it(written: str, narrowed: str) -> None:
    assert expand(written, ALL) == narrowed


@pytest.mark.parametrize(
    ("alert", "narrowed"),
    [
        ("gradient_explosion", RUN),
        ("backend_down", f'{TARGET}, backend=~"$backend"'),
        ("cpu_high", TARGET),
    ],
)
def test_the_scope_of_an_alert_decides_what_narrows_its_series(alert: str, narrowed: str) -> None:
    assert expand(threshold(alert).expr, ALL) == f'quantum_alert_threshold{{alert="{alert}", {narrowed}}}'


def test_alerts_of_every_scope_are_narrowed_without_losing_those_that_have_no_run() -> None:
    assert expand("quantum_alert_firing", ("run",)) == 'quantum_alert_firing{run=~"$run|"}'


def test_a_dashboard_without_a_variable_does_not_narrow_by_it() -> None:
    assert expand("quantum_circuit_depth", ("job",)) == 'quantum_circuit_depth{job=~"$job"}'


def test_matchers_that_are_written_out_stay() -> None:
    written = 'sum(quantum_run_status{status=~"a}|b"}) by (run)'
    assert expand(written, ("job",)) == 'sum(quantum_run_status{status=~"a}|b", job=~"$job"}) by (run)'


def test_windows_offsets_and_functions_stay_where_they_are() -> None:
    written = "rate(quantum_training_step_duration_seconds_bucket[$__rate_interval] offset 1h)"
    narrowed = 'rate(quantum_training_step_duration_seconds_bucket{run=~"$run"}[$__rate_interval] offset 1h)'
    assert expand(written, ("run",)) == narrowed


def test_texts_are_not_taken_for_metrics() -> None:
    written = 'label_replace(up, "up", "quantum_nonsense", "", "")'
    assert expand(query(written).expr, ()) == written


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ("quantum_training_los", "no metric is called quantum_training_los; did you mean quantum_training_loss?"),
        ("quantum_training_step_duration_seconds", "did you mean quantum_training_step_duration_seconds_"),
        ('quantum_alert_value{alert="gradient_explosions"}', "no alert is called gradient_explosions; did you mean"),
        ("vector(1)", "asks for no metric that is known"),
        (
            "node_load1",
            "name one of quantum_monitor.prometheus.catalog or of up, .*goes into FOREIGN of quantum_monitor",
        ),
        ("prometheus_notifications_send_total", "did you mean prometheus_notifications_sent_total?"),
    ],
)
def test_a_wrong_name_fails_where_it_is_written(written: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        query(written)


@pytest.mark.parametrize("of_alert", [threshold, worst])
def test_a_line_of_an_unknown_alert_fails_where_it_is_written(of_alert: Callable[[str], Query]) -> None:
    with pytest.raises(ValueError, match="no alert is called gradient; "):
        of_alert("gradient")


def test_money_of_a_metric_that_does_not_exist_fails_where_it_is_written() -> None:
    with pytest.raises(ValueError, match="no metric is called quantum_costs_total; did you mean quantum_cost_total"):
        gained("quantum_costs_total")


def test_the_worst_value_is_the_least_where_an_alert_fires_below_its_threshold() -> None:
    value = 'quantum_alert_value{alert="gradient_explosion"}'
    assert worst("gradient_explosion").expr == f"max_over_time({value}[$__rate_interval])"
    assert worst("barren_plateau").expr.startswith("min_over_time(")
    assert (worst("cpu_high").legend, worst("cpu_high", "machine").legend) == ("{{instance}}", "machine")


@pytest.mark.parametrize(
    ("written", "legend"),
    [
        ("quantum_training_loss", "{{experiment}} / {{run}}"),
        ("quantum_process_threads", "{{instance}}"),
        ("max by (alert) (quantum_alert_firing)", "{{alert}}"),
        ("sum(quantum_alert_firing)", "__auto"),
    ],
)
def test_a_series_is_called_by_the_labels_that_it_has(written: str, legend: str) -> None:
    assert query(written).legend == legend


def test_words_for_promql_give_promql() -> None:
    assert last("up") == "last_over_time(up[$__range])"
    queue = "quantum_circuit_queue_duration_seconds"
    rates = f"sum by (le, run) (rate({queue}_bucket[$__rate_interval]))"
    assert quantile(0.95, queue, "run", "95 %").expr == f"histogram_quantile(0.95, {rates})"
