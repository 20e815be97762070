"""Figures of the user's own: drawn like ours, whatever they are made with, and harmless where they fail."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import plotly.graph_objects as go
import pytest

from quantum_monitor import plugins
from quantum_monitor.faults import FAULTS
from quantum_monitor.plugins import FIGURES, figure, state_metric, unregister
from quantum_monitor.record import Record
from quantum_monitor.store.reader import StoredRun
from quantum_monitor.store.writer import RunStore
from quantum_monitor.views import own, theme
from quantum_monitor.views.pages import figure_box

mpl.use("svg")
import matplotlib.pyplot as plt


@pytest.fixture(autouse=True)
def _forgets_its_figures() -> Iterator[None]:
    yield
    for plugin in tuple(FIGURES):
        unregister(plugin.name)


@pytest.fixture
def run(tmp_path: Path) -> StoredRun:
    store = RunStore(tmp_path / "run", {"experiment": "h2", "run_id": "1"})
    for step in range(4):
        store.put(Record("custom", 1_700_000_000.0 + step, step, {"energy": -1.0 - step / 10}))
    assert store.close(20)
    return StoredRun(tmp_path / "run")


def drawn(run: StoredRun) -> dict[str, Any]:
    return dict(own.figures(run))


def test_a_function_draws_the_run_that_it_is_given(run: StoredRun) -> None:
    @figure("Energy")
    def energy(run: StoredRun) -> go.Figure:
        series = run.series("energy")
        return go.Figure(go.Scatter(x=series.step, y=series.value))

    found = drawn(run)
    assert list(found) == ["Energy"]
    np.testing.assert_allclose(found["Energy"].data[0].y, [-1.0, -1.1, -1.2, -1.3])


def test_what_has_nothing_to_draw_is_left_out(run: StoredRun) -> None:
    @figure()
    def nothing(_run: StoredRun) -> None:
        return None

    assert drawn(run) == {}


def test_a_figure_without_a_template_of_its_own_gets_ours_and_the_users_stays_as_it_was(run: StoredRun) -> None:
    plain, chosen = go.Figure(go.Scatter(y=[1])), go.Figure(go.Scatter(y=[1]), layout={"template": "ggplot2"})
    figure("plain")(lambda _: plain)
    figure("chosen")(lambda _: chosen)
    found = drawn(run)
    assert found["plain"].layout.template == theme.template()
    assert found["chosen"].layout.template == chosen.layout.template
    assert plain.layout.template != theme.template()
    assert '"ours":true' in figure_box(found["plain"], title="")


def test_a_matplotlib_figure_is_a_drawing_and_is_closed(run: StoredRun) -> None:
    @figure()
    def diagram(_run: StoredRun) -> Any:
        made, axes = plt.subplots()
        axes.plot([1, 2, 3])
        return made

    svg = drawn(run)["diagram"]
    assert isinstance(svg, str)
    assert "<svg" in svg
    assert "</svg>" in svg
    assert plt.get_fignums() == []


def test_a_matplotlib_figure_of_very_many_points_becomes_pixels(run: StoredRun) -> None:
    @figure()
    def cloud(_run: StoredRun) -> Any:
        made, axes = plt.subplots()
        axes.scatter(*np.random.default_rng(0).random((2, 30_000)))
        return made

    svg = drawn(run)["cloud"]
    assert "data:image/png;base64," in svg
    assert len(svg) < 2**20


def test_one_that_fails_is_a_sentence_is_counted_and_called_again(run: StoredRun) -> None:
    calls = []

    @figure("<b>broken</b>")
    def broken(_run: StoredRun) -> None:
        calls.append(1)
        raise ValueError("no <img src=x onerror=alert(1)> here")

    figure("after it")(lambda _: go.Figure(go.Scatter(y=[1])))
    before = FAULTS.errors["plugin:<b>broken</b>"]
    for _ in range(12):
        found = drawn(run)
    assert list(found) == ["<b>broken</b>", "after it"]
    (note,) = found["<b>broken</b>"].layout.annotations
    assert note.text.replace("<br>", " ").startswith("This figure could not be drawn: ValueError: no &lt;img src=x")
    assert "<img" not in note.text
    assert len(calls) == 12
    assert FAULTS.errors["plugin:<b>broken</b>"] - before == 12


def test_a_secret_in_the_cause_is_hidden_wherever_the_line_breaks(run: StoredRun) -> None:
    @figure()
    def broken(_run: StoredRun) -> None:
        raise ValueError("password: SECRET")  # the line breaks between the two

    (note,) = drawn(run)["broken"].layout.annotations
    assert note.text.replace("<br>", " ").endswith("ValueError: password: (hidden)")


def test_anything_but_a_figure_is_told_with_the_mend(run: StoredRun) -> None:
    figure("number")(lambda _: 7)
    (note,) = drawn(run)["number"].layout.annotations
    assert note.text.replace("<br>", " ").endswith("returned int; return a plotly figure, a matplotlib figure or None")


def test_a_later_function_of_a_name_replaces_the_earlier_and_a_metric_of_it_stays(run: StoredRun) -> None:
    state_metric("energy")(lambda _: 1.0)
    figure("energy")(lambda _: go.Figure(go.Scatter(y=[1])))
    figure("energy")(lambda _: go.Figure(go.Scatter(y=[2])))
    assert drawn(run)["energy"].data[0].y == (2,)
    assert plugins.evaluate("state", np.array([1.0, 0.0])) == {"energy": 1.0}
    unregister("energy")
    assert drawn(run) == {}
    assert plugins.evaluate("state", np.array([1.0, 0.0])) == {}
    with pytest.raises(KeyError):
        unregister("energy")


def test_a_decorator_without_parentheses_is_told_so() -> None:
    with pytest.raises(TypeError, match=r"write @figure\(\) with parentheses"):
        figure(lambda _: None)  # type: ignore[arg-type]


def test_an_installed_package_brings_figures_by_its_entry_point(tmp_path: Path, run: StoredRun) -> None:
    info = tmp_path / "figures_example-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: figures-example\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[quantum_monitor.figures]\nexample = figures_example\n")
    (tmp_path / "figures_example.py").write_text(
        "from quantum_monitor.plugins import figure\n"
        "import plotly.graph_objects as go\n"
        "@figure('from a package')\ndef drawn(run):\n    return go.Figure(go.Scatter(y=run.series('energy').value))\n"
    )
    program = (
        "import sys\nfrom quantum_monitor.store.reader import StoredRun\nfrom quantum_monitor.views import own\n"
        "for name, drawn in own.figures(StoredRun(sys.argv[1])): print(name, len(drawn.data[0].y))"
    )
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), os.environ.get("PYTHONPATH", "")))}
    done = subprocess.run([sys.executable, "-c", program, str(run.directory)], env=environ, capture_output=True,
                          text=True, timeout=120, check=False)  # fmt: skip
    assert done.stdout == "from a package 4\n", done.stderr
