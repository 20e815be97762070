from __future__ import annotations

import contextlib
import http.client
import re
import socket
from collections.abc import Callable, Iterator
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

HOSTILE = "<img src=x onerror=alert(1)>"
LOSSES = [1.0, 0.5, float("nan"), 0.25, 0.125]


def new_monitor(folder: Path, experiment: str) -> QuantumMonitor:
    return QuantumMonitor(
        experiment, storage_path=folder, metrics_port=None, registry=CollectorRegistry(), enable_mlflow=False
    )


def log_run(folder: Path, experiment: str, name: str, losses: list[float], tags: dict[str, Any] | None = None) -> Path:
    monitor = new_monitor(folder, experiment)
    with monitor.start_run(name):
        monitor.set_tags(tags or {})
        for step, loss in enumerate(losses):
            monitor.log_training_step(loss, [0.3, 0.4], [1.0, 2.0], step)
        run_id = str(monitor.current_run_id)
    monitor.close()
    (directory,) = folder.glob(f"*/{run_id}")
    return directory


def log_states(folder: Path) -> Path:
    monitor = new_monitor(folder, "states")
    with monitor.start_run("bell"):
        for step, angle in enumerate(np.linspace(0.0, np.pi / 4, 5)):
            monitor.log_quantum_state(np.array([np.cos(angle), 0, 0, np.sin(angle)]), 10 * step)
        monitor.log_circuit({"gates": [{"name": "h", "qubits": [0]}, {"name": "cx", "qubits": [0, 1]}]}, HOSTILE)
        monitor.log_circuit_execution({"gates": []}, 0.5, cost=1.25, backend_info={"name": "<b>lab</b>"}, shots=10)
        run_id = str(monitor.current_run_id)
    monitor.close()
    (directory,) = folder.glob(f"*/{run_id}")
    return directory


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    log_run(folder, "h2", "first", LOSSES, {"optimizer": "adam"})
    log_run(folder, "h2", HOSTILE, [3.0])
    log_run(folder, "=cmd()", "%{x}", [2.0, 1.0], {"optimizer": "spsa"})
    for number in range(4):
        log_run(folder, "groups", f"a{number}", [1.0, 0.10 + number / 1000], {"seed": number})
        log_run(folder, "groups", f"b{number}", [1.0, 0.90 + number / 900], {"seed": number})
    log_states(folder)
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[LiveServer]:
    with serving(folder) as running:
        yield running


Open = Callable[..., contextlib.AbstractContextManager[Watched]]


@pytest.fixture
def opened(chromium: Any, server: LiveServer) -> Iterator[Open]:
    """Opens the page; what it did wrong fails the test at its end."""
    pages: list[Watched] = []

    @contextlib.contextmanager
    def open_page(query: str = "", **options: Any) -> Iterator[Watched]:
        with page_of(chromium, f"{server.url}{query}", **options) as watched:
            pages.append(watched)
            yield watched

    yield open_page
    for watched in pages:
        assert watched.complaints == []
        assert watched.foreign == []


def key(folder: Path, name: str) -> str:
    (found,) = [run for run in folder.glob("*/*") if f'"name": "{name}"' in (run / "run.json").read_text()]
    return "/".join(found.parts[-2:])


def of(folder: Path, name: str, view: str = "course") -> str:
    return "?" + urlencode({"run": key(folder, name), "view": view})


def drawn(page: Any, panel: str) -> dict[str, Any]:
    """The first line of a panel, as plotly holds it, once it is there."""
    graph = page.wait_for_selector(f".card.{panel} .js-plotly-plot .trace")
    assert graph is not None
    found: dict[str, Any] = page.evaluate(
        "panel => { const {x, y, name} = document.querySelector(`.card.${panel} .js-plotly-plot`).data[0];"
        " return {x: [...x], y: [...y], name} }",
        panel,
    )
    return found


def test_the_panels_hold_what_was_logged(opened: Open, folder: Path) -> None:
    with opened(of(folder, "first")) as watched:
        loss = drawn(watched.page, "loss")
        assert loss["x"] == [0, 1, 2, 3, 4]
        assert loss["y"] == [1.0, 0.5, None, 0.25, 0.125]
        assert drawn(watched.page, "gradient_norm")["y"] == [0.5] * 5
        tiles = watched.page.inner_text(".tiles")
        assert re.search(r"Steps\s+5\s", tiles)
        assert re.search(r"Best loss\s+0\.125\s", tiles)
        assert watched.page.title() == "first · quantum-monitor"


