"""Gradient statistics are those of exact arithmetic, whatever the precision, offset and size of the input."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantum_monitor.physics import component_statistics, gradient_variance


def exact(values: np.ndarray) -> tuple[float, float]:
    numbers = [Fraction(float(value)) for value in values]
    mean = sum(numbers, Fraction(0)) / len(numbers)
    variance = sum(((number - mean) ** 2 for number in numbers), Fraction(0)) / len(numbers)
    squares = sum((number**2 for number in numbers), Fraction(0))
    return math.sqrt(squares), float(variance)


@pytest.mark.parametrize("offset", [0.0, 1.0, 1e3, -1e8])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_offset_does_not_cost_digits(offset: float, dtype: type) -> None:
    values: np.ndarray = (np.random.default_rng(1).normal(size=500) * 1e-3 + offset).astype(dtype)
    norm, variance = exact(values)
    found = component_statistics(values)
    assert found.norm == pytest.approx(norm, rel=1e-13)
    assert found.variance == pytest.approx(variance, rel=1e-9 if abs(offset) > 1e6 else 1e-12, abs=0)


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=40))
@settings(max_examples=60, deadline=None)
def test_any_values_give_the_exact_statistics(values: list[float]) -> None:
    norm, variance = exact(np.array(values))
    found = component_statistics(values)
    assert found.norm == pytest.approx(norm, rel=1e-12)
    assert found.variance == pytest.approx(variance, rel=1e-9, abs=1e-18 * norm**2)


@pytest.mark.parametrize("scale", [1e-200, 1e-160, 1e160, 1e200])
def test_squares_out_of_range_do_not_spoil_the_norm(scale: float) -> None:
    found = component_statistics(np.array([3.0, 4.0]) * scale)
    assert found.norm == pytest.approx(5 * scale, rel=1e-14)
    assert component_statistics(np.array([1.0, 3.0]) * 1e150).variance == pytest.approx(1e300, rel=1e-13)


def test_constant_gradients_have_no_variance() -> None:
    assert component_statistics(np.full(1000, 0.1, dtype=np.float32)).variance == pytest.approx(0, abs=1e-30)
    assert component_statistics([0.0, 0.0]) == component_statistics(np.zeros(2, dtype=complex))
    assert component_statistics([7.0]).variance == 0.0


def test_complex_gradients_count_real_and_imaginary_parts() -> None:
    found = component_statistics(np.array([3j, 4.0 + 0j]))
    assert found.norm == 5.0
    assert found.variance == pytest.approx(np.var([3j, 4.0]))
    assert found.components == 2


def test_what_is_not_finite_is_measured_as_nan() -> None:
    for bad in (math.nan, math.inf, complex(0, math.inf)):
        assert math.isnan(component_statistics([1.0, bad]).norm)
    assert math.isnan(gradient_variance([[1.0], [math.nan]]))


@pytest.mark.parametrize("bad", [[], np.empty((0, 3)), None, "text", [[1.0], [1.0, 2.0]]])
def test_what_is_no_gradient_is_refused(bad: object) -> None:
    with pytest.raises(ValueError, match="gradient: "):
        component_statistics(bad)


def test_gradient_variance_is_the_variance_of_the_norms() -> None:
    history = [np.array([3.0, 4.0]), np.array([[6.0], [8.0]]), [0.0, 0.0, 15.0]]
    assert gradient_variance(history) == pytest.approx(np.var([5.0, 10.0, 15.0]))
    assert gradient_variance([5.0, 10.0, 15.0]) == pytest.approx(np.var([5.0, 10.0, 15.0]))
    assert gradient_variance([]) == gradient_variance([[1.0]]) == 0.0


def test_tiny_changes_of_large_norms_are_seen() -> None:
    history = [[1e6 + 1e-4 * k] for k in range(4)]
    assert gradient_variance(history) == pytest.approx(float(np.var([1e-4 * k for k in range(4)])), rel=1e-5)
