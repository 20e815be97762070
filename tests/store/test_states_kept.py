"""Snapshots of logged states: which are kept, what they hold, and what they must not cost."""

from __future__ import annotations

import math
import os
import random
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantum_monitor import QuantumMonitor
from quantum_monitor.config import ConfigurationError, load_settings
from quantum_monitor.faults import FAULTS
from quantum_monitor.record import Record
from quantum_monitor.store import database
from quantum_monitor.store.export import export_run
from quantum_monitor.store.reader import StoredRun
from quantum_monitor.store.states import StateKeeper
from quantum_monitor.store.writer import RunStore
from tests.server_process import eventually

StoreFactory = Callable[..., RunStore]
StartProgram = Callable[..., "subprocess.Popen[str]"]
NewMonitor = Callable[..., QuantumMonitor]
Mount = Callable[..., Path]
Complex = np.ndarray[Any, np.dtype[np.complex128]]


def vector(qubits: int, seed: int = 0) -> Complex:
    """A normalised state that differs from seed to seed."""
    numbers = np.random.default_rng(seed)
    amplitudes = numbers.normal(size=2**qubits) + 1j * numbers.normal(size=2**qubits)
    normalised: Complex = amplitudes / np.linalg.norm(amplitudes)
    return normalised


def matrix(qubits: int, seed: int = 0) -> Any:
    """A mixture of two states."""
    first, second = vector(qubits, seed), vector(qubits, seed + 1_000)
    return 0.75 * np.outer(first, first.conj()) + 0.25 * np.outer(second, second.conj())


def log(store: RunStore, count: int, *, first: int = 1, qubits: int = 2) -> None:
    """Hand states to a store whose step is ten times their number."""
    for number in range(first, first + count):
        store.states.offer(vector(qubits, number), 10 * number, little_endian=False, copy=False)


def stored(monitor: QuantumMonitor) -> StoredRun:
    assert monitor._last_run
    return StoredRun(monitor._last_run.store.directory)


def numbers_in(source: StoredRun) -> list[int]:
    return [kept.number for kept in source.states()]


# Which are kept


@pytest.mark.parametrize(("logged", "kept"), [(1, 1), (9, 9), (10, 10), (11, 6), (5_000, 6)])
def test_a_run_keeps_its_first_state_its_newest_and_evenly_spread_ones(
    new_monitor: NewMonitor, logged: int, kept: int
) -> None:
    monitor = new_monitor(keep_states=10)
    began = time.time()
    with monitor.start_run("a"):
        for number in range(1, logged + 1):
            monitor.log_quantum_state(vector(2, number), 10 * number)
    run = stored(monitor)
    found = run.states()
    numbers = numbers_in(run)
    assert len(numbers) == kept
    assert (numbers[0], numbers[-1]) == (1, logged)
    assert len({later - earlier for earlier, later in pairwise(numbers[:-1])}) <= 1
    assert [state.step for state in found] == [10 * number for number in numbers]
    assert all(state.qubits == 2 and state.vector for state in found)
    assert began <= found[0].time <= found[-1].time <= time.time()
    for number in numbers:
        np.testing.assert_allclose(run.state(number), vector(2, number), atol=1e-15)


@given(st.integers(1, 40), st.lists(st.integers(1, 60), min_size=1, max_size=12))
def test_however_states_come_between_flushes_the_limit_holds(limit: int, flushes: list[int]) -> None:
    _, connection = database.open_in_memory()
    with closing(connection):
        keeper = StateKeeper(limit)
        logged = 0
        for count in flushes:
            for _ in range(count):
                keeper.offer(vector(1), None, little_endian=False, copy=False)
            logged += count
            keeper.write(connection)
            numbers = [number for (number,) in connection.execute("SELECT number FROM states ORDER BY number")]
            assert min(logged, limit / 2) <= len(numbers) <= limit
            assert numbers[-1] == logged
            assert limit == 1 or numbers[0] == 1


