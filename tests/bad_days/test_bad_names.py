"""Names that would break a page, a path or a label set if anything believed them."""

from __future__ import annotations

import json
import resource
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families

from quantum_monitor import QuantumMonitor, plugins
from quantum_monitor.faults import FAULTS
from quantum_monitor.prometheus.exposition import expose
from quantum_monitor.store.layout import find_runs
from quantum_monitor.store.reader import StoredRun

NewMonitor = Callable[..., QuantumMonitor]
Scrape = Callable[[QuantumMonitor], "dict[tuple[str, frozenset[tuple[str, str]]], float]"]
Value = Callable[..., "float | None"]

NAMES = {
    "quotes": 'it\'s "quoted"',
    "newlines": "one\ntwo\r\nthree\n# TYPE evil counter\nevil_total 1",
    "slashes": "a/b\\c",
    "parent": "../../../../tmp/evil",
    "absolute": "/etc/passwd",
    "dots": "..",
    "html": "<script>alert(1)</script>&amp;",
    "labels": 'x",run="other"} 1\nevil 2 #',
    "nul": "a\0b",
    "surrogate": "\ud800 \udfff",
    "long": "x" * 10_000,
    "wide": "\N{SNOWMAN}\N{GRINNING FACE}" * 100,
    "separators": "\x85\u2028\u2029\x1c\x0b",
    "formula": "=cmd|' /C calc'!A0",
    "blank": " ",
}


def read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=20) as answer:
        return str(answer.read(), "utf-8")


def log_everywhere(monitor: QuantumMonitor, name: str) -> None:
    monitor.log_training_step(0.5, [1.0], [1.0], 0, additional_metrics={name: 1.0})
    monitor.log_metrics({name: [1.0, 2.0]})
    monitor.log_circuit_execution(
        {"gates": [{"type": name, "qubit": name}]},
        1.0,
        cost=1.0,
        backend_info={"name": name, "currency": name},
        status=name,
    )
    monitor.log_backend_status(name, up=True, error_rates={name: 0.1})
    monitor.log_params({name: name, "nested": {name: [name]}})
    monitor.set_tags({name: name})


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_name_is_data_on_every_page_and_in_every_file(
    tmp_path: Path, parse: Callable[[str], dict[tuple[str, frozenset[tuple[str, str]]], float]], name: str
) -> None:
    storage = tmp_path / "below" / "storage"
    plugins.state_metric("!" + name)(lambda _: 1.0)
    monitor = QuantumMonitor(
        name if name.strip() else "x",
        metrics_port=0,
        storage_path=storage,
        labels={"team": name},
        registry=CollectorRegistry(),
        enable_mlflow=False,
    )
    try:
        monitor.start_run(name)
        monitor.log_quantum_state([1.0, 0.0], 0)
        log_everywhere(monitor, name)
        assert monitor.metrics_url is not None
        page, index = read(monitor.metrics_url), read(monitor.metrics_url.removesuffix("metrics"))
        monitor.export_metrics(storage / "out.csv", "csv")
        monitor.export_metrics(storage / "out.json", "comprehensive")
        monitor.end_run()
    finally:
        monitor.close()
        plugins.unregister("!" + name)

    shown = [dict(labels) for (metric, labels) in parse(page) if metric.startswith("quantum_custom_metric")]
    assert len(shown) == 5 + 1  # the value, four statistics and the plug-in's
    assert max(len(text) for labels in shown for text in labels.values()) <= 128
    assert {len(labels) for labels in shown} == {4}  # experiment, run, team, name: nothing broke out of a label
    assert not any(metric.startswith("evil") for metric, _ in parse(page))
    accept = "application/openmetrics-text; version=1.0.0"
    assert list(openmetrics_families(expose(monitor.registry, accept=accept)[1].decode()))  # type: ignore[no-untyped-call]
    assert "<script>" not in index
    outside = [path for path in tmp_path.rglob("*") if storage not in (path, *path.parents) and path != storage.parent]
    assert not outside
    (run,) = find_runs(storage)
    assert run.parent.parent == storage
    info = StoredRun(run).info
    assert info["name"] == name
    assert info["params"][name[:256]] == info["tags"][name[:256]] == name


