"""Reading runs: while they are written, from read-only places, and from other versions."""

from __future__ import annotations

import itertools
import json
import math
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from quantum_monitor.record import Record
from quantum_monitor.store import runfile
from quantum_monitor.store.reader import StoredRun
from quantum_monitor.store.writer import RunStore

StoreFactory = Callable[..., RunStore]
StartProgram = Callable[..., "subprocess.Popen[str]"]
Mount = Callable[..., Path]


def training(step: int | None, **fields: float) -> Record:
    return Record("training", 1_000.0 + (step or 0), step, fields or {"loss": 1.0 / ((step or 0) + 1)})


WRITES_AND_ENDS = """
import sys, time
from quantum_monitor.record import Record
from quantum_monitor.store.writer import RunStore

store = RunStore(sys.argv[1], {"status": "running"}, flush_interval=0.002)
print("open", flush=True)
for step in range(20_000):
    store.put(Record("training", time.time(), step, {"loss": 0.5}))
    store.put(Record("state", time.time(), step, {"fidelity": 0.5}))
    if step % 100 == 0:
        time.sleep(0.002)
store.describe(status="completed")
assert store.close(20)
"""

WRITES_AND_WAITS = """
import sys, time
from quantum_monitor.record import Record
from quantum_monitor.store.writer import RunStore

store = RunStore(sys.argv[1], {"status": "running"})
for step in range(100):
    store.put(Record("training", 0.0, step, {"loss": 0.5}))
assert store.flush(20)
print("flushed", flush=True)
time.sleep(600)
"""


def test_a_cursor_in_another_process_misses_nothing_while_a_run_writes(
    tmp_path: Path, start_program: StartProgram
) -> None:
    process = start_program(WRITES_AND_ENDS, tmp_path / "run")
    assert process.stdout
    process.stdout.readline()
    run = StoredRun(tmp_path / "run")
    cursor, found, rounds = 0, list[tuple[str, int | None]](), 0
    ended = False
    while not ended:
        ended = run.status != "running"  # asked before reading, so that the last round sees the end
        for sequence, record in run.records(after=cursor):
            assert sequence == cursor + 1
            cursor = sequence
            found.append((record.kind, record.step))
        rounds += 1
    assert found == [(kind, step) for step in range(20_000) for kind in ("training", "state")]
    assert rounds > 2
    assert run.status == "completed"
    assert process.wait(20) == 0


def test_what_the_description_says_is_backed_by_the_records(open_store: StoreFactory) -> None:
    store = open_store(flush_interval=0.02)
    done = threading.Event()

    def log() -> None:
        for step in itertools.count():
            store.put(training(step))
            store.describe(step=step)
            if done.wait(0.0001):
                return

    thread = threading.Thread(target=log)
    thread.start()
    run = store.reader()
    try:
        while (described := run.info.get("step", -1)) < 2_000:
            assert run.last_sequence > described
    finally:
        done.set()
        thread.join()


def test_a_cursor_continues_in_the_middle_of_a_batch(open_store: StoreFactory) -> None:
    store = open_store(flush_interval=60)
    for step in range(50):
        store.put(training(step))
        store.put(Record("state", 0.0, step, {"fidelity": 1.0}))
    store.flush()
    store.put(training(50))
    store.flush()
    run = store.reader()
    for after in (0, 1, 37, 99, 100):
        assert [sequence for sequence, _ in run.records(after=after)] == list(range(after + 1, 102))
    assert list(run.records(after=101)) == []
    assert [sequence for sequence, _ in run.records(after=90, kinds={"state"})] == [92, 94, 96, 98, 100]


def test_a_reader_that_pauses_in_the_middle_does_not_hold_up_the_log(open_store: StoreFactory) -> None:
    store = open_store()
    store.put(training(0))
    store.flush()
    reading = store.reader().records()
    next(reading)
    store.put(training(1))
    store.flush()
    with closing(sqlite3.connect(store.directory / "records.db")) as connection:
        busy, log, moved = connection.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
    assert (busy, log) == (0, moved)
    assert [record.step for _, record in reading] == [1]


