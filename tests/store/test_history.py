"""The latest records in memory and what they sum up to."""

from __future__ import annotations

import math
import random
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantum_monitor.record import Record
from quantum_monitor.store.history import History, summarise

finite = st.floats(allow_nan=False, allow_infinity=False)


def training(step: int, **fields: float) -> Record:
    return Record("training", float(step), step, fields)


def test_only_the_latest_records_are_kept() -> None:
    history = History(limit=100)
    append = history.of("training").append
    for step in range(1_000):
        append(training(step, loss=float(step)))
    assert history.series("loss") == [float(step) for step in range(900, 1_000)]
    assert history.summary()["loss"]["count"] == 100
    assert history.series("never logged") == []
    history.clear()
    assert history.summary() == {}
    append(training(0, loss=1.0))
    assert history.series("loss") == [1.0]


def test_the_number_of_kinds_is_bounded() -> None:
    history = History(limit=10)
    for number in range(10_000):
        history.of(f"kind {number}").append(training(number, loss=1.0))
    assert history.summary()["loss"]["count"] == 64 + 10


def test_a_limit_that_keeps_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="history_limit is 0"):
        History(0)


def test_fields_of_several_kinds_are_told_apart_by_their_new_names_or_joined_in_time() -> None:
    history = History(rename={("circuit", "qubits"): "circuit_qubits"})
    history.of("state").append(Record("state", 2.0, 1, {"qubits": 4.0, "fidelity": 0.5}))
    history.of("circuit").append(Record("circuit", 1.0, None, {"qubits": 9.0, "fidelity": 0.25}))
    assert history.series("qubits") == [4.0]
    assert history.series("circuit_qubits") == [9.0]
    assert history.series("fidelity") == [0.25, 0.5]


def test_nan_and_infinity_show_as_latest_and_leave_the_statistics_alone() -> None:
    summary = summarise([1.0, math.inf, 3.0, math.nan])
    assert math.isnan(summary["latest"])
    assert summary["count"] == 4
    assert (summary["mean"], summary["std"], summary["min"], summary["max"]) == (2.0, 1.0, 1.0, 3.0)


def test_without_a_finite_value_the_statistics_are_nan() -> None:
    summary = summarise([math.inf, math.nan])
    assert summary["count"] == 2
    assert all(math.isnan(summary[name]) for name in ("mean", "std", "min", "max"))
    assert summary["trend"] is None


def test_nothing_cannot_be_summed_up() -> None:
    with pytest.raises(ValueError, match="empty"):
        summarise([])


def test_a_large_offset_costs_no_digits() -> None:
    values = [1e9 + value for value in (-1e-3, 1e-3) * 1_000]
    assert summarise(values)["std"] == pytest.approx(1e-3, rel=1e-4)
    assert summarise([0.1] * 12_345)["std"] == pytest.approx(0.0, abs=1e-16)


@given(st.lists(finite, min_size=1, max_size=50))
def test_statistics_are_finite_and_consistent_for_any_finite_values(values: list[float]) -> None:
    summary = summarise(values)
    assert summary["min"] == min(values)
    assert summary["max"] == max(values)
    assert 0 <= summary["std"] < math.inf
    slack = 1e-12 * max(abs(value) for value in values)
    assert min(values) - slack <= summary["mean"] <= max(values) + slack


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50))
def test_statistics_agree_with_numpy(values: list[float]) -> None:
    summary = summarise(values)
    assert summary["mean"] == pytest.approx(np.mean(values), rel=1e-9, abs=1e-9)
    assert summary["std"] == pytest.approx(np.std(values), rel=1e-6, abs=1e-6)


NOISE = [random.Random(5).gauss(0.0, 1.0) for _ in range(200)]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([float(step) for step in range(50)], "increasing"),
        ([math.exp(-step / 20) for step in range(50)], "decreasing"),
        ([1.0] * 50, "stable"),
        ([1.0 + 1e-15 * step for step in range(50)], "stable"),
        (NOISE, "stable"),
        ([0.5 * step + noise for step, noise in enumerate(NOISE)], "increasing"),
        ([1.0] * 95 + [1e9] * 5, "stable"),
        ([float(step) for step in range(9)], None),
        ([float(step) for step in range(100)] + [99.0] * 100, "stable"),
        ([math.nan, 1.0] * 20 + [math.nan, 2.0] * 20, "increasing"),
    ],
    ids=["up", "down", "constant", "rounding", "noise", "noisy-up", "outliers", "few", "settled", "gaps"],
)
def test_the_trend_compares_the_recent_half_with_the_earlier_half(values: list[float], expected: str | None) -> None:
    assert summarise(values)["trend"] == expected


def test_reading_while_64_threads_append_never_fails() -> None:
    history = History(limit=1_000)
    done = threading.Event()

    def log(number: int) -> None:
        append = history.of(f"kind {number % 8}").append
        while not done.wait(0.001):
            for step in range(100):
                append(training(step, loss=1.0))

    threads = [threading.Thread(target=log, args=(number,)) for number in range(64)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            assert len(history.series("loss")) <= 8_000
            history.summary()
    finally:
        done.set()
        for thread in threads:
            thread.join()
