"""Whatever a training loop holds, as double-precision NumPy vectors and Python floats."""

from __future__ import annotations

import math
import reprlib
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

STEP_LIMIT = 2**53
"""Beyond it a double, which the store keeps, skips integers."""
_DEPTH_LIMIT = 8
_FLOAT64_BYTES = 8
_ROUNDING = 1e-9
"""An imaginary part below it, relative to numbers above 1, is none."""


def to_vector(values: Any, name: str) -> NDArray[np.float64]:
    """All numbers of an array-like, flattened, in double precision.

    Args:
        values: a NumPy array, a PyTorch tensor on any device (with or without gradient), a JAX array, a PennyLane
            tensor, a number, or lists, tuples and mappings of these; None inside a list (a parameter without a
            gradient) is passed over. Complex values become (real, imaginary) pairs, which keeps every norm.
        name: what the caller calls it, for the error.

    Returns:
        Shape (n,), n > 0. It may share memory with the input.

    Raises:
        ValueError: nothing in it, or not numbers.
    """
    # PennyLane's and autograd's tensors are arrays of a subclass: the next common case after plain arrays.
    plain = isinstance(values, np.ndarray) and values.dtype.kind == "f"
    array: NDArray[Any] = np.asarray(values) if plain else _as_array(values, name, 0)
    if array.size == 0:
        raise ValueError(f"{name} is empty: hand over at least one number")
    if array.dtype.kind == "c":
        array = np.ascontiguousarray(array, dtype=np.complex128).ravel().view(np.float64)
    if array.dtype.kind == "f" and array.dtype.itemsize > _FLOAT64_BYTES:
        with np.errstate(over="ignore"):  # an extended-precision number beyond a double's range is infinite
            array = array.astype(np.float64)
    return np.asarray(array, dtype=np.float64).ravel()


def to_reals(values: Any, name: str) -> NDArray[np.float64]:
    """The same for real numbers only: of complex ones, parts would be taken for values.

    Raises:
        ValueError: nothing in it, not numbers, or an imaginary part above rounding.
    """
    array = _as_array(values, name, 0)
    if array.dtype.kind == "c":
        if not np.abs(array.imag).max(initial=0.0) <= _ROUNDING * max(1.0, np.abs(array.real).max(initial=0.0)):
            raise ValueError(f"{name} is complex: hand over real numbers, such as its magnitude")
        array = array.real
    return to_vector(array, name)


def to_float(value: Any, name: str) -> float:
    """One number as a float: a Python or NumPy number, or an array or tensor of one element.

    Raises:
        ValueError: not one real number (text, None, several numbers, an imaginary part).
    """
    if isinstance(value, (float, int)) and -sys.float_info.max <= value <= sys.float_info.max:
        return float(value)
    if isinstance(value, float):
        return value  # NaN or infinite
    array = _as_array(value, name, 0)
    if array.size != 1:
        raise ValueError(f"{name} has shape {array.shape}: hand over one number")
    number: Any = array.reshape(())[()]
    if array.dtype.kind == "c":
        if not abs(number.imag) <= _ROUNDING * max(1.0, abs(number.real)):
            raise ValueError(f"{name} is {number}: hand over a real number")
        number = number.real
    return float(number)


def to_step(step: Any, name: str = "step") -> int:
    """A step number as int.

    Raises:
        ValueError: not a whole number, or beyond 2**53, where a double skips integers.
    """
    number = to_float(step, name)
    if not math.isfinite(number) or number != int(number) or abs(number) > STEP_LIMIT:
        raise ValueError(f"{name} is {reprlib.repr(step)}: hand over a whole number of at most 2**53")
    return int(number)


def _as_array(values: Any, name: str, depth: int) -> NDArray[Any]:
    if values is None or isinstance(values, (str, bytes)):
        raise ValueError(f"{name} is {reprlib.repr(values)}: hand over numbers")
    if hasattr(values, "detach"):  # PyTorch, without importing it; resolve_conj: numpy() refuses a lazy conjugate
        values = values.detach().cpu().resolve_conj().resolve_neg()
        if str(values.dtype) in ("torch.bfloat16", "torch.float16"):
            values = values.float()
        values = values.numpy()
    elif isinstance(values, Mapping):
        values = list(values.values())
    if isinstance(values, (list, tuple)) and not all(isinstance(value, (float, int)) for value in values):
        if depth >= _DEPTH_LIMIT:
            raise ValueError(f"{name} is nested more than {_DEPTH_LIMIT} deep")
        parts = [_as_array(value, name, depth + 1).ravel() for value in values if value is not None]
        return np.concatenate(parts) if parts else np.empty(0)
    try:
        array = np.asarray(values)
        if array.dtype.kind == "O":
            array = np.asarray(values, dtype=np.complex128 if _has_complex(array) else np.float64)
    except Exception as error:  # a foreign object's __array__ may raise anything
        raise ValueError(f"{name} is {type(values).__name__} {reprlib.repr(values)}: hand over numbers") from error
    if array.dtype.kind not in "fiubc":
        raise ValueError(f"{name} is {type(values).__name__} {reprlib.repr(values)}: hand over numbers")
    return array


def _has_complex(array: NDArray[Any]) -> bool:
    return any(isinstance(value, complex) for value in array.flat)
