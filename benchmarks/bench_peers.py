"""Six numbers of a training step, logged through the tools people use for that."""

from __future__ import annotations

import importlib
import os
import statistics
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks import _report
from benchmarks._logging import SIX, Contender, bound_gauges, monitored, prepared, settle, take_turns

Peer = Callable[[Path, ExitStack], Contender]

_QUIET = {"MLFLOW_LOGGING_LEVEL": "WARNING", "MLFLOW_DISABLE_TELEMETRY": "true", "WANDB_ERROR_REPORTING": "false"}


def main() -> None:
    """Compare the wait of the loop, and the whole work."""
    os.environ.update(_QUIET)
    with tempfile.TemporaryDirectory(prefix="quantum-monitor-") as folder, ExitStack() as stack:
        contenders, missing = [], []
        for number, (name, peer) in enumerate(_PEERS.items()):
            try:
                contenders.append(peer(Path(folder) / str(number), stack))
            except ImportError as error:
                missing.append([name, f"not installed: {error.name}", "", "", ""])
        costs = take_turns(contenders, repeats=9)
    rows = [["tool", "the loop waits", "times ours", "all work done", "times ours"]]
    ours = {"call": 1.0, "settled": 1.0}
    for contender in contenders:
        row = [contender.name]
        for part in ("call", "settled"):
            seconds = statistics.median(getattr(cost, part) for cost in costs[contender.name])
            if contender is contenders[0]:
                ours[part] = seconds
            row += [_report.duration(seconds), f"{seconds / ours[part]:.3g}"]
        rows.append(row)
    text = (
        f"The six numbers are {', '.join(SIX)}. Every tool gets them as finished floats, except `log_training_step`, "
        "which computes them from a gradient and parameters of 100 numbers. 'All work done' adds, shared out among the "
        "steps, the wait until the tool's own threads or processes have written what they were handed; gauges write "
        f"nothing. W&B shows no such moment, so only the wait of the loop is known.\n\n{_report.table(rows + missing)}"
    )
    peers = ("opentelemetry-sdk", "mlflow", "wandb")
    _report.write("peers", "Six numbers a step, beside the peers", text, packages=peers)


def _values(step: int) -> dict[str, float]:
    return {name: step + offset / 8 for offset, name in enumerate(SIX)}


def _log_metrics(_folder: Path, stack: ExitStack) -> Contender:
    monitor = stack.enter_context(monitored("metrics"))
    return Contender(
        "quantum-monitor log_metrics",
        lambda step: monitor.log_metrics(_values(step), step),
        lambda: settle(monitor),
    )


def _log_training_step(_folder: Path, stack: ExitStack) -> Contender:
    monitor = stack.enter_context(monitored("training"))
    step = prepared(100)(monitor.log_training_step)
    return Contender("quantum-monitor log_training_step", step, lambda: settle(monitor))


def _bound_gauges(_folder: Path, _stack: ExitStack) -> Contender:
    gauges = bound_gauges()

    def log(step: int) -> None:
        for set_, value in zip(gauges, _values(step).values(), strict=True):
            set_(value)

    return Contender("prometheus_client, bound gauges", log)


def _labelled_gauges(_folder: Path, _stack: ExitStack) -> Contender:
    from prometheus_client import CollectorRegistry, Gauge

    registry = CollectorRegistry()
    gauges = {name: Gauge(name, name, ["experiment", "run"], registry=registry) for name in SIX}

    def log(step: int) -> None:
        for name, value in _values(step).items():
            gauges[name].labels("benchmark", "run").set(value)

    return Contender("prometheus_client, gauges by label", log)


def _opentelemetry(_folder: Path, stack: ExitStack) -> Contender:
    metrics = importlib.import_module("opentelemetry.sdk.metrics")
    export = importlib.import_module("opentelemetry.sdk.metrics.export")
    provider = metrics.MeterProvider([export.InMemoryMetricReader()])
    stack.callback(provider.shutdown)
    meter = provider.get_meter("benchmark")
    gauges = {name: meter.create_gauge(name) for name in SIX}
    attributes = {"experiment": "benchmark", "run": "run"}

    def log(step: int) -> None:
        for name, value in _values(step).items():
            gauges[name].set(value, attributes)

    return Contender("OpenTelemetry SDK, gauges", log)


def _mlflow(folder: Path, stack: ExitStack, *, synchronous: bool) -> Contender:
    mlflow = importlib.import_module("mlflow")
    folder.mkdir()
    if mlflow.active_run() is None:  # both log into one run: with `run_id=` MLflow would read the run at every call
        mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
        mlflow.start_run(experiment_id=mlflow.create_experiment("benchmark", artifact_location=str(folder)))
        stack.callback(mlflow.end_run)
    pending: list[Any] = []

    def log(step: int) -> None:
        operation = mlflow.log_metrics(_values(step), step=step, synchronous=synchronous)
        if operation is not None:
            pending.append(operation)

    def wait() -> None:
        for operation in pending:
            operation.wait()
        pending.clear()

    return Contender(f"mlflow.log_metrics, {'synchronous' if synchronous else 'asynchronous'}, SQLite", log, wait)


def _wandb(folder: Path, stack: ExitStack) -> Contender:
    wandb = importlib.import_module("wandb")
    folder.mkdir()
    run = wandb.init(mode="offline", project="benchmark", dir=str(folder), settings=wandb.Settings(silent=True))
    stack.callback(run.finish)
    # Without a step: W&B drops those that do not rise, and they start anew while the length of a turn is found.
    return Contender("wandb log, offline", lambda step: run.log(_values(step)))


_PEERS: dict[str, Peer] = {
    "quantum-monitor log_metrics": _log_metrics,
    "quantum-monitor log_training_step": _log_training_step,
    "prometheus_client, bound gauges": _bound_gauges,
    "prometheus_client, gauges by label": _labelled_gauges,
    "OpenTelemetry SDK, gauges": _opentelemetry,
    "mlflow.log_metrics, synchronous": lambda folder, stack: _mlflow(folder, stack, synchronous=True),
    "mlflow.log_metrics, asynchronous": lambda folder, stack: _mlflow(folder, stack, synchronous=False),
    "wandb log, offline": _wandb,
}
