"""Artifacts of a run: files and folders below ``artifacts/``, and the index ``artifacts.jsonl`` that lists them."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple

from quantum_monitor.faults import FAULTS
from quantum_monitor.store.copying import open_regular
from quantum_monitor.store.layout import ARTIFACTS

INDEX = "artifacts.jsonl"
FOLDERS = {
    "model": "models",
    "circuit": "circuits",
    "profile": "profiles",
    "figure": "figures",
    "report": "reports",
    "file": "files",
}
"""Kind of artifact to its folder below ``artifacts/``."""

_LONGEST_LINE = 2**20


class Artifact(NamedTuple):
    """A file or folder that belongs to a run.

    Attributes:
        number: its place in the index, from 1.
        kind: ``model``, ``circuit``, ``profile``, ``figure``, ``report`` or ``file``.
        name: as the person gave it; any text.
        path: the file or folder itself, complete when the index names it.
        time: Unix time in seconds.
        metadata: what is known of it, as JSON.
        register_as: name under which a model registry shall list it; None for nowhere.
    """

    number: int
    kind: str
    name: str
    path: Path
    time: float
    metadata: Mapping[str, Any]
    register_as: str | None = None


def read(directory: str | Path, after: int = 0) -> list[Artifact]:
    """The artifacts of a run, in the order of their numbers, in whatever process and however its directory came here.

    What an index says is believed only as far as it stays inside the run: an entry whose path leaves the directory,
    is a link or holds one, is gone, or that is no entry at all is passed over and counted. So is, without counting, a
    last line that is not finished.

    Args:
        directory: the run's directory.
        after: only artifacts with higher numbers.
    """
    run = Path(directory)
    try:
        descriptor = open_regular(run / INDEX, follow=False)
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        FAULTS.rejected("artifacts", error)
        return []
    with os.fdopen(descriptor, "rb") as index:
        found = []
        last = after
        for entry in _entries(index):
            if entry["number"] <= last:
                continue
            try:
                found.append(_artifact(run, entry))
            except (OSError, ValueError, TypeError, OverflowError, RuntimeError) as error:
                FAULTS.rejected("artifacts", f"an artifact of {run} is passed over: {error}")
                continue
            last = entry["number"]
    return found


def _entries(index: BinaryIO) -> Iterator[dict[str, Any]]:
    """The lines that are whole and JSON objects with a number; others are counted."""
    while line := index.readline(_LONGEST_LINE):
        if not line.endswith(b"\n"):
            if len(line) < _LONGEST_LINE:
                return
            while line and not line.endswith(b"\n"):
                line = index.readline(_LONGEST_LINE)
            line = b""
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            entry = None
        if isinstance(entry, dict) and type(entry.get("number")) is int:
            yield entry
        else:
            FAULTS.rejected("artifacts", f"a line of {INDEX} is no entry")


def _artifact(run: Path, entry: Mapping[str, Any]) -> Artifact:
    kind, name, path = (_typed(entry, key, str) for key in ("kind", "name", "path"))
    if kind not in FOLDERS:
        raise ValueError(f"kind {kind!r} is none of {', '.join(FOLDERS)}")
    return Artifact(
        number=entry["number"],
        kind=kind,
        name=name,
        path=_inside(run, path),
        time=float(_typed(entry, "time", (int, float))),
        metadata=_typed(entry, "metadata", dict),
        register_as=_typed(entry, "register_as", (str, type(None))),
    )


def _typed(entry: Mapping[str, Any], key: str, kind: type | tuple[type, ...]) -> Any:
    value = entry.get(key)
    if not isinstance(value, kind):
        raise TypeError(f"{key} is {value!r:.100}")
    return value


def _inside(run: Path, text: str) -> Path:
    """The path of an artifact, which is a file or a folder of files and has no link on its way or in it."""
    relative = PurePosixPath(text)
    path = run.joinpath(*relative.parts)
    if relative.is_absolute() or ".." in relative.parts or len(relative.parts) < 2 or relative.parts[0] != ARTIFACTS:
        raise ValueError(f"path {text!r} does not lie below {ARTIFACTS}/")
    if path.resolve() != run.resolve().joinpath(*relative.parts):
        raise ValueError(f"path {text!r} leads over a link")
    folders = [path]
    while folders:
        file = folders.pop()
        mode = file.lstat().st_mode
        if stat.S_ISDIR(mode):
            folders.extend(file.iterdir())
        elif not stat.S_ISREG(mode):
            raise ValueError(f"path {text!r} is or holds a link, pipe or device: {file.name!r}")
    return path


def last_number(run: Path) -> int:
    """The number of the last entry of the index; 0 if there is none."""
    try:
        with (run / INDEX).open("rb") as index:
            return max((entry["number"] for entry in _entries(index)), default=0)
    except FileNotFoundError:
        return 0


def append(run: Path, entry: Mapping[str, Any]) -> None:
    """Add an entry to the index; what a killed writer left of a last line is cut off.

    Raises:
        OSError: the disk refuses; the index is as it was.
    """
    line = json.dumps(entry).encode() + b"\n"
    if len(line) > _LONGEST_LINE:
        FAULTS.rejected("artifacts", f"what is known of {entry['name']!r} is too long for {INDEX}")
        line = json.dumps({**entry, "metadata": {}}).encode() + b"\n"
    with (run / INDEX).open("a+b", buffering=0) as index:
        end = _end_of_last_line(index)
        index.truncate(end)
        try:
            _write_whole(index, line)
        except BaseException:
            index.truncate(end)
            raise


def _end_of_last_line(index: BinaryIO) -> int:
    end = index.seek(0, os.SEEK_END)
    while end:
        begin = max(0, end - 65_536)
        index.seek(begin)
        found = index.read(end - begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        end = begin
    return 0


def _write_whole(stream: BinaryIO, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[stream.write(rest) :]
