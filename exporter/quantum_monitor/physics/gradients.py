"""Statistics of gradients, in double precision whatever the input."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from quantum_monitor.physics.states import as_numbers

_SAFE_SQUARES = (1e-280, 1e280)  # within these bounds a sum of squares in double has lost nothing that counts
_CANCELLATION = 0.01  # below this share of the mean square, mean(x^2) - mean(x)^2 loses more than two digits


@dataclass(frozen=True)
class ComponentStatistics:
    r"""Size and spread of one gradient.

    Attributes:
        norm: the 2-norm.
        variance: the variance across its components, mean of :math:`|x - \bar x|^2` (0 for one component).
        components: how many there are.
    """

    norm: float
    variance: float
    components: int


def component_statistics(gradient: Any) -> ComponentStatistics:
    """Return norm and component variance of a gradient, accurate to double precision.

    ``mean(x^2) - mean(x)^2`` is used only where it does not cancel, else a second pass over the differences from
    the mean.
    Squares that would leave the range of a double are scaled first.

    Args:
        gradient: real or complex numbers of any shape and precision, from any framework `as_state` reads arrays of.

    Returns:
        NaN where the gradient holds NaN or infinite values.

    Raises:
        ValueError: empty, or no numbers.
    """
    values = np.ravel(as_numbers(gradient, "gradient"))
    if values.size == 0:
        raise ValueError("gradient: empty; it needs one component or more")
    squares = _sum_of_squares(values)
    scale = 1.0
    if not _SAFE_SQUARES[0] < squares < _SAFE_SQUARES[1]:
        scale = float(np.abs(values.view(np.float64)).max())
        if not math.isfinite(scale):
            return ComponentStatistics(math.nan, math.nan, values.size)
        if scale == 0.0:
            return ComponentStatistics(0.0, 0.0, values.size)
        values = values / scale
        squares = _sum_of_squares(values)
    mean = complex(values.sum()) / values.size
    mean_square = squares / values.size
    variance = mean_square - abs(mean) ** 2
    if variance < _CANCELLATION * mean_square:
        difference = values - (mean if values.dtype.kind == "c" else mean.real)
        correction = abs(complex(difference.sum()) / values.size) ** 2  # what rounding of the mean itself adds
        variance = max(_sum_of_squares(difference) / values.size - correction, 0.0)
    return ComponentStatistics(math.sqrt(squares) * scale, variance * scale * scale, values.size)


def gradient_variance(history: Iterable[Any]) -> float:
    """Return the variance of the gradients' norms over a history.

    Args:
        history: gradients (arrays of any shape), or their norms (numbers), in any order.

    Returns:
        the population variance, 0 for fewer than two gradients; NaN where a gradient holds NaN or infinite values.

    Raises:
        ValueError: a gradient is empty or no numbers.
    """
    norms = [component_statistics(gradient).norm for gradient in history]
    return component_statistics(norms).variance if len(norms) > 1 else 0.0


def _sum_of_squares(values: Any) -> float:
    return float(np.vdot(values, values).real)
