"""The static dashboard: one file with what was logged, whatever became of the run."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import plotly.graph_objects as go
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from quantum_monitor import QuantumMonitor
from quantum_monitor.plugins import figure, unregister
from quantum_monitor.record import Record
from quantum_monitor.store.reader import StoredRun
from quantum_monitor.store.writer import RunStore
from quantum_monitor.views.export import ImageError
from quantum_monitor.views.static_dashboard import static_dashboard
from tests.browser import Watched, page_of
from tests.server_process import eventually
from tests.store.test_stored_run import write_version_1
from tests.views.test_pages import CONTRASTS

BEGIN = 1_700_000_000.0
HOSTILE = "<img src=x onerror=alert(1)>"
FORMULA = "=cmd()"
STEPS = 80
DIES = """
import os, signal, sys
from quantum_monitor.record import Record
from quantum_monitor.store.writer import RunStore

store = RunStore(sys.argv[1], {"experiment": "h2", "name": "dies", "run_id": "1", "start_time": 1_700_000_000.0})
store.put(Record("training", 1_700_000_000.0, 0, {"loss": 2.0}))
assert store.flush(20)
os.kill(os.getpid(), signal.SIGKILL)
"""


def loss(step: int) -> float:
    return math.nan if step == 40 else math.exp(-step / 20)


def everything(store: RunStore, steps: int) -> None:
    """A run that has all that is drawn, under hostile names."""
    labels = {"backend": HOSTILE, "status": "success", "currency": "USD", "cost_kind": "reported"}
    for step in range(steps):
        at = BEGIN + step
        gradient = {"gradient_norm": 10.0**-step if step < 5 else 1e-5, "gradient_variance": 0.5, "parameter_norm": 1.0}
        store.put(Record("training", at, step, {"loss": loss(step), **gradient, "parameter_change": 0.25}))
        store.put(Record("state", at, step, {"fidelity": step / steps, "entanglement_entropy": 0.75, "norm": 1.0}))
        circuit = {"execution_time": 0.5, "queue_time": 2.0, "depth": 12.0, "two_qubit_depth": 4.0, "cost": 0.25}
        store.put(Record("circuit", at, step, circuit, labels))
        store.put(Record("custom", at, step, {HOSTILE: 1.0, FORMULA: 2.0}))
    reported = {"up": 1.0, "pending_jobs": 3.0, "error_ratio_2q": 0.01}
    store.put(Record("backend", BEGIN + 1, None, reported, {"backend": FORMULA}))
    machine = {"cpu_ratio": 0.5, "memory_used_bytes": 4e9, "memory_total_bytes": 8e9}
    store.put(Record("system", BEGIN + 1, None, machine))
    fields = {"alert_value": 12.5, "alert_threshold": 10.0, "alert_firing": 1.0}
    store.put(Record("alert", BEGIN + 2, 2, fields, {"alert": HOSTILE, "severity": "critical"}))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> StoredRun:
    directory = tmp_path_factory.mktemp("dashboard") / "run"
    described = {"experiment": FORMULA, "name": HOSTILE, "run_id": "1", "start_time": BEGIN, "tags": {HOSTILE: "%{x}"}}
    store = RunStore(directory, described)
    everything(store, STEPS)
    store.describe(status="completed", end_time=BEGIN + STEPS)
    assert store.close(20)
    return StoredRun(directory)


@pytest.fixture(scope="module")
def address(whole: StoredRun) -> str:
    figure(HOSTILE)(lambda run: go.Figure(go.Scatter(x=run.series("loss").step, y=run.series("loss").value)))
    try:
        return static_dashboard(whole, whole.directory / "dashboard.html").as_uri()
    finally:
        unregister(HOSTILE)


@pytest.fixture(scope="module", params=[(390, "dark"), (1600, "light")], ids=["phone, dark", "wide, light"])
def watched(request: pytest.FixtureRequest, chromium: Any, address: str) -> Iterator[Watched]:
    width, scheme = request.param
    with page_of(chromium, address, width=width, scheme=scheme) as page:
        page.page.wait_for_selector("html[data-drawn]")
        yield page


def told(page: str) -> dict[str, str]:
    """The facts at the head of a page."""
    return dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", page))


def titles(page: str) -> list[str]:
    return re.findall(r"<figcaption><strong>(.*?)</strong>", page)


def test_the_page_has_every_panel_and_asks_nobody(watched: Watched) -> None:
    assert watched.complaints == []
    assert watched.foreign == []
    assert watched.overflow() == []
    shown = watched.page.locator("figcaption strong").all_text_contents()
    assert shown == [
        "Loss", "Gradient norm", "Gradient variance", "Fidelity and entropy", "Parameters", "Circuit depth",
        "Execution and queue time", "Cost", "Jobs waiting at the backends", "Error ratios of the backends",
        "Backends up and down", "Alerts", "Process and machine", "Metrics of your own", HOSTILE,
    ]  # fmt: skip


def test_the_panels_hold_the_numbers_that_were_logged(watched: Watched) -> None:
    drawn = watched.page.evaluate(
        "() => Object.fromEntries([...document.querySelectorAll('figure.plot')].map((box) =>"
        "[box.querySelector('figcaption').textContent, box.querySelector('.js-plotly-plot')._fullData.map((t) =>"
        "[t.name, Array.from(t.x), Array.from(t.y, (v) => Number.isFinite(v) ? v : null)])]))"
    )
    steps = list(range(STEPS))
    assert drawn["Loss"][0] == ["loss", steps, [None if step == 40 else loss(step) for step in steps]]
    assert drawn["Loss"][1][:2] == ["NaN or infinite", [40]]
    assert drawn["Loss"][2][:2] == ["an alert fires", [2]]
    assert drawn["Fidelity and entropy"][0][2] == [step / STEPS for step in steps]
    assert drawn["Cost"][0][2] == [0.25 * (step + 1) for step in steps]
    assert drawn["Cost"][0][1][:2] == [BEGIN * 1000, BEGIN * 1000 + 1000]
    assert [line[2][0] for line in drawn["Execution and queue time"]] == [0.5, 2.0]
    assert drawn["Process and machine"][1][2] == [0.5]


def test_names_are_text_and_text_is_legible(watched: Watched) -> None:
    page = watched.page
    assert page.locator("h1").text_content() == HOSTILE
    assert page.locator("img").count() == 0
    assert f"cost: {HOSTILE}" not in page.content()
    assert [pair for pair in page.evaluate(CONTRASTS) if pair[1] < 4.5] == []


def test_panels_stand_side_by_side_where_there_is_room(watched: Watched) -> None:
    tops = watched.page.locator("figure.plot").evaluate_all("all => all.map((f) => f.getBoundingClientRect().top)")
    wide = watched.page.viewport_size["width"] > 1000
    assert len([top for top in tops if top == tops[0]]) == (3 if wide else 1)


def test_the_head_tells_the_numbers_that_people_ask_for_first(whole: StoredRun, address: str) -> None:
    facts = told((whole.directory / "dashboard.html").read_text(encoding="utf-8"))
    best = f"Best loss (step {STEPS - 1})"
    asked = ("Experiment", "Duration", "Steps", "Last loss", best, "Last fidelity", "Executions", "Cost, USD reported")
    assert [facts[name] for name in asked] == [
        "=cmd()",
        "1 min 20 s",
        "80",
        "0.0192547",
        "0.0192547",
        "0.9875",
        "80",
        "20",
    ]
    assert facts["Alerts that fire"] == "&lt;img src=x onerror=alert(1)&gt;"


def test_the_whole_is_an_svg(whole: StoredRun, tmp_path: Path) -> None:
    root = ET.fromstring(static_dashboard(whole, tmp_path / "a.svg", "svg").read_bytes())  # noqa: S314 - our own
    words = ["".join(element.itertext()) for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {HOSTILE, "Completed. The training ended by itself.", "Loss", "Alerts", "Metrics of your own"} <= set(words)
    assert not [e for e in root.iter() if e.tag.endswith(("script", "foreignObject"))]
    links = [value for e in root.iter() for name, value in e.attrib.items() if name.endswith("href")]
    assert all(link.startswith(("#", "data:image/")) for link in links)


def test_a_png_is_the_svg_in_twice_as_many_pixels_and_tells_no_secret(empty: StoredRun, tmp_path: Path) -> None:
    figure("Energy, api_key=SECRET")(lambda _: Figure(figsize=(4, 3), facecolor="red"))
    try:
        svg = static_dashboard(empty, tmp_path / "a.svg", "svg").read_text(encoding="utf-8")
        drawn = imread(static_dashboard(empty, tmp_path / "a.png", "png"))
    finally:
        unregister("Energy, api_key=SECRET")
    assert "Energy, api_key=(hidden)" in svg
    assert "SECRET" not in svg
    root = ET.fromstring(svg)  # noqa: S314 - our own
    assert drawn.shape[:2] == (2 * float(root.get("height") or 0), 2 * float(root.get("width") or 0))
    red = (drawn[..., 0] > 0.9) & (drawn[..., 1] < 0.1)
    assert red.sum() > 2 * 520 * 2 * 300


def test_without_a_browser_an_image_is_an_error_and_the_page_is_made(
    whole: StoredRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROWSER_PATH", str(tmp_path / "gone"))
    with pytest.raises(ImageError, match="install one"):
        static_dashboard(whole, tmp_path / "a.png", "png")
    assert not (tmp_path / "a.png").exists()
    assert static_dashboard(whole, tmp_path / "a.html").stat().st_size > 4e6


def test_another_format_is_refused(whole: StoredRun, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="format: 'pdf' is none of html, png, svg"):
        static_dashboard(whole, tmp_path / "a.pdf", "pdf")  # type: ignore[arg-type]


def test_ten_thousand_steps_stay_below_six_megabytes(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "run", {"experiment": "h2", "run_id": "1", "start_time": BEGIN})
    everything(store, 10_000)
    assert store.close(60)
    page = static_dashboard(StoredRun(tmp_path / "run"), tmp_path / "a.html")
    assert page.stat().st_size < 6e6
    assert len(titles(page.read_text(encoding="utf-8"))) == 14


@pytest.fixture
def empty(tmp_path: Path) -> StoredRun:
    assert RunStore(tmp_path / "run", {"experiment": "h2", "run_id": "1"}).close(20)
    return StoredRun(tmp_path / "run")


def test_a_run_without_records_says_so_and_what_would_bring_them(empty: StoredRun, tmp_path: Path) -> None:
    page = static_dashboard(empty, tmp_path / "a.html").read_text(encoding="utf-8")
    assert "Nothing was recorded that could be drawn." in page
    assert "log_training_step(loss, gradients, parameters, step)" in page
    assert "<script" not in page
    assert titles(page) == []


def test_a_run_of_one_step_that_goes_on_has_the_panels_of_that_step(new_monitor: Callable[..., QuantumMonitor]) -> None:
    monitor = new_monitor()
    with monitor.start_run("a"):
        monitor.log_training_step(-1.125, [0.5], [1.0], 0)
        (directory,) = (file.parent for file in monitor.storage_path.rglob("run.json"))
        eventually(lambda: StoredRun(directory).last_sequence)
        page = static_dashboard(StoredRun(directory), directory / "a.html").read_text(encoding="utf-8")
    assert "The run had not ended when this report was made." in page
    assert told(page)["Last loss"] == "-1.125"
    assert titles(page)[:2] == ["Loss", "Gradient norm"]
    assert "Cost" not in titles(page)


def test_a_killed_run_says_so(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", DIES, str(tmp_path / "run")], timeout=60, check=False)
    page = static_dashboard(StoredRun(tmp_path / "run"), tmp_path / "a.html").read_text(encoding="utf-8")
    assert '<strong class="killed">Killed.</strong>' in page
    assert titles(page) == ["Loss"]


def test_a_store_of_version_1_is_drawn(tmp_path: Path) -> None:
    write_version_1(tmp_path / "run")
    page = static_dashboard(StoredRun(tmp_path / "run"), tmp_path / "a.html").read_text(encoding="utf-8")
    assert titles(page) == ["Loss", "Circuit depth"]
    assert told(page)["Steps"] == "1,599"


def test_the_last_state_and_the_circuits_are_shown(new_monitor: Callable[..., QuantumMonitor]) -> None:
    monitor = new_monitor()
    with monitor.start_run("a"):
        monitor.log_quantum_state(np.array([1, 0, 0, 1]) / math.sqrt(2), 7)
        monitor.log_circuit({"qubits": 2, "gates": [{"name": "h", "qubits": [0]}]}, "ansatz")
    (directory,) = (file.parent for file in monitor.storage_path.rglob("run.json"))
    page = static_dashboard(StoredRun(directory), directory / "a.html").read_text(encoding="utf-8")
    assert {"Amplitudes at step 7", "Entanglement at step 7", "Circuit ansatz"} <= set(titles(page))
    assert 'src="data:image/svg+xml;base64,' in page


def test_a_full_disk_leaves_the_file_that_was_there(whole: StoredRun, mount: Callable[..., Path]) -> None:
    disk = mount("disk", "-t", "tmpfs", "-o", "size=1m", "tmpfs")
    (disk / "a.html").write_text("before")
    with pytest.raises(OSError, match="No space left"):
        static_dashboard(whole, disk / "a.html")
    assert [file.name for file in disk.iterdir()] == ["a.html"]
    assert (disk / "a.html").read_text() == "before"


def test_without_plotly_the_error_says_what_to_install(whole: StoredRun, tmp_path: Path) -> None:
    program = (
        "import sys\nsys.modules['plotly'] = None\nfrom quantum_monitor.store.reader import StoredRun\n"
        "from quantum_monitor.views.static_dashboard import static_dashboard\n"
        "static_dashboard(StoredRun(sys.argv[1]), sys.argv[2])"
    )
    done = subprocess.run([sys.executable, "-c", program, str(whole.directory), str(tmp_path / "a.html")],
                          capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
    assert "pip install 'quantum-monitor[views]'" in done.stderr
    assert not (tmp_path / "a.html").exists()
