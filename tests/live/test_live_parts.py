from __future__ import annotations

import json
import os
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from quantum_monitor.store import runfile
from quantum_monitor.store.reader import StoredRun
from quantum_monitor.views.live import address
from quantum_monitor.views.live.course import Change, changes
from quantum_monitor.views.live.runs import RunList, chosen, counts
from quantum_monitor.views.live.view import View
from quantum_monitor.views.live.watched import Watched
from quantum_monitor.views.observed import Observed

WRITERS_GONE = {"pid": 2**22 + 1, "started": "0", "host": None}


def make_run(folder: Path, number: int, **info: Any) -> Path:
    """A run's directory without records, as `find_runs` knows one."""
    directory = folder / "h2" / f"run{number}"
    directory.mkdir(parents=True)
    (directory / "records.db").touch()
    known = {"run_id": f"run{number}", "experiment": "h2", "start_time": 1_000.0 + number, "status": "completed"}
    runfile.write(directory / "run.json", {"end_time": 2_000.0, **known, **info})
    return directory


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The descriptions that were read."""
    found: list[Path] = []
    original = runfile.read

    def read(file: Path) -> dict[str, Any]:
        found.append(file)
        return original(file)

    monkeypatch.setattr(runfile, "read", read)
    return found


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quantum_monitor.views.live.runs._SCAN_EVERY", 0.0)


def test_descriptions_are_read_again_only_when_they_have_changed(
    tmp_path: Path, reads: list[Path], at_once: None
) -> None:
    runs = [make_run(tmp_path, number) for number in range(20)]
    going = make_run(tmp_path, 99, status="running", end_time=None, writer=runfile.this_writer())
    listed = RunList(tmp_path)
    assert [entry.key for entry in listed.entries()][:2] == ["h2/run99", "h2/run19"]
    assert len(reads) == 21
    assert listed.get("h2/run99").status == "running"  # type: ignore[union-attr]
    assert len(reads) == 21
    runfile.write(going / "run.json", {**runfile.read(going / "run.json"), "status": "failed", "end_time": 3_000.0})
    reads.clear()
    assert listed.get("h2/run99").status == "failed"  # type: ignore[union-attr]
    assert reads == [going / "run.json"]
    make_run(tmp_path, 100)
    (runs[0] / "run.json").unlink()
    (runs[0] / "records.db").unlink()
    runs[0].rmdir()
    keys = [entry.key for entry in listed.entries()]
    assert keys[0] == "h2/run100"
    assert "h2/run0" not in keys


def test_a_run_whose_writer_is_gone_was_killed(tmp_path: Path) -> None:
    make_run(
        tmp_path, 1, status="running", end_time=None, writer={"pid": 1, "started": "no", "host": os.uname().nodename}
    )
    assert [entry.status for entry in RunList(tmp_path).entries()] == ["killed"]


@pytest.mark.parametrize("text", ["{", "[]", "[" * 100_000, '{"start_time": "x", "name": 5, "tags": [], "status": 3}'])
def test_a_damaged_description_does_not_hide_the_others(tmp_path: Path, text: str) -> None:
    make_run(tmp_path, 1)
    (make_run(tmp_path, 2) / "run.json").write_text(text)
    found = RunList(tmp_path).entries()
    assert {entry.key for entry in found} == {"h2/run1", "h2/run2"}
    assert counts(found)["completed"] == 1


def test_a_search_takes_every_word(tmp_path: Path) -> None:
    make_run(tmp_path, 1, name="Bond 0.74", tags={"optimizer": "adam"})
    make_run(tmp_path, 2, name="bond 1.5", status="failed", params={"depth": 4, "token": "hunter2"})
    found = RunList(tmp_path).entries()
    for words, status, expected in (
        ("bond", "all", {"h2/run1", "h2/run2"}), ("BOND ADAM", "all", {"h2/run1"}), ("bond", "failed", {"h2/run2"}),
        ("h2 optimizer=", "all", {"h2/run1"}), ("", "killed", set()),
        ("depth=4", "all", {"h2/run2"}), ("hunter2", "all", set()),
    ):  # fmt: skip
        assert {entry.key for entry in chosen(found, words, status)} == expected


def test_the_folder_may_be_that_of_an_experiment_or_a_run(tmp_path: Path) -> None:
    run = make_run(tmp_path, 1)
    assert [entry.key for entry in RunList(run.parent).entries()] == ["run1"]
    assert [entry.key for entry in RunList(run).entries()] == ["run1"]
    (tmp_path / "elsewhere").symlink_to(run.parent)
    assert [entry.key for entry in RunList(tmp_path).entries()] == ["h2/run1"]


def test_an_address_is_read_as_it_was_written() -> None:
    assert address.read(address.of_run("a b/&=%", "states")) == address.Address("a b/&=%", "states")
    assert address.read(address.of_comparison(["x/1", "y"], ["z"])) == address.Address(a=("x/1", "y"), b=("z",))
    assert address.read("?view=nonsense&run=x") == address.Address("x")
    assert address.read(None) == address.read("?nothing") == address.Address()


def test_a_run_is_followed_and_a_replaced_one_begun_anew(new_monitor: Any, tmp_path: Path) -> None:
    monitor = new_monitor()
    runs = []
    for losses in ([1.0, 2.0], [5.0]):
        with monitor.start_run():
            for step, loss in enumerate(losses):
                monitor.log_training_step(loss, [1.0], [1.0], step)
            runs.append(monitor.storage_path / "h2" / str(monitor.current_run_id))
    watched = Watched(at_most=1)
    with watched.following(runs[0]) as observed:
        assert observed.one("training", "loss").last == 2.0  # type: ignore[union-attr]
        first = observed
    with watched.following(runs[0]) as observed:
        assert observed is first
    (runs[1] / "records.db").replace(runs[0] / "records.db")
    with watched.following(runs[0]) as observed:
        assert (observed.one("training", "loss").count, observed.cursor) == (1, 1)  # type: ignore[union-attr]
    with pytest.raises(FileNotFoundError), watched.following(runs[1]):
        pass


def drawn_by(found: list[Change]) -> dict[str, Any]:
    return {change.key: change.drawn for change in found}


def test_what_was_added_to_a_panel_makes_the_figure_of_the_whole(new_monitor: Any) -> None:
    """Figure and additions, put together, are the figure that a page opened later gets."""
    monitor = new_monitor()
    monitor.start_run()
    run = StoredRun(monitor.storage_path / "h2" / str(monitor.current_run_id))
    observed = Observed()
    shown: dict[str, list[float]] = {}
    state: dict[str, Any] = {}
    figures = 0
    for part in range(8):
        for step in range(part * 300, (part + 1) * 300):
            monitor.log_training_step(1.0 / (step + 1), [1.0 + step % 7], [1.0], step)
        _settled(run, (part + 1) * 300)
        observed.follow(run)
        for change in changes(observed, state, "light", revision="r", goes_on=True):
            state[change.key] = change.drawn
            if change.figure is not None:
                figures += change.key == "loss"
                shown[change.key] = list(change.figure["data"][0]["y"])
            for place, _, y in change.added:
                if place == 0:
                    shown[change.key] += y
    assert 1 < figures < 8
    anew = {c.key: c for c in changes(observed, {}, "light", revision="r", goes_on=True)}
    assert shown["loss"] == anew["loss"].figure["data"][0]["y"]  # type: ignore[index]
    assert shown["gradient_norm"] == anew["gradient_norm"].figure["data"][0]["y"]  # type: ignore[index]
    assert list(changes(observed, drawn_by(list(anew.values())), "light", revision="r", goes_on=True)) == []


def _settled(run: StoredRun, steps: int) -> None:
    deadline = time.monotonic() + 60
    while len(run.series("loss").value) < steps:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_run_is_read_before_it_is_asked_for_and_its_loss_is_drawn_first(
    new_monitor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor = new_monitor()
    with monitor.start_run():
        monitor.log_training_step(1.0, [1.0, 2.0], [1.0, 2.0], 0)
        monitor.log_metrics({"mine": 1.0}, step=0)
        search = address.of_run(f"h2/{monitor.current_run_id}")
    view = View(RunList(monitor.storage_path))
    view.read_ahead(search)
    with monkeypatch.context() as patch:
        patch.setattr(Observed, "follow", lambda *_: pytest.fail("read again"))
        update = view.update(search, "light", None)
    assert (list(update.drawn["panels"]), update.drawn["pace"]) == (["loss"], "more")
    while update.drawn["pace"] == "more":
        update = view.update(search, "light", update.drawn)
    assert {"loss", "gradient_norm", "parameters", "custom"} <= set(update.drawn["panels"])


def test_secrets_in_names_params_and_tags_are_hidden(new_monitor: Any) -> None:
    monitor = new_monitor()
    with monitor.start_run("token=hunter2"):
        monitor.log_params({"api_key": "hunter2"})
        monitor.set_tags({"password": "hunter2"})
        search = address.of_run(f"h2/{monitor.current_run_id}", "details")
    runs = RunList(monitor.storage_path)
    shown = View(runs).update(search, "light", None)
    told = "".join(map(str, (shown.heading, shown.content, shown.drawn, *runs.entries()[0].tags)))
    assert "(hidden)" in told
    assert "hunter2" not in told


def test_a_view_says_what_is_wrong_and_asks_again(tmp_path: Path) -> None:
    directory = make_run(tmp_path, 1)
    (directory / "records.db").write_bytes(b"no database at all" * 100)
    view = View(RunList(tmp_path))
    update = view.update("?run=h2/run1", "light", None)
    assert "cannot be read" in json.dumps([str(part) for part in update.content])
    assert update.drawn["pace"] == "live"
    again = view.update("?run=h2/run1", "light", update.drawn)
    assert again.content is None


def test_a_run_of_an_older_schema_is_shown(tmp_path: Path) -> None:
    directory = make_run(tmp_path, 1)
    with sqlite3.connect(directory / "records.db") as old:
        old.execute(
            "CREATE TABLE records(id INTEGER PRIMARY KEY, kind TEXT, time REAL, step INTEGER, labels TEXT, fields TEXT)"
        )
        old.execute("INSERT INTO records VALUES(1, 'training', 1000.5, 3, '{}', '{\"loss\": 0.5}')")
        old.execute("PRAGMA user_version=1")
    old.close()
    before = sorted((file.name, file.read_bytes()) for file in directory.iterdir())
    update = View(RunList(tmp_path)).update("?run=h2/run1", "light", None)
    assert set(update.drawn["panels"]) == {"loss"}
    assert sorted((file.name, file.read_bytes()) for file in directory.iterdir()) == before
