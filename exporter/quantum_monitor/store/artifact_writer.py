"""ArtifactStore: the one writer of a run's artifacts, on a thread of its own."""

from __future__ import annotations

import contextlib
import errno
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
_PAUSES = (0.1, 0.4, 1.0)
"""Seconds before each further try at what a disk refuses."""
_LOOK_EVERY = 0.2


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
        """Write it into an empty folder, once more where that failed.

        Raises:
            OSError: the disk refuses.
            ValueError: the content does.
        """

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
        refusal: why it takes nothing from the beginning, such as ``closed``; empty if it does.
    """

    def __init__(self, directory: Path | None, *, refusal: str = "") -> None:
        self._directory = directory
        self._queue: deque[_Waiting] = deque()
        self._held = 0
        self._taken = self._done = 0
        self._kept = self._failed = 0
        self._refusal = refusal or ("" if directory else "no_disk")
        self._given_up = False
        self._temporary: Path | None = None
        self._thread: threading.Thread | None = None
        self._number = 0  # of the last entry in the index
        self._renew_locks()
        _OPEN.add(self)

    @property
    def backlog(self) -> int:
        """How many artifacts were put but are not written yet."""
        return self._taken - self._done

    @property
    def room(self) -> int:
        """Bytes of memory that an artifact may hold now."""
        return MEMORY_LIMIT - self._held

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

    def finish(self, patience: float = 5.0) -> bool:
        """Take no more, and wait as long as writing makes progress.

        Args:
            patience: seconds without a further artifact or byte after which there is no progress.

        Returns:
            False if something is left.
        """
        self.close(0)
        best, since = (-1, -1), 0.0
        while self.backlog and not self.flush(_LOOK_EVERY):
            reached = (self._kept, self._bytes())
            if reached > best:
                best, since = reached, time.monotonic()
            elif time.monotonic() - since > patience:
                return False
        return True

    def give_up(self) -> int:
        """Write no more: what waits is counted as dropped, and what was written of it is removed.

        Returns:
            How many artifacts those were.
        """
        with self._changed:
            if self._given_up or not self.backlog:
                return 0
            self._refusal, self._given_up = self._refusal or "closed", True
            waiting = list(self._queue)
            self._queue.clear()
            self._held -= sum(one.size for one in waiting)
            self._done += len(waiting)
            self._changed.notify_all()
            if self._temporary is None:  # one is on the way to its place, or between two tries
                self._changed.wait_for(lambda: not self.backlog, 1.0)
            temporary = self._temporary
            lost = self._taken - self._kept - self._failed
        for one in waiting:
            one.content.discard()
        if lost:
            FAULTS.dropped("artifacts", "closed", lost)
        if temporary is not None:
            # Under another name first: the thread may still be adding to it.
            left = temporary.with_name(f".{temporary.name}")
            with contextlib.suppress(OSError):
                temporary.rename(left)
            shutil.rmtree(left, ignore_errors=True)
        return lost

    def _bytes(self) -> int:
        """Bytes of the artifact being written that are on the disk; an empty file counts as one."""
        size = 0
        for folder, _, files in os.walk(self._temporary or ""):
            for file in files:
                with contextlib.suppress(OSError):
                    size += Path(folder, file).lstat().st_size or 1
        return size

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
                return "failed"
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
                self._write_patiently(waiting)
                self._kept += 1
            except (OSError, ValueError) as error:
                if self._lost():
                    FAULTS.rejected("artifacts", f"{waiting.kind} {waiting.name!r} is not kept: {error}")
            except Exception as error:  # noqa: BLE001 - the thread must outlive whatever a content does
                if self._lost():
                    FAULTS.internal("artifacts", error)
            finally:
                waiting.content.discard()
                with self._changed:
                    self._held -= waiting.size
                    self._done += 1
                    self._changed.notify_all()
                del waiting  # and the memory it holds

    def _lost(self) -> bool:
        """Count an artifact that cannot be written, unless it was given up and counted then."""
        with self._changed:
            if self._given_up:
                return False
            self._failed += 1
        FAULTS.dropped("artifacts", "failed")
        return True

    def _write_patiently(self, waiting: _Waiting) -> None:
        for pause in _PAUSES:
            try:
                return self._write(waiting)
            except FileNotFoundError:  # the person's folder or the run is gone, for good
                raise
            except OSError:
                with self._changed:
                    if self._changed.wait_for(lambda: self._given_up, pause):
                        raise
        return self._write(waiting)

    @property
    def _root(self) -> Path:
        assert self._directory is not None  # noqa: S101 - without a directory nothing is taken
        return self._directory / ARTIFACTS

    def _write(self, waiting: _Waiting) -> None:
        temporary = self._root / f".{secrets.token_hex(8)}.tmp"
        temporary.mkdir()
        try:
            self._note(temporary)
            versions = self._root / FOLDERS[waiting.kind] / safe_name(waiting.name)
            version = _next_version(versions)
            written = waiting.content.write(temporary, version)
            versions.mkdir(parents=True, exist_ok=True)
            place = versions / str(version)
            self._note(None)
            temporary.rename(place)
            temporary = place
            self._list(waiting, place / written.file, {**written.metadata, "version": version})
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        finally:
            self._temporary = None

    def _note(self, temporary: Path | None) -> None:
        """Note what is to be removed if the artifact is given up, which has not happened yet."""
        with self._changed:
            if self._given_up:
                raise OSError(errno.ECANCELED, "given up")
            self._temporary = temporary

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
        self._held = self._taken = self._done = self._kept = self._failed = 0
        self._temporary = None


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
