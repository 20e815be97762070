"""The report with figures, in a real browser: it shows what was logged, loads nothing, and obeys nobody's markup."""

from __future__ import annotations

import base64
import json
import math
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from quantum_monitor import QuantumMonitor, plugins
from quantum_monitor.record import Record
from quantum_monitor.store import artifacts
from quantum_monitor.store.reader import StoredRun
from quantum_monitor.store.writer import RunStore
from quantum_monitor.views.report import generate_report
from tests.browser import Watched, page_of

EVIL = "<img src=x onerror=alert(1)> %{x} =cmd()"
SVG_WITH_SCRIPT = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="50" height="20" onload="parent.document.title=1">'
    '<script>document.title = "hacked"; fetch("http://evil.example/")</script>'
    '<image href="http://evil.example/x.png" width="5" height="5"/><rect width="50" height="20"/></svg>'
)
LOSSES = [2.0, 1.5, math.nan, 1.0, 0.5]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> StoredRun:
    """A run of which everything was logged, under a name that is markup."""
    storage = tmp_path_factory.mktemp("reported")
    monitor = QuantumMonitor("h2", storage_path=storage, metrics_port=None, registry=CollectorRegistry(),
                             enable_mlflow=False)  # fmt: skip
    bell = [{"name": "h", "qubits": [0]}, {"name": "cx", "qubits": [0, 1]}]
    with monitor.start_run(EVIL):
        monitor.log_params({EVIL: EVIL, "api_key": "SECRET"})
        monitor.log_circuit({"n_qubits": 2, "gates": bell}, "bell")
        monitor.log_circuit({"n_qubits": 2, "gates": bell}, EVIL)
        for step, loss in enumerate(LOSSES):
            monitor.log_training_step(loss, np.array([3.0, 4.0]), np.ones(2), step)
        monitor.log_quantum_state(np.array([0.6, 0.0, 0.0, 0.8]), 4)
        monitor.log_circuit_execution(None, 2.0, cost=0.25, backend_info=EVIL, shots=10)
        monitor.log_metrics({EVIL: 1.0}, step=0)
        directory = monitor.run_path
    monitor.close()
    assert directory
    stored = StoredRun(directory)
    (drawn,) = (a for a in artifacts.read(directory) if a.name == EVIL)
    (drawn.path / "circuit.svg").write_text(SVG_WITH_SCRIPT)
    return stored


