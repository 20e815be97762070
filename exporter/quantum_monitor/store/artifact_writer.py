"""ArtifactStore: the one writer of a run's artifacts, on a thread of its own."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import threading
import time
import weakref
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from quantum_monitor.faults import FAULTS
from quantum_monitor.store.artifacts import FOLDERS, append, last_number
from quantum_monitor.store.layout import ARTIFACTS, safe_name
from quantum_monitor.store.runfile import plain

QUEUE_LIMIT = 1_000
"""Artifacts of a run that may wait to be written."""
MEMORY_LIMIT = 2**30
"""Bytes of memory that they may hold together."""

_NAME_LENGTH = 1_000


class Written(NamedTuple):
    """What writing an artifact came to.

    Attributes:
        file: the file within its folder that is the artifact; empty if the folder is.
        metadata: what is known of it.
    """

    file: str
    metadata: Mapping[str, Any]


class Content(Protocol):
    """What an artifact will hold, taken in the caller's thread and written in another."""

    @property
    def size(self) -> int:
        """Bytes of memory that it holds."""

    def write(self, folder: Path, version: int) -> Written:
        """Write it into an empty folder; raises OSError where the disk refuses, ValueError where the content does."""

    def discard(self) -> None:
        """Let go of what it holds; called once, whether it was written or not."""


class _Waiting(NamedTuple):
    kind: str
    name: str
    content: Content
    size: int
    time: float
    register_as: str | None


class ArtifactStore:
    """Writes the artifacts of one run.

    ``put`` only queues; a daemon thread, started by the first artifact, writes each into a temporary folder, moves it
    to its place ``artifacts/KINDS/NAME/VERSION`` and adds a line to the index. So whatever the index lists is
    complete, also after SIGKILL. A forked child's copy takes nothing and touches nothing.

    Args:
        directory: the run's directory; None if its records are kept in memory: then artifacts are dropped and counted.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._queue: deque[_Waiting] = deque()
        self._held = 0
        self._taken = self._done = 0
        self._refusal = "" if directory else "no_disk"
        self._thread: threading.Thread | None = None
        self._number = 0  # of the last entry in the index
        self._renew_locks()
        _OPEN.add(self)

    @property
    def backlog(self) -> int:
        """How many artifacts were put but are not written yet."""
        return self._taken - self._done

    def put(self, kind: str, name: str, content: Content, *, register_as: str | None = None) -> bool:
        """Hand over an artifact; never waits and never raises.

        Returns:
            False if it was dropped, and counted: the queue or the memory is full, there is no disk, the run has ended.
        """
        size = content.size
        with self._changed:
            reason = self._refusal or ("" if self._has_room(size) else "queue_full") or self._start()
            if not reason:
                waiting = _Waiting(kind, name[:_NAME_LENGTH], content, size, time.time(), register_as)
                # A signal handler may have ended the run since the first line of this block, or do so right now.
                self._queue.append(waiting)
                self._held += size
                self._taken += 1
                self._changed.notify_all()
                reason = self._take_back(waiting) if self._refusal else ""
        if not reason:
            return True
        FAULTS.dropped("artifacts", reason)
        content.discard()
        return False

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until everything put so far is written or has failed; False if ``timeout`` seconds did not do."""
        with self._changed:
            wanted = self._taken
            return self._refusal != "forked" and self._changed.wait_for(lambda: self._done >= wanted, timeout)

    def close(self, timeout: float = 5.0) -> bool:
        """Take no more, and wait for what is on its way; harmless a second time.

        Returns:
            False if ``timeout`` seconds did not do; the thread goes on while the process lives.
        """
        with self._changed:
            self._refusal = self._refusal or "closed"
            self._changed.notify_all()
        return self.flush(timeout)

    def _take_back(self, waiting: _Waiting) -> str:
        if waiting not in self._queue:
            return ""
        self._queue.remove(waiting)
        self._held -= waiting.size
        self._taken -= 1
        return self._refusal

    def _has_room(self, size: int) -> bool:
        return self.backlog < QUEUE_LIMIT and self._held + size <= MEMORY_LIMIT

    def _start(self) -> str:
        if self._thread is None:
            thread = threading.Thread(target=self._serve, name="quantum-monitor-artifacts", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the interpreter is going down, or the system has no more threads
                return "no_thread"
            self._thread = thread
        return ""

    # The thread

    def _serve(self) -> None:
        _remove_leftovers(self._root)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._refusal)
                if not self._queue:
                    return
                waiting = self._queue.popleft()
            try:
                self._write(waiting)
            except (OSError, ValueError) as error:
                FAULTS.rejected("artifacts", f"{waiting.kind} {waiting.name!r} is not kept: {error}")
            except Exception as error:  # noqa: BLE001 - the thread must outlive whatever a content does
                FAULTS.internal("artifacts", error)
            finally:
                waiting.content.discard()
                with self._changed:
                    self._held -= waiting.size
                    self._done += 1
                    self._changed.notify_all()
                del waiting  # and the memory it holds

    @property
    def _root(self) -> Path:
        assert self._directory is not None  # noqa: S101 - without a directory nothing is taken
        return self._directory / ARTIFACTS

    def _write(self, waiting: _Waiting) -> None:
        temporary = self._root / f".{secrets.token_hex(8)}.tmp"
        temporary.mkdir()
        try:
            versions = self._root / FOLDERS[waiting.kind] / safe_name(waiting.name)
            version = _next_version(versions)
            written = waiting.content.write(temporary, version)
            versions.mkdir(parents=True, exist_ok=True)
            place = versions / str(version)
            temporary.rename(place)
            temporary = place
            self._list(waiting, place / written.file, {**written.metadata, "version": version})
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise

    def _list(self, waiting: _Waiting, path: Path, metadata: Mapping[str, Any]) -> None:
        run = self._root.parent
        self._number = self._number or last_number(run)
        entry = {
            "number": self._number + 1,
            "kind": waiting.kind,
            "name": waiting.name,
            "path": path.relative_to(run).as_posix(),
            "time": waiting.time,
            "metadata": plain(metadata),
            "register_as": waiting.register_as,
        }
        append(run, entry)
        self._number += 1

    # Forks

    def _renew_locks(self) -> None:
        # Reentrant, as conditions are: a signal handler may interrupt `put`, and end the run.
        self._changed = threading.Condition()

    def _forked(self) -> None:
        """In a forked child: take no more, and leave the parent's files alone."""
        self._refusal = "forked"
        self._renew_locks()
        while self._queue:
            self._queue.popleft().content.discard()
        self._held = self._taken = self._done = 0


def _next_version(versions: Path) -> int:
    taken = [int(folder.name) for folder in versions.glob("*") if folder.name.isdecimal()]
    return 1 + max(taken, default=0)


def _remove_leftovers(root: Path) -> None:
    """Remove what an earlier, killed writer of this run had begun; the run has one writer at a time."""
    with contextlib.suppress(OSError):
        for leftover in root.glob(".*.tmp"):
            shutil.rmtree(leftover, ignore_errors=True)


_OPEN: weakref.WeakSet[ArtifactStore] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for store in list(_OPEN):
        store._forked()


os.register_at_fork(after_in_child=_after_fork_in_child)
