"""What is put into a store comes out again."""

from __future__ import annotations

import json
import math
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantum_monitor.faults import FAULTS
from quantum_monitor.record import Record
from quantum_monitor.store.reader import StoredRun
from quantum_monitor.store.writer import RunStore

StoreFactory = Callable[..., RunStore]


def training(step: int, **fields: float) -> Record:
    return Record("training", 1_000.0 + step, step, fields or {"loss": 1.0 / (step + 1), "gradient_norm": 0.5})


def test_records_come_back_as_they_were_put_in_their_order(open_store: StoreFactory) -> None:
    store = open_store()
    put = [
        training(0),
        Record("circuit", 2.0, None, {"depth": 3.0}, {"backend": "a", "status": "success"}),
        training(1),
        Record("custom", 3.0, 5, {'odd "name"\n\0': -1.5}),
        Record("state", 4.0, 2**53, {}),
        Record("circuit", 5.0, None, {"depth": 4.0}, {"backend": "b"}),
        training(2, gradient_norm=1.0, loss=2.0),
    ]
    for record in put:
        store.put(record)
    assert store.flush()
    assert [(sequence, record) for sequence, record in store.reader().records()] == list(enumerate(put, 1))


def test_nan_and_infinity_stay_what_they_are(open_store: StoreFactory) -> None:
    store = open_store()
    for value in (math.nan, math.inf, -math.inf, -0.0, 5e-324, 1.7976931348623157e308):
        store.put(training(0, loss=value))
    store.flush()
    values = store.reader().series("loss").value
    assert np.array_equal(values, [math.nan, math.inf, -math.inf, -0.0, 5e-324, 1.7976931348623157e308], equal_nan=True)
    assert math.copysign(1, values[3]) == -1


def test_a_value_that_is_no_number_costs_its_own_record_only(open_store: StoreFactory) -> None:
    store = open_store()
    before = FAULTS.drops["store", "unreadable"]
    bad: list[Any] = [
        training(1, loss="high"),  # type: ignore[arg-type]
        training(2, loss=None),  # type: ignore[arg-type]
        training(3, loss=10**400),
        Record("training", 0.0, 4, None),  # type: ignore[arg-type]
        Record("training", 0.0, 4, {"loss": 1.0}, {"backend": []}),  # type: ignore[dict-item]
    ]
    for record in (training(0, loss=1.0), *bad, training(5, loss=np.float32(0.5)), training(6, loss=True)):
        store.put(record)
    assert store.flush()
    assert store.reader().series("loss").step.tolist() == [0, 5, 6]
    assert FAULTS.drops["store", "unreadable"] == before + len(bad)