def test_a_series_joins_shapes_in_the_order_they_were_logged(open_store: StoreFactory) -> None:
    store = open_store()
    store.put(training(0, loss=1.0))
    store.put(training(1, loss=2.0, extra=0.0))
    store.flush()
    store.put(training(None, other=0.0, loss=3.0))
    store.put(Record("circuit", 5.0, 9, {"loss": 4.0}, {"backend": "a"}))
    store.put(Record("circuit", 6.0, 10, {"loss": 5.0}, {"backend": "b", "status": "success"}))
    store.flush()
    run = store.reader()
    everything = run.series("loss")
    assert everything.value.tolist() == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert np.array_equal(everything.step, [0, 1, math.nan, 9, 10], equal_nan=True)
    assert run.series("loss", kind="training").value.tolist() == [1.0, 2.0, 3.0]
    assert run.series("loss", labels={"backend": "b"}).time.tolist() == [6.0]
    assert run.series("loss", kind="training", labels={"backend": "b"}).value.size == 0
    assert run.series("los").value.size == 0
    assert run.fields() == ["loss", "extra", "other"]
    assert [(found.kind, dict(found.labels), len(found.series.value)) for found in run.all_series()][:2] == [
        ("training", {}, 3),
        ("circuit", {"backend": "a"}, 1),
    ]


def test_an_empty_run_has_no_records(open_store: StoreFactory) -> None:
    run = open_store().reader()
    assert run.last_sequence == 0
    assert list(run.records()) == []
    assert run.series("loss").value.size == 0


def test_what_is_no_run_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds no run\.json"):
        StoredRun(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match=r"records\.db does not exist"):
        StoredRun(tmp_path).series("loss")
    (tmp_path / "run.json").write_text("[]")
    with pytest.raises(ValueError, match="not a JSON object"):
        _ = StoredRun(tmp_path).info


def test_a_killed_run_says_so_and_a_writer_elsewhere_is_believed(tmp_path: Path, start_program: StartProgram) -> None:
    process = start_program(WRITES_AND_WAITS, tmp_path)
    assert process.stdout
    process.stdout.readline()
    run = StoredRun(tmp_path)
    assert run.status == "running"
    process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while run.status != "killed":  # a zombie soon, which nobody has waited for
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert process.wait() == -signal.SIGKILL
    assert run.status == "killed"
    info = run.info
    info["writer"]["host"] = "elsewhere"
    runfile.write(tmp_path / "run.json", info)
    assert run.status == "running"


def test_a_process_of_the_same_number_is_not_taken_for_the_writer(open_store: StoreFactory) -> None:
    writer = runfile.this_writer()
    assert runfile.writer_state({"writer": writer}) == "alive"
    assert runfile.writer_state({"writer": {**writer, "started": "1"}}) == "gone"
    assert runfile.writer_state({}) == "gone"
    assert open_store().reader().status == "running"


@pytest.mark.parametrize("left_behind", [("-wal", "-shm"), ("-wal",), ()])
def test_a_killed_run_is_read_whole_from_a_read_only_place(
    tmp_path: Path, start_program: StartProgram, mount: Mount, left_behind: tuple[str, ...]
) -> None:
    process = start_program(WRITES_AND_WAITS, tmp_path / "run")
    assert process.stdout
    process.stdout.readline()
    process.kill()
    process.wait()
    if not left_behind:  # as a copy that was taken after the log had been moved into the database
        with closing(sqlite3.connect(tmp_path / "run" / "records.db")) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    disk = mount("disk", "-t", "tmpfs", "tmpfs")
    for ending in ("", *left_behind):
        if (file := tmp_path / "run" / f"records.db{ending}").exists():
            shutil.copy(file, disk)
    shutil.copy(tmp_path / "run" / "run.json", disk)
    mount("disk", "-o", "remount,ro")
    before = sorted(disk.iterdir())
    assert StoredRun(disk).series("loss").step.tolist() == list(range(100))
    assert sorted(disk.iterdir()) == before


def test_a_run_is_read_through_a_read_only_view_while_it_is_written(open_store: StoreFactory, mount: Mount) -> None:
    store = open_store()
    view = mount("view", "--bind", str(store.directory))
    mount("view", "-o", "remount,ro,bind")
    for step in range(3):
        store.put(training(step))
        store.flush()
        assert StoredRun(view).last_sequence == step + 1


