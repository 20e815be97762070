"""The panels: what is drawn is what was logged, nothing that was not measured is drawn, and names are text."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantum_monitor.record import Record
from quantum_monitor.store.reader import StoredRun
from quantum_monitor.store.writer import RunStore
from quantum_monitor.views.observed import Curve, Observed, observe
from quantum_monitor.views.panel_series import Merged, Thinned, Trace, moments, points
from quantum_monitor.views.panel_timelines import firings
from quantum_monitor.views.panels import PANELS, panel_figure, panel_note

BEGIN = 1_700_000_000.0
HOSTILE = "<img src=x onerror=alert(1)>"
PANEL = {panel.key: panel for panel in PANELS}
Observing = Callable[[Iterable[Record]], Observed]


@pytest.fixture
def observing(tmp_path: Path) -> Observing:
    """What a run amounts to that has these records."""

    def write(records: Iterable[Record]) -> Observed:
        store = RunStore(tmp_path / "run", {"experiment": "h2", "run_id": "1", "start_time": BEGIN})
        for record in records:
            store.put(record)
        assert store.close(20)
        return observe(StoredRun(tmp_path / "run"))

    return write


def losses(*values: float, field: str = "loss") -> list[Record]:
    return [Record("training", BEGIN + step, step, {field: value}) for step, value in enumerate(values)]


def cost(at: float, amount: float, **labels: str) -> Record:
    known = {"backend": "b", "status": "success", "currency": "USD", "cost_kind": "reported", **labels}
    return Record("circuit", BEGIN + at, None, {"cost": amount}, known)


def alert(at: float, name: str, *, firing: bool, severity: str = "critical", step: int | None = None) -> Record:
    fields = {"alert_value": 12.5, "alert_threshold": 10.0, "alert_firing": float(firing)}
    return Record("alert", BEGIN + at, step, fields, {"alert": name, "severity": severity})


def lines(figure: Any) -> dict[str, Any]:
    return {trace.name: trace for trace in figure.data}


def curve_of(values: list[float], spans_at_most: int = 1000) -> Curve:
    curve = Curve(spans_at_most)
    steps = np.arange(float(len(values)))
    curve.take(BEGIN + steps, steps, np.array(values))
    return curve


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.key)
def test_nothing_is_drawn_of_what_was_not_recorded(panel: Any, observing: Observing) -> None:
    assert panel_figure(panel, observing([])) is None
    assert panel_note(panel, Observed()) == ""


def test_one_step_is_a_mark_at_its_value(observing: Observing) -> None:
    drawn = panel_figure(PANEL["loss"], observing(losses(-1.125)))
    (line,) = drawn.data
    assert (list(line.x), list(line.y), line.mode) == ([0.0], [-1.125], "lines+markers")
    assert drawn.layout.xaxis.title.text == "Step"


def test_a_spike_among_ten_thousand_steps_is_drawn_also_where_lines_are_thinned(observing: Observing) -> None:
    values = [1.0] * 10_000
    values[7_123], values[7_125] = 50.0, -50.0
    observed = observing(losses(*values))
    for spans in (None, 400):
        (line,) = panel_figure(PANEL["loss"], observed, spans=spans).data
        assert (line.y.max(), line.y.min()) == (50.0, -50.0)
        assert abs(line.x[line.y.argmax()] - 7_123) <= 10_000 / (spans or 500)
        assert len(line.x) <= 2 * (spans or 1_000)


@settings(max_examples=60)
@given(
    values=st.lists(st.floats(-1e6, 1e6) | st.just(math.nan) | st.just(math.inf), min_size=1, max_size=200),
    spans=st.integers(1, 40),
    fewer=st.integers(1, 40),
)
def test_what_is_drawn_has_the_extremes_of_what_was_logged(values: list[float], spans: int, fewer: int) -> None:
    finite = [value for value in values if math.isfinite(value)]
    curve = curve_of(values, spans)
    for course in (curve, Thinned(curve, fewer)):
        _, y = points(Trace("k", "n", course))
        drawn = y[np.isfinite(y)]
        assert len(drawn) > 0 or not finite
        if finite:
            assert (drawn.min(), drawn.max()) == (min(finite), max(finite))
        assert course.line.broken.any() == (len(finite) < len(values))


def test_a_page_that_adds_the_spans_it_has_not_drawn_has_the_whole_line() -> None:
    values = [math.sin(number) for number in range(300)]
    for spans, how in ((1000, "extremes"), (100, "extremes"), (100, "mean"), (100, "sum")):
        trace = Trace("k", "n", curve_of(values, spans), how)  # type: ignore[arg-type]  # the words of its type
        whole, begun, rest = points(trace), points(trace), points(trace, 17)
        at = 34 if how == "extremes" and trace.curve.span > 1 else 17
        for place in (0, 1):
            np.testing.assert_array_equal(np.concatenate((begun[place][:at], rest[place])), whole[place])


def test_nan_is_a_gap_with_a_cross_that_says_so(observing: Observing) -> None:
    observed = observing(losses(1.0, math.nan, 3.0, math.inf, 5.0))
    drawn = lines(panel_figure(PANEL["loss"], observed))
    assert np.isnan(drawn["loss"].y).tolist() == [False, True, False, True, False]
    crosses = drawn["NaN or infinite"]
    assert list(crosses.x) == [1.0, 3.0]
    assert set(crosses.hovertext) == {"loss: NaN or infinite"}
    assert panel_note(PANEL["loss"], observed) == "2 values are NaN or infinite: the crosses at the foot."


def test_a_value_between_two_gaps_is_seen_in_a_long_line(observing: Observing) -> None:
    values = [1.0] * 200
    values[99], values[101] = math.nan, math.nan
    drawn = lines(panel_figure(PANEL["loss"], observing(losses(*values))))["loss"]
    assert drawn.mode == "lines+markers"
    assert np.flatnonzero(drawn.marker.size).tolist() == [100]


@pytest.mark.parametrize(
    ("values", "kind"),
    [((1.0, 100.0), "log"), ((0.0, *[1.0] * 9, 100.0), "log"), ((0.0, 100.0), None), ((-1.0, 100.0), None),
     ((1.0, 2.0), None), ((math.nan,), None)],
)  # fmt: skip
def test_an_axis_is_logarithmic_where_values_are_positive_but_for_a_few_zeros(
    values: tuple[float, ...], kind: str | None, observing: Observing
) -> None:
    drawn = panel_figure(PANEL["gradient_norm"], observing(losses(*values, field="gradient_norm")))
    assert drawn.layout.yaxis.type == kind


def test_zeros_that_a_logarithmic_axis_cannot_show_are_told(observing: Observing) -> None:
    variances = [0.0, *(10.0**-n for n in range(15)), 1e6]
    observed = observing(losses(*variances, field="gradient_variance"))
    assert panel_figure(PANEL["gradient_variance"], observed).layout.yaxis.type == "log"
    told = "Values of 0 have no place on the logarithmic axis: gaps."
    assert panel_note(PANEL["gradient_variance"], observed, spans=5) == (
        f"Drawn through the lowest and the highest of every 4 values or less. {told}"
    )
    few = observing(losses(0.0, 100.0, field="gradient_norm"))
    assert panel_note(PANEL["gradient_norm"], few) == ""


@pytest.mark.parametrize("spans", [None, 5])
def test_zeros_are_gaps_on_a_logarithmic_axis_and_points_on_another(spans: int | None, observing: Observing) -> None:
    variances = [0.0, *(10.0**-n for n in range(15)), 1e6]
    observed = observing([*losses(*variances, field="gradient_variance"), *losses(0.0, 100.0, field="gradient_norm")])
    (line,) = panel_figure(PANEL["gradient_variance"], observed, spans=spans).data
    assert np.flatnonzero(np.isnan(line.y)).tolist() == [0]
    (trace,) = PANEL["gradient_variance"].traces(observed)
    assert np.isnan(points(trace)[1]).tolist() == [True] + [False] * 16  # as the live page adds them
    (line,) = panel_figure(PANEL["gradient_norm"], observed).data
    assert list(line.y) == [0.0, 100.0]


def test_a_logarithmic_axis_of_many_decades_has_few_ticks(observing: Observing) -> None:
    def tick(lowest: float) -> Any:
        values = losses(1.0, lowest, field="gradient_norm")
        return panel_figure(PANEL["gradient_norm"], observing(values)).layout.yaxis.dtick

    assert [tick(lowest) for lowest in (0.01, 1e-5, 1e-30, 1e-300)] == ["D2", 1, 5, 50]


@pytest.mark.parametrize("value", [0.01, -1e-6])
def test_a_small_constant_is_not_drawn_as_0(value: float, observing: Observing) -> None:
    axis = panel_figure(PANEL["loss"], observing(losses(value, value))).layout.yaxis
    assert (axis.rangemode, axis.autorangeoptions.include) == ("tozero", (2 * value,))
    assert panel_figure(PANEL["loss"], observing(losses(value, 1.0))).layout.yaxis.rangemode is None


def test_a_line_by_itself_is_named_unless_the_title_names_it(observing: Observing) -> None:
    drawn = panel_figure(PANEL["cost"], observing([cost(0, 0.5, currency="EUR", cost_kind="estimated")]))
    assert (drawn.data[0].name, drawn.layout.showlegend) == ("EUR, estimated", True)
    drawn = panel_figure(PANEL["gradient_variance"], observing(losses(1.0, field="gradient_component_variance")))
    assert (drawn.data[0].name, drawn.layout.showlegend) == ("across the components", True)
    assert not panel_figure(PANEL["loss"], observing(losses(1.0))).layout.showlegend


def test_executions_on_several_backends_are_dots(observing: Observing) -> None:
    def modes(*backends: str) -> set[str]:
        labels = ({"backend": backends[n % len(backends)], "status": "success"} for n in range(200))
        records = [Record("circuit", BEGIN + n, None, {"depth": 1.0 + n % 9}, known) for n, known in enumerate(labels)]
        return {line.mode for line in panel_figure(PANEL["depth"], observing(records)).data}

    assert modes("fez") == {"lines"}
    assert modes("fez", "aria") == {"markers"}


def test_rows_that_a_timeline_leaves_out_are_told(observing: Observing) -> None:
    def note(rows: int) -> tuple[str, str]:
        up = [Record("backend", BEGIN, None, {"up": 1.0}, {"backend": f"b{n}"}) for n in range(rows)]
        observed = observing([*up, *(alert(n, f"a{n}", firing=True) for n in range(rows))])
        return panel_note(PANEL["availability"], observed), panel_note(PANEL["alerts"], observed)

    assert note(20) == ("", "")
    assert note(25) == (
        "The first 20; the others are in the store.",
        "The 20 that fired last; 5 more are in the store.",
    )


def test_steps_that_go_back_are_drawn_by_number_and_the_axis_says_so(observing: Observing) -> None:
    records = [Record("training", BEGIN + n, step, {"loss": float(n)}) for n, step in enumerate((5, 6, 2))]
    drawn = panel_figure(PANEL["loss"], observing([*records, alert(1, "loss_not_finite", firing=True, step=6)]))
    assert list(drawn.data[0].x) == [0.0, 1.0, 2.0]
    assert drawn.layout.xaxis.title.text == "Number of the value"
    assert len(drawn.data) == 1  # the step of the alert would be a wrong place


def test_statuses_of_a_backend_are_one_line_in_the_order_of_time(observing: Observing) -> None:
    records = [
        Record("circuit", BEGIN + n, None, {"execution_time": float(n)}, {"backend": "fez", "status": status})
        for n, status in enumerate(("success", "failed", "success", "failed"))
    ]
    (line,) = panel_figure(PANEL["times"], observing(records)).data
    assert (line.name, list(line.y)) == ("execution: fez", [0.0, 1.0, 2.0, 3.0])
    assert line.x[2] == np.datetime64("2023-11-14T22:13:22.000")


def test_merged_lines_of_long_spans_claim_no_span_to_be_complete() -> None:
    short, long = curve_of([1.0] * 10), curve_of([2.0] * 50, 10)
    assert Merged([short, short]).span == 1
    merged = Merged([short, long])
    assert (merged.seen, merged.seen // merged.span) == (60, 0)
    assert merged.line.total.sum() == 110.0


def test_cost_is_summed_by_currency_and_kind(observing: Observing) -> None:
    records = [cost(0, 1.5), cost(1, 2.0, backend="other"), cost(2, 4.0, cost_kind="estimated"),
               cost(3, 8.0, currency="EUR"), cost(4, 0.5, status="failed")]  # fmt: skip
    drawn = lines(panel_figure(PANEL["cost"], observing(records)))
    assert {name: list(line.y) for name, line in drawn.items()} == {
        "USD, reported": [1.5, 3.5, 4.0],
        "USD, estimated": [4.0],
        "EUR, reported": [8.0],
    }


def test_eight_lines_are_drawn_and_the_others_told(observing: Observing) -> None:
    records = [
        Record("backend", BEGIN + n, None, {"pending_jobs": float(n)}, {"backend": f"b{number}"})
        for number in range(11)
        for n in range(number + 1)
    ]
    observed = observing(records)
    names = [line.name for line in panel_figure(PANEL["pending_jobs"], observed).data]
    assert names == [f"b{number}" for number in range(3, 11)]
    assert panel_note(PANEL["pending_jobs"], observed) == "The 8 with the most values; the others are in the store."


def test_lines_are_told_apart_by_more_than_their_colour(observing: Observing) -> None:
    fields = {f"error_ratio_{operation}": 0.01 for operation in ("1q", "2q", "readout", "idle", "reset", "measure")}
    drawn = panel_figure(PANEL["error_ratios"], observing([Record("backend", BEGIN, None, fields, {"backend": "b"})]))
    assert len({line.line.dash for line in drawn.data}) == len({line.marker.symbol for line in drawn.data}) == 6
    assert not any(line.line.color for line in drawn.data)  # it is the template's, light or dark


def test_ratios_and_bits_have_an_axis_each_and_one_of_them_alone_the_left(observing: Observing) -> None:
    fields = {"fidelity": 0.5, "entanglement_entropy": 1.5}
    drawn = panel_figure(PANEL["fidelity_entropy"], observing([Record("state", BEGIN, 0, fields)]))
    assert [line.yaxis for line in drawn.data] == ["y", "y2"]
    assert (drawn.layout.yaxis2.title.text, drawn.layout.yaxis2.side) == ("Bits", "right")


def test_memory_is_shown_as_a_share_of_the_machine(observing: Observing) -> None:
    fields = {"cpu_ratio": 0.5, "memory_used_bytes": 4e9, "memory_total_bytes": 16e9, "process_memory_bytes": 1e9}
    drawn = lines(panel_figure(PANEL["system"], observing([Record("system", BEGIN, None, fields)])))
    assert {name: line.y[0] for name, line in drawn.items()} == {
        "processors, machine": 0.5,
        "memory, machine": 0.25,
        "memory, this process": 0.0625,
    }


def test_metrics_of_ones_own_have_a_scale_each(observing: Observing) -> None:
    records = [Record("custom", BEGIN, step, {"energy": 1e-6, "shots": 1e6}) for step in range(2)]
    drawn = panel_figure(PANEL["custom"], observing([*records, Record("custom", BEGIN, 2, {"shots": math.nan})]))
    assert [(line.name, line.yaxis) for line in drawn.data[:2]] == [("energy", "y"), ("shots", "y2")]
    assert drawn.layout.yaxis.domain[0] > drawn.layout.yaxis2.domain[1]
    foot, lowest = float(drawn.data[2].y[0]), drawn.layout.yaxis2.domain
    assert lowest[0] - 0.05 < foot < lowest[1]  # the cross is in the row of its metric


def test_an_alert_is_a_bar_from_firing_to_resolved_and_an_open_one_goes_on_to_the_last_record(
    observing: Observing,
) -> None:
    observed = observing(
        [
            alert(10, "gradient_explosion", firing=True, step=3),
            alert(15, "gradient_explosion", firing=True, step=4),  # a repetition
            alert(20, "gradient_explosion", firing=False, step=5),
            alert(30, "cost_spike", firing=True, severity="warning"),
            *losses(*[1.0] * 61),
        ]
    )
    drawn = panel_figure(PANEL["alerts"], observed)
    bars = [line for line in drawn.data if line.mode == "lines"]
    ends = [[str(at) for at in bar.x[:2]] for bar in bars]
    assert ends == [
        ["2023-11-14T22:13:30.000", "2023-11-14T22:13:40.000"],
        ["2023-11-14T22:13:50.000", "2023-11-14T22:14:20.000"],
    ]
    assert len({bar.line.dash for bar in bars}) == 2
    told = [line.hovertext[0] for line in drawn.data if line.hovertext]
    assert told[0] == "gradient_explosion at step 3: 12.5, threshold 10, for 10 s"
    assert told[1] == "cost_spike: 12.5, threshold 10, not resolved by the last record"
    assert [line.name for line in drawn.data if "goes on" in line.name] == ["warning, goes on"]
    marks = lines(panel_figure(PANEL["loss"], observed))["an alert fires"]
    assert list(marks.x) == [3.0]


def test_an_alert_that_is_resolved_without_a_beginning_is_no_bar(observing: Observing) -> None:
    observed = observing([alert(0, "cpu_high", firing=False)])
    assert firings(observed.alerts) == []
    assert panel_figure(PANEL["alerts"], observed) is None


def test_a_backend_that_was_down_is_shown_as_such(observing: Observing) -> None:
    reports = [Record("backend", BEGIN + n, None, {"up": up}, {"backend": "b"}) for n, up in enumerate((1.0, 0.0, 1.0))]
    drawn = lines(panel_figure(PANEL["availability"], observing(reports)))
    assert [str(at)[-6:] for at in drawn["down"].x[:2]] == ["21.000", "22.000"]
    assert drawn["up"].line.dash != drawn["down"].line.dash


def test_names_are_text_in_every_panel(observing: Observing) -> None:
    labels = {"backend": HOSTILE, "status": "success", "currency": HOSTILE, "cost_kind": "reported"}
    observed = observing(
        [
            Record("circuit", BEGIN, 0, {"depth": 1.0, "execution_time": 1.0, "cost": 1.0}, labels),
            Record(
                "backend",
                BEGIN,
                0,
                {"up": 1.0, "pending_jobs": 1.0, "error_ratio_%{x}": math.nan},
                {"backend": HOSTILE},
            ),
            Record("custom", BEGIN, 0, {HOSTILE: math.nan, "%{x}": 1.0}),
            alert(0, HOSTILE, firing=True, severity=HOSTILE, step=0),
            *losses(1.0),
        ]
    )
    for panel in PANELS:
        figure = panel_figure(panel, observed)
        if figure is not None:
            told = figure.to_dict()
            del told["layout"]["template"]
            assert "<img" not in str(told)
            assert "hovertemplate" not in str(told)
            assert "texttemplate" not in str(told)


def test_times_that_no_clock_says_are_gaps() -> None:
    assert np.isnat(moments([math.nan, 1e300, -math.inf])).all()
    assert moments([0.0]).tolist() == np.array(["1970-01-01"], "datetime64[ms]").tolist()