def test_64_threads_lose_no_record(open_store: StoreFactory) -> None:
    store = open_store()

    def log(thread: int) -> None:
        for step in range(500):
            store.put(Record("training", 0.0, step, {f"loss_{thread}": 1.0}))

    threads = [threading.Thread(target=log, args=(number,)) for number in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.flush(20)
    run = store.reader()
    assert run.last_sequence == 64 * 500
    for number in range(64):
        assert run.series(f"loss_{number}").step.tolist() == list(range(500))


@pytest.mark.usefixtures("busy_thread")
def test_no_record_is_lost_at_ten_thousand_a_second_beside_a_busy_thread(open_store: StoreFactory) -> None:
    store = open_store()
    drops = dict(FAULTS.drops)
    start = time.perf_counter()
    for step in range(20_000):
        store.put(training(step))
        if step % 100 == 99:
            time.sleep(max(0.0, start + step / 10_000 - time.perf_counter()))
    assert store.flush(20)
    assert store.reader().series("loss").step.tolist() == list(range(20_000))
    assert dict(FAULTS.drops) == drops


def test_a_full_queue_drops_and_counts(open_store: StoreFactory) -> None:
    store = open_store(queue_limit=10, flush_interval=60)
    before = FAULTS.drops["store", "queue_full"]
    for step in range(25):
        store.put(training(step))
    assert store.backlog == 10
    assert store.pending
    assert FAULTS.drops["store", "queue_full"] == before + 15
    assert store.flush()
    assert (store.backlog, store.pending) == (0, False)
    assert store.reader().series("loss").step.tolist() == list(range(10))


def test_100_000_distinct_names_are_kept(open_store: StoreFactory) -> None:
    store = open_store()
    for number in range(100_000):
        store.put(Record("custom", 0.0, number, {f"name {number}": float(number)}))
    assert store.flush(60)
    run = store.reader()
    assert len(run.fields()) == 100_000
    assert run.series("name 99999").value.tolist() == [99_999.0]
    assert sum(1 for _ in run.records(after=90_000)) == 10_000


def test_a_shape_that_was_forgotten_is_known_again(open_store: StoreFactory) -> None:
    store = open_store()
    for turn in range(2):
        store.put(training(turn))
        for number in range(11_000):
            store.put(Record("custom", 0.0, None, {f"name {number}": 1.0}))
        assert store.flush(20)
    run = store.reader()
    assert run.series("loss").step.tolist() == [0, 1]
    assert len(run.series("name 5").value) == 2
    assert len(run.fields()) == 11_002


def test_the_description_is_merged_and_holds_strict_json(open_store: StoreFactory, tmp_path: Path) -> None:
    class Strange:
        def __str__(self) -> str:
            raise RuntimeError

    loop: list[Any] = []
    loop.append(loop)
    store = open_store(info={"experiment": "../h2\ud800", "params": {"shots": 100}, "rate": math.nan})
    store.describe(params={"seed": np.int64(7), "angles": np.array([0.5, np.inf]), "huge": 10**5000})
    store.describe(tags={"who": Strange(), 5: {1}}, loop=loop, status="completed", end_time=12.5)
    assert store.flush()

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    info = json.loads((tmp_path / "h2" / "1" / "run.json").read_text("utf-8"), parse_constant=refuse)
    assert info["experiment"] == "../h2\ud800"
    assert info["params"] == {"shots": 100, "seed": 7, "angles": [0.5, None], "huge": "<int>"}
    assert info["tags"] == {"who": "<Strange>", "5": [1]}
    assert (info["rate"], info["status"], info["end_time"]) == (None, "completed", 12.5)
    assert info["environment"]["python"]


def test_closing_leaves_one_plain_database_file(open_store: StoreFactory, tmp_path: Path) -> None:
    store = open_store()
    store.put(training(0))
    assert store.close()
    assert store.close()
    assert store.flush()
    assert {file.name for file in (tmp_path / "h2" / "1").iterdir()} == {"records.db", "run.json", "artifacts"}
    assert StoredRun(tmp_path / "h2" / "1").last_sequence == 1


def test_what_comes_after_closing_is_dropped_and_counted(open_store: StoreFactory) -> None:
    store = open_store()
    store.close()
    drops, errors = FAULTS.drops["store", "closed"], FAULTS.errors["store"]
    store.put(training(0))
    store.describe(status="completed")
    assert FAULTS.drops["store", "closed"] == drops + 1
    assert FAULTS.errors["store"] == errors + 1


def test_a_run_that_is_opened_again_counts_on(open_store: StoreFactory) -> None:
    first = open_store()
    first.put(training(0))
    first.put(Record("state", 0.0, 0, {"fidelity": 1.0}))
    first.close()
    second = open_store()
    second.put(training(1))
    second.flush()
    assert [(sequence, record.step) for sequence, record in second.reader().records()] == [(1, 0), (2, 0), (3, 1)]


def test_a_directory_has_one_writer(open_store: StoreFactory) -> None:
    store = open_store()
    with pytest.raises(ValueError, match=f"written by process {os.getpid()}.*directory of its own"):
        RunStore(store.directory, {})
    store.put(training(0))
    assert store.flush()


@pytest.mark.parametrize("options", [{"queue_limit": 0}, {"flush_interval": 0}, {"flush_interval": math.nan}])
def test_a_wrong_option_is_named(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        RunStore(tmp_path / "run", {}, **options)
