"""What the views know of a run: complete, thinned without losing a spike, and the same however it was followed."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantum_monitor.record import Record
from quantum_monitor.store.reader import StoredRun
from quantum_monitor.store.writer import RunStore
from quantum_monitor.views.observed import SPANS_AT_MOST, Amount, Curve, Observed, observe


def a_store(directory: Path, name: str = "r1") -> RunStore:
    return RunStore(directory / "exp" / name, {"run_id": name, "name": name, "experiment": "exp", "status": "running"})


def step(number: int | None, time: float = 1.0, **fields: float) -> Record:
    return Record("training", time, number, fields)


values = st.one_of(st.floats(-1e6, 1e6), st.sampled_from([math.nan, math.inf, -math.inf]))


@given(st.lists(st.lists(values, min_size=1, max_size=40), min_size=1, max_size=8), st.integers(1, 9))
def test_a_curve_says_the_same_of_its_spans_as_a_plain_loop(pieces: list[list[float]], spans: int) -> None:
    curve, whole = Curve(spans), [value for piece in pieces for value in piece]
    taken = 0
    for piece in pieces:
        numbers = np.arange(taken, taken + len(piece), dtype=float)
        curve.take(numbers + 100.0, numbers * 2, np.array(piece))
        taken += len(piece)

    line = curve.line
    assert len(line.x) <= spans
    assert curve.seen == len(whole)
    for place, begin in enumerate(range(0, len(whole), curve.span)):
        span = whole[begin : begin + curve.span]
        finite = [value for value in span if math.isfinite(value)]
        assert line.x[place] == begin * 2
        assert line.time[place] == begin + 100
        assert line.low[place] == min(finite, default=math.inf)
        assert line.high[place] == max(finite, default=-math.inf)
        assert line.total[place] == pytest.approx(math.fsum(finite), abs=1e-6)
        assert line.finite[place] == len(finite)
        assert line.broken[place] == (len(finite) < len(span))
    assert len(line.x) == math.ceil(len(whole) / curve.span)


def test_one_spike_in_a_hundred_thousand_steps_is_seen_at_its_place(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    for number in range(100_000):
        store.put(step(number, loss=50.0 if number == 77_777 else 0.1))
        if number % 20_000 == 0:
            assert store.flush(30)
    store.close(30)

    loss = observe(StoredRun(tmp_path / "exp" / "r1")).one("training", "loss")

    assert loss is not None
    assert loss.curve is not None
    line = loss.curve.line
    assert len(line.x) <= SPANS_AT_MOST
    peak = int(line.high.argmax())
    assert line.high[peak] == loss.highest == 50.0
    assert loss.highest_at == 77_777
    assert line.x[peak] <= 77_777 < line.x[peak + 1]


def test_a_run_that_is_followed_while_it_is_written_reads_as_one_that_is_read_at_the_end(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    run, followed = store.reader(), Observed()
    for part in range(7):
        for number in range(part * 300, part * 300 + 300):
            # Two shapes that share a field, in turns: one series.
            store.put(step(number, number, loss=number / 7, **({"gradient_norm": 2.0} if number % 3 else {})))
            if number % 100 == 0:
                labels = {"alert": "gradient_explosion", "severity": "critical"}
                fields = {"alert_value": 1.0, "alert_threshold": 10.0, "alert_firing": float(number % 200 == 0)}
                store.put(Record("alert", number, number, fields, labels))
        assert store.flush(30)
        assert followed.follow(run) == 303
        assert followed.follow(run) == 0
    store.close()

    whole = observe(run)

    assert followed.records == whole.records == {("training", ()): 2_100}
    assert followed.cursor == whole.cursor == run.last_sequence
    assert list(followed.alerts) == list(whole.alerts)
    assert [alert.step for alert in whole.alerts] == list(range(0, 2_100, 100))
    for name in ("loss", "gradient_norm"):
        one, other = followed.one("training", name), whole.one("training", name)
        assert one is not None
        assert other is not None
        assert one.curve is not None
        assert other.curve is not None
        assert (one.count, one.lowest, one.highest, one.last) == (other.count, other.lowest, other.highest, other.last)
        mine, theirs = one.curve.line, other.curve.line
        np.testing.assert_allclose(mine.total, theirs.total, rtol=1e-14)  # added up in another order
        for spans, counterpart in zip(mine._replace(total=mine.x), theirs._replace(total=theirs.x), strict=True):
            assert np.array_equal(spans, counterpart)
    loss = whole.one("training", "loss")
    assert loss is not None
    assert loss.curve is not None
    np.testing.assert_array_equal(loss.curve.line.x, np.arange(0, 2_100, loss.curve.span))


def test_tables_hold_what_records_tell(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    for number in range(500):
        store.put(step(None if number % 5 == 0 else number, float(number), loss=number / 2))
        store.put(Record("circuit", float(number), None, {"shots": 100.0}, {"backend": f"b{number % 3}"}))
    store.close()
    run = StoredRun(tmp_path / "exp" / "r1")

    for after in (0, 1, 333, 999, 1_000):
        told = {
            int(row[0]): (table.kind, row[1], dict(table.labels), dict(zip(table.fields, row[3:], strict=True)))
            for tables in run.tables(after=after)
            for table in tables
            for row in table.rows.tolist()
        }
        expected = {
            number: (record.kind, record.time, dict(record.labels), dict(record.fields))
            for number, record in run.records(after=after)
        }
        assert told == expected
        assert len(told) == 1_000 - after


def test_steps_that_go_back_are_drawn_by_their_number(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    for number in (0, 1, 2, 0, 1, 2):
        store.put(step(number, loss=1.0))
    store.close()

    loss = observe(StoredRun(tmp_path / "exp" / "r1")).one("training", "loss")

    assert loss is not None
    assert loss.curve is not None
    assert not loss.curve.by_step
    assert loss.curve.line.x.tolist() == [0, 1, 2, 3, 4, 5]


def test_curves_of_custom_metrics_without_end_leave_room_for_the_training(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    for number in range(3_000):
        store.put(Record("custom", 1.0, number, {f"m{number}": 1.0}))
    store.put(step(0, loss=1.0))
    store.close()

    observed = observe(StoredRun(tmp_path / "exp" / "r1"))

    assert sum(amount.curve is not None for amount in observed.of("custom")) == 100
    assert len(list(observed.of("custom"))) == 2_000
    assert len(observed.left_out) == 1_000
    loss = observed.one("training", "loss")
    assert loss is not None
    assert loss.curve is not None


LARGEST = float(np.finfo(float).max)


@pytest.mark.parametrize("count", [1, 3, 10, 1_999])
def test_the_mean_of_the_largest_doubles_is_one_of_them(count: int) -> None:
    amount = Amount("loss", "training", ())
    for _ in range(3):
        amount.take(np.zeros(count), np.arange(count, dtype=float), np.full(count, LARGEST))
    assert amount.mean == LARGEST
    amount.take(np.zeros(9 * count), np.arange(9.0 * count), np.full(9 * count, -LARGEST))
    assert amount.mean == pytest.approx(-LARGEST / 2)


def test_sums_that_overflow_both_ways_are_no_warning_and_cost_no_extreme() -> None:
    values = np.repeat([LARGEST, -LARGEST], 4)
    steps, amount = np.arange(8.0), Amount("loss", "training", (), curve=Curve(2))
    with np.errstate(all="raise"):  # as a process may have set it for its own numbers
        for _ in range(3):
            amount.take(steps, steps, values)
        amount.take(steps, steps, values * 1e-310)
    assert (amount.lowest, amount.highest, amount.finite) == (-LARGEST, LARGEST, 32)
    assert amount.curve is not None
    assert amount.curve.line.low[0] == -LARGEST
    assert amount.curve.line.high[0] == LARGEST


def test_steps_may_be_negative_or_missing(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    for number in (-3, -2, 0, 5):
        store.put(step(number, loss=1.0))
        store.put(Record("circuit", 1.0, None if number == 0 else number, {"depth": 2.0}))
    store.close()
    observed = observe(StoredRun(tmp_path / "exp" / "r1"))
    loss, depth = observed.one("training", "loss"), observed.one("circuit", "depth")
    assert loss is not None and loss.curve is not None  # noqa: PT018
    assert depth is not None and depth.curve is not None  # noqa: PT018
    assert (loss.curve.by_step, loss.curve.line.x.tolist(), loss.lowest_at) == (True, [-3, -2, 0, 5], -3)
    assert (depth.curve.by_step, depth.curve.line.x.tolist()) == (False, [0, 1, 2, 3])


def test_a_run_that_is_deleted_while_it_is_followed_is_an_error_that_says_so(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    store.put(step(0, loss=1.0))
    store.close()
    run, observed = StoredRun(tmp_path / "exp" / "r1"), Observed()
    assert observed.follow(run) == 1
    shutil.rmtree(run.directory)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        observed.follow(run)
    assert observed.cursor == 1
