"""The numbers of a training step, against exact arithmetic and against NumPy in extended precision."""

from __future__ import annotations

import math
import statistics
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from quantum_monitor.training import StepStatistics

vectors = hnp.arrays(np.float64, st.integers(1, 40), elements=st.floats(-1e3, 1e3, allow_subnormal=False))


def exact_variance(values: Any) -> Any:
    fractions = [Fraction(float(value)) for value in values]
    mean = sum(fractions) / len(fractions)
    return float(sum((value - mean) ** 2 for value in fractions) / len(fractions))


@given(vectors)
def test_norm_and_component_variance_equal_exact_arithmetic(vector: Any) -> None:
    norm, _, variance = StepStatistics().gradient(vector)
    assert norm == pytest.approx(math.hypot(*vector), rel=1e-12)
    assert variance == pytest.approx(exact_variance(vector), rel=1e-12, abs=1e-14 * max(1, float(vector @ vector)))


@pytest.mark.parametrize("offset", [1.0, 1e3, 1e6, 1e9])
def test_an_offset_costs_no_digits(offset: Any) -> None:
    vector = offset + np.random.default_rng(3).normal(0, 1e-3, 200)
    _, _, variance = StepStatistics().gradient(vector)
    assert variance == pytest.approx(exact_variance(vector), rel=1e-12)


def test_a_constant_gradient_has_variance_zero_and_never_less() -> None:
    _, _, variance = StepStatistics().gradient(np.full(1000, 0.1))
    assert 0 <= variance < 1e-30


@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1e-160, 1e160, 1e200, 1e300])
@pytest.mark.parametrize("size", [9, 20_000])
def test_norms_survive_squares_that_leave_the_range_of_a_double(scale: Any, size: Any) -> None:
    unit = np.random.default_rng(1).normal(size=size)
    step = StepStatistics()
    step.parameters(np.zeros(size))
    with np.errstate(over="ignore"):
        norm, _, _ = step.gradient(unit * scale)
        changed = step.parameters(unit * scale)
    assert norm == pytest.approx(np.linalg.norm(unit) * scale, rel=1e-12)
    assert changed == pytest.approx((norm, norm), rel=1e-12)


@pytest.mark.parametrize("size", [8_191, 8_192, 8_193, 100_003])
def test_large_vectors_give_the_same_numbers_as_one_pass_in_extended_precision(size: Any) -> None:
    rng = np.random.default_rng(size)
    gradient, first, second = (5 + rng.normal(size=size) for _ in range(3))
    statistics_ = StepStatistics()
    norm, _, variance = statistics_.gradient(gradient)
    wide = gradient.astype(np.longdouble)
    assert norm == pytest.approx(float(np.sqrt((wide * wide).sum())), rel=1e-13)
    assert variance == pytest.approx(float(((wide - wide.mean()) ** 2).mean()), rel=1e-13)
    parameter_norm, change = statistics_.parameters(first)
    assert (parameter_norm, change) == (pytest.approx(np.linalg.norm(first), rel=1e-13), None)  # type: ignore[comparison-overlap]
    expected = pytest.approx((np.linalg.norm(second), np.linalg.norm(second - first)), rel=1e-13)
    assert statistics_.parameters(second) == expected


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_gradient_that_is_not_finite_is_shown_as_such(bad: Any) -> None:
    vector = np.ones(20)
    vector[7] = bad
    norm, _, variance = StepStatistics().gradient(vector)
    assert math.isnan(norm) if math.isnan(bad) else norm == math.inf
    assert math.isnan(variance)


def test_a_gradient_of_zeros_has_norm_zero() -> None:
    assert StepStatistics().gradient(np.zeros(16)) == (0.0, 0.0, 0.0)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30))
def test_the_variance_of_norms_is_that_of_the_last_ten(norms: Any) -> None:
    step = StepStatistics()
    for norm in norms:
        variance = step.norm(norm)
    window = norms[-10:]
    assert variance == pytest.approx(statistics.pvariance(window), rel=1e-9, abs=1e-12 * max(window) ** 2)


def test_a_spike_leaves_no_trace_once_it_is_out_of_the_window() -> None:
    step = StepStatistics()
    for norm in [1e12] + [1.0, 2.0] * 5:
        variance = step.norm(norm)
    assert variance == pytest.approx(0.25, rel=1e-12)


def test_a_change_is_measured_even_if_the_caller_reuses_its_buffer() -> None:
    step = StepStatistics()
    buffer = np.array([3.0, 4.0])
    assert step.parameters(buffer) == (5.0, None)
    buffer += [0.0, 1.0]
    assert step.parameters(buffer)[1] == 1.0
    assert step.parameters(buffer)[1] == 0.0


def test_parameters_of_another_number_have_no_change() -> None:
    step = StepStatistics()
    step.parameters(np.ones(4))
    assert step.parameters(np.ones(5))[1] is None
    assert step.parameters(np.ones(5))[1] == 0.0


def test_the_callers_arrays_are_left_alone() -> None:
    vector = np.random.default_rng(0).normal(size=50)
    before = vector.copy()
    step = StepStatistics()
    step.gradient(vector)
    step.parameters(vector)
    step.parameters(vector)
    assert (vector == before).all()


def test_strided_views_are_read_as_they_are_seen() -> None:
    matrix = np.arange(40.0).reshape(10, 4)
    norm, _, _ = StepStatistics().gradient(matrix[:, 1])
    assert norm == pytest.approx(np.linalg.norm(matrix[:, 1].copy()))


@given(st.integers(8, 60), st.integers(1, 60), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 1.0, 1e6]))
def test_the_common_path_of_a_step_measures_the_same_as_the_general_one(n: Any, m: Any, seed: Any, offset: Any) -> None:
    rng = np.random.default_rng(seed)
    together, apart = StepStatistics(), StepStatistics()
    for step in range(13):
        gradient, parameters = offset + rng.normal(size=n), rng.normal(size=m)
        fields = together.measure(float(step), gradient, parameters)
        norm, norm_variance, variance = apart.gradient(gradient)
        parameter_norm, change = apart.parameters(parameters)
        expected = {
            "loss": step,
            "gradient_norm": norm,
            "gradient_variance": norm_variance,
            "gradient_component_variance": variance,
            "parameter_norm": parameter_norm,
            "parameter_change": change,
            "parameters": m,
        }
        assert fields == {name: value for name, value in expected.items() if value is not None}


@pytest.mark.parametrize("scale", [0.0, 1e-200])
def test_the_common_path_leaves_extreme_steps_to_the_general_one(scale: Any) -> None:
    step = StepStatistics()
    step.measure(1.0, np.ones(9), np.ones(9))
    fields = step.measure(1.0, np.full(9, scale), np.full(9, 2.0))
    assert fields["gradient_norm"] == pytest.approx(3 * scale, rel=1e-12)
    assert fields["parameter_change"] == 3.0
    assert step.measure(1.0, np.ones(9), np.full(9, scale))["parameter_norm"] == pytest.approx(3 * scale, rel=1e-12)


def test_the_common_path_leaves_the_callers_arrays_alone() -> None:
    gradient, parameters = np.arange(9.0), np.arange(9.0) + 1
    step = StepStatistics()
    for _ in range(3):
        step.measure(1.0, gradient, parameters)
    assert (gradient == np.arange(9)).all()
    assert (parameters == np.arange(9) + 1).all()
