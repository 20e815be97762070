"""A tracker as a package may bring it: writes what it is handed to a file, and misbehaves as its options say."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from quantum_monitor.store.artifacts import Artifact
from quantum_monitor.trackers.protocol import Batch, Opened, RejectedError, TrackedRun, UnusableError

METADATA = {
    "METADATA": "Metadata-Version: 2.1\nName: filetracker\nVersion: 1.0\n",
    "entry_points.txt": (
        "[quantum_monitor.trackers]\nfile = plugin_tracker:FileTracker\nother = plugin_tracker:FileTracker\n"
        "broken = plugin_tracker:nothing_of_that_name\n"
    ),
}


class FileTracker:
    """Appends a line of JSON for each call to the file ``path``.

    Further options:
        fail: how many calls raise before one succeeds, counted over all processes.
        healthy: how many calls succeed before that.
        reject: names of values, parameters, tags and artifacts that are refused for good.
        hang: a file; no call returns before it exists.
        die: the process is killed after this sequence number was written, before that is acknowledged; once.
        latency: seconds that a delivery takes.
        exit: whether `deliver` calls `sys.exit`.
        unusable: why it cannot work here.
        cursor: what `open` reports.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self._path = Path(options["path"])
        self._calls = 0
        self.destination = f"file {self._path.name}"

    def open(self, run: TrackedRun, known: Mapping[str, str]) -> Opened:
        """Note the run."""
        if "unusable" in self._options:
            raise UnusableError(self._options["unusable"])
        self._write(open=run.run_id, known=dict(known), process=os.getpid(), modules=_foreign_modules())
        self._write(environment=os.environ.get("WANDB_FOUND_LATER", ""))
        self._misbehave()
        return Opened({"number": len(known)}, "file://runs", self._options.get("cursor"))  # type: ignore[dict-item]

    def deliver(self, batch: Batch) -> None:
        """Write the rows, parameters and tags."""
        self._misbehave()
        time.sleep(self._options.get("latency", 0))
        if self._options.get("exit"):
            sys.exit(1)
        names = [name for row in batch.rows for name in row.values]
        if refused := {*names, *batch.params, *batch.tags} & set(self._options.get("reject", ())):
            raise RejectedError(f"{sorted(refused)} will never do")
        self._write(rows=[row._asdict() for row in batch.rows], params=dict(batch.params), tags=dict(batch.tags))
        if any(row.sequence >= self._options.get("die", float("inf")) for row in batch.rows) and self._once("died"):
            os.kill(os.getpid(), signal.SIGKILL)

    def attach(self, artifact: Artifact) -> None:
        """Note the artifact."""
        self._misbehave()
        if artifact.name in self._options.get("reject", ()):
            raise RejectedError(artifact.name)
        self._write(artifact=artifact.name, kind=artifact.kind, size=artifact.path.stat().st_size)

    def close(self, status: str, summary: Mapping[str, Any], *, ended: float) -> None:
        """Note the end."""
        self._misbehave()
        self._write(close=status, summary=sorted(summary), ended=ended)

    def _write(self, **line: Any) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, json.dumps(line).encode() + b"\n")
        finally:
            os.close(descriptor)

    def _misbehave(self) -> None:
        while "hang" in self._options and not Path(self._options["hang"]).exists():
            time.sleep(0.01)
        self._calls += 1
        if self._calls > self._options.get("healthy", 0) and any(
            self._once(f"failed-{number}") for number in range(self._options.get("fail", 0))
        ):
            raise ConnectionError("the service is not there")

    def _once(self, what: str) -> bool:
        try:
            self._path.with_name(f"{self._path.name}.{what}").touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


class Received:
    """What arrived in the file of a `FileTracker`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def lines(self) -> list[dict[str, Any]]:
        """All calls, in their order."""
        return [json.loads(line) for line in self.path.read_bytes().splitlines()] if self.path.exists() else []

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows of all batches."""
        return list(self._all("rows"))

    @property
    def sequences(self) -> list[int]:
        """Their sequence numbers."""
        return [row["sequence"] for row in self.rows]

    @property
    def params(self) -> dict[str, Any]:
        """The parameters as they stand in the end."""
        return {name: value for line in self.lines for name, value in line.get("params", {}).items()}

    @property
    def tags(self) -> dict[str, str]:
        """The tags as they stand in the end."""
        return {name: value for line in self.lines for name, value in line.get("tags", {}).items()}

    @property
    def statuses(self) -> list[str]:
        """The statuses that runs were closed with."""
        return [line["close"] for line in self.lines if "close" in line]

    @property
    def artifacts(self) -> list[str]:
        """The names of artifacts, the report not among them."""
        return [line["artifact"] for line in self.lines if "artifact" in line and line["kind"] != "report"]

    @property
    def processes(self) -> list[int]:
        """Which processes have opened a run, in their order."""
        return [line["process"] for line in self.lines if "open" in line]

    def _all(self, key: str) -> Iterator[Any]:
        for line in self.lines:
            yield from line.get(key, ())


def _foreign_modules() -> list[str]:
    """Modules of this process that were found in its working folder."""
    here = str(Path.cwd())
    return [name for name, module in sys.modules.items() if str(getattr(module, "__file__", "")).startswith(here)]
