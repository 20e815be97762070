"""What alerts are judged by, piece by piece, against slow computations of the same."""

from __future__ import annotations

import math
from collections import deque
from statistics import median

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantum_monitor.alerts.conditions import (
    CostSpikes,
    ErrorRates,
    FailureShare,
    References,
    RollingMedian,
    Spending,
    flattest,
    pace,
    recent_loss,
    since_restart,
)
from quantum_monitor.record import Record

ratios = st.floats(0, 1)


def steps(*fields: dict[str, float], seconds: float = 1.0) -> deque[Record]:
    return deque(Record("training", 1e9 + seconds * number, number, step) for number, step in enumerate(fields))


# Medians


@given(st.lists(st.one_of(st.floats(-1, 1), st.just(math.nan), st.just(math.inf)), max_size=60))
def test_the_best_median_is_that_of_any_ten_finite_values_in_a_row(values: list[float]) -> None:
    medians, finite = RollingMedian(), []
    for value in values:
        told = medians.take(value)
        if not math.isfinite(value):
            assert told is None
            continue
        finite.append(value)
        of_ten = [median(finite[end - 10 : end]) for end in range(10, len(finite) + 1)]
        assert told == ((max(of_ten), of_ten[-1]) if of_ten else None)


def test_a_noisy_but_healthy_fidelity_drops_by_less_than_its_noise() -> None:
    noise = np.random.default_rng(7).normal(0.9, 0.01, 1_000)
    medians = RollingMedian()
    drops = [best - present for told in map(medians.take, noise) if told is not None for best, present in [told]]
    assert max(drops) < 0.03 < noise.max() - noise.min()


@pytest.mark.parametrize(
    ("steps", "anew"),
    [
        ((3, 4, None, 4, 10, None, 9, 8, 12), []),  # unknown, twice, and in some disorder, as of several workers
        ((3, 4, 5, 3, 4), [3]),  # back to the first
        ((3, 4, 5, 0, 1, 0), [3, 5]),  # and to before it
        ((3, 30, 20, 19), [3]),  # far back: more than ten
    ],
)
def test_medians_begin_anew_where_the_step_goes_back_for_good(steps: tuple[int | None, ...], anew: list[int]) -> None:
    medians = RollingMedian()
    assert [index for index, step in enumerate(steps) if medians.begins_anew(step)] == anew


def test_medians_that_begin_anew_have_forgotten_everything() -> None:
    medians = RollingMedian()
    assert not medians.begins_anew(1)
    for _ in range(10):
        medians.take(1.0)
    assert not medians.begins_anew(2)
    assert medians.begins_anew(1)
    assert [medians.take(0.5) for _ in range(10)] == [None] * 9 + [(0.5, 0.5)]


# Money


def test_a_cost_is_compared_with_the_median_of_five_or_more_before_it() -> None:
    costs = CostSpikes()
    assert [costs.take(cost) for cost in (1.0, 2.0, 3.0, 2.0, 100.0)] == [None] * 5
    assert costs.take(8.0) == 4.0


def test_costs_of_another_backend_or_currency_are_no_measure() -> None:
    costs = CostSpikes()
    for _ in range(6):
        costs.take(1.0, "ibm", "USD")
    assert costs.take(10.0, "ionq", "USD") is None
    assert costs.take(10.0, "ibm", "EUR") is None
    assert costs.take(10.0, "ibm", "USD") == 10.0


def test_only_the_last_fifty_costs_count() -> None:
    costs = CostSpikes()
    for _ in range(200):
        costs.take(1.0)
    for _ in range(50):
        costs.take(4.0)
    assert costs.take(8.0) == 2.0


def test_where_nothing_costs_anything_there_is_no_spike() -> None:
    costs = CostSpikes()
    assert [costs.take(0.0) for _ in range(8)] + [costs.take(5.0)] == [None] * 9


def test_costs_of_a_batch_with_two_levels_are_no_spikes_and_one_above_both_is() -> None:
    costs = CostSpikes()
    told = [costs.take(cost) for _ in range(20) for cost in (1.0, 1.0, 1.0, 5.0)]
    assert max(ratio for ratio in told[20:] if ratio is not None) <= 2.0
    assert costs.take(30.0) == 30.0


def test_money_of_several_currencies_is_not_added_up() -> None:
    spending = Spending()
    assert [spending.take(*cost) for cost in ((3.0, "USD"), (10.0, "EUR"), (4.0, "USD"), (4.0, "USD"))] == [
        3,
        10,
        10,
        11,
    ]


def test_hostile_currencies_and_backends_do_not_grow_without_end() -> None:
    spending, costs = Spending(), CostSpikes()
    for number in range(2_000):
        spending.take(1.0, f"currency {number}")
        costs.take(1.0, f"backend {number}", "USD")
    assert spending.take(1.0, "currency 0") == 2.0
    assert [costs.take(9.0, "backend 1999") for _ in range(9)] == [None] * 9


