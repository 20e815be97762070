"""What a training loop may hand over, and what it becomes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from quantum_monitor.tensors import to_float, to_step, to_vector


@pytest.mark.parametrize(
    "values",
    [
        [1, 2, 3],
        (1.0, 2.0, 3.0),
        np.array([1, 2, 3], dtype=np.int8),
        np.array([[1.0], [2.0], [3.0]], dtype=np.float32),
        [np.array([1.0, 2.0]), 3.0],
        [[1.0], None, [2.0, [3.0]]],
        {"a": 1.0, "b": np.array([2.0, 3.0])},
        np.array([1, 2, 3], dtype=object),
        np.array([1.0, 2.0, 3.0], dtype=np.longdouble),
    ],
    ids=repr,
)
def test_all_numbers_come_out_flat_and_double(values: Any) -> None:
    vector = to_vector(values, "x")
    assert vector.dtype == np.float64
    assert vector.tolist() == [1.0, 2.0, 3.0]


def test_a_complex_gradient_keeps_its_norm() -> None:
    vector = np.array([3 + 4j, 1j])
    assert np.linalg.norm(to_vector(vector, "x")) == pytest.approx(np.linalg.norm(vector))


def test_pennylane_tensors_are_read() -> None:
    pennylane = pytest.importorskip("pennylane")
    tensor = pennylane.numpy.array([[1.0, 2.0]], requires_grad=True)
    assert to_vector((tensor, tensor), "x").tolist() == [1.0, 2.0, 1.0, 2.0]
    assert to_float(tensor[0, 1], "x") == 2.0


def test_torch_tensors_are_read_with_gradients_and_in_half_precision() -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.tensor([1.0, 2.0], requires_grad=True)
    assert to_vector([tensor, None, tensor * 2], "x").tolist() == [1.0, 2.0, 2.0, 4.0]
    assert to_vector(torch.tensor([1.0, 2.0], dtype=torch.bfloat16), "x").tolist() == [1.0, 2.0]
    assert np.linalg.norm(to_vector(torch.tensor([3 + 4j]).conj(), "x")) == pytest.approx(5.0)
    assert to_float(torch.tensor(3.5, requires_grad=True), "x") == 3.5


def test_jax_arrays_are_read() -> None:
    jnp = pytest.importorskip("jax.numpy")
    assert to_vector({"w": jnp.ones(2), "b": jnp.zeros(1)}, "x").tolist() == [1.0, 1.0, 0.0]
    assert to_float(jnp.float32(2.5), "x") == 2.5


class _Hostile:
    def __array__(self, *_args: Any, **_kwargs: Any) -> Any:
        raise RuntimeError("no")

    def __repr__(self) -> Any:
        return "hostile"


@pytest.mark.parametrize(
    "values", ["text", b"bytes", ["a"], [], {}, [None], print, np.array(["1"]), np.array([]), _Hostile(), [[[["x"]]]]],
    ids=repr,
)  # fmt: skip
def test_what_holds_no_numbers_is_refused_with_its_name(values: Any) -> None:
    with pytest.raises(ValueError, match="gradients"):
        to_vector(values, "gradients")


def test_endless_nesting_is_refused() -> None:
    nested: list[object] = []
    nested.append(nested)
    with pytest.raises(ValueError, match="nested"):
        to_vector(nested, "x")


@pytest.mark.parametrize("value", [1.5, np.float32(1.5), np.array(1.5), np.array([[1.5]]), [1.5], 1.5 + 0j])
def test_one_number_is_read_from_whatever_holds_it(value: Any) -> None:
    assert to_float(value, "loss") == 1.5


@pytest.mark.parametrize("value", ["1.5", None, [1.0, 2.0], 1 + 1j, print, []], ids=repr)
def test_what_is_not_one_real_number_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="loss"):
        to_float(value, "loss")


def test_nan_stays_nan() -> None:
    assert math.isnan(to_float(math.nan, "loss"))


@pytest.mark.parametrize(("step", "number"), [(3, 3), (np.int32(3), 3), (3.0, 3), (-1, -1)])
def test_steps_are_whole_numbers(step: Any, number: Any) -> None:
    assert to_step(step) == number


@pytest.mark.parametrize("step", ["3", 3.5, math.nan, math.inf, 2**60, 10**400, [1, 2]], ids=lambda s: repr(s)[:20])
def test_other_steps_are_refused(step: Any) -> None:
    with pytest.raises(ValueError, match="step"):
        to_step(step)
