"""Disks that cannot be written, ports that are taken: training goes on, and the self metrics say so."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from quantum_monitor import QuantumMonitor
from quantum_monitor import monitor as monitor_module
from quantum_monitor.faults import FAULTS
from quantum_monitor.store.reader import StoredRun

NewMonitor = Callable[..., QuantumMonitor]
Mount = Callable[..., Path]
Value = Callable[..., "float | None"]


def train(monitor: QuantumMonitor, steps: int) -> None:
    for step in range(steps):
        monitor.log_training_step(1.0 / (step + 1), np.ones(9), np.ones(9), step)


def lives_in_memory(monitor: QuantumMonitor, tmp_path: Path, value: Value, caplog: pytest.LogCaptureFixture) -> None:
    before = FAULTS.errors["store"]
    monitor.start_run("a")
    train(monitor, 100)
    monitor.log_params({"seed": 1})
    monitor.export_metrics(tmp_path / "during.json")
    monitor.end_run()
    monitor.export_metrics(tmp_path / "after.json", "comprehensive")
    assert value(monitor, "quantum_training_steps_total", experiment="h2", run="a") == 100
    assert value(monitor, "quantum_monitor_errors_total", where="store") == before + 1
    assert monitor.get_comprehensive_summary()["training_summary"]["total_steps"] == 100
    assert "0.01" in (tmp_path / "after.json").read_text()
    assert json.loads((tmp_path / "during.json").read_text())
    assert sum("kept in memory only" in record.getMessage() for record in caplog.records) == 1


def test_a_read_only_disk_costs_the_run_its_files_only(
    new_monitor: NewMonitor, mount: Mount, tmp_path: Path, value: Value, caplog: pytest.LogCaptureFixture
) -> None:
    disk = mount("disk", "-t", "tmpfs", "tmpfs")
    mount("disk", "-o", "remount,ro")
    lives_in_memory(new_monitor(storage_path=disk / "runs", retention=1), tmp_path, value, caplog)


def test_a_storage_path_below_a_file_costs_the_run_its_files_only(
    new_monitor: NewMonitor, tmp_path: Path, value: Value, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    lives_in_memory(new_monitor(storage_path=tmp_path / "file" / "runs", retention="1d"), tmp_path, value, caplog)
    assert (tmp_path / "file").read_bytes() == b""


def test_a_disk_that_is_full_for_a_while_costs_nothing(
    new_monitor: NewMonitor, mount: Mount, scrape: Callable[[QuantumMonitor], object], value: Value
) -> None:
    disk = mount("disk", "-t", "tmpfs", "-o", "size=1m", "tmpfs")
    monitor = new_monitor(storage_path=disk / "runs").start_run("a")
    (disk / "filler").write_bytes(bytes(500_000))
    errors, drops = FAULTS.errors["store"], dict(FAULTS.drops)
    deadline = time.monotonic() + 30
    steps = 0
    while FAULTS.errors["store"] == errors:
        train(monitor, 1_000)
        steps += 1_000
        assert time.monotonic() < deadline
        time.sleep(0.01)
    train(monitor, 100)
    assert value(monitor, "quantum_monitor_sink_backlog", sink="store") >= 100  # type: ignore[operator]
    assert value(monitor, "quantum_monitor_errors_total", where="store") > errors  # type: ignore[operator]
    (disk / "filler").unlink()
    subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
    monitor.end_run()
    assert monitor.run_path is not None
    assert StoredRun(monitor.run_path).series("loss").value.size == steps + 100
    assert StoredRun(monitor.run_path).status == "completed"
    assert dict(FAULTS.drops) == drops


def test_a_disk_that_stays_full_does_not_hold_up_the_end_for_ever(
    new_monitor: NewMonitor, mount: Mount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor_module, "_FLUSH_TIMEOUT", 0.5)
    disk = mount("disk", "-t", "tmpfs", "-o", "size=1m", "tmpfs")
    monitor = new_monitor(storage_path=disk / "runs").start_run("a")
    errors = FAULTS.errors["store"]
    train(monitor, 20_000)
    began = time.monotonic()
    monitor.end_run()
    assert time.monotonic() - began < 20
    assert FAULTS.errors["store"] > errors
    ended = monitor._last_run
    assert ended is not None
    with monitor.start_run("b"):  # the next one does with memory, or waits for space
        train(monitor, 10)
        assert monitor.get_metrics_summary()["loss"]["count"] == 10
    subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
    ended.store._thread.join(30)  # the writer goes on until all is on disk
    assert not ended.store._thread.is_alive()
    assert len(StoredRun(ended.store.directory).series("loss").value) == 20_000


def test_a_discovery_folder_that_cannot_be_made_costs_the_announcement_only(
    new_monitor: NewMonitor, tmp_path: Path, value: Value
) -> None:
    (tmp_path / "file").touch()
    before = FAULTS.errors["discovery"]
    monitor = new_monitor(metrics_port=0, discovery_dir=tmp_path / "file" / "discovery")
    assert monitor.metrics_url is not None
    assert value(monitor, "quantum_monitor_errors_total", where="discovery") == before + 1


def test_a_taken_port_means_the_next_free_one_and_discovery_knows_it(
    new_monitor: NewMonitor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "discovery"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monitors = [new_monitor(metrics_port=port, discovery_dir=folder) for _ in range(3)]
        urls = [monitor.metrics_url for monitor in monitors]
        announced = [json.loads(file.read_text())[0]["targets"][0] for file in folder.glob("*.json")]
        assert len(set(urls)) == 3
        assert {f"http://{target}/metrics" for target in announced} == set(urls)
        assert f"http://127.0.0.1:{port}/metrics" not in urls
        for url in urls:
            assert url is not None
            with urllib.request.urlopen(url, timeout=20) as answer:
                assert answer.status == 200
    assert any(f"port {port} is taken" in record.getMessage() for record in caplog.records)


def test_where_no_port_is_free_there_is_no_endpoint_and_no_exception(new_monitor: NewMonitor, value: Value) -> None:
    before = FAULTS.errors["endpoint"]
    try:
        last = socket.create_server(("127.0.0.1", 65_535))  # behind it there is none to try
    except OSError:
        last = socket.socket()  # somebody else has it
    with last:
        monitor = new_monitor(metrics_port=65_535, registry=CollectorRegistry())
    assert monitor.metrics_url is None
    assert value(monitor, "quantum_monitor_errors_total", where="endpoint") == before + 1
    with monitor.start_run("a"):
        train(monitor, 3)
    assert value(monitor, "quantum_training_steps_total", experiment="h2", run="a") == 3
