"""What a monitor shows of its runs: report, static dashboard and live page, each with what was logged."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import psutil
import pytest
from prometheus_client import CollectorRegistry

import quantum_monitor
from quantum_monitor import QuantumMonitor, viewing
from tests.server_process import eventually


def a_run(storage: Path) -> QuantumMonitor:
    monitor = QuantumMonitor("h2", storage_path=storage, metrics_port=None, registry=CollectorRegistry())
    monitor.start_run("bond-0.74")
    for step in range(20):
        monitor.log_training_step(1.0 / (step + 1), [0.5, 0.25], [0.1, 0.2], step)
        monitor.log_quantum_state([0.6, 0.8], step, [1.0, 0.0])
    monitor.log_circuit_execution({"gates": [{"type": "h", "qubit": 0}]}, 0.5, 2.0, 0.25, "device")
    return monitor


def test_a_report_is_written_as_html_and_as_markdown_while_the_run_goes(tmp_path: Path) -> None:
    monitor = a_run(tmp_path)

    path = Path(monitor.generate_report())

    assert path == Path(str(monitor.run_path)) / "report.html"
    page, markdown = path.read_text(), path.with_name("report.md").read_text()
    for told in ("bond-0.74", "device", "0.36"):  # 0.36: the fidelity
        assert told in page
        assert told in markdown
    assert 'class="drawing"' in page
    assert len(Path(monitor.generate_report(include_visualizations=False)).read_text()) < 200_000
    monitor.close()


def test_a_static_dashboard_is_one_file_in_the_run(tmp_path: Path) -> None:
    monitor = a_run(tmp_path)
    monitor.end_run()

    path = Path(monitor.create_static_dashboard())

    assert path == Path(str(monitor.run_path)) / "dashboard.html"
    assert "bond-0.74" in path.read_text()
    with pytest.raises(ValueError, match="pdf"):
        monitor.create_static_dashboard("pdf")
    assert [file.name for file in path.parent.glob("dashboard.*")] == ["dashboard.html"]
    monitor.close()


def test_what_is_shown_of_a_monitor_is_all_that_was_logged_until_now(tmp_path: Path) -> None:
    monitor = QuantumMonitor("h2", storage_path=tmp_path, metrics_port=None, registry=CollectorRegistry())
    monitor.start_run("a")
    for part in (1, 2):
        for step in range(500):
            monitor.log_training_step(0.5, None, None, step)
        monitor.log_quantum_state(np.full(2**10, 2**-5), part)  # measured in the background

        stored = viewing.stored_run(monitor)

        assert len(stored.series("loss").value) == 500 * part
        assert stored.series("entanglement_entropy").step[-1] == part
        assert stored.states()[-1].step == part
    monitor.close()


def test_without_a_run_there_is_nothing_to_show_and_it_says_what_to_do(tmp_path: Path) -> None:
    monitor = QuantumMonitor("h2", storage_path=tmp_path, metrics_port=None, registry=CollectorRegistry())
    for show in (monitor.generate_report, monitor.create_static_dashboard):
        with pytest.raises(ValueError, match="start_run"):
            show()
    monitor.close()


def test_a_live_page_is_there_before_the_first_run_and_goes_with_the_monitor(tmp_path: Path) -> None:
    monitor = QuantumMonitor("h2", storage_path=tmp_path / "new", metrics_port=None, registry=CollectorRegistry())

    before = set(psutil.Process().children())
    url = monitor.create_dashboard(port=0)

    assert url.startswith("http://127.0.0.1:")
    assert monitor.create_dashboard(port=0) == url
    with urllib.request.urlopen(url, timeout=30) as answer:
        assert b"quantum-monitor" in answer.read()
    pages = set(psutil.Process().children()) - before
    assert pages
    monitor.close()
    eventually(lambda: not any(child.is_running() for child in pages), what="the end of the page")


def test_what_is_public_can_be_imported_and_costs_nothing_until_then() -> None:
    script = (
        "import sys, quantum_monitor\n"
        "heavy = {'plotly', 'dash', 'kaleido', 'matplotlib', 'scipy.stats', 'quantum_monitor.comparison',"
        " 'quantum_monitor.hardware', 'quantum_monitor.views'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "import quantum_mlops.monitoring as m\n"
        "for name in quantum_monitor.__all__: assert getattr(m, name) is getattr(quantum_monitor, name), name\n"
        "assert not {'plotly', 'dash', 'kaleido', 'matplotlib', 'scipy.stats'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, env={**os.environ}, timeout=60)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = quantum_monitor.Nothing
