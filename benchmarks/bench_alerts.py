"""What alerts add to a training step where nothing changes, and how long a callback waits for what a step brought."""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks import _report
from benchmarks._logging import Vector, monitored, percentiles, settle
from quantum_monitor import QuantumMonitor, plugins
from quantum_monitor.alerts.rules import ALERTS

_PARAMETERS = 100
_BLOCK_STEPS = 500
_BLOCKS = 120
_TRANSITIONS = 300
_HEAR_SECONDS = 2.0
_OFF: Mapping[str, None] = {rule.key: None for rule in ALERTS}

Steps = tuple[Sequence[float], Sequence[Vector], Sequence[Vector]]
"""Losses, gradients and parameters of a block of steps."""


class _Unbounded:
    """Stands in for the alerts of a run: every step is quiet, and nothing is judged."""

    norm = high = next_look = math.inf
    low = -math.inf
    explosions = 0

    def step(self, *_: object) -> None:
        """Judge nothing."""

    look = step


@dataclass(frozen=True)
class _Scene:
    """Training that is watched.

    Attributes:
        name: as it stands in the table.
        steps: makes its steps from the number of the block and a source of randomness.
        config: thresholds.
        plugin: whether an alert of the user's own is registered.
    """

    name: str
    steps: Callable[[int, np.random.Generator], Steps]
    config: Mapping[str, Any] | None = None
    plugin: bool = False


def main() -> None:
    """Measure what alerts cost, then how long they take to be heard."""
    text = (
        f"`log_training_step` with {_PARAMETERS} parameters, in blocks of {_BLOCK_STEPS} steps that take turns in one "
        "process: with alerts as they are by default, with all of them switched off by `alert_config`, and with the "
        "check of the bounds made void (nothing is judged at all). What alerts add is the median of the differences "
        "of neighbouring blocks, in parentheses their middle half; the limit is 1 us where nothing changes. In the "
        "plug-in's row, its own function and the guard around it are paid as well.\n\n"
        f"{_report.table(_costs())}\n\n"
        "The other calls, which judge what they log each time: a median of 50 costs, two of ten, the reference, error "
        f"rates.\n\n{_report.table(_other_calls())}\n\n"
        f"From just before the call of `log_training_step` that brings a transition to the first line of the callback "
        f"({_TRANSITIONS} transitions; the limit is 10 ms), and how long that call held the training thread:\n\n"
        f"{_report.table(_latencies())}\n\n"
        "Each transition is a gradient norm that goes from 1 to 100, and an explosion that begins. Between two of them "
        "the alert is made to forget what it holds for two minutes."
    )
    _report.write("alerts", "What alerts cost, and how fast they are", text)


# What a step costs


def _costs() -> list[list[str]]:
    rows = [["training", "judged", "all alerts off", "no check at all", "alerts add to off", "to no check"]]
    return rows + [_cost(scene) for scene in _SCENES]


def _cost(scene: _Scene) -> list[str]:
    with _plugged_in() if scene.plugin else nullcontext(), ExitStack() as stack:
        off = {**_OFF, "overshoot": None} if scene.plugin else _OFF
        contenders = {
            "judged": stack.enter_context(monitored("judged", alert_config=scene.config)),
            "off": stack.enter_context(monitored("off", alert_config=off)),
            "void": stack.enter_context(monitored("void")),
        }
        stack.enter_context(_nothing_judged(contenders["void"]))
        for monitor in contenders.values():
            _log(monitor, scene, 0)
            settle(monitor)
        seconds: dict[str, list[float]] = {name: [] for name in contenders}
        names = list(contenders)
        for block in range(1, _BLOCKS + 1):
            for name in names:
                seconds[name].append(_log(contenders[name], scene, block))
                settle(contenders[name])
            names.append(names.pop(0))
    added = [_difference(seconds["judged"], seconds[name]) for name in ("off", "void")]
    return [scene.name, *(_report.duration(statistics.median(each)) for each in seconds.values()), *added]


