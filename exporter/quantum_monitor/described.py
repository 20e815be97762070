"""What a run was started with: parameters and tags, bounded in number and length."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from quantum_monitor import observe
from quantum_monitor.faults import FAULTS
from quantum_monitor.names import text
from quantum_monitor.store.runfile import plain

if TYPE_CHECKING:
    from quantum_monitor.run import Run

_FACTS_AT_MOST = 1_000
_FACT_NAME_LENGTH = 256
_FACT_LENGTH = 10_000


def describe(run: Run, what: str, given: Mapping[str, Any], convert: Callable[[Any], Any]) -> None:
    """Add parameters or tags to a run, as many as there is room for.

    Args:
        run: the run.
        what: ``params`` or ``tags``.
        given: names and values.
        convert: makes of a value what is kept.
    """
    entries = observe.usable(observe.entries, given, what) or ()
    values = {key[:_FACT_NAME_LENGTH]: convert(value) for key, value in entries}
    with run.lock:
        known: dict[str, Any] = getattr(run, what)
        room = _FACTS_AT_MOST - len(known)
        new = [key for key in values if key not in known]
        if len(new) > room:
            FAULTS.dropped(what, "limit", len(new) - room)
        kept = {key: value for key, value in values.items() if key in known or key in new[:room]}
        known.update(kept)
        run.store.describe(**{what: kept})


def tag(value: Any) -> str:
    """A value as its text, cut."""
    return text(value)[:_FACT_LENGTH]


def parameter(value: Any) -> Any:
    """A value as JSON can say it, or the beginning of its text where that would be long."""
    if type(value) in {bool, int, float}:
        return plain(value)
    # The text of a large array is short and quick, unlike its conversion to a list.
    told = text(value)
    if len(told) > _FACT_LENGTH or _entries(value) > _FACT_LENGTH // 10:
        return told[:_FACT_LENGTH]
    return plain(value)


def _entries(value: Any) -> int:
    """Number of entries of an array or tensor; 0 for anything else."""
    try:
        return int(value.numel() if hasattr(value, "numel") else getattr(value, "size", 0))
    except Exception:  # noqa: BLE001 - a foreign object may raise anything when it is looked at
        return 0
