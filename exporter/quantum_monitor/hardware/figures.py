"""The figure of a profile: heavy-output probabilities by width, against the line that a pass has to clear."""

from __future__ import annotations

from typing import Any

from quantum_monitor.hardware.profile import HardwareProfile, WidthResult
from quantum_monitor.physics.volume import THRESHOLD
from quantum_monitor.views import theme as looks


def heavy_output_figure(profile: HardwareProfile, theme: looks.Theme = "light") -> Any | None:
    """Heavy-output probability by width: a point a circuit, a box, the mean with its two-sigma bar, and the verdict.

    Args:
        profile: what was measured.
        theme: ``light`` or ``dark``.

    Returns:
        A ``plotly.graph_objects.Figure``; None where no width was measured.

    Raises:
        MissingExtraError: plotly is not installed.
    """
    go = looks.graph_objects()
    if not profile.widths:
        return None
    widths = [result.width for result in profile.widths]
    ends = [widths[0] - 0.6, widths[-1] + 0.6]
    figure = go.Figure(layout={"template": looks.template(theme)})
    figure.add_traces([_boxes(go, profile), _means(go, profile, theme), _ideal(go, profile), _line(go, ends, theme)])
    volume = "not measured" if profile.volume is None else str(profile.volume)
    ticks = [f"{result.width}<br>{_verdict(result)}" for result in profile.widths]
    figure.update_layout(
        title={"text": f"Quantum volume: {volume}<br><sub>{looks.label(profile.backend, 40)}</sub>", "y": 0.95}
        | {"yref": "container", "yanchor": "top"},
        xaxis={"title": {"text": "width (qubits, and layers)"}, "tickvals": widths, "ticktext": ticks, "range": ends},
        yaxis={"title": {"text": "heavy-output probability"}, "range": _range(profile)},
        hovermode="closest",
        legend={"yref": "container", "y": 0.01, "yanchor": "bottom"},  # below: it grows where there is little width
        margin={"t": 80},
        height=420,
    )
    return figure


def _boxes(go: Any, profile: HardwareProfile) -> Any:
    points = [(result.width, value) for result in profile.widths for value in result.probabilities]
    return go.Box(
        x=[width for width, _ in points],
        y=[value for _, value in points],
        name="one circuit",
        width=0.4,
        boxpoints="all",
        jitter=0.6,
        pointpos=-1.6,
        marker={"size": 4, "opacity": 0.55},
    )


def _means(go: Any, profile: HardwareProfile, theme: looks.Theme) -> Any:
    tests = [result.test for result in profile.widths]
    return go.Scatter(
        x=[result.width for result in profile.widths],
        y=[test.mean for test in tests],
        error_y={"type": "data", "array": [2 * test.sigma for test in tests], "thickness": 2.5, "width": 8},
        mode="markers",
        marker={"symbol": "diamond", "size": 10, "color": looks.ink(theme)},
        name="mean, two sigma",
    )


def _ideal(go: Any, profile: HardwareProfile) -> Any:
    return go.Scatter(
        x=[result.width for result in profile.widths],
        y=[result.ideal for result in profile.widths],
        mode="markers",
        marker={"symbol": "line-ew-open", "size": 18, "line": {"width": 3}},
        name="these circuits without errors",
    )


def _line(go: Any, ends: list[float], theme: looks.Theme) -> Any:
    line = {"dash": "dash", "width": 1.5, "color": looks.ink(theme)}
    return go.Scatter(x=ends, y=[THRESHOLD, THRESHOLD], mode="lines", line=line, name="2/3", hoverinfo="name+y")


def _verdict(result: WidthResult) -> str:
    few = result.verdict == "too few circuits"
    return f"{result.test.circuits} circuits,<br>too few" if few else result.verdict


def _range(profile: HardwareProfile) -> list[float]:
    lowest = min(min(*result.probabilities, result.test.lower_bound) for result in profile.widths)
    highest = max(result.test.mean + 2 * result.test.sigma for result in profile.widths)
    return [max(-0.02, min(lowest, THRESHOLD) - 0.05), max(1.0, highest) + 0.02]
