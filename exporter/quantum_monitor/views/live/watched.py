"""What the runs that somebody looks at amount to: kept in memory and followed, the least looked at forgotten first."""

from __future__ import annotations

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from quantum_monitor.store.layout import DATABASE
from quantum_monitor.store.reader import StoredRun
from quantum_monitor.views.observed import Observed

UNREADABLE = (OSError, ValueError, sqlite3.Error)
"""What reading a run raises when its directory is gone, damaged, or of a newer version."""

_RUNS_AT_MOST = 16

Stamp = tuple[tuple[int, int, int] | None, ...]


@dataclass
class _Run:
    lock: threading.Lock = field(default_factory=threading.Lock)
    observed: Observed = field(default_factory=Observed)
    stamp: Stamp = ()


class Watched:
    """The runs that are looked at. Safe to use from several threads.

    Args:
        at_most: how many are kept.
    """

    def __init__(self, at_most: int = _RUNS_AT_MOST) -> None:
        self._lock = threading.Lock()
        self._at_most = at_most
        self._runs: OrderedDict[Path, _Run] = OrderedDict()

    @contextmanager
    def following(self, directory: Path) -> Iterator[Observed]:
        """What a run amounts to by now; nobody else follows it within the block.

        Raises:
            OSError, ValueError, sqlite3.Error: it is gone, or cannot be read.
        """
        run = self._run(directory)
        with run.lock:
            stamp = _stamp(directory)
            if run.stamp[:1] != stamp[:1]:  # another file than before: the run was replaced
                run.observed = Observed()
            if run.stamp != stamp:
                try:
                    run.observed.follow(StoredRun(directory))
                except BaseException:
                    run.observed, run.stamp = Observed(), ()  # nobody knows how far it came
                    raise
                run.stamp = stamp
            yield run.observed

    def _run(self, directory: Path) -> _Run:
        with self._lock:
            run = self._runs.setdefault(directory, _Run())
            self._runs.move_to_end(directory)
            while len(self._runs) > self._at_most:
                self._runs.popitem(last=False)
            return run


def _stamp(directory: Path) -> Stamp:
    """What tells the records' files from what they were: first which file it is, then how far it was written.

    Raises:
        FileNotFoundError: there are none.
    """
    file = directory / DATABASE
    stat = file.stat()
    found: list[tuple[int, int, int] | None] = [(stat.st_dev, stat.st_ino, 0), (stat.st_mtime_ns, stat.st_size, 0)]
    try:
        log = file.with_name(f"{file.name}-wal").stat()
        found.append((log.st_mtime_ns, log.st_size, log.st_ino))
    except OSError:
        found.append(None)
    return tuple(found)