def test_the_list_has_every_run_the_newest_first_and_finds_by_name_experiment_and_tag(opened: Open) -> None:
    with opened() as watched:
        page = watched.page
        page.wait_for_selector(".listed li")
        names = page.locator(".listed .name").all_inner_texts()
        assert names[0] == "bell"
        assert names[-3:] == ["%{x}", HOSTILE, "first"]
        for words, expected in (
            ("first", ["first"]),
            ("=CMD()", ["%{x}"]),
            ("optimizer=adam h2", ["first"]),
            ("x onerr", [HOSTILE]),
        ):
            page.fill("#search", words)
            for name in expected:
                page.wait_for_selector(f".listed:not(:has(li + li)) .name:text-is('{name}')")
        page.fill("#search", "nobody")
        page.wait_for_selector("text=No run matches")
        page.fill("#search", "")
        page.get_by_text("Completed 12").click()
        eventually(lambda: page.locator(".listed li").count() == 12)


def test_a_chosen_run_is_in_the_address_and_the_back_button_goes_back(opened: Open, folder: Path) -> None:
    with opened() as watched:
        page = watched.page
        page.click(".listed .run:has-text('first')")
        drawn(page, "loss")
        assert urlencode({"run": key(folder, "first")}) in page.url
        page.click(".view:has-text('Details')")
        page.wait_for_selector("text=What was not measured")
        page.go_back()
        drawn(page, "loss")
        page.go_back()
        page.wait_for_selector("text=Choose a run")


def test_hostile_names_are_text_everywhere(opened: Open, folder: Path) -> None:
    with opened(of(folder, HOSTILE)) as watched:
        assert drawn(watched.page, "loss")["y"] == [3.0]
        assert watched.page.inner_text("h1") == HOSTILE
        assert watched.page.locator("img").count() == 0
        watched.page.click(".listed .run:has-text('bell')")
        watched.page.wait_for_selector("h1:text-is('bell')")
        watched.page.click(".view:has-text('Circuits')")
        watched.page.wait_for_selector("img.picture")
        assert watched.page.inner_text("section h2") == HOSTILE
        width = "() => document.querySelector('img.picture').naturalWidth"
        eventually(lambda: watched.page.evaluate(width) > 50)
        watched.page.click(".view:has-text('Backends')")
        watched.page.wait_for_selector("th:has-text('<b>lab</b>')")


def test_the_slider_shows_each_kept_state(opened: Open, folder: Path) -> None:
    with opened(of(folder, "bell", "states")) as watched:
        page = watched.page
        page.wait_for_selector("text=Step 40, logged")
        heights = (
            "() => { const {y} = document.querySelector('.state .js-plotly-plot').data.find(t => t.type === 'bar');"
            " return [...(y._inputArray || y)] }"
        )
        page.wait_for_selector(".state .js-plotly-plot .trace")
        assert page.evaluate(heights) == pytest.approx([0.5, 0, 0, 0.5])
        room = "() => document.querySelector('.state .js-plotly-plot')._fullLayout.height"
        eventually(lambda: page.evaluate(room) > 1_000)  # as tall as its four parts want to be
        track = page.locator(".steps .dash-slider-root").bounding_box()
        moves: list[tuple[str | float, int]] = [
            ("ArrowLeft", 3), ("ArrowLeft", 2), ("Home", 0), (0.5, 2), (0.75, 3), ("ArrowRight", 4), (0.25, 1),
        ]  # fmt: skip
        for move, place in moves:
            if isinstance(move, str):
                page.focus(".steps [role=slider]")
                page.keyboard.press(move)
            else:
                page.mouse.click(track["x"] + move * track["width"], track["y"] + track["height"] / 2)
            page.wait_for_selector(f"text=Step {10 * place}, logged")
            chance = np.cos(np.pi / 16 * place) ** 2
            eventually(lambda: page.evaluate(heights) == pytest.approx([chance, 0, 0, 1 - chance]))  # noqa: B023
            page.wait_for_selector(".state .js-plotly-plot:not(.dash-graph--pending) .trace")
            for part in (".js-plotly-plot", "canvas"):  # the box, and the spheres in it
                assert page.locator(f".state {part}").first.bounding_box()["height"] > 200, (move, part)


