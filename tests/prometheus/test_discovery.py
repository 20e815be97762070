"""Target files: written in one step, kept fresh, taken back, and swept after the dead."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from quantum_monitor.faults import FAULTS
from quantum_monitor.prometheus.discovery import Announcement, announce, target_address

META = "__meta_quantum_monitor_"

ANNOUNCER = """
import sys
from quantum_monitor.prometheus.discovery import announce
announcement = announce(sys.argv[1], host="127.0.0.1", port=9888)
print(announcement.path, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "targets"


@pytest.fixture
def announced(folder: Path) -> Any:
    announcement = announce(folder, host="127.0.0.1", port=9888, labels={"team": "x"}, refresh_every=None)
    yield announcement
    announcement.withdraw()


def content(path: Path) -> Any:
    return json.loads(path.read_text())[0]


def announcer(folder: Path) -> tuple[subprocess.Popen[str], Path]:
    """Another process that has announced itself and waits for its standard input to end."""
    process = subprocess.Popen(
        [sys.executable, "-c", ANNOUNCER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def finish(process: subprocess.Popen[str]) -> None:
    process.communicate(timeout=20)


def test_the_file_names_the_target_and_its_labels(announced: Announcement, folder: Path) -> None:
    assert announced.path.parent == folder
    assert announced.path.name.endswith(f"-{os.getpid()}-9888.json")
    target = content(announced.path)
    assert target["targets"] == ["127.0.0.1:9888"]
    assert {name: value for name, value in target["labels"].items() if not name.startswith("__")} == {"team": "x"}
    assert "__scheme__" not in target["labels"]


def test_https_is_announced(folder: Path) -> None:
    announcement = announce(folder, host="127.0.0.1", port=1, scheme="https", refresh_every=None)
    assert content(announcement.path)["labels"]["__scheme__"] == "https"
    announcement.withdraw()


def test_every_user_may_read_the_file(announced: Announcement) -> None:
    umask = os.umask(0)
    os.umask(umask)
    assert announced.path.stat().st_mode & 0o777 == 0o666 & ~umask


def test_nothing_but_the_file_is_left_in_the_folder(announced: Announcement, folder: Path) -> None:
    announced.path.write_text("[]")
    announced.refresh()
    assert list(folder.iterdir()) == [announced.path]
    announced.withdraw()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("host", "target"),
    [
        ("127.0.0.1", "127.0.0.1:80"),
        ("::1", "[::1]:80"),
        ("localhost", "localhost:80"),
        ("0.0.0.0", f"{socket.gethostname()}:80"),  # noqa: S104 - what is tested
        ("::", f"{socket.gethostname()}:80"),
    ],
)
def test_a_target_is_what_others_can_reach(host: str, target: str) -> None:
    assert target_address(host, 80) == target


@pytest.mark.parametrize("name", ["", "1st", "a-b", "té", "__scheme__", "__address__", 5, None])
def test_a_wrong_label_name_is_refused(folder: Path, name: Any) -> None:
    with pytest.raises(ValueError, match=r"labels: .* is not a label name; use letters"):
        announce(folder, host="127.0.0.1", port=1, labels={name: "x"})


def test_label_values_are_data(folder: Path) -> None:
    value = '"}]\n\\<script>\ud800'
    announcement = announce(folder, host="127.0.0.1", port=1, labels={"team": value}, refresh_every=None)
    assert content(announcement.path)["labels"]["team"] == value
    announcement.withdraw()


def test_refreshing_updates_the_time_of_the_file(announced: Announcement) -> None:
    os.utime(announced.path, (0, 0))
    announced.refresh()
    assert announced.path.stat().st_mtime > time.time() - 60


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_text("[{")], ids=["removed", "changed"])
def test_refreshing_mends_the_file(announced: Announcement, damage: Callable[[Path], object]) -> None:
    before = content(announced.path)
    damage(announced.path)
    announced.refresh()
    assert content(announced.path) == before


def test_a_removed_file_comes_back_by_itself(folder: Path, eventually: Callable[..., None]) -> None:
    announcement = announce(folder, host="127.0.0.1", port=1, refresh_every=0.05)
    announcement.path.unlink()
    eventually(announcement.path.exists)
    announcement.withdraw()
    eventually(lambda: not any(thread.name == "quantum-monitor-discovery" for thread in threading.enumerate()))
    assert not announcement.path.exists()


def test_what_was_withdrawn_stays_withdrawn(announced: Announcement) -> None:
    announced.withdraw()
    announced.refresh()
    announced.withdraw()
    assert not announced.path.exists()


def test_a_process_takes_its_file_back_when_it_exits(folder: Path) -> None:
    process, path = announcer(folder)
    assert path.exists()
    finish(process)
    assert not path.exists()