VERSION_1 = """
CREATE TABLE records(
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, time REAL NOT NULL, step INTEGER, labels TEXT NOT NULL,
    fields TEXT NOT NULL);
PRAGMA user_version=1;
"""


def write_version_1(directory: Path) -> list[tuple[int, Record]]:
    """A run as version 1 wrote it: a row a record, labels and fields as JSON; with a gap in the numbers."""
    directory.mkdir()
    (directory / "run.json").write_text(json.dumps({"status": "completed", "experiment": "h2"}))
    records = [(number, training(number, loss=number / 7)) for number in (*range(1, 1_500), *range(2_000, 2_100))]
    records.append((2_100, Record("circuit", 1.5, None, {"depth": math.nan}, {"backend": "a"})))
    records.append((2_101, Record("circuit", 1.5, None, {"depth": 3.0}, {"backend": "b"})))
    with closing(sqlite3.connect(directory / "records.db", isolation_level=None)) as connection:
        connection.executescript(VERSION_1)
        connection.execute("BEGIN")
        connection.executemany(
            "INSERT INTO records VALUES (?, ?, ?, ?, ?, ?)",
            [
                (number, kind, time, step, json.dumps(dict(labels)), json.dumps(fields))
                for number, (kind, time, step, fields, labels) in records
            ],
        )
        connection.execute("COMMIT")
    return records


def test_a_reader_reads_version_1_and_leaves_it_as_it_is(tmp_path: Path) -> None:
    records = write_version_1(tmp_path / "run")
    before = (tmp_path / "run" / "records.db").read_bytes()
    run = StoredRun(tmp_path / "run")
    assert repr(list(run.records())) == repr(records)  # as text, because NaN equals nothing
    assert run.last_sequence == 2_101
    assert run.series("loss", kind="training").value[:3].tolist() == [1 / 7, 2 / 7, 3 / 7]
    assert (tmp_path / "run" / "records.db").read_bytes() == before


def test_a_writer_brings_version_1_up_to_date_and_counts_on(tmp_path: Path, open_store: StoreFactory) -> None:
    records = write_version_1(tmp_path / "run")
    store = open_store(tmp_path / "run")
    store.put(training(7))
    store.close()
    assert repr(list(StoredRun(tmp_path / "run").records())) == repr([*records, (2_102, training(7))])
    with closing(sqlite3.connect(tmp_path / "run" / "records.db")) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)
        assert connection.execute("SELECT name FROM sqlite_master WHERE name = 'records'").fetchone() is None


def test_a_migration_that_fails_leaves_version_1_as_it_was(tmp_path: Path, open_store: StoreFactory) -> None:
    write_version_1(tmp_path / "run")
    with closing(sqlite3.connect(tmp_path / "run" / "records.db")) as connection, connection:
        connection.execute("INSERT INTO records VALUES (5000, 'training', 0.0, 1, '{}', '{}')")
        connection.execute("CREATE TABLE shapes(id)")  # in the way
    assert open_store(tmp_path / "run").in_memory
    with closing(sqlite3.connect(tmp_path / "run" / "records.db")) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        assert connection.execute("SELECT count(*) FROM records").fetchone() == (1_602,)


def test_a_newer_schema_is_refused_with_the_mend(tmp_path: Path, open_store: StoreFactory) -> None:
    store = open_store(tmp_path / "run")
    store.close()
    with closing(sqlite3.connect(tmp_path / "run" / "records.db")) as connection:
        connection.execute("PRAGMA user_version=99")
    with pytest.raises(ValueError, match=r"version 99.*up to 2: install a newer quantum-monitor"):
        StoredRun(tmp_path / "run").series("loss")
    with pytest.raises(ValueError, match="install a newer quantum-monitor"):
        RunStore(tmp_path / "run", {})


def test_a_million_records_come_back_as_arrays(open_store: StoreFactory) -> None:
    store = open_store(queue_limit=1_000_000)
    for step in range(1_000_000):
        store.put(training(step, loss=0.5))
    assert store.flush(60)
    series = store.reader().series("loss")
    assert np.array_equal(series.step, np.arange(1_000_000.0))
    assert series.value.flags.c_contiguous