def test_a_state_that_was_thinned_out_is_named_in_the_error(open_store: StoreFactory) -> None:
    store = open_store(keep_states=5)
    log(store, 4)
    assert store.flush(20)
    run = store.reader()
    assert numbers_in(run) == [1, 2, 3, 4]
    assert [kept.number for kept in run.states(after=2)] == [3, 4]
    log(store, 4, first=5)
    assert store.flush(20)
    assert numbers_in(run) == [1, 3, 5, 7, 8]
    with pytest.raises(KeyError, match=r"keeps no state of number 2: take one that states\(\) lists now"):
        run.state(2)


def test_states_appear_while_the_run_goes_on_without_being_asked_for(open_store: StoreFactory) -> None:
    store = open_store()
    log(store, 3)
    eventually(lambda: numbers_in(store.reader()) == [1, 2, 3])
    log(store, 1, first=4)
    eventually(lambda: numbers_in(store.reader())[-1] == 4)


def test_large_states_are_measured_but_not_kept(new_monitor: NewMonitor) -> None:
    monitor = new_monitor()
    with monitor.start_run("a"):
        for state in (vector(13), vector(12), matrix(7), matrix(6), vector(3)):
            monitor.log_quantum_state(state, 1)
    run = stored(monitor)
    assert [(kept.number, kept.qubits, kept.vector) for kept in run.states()] == [
        (1, 12, True),
        (2, 6, False),
        (3, 3, True),
    ]
    assert run.series("norm").value.size == 5


@pytest.mark.parametrize(("keep_states", "kept"), [(0, []), (1, [7]), (2, [1, 7])])
def test_none_or_only_a_few_are_kept_where_asked_for(
    new_monitor: NewMonitor, keep_states: int, kept: list[int]
) -> None:
    monitor = new_monitor(keep_states=keep_states)
    with monitor.start_run("a"):
        for number in range(1, 8):
            monitor.log_quantum_state(vector(1, number), number)
    assert numbers_in(stored(monitor)) == kept


def test_the_setting_comes_from_arguments_file_and_environment(tmp_path: Path, open_store: StoreFactory) -> None:
    file = tmp_path / "monitor.yml"
    file.write_text("keep_states: 30\n")
    environ = {"QUANTUM_MONITOR_KEEP_STATES": "20"}
    assert load_settings({}, environ={}).keep_states == 200
    assert load_settings({}, environ=environ).keep_states == 20
    assert load_settings({}, config=file, environ=environ).keep_states == 30
    assert load_settings({"keep_states": 0}, config=file, environ=environ).keep_states == 0
    for wrong in (-1, 1_001, 2.5):
        with pytest.raises(ConfigurationError, match=r"keep_states: .* from 0 to 1000"):
            load_settings({"keep_states": wrong}, environ={})
    with pytest.raises(ValueError, match="keep_states is -1; it must be at least 0"):
        open_store(keep_states=-1)


# What they hold


@pytest.mark.parametrize("state", [vector(3), vector(10), matrix(2), matrix(6)], ids=["3", "10", "2x2", "6x6"])
def test_a_state_that_changes_after_the_call_is_kept_as_it_was(new_monitor: NewMonitor, state: Complex) -> None:
    monitor = new_monitor()
    given, as_it_was = state.copy(), state.copy()
    with monitor.start_run("a"):
        monitor.log_quantum_state(given, 1)
        given[:] = 0.0
        given.flat[0] = 1.0
    kept = stored(monitor).state(1)
    np.testing.assert_allclose(kept, as_it_was, atol=1e-14)
    kept[:] = 0.0  # and what a reader gets is its own


@pytest.mark.parametrize("state", [vector(3), vector(11), matrix(3), matrix(6)], ids=["3", "11", "3x3", "6x6"])
def test_states_are_kept_normalised(new_monitor: NewMonitor, state: Complex) -> None:
    monitor = new_monitor()
    with monitor.start_run("a"):
        monitor.log_quantum_state(3.0 * state, 1)
        monitor.log_quantum_state((state / abs(state).max()).astype(np.complex64), None)
    run = stored(monitor)
    np.testing.assert_allclose(run.state(1), state, atol=1e-14)
    np.testing.assert_allclose(run.state(2), state, atol=1e-6)
    assert run.state(2).dtype == np.complex128
    assert [kept.step for kept in run.states()] == [1, None]


