"""The numbers of one training step, at the cost of the fewest passes over the data."""

from __future__ import annotations

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

WINDOW = 10
"""Steps over which the variance of the gradient norms is taken."""
COMPONENTS_AT_LEAST = 8
"""Fewer components have no component variance: over one it is always 0, over a few it is chance."""

# Vectors are worked through in blocks that stay in the cache, so that each is fetched from memory once. It also keeps
# each dot product below the size from which BLAS starts threads, which would take cores from the training.
_BLOCK = 8_192
# mean(x^2) - mean(x)^2 loses log10(mean(x^2)/variance) digits: below this share the two-pass form is taken.
_CANCELS = 0.05
# Sums of squares outside this range have lost digits to underflow, or overflowed.
_TINY, _HUGE = 1e-280, 1e280


class StepStatistics:
    """Turns gradients and parameters into norms, variances and changes.

    Keeps what a step needs of those before it: the last parameters and the last gradient norms. Not safe for several
    threads at once: the caller holds a lock.
    """

    __slots__ = ("_norms", "_ones", "_parameters")

    def __init__(self) -> None:
        self._norms: deque[float] = deque(maxlen=WINDOW)
        self._parameters: Vector = np.empty(0)
        self._ones: Vector = np.empty(0)

    def measure(self, loss: float | None, gradient: Vector | None, parameters: Vector | None) -> dict[str, float]:
        """Take in a step; the fields of its record, without those of what is None.

        Most steps have everything and fit a block: those are measured right here, because calls, names and half-filled
        dictionaries would cost as much as the arithmetic. `gradient` and `parameters` are the same in general.
        """
        last = self._parameters
        if loss is None or gradient is None or parameters is None or len(parameters) != len(last):
            return self._measure_what_there_is(loss, gradient, parameters)
        n = len(gradient)
        ones = self._ones
        if n != len(ones) or n < COMPONENTS_AT_LEAST or len(last) > _BLOCK:
            return self._measure_what_there_is(loss, gradient, parameters)
        square, total = float(gradient.dot(gradient)), float(gradient.dot(ones))
        parameter_square = float(parameters.dot(parameters))
        if not (_TINY < square < _HUGE and _TINY < parameter_square < _HUGE):
            return self._measure_what_there_is(loss, gradient, parameters)
        norm = math.sqrt(square)
        mean = total / n
        mean_square = square / n
        variance = mean_square - mean * mean
        if variance < _CANCELS * mean_square:
            variance = _two_pass_variance(gradient, mean)
        np.subtract(parameters, last, last)
        change = float(last.dot(last))
        change = math.sqrt(change) if _TINY < change < _HUGE else _norm(last)
        last[:] = parameters
        norms = self._norms
        norms.append(norm)
        count = len(norms)
        spread = math.dist(norms, (sum(norms) / count,) * count)
        return {
            "loss": loss,
            "gradient_norm": norm,
            "gradient_variance": spread * spread / count,
            "gradient_component_variance": variance,
            "parameter_norm": math.sqrt(parameter_square),
            "parameter_change": change,
            "parameters": len(parameters),
        }

    def _measure_what_there_is(
        self, loss: float | None, gradient: Vector | None, parameters: Vector | None
    ) -> dict[str, float]:
        fields = {} if loss is None else {"loss": loss}
        if parameters is not None:
            fields["parameter_norm"], change = self.parameters(parameters)
            if change is not None:
                fields["parameter_change"] = change
            fields["parameters"] = len(parameters)
        if gradient is not None:  # last: where NumPy's warnings are errors, a step is measured again
            fields["gradient_norm"], fields["gradient_variance"], variance = self.gradient(gradient)
            if len(gradient) >= COMPONENTS_AT_LEAST:
                fields["gradient_component_variance"] = variance
        return fields

    def gradient(self, vector: Vector) -> tuple[float, float, float]:
        """Take in a gradient.

        Args:
            vector: its components, shape (n,), n > 0.

        Returns:
            Norm, population variance of the last 10 norms, population variance across the components.
        """
        n = len(vector)
        if n > _BLOCK:
            square, total = _square_and_sum(vector)
        else:
            if len(self._ones) != n:
                self._ones = np.ones(n)
            square = float(vector.dot(vector))
            # A dot product with ones takes a third of the time of sum(), and less than a library call does.
            total = float(vector.dot(self._ones))
        if _TINY < square < _HUGE:
            norm = math.sqrt(square)
            mean = total / n
            mean_square = square / n
            variance = mean_square - mean * mean
            if variance < _CANCELS * mean_square:
                variance = _two_pass_variance(vector, mean)
        else:
            norm, variance = _scaled_norm_and_variance(vector)
        return norm, self.norm(norm), variance

    def norm(self, norm: float) -> float:
        """Take in a gradient norm; the population variance of the last 10."""
        norms = self._norms
        norms.append(norm)
        count = len(norms)
        # math.dist is the root of the sum of squared differences: the two-pass form, at the speed of C.
        spread = math.dist(norms, (sum(norms) / count,) * count)
        return spread * spread / count

    def forget_parameters(self) -> None:
        """Measure the next change anew: what is kept of the last parameters may be half-way to a difference."""
        self._parameters = np.empty(0)

    def parameters(self, vector: Vector) -> tuple[float, float | None]:
        """Take in the parameters.

        Args:
            vector: the parameters, shape (n,), n > 0.

        Returns:
            Their norm, and the norm of their change; None if the step before had another number of them.
        """
        n = len(vector)
        last = self._parameters
        if len(last) != n:
            self._parameters = vector.copy()
            return math.hypot(*(_norm(vector[i : i + _BLOCK]) for i in range(0, n, _BLOCK))), None
        if n > _BLOCK:
            return _norm_and_change(vector, last)
        square = float(vector.dot(vector))
        np.subtract(vector, last, last)
        change = float(last.dot(last))
        change = math.sqrt(change) if _TINY < change < _HUGE else _norm(last)
        last[:] = vector
        return math.sqrt(square) if _TINY < square < _HUGE else _norm(vector), change


