"""Every query of every panel, asked of a real Prometheus that watches a real training."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from quantum_monitor import QuantumMonitor
from tests.dashboards.panel_queries import MAY_BE_EMPTY, PanelQuery, dashboards, queries, query_variables
from tests.e2e.prometheus_process import Prometheus, running
from tests.prometheus.full_use import CIRCUIT, MIXED, PAIRS
from tests.server_process import eventually

NOT_HERE = {place for place, reason in MAY_BE_EMPTY.items() if "rules are not" in reason or "does not scrape" in reason}
ALERTS = {"cost_budget": 50.0, "entanglement_loss": 0.1}


@pytest.fixture(scope="module")
def prometheus(server_binary: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that has seen a run end and another one at work, until nothing more is missing."""
    folder = tmp_path_factory.mktemp("panels")
    monitor = QuantumMonitor(
        "h2", metrics_port=0, storage_path=folder / "runs", registry=CollectorRegistry(), enable_mlflow=False,
        alert_config=ALERTS,
    )  # fmt: skip
    address = re.sub(r"^http://|/metrics$", "", monitor.metrics_url or "")
    job = {"job_name": "quantum-monitor", "static_configs": [{"targets": [address]}]}
    try:
        with running(server_binary("prometheus"), folder / "server", [job]) as server:
            monitor.start_run("before")
            train(monitor, 0)
            eventually(lambda: server.by_run("quantum_training_loss"), what="the first scrape")
            monitor.end_run()
            monitor.start_run("now")
            train_until_seen(monitor, server)
            yield server
    finally:
        monitor.close()


def train(monitor: QuantumMonitor, step: int) -> None:
    """One step that logs everything, with a gradient that explodes."""
    monitor.log_training_step(1 / (step % 7 + 1), np.full(9, 100.0 + step), np.full(9, float(step)), step)
    monitor.log_quantum_state(PAIRS, step, reference_state=np.eye(16)[0])
    monitor.log_quantum_state(MIXED, step)
    monitor.log_circuit_execution(
        CIRCUIT, execution_time=0.25, queue_time=20.0, cost=0.5, backend_info="simulator", shots=1_000
    )
    monitor.log_circuit_execution(
        CIRCUIT, execution_time=0.5, cost=0.125, backend_info={"name": "chip", "currency": "EUR"}, status="failed"
    )
    run = monitor.active_run  # what automatic instrumentation tells it
    assert run is not None
    run.execution({"billed_time": 0.25}, backend="chip", status="success", currency="EUR", cost_kind="estimated")
    run.transpilation(0.125, {"depth": 2.0, "two_qubit_gates": 2.0}, {"depth": 6.0, "two_qubit_gates": 3.0})
    if not run.circuits["chip"].jobs:
        run.job("chip", None, "queued")
    monitor.log_backend_status(
        "simulator", up=True, pending_jobs=3, error_rates={"1q": 0.001, "2q": 0.01}, qubits=4, volume=16,
        t1=[0.0001], t2=[0.00005], calibration_time=time.time(), utilization=0.75,
    )  # fmt: skip
    monitor.log_metrics({"learning_rate": 0.125}, step=step)


def train_until_seen(monitor: QuantumMonitor, server: Prometheus) -> None:
    """Train on until only those queries are empty that cannot have data here, half a minute at most."""
    deadline = time.monotonic() + 30
    for step in range(10_000):
        train(monitor, step)
        time.sleep(0.1)  # a training loop's own work
        if step % 20 == 19 and (missing(server) <= NOT_HERE or time.monotonic() > deadline):
            return


def missing(server: Prometheus) -> set[tuple[str, str, str]]:
    return {place for place, asked in everything().items() if not answer(server, asked)}


def everything(**variables: str) -> dict[tuple[str, str, str], PanelQuery]:
    found = [
        asked
        for board in dashboards().values()
        for asked in queries(board, rate_interval="10s", time_range="5m", variables=variables)
    ]
    return {(asked.dashboard, asked.panel, asked.ref_id): asked for asked in found}


def answer(server: Prometheus, asked: PanelQuery) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.ask("query", query=asked.expr)["result"]
    return found


def test_every_query_of_every_panel_has_data(prometheus: Prometheus) -> None:
    assert missing(prometheus) == NOT_HERE


def test_a_selected_run_is_the_only_one_shown(prometheus: Prometheus) -> None:
    for place, asked in everything(run="before").items():
        runs = {series["metric"]["run"] for series in answer(prometheus, asked) if "run" in series["metric"]}
        assert runs <= {"before"}, place


def test_a_selected_backend_is_the_only_one_shown(prometheus: Prometheus) -> None:
    for place, asked in everything(backend="chip").items():
        found = answer(prometheus, asked)
        backends = {series["metric"]["backend"] for series in found if "backend" in series["metric"]}
        assert place[0] not in ("quantum-circuits", "quantum-cost") or backends <= {"chip"}, place


def test_the_variables_offer_what_there_is_also_of_the_run_that_ended(prometheus: Prometheus) -> None:
    offered = {}
    for name, asked in query_variables(dashboards()["cost"]).items():
        match = re.fullmatch(r"label_values\((.+), \w+\)", asked)
        assert match is not None
        offered[name] = prometheus.ask(f"label/{name}/values", **{"match[]": re.sub(r"\$\w+", ".+", match[1])})
    assert (offered["job"], offered["experiment"]) == (["quantum-monitor"], ["h2"])
    assert (offered["run"], offered["backend"]) == (["before", "now"], ["chip", "simulator"])


def test_the_money_gained_is_all_of_it_where_the_run_began_in_the_time_range(prometheus: Prometheus) -> None:
    places = everything()
    gained = answer(prometheus, places["quantum-cost", "Spent in the time range", "A"])
    spent = answer(prometheus, places["quantum-cost", "Spent by these runs", "A"])
    money = [{s["metric"]["currency"]: float(s["value"][1]) for s in found} for found in (gained, spent)]
    assert money[0].keys() == money[1].keys() == {"EUR", "USD"}
    assert money[0]["USD"] == pytest.approx(4 * money[0]["EUR"])
    assert all(0 < money[0][currency] <= money[1][currency] for currency in money[0])


def test_the_table_of_runs_says_which_completed_and_which_runs(prometheus: Prometheus) -> None:
    found = answer(prometheus, everything()["quantum-overview", "All runs", "A"])
    assert {series["metric"]["run"]: float(series["value"][1]) for series in found} == {"before": 2, "now": 1}


def test_the_alert_that_fires_is_shown_with_value_and_threshold(prometheus: Prometheus) -> None:
    places = everything()
    shown = []
    for letter in "AB":
        found = answer(prometheus, places["quantum-overview", "Value against threshold", letter])
        shown.append({s["metric"]["alert"]: (s["metric"]["severity"], float(s["value"][1])) for s in found})
    assert shown[0]["gradient_explosion"][0] == shown[1]["gradient_explosion"][0] == "critical"
    assert shown[0]["gradient_explosion"][1] >= 300 > shown[1]["gradient_explosion"][1] == 10
    assert all(math.isfinite(value) for _, value in shown[0].values())
