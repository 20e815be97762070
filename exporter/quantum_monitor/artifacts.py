"""What the artifact calls of a monitor do: take what they are handed, and leave the writing to the run's store."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quantum_monitor import models
from quantum_monitor.described import parameter
from quantum_monitor.environment import packages
from quantum_monitor.faults import FAULTS
from quantum_monitor.names import text
from quantum_monitor.store.artifact_writer import ArtifactStore, Written
from quantum_monitor.store.copying import FILE_LIMIT, copy_file, copy_folder, file_name, open_regular, write_file
from quantum_monitor.store.runfile import plain

_FIGURES = frozenset({".png", ".jpg", ".jpeg", ".gif", ".svg", ".pdf"})
_PAGES = frozenset({".html", ".md"})
_READ_AT_ONCE = 16 * 2**20
"""Bytes up to which a file is read in the call, so that it may be written to right after."""
_OPEN_AT_MOST = 100
"""Files that are held open while they wait: a process may have a thousand in all."""
_HELD: set[int] = set()
_BLOCK = 2**20
_SKIPPED_TOLD = 20


def log_artifact(store: ArtifactStore, path: Any, name: Any = None) -> None:
    """Take a file or folder of the user's: a small file is read here, all else copied in the background.

    Raises:
        ValueError: it is not there, may not be read, is too large, or is neither a file nor a folder.
    """
    try:
        given = os.fsdecode(path)
        source = Path(os.path.abspath(given))  # noqa: PTH100 - resolve() would ask the disk about each part
    except (TypeError, ValueError) as error:
        raise ValueError(f"path is {_shown(path)}: hand over the path of a file or folder") from error
    if not given:  # which would mean the working folder
        raise ValueError("path is empty: hand over the path of a file or folder")
    called = source.name if name is None else text(name)
    try:
        status = source.stat()
        if stat.S_ISDIR(status.st_mode):
            store.put("file", called, _Folder(source))
            return
        if status.st_size > FILE_LIMIT:
            raise ValueError(f"{source} has {status.st_size:,} bytes; a file may have {FILE_LIMIT:,}: log a part of it")
        store.put(_kind(source), called, _File(source, min(_READ_AT_ONCE, store.room)))
    except OSError as error:
        raise ValueError(f"{source} cannot be read: {error.strerror or error}") from error


def log_model(
    store: ArtifactStore,
    name: Any,
    parameters: Any,
    metadata: Any = None,
    *,
    register_as: Any = None,
    facts: Mapping[str, Any],
) -> None:
    """Copy a model's parameters here, to be written in the background.

    Args:
        store: the run's.
        name: what the model is called.
        parameters: see `models.take`.
        metadata: a mapping of the user's own; of a value whose text takes more than 10,000 characters, the beginning.
        register_as: name for a model registry.
        facts: what the monitor knows of the moment: run id, experiment, step, loss.

    Raises:
        ValueError: the parameters are none, or the metadata is no mapping.
    """
    if metadata is not None and not isinstance(metadata, Mapping):
        raise ValueError(f"metadata is {_shown(metadata)}: hand over a mapping")
    arrays = models.take(parameters)
    own = {text(key): parameter(value) for key, value in (metadata or {}).items()}
    told = plain({**facts, "time": time.time(), "packages": packages(), "metadata": own})
    content = models.Model(text(name), arrays, told)
    store.put("model", text(name), content, register_as=None if register_as is None else text(register_as))


def log_circuit(store: ArtifactStore, circuit: Any, name: Any) -> None:
    """Write a circuit down here, to be filed in the background.

    Raises:
        ValueError: it is no circuit that anybody here can read.
    """
    from quantum_monitor.views.circuits import circuit_files

    store.put("circuit", text(name), Texts(circuit_files(circuit, name=text(name))))


class Texts:
    """The content of an artifact that is a folder of texts."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._files = {file_name(name): content.encode("utf-8", "backslashreplace") for name, content in texts.items()}
        self.size = sum(map(len, self._files.values()))

    def write(self, folder: Path, version: int) -> Written:  # noqa: ARG002 - part of the protocol
        """Write the files."""
        for name, content in self._files.items():
            (folder / name).write_bytes(content)
        return Written("", {"files": sorted(self._files)})

    def discard(self) -> None:
        """Let go of the texts."""
        self._files = {}