@pytest.fixture(scope="module")
def path(run: StoredRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate_report(run, tmp_path_factory.mktemp("page") / "report.html")


@pytest.fixture(scope="module")
def shown(chromium: Any, path: Path) -> Iterator[Watched]:
    with page_of(chromium, path.as_uri()) as watched:
        watched.page.wait_for_function("document.querySelectorAll('.js-plotly-plot').length > 5")
        yield watched


def figures(watched: Watched) -> dict[str, Any]:
    """The data of each figure as the browser drew it, by the title of its box."""
    found: dict[str, Any] = watched.page.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll('figure.plot')].map((box) => [
          box.querySelector('figcaption').innerText,
          box.querySelector('.js-plotly-plot')._fullData.map((trace) => ({name: trace.name,
            x: [...(trace.x || [])], y: [...(trace.y || [])].map((v) => Number.isFinite(v) ? v : null)})),
        ]))"""
    )
    return found


def test_the_page_loads_without_complaint_and_asks_nobody(shown: Watched) -> None:
    shown.page.wait_for_load_state("networkidle")
    assert shown.complaints == []
    assert shown.foreign == []


def test_the_figures_hold_what_was_logged(shown: Watched) -> None:
    drawn = figures(shown)
    assert {"Loss", "Gradient norm", "Cost", "Amplitudes at step 4", "Qubits at step 4", "Entanglement at step 4"} <= {
        *drawn
    }
    loss = next(trace for trace in drawn["Loss"] if trace["name"] == "loss")
    assert loss["x"] == [0, 1, 2, 3, 4]
    assert loss["y"] == [2.0, 1.5, None, 1.0, 0.5]
    (norm, *_) = drawn["Gradient norm"]
    assert norm["y"] == [5.0] * 5


def test_hostile_names_are_text(shown: Watched) -> None:
    assert shown.page.evaluate("document.querySelector('img[src=x]')") is None
    assert shown.page.locator("h1").inner_text() == EVIL
    assert shown.page.title().startswith(EVIL)
    assert "SECRET" not in shown.page.content()


def test_circuits_are_pictures_and_a_script_in_one_is_dead(shown: Watched) -> None:
    names = shown.page.eval_on_selector_all("img", "images => images.map((i) => [i.alt, i.naturalWidth > 0])")
    assert sorted(names) == sorted([["Circuit bell", True], [f"Circuit {EVIL}", True]])
    assert shown.page.title() != "hacked"
    assert shown.page.locator("section svg script, section script:not([type])").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1600])
def test_nothing_sticks_out_and_all_can_be_read(shown: Watched, width: int, scheme: str) -> None:
    shown.page.set_viewport_size({"width": width, "height": 1000})
    shown.page.emulate_media(color_scheme=scheme)
    ink = {"light": "rgb(27, 31, 36)", "dark": "rgb(228, 232, 236)"}[scheme]
    shown.page.wait_for_function(
        "ink => [...document.querySelectorAll('.xtick text')].every((t) => getComputedStyle(t).fill === ink)", arg=ink
    )
    shown.page.wait_for_function(
        "() => [...document.querySelectorAll('.js-plotly-plot .main-svg')].every((s) => s.clientWidth <= innerWidth)"
    )
    assert shown.overflow() == []
    lowest = shown.page.evaluate(CONTRAST)
    assert lowest["ratio"] >= 4.5, lowest


CONTRAST = """() => {
  const luminance = (colour) => {
    const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map((v) => {
      const c = v / 255; return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = (element) => {
    for (; element; element = element.parentElement) {
      const colour = getComputedStyle(element).backgroundColor;
      if (!/, 0\\)$/.test(colour) && colour !== 'transparent') return colour; }
    return 'rgb(255, 255, 255)'; };
  let lowest = {ratio: 99};
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || element.closest('script, style, noscript, svg')) continue;
    const pair = [luminance(getComputedStyle(element).color), luminance(behind(element))].sort((a, b) => b - a);
    const ratio = (pair[0] + 0.05) / (pair[1] + 0.05);
    if (ratio < lowest.ratio) lowest = {ratio, text: walker.currentNode.data.trim().slice(0, 60)};
  }
  return lowest;
}"""


def test_figures_of_the_users_own_are_shown_and_one_that_fails_is_a_sentence(
    run: StoredRun, tmp_path: Path, chromium: Any
) -> None:
    import plotly.graph_objects as go
    from matplotlib.figure import Figure

    def fails(_: StoredRun) -> Any:
        raise RuntimeError(EVIL)

    def drawn(_: StoredRun) -> Any:
        figure = Figure()
        figure.subplots().plot([1, 2])
        return figure

    made = {EVIL: lambda r: go.Figure(go.Scatter(y=r.series("loss").value)), "drawn": drawn, "fails": fails}
    for name, function in made.items():
        plugins.figure(name)(function)
    try:
        page = generate_report(run, tmp_path / "report.html")
    finally:
        for name in made:
            plugins.unregister(name)
    with page_of(chromium, page.as_uri(), width=390, scheme="dark") as watched:
        watched.page.wait_for_function("document.querySelectorAll('.js-plotly-plot').length > 5")
        assert figures(watched)[EVIL][0]["y"] == [2.0, 1.5, None, 1.0, 0.5]
        assert watched.page.locator("img[alt=drawn]").evaluate("image => image.naturalWidth") > 100
        assert "RuntimeError" in watched.page.locator("figure.plot", has_text="fails").inner_text()
        assert watched.page.evaluate("document.querySelector('img[src=x]')") is None
        assert watched.page.evaluate(CONTRAST)["ratio"] >= 4.5
        assert watched.overflow() == []
        assert watched.complaints == []


BROKEN = {
    "no SVG": b"<html></html>",
    "not well-formed": b"<svg xmlns='http://www.w3.org/2000/svg'><g></svg>",
    "entities": b'<!DOCTYPE svg [<!ENTITY a "b">]><svg xmlns="http://www.w3.org/2000/svg">&a;</svg>',
    "no text": b"\xff\xfe\x00",
    "too large": b"<svg xmlns='http://www.w3.org/2000/svg'>" + b"<!--" + b"x" * 600_000 + b"--></svg>",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_drawing_that_no_browser_should_show_gives_way_to_the_text(run: StoredRun, kind: str, tmp_path: Path) -> None:
    (bell,) = (a for a in artifacts.read(run.directory) if a.name == "bell")
    file = bell.path / "circuit.svg"
    before = file.read_bytes()
    file.write_bytes(BROKEN[kind])
    try:
        page = generate_report(run, tmp_path / "report.html").read_text(encoding="utf-8")
    finally:
        file.write_bytes(before)
    assert 'alt="Circuit bell"' not in page
    assert '<pre class="scroll" tabindex="0" role="region" aria-label="Circuit bell">' in page


def test_garbled_profiles_and_states_cost_only_themselves(tmp_path: Path, run: StoredRun) -> None:
    copy = tmp_path / "h2" / "copy"
    shutil.copytree(run.directory, copy)
    with sqlite3.connect(copy / "records.db") as connection:
        connection.execute("UPDATE states SET data = zeroblob(length(data))")
    connection.close()
    (copy / "artifacts" / "profiles").mkdir()
    (copy / "artifacts" / "profiles" / "profile.json").write_text("no JSON")
    entry = {"number": 9, "kind": "profile", "name": "b", "path": "artifacts/profiles", "time": 0.0,
             "metadata": {}, "register_as": None}  # fmt: skip
    with (copy / artifacts.INDEX).open("a") as index:
        index.write(json.dumps(entry) + "\ngarbage\n")
    page = generate_report(StoredRun(copy)).read_text(encoding="utf-8")
    assert "The last state cannot be drawn" in page
    assert "Hardware profile" not in page
    assert "Steps with a loss" in page


@pytest.mark.parametrize("records", [0, 1])
def test_an_empty_run_and_one_of_one_step_have_reports(tmp_path: Path, records: int) -> None:
    store = RunStore(tmp_path / "h2" / "1", {"experiment": "h2", "name": "a", "run_id": "1"})
    for step in range(records):
        store.put(Record("training", 1e9, step, {"loss": 0.5}))
    assert store.close(20)
    page = generate_report(StoredRun(store.directory)).read_text(encoding="utf-8")
    assert ("<h2>Course</h2>" in page) is bool(records)
    assert ("<script" in page) is bool(records)  # three megabytes of program for nothing


def test_a_run_of_an_older_version_has_a_report(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"status": "completed", "experiment": "h2", "name": "old"}))
    connection = sqlite3.connect(tmp_path / "records.db")
    connection.executescript(
        """CREATE TABLE records(id INTEGER PRIMARY KEY, kind TEXT NOT NULL, time REAL NOT NULL, step INTEGER,
             labels TEXT NOT NULL, fields TEXT NOT NULL);
           PRAGMA user_version=1;
           INSERT INTO records VALUES (1, 'training', 1e9, 0, '{}', '{"loss": 0.75}');"""
    )
    connection.close()
    page = generate_report(StoredRun(tmp_path), "report.html").read_text(encoding="utf-8")
    assert "<h1>old</h1>" in page
    assert '<th scope="row" class="short">Last loss</th><td class="number">0.75</td>' in page
    assert "<strong>Loss</strong>" in page
    assert "cannot be drawn (" not in page


WITHOUT_PLOTLY = """
import sys
sys.modules["plotly"] = None
from quantum_monitor.store.reader import StoredRun
from quantum_monitor.store.writer import RunStore
from quantum_monitor.views.report import generate_report
print(generate_report(StoredRun(sys.argv[1]), "report.html"))
"""


def test_without_the_extra_it_says_what_would_bring_figures(run: StoredRun) -> None:
    subprocess.run([sys.executable, "-c", WITHOUT_PLOTLY, run.directory], check=True, capture_output=True)
    page = Path("report.html").read_text(encoding="utf-8")
    assert "pip install &#x27;quantum-monitor[views]&#x27; adds them" in page
    assert "<script" not in page
    assert 'class="charts"' in page
    (picture,) = re.findall(r'<img src="data:image/svg\+xml;base64,([^"]+)" alt="Circuit bell">', page)
    assert base64.b64decode(picture).startswith(b"<svg")


def test_the_small_page_has_no_script_and_no_picture(run: StoredRun, tmp_path: Path) -> None:
    page = generate_report(run, tmp_path / "report.html", include_visualizations=False).read_text(encoding="utf-8")
    assert not re.search(r"<(script|img)", page)
    assert len(page) < 60_000
