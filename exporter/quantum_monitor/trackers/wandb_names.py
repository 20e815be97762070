"""Names as W&B takes them: two different ones of ours are never one there."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Collection, Mapping
from typing import Any, cast

from quantum_monitor.store.runfile import plain

STEP = "step"
RESERVED = frozenset({STEP, "status", "started", "ended", "report"})
"""Names that are ours in rows and summaries: a metric of that name is shown under another."""

_LONGEST_METRIC, _LONGEST_PATH = 200, 100
_LOOKS_HASHED = re.compile(r"-[0-9a-f]{12}\Z")
_REFUSED_IN_PATHS = re.compile(r"[^A-Za-z0-9._-]+")


def metric_name(name: str, *, reserved: Collection[str] = RESERVED) -> str:
    """A metric's or a parameter's name: as it is, but where W&B would hide it, drop it, or take it for its own.

    Such are names that are empty, begin with an underscore, have blanks at an end, hold control characters or are very
    long. They become a readable part and twelve digits of their SHA-256.

    Example:
        >>> metric_name("circuit/lightning.qubit/depth")
        'circuit/lightning.qubit/depth'
        >>> metric_name("_step")
        'step-97d583372ac3'
    """
    fine = name and name[0] != "_" and name.strip() == name and name.isprintable() and len(name) <= _LONGEST_METRIC
    if fine and name not in reserved and not _LOOKS_HASHED.search(name):
        return name
    slug = "".join(letter if letter.isprintable() else "-" for letter in name[:80]).strip("_ -")
    return f"{slug or 'unnamed'}-{_digest(name)}"


def path_name(name: str) -> str:
    """A name for what has an address at W&B: run ids, projects, artifacts."""
    slug = _REFUSED_IN_PATHS.sub("-", name)[:_LONGEST_PATH].strip(".-")
    if slug == name and slug and not _LOOKS_HASHED.search(slug):
        return slug
    return f"{slug or 'unnamed'}-{_digest(name)}"


def flat(summary: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """One level of keys, joined by slashes; lists as they are."""
    found: dict[str, Any] = {}
    for key, value in cast("dict[str, Any]", plain(summary)).items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            found |= flat(value, f"{name}/")
        elif not (isinstance(value, float) and not math.isfinite(value)):
            found[metric_name(name)] = value
    return found


def short_tags(tags: Mapping[str, str]) -> list[str]:
    """Tags as W&B takes them: one text of 64 characters at most each."""
    shown = [f"{name}:{value}" if value else name for name, value in tags.items()]
    return [tag for tag in shown if 1 <= len(tag) <= 64 and tag.isprintable()]


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:12]
