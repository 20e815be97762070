"""Record: what one log call observed."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

NO_LABELS: Mapping[str, str] = MappingProxyType({})


class Record(NamedTuple):
    """What one log call observed, as numbers.

    A record is never changed after it was made: history, store and collector share the same object.

    Attributes:
        kind: what was observed: ``training``, ``state``, ``circuit``, ``backend``, ``system`` or ``custom``.
        time: Unix time of the observation in seconds.
        step: the training step it belongs to, or None.
        fields: field name to value; a field that was not measured is absent, NaN means it was measured as NaN.
        labels: what the values belong to, beside the run: ``backend``, ``status``, ``currency`` and the like.
    """

    kind: str
    time: float
    step: int | None
    fields: Mapping[str, float]
    labels: Mapping[str, str] = NO_LABELS
