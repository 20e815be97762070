"""Disks that fail, processes that die, and forks."""

from __future__ import annotations

import random
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from quantum_monitor.faults import FAULTS
from quantum_monitor.record import Record
from quantum_monitor.store import blocks, database
from quantum_monitor.store.blocks import Packer
from quantum_monitor.store.reader import StoredRun
from quantum_monitor.store.writer import RunStore

StoreFactory = Callable[..., RunStore]
StartProgram = Callable[..., "subprocess.Popen[str]"]
Mount = Callable[..., Path]


def training(step: int) -> Record:
    return Record("training", 1_000.0 + step, step, {"loss": 1.0 / (step + 1), "gradient_norm": 0.5})


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


WRITES_UNTIL_KILLED = """
import mmap, struct, sys, time
from quantum_monitor.record import Record
from quantum_monitor.store.writer import RunStore

store = RunStore(sys.argv[1], {"status": "running"})
with open(sys.argv[2], "r+b") as file:
    put = mmap.mmap(file.fileno(), 16)
step, due, began = 0, time.perf_counter(), time.time()
while True:
    while time.perf_counter() < due:
        pass  # computes, as training does, and never leaves the interpreter of its own accord
    due += 1e-4
    now = time.time()
    store.put(Record("training", now, step, {"loss": 0.5, "gradient_norm": 0.1}))
    store.put(Record("state", now, step, {"fidelity": 0.9}))
    put[:] = struct.pack("<dd", began, now)
    if step % 1000 == 0:
        store.describe(params={"step": step})
    if step == 100:
        print("writing", flush=True)
    step += 1
"""


