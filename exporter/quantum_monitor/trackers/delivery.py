"""Delivery: what a run's store holds, brought to one tracker piece by piece, each piece once."""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from quantum_monitor.faults import FAULTS
from quantum_monitor.record import Record
from quantum_monitor.store import artifacts, runfile
from quantum_monitor.store.artifacts import Artifact
from quantum_monitor.store.reader import StoredRun
from quantum_monitor.trackers.protocol import Batch, RejectedError, Row, TrackedRun, Tracker
from quantum_monitor.trackers.rows import Rows
from quantum_monitor.trackers.state import StateFile
from quantum_monitor.trackers.tags import run_tags

_VALUES_AT_ONCE = 10_000
_ARTIFACT_TRIES = 3
REPORT = "report.html"
REPORT_PLACE = Path("trackers", REPORT)
"""Where it lies in the run's directory: what a person made with ``generate_report`` is theirs and stays."""

Condition = Literal["starting", "waiting", "delivering", "retrying", "delivered", "unusable"]


class Progress(NamedTuple):
    """How far a delivery has come.

    Attributes:
        delivered: sequence number of the last record acknowledged.
        artifacts: how many artifacts are there.
        dropped: how much the service refused for good.
        closed: the status the run was closed with; empty while it is open.
        url: where a person finds the run.
    """

    delivered: int
    artifacts: int
    dropped: int
    closed: str
    url: str


