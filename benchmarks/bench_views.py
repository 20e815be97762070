"""What a person waits for: the static dashboard, the report, the live page of a long run; and what the loop pays."""

from __future__ import annotations

import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import _report
from benchmarks._logging import median_ratio, monitored, pace, percentiles, prepared
from quantum_monitor.record import Record
from quantum_monitor.store.layout import run_directory
from quantum_monitor.store.reader import StoredRun
from quantum_monitor.store.writer import RunStore
from quantum_monitor.views.live import address, process
from quantum_monitor.views.report import generate_report
from quantum_monitor.views.static_dashboard import static_dashboard

_LONG = 1_000_000
_SHORT = 10_000
_STEPS_A_SECOND = 1_000
_STEPS_A_TURN = 2_000
_TURNS = 8
_PARAMETERS = 100
_REPEATS = 5
_REFRESHES = 20
_DRAWN = ".js-plotly-plot .scatterlayer path"


def main() -> None:
    """The files of a run, the live page of a long run in a real browser, and a training beside it."""
    with tempfile.TemporaryDirectory(prefix="quantum-monitor-") as folder:
        storage = Path(folder)
        short, long = _written(storage, "short", _SHORT), _written(storage, "long", _LONG)
        pages = _pages(storage, long)
        for store in (short, long):
            store.describe(status="completed", end_time=time.time())
            store.close(60.0)
        text = (
            f"## Files\n\n{_files(storage, short.reader(), long.reader())}\n\n"
            f"## The live page of a run of {_LONG:,} steps that goes on\n\nChromium, headless, on the same two cores; "
            f"a server anew for each navigation.\n\n{pages}\n\n"
            f"## Training beside an open page\n\n{_STEPS_A_SECOND:,} steps a second, the page of this very run open in "
            f"Chromium or not, by turns.\n\n{_beside()}"
        )
    _report.write("views", "Views", text, packages=("plotly", "dash"))