def test_two_names_that_differ_only_in_what_a_label_cannot_hold_stay_two_series(
    new_monitor: NewMonitor, scrape: Scrape
) -> None:
    monitor = new_monitor().start_run("a")
    monitor.log_metrics({"a" + chr(0xD800): 1.0, "a" + chr(0xD801): 2.0, "ab": 3.0, "a\0b": 4.0})
    found = {number for (metric, _), number in scrape(monitor).items() if metric == "quantum_custom_metric"}
    assert found == {1.0, 2.0, 3.0, 4.0}


def test_no_run_takes_the_label_of_another(new_monitor: NewMonitor, scrape: Scrape) -> None:
    long = "x" * 200
    one, two = new_monitor(long), new_monitor(long + "y")
    two._exporter = one._exporter  # as monitors of a process that are given no registry
    for name in ("a", "a", "a-2", "a", "a-2", long, long + "y", long + "z"):
        for monitor in (one, two):
            monitor.start_run(name)
            monitor.log_metrics({"loss": 0.5}, 0)
    labels = [dict(labels)["run"] for metric, labels in scrape(one) if metric == "quantum_training_loss"]
    assert len(labels) == len(set(labels)) == 16
    assert max(map(len, labels)) == 128


# Too many of them


def test_100_000_distinct_names_cost_a_bounded_number_of_series_and_no_record(
    new_monitor: NewMonitor, value: Value, scrape: Scrape
) -> None:
    names = 100_000
    monitor = new_monitor().start_run("a")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(names):
        monitor.log_metrics({f"name {number}": float(number)}, number)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / (1024 if sys.platform == "linux" else 2**20)
    assert grown < 150  # MB; most of it is the writer's queue, which empties
    custom = [series for series in scrape(monitor) if series[0] == "quantum_custom_metric"]
    assert len(custom) == 1_000
    assert value(monitor, "quantum_monitor_series_rejected_total") == names - 1_000
    assert value(monitor, "quantum_monitor_records_total", kind="custom") == names
    monitor.end_run()
    assert monitor.run_path is not None
    stored = StoredRun(monitor.run_path)
    assert stored.last_sequence == names
    last = f"name {names - 1}"
    assert stored.series(last).value.tolist() == [names - 1.0]
    run_file = monitor.run_path / "run.json"
    assert json.loads(run_file.read_text())["status"] == "completed"


def test_backends_currencies_and_operations_are_bounded_too(
    new_monitor: NewMonitor, value: Value, scrape: Scrape
) -> None:
    monitor = new_monitor().start_run("a")
    drops = dict(FAULTS.drops)
    for number in range(500):
        monitor.log_circuit_execution(None, 1.0, cost=1.0, backend_info=f"backend {number}")
        monitor.log_circuit_execution(None, 1.0, cost=1.0, backend_info={"name": "aer", "currency": f"C{number}"})
        monitor.log_backend_status(f"backend {number}", up=True)
        monitor.log_backend_status("backend 0", up=True, error_rates={f"operation {number}": 0.1})
    series = list(scrape(monitor))
    counted = {
        "quantum_circuit_execution_duration_seconds_count": 51,  # 50 and "other"
        "quantum_backend_up": 100,
        "quantum_backend_error_ratio": 20,
    }
    assert {name: sum(metric == name for metric, _ in series) for name in counted} == counted
    assert sum(metric == "quantum_cost_total" and ("backend", "aer") in labels for metric, labels in series) <= 10
    assert value(monitor, "quantum_monitor_series_rejected_total") > 1_000  # type: ignore[operator]
    assert value(monitor, "quantum_monitor_records_total", kind="circuit") == 1_000
    assert dict(FAULTS.drops) == drops
    activities = monitor._last_run.circuits.values()  # type: ignore[union-attr]
    assert max(len(activity.labels) for activity in activities) <= 50
    monitor.end_run()
    assert monitor.run_path is not None
    currencies = {record.labels["currency"] for _, record in StoredRun(monitor.run_path).records(kinds=["circuit"])}
    assert currencies == {"USD", *(f"C{number}" for number in range(500))}


def test_params_and_tags_are_bounded(new_monitor: NewMonitor, value: Value) -> None:
    monitor = new_monitor().start_run("a")
    before = FAULTS.drops["params", "limit"]
    monitor.log_params({f"p{number}": number for number in range(900)})
    monitor.log_params({f"p{number}": -number for number in range(1_200)})
    shown = value(monitor, "quantum_monitor_records_dropped_total", sink="params", reason="limit")
    assert shown == before + 200
    monitor.end_run()
    assert monitor.run_path is not None
    params = StoredRun(monitor.run_path).info["params"]
    assert len(params) == 1_000
    assert params["p899"] == -899
