from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from quantum_monitor import QuantumMonitor
from quantum_monitor.views.live.server import LiveServer
from tests.browser import Watched, page_of
from tests.live.live_serving import serving
from tests.server_process import eventually

_POINTS = """key => { const graph = document.querySelector(`.card.${key} .js-plotly-plot`);
  return graph && graph.data ? [...graph.data[0].y] : [] }"""
_WATCH = """() => { const graph = document.querySelector('.card.loss .js-plotly-plot');
  window.graph = graph; window.calls = [];
  for (const name of ['react', 'newPlot', 'extendTraces']) {
    const before = Plotly[name];
    Plotly[name] = (...given) => { if (given[0] === graph) window.calls.push(name); return before(...given) } }
}"""
_SEEN = """() => { const graph = document.querySelector('.card.loss .js-plotly-plot');
  return [window.calls, graph === window.graph, graph.layout.xaxis.range] }"""
_REFUSED = ("Failed to load resource: net::ERR_", "Error: Callback failed: the server did not respond")


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quantum_monitor.views.live.app.BEAT_SECONDS", 0.4)
    monkeypatch.setattr("quantum_monitor.views.live.runs._SCAN_EVERY", 0.1)


@pytest.fixture
def monitor(tmp_path: Path) -> Iterator[QuantumMonitor]:
    made = QuantumMonitor(
        "h2", storage_path=tmp_path / "runs", metrics_port=None, registry=CollectorRegistry(), enable_mlflow=False
    )
    yield made
    made.close()


@contextlib.contextmanager
def watching(chromium: Any, server: LiveServer, query: str = "") -> Iterator[Watched]:
    with page_of(chromium, f"{server.url}{query}") as watched:
        yield watched
    assert [told for told in watched.complaints if not told.startswith(_REFUSED)] == []
    assert watched.foreign == []


def log(monitor: QuantumMonitor, losses: list[float], *, since: int = 0) -> None:
    for step, loss in enumerate(losses, start=since):
        monitor.log_training_step(loss, [0.3, 0.4], [1.0, 2.0], step)


def address(monitor: QuantumMonitor, view: str = "course") -> str:
    return "?" + urlencode({"run": f"h2/{monitor.current_run_id}", "view": view})


def zoom_in(page: Any) -> None:
    """Drag over the middle of the loss, as a person does."""
    box = page.locator(".card.loss .nsewdrag").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] / 2, steps=5)
    page.mouse.up()
    eventually(lambda: page.evaluate(_SEEN)[2][0] > 5)


def test_a_run_that_goes_on_is_added_to_and_not_drawn_again(chromium: Any, monitor: QuantumMonitor) -> None:
    monitor.start_run("live")
    log(monitor, [1.0 - step / 1000 for step in range(70)])
    with serving(monitor.storage_path) as server, watching(chromium, server, address(monitor)) as watched:
        page = watched.page
        eventually(lambda: len(page.evaluate(_POINTS, "loss")) == 70)
        page.evaluate(_WATCH)
        zoom_in(page)
        log(monitor, [0.5], since=70)
        eventually(lambda: page.evaluate(_POINTS, "loss")[70:] == [0.5])  # Dash draws once after a zoom by hand
        page.evaluate("() => { window.calls.length = 0 }")
        log(monitor, [0.25, 0.125], since=71)
        eventually(lambda: page.evaluate(_POINTS, "loss")[70:] == [0.5, 0.25, 0.125])
        calls, same, zoomed = page.evaluate(_SEEN)
        assert (set(calls), same) == ({"extendTraces"}, True)
        assert zoomed[0] > 5
        assert zoomed[1] < 65
        assert page.inner_text(".card.loss .latest") == "loss 0.125"
        # A quantity that was not there before gets a card; at twice the size the panel is drawn anew, zoomed as it was.
        monitor.log_metrics({"mine": 7.0}, step=72)
        log(monitor, [0.1] * 60, since=73)
        eventually(lambda: len(page.evaluate(_POINTS, "loss")) == 133)
        eventually(lambda: page.evaluate(_POINTS, "custom") == [7.0])
        calls, same, still = page.evaluate(_SEEN)
        assert ("react" in calls, same, still) == (True, True, zoomed)
        monitor.end_run()
        page.wait_for_selector("#heading .status.completed")
        page.wait_for_selector(".listed .status.completed")