# Backends


@given(st.lists(st.sampled_from(["success", "failed", "cancelled"]), max_size=150))
def test_the_share_of_failures_is_that_of_the_last_fifty_that_were_not_cancelled(statuses: list[str]) -> None:
    share, ended = FailureShare(), []
    for status in statuses:
        told = share.take(status)
        if status == "cancelled":
            assert told is None
            continue
        ended.append(status == "failed")
        last = ended[-50:]
        assert told == (sum(last) / len(last) if len(last) >= 10 else None)


@given(st.lists(st.dictionaries(st.sampled_from(["1q", "2q", "readout"]), ratios, min_size=1), min_size=1))
def test_the_rise_of_an_error_rate_is_the_largest_of_its_operations(reports: list[dict[str, float]]) -> None:
    rates = ErrorRates()
    told = [rates.take(report) for report in reports]
    seen = {name: [report[name] for report in reports if name in report] for name in ("1q", "2q", "readout")}
    assert told[-1] == max(known[-1] - min(known) for known in seen.values() if known)


# References


def test_the_first_reference_and_the_same_content_again_are_no_change() -> None:
    references, state = References(), np.array([1.0, 0.0])
    assert not references.changed(state, state)
    assert not references.changed(state, state)
    assert not references.changed(state.copy(), state.copy())
    assert not references.changed([1.0, 0.0], state)


@pytest.mark.parametrize("size", [2, 2**15])
def test_another_reference_is_a_change_even_where_only_one_amplitude_differs(size: int) -> None:
    references, state = References(), np.zeros(size)
    state[0] = 1.0
    other = state.copy()
    other[-1] = 1e-9
    assert [references.changed(one, one) for one in (state, other, other, state)] == [False, True, False, True]


def test_a_reference_that_was_written_over_in_place_is_another_one() -> None:
    references, state = References(), np.array([1.0, 0.0])
    references.changed(state, state)
    state[:] = [0.0, 1.0]
    assert references.changed(state, state)


def test_a_reference_keeps_no_state_alive() -> None:
    references, state = References(), np.ones(4)
    references.changed(state, state)
    assert references._known is not None
    del state
    assert references._known() is None


# Training


@given(st.lists(st.one_of(st.just(None), st.floats(0, 1)), max_size=140))
def test_the_flattest_is_the_largest_variance_of_the_last_hundred_steps_that_have_one(
    variances: list[float | None],
) -> None:
    history = steps(*({} if variance is None else {"gradient_component_variance": variance} for variance in variances))
    known = [variance for variance in variances if variance is not None]
    assert flattest(history) == max(known[-100:], default=None)


def test_the_recent_loss_is_the_median_of_the_last_ten_that_are_finite() -> None:
    losses = [5.0, 1.0, math.nan, 2.0, 3.0, math.inf, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]
    assert recent_loss(steps(*({"loss": loss} for loss in losses))) == median([*losses[:2], *losses[3:5], *losses[6:]])
    assert recent_loss(steps({"loss": 99.0}, *({"loss": 1.0} for _ in range(10)), {"gradient_norm": 1.0})) == 1.0
    assert recent_loss(steps({"loss": math.nan})) is None


def test_the_pace_is_the_median_of_the_last_hundred_times_between_steps() -> None:
    slow, quick = steps(*[{"loss": 1.0}] * 50, seconds=100.0), steps(*[{"loss": 1.0}] * 101, seconds=0.5)
    assert pace(slow) == 100.0
    assert pace(deque([*slow, *(record._replace(time=record.time + 1e6) for record in quick)])) == 0.5
    assert pace(steps({"loss": 1.0})) is None
    assert pace(steps({"loss": 1.0}, {"learning_rate": 1.0}, {"loss": 1.0})) == 2.0


def test_a_clock_that_was_set_back_gives_no_negative_pace() -> None:
    assert pace(steps(*[{"loss": 1.0}] * 5, seconds=-1.0)) == 0.0


def test_a_restart_is_where_the_step_number_goes_back_the_last_time() -> None:
    def restarts(*numbers: int | None) -> int | None:
        return since_restart([Record("training", 0.0, number, {}) for number in numbers], first)

    first: int | None = None
    assert restarts(1, 2, 2, 5, None, 6) is None
    assert restarts(7, 9, 8, 10) is None
    assert restarts(1, 2, None, 0, 1) == 3
    assert restarts(5, 0, 1, 0, 1) == 3
    assert restarts() is None
    first = 3  # of the loop up to here
    assert restarts(9, 7, 3, 4) == 2
    assert restarts(9, 7, 4, 5) is None
    assert restarts(0, 1, 2) == 0  # in order, and yet before the first
    assert restarts(3, 4) is None
