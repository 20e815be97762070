"""Where records go beside the store: each sink tells how many wait for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

_SINKS: dict[str, Callable[[], int]] = {}


def register(name: str, backlog: Callable[[], int]) -> None:
    """Show a sink in the self metrics from now on; a later one of that name takes its place."""
    _SINKS[name] = backlog


def backlogs() -> Mapping[str, int]:
    """Sink to the number of records that wait for it."""
    return {name: backlog() for name, backlog in _SINKS.copy().items()}