def test_a_thinned_line_grows_by_whole_spans_and_keeps_every_spike(chromium: Any, monitor: QuantumMonitor) -> None:
    monitor.start_run("long")
    losses = np.ones(2_500)
    losses[1_234] = 99.0
    log(monitor, losses.tolist())
    with serving(monitor.storage_path) as server, watching(chromium, server, address(monitor)) as watched:
        page = watched.page
        eventually(lambda: len(page.evaluate(_POINTS, "loss")) == 2 * (2_500 // 4))
        assert max(page.evaluate(_POINTS, "loss")) == 99.0
        log(monitor, [5.0] * 6, since=2_500)
        eventually(lambda: len(page.evaluate(_POINTS, "loss")) == 2 * (2_506 // 4))
        assert page.evaluate(_POINTS, "loss")[-2:] == [5.0, 5.0]
        monitor.end_run()
        eventually(lambda: len(page.evaluate(_POINTS, "loss")) == 2 * (2_506 // 4 + 1))


def test_new_states_move_a_slider_that_stands_at_the_end(chromium: Any, monitor: QuantumMonitor) -> None:
    monitor.start_run("states")
    monitor.log_quantum_state(np.array([1.0, 0.0]), 1)
    monitor.log_quantum_state(np.array([1.0, 0.0]), 2)
    with serving(monitor.storage_path) as server, watching(chromium, server, address(monitor, "states")) as watched:
        watched.page.wait_for_selector("text=Step 2, logged")
        monitor.log_quantum_state(np.array([0.0, 1.0]), 3)
        watched.page.wait_for_selector("text=Step 3, logged")


def test_an_empty_folder_says_how_to_begin_and_the_first_run_appears(chromium: Any, monitor: QuantumMonitor) -> None:
    monitor.storage_path.mkdir(parents=True, exist_ok=True)
    with serving(monitor.storage_path) as server, watching(chromium, server) as watched:
        watched.page.wait_for_selector("#content >> text=No run here yet. Start one:")
        monitor.start_run("the first")
        watched.page.wait_for_selector(".listed .name:text-is('the first')")
        watched.page.wait_for_selector("text=Choose a run")


def test_a_run_that_is_removed_or_damaged_is_told_and_the_others_go_on(chromium: Any, monitor: QuantumMonitor) -> None:
    directories = []
    for name in ("gone", "garbled", "torn", "good"):
        with monitor.start_run(name):
            log(monitor, [1.0, 0.5])
            directories.append(monitor.storage_path / "h2" / str(monitor.current_run_id))
    gone, garbled, torn, _ = directories
    (garbled / "run.json").write_text("{")
    (torn / "records.db").write_bytes(b"SQLite format 3\0" + b"x" * 5_000)
    with serving(monitor.storage_path) as server, watching(chromium, server, f"?run=h2/{gone.name}") as watched:
        page = watched.page
        eventually(lambda: page.evaluate(_POINTS, "loss") == [1.0, 0.5])
        shutil.rmtree(gone)
        page.wait_for_selector("text=This run is gone")
        page.click(f".listed .run:has-text('{garbled.name}')")
        page.wait_for_selector(".problem:has-text('is not JSON')")
        page.click(".listed .run:has-text('torn')")
        page.wait_for_selector(".problem:has-text('cannot be read')")
        page.click(".listed .run:has-text('good')")
        eventually(lambda: page.evaluate(_POINTS, "loss") == [1.0, 0.5])
        assert page.locator(".problem").count() == 0
        page.goto(f"{server.url}?run=../../etc/passwd")
        page.wait_for_selector("text=No such run")


def test_a_lost_server_is_told_and_the_page_goes_on_when_it_is_back(chromium: Any, monitor: QuantumMonitor) -> None:
    monitor.start_run("live")
    log(monitor, [1.0, 0.5])
    with serving(monitor.storage_path) as server:
        port = server.port
        with watching(chromium, server, address(monitor)) as watched:
            page = watched.page
            eventually(lambda: page.evaluate(_POINTS, "loss") == [1.0, 0.5])
            page.route("**/_dash-update-component*", lambda question: question.abort())
            with page.expect_event("requestfailed", lambda question: "extendData" in (question.post_data or "")):
                pass  # a question that gets no answer
            server.close()
            page.unroute("**/_dash-update-component*")
            page.wait_for_selector("#lost:has-text('Connection lost')", state="visible")
            log(monitor, [0.25], since=2)
            with serving(monitor.storage_path, port) as again:
                assert again.port == port
                page.wait_for_selector("#lost", state="hidden")
                eventually(lambda: page.evaluate(_POINTS, "loss") == [1.0, 0.5, 0.25])