def _written(storage: Path, name: str, steps: int) -> RunStore:
    """A run that goes on and has something for every panel."""
    began = time.time() - steps * 0.01 - 60
    info = {"run_id": name, "name": name, "experiment": "bench", "status": "running", "start_time": began}
    store = RunStore(run_directory(storage, "bench", name), info)
    noise = np.random.default_rng(1).normal(size=steps).tolist()
    device = {"backend": "device", "status": "success", "currency": "USD", "cost_kind": "reported"}
    for step, chance in enumerate(noise):
        now, progress = began + step * 0.01, step / steps
        store.put(_step(step, now, 1.0 - progress + 0.01 * chance, 0.1 + abs(chance)))
        if step % 10 == 0:
            state = {"fidelity": progress, "entanglement_entropy": 1.0, "purity": 1.0, "norm": 1.0, "qubits": 4.0}
            times = {"execution_time": 0.1 + abs(chance), "queue_time": 1.0, "cost": 0.01, "shots": 1_000.0}
            store.put(Record("state", now, step, state))
            store.put(Record("circuit", now, None, {**times, "depth": 12.0, "two_qubit_depth": 5.0}, device))
        if step % 1_000 == 0:
            store.put(Record("backend", now, None, {"up": 1.0, "pending_jobs": abs(chance)}, {"backend": "device"}))
            store.put(Record("system", now, None, {"cpu_ratio": 0.5, "memory_used": 1e9, "memory_total": 4e9}))
            store.put(Record("custom", now, step, {"own": chance}))
            alert = {"alert_value": 12.0, "alert_threshold": 10.0, "alert_firing": float(step // 1_000 % 2)}
            store.put(Record("alert", now, step, alert, {"alert": "gradient_explosion", "severity": "critical"}))
        if step % 50_000 == 0:
            store.flush(60.0)
    store.flush(60.0)
    return store


def _step(step: int, now: float, loss: float, norm: float) -> Record:
    gradient = {"gradient_norm": norm, "gradient_variance": 0.01, "gradient_component_variance": 1e-3}
    moved = {"parameter_norm": 1.0, "parameter_change": 0.01, "parameters": 10.0}
    return Record("training", now, step, {"loss": loss, **gradient, **moved})


def _files(storage: Path, short: StoredRun, long: StoredRun) -> str:
    def small_report(run: StoredRun, path: Path) -> Path:
        return generate_report(run, path, include_visualizations=False)

    writers: dict[str, Callable[[StoredRun, Path], Path]] = {
        "static dashboard": static_dashboard,
        "report with figures": generate_report,
        "report without": small_report,
    }
    rows = [["file", "steps", "first time", "median", "size"]]
    for steps, run in ((_SHORT, short), (_LONG, long)):
        for name, write in writers.items():
            took = []
            for _ in range(_REPEATS):
                began = time.perf_counter()
                path = write(run, storage / "file.html")
                took.append(time.perf_counter() - began)
            size = f"{path.stat().st_size / 1e6:.2f} MB"
            rows.append([name, f"{steps:,}", *map(_report.duration, (took[0], statistics.median(took))), size])
    return _report.table(rows)


def _pages(storage: Path, long: RunStore) -> str:
    """From the navigation to the loss on the screen; then what one refresh takes, from the question to the answer."""
    shown: list[float] = []
    asked: list[float] = []
    ended = threading.Event()
    writer = threading.Thread(target=_go_on, args=(long, ended))
    writer.start()
    try:
        with _browser() as browser:
            for turn in range(_REPEATS):
                page = process.start(storage, port=0)  # anew: nothing is remembered from the time before
                try:
                    window = browser.new_page()
                    began = time.perf_counter()
                    window.goto(page.url + address.of_run("bench/long"))
                    window.wait_for_selector(_DRAWN, state="attached", timeout=60_000)
                    shown.append(time.perf_counter() - began)
                    if turn == _REPEATS - 1:
                        asked = _refreshes(window)
                    window.close()
                finally:
                    page.stop()
    finally:
        ended.set()
        writer.join()
    rows = [["what", "median", "largest"]]
    for what, took in (
        ("shown, from the navigation to the drawn curve", shown),
        ("refresh, question to answer", asked),
    ):
        rows.append([what, _report.duration(statistics.median(took)), _report.duration(max(took))])
    return _report.table(rows)


def _go_on(store: RunStore, ended: threading.Event) -> None:
    """A hundred steps a second."""
    for step in range(_LONG, 10 * _LONG):
        store.put(_step(step, time.time(), 0.1, 0.1))
        if ended.wait(0.01):
            return


def _refreshes(window: Any) -> list[float]:
    """The times of the requests that bring what is new of a run."""
    took: list[float] = []

    def finished(request: Any) -> None:
        if "_dash-update-component" in request.url and "extendData" in (request.post_data or ""):
            took.append((request.timing["responseEnd"] - request.timing["requestStart"]) / 1e3)

    window.on("requestfinished", finished)
    while len(took) < _REFRESHES:
        window.wait_for_timeout(200)
    return took


@contextmanager
def _browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        program = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


def _beside() -> str:
    """The same loop with the page of its run open and closed."""
    seconds: dict[str, list[float]] = {"closed": [], "open": []}
    medians: dict[str, list[float]] = {"closed": [], "open": []}
    with monitored("beside") as monitor, _browser() as browser:
        log = prepared(_PARAMETERS)(monitor.log_training_step)
        directory = monitor.run_path
        assert directory is not None
        url = monitor.create_dashboard(port=0) + address.of_run(f"{directory.parent.name}/{directory.name}")
        window = browser.new_page()
        for turn in range(_TURNS):
            for name in ("closed", "open") if turn % 2 else ("open", "closed"):
                window.goto(url if name == "open" else "about:blank")
                if name == "open":
                    pace(log, 100, _STEPS_A_SECOND)
                    window.wait_for_selector(_DRAWN, state="attached", timeout=60_000)
                took = pace(log, _STEPS_A_TURN, _STEPS_A_SECOND)
                seconds[name] += took
                medians[name].append(statistics.median(took))
    ratio, spread = median_ratio(medians["open"], medians["closed"])
    rows = [["page", "p50", "p99", "p99.9", "largest", "ratio of medians"]]
    for name, text in (("closed", ""), ("open", f"{ratio:.2f} ({spread})")):
        rows.append([name, *map(_report.duration, percentiles(seconds[name])), text])
    return _report.table(rows)
