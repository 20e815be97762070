"""What a tracker is to us: one run in one tracking service, and what it is handed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from quantum_monitor.store.artifacts import Artifact


class RejectedError(Exception):
    """What was handed over will never be taken, however often it is tried: an invalid value, a refused name."""


class UnusableError(Exception):
    """The tracker cannot work in this process at all: its package is missing or too old. The text names the mend."""


class TrackedRun(NamedTuple):
    """The run to be tracked.

    Attributes:
        run_id: our id, unique over all machines.
        name: as the person gave it, else the short id; any text.
        experiment: its experiment; any text.
        started: Unix time in seconds.
        directory: the run's directory, where a tracker may keep files in a folder of its own; None if there is no disk.
        info: what ``run.json`` says: ``environment``, ``labels``, ``framework``, ``version`` and the rest.
    """

    run_id: str
    name: str
    experiment: str
    started: float
    directory: Path | None
    info: Mapping[str, Any]


class Opened(NamedTuple):
    """What opening a run found out.

    Attributes:
        known: texts to hand to the next `Tracker.open` of this run, such as the service's own id of it; never secrets.
        url: where a person finds the run; empty if nowhere.
        cursor: the last sequence number that the service itself knows to hold, where it can tell; None to trust ours.
    """

    known: Mapping[str, str]
    url: str = ""
    cursor: int | None = None


class Row(NamedTuple):
    """One record, as trackers show it.

    Attributes:
        sequence: the record's number in its run: 1, 2, 3 ... in the order of logging, the same at every delivery.
        time: Unix time in seconds.
        step: the training step; of a record that had none, its number among the records of its kind.
        kind: the record's kind: ``training``, ``state``, ``circuit``, ``backend``, ``system``, ``custom``, ``alert``.
        values: metric name to value, NaN and infinity included; a name may hold any character.
        labels: the record's labels: ``backend``, ``alert``, ``severity`` and the like.
    """

    sequence: int
    time: float
    step: int
    kind: str
    values: Mapping[str, float]
    labels: Mapping[str, str]


class Batch(NamedTuple):
    """What one delivery brings; delivering it once more changes nothing that anybody sees.

    Attributes:
        rows: in the order of their sequence numbers; may be empty.
        params: parameters of the run that are new or have changed, name to value as JSON knows it.
        tags: tags that are new or have changed, name to text; ours begin with ``quantum.``.
    """

    rows: Sequence[Row]
    params: Mapping[str, Any]
    tags: Mapping[str, str]


class Tracker(Protocol):
    """One run in one tracking service; an entry point of the group ``quantum_monitor.trackers`` names a factory.

    The factory is called with the options of this tracker, ``factory(options) -> Tracker``, and must not wait for a
    network. The calls come from one thread, one after the other, in a process apart from the training, and may take
    their time. What returns is acknowledged, what raises is tried again with growing pauses; `RejectedError` says that
    this piece never will be taken, `UnusableError` that the tracker cannot work here. After an error, or in another
    process after a crash, `open` is called again, and what was not acknowledged comes again: the tracker sees to it
    that nobody sees it twice.

    Attributes:
        destination: where it delivers to, in one line without secrets. What was delivered to another destination does
            not count as delivered.
    """

    @property
    def destination(self) -> str:
        """Where it delivers to."""

    def open(self, run: TrackedRun, known: Mapping[str, str]) -> Opened:
        """Create the run in the service, or find the one of an earlier `open`; ``known`` is what that one returned."""

    def deliver(self, batch: Batch) -> None:
        """Hand over rows, parameters and tags; returning acknowledges all of it."""

    def attach(self, artifact: Artifact) -> None:
        """Hand over a file or folder of the run; an artifact that is there already stays as it is."""

    def close(self, status: str, summary: Mapping[str, Any], *, ended: float) -> None:
        """End the run as ``completed``, ``failed``, ``stopped`` or ``killed``, or, ``running``, leave it open.

        ``summary`` is what ``get_comprehensive_summary`` said at the end; empty if there was no time for one. ``ended``
        is when the run ended, or was heard of last, in Unix seconds. Whatever was delivered is with the service when
        this returns.
        """
