"""The memory limit of the control group (container) that this process runs in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class CgroupMemory(NamedTuple):
    """Memory of a control group in bytes: what may be used, and what is used without the page cache."""

    limit: int
    used: int


def cgroup_memory(root: Path = Path("/")) -> CgroupMemory | None:
    """Return the tightest memory limit above this process, or None where none is set.

    Version 1 (``memory.limit_in_bytes``) and 2 (``memory.max``) of control groups; outside Linux there are none. As
    "used" counts what container tools show: the usage less the inactive file cache, which the kernel gives back first.
    """
    found = [memory for folder, version in _folders(root) if (memory := _read(folder, version)) is not None]
    return min(found, default=None)


def _folders(root: Path) -> Iterator[tuple[Path, int]]:
    """Yield the control group's folder and those of its parents, whose limits hold as well."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        controllers, _, path = line.partition(":")[2].partition(":")
        if not path:
            continue  # not as documented
        if not controllers:
            base, version = root / "sys/fs/cgroup", 2
        elif "memory" in controllers.split(","):
            base, version = root / "sys/fs/cgroup/memory", 1
        else:
            continue
        leaf = base / path.lstrip("/")
        yield from ((folder, version) for folder in (leaf, *leaf.parents) if folder.is_relative_to(base))


def _read(folder: Path, version: int) -> CgroupMemory | None:
    limit, used, cache = (
        ("memory.max", "memory.current", "inactive_file")
        if version == 2
        else ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    )
    try:
        statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        in_use = int((folder / used).read_text()) - int(statistics.get(cache, 0))
        return CgroupMemory(int((folder / limit).read_text()), max(in_use, 0))
    except (OSError, ValueError):
        return None  # no such group in this mount, or "max": no limit
