"""A tracker from an installed package, and runs with something in them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from quantum_monitor.store.layout import run_directory
from quantum_monitor.store.writer import RunStore
from tests.trackers import plugin_tracker
from tests.trackers.plugin_tracker import Received

NewStore = Callable[..., RunStore]


@pytest.fixture(scope="session")
def plugin_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an installed package that brings the trackers ``file``, ``other`` and ``broken``."""
    folder = tmp_path_factory.mktemp("plugin")
    shutil.copy(plugin_tracker.__file__, folder)
    described = folder / "filetracker-1.0.dist-info"
    described.mkdir()
    for name, text in plugin_tracker.METADATA.items():
        (described / name).write_text(text)
    return folder


@pytest.fixture
def plugin(plugin_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Received:
    """What arrives at the tracker ``file`` with the option ``path``, here and in processes that are started here."""
    monkeypatch.syspath_prepend(plugin_folder)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(plugin_folder), os.environ.get("PYTHONPATH")))))
    return Received(tmp_path / "received.jsonl")


@pytest.fixture
def new_store(tmp_path: Path) -> Iterator[NewStore]:
    """Makes stores of runs in the folder ``runs``; closes them after the test."""
    made: list[RunStore] = []

    def make(run_id: str = "r1", **info: object) -> RunStore:
        described = {"run_id": run_id, "name": "a", "experiment": "h2", **info}
        made.append(RunStore(run_directory(tmp_path / "runs", "h2", run_id), described))
        return made[-1]

    yield make
    for store in made:
        store.close()