def test_a_run_killed_at_any_moment_opens_again_with_whole_blocks(tmp_path: Path, start_program: StartProgram) -> None:
    for number in range(10):
        directory, progress = tmp_path / f"run{number}", tmp_path / "progress"
        progress.write_bytes(bytes(16))
        process = start_program(WRITES_UNTIL_KILLED, directory, progress)
        assert process.stdout
        assert process.stdout.readline() == "writing\n"
        time.sleep(random.uniform(0.0, 0.4))
        process.send_signal(signal.SIGKILL)
        process.wait()

        run = StoredRun(directory)
        found = list(run.records())
        assert [sequence for sequence, _ in found] == list(range(1, len(found) + 1))
        assert [record.step for _, record in found] == [index // 2 for index in range(len(found))]
        assert run.status == "killed"
        with closing(sqlite3.connect(directory / "records.db")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        began, last_put = struct.unpack("<dd", progress.read_bytes())
        last_stored = found[-1][1].time if found else began
        assert last_put - last_stored < 0.5  # 0.1 is promised, and kept where other tests do not fill the machine

        store = RunStore(directory, {})
        store.put(training(0))
        assert store.close()
        assert StoredRun(directory).last_sequence == len(found) + 1


def test_a_full_disk_costs_nothing_if_space_comes_back(open_store: StoreFactory, mount: Mount) -> None:
    disk = mount("disk", "-t", "tmpfs", "-o", "size=1m", "tmpfs")
    filler = disk / "filler"
    filler.write_bytes(bytes(400_000))
    store = open_store(disk / "run")
    errors, drops = FAULTS.errors["store"], dict(FAULTS.drops)
    for step in range(15_000):  # 600 kB of blocks, which need as much again while they move out of the log
        store.put(training(step))
        if step % 500 == 0:
            store.flush(0.05)
    wait_until(lambda: FAULTS.errors["store"] > errors)
    assert not store.flush(0.2)
    assert store.backlog > 0
    store.describe(status="completed")
    filler.unlink()
    subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
    assert store.flush(20)
    assert store.reader().series("loss").step.tolist() == list(range(15_000))
    assert store.reader().info["status"] == "completed"
    assert dict(FAULTS.drops) == drops


MEETS_A_FILE_SIZE_LIMIT = """
import resource, sys, time
from quantum_monitor.faults import FAULTS
from quantum_monitor.record import Record
from quantum_monitor.store.writer import RunStore

store = RunStore(sys.argv[1], {})
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
for step in range(10_000):
    store.put(Record("training", 0.0, step, {"loss": 0.5}))
deadline = time.monotonic() + 20
while not FAULTS.errors["store"] and time.monotonic() < deadline:
    time.sleep(0.01)
assert FAULTS.errors["store"] and not store.flush(0.1)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert store.close(20) and not FAULTS.drops
"""


def test_a_limit_on_files_costs_nothing_once_it_is_lifted(tmp_path: Path, start_program: StartProgram) -> None:
    assert start_program(MEETS_A_FILE_SIZE_LIMIT, tmp_path / "run").wait(60) == 0
    assert StoredRun(tmp_path / "run").series("loss").step.tolist() == list(range(10_000))


def test_a_full_disk_at_the_start_means_memory(open_store: StoreFactory, mount: Mount) -> None:
    disk = mount("disk", "-t", "tmpfs", "-o", "size=64k", "tmpfs")
    (disk / "filler").write_bytes(bytes(64 * 1024 - 4096))
    store = open_store(disk / "run")
    assert store.in_memory


def test_a_read_only_directory_means_memory_and_one_warning(
    open_store: StoreFactory, mount: Mount, caplog: pytest.LogCaptureFixture
) -> None:
    disk = mount("disk", "-t", "tmpfs", "tmpfs")
    mount("disk", "-o", "remount,ro")
    store = open_store(disk / "run", info={"name": "a", "params": {}})
    assert store.in_memory
    assert [record.message for record in caplog.records if "memory only" in record.message]
    store.put(training(0))
    store.describe(params={"seed": 1})
    assert store.flush()
    run = store.reader()
    assert run.series("loss").step.tolist() == [0]
    assert run.info["params"] == {"seed": 1}
    assert run.status == "running"
    assert store.close()
    assert run.last_sequence == 1, "what is in memory can be read after the end, for the summary"


def test_a_directory_below_a_file_means_memory_where_readers_do_not_hinder_the_writer(
    open_store: StoreFactory, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    store = open_store(tmp_path / "file" / "run")
    assert store.in_memory
    store.put(training(0))
    store.flush()
    reading = store.reader().records()
    next(reading)
    for step in range(1, 1_000):
        store.put(training(step))
    assert store.flush()
    assert store.reader().last_sequence == 1_000
    reading.close()  # type: ignore[attr-defined]


def test_memory_is_bounded_and_the_oldest_records_go_first(open_store: StoreFactory, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = open_store(tmp_path / "file" / "run")
    before = FAULTS.drops["store", "memory_full"]
    fields = {f"field_{number}": float(number) for number in range(100)}
    for step in range(100_000):  # 82 MB
        store.put(Record("training", 0.0, step, fields))
    assert store.flush(20)
    steps = store.reader().series("field_0").step.astype(int).tolist()
    dropped = FAULTS.drops["store", "memory_full"] - before
    assert dropped > 0
    assert steps == list(range(dropped, 100_000))


def test_a_directory_deleted_while_it_is_written_raises_nothing_and_ends(
    open_store: StoreFactory, tmp_path: Path
) -> None:
    store = open_store()
    store.put(training(0))
    store.flush()
    errors = FAULTS.errors["store"]
    shutil.rmtree(tmp_path / "h2")
    store.put(training(1))
    wait_until(lambda: FAULTS.errors["store"] > errors)
    store.describe(status="completed")
    assert store.close(10)


def test_a_damaged_database_means_memory(open_store: StoreFactory, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "records.db").write_bytes(b"this is no database" * 1_000)
    store = open_store(tmp_path / "run")
    assert store.in_memory
    assert (tmp_path / "run" / "records.db").read_bytes().startswith(b"this is no database")


FORKS = """
import os, sys, threading
from quantum_monitor.faults import FAULTS
from quantum_monitor.record import Record
from quantum_monitor.store.writer import RunStore

store = RunStore(sys.argv[1], {"name": "parent"}, flush_interval=0.001)
logged, stop = 0, threading.Event()

def log():
    global logged
    while not stop.is_set():
        store.put(Record("training", 0.0, logged, {"loss": 0.5}))
        logged += 1
        stop.wait(0.0001)

thread = threading.Thread(target=log)
thread.start()
for _ in range(12):
    child = os.fork()
    if not child:
        store.put(Record("training", 0.0, -1, {"loss": 0.5}))
        store.describe(name="child")
        assert FAULTS.drops["store", "forked"] == 1
        assert not store.flush(60) and not store.close(60) and store.backlog == 0
        other = RunStore(f"{sys.argv[1]}-{os.getpid()}", {})  # a run of its own is its good right
        other.put(Record("training", 0.0, 1, {"loss": 0.5}))
        assert other.close(20)
        del store, other
        sys.exit(7)  # the interpreter is taken down in full, with all that it holds
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
stop.set()
thread.join()
assert store.close(20)
print(logged)
"""


def test_a_forked_child_neither_deadlocks_nor_writes(tmp_path: Path, start_program: StartProgram) -> None:
    process = start_program(FORKS, tmp_path / "run")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    run = StoredRun(tmp_path / "run")
    assert run.info["name"] == "parent"
    assert run.series("loss").step.tolist() == list(range(int(output)))


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "CIFS", "smb3", "fuse.sshfs", "lustre", "9p"])
def test_network_file_systems_get_a_rollback_journal(kind: str) -> None:
    assert database.journal_mode(kind) == "TRUNCATE"


@pytest.mark.parametrize("kind", ["ext4", "xfs", "tmpfs", "apfs", "NTFS", "fuseblk", ""])
def test_local_file_systems_get_the_write_ahead_log(kind: str) -> None:
    assert database.journal_mode(kind) == "WAL"


def test_the_file_system_is_that_of_the_innermost_mount(tmp_path: Path, mount: Mount) -> None:
    disk = mount("disk", "-t", "tmpfs", "tmpfs")
    assert database.file_system(disk / "not" / "yet" / "there") == "tmpfs"


def test_with_a_rollback_journal_readers_and_writer_take_turns(tmp_path: Path) -> None:
    file = tmp_path / "records.db"
    with closing(database.open_for_writing(file, journal="TRUNCATE")) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("truncate",)
        packer = Packer()
        for step in range(10):
            blocks.write(connection, packer.pack(_queue(training(step)), 1))
            with database.reading(file) as reader:
                assert reader.execute("SELECT count(*) FROM blocks").fetchone() == (step + 1,)


def test_writing_a_batch_twice_stores_it_once(tmp_path: Path) -> None:
    with closing(database.open_for_writing(tmp_path / "records.db", journal="WAL")) as connection:
        batch = Packer().pack(_queue(training(0), training(1)), 10)
        blocks.write(connection, batch)
        blocks.write(connection, batch)
        assert connection.execute("SELECT count(*) FROM blocks").fetchone() == (1,)


def _queue(*records: Record) -> deque[Record]:
    return deque(records)


@pytest.fixture
def stubborn_interpreter() -> Iterator[None]:
    """A thread that computes keeps the interpreter from others, as NumPy's brief releases of its lock do by chance."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(30.0)
    yield
    sys.setswitchinterval(before)


def test_a_loop_that_never_lets_go_does_not_keep_the_writer_from_the_interpreter(
    tmp_path: Path, stubborn_interpreter: None
) -> None:
    store = RunStore(tmp_path / "run", {})
    longest, due = 0, time.perf_counter()
    for step in range(1_500):
        while time.perf_counter() < due:
            pass
        due += 1e-3
        store.put(Record("training", time.time(), step, {"loss": 1.0}))
        longest = max(longest, store.backlog)
    assert longest < 500  # records, one a millisecond; it would be all of them if `put` made no room
    store.close()
