"""The start of a run's store: its directory and its database, or a database in memory where the disk refuses."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quantum_monitor.faults import FAULTS
from quantum_monitor.store import database, runfile, states
from quantum_monitor.store.blocks import Packer
from quantum_monitor.store.layout import ARTIFACTS, DATABASE, DESCRIPTION

_STATES_IN_MEMORY = 50


def open_run(directory: Path, info: Mapping[str, Any]) -> tuple[sqlite3.Connection, str | None]:
    """Make a run's directory, write its ``run.json`` and open its database.

    Returns:
        The connection, and the address of the database if it had to be made in memory.

    Raises:
        ValueError: another live process of this host writes the run, or its database belongs to a newer version.
    """
    try:
        return _on_disk(directory, info), None
    except (OSError, sqlite3.Error) as error:
        FAULTS.rejected("store", f"{directory} cannot be written ({error}): its records are kept in memory only")
    address, connection = database.open_in_memory()
    return connection, address


def packer_behind(connection: sqlite3.Connection) -> Packer:
    """A packer that numbers on from what a database holds."""
    last = connection.execute("SELECT last FROM blocks ORDER BY first DESC LIMIT 1").fetchone()
    shape = connection.execute("SELECT max(id) FROM shapes").fetchone()[0]
    return Packer(next_sequence=last[0] + 1 if last else 1, next_shape=(shape or 0) + 1)


def keeper_behind(connection: sqlite3.Connection, limit: int, directory: Path | None) -> states.StateKeeper:
    """A keeper of snapshots that numbers on from what a database holds; fewer are kept in memory."""
    limit = limit if directory else min(limit, _STATES_IN_MEMORY)
    return states.StateKeeper(limit, directory, last_number=states.last_number(connection))


def _on_disk(directory: Path, info: Mapping[str, Any]) -> sqlite3.Connection:
    _make(directory / ARTIFACTS)
    _refuse_a_second_writer(directory)
    journal = database.journal_mode(database.file_system(directory))
    connection = database.open_for_writing(directory / DATABASE, journal=journal)
    try:
        runfile.write(directory / DESCRIPTION, info, durable=True)
    except BaseException:
        connection.close()
        raise
    return connection


def _make(folder: Path) -> None:
    for _ in range(2):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except FileNotFoundError:  # a clean-up took the empty experiment folder away just then
            continue
        return
    folder.mkdir(parents=True, exist_ok=True)


def _refuse_a_second_writer(directory: Path) -> None:
    try:
        info = runfile.read(directory / DESCRIPTION)
    except (FileNotFoundError, ValueError):
        return
    if runfile.writer_state(info) == "alive":
        message = (
            f"{directory} is being written by process {info['writer']['pid']}; "
            "give this run a directory of its own, or end that process first"
        )
        raise ValueError(message)
