"""Moments as providers write them, as Unix time."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Any

_ISO = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d+))?\s*(Z|[+-]\d\d:?\d\d)?", re.IGNORECASE)


def unix_time(told: Any) -> float | None:
    """Seconds since 1970 of a datetime or of a text in ISO 8601; without a zone it is UTC. None for anything else.

    ``datetime.fromisoformat`` of Python 3.10 takes neither a ``Z`` nor nanoseconds, which IBM writes.
    """
    if isinstance(told, datetime):
        return (told if told.tzinfo else told.replace(tzinfo=timezone.utc)).timestamp()
    found = _ISO.fullmatch(told.strip()) if isinstance(told, str) else None
    if found is None:
        return None
    day, clock, fraction, zone = found.groups()
    offset = "+00:00" if zone is None or zone in "Zz" else zone if ":" in zone else f"{zone[:3]}:{zone[3:]}"
    try:
        whole = datetime.fromisoformat(f"{day}T{clock}{offset}").timestamp()
    except ValueError:
        return None
    return whole + float(f"0.{fraction or 0}")