def test_real_amplitudes_come_back_complex(new_monitor: NewMonitor) -> None:
    monitor = new_monitor()
    with monitor.start_run("a"):
        monitor.log_quantum_state([0.6, 0.8], 1)
    assert stored(monitor).state(1).tolist() == [0.6 + 0j, 0.8 + 0j]


def test_qubit_0_of_qiskit_is_the_most_significant_of_a_kept_state(new_monitor: NewMonitor) -> None:
    info = pytest.importorskip("qiskit.quantum_info")
    # Qiskit writes qubit 0 last: in |01> it is the one that is excited.
    logged = [info.Statevector.from_label("01"), info.DensityMatrix.from_label("001")]
    logged += [info.random_statevector(2**qubits, seed=qubits) for qubits in (5, 10)]
    logged += [info.random_density_matrix(2**qubits, seed=qubits) for qubits in (3, 6)]
    monitor = new_monitor()
    with monitor.start_run("a"):
        for state in logged:
            monitor.log_quantum_state(state, 1)
    run = stored(monitor)
    assert np.flatnonzero(run.state(1)).tolist() == [0b10]
    assert np.argwhere(run.state(2)).tolist() == [[0b100, 0b100]]
    for number, state in enumerate(logged, 1):
        np.testing.assert_allclose(run.state(number), state.reverse_qargs().data, atol=1e-14)


def test_a_matrix_that_turns_out_to_be_no_state_is_not_kept(new_monitor: NewMonitor) -> None:
    monitor = new_monitor()
    negative = np.diag([1.5, -0.5] + [0.0] * 62)  # found by the background, after the call
    with monitor.start_run("a"):
        monitor.log_quantum_state(negative, 1)
        monitor.log_quantum_state(vector(2), 2)
    assert numbers_in(stored(monitor)) == [2]


# Older stores, and those of strangers