class Delivery:
    """Brings one run to one tracker.

    Not for several threads. Whatever a tracker raises goes through; after that `advance` opens the run again and goes
    on where the last acknowledgement was.

    Args:
        run: the run.
        name: the tracker's name.
        tracker: the tracker.
        directory: the run's directory; None where it has none, for there is no disk.
        over: whether a run that reads as running, of a writer that cannot be told to live, is known to be over.
    """

    def __init__(
        self, run: StoredRun, name: str, tracker: Tracker, *, directory: Path | None, over: bool = False
    ) -> None:
        self.run, self.name, self._tracker = run, name, tracker
        self._directory, self.over = directory, over
        self._file = StateFile(directory, name, tracker.destination)
        self._state = self._file.load()
        self._rows = Rows(self._state.rows)
        self._records: Iterator[tuple[int, Record]] = iter(())
        self._opened = False
        self._unsaved = False
        self._waiting: list[Artifact] = []
        self._artifact_next = True
        self._artifact_failures = 0

    @property
    def progress(self) -> Progress:
        """How far it has come."""
        state = self._state
        return Progress(state.cursor, state.artifacts, state.dropped, state.closed, state.url)

    @property
    def finished(self) -> bool:
        """Whether the run was closed, and nothing came after that."""
        return bool(self._state.closed) and not self._opened

    def pending(self) -> bool:
        """Whether there is something to deliver, or the run to be closed, as far as the files tell."""
        info = self.run.info
        status = self._status(info)
        return (
            self.run.last_sequence > self._state.cursor
            or bool(self._news(info))
            or bool(self._artifacts())
            or status not in {"running", self._state.closed}
        )

    def settled_before(self) -> bool:
        """Whether the run was delivered and closed already, as by a process that was killed just after that.

        Asks the files, not the service: `advance` opens the run in any case, and finds out what the service has lost.

        Raises:
            BusyError: another process delivers this run there.
        """
        self._claim()
        settled = bool(self._state.closed) and self._status(self.run.info) != "running" and not self.pending()
        if settled:
            self.release()
        return settled

    def advance(self) -> bool:
        """Deliver the next piece.

        Returns:
            False if there is nothing to deliver at the moment.

        Raises:
            BusyError: another process delivers this run there.
            UnusableError: the tracker cannot work in this process.
            Exception: whatever went wrong; calling again tries again.
        """
        try:
            return self._advance()
        except BaseException:
            self._opened = False
            if not self._unsaved:  # else the next claim would begin at what was saved
                self._file.unlock()
            raise

    def release(self) -> None:
        """Leave the run as it is, for another process or a later time to go on."""
        self._opened = False
        self._records = iter(())  # which may hold the database open
        self._file.unlock()

    def leave(self) -> None:
        """End the connection with what was delivered in place; the run stays open in the service."""
        if self._opened:
            self._tracker.close("running", {}, ended=time.time())
        self.release()

    def _advance(self) -> bool:
        info = self.run.info
        status = self._status(info)  # before the records are read: a run that has ended has all of them
        if not self._opened:
            self._claim()
            self._open(info)
        # In turns: records that keep coming do not keep an artifact waiting, nor does one that fails keep them.
        self._artifact_next = not self._artifact_next and not self._artifact_failures
        if self._artifact_next and self._advance_artifacts():
            return True
        if self._advance_rows(info):
            return True
        if status not in {"running", self._state.closed} and self._artifact_failures >= _ARTIFACT_TRIES:
            self._end(status, info)  # a file store whose keys are wrong does not keep the run open
            self._opened = False
            return True
        if self._advance_artifacts():
            return True
        if status != "running":
            self._end(status, info)
            self.release()
        return False

    def _advance_rows(self, info: Mapping[str, Any]) -> bool:
        rows = self._take()
        news = self._news(info)
        if rows or news:
            self._deliver(Batch(rows, *_split(news)), news)
        return bool(rows or news)

    def _advance_artifacts(self) -> bool:
        waiting = self._artifacts()
        if waiting:
            self._artifact_failures += 1
            self._attach(waiting[0])
            self._artifact_failures = 0
            self._state.artifacts, self._state.closed = waiting[0].number, ""
            self._save()
        return bool(waiting)

    def _status(self, info: Mapping[str, Any]) -> str:
        status = str(info.get("status", "running"))
        writer = runfile.writer_state(info)
        if status != "running":
            return "running" if writer == "alive" else status  # until the summary is there too
        return "killed" if writer == "gone" or (writer == "unknown" and self.over) else "running"

    def _claim(self) -> None:
        if self._file.lock():
            self._state = self._file.load()  # another process may have gone on with it
            self._rows = Rows(self._state.rows)

    def _open(self, info: Mapping[str, Any]) -> None:
        cursor = self._state.cursor
        opened = self._tracker.open(_tracked(info, self._directory), self._state.known)
        if opened.cursor == 0:  # it knows nothing of this run, or nothing any more
            self._state.artifacts, self._state.sent, self._state.closed = 0, {}, ""
        if opened.cursor is not None and opened.cursor != cursor:
            cursor = min(opened.cursor, self.run.last_sequence)
            self._rows = self._rows_at(cursor)
            if cursor < self._state.cursor:
                self._state.sent, self._state.closed = {}, ""
            self._state.cursor, self._state.rows = cursor, self._rows.remember()
        else:
            self._rows = Rows(self._state.rows)
        self._state.known = {str(name): str(value) for name, value in opened.known.items()}
        self._state.url = str(opened.url)
        self._records = iter(())
        self._opened = True
        self._save()

    def _rows_at(self, cursor: int) -> Rows:
        """The counts as they stand after the record at the cursor."""
        rows = Rows()
        for sequence, record in self.run.records():
            if sequence > cursor:
                break
            rows.row(sequence, record)
        return rows

    def _take(self) -> list[Row]:
        """The next rows, about as many values as one delivery should bring."""
        taken: list[Row] = []
        values = 0
        for attempt in range(2):
            for sequence, record in self._records:
                taken.append(self._rows.row(sequence, record))
                values += len(record.fields)
                if values >= _VALUES_AT_ONCE:
                    return taken
            if taken or attempt:
                break
            self._records = self.run.records(after=self._state.cursor)
        return taken

    def _news(self, info: Mapping[str, Any]) -> dict[tuple[str, str], Any]:
        """Parameters and tags that are new or have changed, by where they belong and name."""
        params = info.get("params")
        found = {("params", name): value for name, value in (params if isinstance(params, dict) else {}).items()}
        found |= {("tags", name): value for name, value in {**run_tags(info), **self._rows.tags()}.items()}
        return {key: value for key, value in found.items() if self._state.sent.get("/".join(key)) != _digest(value)}

    def _deliver(self, batch: Batch, news: Mapping[tuple[str, str], Any]) -> None:
        self._state.dropped += self._deliver_what_is_taken(batch)
        if batch.rows:
            self._state.cursor, self._state.time = batch.rows[-1].sequence, float(batch.rows[-1].time)
        self._state.rows = self._rows.remember()
        self._state.sent |= {"/".join(key): _digest(value) for key, value in news.items()}
        self._state.closed = ""
        self._save()

    def _deliver_what_is_taken(self, batch: Batch) -> int:
        """Deliver a batch; where it is refused, its halves, down to the single thing that is: how many there were."""
        try:
            self._tracker.deliver(batch)
        except RejectedError:
            parts = _halves(batch)
            if not parts:
                return 1
            return sum(self._deliver_what_is_taken(part) for part in parts)
        return 0

    def _artifacts(self) -> list[Artifact]:
        """The artifacts that wait; the index is read again only when those of the last time are all delivered."""
        self._waiting = [artifact for artifact in self._waiting if artifact.number > self._state.artifacts]
        if not self._waiting and self._directory is not None:
            self._waiting = artifacts.read(self._directory, after=self._state.artifacts)
        return self._waiting

    def _attach(self, artifact: Artifact) -> None:
        try:
            self._tracker.attach(artifact)
        except RejectedError:
            self._state.dropped += 1

    def _end(self, status: str, info: Mapping[str, Any]) -> None:
        if self._artifact_failures < _ARTIFACT_TRIES:
            self._artifact_failures += 1
            with _report(self.run, self._directory, status) as report:
                if report is not None:
                    self._attach(report)
            self._artifact_failures = 0
        summary = info.get("summary")
        ended = info.get("end_time") or self._state.time or info.get("start_time") or time.time()
        self._tracker.close(status, summary if isinstance(summary, dict) else {}, ended=float(ended))
        self._state.closed = status
        self._save()

    def _save(self) -> None:
        # What cannot be saved is delivered again some day, which the trackers see to that nobody sees.
        try:
            self._file.save(self._state)
        except OSError:
            self._unsaved = True
        else:
            self._unsaved = False


