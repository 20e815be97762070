"""The state of a delivery: as it was saved or not at all, and in one process at a time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from quantum_monitor.trackers.state import BusyError, State, StateFile, destinations

HERE = "https://here"
FULL = State(
    tracker="mlflow",
    destination=HERE,
    cursor=7,
    time=1.5,
    known={"id": "x"},
    url="u",
    rows={"counts": {"system": 3}},
    sent={"params/a": "d"},
    artifacts=2,
    dropped=1,
    closed="completed",
)
HOLDER = """
import sys, time
from pathlib import Path
from quantum_monitor.trackers.state import StateFile
StateFile(Path(sys.argv[1]), "mlflow", "https://here").lock()
print("locked", flush=True)
time.sleep(60)
"""


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """The path of a state file with everything in it."""
    (tmp_path / "trackers").mkdir()
    StateFile(tmp_path, "mlflow", HERE).save(FULL)
    (path,) = (tmp_path / "trackers").glob("*.json")
    return path


def load(path: Path, destination: str = HERE) -> State:
    return StateFile(path.parent.parent, "mlflow", destination).load()


def test_a_state_is_loaded_as_it_was_saved(saved: Path) -> None:
    assert load(saved) == FULL
    assert destinations(saved.parent.parent, "mlflow") == [HERE]


def test_each_destination_has_a_state_of_its_own(saved: Path) -> None:
    assert load(saved, "https://there") == State(tracker="mlflow", destination="https://there")


def test_a_state_of_another_destination_is_not_taken_for_this_one(saved: Path) -> None:
    saved.write_text(json.dumps({**json.loads(saved.read_text()), "destination": "https://there"}))
    assert load(saved).cursor == 0


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "3", '"x"', "[" * 100_000, '{"cursor": 7', "\0" * 100, "{}"],
    ids=["empty", "cut", "list", "null", "number", "text", "deep", "cut-2", "zeros", "nothing"],
)
def test_a_damaged_state_begins_anew(saved: Path, text: str) -> None:
    saved.write_text(text)
    assert load(saved) == State(tracker="mlflow", destination=HERE)
    assert destinations(saved.parent.parent, "mlflow") == []


@pytest.mark.parametrize(
    "hostile",
    [
        {"cursor": -1},
        {"cursor": 10**30},
        {"artifacts": -5},
        {"dropped": -5},
        {"time": float("nan")},
        {"time": float("inf")},
        {"known": {"id": 3}},
        {"sent": {"a": ["b"]}},
    ],
    ids=str,
)
def test_a_hostile_state_begins_anew(saved: Path, hostile: dict[str, Any]) -> None:
    saved.write_text(json.dumps({**json.loads(saved.read_text()), **hostile}))
    assert load(saved) == State(tracker="mlflow", destination=HERE)


def test_fields_of_a_wrong_type_are_passed_over(saved: Path) -> None:
    saved.write_text(json.dumps({**json.loads(saved.read_text()), "cursor": True, "url": 3, "unknown": 1}))
    state = load(saved)
    assert (state.cursor, state.url, state.artifacts) == (0, "", 2)


def test_a_pipe_or_a_link_in_its_place_is_not_read(saved: Path) -> None:
    moved = saved.rename(saved.parent / "elsewhere")
    saved.symlink_to(moved)
    assert load(saved).cursor == 0
    saved.unlink()
    os.mkfifo(saved)
    assert load(saved).cursor == 0  # and does not wait for a writer


def test_a_lock_that_is_a_link_creates_nothing_elsewhere(tmp_path: Path, saved: Path) -> None:
    saved.with_suffix(".lock").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="ymbolic"):
        StateFile(tmp_path, "mlflow", HERE).lock()
    assert not (tmp_path / "victim").exists()


def test_the_second_delivery_is_told_that_it_is_the_second(tmp_path: Path) -> None:
    first, second = (StateFile(tmp_path, "mlflow", HERE) for _ in range(2))
    assert first.lock()
    assert not first.lock()
    with pytest.raises(BusyError, match="another process"):
        second.lock()
    StateFile(tmp_path, "mlflow", "https://there").lock()
    first.unlock()
    assert second.lock()


def test_sigkill_gives_the_claim_back(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        mine = StateFile(tmp_path, "mlflow", HERE)
        with pytest.raises(BusyError):
            mine.lock()
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    assert mine.lock()


def test_without_a_disk_the_state_is_the_callers(tmp_path: Path) -> None:
    file = StateFile(None, "mlflow", HERE)
    assert not file.lock()
    file.save(FULL)
    assert file.load() == State(tracker="mlflow", destination=HERE)
    assert not list(tmp_path.iterdir())


def test_a_folder_of_states_that_is_a_link_is_not_written_to(tmp_path: Path) -> None:
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    run.mkdir()
    elsewhere.mkdir()
    (run / "trackers").symlink_to(elsewhere)
    with pytest.raises(OSError, match="is a link"):
        StateFile(run, "file", "file x").lock()
    assert list(elsewhere.iterdir()) == []