def test_picked_runs_are_compared_and_two_groups_are_tested(opened: Open, folder: Path, server: LiveServer) -> None:
    with opened() as watched:
        page = watched.page
        for name in ("a0", "b0"):
            page.click(f".listed li:has(.name:text-is('{name}')) .pick input")
        page.click("text=Compare 2 runs")
        page.wait_for_selector("text=Comparison of 2 runs")
        lines = "() => document.querySelector('.js-plotly-plot').data.map(t => t.name)"
        page.wait_for_selector(".js-plotly-plot .trace")
        assert page.evaluate(lines) == ["A: a0", "B: b0"]  # two are one against the other
        page.wait_for_selector("text=Not enough runs to show anything.")
        page.click("tr:has(th:has-text('b0')) >> text=to A")
        page.wait_for_selector("text=Move some of the runs to the other group")
        query = urlencode([(name[0], key(folder, name)) for name in ("a0", "a1", "a2", "a3", "b0", "b1", "b2", "b3")])
        page.goto(f"{server.url}?{query}")
        page.wait_for_selector("text=/B is worse in .*final_loss/")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_overflows_and_text_is_legible(opened: Open, folder: Path, scheme: str) -> None:
    with opened(of(folder, "first"), scheme=scheme) as watched:
        page = watched.page
        drawn(page, "loss")
        paper = "() => getComputedStyle(document.querySelector('.main-svg')).backgroundColor"
        assert page.evaluate(paper) == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 24, 29)"}[scheme]
        for view, shown in (("Course", ".trace"), ("Alerts", "td"), ("Details", "section:has-text('not measured')")):
            page.click(f".view:has-text('{view}')")
            page.wait_for_selector(shown)
            for width in (1600, 390):
                page.set_viewport_size({"width": width, "height": 1000})
                eventually(lambda: watched.overflow() == [])  # a moment after a change: figures follow the window
                assert page.evaluate(_FAINT) == []


def test_the_figures_follow_when_the_scheme_changes(opened: Open, folder: Path) -> None:
    with opened(of(folder, "first"), scheme="light") as watched:
        drawn(watched.page, "loss")
        watched.page.emulate_media(color_scheme="dark")
        paper = "() => document.querySelector('.js-plotly-plot').layout.template.layout.paper_bgcolor"
        eventually(lambda: watched.page.evaluate(paper) == "#14181d")


def test_a_narrow_window_shows_the_list_or_the_run(opened: Open, folder: Path) -> None:
    with opened(width=390) as watched:
        page = watched.page
        page.click(".listed .run:has-text('first')")
        drawn(page, "loss")
        assert not page.is_visible(".listed")
        page.click("text=All runs")
        page.wait_for_selector(".listed", state="visible")


def answer(server: LiveServer, path: str, host: str | None = None) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        connection.request("GET", path, headers={} if host is None else {"Host": host})
        response = connection.getresponse()
        response.read()
        return response
    finally:
        connection.close()


def test_a_foreign_name_that_points_here_is_refused(server: LiveServer) -> None:
    for host in ("evil.example", "evil.example:8050", "127.0.0.1.evil.example", ""):
        assert answer(server, "/_dash-layout", host).status == 403
    for host in ("localhost", f"127.0.0.1:{server.port}", "[::1]:80"):
        assert answer(server, "/_dash-layout", host).status == 200


def test_one_who_does_not_end_a_question_is_hung_up_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quantum_monitor.views.live.server._SECONDS_OF_SILENCE", 0.1)
    with serving(tmp_path) as server, socket.create_connection(("127.0.0.1", server.port), timeout=60) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        assert slow.recv(1) == b""


def test_browsers_are_told_to_allow_nothing_else(server: LiveServer) -> None:
    response = answer(server, "/")
    policy = response.getheader("Content-Security-Policy") or ""
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert not re.search(r"script-src [^;]*'unsafe", policy)
    assert response.getheader("X-Content-Type-Options") == "nosniff"
    assert response.getheader("Referrer-Policy") == "no-referrer"
    assert response.getheader("Server") == "quantum-monitor"


def test_no_file_is_served_but_pictures_of_circuits_that_the_list_knows(server: LiveServer, folder: Path) -> None:
    good = {"run": key(folder, "bell"), "number": "1"}
    assert answer(server, f"/circuit?{urlencode(good)}").getheader("Content-Type", "").startswith("image/svg+xml")
    for bad in (
        {"run": "../" + good["run"]},
        {"run": str(folder / good["run"])},
        {"number": "2"},
        {"number": "-1"},
        {"number": "x"},
    ):
        assert answer(server, f"/circuit?{urlencode({**good, **bad})}").status == 404


# Texts whose contrast with what is behind them is under 4.5, the least for text of this size.
_FAINT = """() => {
  const light = c => { const v = c / 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4 };
  const read = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const luminance = ([r, g, b]) => 0.2126 * light(r) + 0.7152 * light(g) + 0.0722 * light(b);
  const behind = element => { for (let e = element; e; e = e.parentElement) {
    const c = read(getComputedStyle(e).backgroundColor);
    if (c.length === 3 || c[3] > 0) return c } return [255, 255, 255] };
  const found = [];
  for (const element of document.querySelectorAll('#app *')) {
    const own = [...element.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own || element.closest('svg') || !element.checkVisibility() || element.disabled) continue;
    const [a, b] = [luminance(read(getComputedStyle(element).color)), luminance(behind(element))].sort((p, q) => q - p);
    if ((a + 0.05) / (b + 0.05) < 4.5) found.push(element.className + ': ' + element.textContent.slice(0, 30));
  }
  return found;
}"""
