"""What tracking costs the loop, and how fast records reach MLflow, beside the trackers' own calls."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import _report
from benchmarks._logging import Contender, median_ratio, monitored, pace, percentiles, prepared, settle, take_turns
from quantum_monitor.record import Record
from quantum_monitor.store.layout import run_directory
from quantum_monitor.store.reader import StoredRun
from quantum_monitor.store.writer import RunStore
from quantum_monitor.trackers.delivery import Delivery
from quantum_monitor.trackers.service import MODEST

_RECORDS = 100_000
_STEPS_A_SECOND = 1_000
_STEPS_A_TURN = 2_000
_TURNS = 8
_THROUGHPUT_TURNS = 3
_PARAMETERS = 100
_QUIET = {"MLFLOW_LOGGING_LEVEL": "WARNING", "MLFLOW_DISABLE_TELEMETRY": "true", "WANDB_ERROR_REPORTING": "false"}


def main() -> None:
    """The loop, then the peers' own calls, then the throughput, then the promises about a server that hangs."""
    os.environ.update(_QUIET)
    with tempfile.TemporaryDirectory(prefix="quantum-monitor-") as folder, mlflow_server(Path(folder)) as uri:
        text = (
            "The server is `mlflow server` on SQLite, on this machine, as are W&B's offline files; the delivery "
            f"process shares the cores.\n\n## The loop\n\n{_loop(uri)}\n\n"
            f"## The peers' own calls\n\n{_peers(uri, Path(folder))}\n\n"
            f"## Throughput\n\n{_throughput(uri, Path(folder))}\n\n"
            f"## A server that accepts and never answers\n\n{_hanging()}"
        )
    _report.write("delivery", "Tracking", text)


@contextmanager
def mlflow_server(folder: Path) -> Iterator[str]:
    """A real server on SQLite."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination",
        str(folder / "artifacts"),
    ]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, start_new_session=True)
    uri = f"http://127.0.0.1:{port}"
    try:
        _wait_for(uri, process)
        yield uri
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 15)
        process.wait(30)


def _wait_for(uri: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        assert process.poll() is None, "the server did not start"
        try:
            with urllib.request.urlopen(f"{uri}/health", timeout=5):  # noqa: S310 - loopback
                return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(uri)


def _loop(uri: str) -> str:
    """The same steps with both trackers on and off: as fast as they go, and at a pace."""
    steps_for = prepared(_PARAMETERS)
    with ExitStack() as stack:
        trackers = {"enable_mlflow": True, "tracking_uri": uri, "enable_wandb": True, "wandb_mode": "offline"}
        off = stack.enter_context(monitored("off"))
        on = stack.enter_context(monitored("on", **trackers, delivery_timeout=0, delivery_grace=1))
        logs = {"off": steps_for(off.log_training_step), "on": steps_for(on.log_training_step)}
        _until_delivering(on)
        tight = take_turns([
            Contender("off", logs["off"], lambda: settle(off)),
            Contender("on", logs["on"], lambda: settle(on)),
        ])  # fmt: skip
        seconds: dict[str, list[float]] = {"off": [], "on": []}
        medians: dict[str, list[float]] = {"off": [], "on": []}
        for turn in range(_TURNS):
            for name in ("off", "on") if turn % 2 else ("on", "off"):
                took = pace(logs[name], _STEPS_A_TURN, _STEPS_A_SECOND)
                seconds[name] += took
                medians[name].append(statistics.median(took))
    calls = {name: [cost.call for cost in costs] for name, costs in tight.items()}
    ratio, spread = median_ratio(calls["on"], calls["off"])
    paced, paced_spread = median_ratio(medians["on"], medians["off"])
    rows = [["loop", "trackers", "p50", "p99", "p99.9", "largest", "ratio of medians"]]
    for name, text in (("off", ""), ("on", f"{paced:.2f} ({paced_spread})")):
        rows.append(
            [f"{_STEPS_A_SECOND:,} steps a second", name, *map(_report.duration, percentiles(seconds[name])), text]
        )
    for name, text in (("off", ""), ("on", f"{ratio:.2f} ({spread})")):
        rows.append(["nothing but log calls", name, _report.duration(statistics.median(calls[name])), "", "", "", text])
    return _report.table(rows)


def _until_delivering(monitor: Any) -> None:
    monitor.log_training_step(0.5, np.ones(_PARAMETERS), np.ones(_PARAMETERS), 0)
    for _ in range(1_200):
        trackers = monitor.tracking_status()["trackers"]
        if all(tracker["delivered"] for tracker in trackers.values()):
            return
        time.sleep(0.1)
    raise TimeoutError(json.dumps(monitor.tracking_status()))


def _peers(uri: str, folder: Path) -> str:
    """What the same six numbers cost by the tools' own calls in the loop."""
    mlflow, wandb = importlib.import_module("mlflow"), importlib.import_module("wandb")
    names = ("loss", "gradient_norm", "gradient_component_variance", "parameter_norm", "parameter_change", "parameters")
    values = dict.fromkeys(names, 0.5)
    steps_for = prepared(_PARAMETERS)
    trackers = {"enable_mlflow": True, "tracking_uri": uri, "enable_wandb": True, "wandb_mode": "offline"}
    with ExitStack() as stack:
        ours = stack.enter_context(monitored("peers", **trackers, delivery_timeout=0, delivery_grace=1))
        _until_delivering(ours)
        mlflow.set_tracking_uri(uri)
        mlflow.set_experiment("peers-own")
        stack.enter_context(mlflow.start_run())
        run = wandb.init(mode="offline", project="benchmark", dir=str(folder), settings=wandb.Settings(silent=True))
        stack.callback(run.finish)
        costs = take_turns([
            Contender("log_training_step, both trackers on", steps_for(ours.log_training_step), lambda: settle(ours)),
            Contender("wandb.log, offline", lambda _: run.log(values)),
            Contender("mlflow.log_metrics", lambda step: mlflow.log_metrics(values, step=step)),
        ], repeats=7)  # fmt: skip
    own = [cost.call for cost in costs["log_training_step, both trackers on"]]
    rows = [["call", "a step", "times ours"]]
    for name, spent in costs.items():
        ratio, spread = median_ratio([cost.call for cost in spent], own)
        rows.append(
            [name, _report.duration(statistics.median(cost.call for cost in spent)), f"{ratio:,.0f} ({spread})"]
        )
    return _report.table(rows)