def _square_and_sum(vector: Vector) -> tuple[float, float]:
    ones = np.ones(_BLOCK)
    square = total = 0.0
    for i in range(0, len(vector), _BLOCK):
        block = vector[i : i + _BLOCK]
        square += float(block.dot(block))
        total += float(block.dot(ones[: len(block)]))
    return square, total


def _norm_and_change(vector: Vector, last: Vector) -> tuple[float, float]:
    """Norm of a vector and of its difference to ``last``, which becomes a copy of the vector."""
    norms, changes = [], []
    for i in range(0, len(vector), _BLOCK):
        block, old = vector[i : i + _BLOCK], last[i : i + _BLOCK]
        norms.append(_norm(block))
        np.subtract(block, old, old)
        changes.append(_norm(old))
        old[:] = block
    return math.hypot(*norms), math.hypot(*changes)


def _norm(vector: Vector) -> float:
    square = float(vector.dot(vector))
    if _TINY < square < _HUGE:
        return math.sqrt(square)
    if square == 0.0 and not np.count_nonzero(vector):  # parameters that stand still are common, and cheap to tell
        return 0.0
    return _scaled_norm_and_variance(vector)[0]


def _two_pass_variance(vector: Vector, mean: float) -> float:
    """Population variance by squared differences, corrected for the rounding of the mean."""
    square = total = 0.0
    for i in range(0, len(vector), _BLOCK):
        centred = vector[i : i + _BLOCK] - mean
        square += float(centred.dot(centred))
        total += float(centred.sum())
    return max(square - total * total / len(vector), 0.0) / len(vector)


def _scaled_norm_and_variance(vector: Vector) -> tuple[float, float]:
    """Norm and variance where squares leave the range of a double, or where something is not finite."""
    scale = float(np.abs(vector).max())
    if scale == 0.0:
        return 0.0, 0.0
    if not math.isfinite(scale):
        return scale, math.nan
    scaled = vector / scale
    mean = float(scaled.mean())
    return scale * math.sqrt(scaled.dot(scaled)), scale * scale * _two_pass_variance(scaled, mean)
