"""What W&B's run files hold: ``*.wandb``, a log of LevelDB's form with protocol buffers in it.

W&B writes such a file 32 KiB at a time. What is still on its way is gone when W&B's own process is, so whoever needs to
know what is there has to look.
"""

from __future__ import annotations

import errno
import os
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import Any

from quantum_monitor.store.copying import open_regular

STEPS_A_ROW = 1_000
"""What lies between the W&B steps of two rows: room for pictures."""

_OWN_LINK = "debug-core.log"  # W&B makes it, and writes nothing over it
_HEADER_SIZE = 7
_BLOCK = 32 * 1024
_CHUNK = Struct("<IHB")
_WHOLE, _FIRST, _LAST = 1, 2, 4


class RunFile:
    """One run file, read as it grows.

    Attributes:
        path: the file.
        run_id: W&B's id of the run; empty until it is known.
        project: its project.
        last_step: the highest ``_step`` in it, 0 if there is none.
        rows: how many rows it holds, without pictures.
        ended: whether W&B has finished it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.run_id = self.project = ""
        self.last_step = self.rows = 0
        self.ended = False
        self._offset = _HEADER_SIZE

    def read_on(self) -> bool:
        """Read what is new in it, up to the first record that is not there in one piece; whether there was anything."""
        before = self._offset
        for record in self._records():
            kind = record.WhichOneof("record_type")
            if kind == "history":
                step = record.history.step.num
                self.last_step = max(self.last_step, step)
                self.rows += step % STEPS_A_ROW == 0
            elif kind == "run" and not self.run_id:
                self.run_id, self.project = record.run.run_id, record.run.project
            elif kind == "exit":
                self.ended = True
        return self._offset > before

    def cut_what_is_torn(self) -> None:
        """Take off a record that is not there in one piece: ``wandb sync`` would leave all later files out.

        Only for a file of a run of ours that nobody writes any more.
        """
        descriptor = os.open(self.path, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            if stat.S_ISREG(status.st_mode) and status.st_size > self._offset:
                os.ftruncate(descriptor, self._offset)
        finally:
            os.close(descriptor)

    def _records(self) -> Iterator[Any]:
        from wandb.proto.wandb_internal_pb2 import Record

        with os.fdopen(open_regular(self.path, follow=False), "rb") as file:
            file.seek(self._offset)
            for data, end in _messages(file, self._offset):
                record = Record()
                try:
                    record.ParseFromString(data)
                except Exception:  # noqa: BLE001 - protobuf's own, which is torn for us
                    return
                self._offset = end
                yield record


def offline_files(folder: Path, run_id: str, project: str) -> list[RunFile]:
    """The offline files of a run below a folder, the earliest first; each has been read, and says whose it is."""
    found = []
    for path in sorted(folder.glob(f"wandb/offline-run-*/run-{run_id}.wandb")):
        file = RunFile(path)
        if path.parent.is_symlink() or not stat.S_ISREG(path.lstat().st_mode):
            continue
        file.read_on()
        if (file.run_id, file.project) == (run_id, project):
            found.append(file)
    return found


def expect_no_links(folder: Path) -> None:
    """Refuse a folder that is or holds a link, but W&B's own: what is written there would land elsewhere.

    Raises:
        OSError: there is one.
    """
    paths = [folder]
    while paths:
        path = paths.pop()
        if path.is_symlink():
            if path.name == _OWN_LINK:
                continue
            raise OSError(errno.ELOOP, "a run's folder may come from anywhere, and links in it are refused", str(path))
        if path.is_dir():
            paths.extend(path.iterdir())


def _messages(file: Any, offset: int) -> Iterator[tuple[bytes, int]]:
    """Each message with the offset behind it; ends where the file does, or where it is torn."""
    parts: list[bytes] = []
    while True:
        left = _BLOCK - offset % _BLOCK
        if left < _CHUNK.size:  # the rest of a block that no chunk fits in is padding
            file.seek(left, 1)
            offset += left
        head = file.read(_CHUNK.size)
        if len(head) < _CHUNK.size:
            return
        checksum, length, kind = _CHUNK.unpack(head)
        data = file.read(length)
        if len(data) < length or not kind or zlib.crc32(data, zlib.crc32(head[-1:])) != checksum:
            return
        offset += _CHUNK.size + length
        if kind in {_WHOLE, _FIRST}:
            parts = []
        parts.append(data)
        if kind in {_WHOLE, _LAST}:
            yield b"".join(parts), offset
