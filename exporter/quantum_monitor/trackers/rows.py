"""From records to the rows that trackers show: metric names, steps, and what the rows say of the whole run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

from quantum_monitor.record import Record
from quantum_monitor.trackers.protocol import Row

_PLAIN_KINDS = frozenset({"training", "state", "custom"})
_BACKENDS_AT_MOST = 50
_NAMES_REMEMBERED = 10_000
_LARGEST = 2**53


class Rows:
    """Makes rows of the records of one run, in their order.

    A record without a training step gets its number among the records of its kind and backend. So the counts belong to
    the cursor: they are kept with it, and a delivery that goes on later numbers the same records the same way.

    Args:
        remembered: what `remember` said when the delivery stopped; empty at the beginning of a run.
    """

    def __init__(self, remembered: Mapping[str, Any] | None = None) -> None:
        known = remembered or {}
        counts, backends = known.get("counts"), known.get("backends")
        # The file may come from anywhere.
        self._counts = {str(k): n for k, n in counts.items() if _is_count(n)} if isinstance(counts, dict) else {}
        self._backends = [str(name) for name in backends] if isinstance(backends, list) else []
        qubits = known.get("qubits")
        self._qubits: int = qubits if _is_count(qubits) else 0
        self._names: dict[tuple[str, str, str], str] = {}

    def remember(self) -> dict[str, Any]:
        """What goes with the cursor, as JSON."""
        return {"counts": dict(self._counts), "backends": list(self._backends), "qubits": self._qubits}

    def tags(self) -> dict[str, str]:
        """What the rows so far say of the run: ``quantum.backend`` and ``quantum.qubits``."""
        tags = {}
        if self._backends:
            tags["quantum.backend"] = ", ".join(self._backends)
        if self._qubits:
            tags["quantum.qubits"] = str(self._qubits)
        return tags

    def row(self, sequence: int, record: Record) -> Row:
        """The row of a record."""
        kind, time, step, fields, labels = record
        backend = labels.get("backend", "")
        values: Mapping[str, float] = fields
        if kind not in _PLAIN_KINDS:
            place = labels.get("alert", "") if kind == "alert" else backend
            values = {self._name(kind, place, field): value for field, value in fields.items()}
        if kind in {"state", "circuit"}:
            self._note(kind, backend, fields)
        if step is None:
            series = f"{kind}/{backend}" if backend else kind
            step = self._counts[series] = self._counts.get(series, 0) + 1
        return Row(sequence, time, step, kind, values, dict(labels))

    def _note(self, kind: str, backend: str, fields: Mapping[str, float]) -> None:
        qubits = fields.get("qubits", 0)
        if qubits > self._qubits:
            self._qubits = int(qubits)
        if kind == "circuit" and backend not in self._backends and len(self._backends) < _BACKENDS_AT_MOST and backend:
            self._backends.append(backend)

    def _name(self, kind: str, place: str, field: str) -> str:
        key = (kind, place, field)
        name = self._names.get(key)
        if name is None:
            name = _alert_name(place, field) if kind == "alert" else "/".join(filter(None, key))
            if len(self._names) < _NAMES_REMEMBERED:
                self._names[key] = name
        return name


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and 0 <= value <= _LARGEST


def _alert_name(alert: str, field: str) -> str:
    """``alert/KEY`` is 1 while it fires and 0 when it is over; its value and its threshold stand below it."""
    return f"alert/{alert}" if field == "alert_firing" else f"alert/{alert}/{field.removeprefix('alert_')}"
