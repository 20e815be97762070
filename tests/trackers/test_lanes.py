"""Lanes: a tracker that hangs, fails, cannot be used or ends its thread hinders no other."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from quantum_monitor.record import Record
from quantum_monitor.store.writer import RunStore
from quantum_monitor.trackers.lanes import Lanes, News
from tests.server_process import eventually
from tests.trackers.plugin_tracker import Received

NewStore = Callable[..., RunStore]


class Heard:
    """What lanes tell."""

    def __init__(self) -> None:
        self.news: list[News] = []

    def last(self, tracker: str = "file", run: str = "") -> News | None:
        return next((news for news in reversed(self.news) if news.tracker == tracker and run in news.run), None)

    def condition(self, tracker: str = "file", run: str = "") -> str:
        news = self.last(tracker, run)
        return "" if news is None else news.condition


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def lanes(heard: Heard) -> Lanes:
    return Lanes(heard.news.append)


@pytest.fixture
def free(tmp_path: Path) -> Iterator[Path]:
    """A file whose appearance frees trackers that hang."""
    file = tmp_path / "free"
    yield file
    file.touch()


def add(lanes: Lanes, store: RunStore, **trackers: dict[str, Any]) -> None:
    lanes.add(str(store.directory), store.reader(), trackers, store.directory)


def complete(store: RunStore, count: int = 3) -> RunStore:
    for number in range(count):
        store.put(Record("training", 1.0, number, {"loss": 1.0}))
    store.describe(status="completed")
    assert store.close()
    return store


def test_a_tracker_that_hangs_delays_no_other(
    lanes: Lanes, heard: Heard, plugin: Received, new_store: NewStore, free: Path
) -> None:
    hanging = Received(plugin.path.with_name("hanging.jsonl"))
    store = complete(new_store())
    add(
        lanes,
        store,
        other={"path": str(hanging.path), "hang": str(free)},
        file={"path": str(plugin.path)},
        broken={},
    )
    eventually(lambda: heard.condition() == "delivered")
    assert heard.condition("other") != "delivered"
    assert not lanes.idle
    free.touch()
    eventually(lambda: heard.condition("other") == "delivered")
    assert hanging.sequences == plugin.sequences == [1, 2, 3]


def test_a_tracker_that_cannot_be_loaded_or_used_is_told_with_its_reason(
    lanes: Lanes, heard: Heard, plugin: Received, new_store: NewStore
) -> None:
    add(lanes, complete(new_store()), broken={}, file={"path": str(plugin.path), "unusable": "pip install it"}, gone={})
    eventually(lambda: lanes.idle)
    eventually(lambda: len(heard.news) >= 3)
    told = {news.tracker: (news.condition, news.error) for news in heard.news}
    assert told["file"] == ("unusable", "pip install it")
    assert told["broken"][0] == told["gone"][0] == "unusable"
    assert "nothing_of_that_name" in told["broken"][1]
    assert "there is no tracker 'gone'" in told["gone"][1]


def test_a_service_that_was_down_gets_everything_when_it_is_back(
    lanes: Lanes, heard: Heard, plugin: Received, new_store: NewStore
) -> None:
    add(lanes, complete(new_store()), file={"path": str(plugin.path), "fail": 2})
    eventually(lambda: heard.condition() == "delivered")
    assert heard.news[0].condition == "retrying"
    assert [news.error for news in heard.news if news.error] == ["ConnectionError: the service is not there"]
    assert plugin.sequences == [1, 2, 3]
    assert heard.last() == News(heard.news[0].run, "file", "delivered", 3, 0, "file://runs", "")


def test_a_tracker_that_calls_exit_is_one_that_fails(
    lanes: Lanes, heard: Heard, plugin: Received, new_store: NewStore
) -> None:
    before = set(threading.enumerate())
    add(lanes, complete(new_store()), file={"path": str(plugin.path), "exit": True})
    eventually(lambda: heard.condition() == "retrying")
    assert heard.news[-1].error == "SystemExit: 1"
    assert [thread.name for thread in set(threading.enumerate()) - before] == ["quantum-monitor-file"]


def test_a_run_that_fails_for_good_delays_no_other_run(
    lanes: Lanes, heard: Heard, plugin: Received, new_store: NewStore
) -> None:
    add(lanes, complete(new_store("bad")), file={"path": str(plugin.path), "exit": True})
    add(lanes, complete(new_store("good")), file={"path": str(plugin.path)})
    eventually(lambda: heard.condition(run="good") == "delivered")
    assert heard.condition(run="bad") == "retrying"


@pytest.mark.parametrize("left", [[], ["trackers"]], ids=["all", "but-what-delivery-wrote"])
def test_a_run_that_is_deleted_in_the_middle_is_left_alone(
    lanes: Lanes, heard: Heard, plugin: Received, new_store: NewStore, left: list[str]
) -> None:
    store = new_store()
    store.put(Record("training", 1.0, 0, {"loss": 1.0}))
    assert store.flush()
    add(lanes, store, file={"path": str(plugin.path)})
    eventually(lambda: heard.condition() == "waiting")
    for path in store.directory.iterdir():
        if path.name not in left:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    if not left:
        store.directory.rmdir()
    eventually(lambda: lanes.idle)
    eventually(lambda: heard.condition() == "unusable")
    assert "was deleted" in heard.news[-1].error


def test_records_that_keep_coming_do_not_keep_an_artifact_waiting(
    lanes: Lanes, heard: Heard, plugin: Received, new_store: NewStore
) -> None:
    store = new_store()
    (store.directory / "artifacts" / "files").mkdir(parents=True)
    (store.directory / "artifacts" / "files" / "x").write_text("x")
    add(lanes, store, file={"path": str(plugin.path), "latency": 0.1})
    eventually(lambda: heard.condition() == "waiting")
    entry = '{"number": 1, "kind": "file", "name": "x", "path": "artifacts/files/x", "time": 1, "metadata": {}}\n'
    (store.directory / "artifacts.jsonl").write_text(entry)
    before = len(plugin.lines)

    def arrived() -> bool:
        store.put(Record("training", 1.0, None, {"loss": 1.0}))
        return len(plugin.lines) > before + 5 or plugin.artifacts == ["x"]

    eventually(arrived)
    assert plugin.artifacts == ["x"]


def test_a_run_that_was_delivered_before_is_told_so_and_not_opened_again(
    lanes: Lanes, heard: Heard, plugin: Received, new_store: NewStore
) -> None:
    """As by a delivery process that was killed before it could say so."""
    store = complete(new_store())
    add(lanes, store, file={"path": str(plugin.path)})
    eventually(lambda: heard.condition() == "delivered")
    told: list[News] = []
    add(Lanes(told.append), store, file={"path": str(plugin.path)})
    eventually(lambda: told)
    assert (told[-1].condition, told[-1].delivered, told[-1].url) == ("delivered", 3, "file://runs")
    assert plugin.statuses == ["completed"]
