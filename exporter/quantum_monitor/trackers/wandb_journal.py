"""What was handed to W&B and may not have arrived, kept beside the run until W&B has finished a session well.

A run's folder may come from anywhere, and may be elsewhere tomorrow: artifacts are kept by number, which the run's own
index resolves, and nothing is written or read over a link.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from quantum_monitor.store import artifacts
from quantum_monitor.store.artifacts import Artifact
from quantum_monitor.store.copying import open_regular
from quantum_monitor.store.runfile import plain
from quantum_monitor.trackers.delivery import REPORT, REPORT_PLACE
from quantum_monitor.trackers.state import FOLDER

_LONGEST = 64 * 2**20
_REPORT_NUMBER = 0
_SAFELY = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Journal:
    """Settings and artifacts of a session that has not ended yet.

    Args:
        directory: the run's directory; None to remember nothing.
        destination: where they go; each place has a journal of its own.
    """

    def __init__(self, directory: Path | None, destination: str) -> None:
        digest = hashlib.sha256(destination.encode("utf-8", "surrogatepass")).hexdigest()[:12]
        self._directory = directory
        self._name = f"wandb-{digest}.jsonl"

    def config(self, config: Mapping[str, Any]) -> None:
        """Note settings."""
        self._append({"config": config})

    def artifact(self, artifact: Artifact) -> None:
        """Note an artifact."""
        self._append({"artifact": artifact.number})

    def read(self) -> tuple[dict[str, Any], list[Artifact]]:
        """The settings, later ones over earlier ones, and the artifacts that the run still has."""
        config: dict[str, Any] = {}
        numbers: dict[int, None] = {}
        for entry in self._entries():
            if isinstance(entry.get("config"), dict):
                config.update(entry["config"])
            elif type(entry.get("artifact")) is int:
                numbers[entry["artifact"]] = None
        found = self._artifacts() if numbers else {}
        return config, [found[number] for number in numbers if number in found]

    def clear(self) -> None:
        """Forget all of it: it has arrived."""
        if self._directory is not None:
            with _opened(self._directory) as folder, contextlib.suppress(FileNotFoundError):
                os.unlink(self._name, dir_fd=folder)

    def _artifacts(self) -> dict[int, Artifact]:
        if self._directory is None:
            return {}
        found = {artifact.number: artifact for artifact in artifacts.read(self._directory)}
        report = self._directory / REPORT_PLACE
        with contextlib.suppress(OSError, ValueError):
            descriptor = open_regular(report, follow=False)
            written = os.fstat(descriptor).st_mtime
            os.close(descriptor)
            found[_REPORT_NUMBER] = Artifact(_REPORT_NUMBER, "report", REPORT, report, written, {})
        return found

    def _append(self, entry: Mapping[str, Any]) -> None:
        if self._directory is not None:
            line = "\n" + json.dumps(plain(entry), allow_nan=False) + "\n"  # what a kill left of a line stays apart
            descriptor = self._open(os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(line)

    def _entries(self) -> list[dict[str, Any]]:
        try:
            descriptor = self._open(os.O_RDONLY)
        except FileNotFoundError:
            return []
        with os.fdopen(descriptor, encoding="utf-8", errors="replace") as file:
            lines = file.read(_LONGEST).splitlines()
        entries = []
        for line in lines:
            try:
                entry = json.loads(line)
            except (ValueError, RecursionError):  # the last line of a process that was killed
                continue
            if isinstance(entry, dict):
                entries.append(entry)
        return entries

    def _open(self, flags: int) -> int:
        """A descriptor of the file.

        Raises:
            FileNotFoundError: there is none, and it was not to be made.
            OSError: it is a link or no file, or the disk refuses.
        """
        if self._directory is None:
            raise FileNotFoundError(self._name)
        with _opened(self._directory) as folder:
            descriptor = os.open(self._name, flags | _SAFELY, 0o666, dir_fd=folder)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(f"{self._directory / FOLDER / self._name} is not a file; remove it")
        return descriptor


@contextlib.contextmanager
def _opened(directory: Path) -> Iterator[int]:
    """A descriptor of the folder that the journal is in, which is made where it is missing, and is no link."""
    run = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(FOLDER, dir_fd=run)
        folder = os.open(FOLDER, os.O_RDONLY | os.O_DIRECTORY | _SAFELY, dir_fd=run)
    finally:
        os.close(run)
    try:
        yield folder
    finally:
        os.close(folder)
