"""records.db: its schema, its migrations, and how it is opened for writing and for reading."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tempfile
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import groupby
from pathlib import Path
from typing import Literal

import psutil

from quantum_monitor.record import Record
from quantum_monitor.store import states
from quantum_monitor.store.blocks import Packer, write

# The table of snapshots (`states.TABLE`) came later and is no version of its own: it only adds, whoever does not know
# it is not disturbed, and readers of a database of an older version pay for a migrated copy of all its records.
SCHEMA_VERSION = 2
_TABLES = (
    "CREATE TABLE shapes(id INTEGER PRIMARY KEY, kind TEXT NOT NULL, labels TEXT NOT NULL, fields TEXT NOT NULL)",
    """CREATE TABLE blocks(
        first INTEGER PRIMARY KEY,  -- sequence number of the block's first record
        batch INTEGER NOT NULL,     -- first and last sequence number of the batch: the blocks of a batch interleave
        last INTEGER NOT NULL,
        shape INTEGER NOT NULL,
        data BLOB NOT NULL)         -- rows of little-endian doubles: sequence, time, step or NaN, *values""",
    "CREATE INDEX blocks_of_shape ON blocks(shape)",
)

# Shared memory, which the write-ahead log needs, does not work between the machines that share these.
_NETWORK_FILE_SYSTEMS = frozenset(
    {
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "fuse.ceph",
        "fuse.glusterfs",
        "fuse.s3fs",
        "fuse.sshfs",
        "fuse.vmhgfs-fuse",
    }
    | {
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs3",
        "nfs4",
        "smb",
        "smb2",
        "smb3",
        "smbfs",
        "virtiofs",
        "webdav",
    }
)

JournalMode = Literal["WAL", "TRUNCATE"]


def journal_mode(file_system: str) -> JournalMode:
    """The journal that works on a type of file system (``ext4``, ``nfs4`` ...): the write-ahead log where it can."""
    return "TRUNCATE" if file_system.lower() in _NETWORK_FILE_SYSTEMS else "WAL"


def file_system(path: Path) -> str:
    """The type of the file system that holds ``path``; empty where the system does not say."""
    try:
        partitions = psutil.disk_partitions(all=True)
    except (OSError, RuntimeError):
        return ""
    target = path.resolve()
    around = [partition for partition in partitions if target.is_relative_to(partition.mountpoint)]
    # Of two mounts on one point the later hides the earlier.
    return max(enumerate(around), key=lambda item: (len(item[1].mountpoint), item[0]))[1].fstype if around else ""


def open_for_writing(file: Path, *, journal: JournalMode) -> sqlite3.Connection:
    """Open or create a database on disk, and bring an older one to the present schema.

    Raises:
        OSError, sqlite3.Error: the disk does not allow it.
        ValueError: the database was written by a newer version.
    """
    connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False, timeout=1.0, cached_statements=16)
    try:
        _check_version(connection, file)
        connection.execute(f"PRAGMA journal_mode={journal}")
        connection.execute("PRAGMA synchronous=NORMAL")
        _migrate(connection)
        connection.execute(states.TABLE)
    except BaseException:
        connection.close()
        raise
    return connection


def open_in_memory() -> tuple[str, sqlite3.Connection]:
    """A database in memory and the address under which this process can open it while the connection lives."""
    address = f"file:quantum-monitor-{uuid.uuid4().hex}?mode=memory&cache=shared"
    connection = sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False, cached_statements=16)
    _migrate(connection)
    connection.execute(states.TABLE)
    return address, connection


@contextmanager
def reading(source: Path | str) -> Iterator[sqlite3.Connection]:
    """Open a database (a file, or the address of one in memory) for reading, whoever writes it at the time.

    Nothing is written: an older schema is read from a migrated copy in memory, and a log that SQLite cannot replay
    where it lies, because the folder is read-only, from a copy in a temporary folder.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the database was written by a newer version.
        sqlite3.DatabaseError: it is damaged.
    """
    with reading_as_it_is(source) as connection:
        if _version(connection) == SCHEMA_VERSION:
            yield connection
            return
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as copy:
            connection.backup(copy)
            _migrate(copy)
            yield copy


@contextmanager
def reading_as_it_is(source: Path | str) -> Iterator[sqlite3.Connection]:
    """Open a database like `reading`, but in the schema that it has."""
    with ExitStack() as stack:
        address = source if isinstance(source, str) else _address(source, stack)
        connection = stack.enter_context(closing(_connect(address)))
        if isinstance(source, str):
            connection.execute("PRAGMA read_uncommitted=1")  # else a shared cache lets readers lock out the writer
        _check_version(connection, source)
        yield connection


def _connect(address: str) -> sqlite3.Connection:
    return sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False, timeout=5.0)


def _address(file: Path, stack: ExitStack) -> str:
    if not file.is_file():
        message = f"{file} does not exist: not the directory of a run, or its disk could not be written"
        raise FileNotFoundError(message)
    log, shared = (file.with_name(file.name + ending) for ending in ("-wal", "-shm"))
    if os.access(file.parent, os.W_OK) or shared.exists() or not _uses_log(file):
        return f"{file.resolve().as_uri()}?mode=ro"
    if not log.exists() or not log.stat().st_size:
        return f"{file.resolve().as_uri()}?mode=ro&immutable=1"
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="quantum-monitor-")))
    shutil.copyfile(log, folder / log.name)
    return f"{Path(shutil.copyfile(file, folder / file.name)).as_uri()}?mode=rw"


def _uses_log(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(20)[18:20] == b"\x02\x02"  # the file format's read and write versions


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def _check_version(connection: sqlite3.Connection, source: Path | str) -> None:
    version = _version(connection)
    if version > SCHEMA_VERSION:
        message = (
            f"{source} has schema version {version}, this quantum-monitor knows up to {SCHEMA_VERSION}: "
            "install a newer quantum-monitor"
        )
        raise ValueError(message)


def _migrate(connection: sqlite3.Connection) -> None:
    """Bring a database to the present schema, in one transaction."""
    version = _version(connection)
    if version == SCHEMA_VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        _MIGRATIONS[version](connection)
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # not if Ctrl-C came just as COMMIT was done
            connection.execute("ROLLBACK")
        raise


def _create(connection: sqlite3.Connection) -> None:
    for statement in _TABLES:
        connection.execute(statement)


def _pack_rows(connection: sqlite3.Connection) -> None:
    """Version 1 kept a row a record, with labels and fields as JSON; its ids become sequence numbers."""
    _create(connection)
    packer = Packer()
    cursor = connection.execute("SELECT id, kind, time, step, labels, fields FROM records ORDER BY id")
    while page := cursor.fetchmany(1_000):
        for _, consecutive in groupby(enumerate(page), key=lambda item: item[1][0] - item[0]):
            rows = [row for _, row in consecutive]
            packer.next_sequence = rows[0][0]
            queue = deque(Record(row[1], row[2], row[3], json.loads(row[5]), json.loads(row[4])) for row in rows)
            while queue:
                write(connection, packer.pack(queue, len(queue)))
    connection.execute("DROP TABLE records")


# What brings a database from a version to the present one; 0 is a database that was only just created.
_MIGRATIONS: dict[int, Callable[[sqlite3.Connection], None]] = {0: _create, 1: _pack_rows}