class _File:
    """A file of the user's: read at once or, where it is larger than ``limit`` bytes, held open until it is copied.

    So it may be deleted right after. Only what is in memory may be written to as well.
    """

    def __init__(self, source: Path, limit: int) -> None:
        self._source = source
        self._data: bytes | None = None
        self._torn = False
        self._descriptor = self._open()
        if self._descriptor is None:
            self._status = source.stat()
            return
        try:
            self._status = os.fstat(self._descriptor)
            if self._status.st_size <= limit:
                self._data = _read(self._descriptor, limit)
                self._torn = self._is_changed(self._descriptor)
        except BaseException:
            self.discard()
            raise
        if self._data is not None or len(_HELD) >= _OPEN_AT_MOST:
            self._close()
        else:
            _HELD.add(self._descriptor)

    @property
    def size(self) -> int:
        return len(self._data or b"")

    def write(self, folder: Path, version: int) -> Written:  # noqa: ARG002 - part of the protocol
        name = file_name(self._source.name)
        if self._data is not None:
            write_file(self._data, folder / name, self._status.st_mode)
            size, changed = len(self._data), self._torn
        else:
            if self._descriptor is None:
                self._descriptor = open_regular(self._source)
            size = copy_file(self._descriptor, folder / name)
            changed = self._is_changed(self._descriptor)
        metadata: dict[str, Any] = {"file": self._source.name, "size": size}
        if changed:
            metadata["changed"] = True
            FAULTS.rejected(
                "log_artifact", f"{self._source} was written to while it was copied: what is kept may be torn"
            )
        return Written(name, metadata)

    def discard(self) -> None:
        self._data = None
        self._close()

    def _is_changed(self, descriptor: int) -> bool:
        after = os.fstat(descriptor)
        return (after.st_size, after.st_mtime_ns) != (self._status.st_size, self._status.st_mtime_ns)

    def _open(self) -> int | None:
        try:
            return open_regular(self._source)
        except OSError as error:
            if error.errno in {errno.EMFILE, errno.ENFILE}:
                return None  # the training needs what is left; the background will try
            raise

    def _close(self) -> None:
        if self._descriptor is not None:
            _HELD.discard(self._descriptor)
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = None


def _read(descriptor: int, limit: int) -> bytes | None:
    """What a file holds; None if that is more than ``limit`` bytes, whatever it said."""
    blocks: list[bytes] = []
    size = 0
    while size <= limit and (block := os.read(descriptor, _BLOCK)):
        blocks.append(block)
        size += len(block)
    return b"".join(blocks) if size <= limit else None


class _Folder:
    """A folder of the user's, walked in the background."""

    size = 0

    def __init__(self, source: Path) -> None:
        self._source = source

    def write(self, folder: Path, version: int) -> Written:  # noqa: ARG002 - part of the protocol
        artifacts = folder.parent
        storage = artifacts.parents[2]  # STORAGE/EXPERIMENT/RUN_ID/artifacts
        copied = copy_folder(self._source, folder, without=(artifacts, storage))
        metadata: dict[str, Any] = {"folder": self._source.name, "files": copied.files, "size": copied.size}
        if copied.skipped:
            metadata["skipped"] = copied.skipped[:_SKIPPED_TOLD]
            told = "; ".join(copied.skipped[:3])
            FAULTS.rejected("log_artifact", f"{self._source}: {len(copied.skipped)} entries are left out: {told}")
        return Written("", metadata)

    def discard(self) -> None:
        """Nothing is held."""


def _shown(value: object) -> str:
    """The beginning of an object's repr, or its type where that raises."""
    try:
        return f"{value!r:.200}"
    except Exception:  # noqa: BLE001 - a foreign object's __repr__ may raise anything
        return f"<{type(value).__name__}>"


def _kind(source: Path) -> str:
    ending = source.suffix.lower()
    if ending in _FIGURES:
        return "figure"
    return "report" if ending in _PAGES and source.name.lower().startswith("report") else "file"
