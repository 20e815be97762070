"""Reads back what a real offline run of W&B's wrote, by a reader of its own: not the one that is tested."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from wandb.proto.wandb_internal_pb2 import Record

from quantum_monitor.store import artifacts
from quantum_monitor.store.artifacts import Artifact

BLOCK = 32_768


class Written(NamedTuple):
    """Everything that the offline files of a run hold, those of an earlier start first."""

    rows: list[dict[str, Any]]
    config: dict[str, Any]
    summary: dict[str, Any]
    alerts: list[Any]
    artifacts: list[Any]
    exit_codes: list[int]
    runs: list[Any]
    preempted: int


def logged(directory: Path, name: str = "vqe", kind: str = "model", content: str = "[0.1]") -> Artifact:
    """An artifact in a run's index, as `log_artifact` and the like leave it."""
    path = f"artifacts/{kind}s/{name}"
    (directory / path).parent.mkdir(parents=True, exist_ok=True)
    (directory / path).write_text(content)
    entry = {"number": artifacts.last_number(directory) + 1, "kind": kind, "name": name, "path": path}
    artifacts.append(directory, {**entry, "time": 1.0, "metadata": {}, "register_as": None})
    return artifacts.read(directory)[-1]


def files(directory: Path) -> list[Path]:
    return sorted(directory.glob("wandb/offline-run-*/*.wandb"))


def written(directory: Path) -> Written:
    """What the files of all sessions of a run hold together."""
    found = Written([], {}, {}, [], [], [], [], 0)
    for record in (record for file in files(directory) for record in records(file)):
        kind = record.WhichOneof("record_type")
        if kind == "history":
            found.rows.append({_key(item): json.loads(item.value_json) for item in record.history.item})
        elif kind == "config":
            found.config.update({_key(item): json.loads(item.value_json) for item in record.config.update})
        elif kind == "summary":
            found.summary.update({_key(item): json.loads(item.value_json) for item in record.summary.update})
        elif kind == "alert":
            found.alerts.append(record.alert)
        elif kind == "artifact":
            found.artifacts.append(record.artifact)
        elif kind == "exit":
            found.exit_codes.append(record.exit.exit_code)
        elif kind == "run":
            found.runs.append(record.run)
        elif kind == "preempting":
            found = found._replace(preempted=found.preempted + 1)
    return found


def records(file: Path) -> Iterator[Any]:
    """The records of one file, block by block, up to where it is torn."""
    content = file.read_bytes()
    assert content[:4] == b":W&B", content[:7]
    message = b""
    for start in range(0, len(content), BLOCK):
        block = content[start : start + BLOCK]
        place = 0 if start else 7
        while place + 7 <= len(block):
            length = int.from_bytes(block[place + 4 : place + 6], "little")
            kind, data = block[place + 6], block[place + 7 : place + 7 + length]
            if kind == 0 or len(data) < length:
                return
            assert int.from_bytes(block[place : place + 4], "little") == zlib.crc32(bytes([kind]) + data)
            message += data
            place += 7 + length
            if kind in {1, 4}:
                record = Record()
                record.ParseFromString(message)
                message = b""
                yield record


def _key(item: Any) -> str:
    return "/".join(item.nested_key) or str(item.key)