def _throughput(uri: str, folder: Path) -> str:
    """Records a second of a stored run delivered to the server, and the same metrics by bare `log_batch`."""
    os.environ.update({name: os.environ.get(name, value) for name, value in MODEST.items()})
    tracking = importlib.import_module("mlflow.tracking")
    entities = importlib.import_module("mlflow.entities")
    tracker = importlib.import_module("quantum_monitor.trackers.mlflow").tracker
    client = tracking.MlflowClient(tracking_uri=uri)
    experiment = client.create_experiment("bare")
    rates: dict[str, list[float]] = {"bare": [], "delivered": []}
    for turn in range(_THROUGHPUT_TURNS):
        directory = _stored(folder, turn)
        for name in ("bare", "delivered") if turn % 2 else ("delivered", "bare"):
            start = time.perf_counter()
            if name == "bare":
                run_id = client.create_run(experiment).info.run_id
                for first in range(0, _RECORDS, 1_000):
                    batch = [
                        entities.Metric("loss", 1 / (n + 1), 1_700_000_000_000 + n, n)
                        for n in range(first, first + 1_000)
                    ]
                    client.log_batch(run_id, metrics=batch)
            else:
                delivery = Delivery(StoredRun(directory), "mlflow", tracker({"tracking_uri": uri}), directory=directory)
                while delivery.advance():
                    pass
                assert delivery.finished
                assert delivery.progress.delivered == _RECORDS
            rates[name].append(_RECORDS / (time.perf_counter() - start))
    ratio, spread = median_ratio(rates["delivered"], rates["bare"])
    rows = [["way", "records a second", "ratio"]]
    rows.append(["`MlflowClient.log_batch`, 1,000 metrics a call", f"{statistics.median(rates['bare']):,.0f}", ""])
    rows.append(
        [
            "our delivery, report and end of the run included",
            f"{statistics.median(rates['delivered']):,.0f}",
            f"{ratio:.2f} ({spread})",
        ]
    )
    return f"{_RECORDS:,} records of one metric each.\n\n{_report.table(rows)}"


def _stored(folder: Path, turn: int) -> Path:
    directory = run_directory(folder / "runs", "throughput", f"run-{turn}")
    store = RunStore(directory, {"run_id": f"run-{turn}-{os.getpid()}", "name": "run", "experiment": "throughput"})
    for n in range(_RECORDS):
        store.put(Record("training", 1_700_000_000.0 + n / 1_000, n, {"loss": 1 / (n + 1)}))
        if n % 10_000 == 0:
            store.flush()
    store.describe(status="completed", end_time=1_700_000_000.0 + _RECORDS / 1_000)
    store.close()
    return directory


def _hanging() -> str:
    """What construction, start and end of a run take while the server accepts connections and says nothing."""
    seconds: dict[str, list[float]] = {
        "QuantumMonitor(...)": [],
        "start_run()": [],
        "end_run(), delivery_timeout=5": [],
    }
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server, tempfile.TemporaryDirectory() as folder:
        uri = f"http://127.0.0.1:{server.getsockname()[1]}"
        for _ in range(3):
            took = subprocess.run(
                [sys.executable, "-c", _HANGING, folder, uri],
                check=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            for name, value in zip(seconds, json.loads(took.stdout), strict=True):
                seconds[name].append(value)
    rows = [["call", "median", "largest"]]
    rows += [
        [f"`{name}`", _report.duration(statistics.median(each)), _report.duration(max(each))]
        for name, each in seconds.items()
    ]
    return _report.table(rows)


_HANGING = """
import json, sys, time
from quantum_monitor import QuantumMonitor
moments = [time.perf_counter()]
folder, uri = sys.argv[1:]
monitor = QuantumMonitor("hanging", storage_path=folder, metrics_port=0, tracking_uri=uri, delivery_grace=0)
moments.append(time.perf_counter())
monitor.start_run()
moments.append(time.perf_counter())
monitor.log_training_step(1.0, [1.0], [1.0], 0)
monitor.end_run()
moments.append(time.perf_counter())
print(json.dumps([b - a for a, b in zip(moments, moments[1:])]))
"""