def write_run(directory: Path, *statements: str) -> StoredRun:
    directory.mkdir(exist_ok=True)
    (directory / "run.json").write_text('{"status": "completed"}')
    with closing(sqlite3.connect(directory / "records.db", isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)
    return StoredRun(directory)


@pytest.mark.parametrize(
    "statements",
    [
        (
            "CREATE TABLE records(id INTEGER PRIMARY KEY, kind TEXT, time REAL, step INTEGER, labels TEXT, fields)",
            "PRAGMA user_version=1",
        ),
        (
            "CREATE TABLE shapes(id INTEGER PRIMARY KEY, kind TEXT, labels TEXT, fields TEXT)",
            "CREATE TABLE blocks(first INTEGER PRIMARY KEY, batch INTEGER, last INTEGER, shape INTEGER, data BLOB)",
            "PRAGMA user_version=2",
        ),
    ],
    ids=["version 1", "version 2"],
)
def test_a_store_from_before_has_no_states_and_a_writer_adds_them(
    tmp_path: Path, open_store: StoreFactory, statements: tuple[str, ...]
) -> None:
    run = write_run(tmp_path / "run", *statements)
    before = (tmp_path / "run" / "records.db").read_bytes()
    assert run.states() == []
    with pytest.raises(KeyError, match="keeps no state of number 1"):
        run.state(1)
    assert list(run.records()) == []
    assert (tmp_path / "run" / "records.db").read_bytes() == before
    store = open_store(tmp_path / "run")
    log(store, 1)
    assert store.close(20)
    assert numbers_in(run) == [1]


def test_a_store_that_is_opened_again_counts_on(tmp_path: Path, open_store: StoreFactory) -> None:
    for first in (1, 8):
        store = open_store(tmp_path / "run", keep_states=5)
        log(store, 7, first=first)
        assert store.close(20)
    run = StoredRun(tmp_path / "run")
    assert numbers_in(run) == [1, 5, 9, 13, 14]
    np.testing.assert_allclose(run.state(9), vector(2, 9), atol=1e-15)


def test_what_is_no_snapshot_is_passed_over(tmp_path: Path, open_store: StoreFactory) -> None:
    store = open_store(tmp_path / "run")
    log(store, 1)
    assert store.close(20)
    whole = vector(1).astype("<c16").tobytes()
    rows: list[tuple[object, ...]] = [
        (2, 0.0, 1, 1, 1, whole[:-1]),
        (3, 0.0, 1, 40, 1, whole),
        (4, 0.0, 1, -1, 1, whole),
        (5, 0.0, 1, 1, 0, whole),
        (6, 0.0, 1, 1, 1, "a" * 32),
        (7, "<b>", 1, 1, 1, whole),
        (8, 0.0, "<b>", 1, 1, whole),
        (9, 0.0, 1, 7, 0, bytes(16 << 14)),
    ]
    hopeless = (10, 0.0, 1, 1, 1, np.array([math.nan, 1.0], "<c16").tobytes())
    with closing(sqlite3.connect(tmp_path / "run" / "records.db")) as connection, connection:
        connection.executemany("INSERT INTO states VALUES (?,?,?,?,?,?)", [*rows, hopeless])
    run = StoredRun(tmp_path / "run")
    assert numbers_in(run) == [1, 10]  # whose numbers nobody looks at before somebody wants them
    for number in range(2, 11):
        with pytest.raises(KeyError):
            run.state(number)


# What they must not cost


def test_exports_are_the_same_with_states_and_without(tmp_path: Path, open_store: StoreFactory) -> None:
    texts: list[list[str]] = []
    for keep_states in (0, 200):
        info = {"run_id": "1", "start_time": 1.0, "environment": {}}
        store = open_store(tmp_path / str(keep_states), keep_states=keep_states, info=info)
        for step in range(5):
            store.put(Record("state", 1.0 + step, step, {"purity": 1.0}))
        log(store, 5)
        assert store.flush(20)
        run = store.reader()
        assert len(run.states()) == min(keep_states, 5)
        assert run.last_sequence == 5
        formats = ("json", "csv", "comprehensive")
        texts.append([export_run(run, tmp_path / f"export.{kind}", kind).read_text() for kind in formats])
    assert texts[0] == texts[1]


def test_in_memory_fewer_are_kept(tmp_path: Path, open_store: StoreFactory) -> None:
    (tmp_path / "file").write_text("in the way")
    store = open_store(tmp_path / "file" / "run")
    assert store.in_memory
    for begin in range(1, 1_000, 100):
        log(store, 100, first=begin)
        assert store.flush(20)
        numbers = numbers_in(store.reader())
        assert len(numbers) <= 50
        assert (numbers[0], numbers[-1]) == (1, begin + 99)
    np.testing.assert_allclose(store.reader().state(1), vector(2, 1), atol=1e-15)


def test_states_that_cannot_be_written_are_thinned_too() -> None:
    keeper = StateKeeper(100)
    for _ in range(20_000):
        keeper.offer(vector(1), None, little_endian=False, copy=False)
        assert len(keeper._waiting) <= 100
    _, connection = database.open_in_memory()
    with closing(connection):
        connection.execute("ALTER TABLE states RENAME TO elsewhere")
        with pytest.raises(sqlite3.OperationalError):
            keeper.write(connection)
        assert not connection.in_transaction
        connection.execute("ALTER TABLE elsewhere RENAME TO states")
        keeper.write(connection)
        numbers = [number for (number,) in connection.execute("SELECT number FROM states")]
    assert numbers == [*range(1, 20_000, 256), 20_000]


def test_a_full_disk_costs_no_state_if_space_comes_back(open_store: StoreFactory, mount: Mount) -> None:
    disk = mount("disk", "-t", "tmpfs", "-o", "size=1m", "tmpfs")
    store = open_store(disk / "run")
    errors, drops = FAULTS.errors["store"], dict(FAULTS.drops)
    log(store, 30, qubits=12)  # 2 MB
    eventually(lambda: FAULTS.errors["store"] > errors)
    subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
    eventually(lambda: numbers_in(store.reader()) == [*range(1, 31)])
    assert dict(FAULTS.drops) == drops


def test_a_run_ends_without_the_states_that_find_no_room(open_store: StoreFactory, mount: Mount) -> None:
    disk = mount("disk", "-t", "tmpfs", "-o", "size=1m", "tmpfs")
    store = open_store(disk / "run")
    dropped = FAULTS.drops["store", "states"]
    log(store, 30, qubits=12)
    for step in range(100):
        store.put(Record("training", 1.0, step, {"loss": 0.5}))
    store.describe(status="completed")
    assert store.close(20)
    run = StoredRun(disk / "run")
    assert run.status == "completed"
    assert run.series("loss").step.tolist() == list(range(100))
    assert run.states() == []
    assert FAULTS.drops["store", "states"] == dropped + 30


MEETS_A_FILE_SIZE_LIMIT = """
import resource, sys
import numpy as np
from quantum_monitor.faults import FAULTS
from quantum_monitor.record import Record
from quantum_monitor.store.writer import RunStore

store = RunStore(sys.argv[1], {"status": "completed"})
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
for step in range(30):
    store.states.offer(np.eye(1, 4096)[0], step, little_endian=False, copy=False)
assert store.flush(20) and FAULTS.errors["store"]
store.put(Record("training", 0.0, 1, {"loss": 0.5}))
assert store.flush(20)
if sys.argv[2] == "lifted":
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert store.close(20)
print(FAULTS.drops["store", "states"])
"""


@pytest.mark.parametrize(("limit", "dropped"), [("lifted", 0), ("kept", 30)])
def test_a_write_that_fails_is_tried_again_and_given_up_at_the_end(
    tmp_path: Path, start_program: StartProgram, limit: str, dropped: int
) -> None:
    output, _ = start_program(MEETS_A_FILE_SIZE_LIMIT, tmp_path / "run", limit).communicate(timeout=60)
    assert output == f"{dropped}\n"
    run = StoredRun(tmp_path / "run")
    assert len(run.states()) == 30 - dropped
    assert run.series("loss").value.tolist() == [0.5]


LOGS_STATES_UNTIL_KILLED = """
import sys
import numpy as np
from quantum_monitor.store.writer import RunStore

store = RunStore(sys.argv[1], {"status": "running"}, keep_states=20)
number = 0
while True:
    number += 1
    state = np.zeros(1024, complex)
    state[number % 1024] = 1.0
    store.states.offer(state, number, little_endian=False, copy=True)
    if number % 5 == 0:
        store.flush(20)
    if number == 50:
        print("writing", flush=True)
"""


def test_a_run_killed_at_any_moment_has_whole_states(tmp_path: Path, start_program: StartProgram) -> None:
    for attempt in range(5):
        process = start_program(LOGS_STATES_UNTIL_KILLED, tmp_path / str(attempt))
        assert process.stdout
        assert process.stdout.readline() == "writing\n"
        time.sleep(random.uniform(0.0, 0.1))
        process.send_signal(signal.SIGKILL)
        process.wait()
        run = StoredRun(tmp_path / str(attempt))
        found = run.states()
        assert 10 <= len(found) <= 20
        assert found[0].number == 1
        assert found[-1].number >= 50
        for kept in found:
            assert kept.step == kept.number
            assert np.flatnonzero(run.state(kept.number)).tolist() == [kept.number % 1024]
        store = RunStore(tmp_path / str(attempt), {})
        log(store, 1)
        assert store.close(20)
        assert numbers_in(run)[-1] == found[-1].number + 1


def test_a_forked_child_writes_no_state_of_its_parents_run(new_monitor: NewMonitor) -> None:
    monitor = new_monitor()
    monitor.start_run("a")
    monitor.log_quantum_state(vector(2, 1), 1)
    child = os.fork()
    if not child:
        before = FAULTS.drops["store", "forked"]
        monitor.log_quantum_state(vector(2, 2), 2)
        assert monitor._run
        waiting = monitor._run.store.states.close()
        os._exit(0 if FAULTS.drops["store", "forked"] == before + 1 and not waiting else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    monitor.log_quantum_state(vector(2, 3), 3)
    monitor.end_run()
    assert [kept.step for kept in stored(monitor).states()] == [1, 3]


def test_a_state_that_comes_after_the_end_is_not_taken(open_store: StoreFactory) -> None:
    store = open_store()
    log(store, 1)
    assert store.close(20)
    log(store, 1, first=2)
    assert numbers_in(store.reader()) == [1]
    assert store.states.close() == 0  # nor does it wait for ever
