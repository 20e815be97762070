"""QuantumVisualization: each figure comes back, is written where asked, and says what is wrong with what it got."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from quantum_monitor import QuantumMonitor
from quantum_monitor.extras import MissingExtraError
from quantum_monitor.store.reader import StoredRun
from quantum_monitor.views.pages import figure_box, interactive_page
from quantum_monitor.views.visualization import QuantumVisualization as Draw
from tests.browser import page_of

NewMonitor = Callable[..., QuantumMonitor]
LOSSES = [1.0, 0.5, 0.25, 0.125]
BELL = np.array([1, 0, 0, 1]) / np.sqrt(2)
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def monitor(new_monitor: NewMonitor) -> QuantumMonitor:
    """One that has finished a run of four steps."""
    made = new_monitor(HOSTILE)
    with made.start_run(HOSTILE):
        for step, loss in enumerate(LOSSES):
            made.log_training_step(loss, [3.0 * loss, 4.0 * loss], [0.1], step)
            made.log_quantum_state([math.cos(step), math.sin(step)], step, reference_state=[1, 0])
            made.log_circuit_execution(
                {"depth": 3}, 0.5 + step, queue_time=2.0, cost=0.25, backend_info={"name": HOSTILE}
            )
    return made


def values(figure: Any, name: str) -> list[float]:
    (trace,) = [trace for trace in figure.data if trace.name == name]
    return [float(value) for value in trace.y]


def test_a_run_is_drawn_from_its_monitor_its_directory_or_its_store(monitor: QuantumMonitor) -> None:
    assert monitor.run_path is not None
    for run in (monitor, monitor.run_path, str(monitor.run_path), StoredRun(monitor.run_path)):
        assert values(Draw.plot_training(run), "loss") == LOSSES


def test_the_figures_of_a_run_hold_what_was_logged(monitor: QuantumMonitor) -> None:
    assert values(Draw.plot_gradients(monitor), "norm") == pytest.approx([5 * loss for loss in LOSSES])
    assert values(Draw.plot_fidelity(monitor), "fidelity") == pytest.approx([math.cos(step) ** 2 for step in range(4)])
    drawn = [[float(y) for y in trace.y] for trace in Draw.plot_times(monitor).data]
    assert [0.5, 1.5, 2.5, 3.5] in drawn
    assert [2.0, 2.0, 2.0, 2.0] in drawn
    assert [float(y) for y in Draw.plot_cost(monitor).data[0].y][-1] == pytest.approx(1.0)


def test_the_states_of_a_run_are_drawn_over_its_steps(monitor: QuantumMonitor) -> None:
    assert monitor.run_path is not None
    for run in (monitor, monitor.run_path, StoredRun(monitor.run_path)):
        drawn = Draw.plot_state_evolution(run).data[0]
        assert list(drawn.x) == [0, 1, 2, 3]
        np.testing.assert_allclose(drawn.z[0], [math.cos(step) ** 2 for step in range(4)], atol=1e-7)


def test_states_of_other_sizes_than_the_last_are_left_out_and_that_is_said(new_monitor: NewMonitor) -> None:
    monitor = new_monitor()
    with monitor.start_run():
        monitor.log_quantum_state([1, 0], 0)
        monitor.log_quantum_state(BELL, 1)
        monitor.log_quantum_state(BELL, 2)
    figure = Draw.plot_state_evolution(monitor)
    assert list(figure.data[0].x) == [1, 2]
    assert "Left out: 1 of 3 states, of other sizes." in figure.layout.annotations[0].text


def test_nothing_of_what_was_never_logged_is_drawn(new_monitor: NewMonitor) -> None:
    monitor = new_monitor()
    with pytest.raises(ValueError, match=r"no run yet; start_run\(\)"):
        Draw.plot_training(monitor)
    with monitor.start_run():
        pass
    for draw in (Draw.plot_training, Draw.plot_gradients, Draw.plot_fidelity, Draw.plot_times, Draw.plot_cost):
        with pytest.raises(ValueError, match="nothing of it was logged"):
            draw(monitor)
    with pytest.raises(ValueError, match="keeps no states"):
        Draw.plot_state_evolution(monitor)
    with pytest.raises(FileNotFoundError, match="give the directory of a run"):
        Draw.plot_training("nowhere")


@pytest.mark.parametrize("numbers", [LOSSES, tuple(LOSSES), np.array(LOSSES, dtype=np.float32), iter(LOSSES)])
def test_plain_numbers_are_a_course_over_steps(numbers: Any) -> None:
    figure = Draw.plot_training(numbers)
    assert values(figure, "loss") == LOSSES
    assert list(figure.data[0].x) == [0, 1, 2, 3]


def test_plain_numbers_may_be_broken_and_many() -> None:
    figure = Draw.plot_fidelity([0.5, math.nan, 0.75])
    assert "NaN or infinite" in {trace.name for trace in figure.data}
    losses = np.ones(10_000)
    losses[1_234] = 99.0
    assert max(values(Draw.plot_training(losses), "loss")) == 99.0


@pytest.mark.parametrize("wrong", [[], [[1.0, 2.0]], [1j], ["a"], 3, {"loss": 1.0}])
def test_what_is_neither_a_run_nor_numbers_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="data"):
        Draw.plot_training(wrong)


def test_times_and_costs_take_a_run() -> None:
    for draw in (Draw.plot_times, Draw.plot_cost):
        with pytest.raises(ValueError, match="list is no run"):
            draw([1.0])


@pytest.mark.parametrize("path", ["a.pdf", "a", "a.html.gz", Path("b.jpeg")])
def test_another_ending_is_refused_before_any_work(path: Any, tmp_path: Path) -> None:
    calls: list[Callable[[Any, Any], Any]] = [
        Draw.plot_bloch_sphere,
        Draw.plot_state,
        Draw.plot_amplitudes,
        Draw.plot_density_matrix,
        Draw.plot_entanglement,
        Draw.plot_state_evolution,
        Draw.plot_circuit,
        Draw.plot_training,
        Draw.plot_cost,
    ]
    for draw in calls:
        with pytest.raises(ValueError, match="save_path: "):  # and not for the state, which is none
            draw(object(), path)
    assert not list(tmp_path.iterdir())


def test_a_circuit_is_drawn() -> None:
    figure = Draw.plot_circuit({"depth": 3, "qubits": 2}, name=HOSTILE)
    assert "<img" not in figure.to_json().replace("\\u003c", "<")


def test_the_ending_decides_the_format_and_the_figure_comes_back(tmp_path: Path) -> None:
    figure = Draw.plot_amplitudes(BELL, tmp_path / "bell.HTML")  # images: test_export_of_figures
    assert figure.data[0].y[0] == pytest.approx(0.5)
    assert (tmp_path / "bell.HTML").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_the_slider_of_a_saved_page_shows_the_state_of_its_step(chromium: Any, tmp_path: Path) -> None:
    path = tmp_path / "evolution.html"
    Draw.plot_state_evolution({7 * step: [math.cos(step), math.sin(step)] for step in range(4)}, path)
    with page_of(chromium, path.as_uri(), width=390) as watched:
        shown = "document.querySelector('.js-plotly-plot')"
        for scheme, notch, step in (("light", 0, 0), ("dark", 1, 3)):
            watched.page.emulate_media(color_scheme=scheme)
            watched.page.wait_for_selector(f"html[data-drawn={scheme}]")
            # What a reader's hand on the slider does, through plotly's own slider: its first notch and its last.
            rail = watched.page.locator(".slider-rail-touch-rect").bounding_box()
            place = rail["x"] + 8 + notch * (rail["width"] - 16)
            watched.page.mouse.click(place, rail["y"] + rail["height"] / 2)
            watched.page.wait_for_function(f"Math.abs({shown}.data[1].y[0] - {math.cos(step) ** 2}) < 1e-6")
            assert watched.page.evaluate(f"{shown}.layout.shapes[0].x0") == 7 * step
            assert not watched.overflow()
        assert (watched.complaints, watched.foreign) == ([], [])


_TEXTS = """() => [...document.querySelectorAll('.drawing')].map((drawing) => {
  const room = drawing.getBoundingClientRect();
  const texts = '.annotation-text, .infolayer text[class*="title"], .xaxislayer-above text';
  return [...drawing.querySelectorAll(texts)].map((each) => {
    const {left, right, top, bottom} = each.getBoundingClientRect();
    return {words: each.textContent, left, right, top, bottom, cut: right > room.right + 1 || left < room.left - 1,
      names: each.closest('.xaxislayer-above') !== null};
  });
})"""


def test_on_a_phone_no_text_of_a_state_covers_another_or_is_cut_off(chromium: Any, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    many, more = (random.normal(size=2**n) + 1j * random.normal(size=2**n) for n in (12, 14))
    figures = [Draw.plot_state(many), Draw.plot_amplitudes(more), Draw.plot_state_evolution([many, many])]
    path = tmp_path / "states.html"
    path.write_text(interactive_page("states", [figure_box(each, title="state") for each in figures]), "utf-8")
    said: list[str] = []
    with page_of(chromium, path.as_uri(), width=390) as watched:
        watched.page.wait_for_selector("html[data-drawn=light]")
        watched.page.on("console", lambda message: said.append(message.text))
        watched.page.evaluate("Promise.all([...document.querySelectorAll('.js-plotly-plot')].map(Plotly.redraw))")
        for texts in watched.page.evaluate(_TEXTS):
            assert len(texts) > 5
            assert [text["words"] for text in texts if text["cut"]] == []
            covered = [
                (one["words"], other["words"])
                for at, one in enumerate(texts)
                for other in texts[:at]
                if not (one["names"] and other["names"])
                and min(one["right"], other["right"]) > max(one["left"], other["left"])
                and min(one["bottom"], other["bottom"]) > max(one["top"], other["top"]) + 2
            ]
            assert not covered
    assert not [words for words in said if "WARN" in words]  # plotly's, of numbers as the colours of bars


def test_spheres_are_drawn_in_a_browser(chromium: Any, tmp_path: Path) -> None:
    path = tmp_path / "bloch.html"
    Draw.plot_bloch_sphere(BELL, path)
    with page_of(chromium, path.as_uri(), width=390) as watched:
        watched.page.wait_for_selector("html[data-drawn]", timeout=60_000)
        scenes = [scene.bounding_box() for scene in watched.page.locator(".gl-container > div").all()]
        assert len(scenes) == 2
        assert all(scene["width"] > 250 for scene in scenes)  # in less, a sphere loses its sides
        assert watched.complaints == []


WITHOUT_PLOTLY = """
import sys
sys.modules["plotly"] = None
from quantum_monitor.extras import MissingExtraError
from quantum_monitor.views.pages import figure_box, interactive_page
from quantum_monitor.views.visualization import QuantumVisualization as Draw
for draw in (Draw.plot_bloch_sphere, Draw.plot_state, Draw.plot_amplitudes, Draw.plot_density_matrix,
             Draw.plot_entanglement, Draw.plot_circuit, lambda state: Draw.plot_state_evolution([state]),
             lambda state: Draw.plot_training([1.0])):
    try:
        draw([1, 0, 0, 1] if draw is not Draw.plot_circuit else {"depth": 1})
    except MissingExtraError as error:
        assert "pip install 'quantum-monitor[views]'" in str(error), error
    else:
        raise SystemExit(f"{draw} needs no plotly")
"""


def test_without_plotly_every_figure_says_what_to_install() -> None:
    assert issubclass(MissingExtraError, ImportError)
    subprocess.run([sys.executable, "-c", WITHOUT_PLOTLY], check=True, timeout=120)


def test_a_monitor_is_drawn_with_all_that_it_was_told(tmp_path: Path) -> None:
    monitor = QuantumMonitor("h2", storage_path=tmp_path, metrics_port=None, registry=CollectorRegistry())
    with monitor:
        for step in range(50):
            monitor.log_training_step(1.0 / (step + 1), None, None, step)
        figure = Draw.plot_training(monitor)
    monitor.close()
    assert [len(trace.y) for trace in figure.data if trace.name == "loss"] == [50]
