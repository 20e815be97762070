"""The catalog tells the truth: what it names is exported, what is exported it names, and its names are good ones."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from quantum_monitor import QuantumMonitor
from quantum_monitor.prometheus import catalog
from quantum_monitor.prometheus.catalog import Metric, Scope
from scripts import generate
from tests.prometheus.full_use import log_everything, wait_for_machine

NewMonitor = Callable[..., QuantumMonitor]

NOT_OURS = ("process_", "python_")
METRICS = [pytest.param(metric, id=metric.name) for metric in catalog.METRICS]
SUFFIXES = {"histogram": ("_bucket", "_count", "_sum"), "summary": ("_count", "_sum")}


@pytest.fixture
def exported(new_monitor: NewMonitor) -> list[tuple[str, frozenset[str]]]:
    """Name and label names of every series of a run in which everything was logged."""
    monitor = new_monitor()
    log_everything(monitor)
    wait_for_machine(monitor)
    return series_of(monitor)


def series_of(monitor: QuantumMonitor) -> list[tuple[str, frozenset[str]]]:
    return [
        (sample.name, frozenset(sample.labels))
        for family in monitor.registry.collect()
        for sample in family.samples
        if not sample.name.startswith(NOT_OURS)
    ]


def sample_names(metric: Metric) -> set[str]:
    return {metric.name + suffix for suffix in SUFFIXES.get(metric.type, ("",))}


# Names


def test_every_name_is_there_once() -> None:
    names = [metric.name for metric in catalog.METRICS]
    assert len(names) == len(set(names)) == len(catalog.BY_NAME)


def test_every_name_in_log_metrics_means_one_metric() -> None:
    names = [name for metric in catalog.METRICS for name in metric.names_in_log_metrics]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("metric", METRICS)
def test_a_name_is_in_the_style_of_prometheus(metric: Metric) -> None:
    assert re.fullmatch(r"quantum(_[a-z][a-z0-9]*)+", metric.name)
    assert not re.search(r"_(bits|ms|us|ns|minutes|hours|days|percent|[kmg]b|[kmg]i?bytes|milli\w+)(_|$)", metric.name)


@pytest.mark.parametrize("metric", METRICS)
def test_a_unit_is_a_base_unit_and_stands_in_the_name_of_times_and_sizes(metric: Metric) -> None:
    assert metric.unit in ("", "seconds", "bytes", "ratio", "bits")
    for unit in ("seconds", "bytes"):
        assert metric.name.removesuffix("_total").endswith(f"_{unit}") == (metric.unit == unit)


@pytest.mark.parametrize("metric", METRICS)
def test_counters_and_only_they_end_in_total(metric: Metric) -> None:
    assert metric.name.endswith("_total") == (metric.type == "counter")
    assert metric.name.endswith("_info") == (metric.type == "info")


@pytest.mark.parametrize("metric", METRICS)
def test_a_help_text_is_a_sentence_on_one_line(metric: Metric) -> None:
    assert metric.help.endswith(".")
    assert "\n" not in metric.help
    assert "|" not in metric.help  # it stands in a table of docs/metrics.md


# What is exported


def test_every_metric_of_the_catalog_is_exported(exported: list[tuple[str, frozenset[str]]]) -> None:
    assert {name for metric in catalog.METRICS for name in sample_names(metric)} - {
        name for name, _ in exported
    } == set()


def test_nothing_is_exported_that_the_catalog_does_not_know(exported: list[tuple[str, frozenset[str]]]) -> None:
    assert {name for name, _ in exported} - {
        name for metric in catalog.METRICS for name in sample_names(metric)
    } == set()


@pytest.mark.parametrize("constant", [{}, {"team": "x"}])
def test_a_series_has_the_labels_that_the_catalog_names(new_monitor: NewMonitor, constant: dict[str, str]) -> None:
    monitor = new_monitor(labels=constant)
    log_everything(monitor)
    wait_for_machine(monitor)
    metric_of = {name: metric for metric in catalog.METRICS for name in sample_names(metric)}
    for name, labels in series_of(monitor):
        metric = metric_of[name]
        scopes = (Scope.RUN, Scope.BACKEND, Scope.PROCESS) if metric.scope is Scope.ALERT else (metric.scope,)
        own = {*metric.label_names, *(("le",) if name.endswith("_bucket") else ())}
        expected = [{*own, *scope.value, *(() if scope is Scope.PROCESS else constant)} for scope in scopes]
        assert labels in expected, name


def test_a_run_with_one_backend_costs_at_most_150_series(new_monitor: NewMonitor) -> None:
    monitor = new_monitor()
    log_everything(monitor)
    assert len([labels for _, labels in series_of(monitor) if labels & {"run", "backend"}]) <= 150


# log_metrics


@pytest.mark.parametrize("name", catalog.settable())
def test_a_name_that_log_metrics_knows_lands_in_its_metric(new_monitor: NewMonitor, name: str) -> None:
    metric = catalog.settable()[name]
    monitor = new_monitor()
    with monitor.start_run("a"):
        monitor.log_metrics({name: 0.5}, step=7)
        labels = {"experiment": "h2", "run": "a", **({"backend": "unknown"} if metric.scope is Scope.CIRCUIT else {})}
        assert monitor.registry.get_sample_value(metric.name, labels) == 0.5
        assert "quantum_custom_metric" not in {shown for shown, _ in series_of(monitor)}


def test_the_names_of_earlier_monitors_are_known() -> None:
    for name in (
        "loss",
        "training_loss",
        "fidelity",
        "quantum_fidelity",
        "entanglement",
        "gradient_norm",
        "circuit_depth",
    ):
        assert name in catalog.settable()


# Documentation


@pytest.mark.parametrize("path", generate.GENERATED)
def test_a_generated_file_is_in_step_with_its_source(path: str) -> None:
    present = (Path(generate.ROOT) / path).read_text(encoding="utf-8")
    assert present == generate.GENERATED[path](), "`make generate` mends that"


def test_the_documentation_names_every_metric_once() -> None:
    named = re.findall(r"^\| `(\w+)` \|", catalog.markdown(), re.MULTILINE)
    assert sorted(named) == sorted(metric.name for metric in catalog.METRICS)