def _other_calls() -> list[list[str]]:
    rng = np.random.default_rng(0)
    state = rng.normal(size=16) + 1j * rng.normal(size=16)
    state /= np.linalg.norm(state)
    costs = rng.uniform(0.9, 1.1, _BLOCK_STEPS).tolist()
    calls: dict[str, Callable[[QuantumMonitor, int], None]] = {
        "log_circuit_execution, with a cost": lambda monitor, number: monitor.log_circuit_execution(
            None, 0.01, cost=costs[number], backend_info="simulator"
        ),
        "log_quantum_state, 4 qubits, with a reference": lambda monitor, number: monitor.log_quantum_state(
            state, number, state
        ),
        "log_backend_status": lambda monitor, _: monitor.log_backend_status(
            "simulator", up=True, error_rates={"1q": 0.001, "2q": 0.01}
        ),
    }
    rows = [["call", "judged", "all alerts off", "alerts add"]]
    for name, call in calls.items():
        with monitored("judged") as judged, monitored("off", alert_config=_OFF) as off:
            seconds: dict[str, list[float]] = {"judged": [], "off": []}
            for block in range(_BLOCKS // 2):
                for title, monitor in (("judged", judged), ("off", off))[:: 1 if block % 2 else -1]:
                    seconds[title].append(_call(monitor, call))
                    settle(monitor)
        medians = (_report.duration(statistics.median(each)) for each in seconds.values())
        rows.append([name, *medians, _difference(seconds["judged"], seconds["off"])])
    return rows


def _call(monitor: QuantumMonitor, call: Callable[[QuantumMonitor, int], None]) -> float:
    start = time.perf_counter()
    for number in range(_BLOCK_STEPS):
        call(monitor, number)
    return (time.perf_counter() - start) / _BLOCK_STEPS


@contextmanager
def _nothing_judged(monitor: QuantumMonitor) -> Iterator[None]:
    run = monitor._run
    assert run is not None
    alerts = run.alerts
    run.alerts = _Unbounded()  # type: ignore[assignment]
    try:
        yield
    finally:
        run.alerts = alerts  # to be ended as any other


def _log(monitor: QuantumMonitor, scene: _Scene, block: int) -> float:
    """Log a block of steps; seconds a step."""
    losses, gradients, parameters = scene.steps(block, np.random.default_rng(block))
    step, first = monitor.log_training_step, block * _BLOCK_STEPS
    start = time.perf_counter()
    for number in range(_BLOCK_STEPS):
        step(losses[number], gradients[number], parameters[number], first + number)
    return (time.perf_counter() - start) / _BLOCK_STEPS


def _difference(ours: Sequence[float], theirs: Sequence[float]) -> str:
    low, middle, high = statistics.quantiles(
        [our - their for our, their in zip(ours, theirs, strict=True)], n=4, method="inclusive"
    )
    return f"{middle * 1e6:.2f} us ({low * 1e6:.2f} to {high * 1e6:.2f})"


def _steps(loss: Callable[[int], float], scale: Callable[[int], float]) -> Callable[[int, np.random.Generator], Steps]:
    def make(block: int, random: np.random.Generator) -> Steps:
        numbers = range(block * _BLOCK_STEPS, (block + 1) * _BLOCK_STEPS)
        gradients = [scale(number) * vector for number, vector in zip(numbers, _vectors(random), strict=True)]
        return [loss(number) for number in numbers], gradients, _vectors(random)

    return make


def _vectors(random: np.random.Generator) -> list[Vector]:
    return list(random.normal(size=(_BLOCK_STEPS, _PARAMETERS)) / math.sqrt(_PARAMETERS))


_CONVERGING = _steps(lambda number: 1.0 / (1 + number), lambda number: 5.0 / (1 + number / 1_000))
_SCENES = (
    _Scene("converging", _CONVERGING),
    _Scene(
        "converged and quiet: flat, after the loss has fallen",
        _steps(lambda number: float(number < 10), lambda _: 1e-4),
    ),
    _Scene("noisy: the norm scatters about 5", _steps(lambda _: 0.5, lambda _: 5.0)),
    _Scene("on a plateau, which fires", _steps(lambda _: 1.0, lambda _: 1e-4)),
    _Scene("exploded and staying so, which fires", _steps(lambda _: 1.0, lambda _: 50.0)),
    _Scene("a loss that stays NaN, which fires", _steps(lambda _: math.nan, lambda _: 5.0)),
    _Scene("with a rule of the user's own on the loss", _CONVERGING, {"loss": {"above": 5.0}}),
    _Scene("with a plug-in alert on each step", _CONVERGING, plugin=True),
)


@contextmanager
def _plugged_in() -> Iterator[None]:
    plugins.alert_rule("overshoot", above=1e9)(lambda fields: fields.get("parameter_change"))
    try:
        yield
    finally:
        plugins.unregister("overshoot")


# How long it takes to be heard


def _latencies() -> list[list[str]]:
    rows = [["the training thread", "", "p50", "p99", "p99.9", "largest"]]
    for load, name in (("idle", "waits between its steps"), ("busy", "calls small NumPy functions without a pause")):
        child = [sys.executable, "-m", "benchmarks.bench_alerts", load]
        heard, held = json.loads(subprocess.run(child, check=True, stdout=subprocess.PIPE).stdout)
        rows.append([name, "until the callback", *map(_report.duration, percentiles(heard))])
        rows.append(["", "the call itself", *map(_report.duration, percentiles(held))])
    return rows


def _transitions(load: str) -> tuple[list[float], list[float]]:
    """Seconds until the callback began, and seconds that the call took, of each transition."""
    heard: list[float] = []
    news = threading.Event()

    def callback(_: str, alert: Mapping[str, Any]) -> None:
        now = time.perf_counter()
        if alert["state"] == "firing":
            heard.append(now)
            news.set()

    waits, held = [], []
    with monitored() as monitor:
        system = monitor.alert_system
        system.cooldown = 0.0
        system.register_callback(callback)
        run = monitor._run
        assert run is not None
        vector, parameters = np.full(_PARAMETERS, 0.1), np.ones(_PARAMETERS)
        for number in range(_TRANSITIONS):
            _pass_the_time(load, parameters)
            news.clear()
            start = time.perf_counter()
            monitor.log_training_step(1.0, vector * 100.0, parameters, number)
            held.append(time.perf_counter() - start)
            _wait(news, load, parameters)
            waits.append(heard[-1] - start)
            # Back to rest: what was held is forgotten, as it is after a minute or two.
            with run.lock:
                run.alerts.board.forget("gradient_explosion", start)
                run.refresh_alerts()
    return waits, held


def _pass_the_time(load: str, vector: Vector) -> None:
    if load == "idle":
        time.sleep(0.01)
        return
    until = time.perf_counter() + 0.01
    while time.perf_counter() < until:
        vector.dot(vector)


def _wait(news: threading.Event, load: str, vector: Vector) -> None:
    """Until the callback was called: as a training loop does that knows nothing of it."""
    until = time.perf_counter() + _HEAR_SECONDS
    while not news.is_set():
        assert time.perf_counter() < until, "the callback was not called"
        _pass_the_time(load, vector)


if __name__ == "__main__":
    print(json.dumps(_transitions(sys.argv[1])))
