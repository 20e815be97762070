"""Delivery of a run: everything, in order, once; what is refused is missing alone, and told."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantum_monitor.record import NO_LABELS, Record
from quantum_monitor.store.writer import RunStore
from quantum_monitor.trackers.delivery import Delivery, Progress, deliver_all
from quantum_monitor.trackers.protocol import Batch, RejectedError, Row
from quantum_monitor.trackers.state import BusyError
from tests.trackers.plugin_tracker import FileTracker, Received

NewStore = Callable[..., RunStore]


def fill(store: RunStore, count: int, *, kind: str = "training", first: int = 0) -> None:
    for number in range(first, first + count):
        step = number if kind == "training" else None
        store.put(Record(kind, 1000.0 + number, step, {"loss": float(number)}, NO_LABELS))
    assert store.flush()


def ended(store: RunStore, status: str = "completed") -> RunStore:
    store.describe(status=status, end_time=2000.0, summary={"total": 1})
    assert store.close()
    return store


def deliver(store: RunStore, received: Received, **options: Any) -> Progress:
    delivery = begin(store, received, **options)
    deliver_all(delivery)
    return delivery.progress


def begin(store: RunStore, received: Received, **options: Any) -> Delivery:
    tracker = FileTracker({"path": str(received.path), **options})
    return Delivery(store.reader(), "file", tracker, directory=store.directory)


def add_artifact(store: RunStore, number: int, name: str, **changes: Any) -> Path:
    path = f"artifacts/files/{name}/1/{name}.txt"
    (store.directory / path).parent.mkdir(parents=True)
    (store.directory / path).write_text("x" * number)
    entry = {"number": number, "kind": "file", "name": name, "path": path, "time": 1.0, "metadata": {}}
    with (store.directory / "artifacts.jsonl").open("a") as index:
        index.write(json.dumps({**entry, "register_as": None, **changes}) + "\n")
    return store.directory / path


@pytest.fixture
def received(tmp_path: Path) -> Received:
    return Received(tmp_path / "received.jsonl")


# Everything arrives


def test_everything_arrives_in_order_and_the_run_is_closed(new_store: NewStore, received: Received) -> None:
    store = new_store(params={"seed": 3, "wires": [0, 1]}, tags={"paper": "fig. 3"})
    fill(store, 25_000)
    for number, name in enumerate(["b", "a"], 1):
        add_artifact(store, number, name)
    progress = deliver(ended(store), received)

    assert received.sequences == list(range(1, 25_001))
    assert [row["values"]["loss"] for row in received.rows] == [float(number) for number in range(25_000)]
    assert received.params == {"seed": 3, "wires": [0, 1]}
    assert received.tags["paper"] == "fig. 3"
    assert received.tags["quantum.run_id"] == "r1"
    assert received.artifacts == ["b", "a"]
    assert received.lines[-1] == {"close": "completed", "summary": ["total"], "ended": 2000.0}
    assert progress == Progress(25_000, 2, 0, "completed", "file://runs")


def test_the_report_comes_with_the_end(new_store: NewStore, received: Received) -> None:
    store = new_store()
    fill(store, 3)
    deliver(ended(store), received)
    assert [line["kind"] for line in received.lines if "artifact" in line] == ["report"]


def test_nan_and_infinity_arrive_as_they_are(new_store: NewStore, received: Received) -> None:
    store = new_store()
    store.put(Record("custom", 1.0, 0, {"a": math.nan, "b": math.inf, "c": -math.inf}))
    deliver(ended(store), received)
    values = received.rows[0]["values"]
    assert math.isnan(values["a"])
    assert (values["b"], values["c"]) == (math.inf, -math.inf)


def test_what_comes_later_is_delivered_later_and_nothing_twice(new_store: NewStore, received: Received) -> None:
    store = new_store(params={"seed": 3})
    delivery = begin(store, received)
    fill(store, 10)
    deliver_all(delivery)
    fill(store, 10, first=10)
    store.describe(params={"lr": 0.1}, tags={"a": "b"})
    assert store.flush()
    assert delivery.pending()
    deliver_all(delivery)
    assert not delivery.finished
    assert not delivery.pending()
    deliver_all(begin_again(delivery, ended(store), received))

    assert received.sequences == list(range(1, 21))
    assert [line["params"] for line in received.lines if line.get("params")] == [{"seed": 3}, {"lr": 0.1}]
    assert received.statuses == ["completed"]


def begin_again(delivery: Delivery, store: RunStore, received: Received) -> Delivery:
    """As another process would, after this one has let go."""
    delivery.release()
    return begin(store, received)


def test_a_delivered_run_is_not_delivered_again(new_store: NewStore, received: Received) -> None:
    store = new_store(params={"seed": 3})
    fill(store, 10)
    deliver(ended(store), received)
    facts = [line for line in received.lines if "rows" in line]
    again = begin(store, received)
    assert not again.pending()
    deliver_all(again)
    assert [line for line in received.lines if "rows" in line] == facts


# Trackers that fail


def test_after_errors_it_goes_on_with_the_same_numbers(new_store: NewStore, received: Received) -> None:
    store = new_store()
    for part in range(3):
        fill(store, 12_000, kind="system", first=12_000 * part)
    delivery = begin(ended(store), received, healthy=2, fail=5)
    errors = 0
    while not delivery.finished:
        try:
            delivery.advance()
        except ConnectionError:
            errors += 1
    assert errors == 5
    assert [(row["sequence"], row["step"]) for row in received.rows] == [(n, n) for n in range(1, 36_001)]
    assert received.statuses == ["completed"]


def test_what_the_tracker_returned_at_first_is_handed_to_it_again(new_store: NewStore, received: Received) -> None:
    store = new_store()
    fill(store, 1)
    first = begin(store, received)
    deliver_all(first)
    first.release()
    deliver(ended(store), received)
    # It returned a number, which the contract forbids: the state with it is read all the same.
    assert [line["known"] for line in received.lines if "open" in line] == [{}, {"number": "0"}]
    assert received.sequences == [1]


@pytest.mark.parametrize(("cursor", "sequences"), [(4, [5, 6]), (6, []), (99, []), (0, [1, 2, 3, 4, 5, 6])])
def test_a_service_that_knows_what_it_holds_is_believed(
    new_store: NewStore, received: Received, cursor: int, sequences: list[int]
) -> None:
    store = new_store()
    fill(store, 6, kind="system")
    assert deliver(ended(store), received, cursor=cursor).delivered == 6
    assert [(row["sequence"], row["step"]) for row in received.rows] == [(n, n) for n in sequences]


def test_a_service_that_lost_everything_gets_everything_again(new_store: NewStore, received: Received) -> None:
    store = new_store(params={"seed": 3})
    fill(store, 3, kind="system")
    deliver(ended(store), received)
    received.path.unlink()
    deliver(store, received, cursor=0)
    assert [(row["sequence"], row["step"]) for row in received.rows] == [(1, 1), (2, 2), (3, 3)]
    assert received.params == {"seed": 3}
    assert received.statuses == ["completed"]


# What a service refuses for good


def test_what_is_refused_is_missing_alone_and_counted(new_store: NewStore, received: Received) -> None:
    store = new_store(params={"good": 1, "bad": 2}, tags={"fine": "x", "foul": "y"})
    fill(store, 500)
    store.put(Record("custom", 1.0, 7, {"fresh": 1.0, "poison": 2.0, "clean": 3.0}))
    fill(store, 500, first=500)
    add_artifact(store, 1, "virus")
    add_artifact(store, 2, "drawing")
    progress = deliver(ended(store), received, reject=["poison", "bad", "foul", "virus"])

    losses = [row["values"]["loss"] for row in received.rows if "loss" in row["values"]]
    assert losses == [float(number) for number in range(1000)]
    others = [row["values"] for row in received.rows if row["sequence"] == 501]
    assert {name: value for values in others for name, value in values.items()} == {"fresh": 1.0, "clean": 3.0}
    assert received.params == {"good": 1}
    assert "foul" not in received.tags
    assert received.tags["fine"] == "x"
    assert received.artifacts == ["drawing"]
    assert progress == Progress(1001, 2, 4, "completed", "file://runs")


class Picky:
    """Takes everything but some things; keeps what it took."""

    destination = "picky"

    def __init__(self, poison: Iterable[tuple[int, str] | str]) -> None:
        self.poison = set(poison)
        self.taken: list[tuple[int, str] | str] = []

    def deliver(self, batch: Batch) -> None:
        things: list[tuple[int, str] | str] = [(row.sequence, name) for row in batch.rows for name in row.values]
        things += [*batch.params, *batch.tags]
        if self.poison.intersection(things):
            raise RejectedError
        self.taken += things


names = st.sampled_from("abcdef")


@given(
    st.lists(st.sets(names, min_size=1), max_size=12),
    st.sets(names.map("p{}".format)),
    st.sets(names.map("t{}".format)),
    st.randoms(use_true_random=False),
)
def test_exactly_the_poisoned_things_are_missing(
    rows: list[set[str]], params: set[str], tags: set[str], random: Any
) -> None:
    things: list[tuple[int, str] | str] = [(number, name) for number, row in enumerate(rows, 1) for name in sorted(row)]
    things += [*sorted(params), *sorted(tags)]
    poison = {thing for thing in things if random.random() < 0.2}
    tracker = Picky(poison)
    batch = Batch(
        [Row(n, 1.0, n, "custom", dict.fromkeys(sorted(row), 1.0), {}) for n, row in enumerate(rows, 1)],
        dict.fromkeys(sorted(params), 1),
        dict.fromkeys(sorted(tags), ""),
    )
    delivery = Delivery(Nowhere(), "picky", tracker, directory=None)  # type: ignore[arg-type]  # asked for nothing else
    assert delivery._deliver_what_is_taken(batch) == len(poison)
    assert sorted(map(str, tracker.taken)) == sorted(str(thing) for thing in things if thing not in poison)
    in_order = [thing for thing in tracker.taken if isinstance(thing, tuple)]
    assert in_order == sorted(in_order)


class Nowhere:
    """A run that nobody reads."""

    info: Mapping[str, Any] = {}


# Disks and folders


def test_a_state_that_cannot_be_saved_does_not_stop_delivery(new_store: NewStore, received: Received) -> None:
    store = new_store()
    fill(store, 12_000)
    begin(store, received)
    delivery = begin(ended(store), received, healthy=2, fail=3)
    delivery._file._path.mkdir(parents=True)  # type: ignore[union-attr]  # nothing can be moved to its place
    while not delivery.finished:
        try:
            delivery.advance()
        except ConnectionError:
            continue
    assert received.sequences == list(range(1, 12_001))  # once: what is known in memory outlives an error
    assert received.statuses == ["completed"]


def test_the_second_of_two_deliveries_is_busy_until_the_first_lets_go(new_store: NewStore, received: Received) -> None:
    store = new_store()
    fill(store, 3)
    first, second = begin(store, received), begin(store, received)
    first.advance()
    with pytest.raises(BusyError):
        second.advance()
    first.release()
    fill(store, 3, first=3)
    deliver_all(second)
    assert received.sequences == [1, 2, 3, 4, 5, 6]


def test_an_artifact_that_vanished_does_not_stop_the_others(new_store: NewStore, received: Received) -> None:
    store = new_store()
    add_artifact(store, 1, "gone").unlink()
    add_artifact(store, 2, "there")
    assert deliver(ended(store), received).closed == "completed"
    assert received.artifacts == ["there"]


def test_a_run_whose_report_cannot_be_drawn_is_closed(new_store: NewStore, received: Received) -> None:
    store = new_store()
    fill(store, 3)
    (store.directory / "trackers/report.html").mkdir(parents=True)
    assert deliver(ended(store), received).closed == "completed"


def test_a_run_of_another_host_is_killed_only_if_it_is_known_to_be_over(
    new_store: NewStore, received: Received, tmp_path: Path
) -> None:
    store = new_store()
    fill(store, 3)
    file = store.directory / "run.json"
    info = json.loads(file.read_text())
    file.write_text(json.dumps({**info, "writer": {**info["writer"], "host": "elsewhere"}}))
    assert deliver(store, received).closed == ""
    over = Delivery(
        store.reader(), "file", FileTracker({"path": str(tmp_path / "x")}), directory=store.directory, over=True
    )
    deliver_all(over)
    assert over.progress.closed == "killed"


def test_a_delivery_that_failed_to_begin_leaves_the_run_to_others(new_store: NewStore, received: Received) -> None:
    """Else a thousand runs of a service that is away would hold a thousand files open."""
    store = ended(new_store())
    waiting = begin(store, received, fail=1)
    with pytest.raises(ConnectionError):
        waiting.advance()
    assert deliver(store, received).closed == "completed"
    assert waiting.settled_before()


def test_a_run_that_is_opened_once_more_is_closed_once_more(new_store: NewStore, received: Received) -> None:
    store = new_store()
    fill(store, 3)
    later = begin(store, received)
    assert not later.settled_before()
    later.release()
    deliver(ended(store), received)
    assert later.settled_before()
    deliver(store, received)
    assert received.statuses == ["completed", "completed"]
    assert len([line for line in received.lines if "open" in line]) == 2


def test_a_service_that_forgot_a_run_without_records_gets_its_parameters_again(
    new_store: NewStore, received: Received, tmp_path: Path
) -> None:
    store = new_store(params={"lr": 0.1}, tags={"paper": "3"})
    add_artifact(store, 1, "note")
    first = begin(store, received)
    while first.advance():
        pass
    first.release()
    fill(store, 1)
    elsewhere = Received(tmp_path / "again" / received.path.name)
    elsewhere.path.parent.mkdir()
    deliver(ended(store), elsewhere, cursor=0)
    assert elsewhere.params == {"lr": 0.1}
    assert elsewhere.tags["paper"] == "3"
    assert elsewhere.artifacts == ["note"]


def test_an_artifact_that_fails_again_and_again_keeps_neither_records_nor_the_end_away(
    new_store: NewStore, received: Received
) -> None:
    class NoFiles(FileTracker):
        def attach(self, artifact: Any) -> None:
            raise PermissionError(artifact.name)

    store = new_store()
    add_artifact(store, 1, "note")
    fill(store, 5)
    ended(store)
    delivery = Delivery(
        store.reader(), "file", NoFiles({"path": str(received.path)}), directory=store.directory
    )  # fmt: skip
    for _ in range(12):
        try:
            delivery.advance()
        except PermissionError as error:
            last = error
    assert received.sequences == [1, 2, 3, 4, 5]
    assert received.statuses == ["completed"]
    assert str(last) == "note"
    assert delivery.pending()  # a later sync brings it