def deliver_all(delivery: Delivery, on_progress: Callable[[Progress], None] = lambda _: None) -> None:
    """Deliver until nothing is left, without patience for errors: what a person at a terminal wants."""
    while delivery.advance():
        on_progress(delivery.progress)
    on_progress(delivery.progress)


def _tracked(info: Mapping[str, Any], directory: Path | None) -> TrackedRun:
    started = info.get("start_time")
    return TrackedRun(
        run_id=str(info.get("run_id", "")),
        name=str(info.get("name", "")),
        experiment=str(info.get("experiment", "")),
        started=float(started) if isinstance(started, (int, float)) else time.time(),
        directory=directory,
        info=info,
    )


def _split(news: Mapping[tuple[str, str], Any]) -> tuple[dict[str, Any], dict[str, str]]:
    params = {name: value for (where, name), value in news.items() if where == "params"}
    return params, {name: value for (where, name), value in news.items() if where == "tags"}


def _halves(batch: Batch) -> list[Batch]:
    """Two smaller batches that make up this one; none where it is a single thing."""
    parts: list[Batch] = []
    if batch.rows and (batch.params or batch.tags):
        return [Batch(batch.rows, {}, {}), Batch((), batch.params, batch.tags)]
    if batch.params and batch.tags:
        return [Batch((), batch.params, {}), Batch((), {}, batch.tags)]
    rows, params, tags = batch
    if len(rows) > 1:
        parts = [Batch(half, {}, {}) for half in _halved(rows)]
    elif len(params) > 1:
        parts = [Batch((), dict(half), {}) for half in _halved(list(params.items()))]
    elif len(tags) > 1:
        parts = [Batch((), {}, dict(half)) for half in _halved(list(tags.items()))]
    elif len(rows) == 1 and len(rows[0].values) > 1:
        values = list(rows[0].values.items())
        parts = [Batch([rows[0]._replace(values=dict(half))], {}, {}) for half in _halved(values)]
    return parts


def _halved(things: Sequence[Any]) -> tuple[Sequence[Any], Sequence[Any]]:
    middle = len(things) // 2
    return things[:middle], things[middle:]


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:12]


@contextlib.contextmanager
def _report(run: StoredRun, directory: Path | None, status: str) -> Iterator[Artifact | None]:
    """The report of a run that has ended; None where it cannot be written."""
    from quantum_monitor.views.report import write_report

    with contextlib.ExitStack() as stack:
        folder = directory or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="quantum-monitor-")))
        try:
            (folder / REPORT_PLACE).parent.mkdir(exist_ok=True)
            path = write_report(run, folder / REPORT_PLACE, status)
        except Exception as error:  # noqa: BLE001 - a run that cannot be drawn is closed all the same
            FAULTS.rejected("report", error)
            yield None
            return
        yield Artifact(0, "report", REPORT, path, time.time(), {})