def age(path: Path, seconds: float = 301.0) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_the_file_of_a_killed_process_is_removed_by_the_next_after_five_minutes(folder: Path) -> None:
    process, path = announcer(folder)
    process.kill()
    finish(process)
    announce(folder, host="127.0.0.1", port=1, refresh_every=None).withdraw()
    assert path.exists()
    age(path)
    announcement = announce(folder, host="127.0.0.1", port=1, refresh_every=None)
    assert list(folder.iterdir()) == [announcement.path]
    announcement.withdraw()


def test_the_file_of_a_living_process_is_left_alone(folder: Path) -> None:
    process, path = announcer(folder)
    age(path)
    announce(folder, host="127.0.0.1", port=1, refresh_every=None).withdraw()
    assert path.exists()
    finish(process)


def foreign(announced: Announcement, **labels: str | None) -> Path:
    """A file like ours, with other labels."""
    target = content(announced.path)
    for name, value in labels.items():
        target["labels"].pop(META + name) if value is None else target["labels"].update({META + name: value})
    path = announced.path.with_name("foreign.json")
    path.write_text(json.dumps([target]))
    return path


def test_a_reused_process_id_is_told_from_the_one_that_wrote_the_file(announced: Announcement, folder: Path) -> None:
    start = psutil.Process().create_time()
    path = foreign(announced, process_start=repr(start - 3600))
    age(path)
    age(announced.path)
    announce(folder, host="127.0.0.1", port=1, refresh_every=None).withdraw()
    assert not path.exists()
    assert announced.path.exists()


@pytest.mark.parametrize(
    "labels",
    [{"host": "another-machine", "pid": "1"}, {"host": None}, {"pid": "one"}, {"pid": None}, {"process_start": "x"}],
)
def test_files_that_cannot_be_judged_are_left_alone(
    announced: Announcement, folder: Path, labels: dict[str, str | None]
) -> None:
    path = foreign(announced, **{"process_start": "0", **labels})
    age(path, 86_400.0)
    announce(folder, host="127.0.0.1", port=1, refresh_every=None).withdraw()
    assert path.exists()


@pytest.mark.parametrize("text", ["", "[", "[]", "{}", '[{"targets": ["a:1"]}]', '[{"labels": [1]}]', "null", "\x00"])
def test_files_of_other_people_are_left_alone(folder: Path, text: str) -> None:
    folder.mkdir()
    other = folder / "other.json"
    other.write_text(text)
    announce(folder, host="127.0.0.1", port=1, refresh_every=None).withdraw()
    assert other.read_text() == text


def test_files_of_another_container_are_removed_only_when_nobody_refreshes_them(
    announced: Announcement, folder: Path
) -> None:
    path = foreign(announced, pid_namespace="pid:[1]", pid="999999999")
    announce(folder, host="127.0.0.1", port=1, refresh_every=None).withdraw()
    assert path.exists()
    os.utime(path, (0, 0))
    announce(folder, host="127.0.0.1", port=1, refresh_every=None).withdraw()
    assert not path.exists()


def test_a_folder_that_cannot_be_written_is_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest
) -> None:
    blocked = tmp_path / request.node.name
    blocked.write_text("a file where the folder should be")
    before = FAULTS.errors["discovery"]
    with caplog.at_level(logging.WARNING, "quantum_monitor"):
        announcement = announce(blocked, host="127.0.0.1", port=1, refresh_every=None)
        announcement.refresh()
        announcement.withdraw()
    assert FAULTS.errors["discovery"] >= before + 2
    assert len([message for message in caplog.messages if message.startswith("discovery: ")]) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this machine")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_takes_nothing_back(announced: Announcement) -> None:
    with announced._lock:  # as if another thread of the parent were refreshing
        pid = os.fork()
        if pid == 0:
            announced.refresh()
            announced.withdraw()
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert announced.path.exists()


def test_prometheus_understands_the_file(folder: Path, tmp_path: Path, server_binary: Callable[[str], Path]) -> None:
    announcement = announce(
        folder, host="::1", port=9888, scheme="https", labels={"team": 'a "b"\n'}, refresh_every=None
    )
    config = tmp_path / "prometheus.yml"
    config.write_text(f"scrape_configs: [{{job_name: training, file_sd_configs: [{{files: ['{folder}/*.json']}}]}}]\n")
    promtool = server_binary("promtool")
    subprocess.run([promtool, "check", "config", config], check=True, capture_output=True)
    found = subprocess.run(
        [promtool, "check", "service-discovery", "--timeout=2s", config, "training"],
        check=True,
        capture_output=True,
        text=True,
    )
    (target,) = json.loads(found.stdout)
    assert target["discoveredLabels"]["__address__"] == "[::1]:9888"
    assert target["labels"]["__scheme__"] == "https"
    assert target["labels"]["team"] == 'a "b"\n'
    assert not any(name.startswith("__meta_") for name in target["labels"])
    announcement.withdraw()
