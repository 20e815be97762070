"""The runs of a folder as the page lists them: looked up by key, read again only where something has changed."""

from __future__ import annotations

import math
import os
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from quantum_monitor import masking
from quantum_monitor.store import runfile
from quantum_monitor.store.layout import DESCRIPTION, is_run

STATUSES = ("running", "completed", "failed", "stopped", "killed", "unreadable")
"""What a run may be here; ``unreadable`` is one whose ``run.json`` is damaged."""

_SCAN_EVERY = 0.9
_ENDED_RUNS_EVERY = 30.0
_SETTLED_NS = 2_000_000_000
_LARGEST_DESCRIPTION = 4 * 2**20
_LONGEST_TEXT = 200


@dataclass(frozen=True)
class Entry:
    """One run in the list.

    Attributes:
        key: what the browser calls it: the names of its folders below the one that is shown.
        directory: where it is.
        name: as it was given, or else its id.
        experiment: of the run.
        status: one of ``STATUSES``.
        start: Unix time in seconds; None where it is not known. ``end`` likewise, None while it runs.
        tags: as texts, without secrets; ``params`` likewise.
        problem: why its description cannot be read; empty if it can.
    """

    key: str
    directory: Path
    name: str
    experiment: str
    status: str
    start: float | None = None
    end: float | None = None
    tags: tuple[tuple[str, str], ...] = ()
    params: tuple[tuple[str, str], ...] = ()
    problem: str = ""

    @cached_property
    def searched(self) -> str:
        """The text that a search looks through."""
        named = (f"{name}={value}" for name, value in (*self.tags, *self.params))
        return "\n".join((self.name, self.experiment, self.key, *named)).casefold()


class _Listing(NamedTuple):
    changed: int
    settled: bool
    folders: list[Path]


class _Known(NamedTuple):
    stamp: tuple[int, int, int]
    looked: float
    info: Mapping[str, Any] | None
    entry: Entry


class RunList:
    """The runs at or below a folder, kept in step with the disk. Safe to use from several threads.

    A folder is listed again when its modification time has moved, a description read again when its file has; of runs
    that have ended that is asked every half minute only. So thousands of runs cost some milliseconds a look.

    Args:
        folder: a storage folder, an experiment's folder or a run's directory.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._lock = threading.Lock()
        self._scanned = -math.inf
        self._listings: dict[Path, _Listing] = {}
        self._known: dict[Path, _Known] = {}
        self._entries: list[Entry] = []
        self._by_key: dict[str, Entry] = {}

    def entries(self) -> list[Entry]:
        """All runs, the latest start first; at most a second old."""
        with self._lock:
            if time.monotonic() - self._scanned >= _SCAN_EVERY:
                self._scan()
                self._scanned = time.monotonic()
            return self._entries

    def get(self, key: str) -> Entry | None:
        """The run that the browser calls so; None where there is none."""
        self.entries()
        with self._lock:
            return self._by_key.get(key)

    def _scan(self) -> None:
        found: dict[Path, _Known] = {}
        for directory in self._directories():
            known = self._look(directory)
            if known is not None:
                found[directory] = known
        self._known = found
        entries = (known.entry for known in found.values())
        self._entries = sorted(entries, key=lambda entry: (entry.start or 0.0, entry.key), reverse=True)
        self._by_key = {entry.key: entry for entry in self._entries}

    def _directories(self) -> Iterable[Path]:
        """Directories that are runs or may become some, as `find_runs` looks for them."""
        if is_run(self.folder):
            return [self.folder]
        found: list[Path] = []
        listings: dict[Path, _Listing] = {}
        for folder in self._folders(self.folder, listings):
            if folder in self._known or is_run(folder):
                found.append(folder)
            else:
                found += self._folders(folder, listings)
        self._listings = listings
        return found

    def _folders(self, parent: Path, listings: dict[Path, _Listing]) -> list[Path]:
        try:
            changed = parent.stat().st_mtime_ns
            known = self._listings.get(parent)
            if known is None or known.changed != changed or not known.settled:
                # A change within the clock's grain of the last one would not show: young folders are listed again.
                settled = time.time_ns() - changed > _SETTLED_NS
                with os.scandir(parent) as children:
                    names = [c.name for c in children if not c.name.startswith(".") and c.is_dir(follow_symlinks=False)]
                known = _Listing(changed, settled, [parent / name for name in names])
        except OSError:
            return []
        listings[parent] = known
        return known.folders

    def _look(self, directory: Path) -> _Known | None:
        """What is known of a directory; None if it is no run."""
        now = time.monotonic()
        known = self._known.get(directory)
        if known is None and not is_run(directory):
            return None
        if known is not None and known.entry.end is not None and now - known.looked < _ENDED_RUNS_EVERY:
            return known
        file = directory / DESCRIPTION
        try:
            stat = file.lstat()
            stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if known is not None and known.stamp == stamp:
                if known.entry.status != "running":
                    return known._replace(looked=now)
                info, problem = known.info, known.entry.problem
            else:
                info, problem = _read(file, stat.st_size)
        except OSError:
            return None
        return _Known(stamp, now, info, _entry(self._key(directory), directory, info, problem))

    def _key(self, directory: Path) -> str:
        parts = directory.relative_to(self.folder).parts or (directory.name,)
        # What is not UTF-8 in a file name could not be told to the browser and back.
        return os.fsencode("/".join(parts)).decode("utf-8", "backslashreplace")


def _read(file: Path, size: int) -> tuple[Mapping[str, Any] | None, str]:
    """What a description says, or why that is unknown."""
    if size > _LARGEST_DESCRIPTION:
        return None, f"{DESCRIPTION} has {size:,} bytes, which no run writes; restore it from a copy"
    try:
        return runfile.read(file), ""
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        return None, str(error)


def _entry(key: str, directory: Path, info: Mapping[str, Any] | None, problem: str) -> Entry:
    if info is None:
        return Entry(key, directory, directory.name, directory.parent.name, "unreadable", problem=problem)
    status = str(info.get("status", "running"))
    if status == "running" and runfile.writer_state(info) == "gone":
        status = "killed"
    return Entry(
        key,
        directory,
        _text(info.get("name") or info.get("run_id") or directory.name),
        _text(info.get("experiment") or directory.parent.name),
        status if status in STATUSES else "stopped",
        seconds(info.get("start_time")),
        seconds(info.get("end_time")),
        _pairs(info.get("tags")),
        _pairs(info.get("params")),
    )


def _pairs(found: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(found, Mapping):
        return ()
    return tuple((_text(name), _text(value)) for name, value in masking.values(found).items())


def seconds(value: object) -> float | None:
    """A finite number as such; None for anything else."""
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


def _text(value: object) -> str:
    told = "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in masking.text(str(value))
    )
    return told if len(told) <= _LONGEST_TEXT else f"{told[: _LONGEST_TEXT - 1]}…"


def chosen(entries: Iterable[Entry], search: str = "", status: str = "all") -> list[Entry]:
    """The entries with a status (``all`` for any) in whose name, experiment, tags or params every word is found."""
    words = search.casefold().split()
    return [
        entry
        for entry in entries
        if status in {"all", entry.status} and (not words or all(word in entry.searched for word in words))
    ]


def counts(entries: Iterable[Entry]) -> dict[str, int]:
    """How many entries have each status, those that none has left out."""
    found = Counter(entry.status for entry in entries)
    return {status: found[status] for status in STATUSES if found[status]}
