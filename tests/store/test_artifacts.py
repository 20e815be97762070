"""What a run's index lists is there, whole and inside the run, whatever happens to its writer."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import threading
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from quantum_monitor.faults import FAULTS
from quantum_monitor.store import artifact_writer
from quantum_monitor.store.artifact_writer import ArtifactStore, Written
from quantum_monitor.store.artifacts import INDEX, Artifact, read
from tests.server_process import eventually

StartProgram = Callable[..., "subprocess.Popen[str]"]
Mount = Callable[..., Path]

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this machine")


class Blob:
    """Bytes as an artifact: a folder with one file, or the file itself."""

    def __init__(self, data: bytes = b"x", file: str = "data.bin", *, gate: threading.Event | None = None) -> None:
        self.data, self.file, self.gate = data, file, gate
        self.size = len(data)
        self.discarded = 0
        self.begun = threading.Event()

    def write(self, folder: Path, version: int) -> Written:  # noqa: ARG002 - part of the protocol
        self.begun.set()
        if self.gate is not None:
            assert self.gate.wait(30)
        (folder / self.file).write_bytes(self.data)
        return Written(self.file, {"bytes": len(self.data)})

    def discard(self) -> None:
        self.discarded += 1


@pytest.fixture
def run(tmp_path: Path) -> Path:
    directory = tmp_path / "h2" / "1"
    (directory / "artifacts").mkdir(parents=True)
    return directory


@pytest.fixture
def open_artifacts(run: Path) -> Iterator[Callable[..., ArtifactStore]]:
    opened: list[ArtifactStore] = []

    def open_one(directory: Path | None = run) -> ArtifactStore:
        opened.append(ArtifactStore(directory))
        return opened[-1]

    yield open_one
    for store in opened:
        assert store.close(20)


OpenArtifacts = Callable[..., ArtifactStore]


def entries(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / INDEX).read_text().splitlines()]


def list_entry(run: Path, **changes: Any) -> None:
    """Add a line to the index by hand."""
    number = 1 + (run / INDEX).read_bytes().count(b"\n") if (run / INDEX).exists() else 1
    entry = {"number": number, "kind": "file", "name": "a", "path": "artifacts/a", "time": 1.0, "metadata": {}}
    with (run / INDEX).open("a") as index:
        index.write(json.dumps({**entry, **changes}) + "\n")


def files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


# Writing


def test_an_artifact_is_read_back_as_it_was_put(run: Path, open_artifacts: OpenArtifacts) -> None:
    store = open_artifacts()
    assert store.put("figure", "loss curve", Blob(b"png", "loss.png"), register_as="curves")
    assert store.flush(20)
    (artifact,) = read(run)
    path = run / "artifacts" / "figures" / "loss-curve-301ba82caab1" / "1" / "loss.png"
    assert artifact == Artifact(
        1, "figure", "loss curve", path, artifact.time, {"bytes": 3, "version": 1}, register_as="curves"
    )
    assert path.read_bytes() == b"png"
    assert entries(run)[0]["path"] == path.relative_to(run).as_posix()


def test_a_second_one_of_a_name_is_a_new_version(run: Path, open_artifacts: OpenArtifacts) -> None:
    store = open_artifacts()
    for data in (b"one", b"two"):
        store.put("model", "ansatz", Blob(data, "p.npz"))
    store.put("file", "ansatz", Blob(b"of another kind"))
    assert store.flush(20)
    found = read(run)
    assert [(artifact.number, artifact.kind, artifact.metadata["version"]) for artifact in found] == [
        (1, "model", 1),
        (2, "model", 2),
        (3, "file", 1),
    ]
    assert [artifact.path.read_bytes() for artifact in found] == [b"one", b"two", b"of another kind"]
    assert found[1].path == run / "artifacts/models/ansatz/2/p.npz"


def test_a_reader_goes_on_after_a_number(run: Path, open_artifacts: OpenArtifacts) -> None:
    store = open_artifacts()
    for name in "abc":
        store.put("file", name, Blob())
    assert store.flush(20)
    assert [artifact.name for artifact in read(run, after=1)] == ["b", "c"]
    assert read(run, after=3) == []


def test_a_run_without_artifacts_has_no_thread_no_index_and_reads_as_empty(
    run: Path, open_artifacts: OpenArtifacts
) -> None:
    before = set(threading.enumerate())
    store = open_artifacts()
    assert store.flush(0)
    assert store.close(0)
    assert read(run) == []
    assert not (run / INDEX).exists()
    assert set(threading.enumerate()) <= before


def test_the_thread_ends_with_the_run(run: Path, open_artifacts: OpenArtifacts) -> None:
    store = open_artifacts()
    store.put("file", "a", Blob())
    assert store.close(20)
    eventually(lambda: all(thread.name != "quantum-monitor-artifacts" for thread in threading.enumerate()))


@pytest.mark.parametrize("name", ["../../../etc", "/etc/passwd", "a\0b", "\ud800", "x" * 5_000, "", ".", "CON"])
def test_a_name_never_leads_out_of_the_run(run: Path, open_artifacts: OpenArtifacts, name: str) -> None:
    store = open_artifacts()
    store.put("file", name, Blob())
    assert store.flush(20)
    (artifact,) = read(run)
    assert artifact.name == name[:1_000]
    assert artifact.path.relative_to(run / "artifacts" / "files").parts[1:] == ("1", "data.bin")


def test_a_writer_that_comes_back_numbers_on(run: Path, open_artifacts: OpenArtifacts) -> None:
    for _ in range(2):
        store = open_artifacts()
        store.put("file", "a", Blob())
        assert store.close(20)
    assert [(artifact.number, artifact.metadata["version"]) for artifact in read(run)] == [(1, 1), (2, 2)]


def test_more_than_may_wait_are_dropped_and_counted(
    run: Path, open_artifacts: OpenArtifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifact_writer, "QUEUE_LIMIT", 2)
    store, gate = open_artifacts(), threading.Event()
    before = FAULTS.drops["artifacts", "queue_full"]
    refused = Blob()
    assert store.put("file", "a", Blob(gate=gate))
    assert store.put("file", "b", Blob())
    assert store.backlog == 2
    assert not store.put("file", "c", refused)
    assert FAULTS.drops["artifacts", "queue_full"] == before + 1
    assert refused.discarded == 1
    gate.set()
    assert store.flush(20)
    assert store.backlog == 0
    assert store.put("file", "d", Blob())
    assert store.flush(20)
    assert [artifact.name for artifact in read(run)] == ["a", "b", "d"]


def test_the_memory_that_waits_is_bounded_and_given_back(
    run: Path, open_artifacts: OpenArtifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifact_writer, "MEMORY_LIMIT", 1_000)
    store, gate = open_artifacts(), threading.Event()
    first = Blob(bytes(600), gate=gate)
    assert store.put("file", "a", first)
    assert first.begun.wait(20)
    assert not store.put("file", "b", Blob(bytes(401)))
    assert store.put("file", "c", Blob(bytes(400)))
    gate.set()
    assert store.flush(20)
    assert first.discarded == 1
    assert store.put("file", "d", Blob(bytes(1_000)))
    assert store.flush(20)
    assert [artifact.name for artifact in read(run)] == ["a", "c", "d"]


def test_a_run_in_memory_drops_and_says_so_once(
    open_artifacts: OpenArtifacts, caplog: pytest.LogCaptureFixture
) -> None:
    store = open_artifacts(None)
    before = FAULTS.drops["artifacts", "no_disk"]
    assert not store.put("file", "a", Blob())
    assert not store.put("file", "b", Blob())
    assert FAULTS.drops["artifacts", "no_disk"] == before + 2
    assert len(caplog.records) == 1
    assert store.flush(0)


def test_after_the_end_nothing_is_taken_but_what_waited_is_written(run: Path, open_artifacts: OpenArtifacts) -> None:
    store, gate = open_artifacts(), threading.Event()
    store.put("file", "a", Blob(gate=gate))
    store.put("file", "b", Blob())
    assert not store.close(0)
    assert not store.close(0)
    assert not store.put("file", "late", Blob())
    gate.set()
    assert store.close(20)
    assert [artifact.name for artifact in read(run)] == ["a", "b"]
    assert FAULTS.drops["artifacts", "closed"] >= 1


class Interrupting(str):
    """A name that a signal interrupts when `put` cuts it, under its lock."""

    __slots__ = ()

    def __getitem__(self, key: Any) -> str:
        signal.raise_signal(signal.SIGUSR1)
        return str(self)


def test_a_signal_handler_may_end_the_run_in_the_middle_of_a_put(run: Path, open_artifacts: OpenArtifacts) -> None:
    store = open_artifacts()
    store.put("file", "a", Blob())
    ended, late = [], Blob()
    before = signal.signal(signal.SIGUSR1, lambda *_: ended.append(store.close(20)))
    try:
        assert not store.put("file", Interrupting("late"), late)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert ended == [True]
    assert late.discarded == 1
    assert store.flush(20)
    assert [artifact.name for artifact in read(run)] == ["a"]


# Disks


def test_a_full_disk_leaves_nothing_half_done(tmp_path: Path, mount: Mount) -> None:
    disk = mount("disk", "-t", "tmpfs", "-o", "size=1m", "tmpfs")
    (disk / "artifacts").mkdir()
    store = ArtifactStore(disk)
    before, lost = FAULTS.errors["artifacts"], FAULTS.drops["artifacts", "failed"]
    store.put("file", "small", Blob(bytes(1_000)))
    store.put("model", "large", Blob(bytes(2_000_000)))
    assert store.flush(20)
    assert FAULTS.errors["artifacts"] == before + 1
    assert FAULTS.drops["artifacts", "failed"] == lost + 1
    assert files_below(disk) == [INDEX, "artifacts/files/small/1/data.bin"] == files_below(disk)
    assert [artifact.name for artifact in read(disk)] == ["small"]
    store.put("model", "fits", Blob(bytes(10_000)))
    assert store.close(20)
    assert [artifact.name for artifact in read(disk)] == ["small", "fits"]


def test_an_artifact_whose_line_finds_no_room_is_taken_back(mount: Mount, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifact_writer, "_PAUSES", (0.01,))
    disk = mount("disk", "-t", "tmpfs", "-o", "size=64k", "tmpfs")
    (disk / "artifacts").mkdir()
    store = ArtifactStore(disk)
    names = [f"{number:03}" + "n" * 900 for number in range(60)]  # the lines grow, the empty files cost nothing
    for name in names:
        store.put("file", name, Blob(b""))
    assert store.close(20)
    listed = read(disk)
    assert 0 < len(listed) < len(names)
    assert (disk / INDEX).read_bytes().endswith(b"\n")
    assert len(files_below(disk)) == len(listed) + 1


def test_a_deleted_run_is_counted_and_not_made_again(run: Path, open_artifacts: OpenArtifacts) -> None:
    store = open_artifacts()
    (run / "artifacts").rmdir()
    run.rmdir()
    before = FAULTS.errors["artifacts"]
    store.put("file", "a", Blob())
    assert store.flush(20)
    assert FAULTS.errors["artifacts"] == before + 1
    assert not run.exists()


class Shaky(Blob):
    """Fails a number of times with half of it written."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.failures = failures

    def write(self, folder: Path, version: int) -> Written:
        self.failures -= 1
        if self.failures >= 0:
            (folder / "half").write_bytes(b"half")
            raise OSError(errno.ENOSPC, "no space left")
        return super().write(folder, version)


def test_what_a_disk_refuses_for_a_moment_is_written_after_all(run: Path, open_artifacts: OpenArtifacts) -> None:
    store, shaky = open_artifacts(), Shaky(2)
    errors, lost = FAULTS.errors["artifacts"], FAULTS.drops["artifacts", "failed"]
    store.put("file", "a", shaky)
    assert store.flush(20)
    assert files_below(run) == [INDEX, "artifacts/files/a/1/data.bin"]
    assert shaky.discarded == 1
    assert (FAULTS.errors["artifacts"], FAULTS.drops["artifacts", "failed"]) == (errors, lost)


def test_a_disk_that_has_room_again_within_a_second_loses_nothing(mount: Mount) -> None:
    disk = mount("disk", "-t", "tmpfs", "-o", "size=1m", "tmpfs")
    (disk / "artifacts").mkdir()
    (disk / "ballast").write_bytes(bytes(900_000))

    class Watched(Blob):
        def write(self, folder: Path, version: int) -> Written:
            try:
                return super().write(folder, version)
            except OSError:
                (disk / "ballast").unlink()
                raise

    store = ArtifactStore(disk)
    store.put("model", "large", Watched(bytes(500_000)))
    assert store.close(20)
    assert [artifact.name for artifact in read(disk)] == ["large"]


def test_a_content_that_fails_keeps_no_other_from_being_written(run: Path, open_artifacts: OpenArtifacts) -> None:
    class Failing(Blob):
        def write(self, folder: Path, version: int) -> Written:  # noqa: ARG002 - part of the protocol
            (folder / "half").write_bytes(b"half")
            raise OSError(errno.EIO, "input/output error")

    store, failing = open_artifacts(), Failing()
    store.put("file", "bad", failing)
    store.put("file", "good", Blob())
    assert store.flush(20)
    assert failing.discarded == 1
    assert files_below(run) == [INDEX, "artifacts/files/good/1/data.bin"]


# The end


@pytest.mark.parametrize("reason", ["closed", "forked"])
def test_a_store_that_refuses_from_the_beginning_touches_nothing(run: Path, reason: str) -> None:
    (run / "artifacts" / ".another.tmp").mkdir()
    store, refused = ArtifactStore(run, refusal=reason), Blob()
    before = FAULTS.drops["artifacts", reason]
    assert not store.put("file", "a", refused)
    assert FAULTS.drops["artifacts", reason] == before + 1
    assert refused.discarded == 1
    assert [path.name for path in (run / "artifacts").iterdir()] == [".another.tmp"]


class Slow(Blob):
    """Writes a byte a call of `go_on`, and ends after so many."""

    def __init__(self, parts: int) -> None:
        super().__init__(bytes(parts))
        self.go_on = threading.Semaphore(0)

    def write(self, folder: Path, version: int) -> Written:  # noqa: ARG002 - part of the protocol
        with (folder / "data.bin").open("wb", buffering=0) as file:
            for _ in range(self.size):
                self.begun.set()
                assert self.go_on.acquire(timeout=30)
                file.write(b"x")
        return Written("data.bin", {})


def test_the_end_waits_while_writing_makes_progress(
    run: Path, open_artifacts: OpenArtifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifact_writer, "_LOOK_EVERY", 0.01)
    store, slow = open_artifacts(), Slow(4)
    looks = iter(range(1_000))

    def clock() -> float:  # ten seconds from look to look, and a byte with each
        slow.go_on.release()
        eventually(lambda: store.backlog == 0 or store._bytes() > seen[-1])
        seen.append(store._bytes())
        return 10.0 * next(looks)

    seen = [0]
    store.put("file", "slow", slow)
    assert slow.begun.wait(20)
    monkeypatch.setattr(artifact_writer, "time", types.SimpleNamespace(monotonic=clock, time=time.time))
    assert store.finish(patience=15)
    assert [artifact.name for artifact in read(run)] == ["slow"]


def test_what_stands_still_is_given_up_counted_and_removed(run: Path, open_artifacts: OpenArtifacts) -> None:
    store, gate = open_artifacts(), threading.Event()
    stuck, waiting = Slow(1), Blob(gate=gate)
    store.put("file", "kept", Blob())
    store.put("file", "stuck", stuck)
    store.put("file", "waiting", waiting)
    assert stuck.begun.wait(20)
    before, failed = FAULTS.drops["artifacts", "closed"], FAULTS.drops["artifacts", "failed"]
    assert not store.finish(patience=0.3)
    assert store.give_up() == 2
    assert store.give_up() == 0
    assert FAULTS.drops["artifacts", "closed"] == before + 2
    assert files_below(run) == [INDEX, "artifacts/files/kept/1/data.bin"]
    assert waiting.discarded == 1
    stuck.go_on.release()
    assert store.close(20)
    assert stuck.discarded == 1
    assert [path.name for path in (run / "artifacts").iterdir()] == ["files"]
    assert [artifact.name for artifact in read(run)] == ["kept"]
    assert FAULTS.drops["artifacts", "failed"] == failed
    assert not store.put("file", "late", Blob())


# Processes that die, and that fork


WRITES_UNTIL_KILLED = """
import sys
from pathlib import Path
from quantum_monitor.store.artifact_writer import ArtifactStore, Written

class Content:
    size = 0
    def write(self, folder, version):
        for part in range(4):
            (folder / str(part)).write_bytes(b"x" * 50_000)
        return Written("", {"text": "y" * 5_000})
    def discard(self): pass

store = ArtifactStore(Path(sys.argv[1]))
number = 0
while True:
    store.put("file", f"{number % 7}", Content())
    number += 1
    if number % 20 == 0:
        store.flush(60)
        print(number, flush=True)
"""


def test_a_killed_writer_lists_nothing_half_and_its_successor_goes_on(
    run: Path, start_program: StartProgram, open_artifacts: OpenArtifacts
) -> None:
    for _ in range(5):
        process = start_program(WRITES_UNTIL_KILLED, run)
        assert process.stdout is not None
        flushed = int(process.stdout.readline())
        known = len(read(run))
        assert known >= flushed
        eventually(lambda known=known: len(read(run)) > known)  # type: ignore[misc]
        process.kill()
        process.wait()
        for artifact in read(run):
            assert [file.stat().st_size for file in sorted(artifact.path.iterdir())] == [50_000] * 4
    store = open_artifacts()
    store.put("file", "after", Blob())
    assert store.close(20)
    found = read(run)
    assert found[-1].name == "after"
    assert [artifact.number for artifact in found] == list(range(1, len(found) + 1))
    assert list((run / "artifacts").glob(".*")) == []


def test_an_unfinished_last_line_is_passed_over_and_mended(run: Path, open_artifacts: OpenArtifacts) -> None:
    store = open_artifacts()
    store.put("file", "a", Blob())
    assert store.close(20)
    before = FAULTS.errors["artifacts"]
    with (run / INDEX).open("a") as index:
        index.write('{"number": 2, "kind": "file", "name": "half')
    assert [artifact.name for artifact in read(run)] == ["a"]
    store = open_artifacts()
    store.put("file", "b", Blob())
    assert store.close(20)
    assert [entry["name"] for entry in entries(run)] == ["a", "b"]
    assert [artifact.number for artifact in read(run)] == [1, 2]
    assert FAULTS.errors["artifacts"] == before


FORKS = """
import faulthandler, os, signal, sys, threading, warnings
from pathlib import Path
from quantum_monitor.faults import FAULTS
from quantum_monitor.store.artifact_writer import ArtifactStore
from quantum_monitor.models import Model, take
import numpy as np

faulthandler.register(signal.SIGALRM, chain=True)
signal.alarm(50)
warnings.simplefilter("ignore")
run = Path(sys.argv[1])
store = ArtifactStore(run)
arrays = {str(number): np.arange(3_000.0) for number in range(100)}
for round in range(12):
    for number in range(3):
        store.put("model", f"m{number}", Model("m", take(arrays), {}))
    child = os.fork()
    if not child:
        signal.alarm(30)
        assert not store.put("model", "child", Model("m", take(arrays), {}))
        assert FAULTS.drops["artifacts", "forked"] == 1
        assert store.backlog == 0 and not store.flush(60) and not store.close(60)
        own = run.parent / f"child-{os.getpid()}"
        (own / "artifacts").mkdir(parents=True)
        other = ArtifactStore(own)
        assert other.put("model", "own", Model("m", take(arrays), {})) and other.close(20)
        assert (own / "artifacts.jsonl").exists()
        del store, other
        sys.exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert store.close(30)
"""


@needs_fork
def test_a_forked_child_neither_deadlocks_nor_writes(run: Path, start_program: StartProgram) -> None:
    from quantum_monitor.models import read_model

    process = start_program(FORKS, run)
    process.communicate(timeout=90)
    assert process.returncode == 0
    found = read(run)
    assert [artifact.number for artifact in found] == list(range(1, 37))
    assert all(artifact.name != "child" for artifact in found)
    for artifact in found:
        assert len(read_model(artifact.path)[0]) == 100


FORKS_IN_A_PUT = """
import os, signal, sys, threading, warnings
from pathlib import Path
from quantum_monitor.faults import FAULTS
from quantum_monitor.store.artifact_writer import ArtifactStore

signal.alarm(30)
warnings.simplefilter("ignore")
store = ArtifactStore(Path(sys.argv[1]))
held, release = threading.Event(), threading.Event()

class Content:
    size = 0
    def write(self, folder, version): raise OSError("never mind")
    def discard(self): pass

class Name(str):
    def __getitem__(self, key):  # asked for in the middle of `put`, under its lock
        held.set()
        release.wait()
        return str(self)

thread = threading.Thread(target=store.put, args=("file", Name("a"), Content()))
thread.start()
held.wait()
child = os.fork()
if not child:
    signal.alarm(10)
    sys.exit(7 if not store.put("file", "b", Content()) and FAULTS.drops["artifacts", "forked"] else 1)
release.set()
thread.join()
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
"""


@needs_fork
def test_a_child_forked_in_the_middle_of_a_put_does_not_wait_for_it(run: Path, start_program: StartProgram) -> None:
    process = start_program(FORKS_IN_A_PUT, run)
    process.communicate(timeout=60)
    assert process.returncode == 0


# Reading what others made


@pytest.mark.parametrize(
    "path",
    [
        "../../secret",
        "artifacts/../../../secret",
        "/etc/passwd",
        "artifacts",
        "artifacts/gone",
        "run.json",
        "records.db",
        "",
        ".",
        "artifacts/a\0b",
        "artifacts/link",
        "artifacts/linked/passwd",
        "artifacts/folder",
        "artifacts/pipe",
    ],
)
def test_an_entry_that_leads_out_of_the_run_is_passed_over_and_counted(run: Path, tmp_path: Path, path: str) -> None:
    (tmp_path / "secret").write_text("secret")
    (run / "run.json").write_text("{}")
    (run / "records.db").touch()
    (run / "artifacts" / "link").symlink_to(tmp_path / "secret")
    (run / "artifacts" / "linked").symlink_to("/etc")
    (run / "artifacts" / "folder").mkdir()
    (run / "artifacts" / "folder" / "inner").symlink_to(tmp_path / "secret")
    os.mkfifo(run / "artifacts" / "pipe")
    (run / "artifacts" / "a").write_text("mine")
    list_entry(run, path=path)
    list_entry(run)
    before = FAULTS.errors["artifacts"]
    assert [artifact.number for artifact in read(run)] == [2]
    assert FAULTS.errors["artifacts"] == before + 1


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "exotic"},
        {"kind": ["file"]},
        {"name": 3},
        {"path": None},
        {"time": "now"},
        {"time": 10**400},
        {"metadata": []},
        {"register_as": 1},
        {"number": "1"},
        {"number": True},
    ],
)
def test_an_entry_of_the_wrong_types_is_passed_over_and_counted(run: Path, changes: dict[str, Any]) -> None:
    (run / "artifacts" / "a").write_text("mine")
    list_entry(run, **changes)
    list_entry(run)
    before = FAULTS.errors["artifacts"]
    assert [artifact.number for artifact in read(run)] == [2]
    assert FAULTS.errors["artifacts"] == before + 1


@pytest.mark.parametrize(
    "line",
    [b"", b"\xff\xfe", b"[1]", b"null", b"{", b"[" * 100_000, b"1" * 5_000, b'"' + b"x" * 3 * 2**20 + b'"'],
    ids=["empty", "no text", "list", "null", "cut", "deep", "number", "long"],
)
def test_a_line_that_is_no_entry_is_passed_over_and_counted(run: Path, line: bytes) -> None:
    (run / "artifacts" / "a").write_text("mine")
    list_entry(run)
    with (run / INDEX).open("ab") as index:
        index.write(line + b"\n")
    list_entry(run)
    before = FAULTS.errors["artifacts"]
    assert [artifact.number for artifact in read(run)] == [1, 3]
    assert FAULTS.errors["artifacts"] == before + 1


def test_numbers_that_do_not_grow_are_not_read_twice(run: Path) -> None:
    (run / "artifacts" / "a").write_text("mine")
    for number in (1, 2, 2, 1, -5, 3):
        list_entry(run, number=number)
    assert [artifact.number for artifact in read(run)] == [1, 2, 3]


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_an_index_that_is_no_file_holds_nothing_and_is_counted(run: Path, tmp_path: Path, kind: str) -> None:
    (run / "artifacts" / "a").write_text("mine")
    list_entry(run)
    (run / INDEX).rename(tmp_path / "elsewhere")
    if kind == "link":
        (run / INDEX).symlink_to(tmp_path / "elsewhere")
    elif kind == "pipe":
        os.mkfifo(run / INDEX)
    else:
        (run / INDEX).mkdir()
    before = FAULTS.errors["artifacts"]
    assert read(run) == []
    assert FAULTS.errors["artifacts"] == before + 1


def test_metadata_too_long_for_a_line_are_left_out_and_counted(run: Path, open_artifacts: OpenArtifacts) -> None:
    class Talkative(Blob):
        def write(self, folder: Path, version: int) -> Written:
            super().write(folder, version)
            return Written(self.file, {"text": "x" * 2**21})

    store = open_artifacts()
    before = FAULTS.errors["artifacts"]
    store.put("file", "a", Talkative())
    assert store.flush(20)
    assert [artifact.metadata for artifact in read(run)] == [{}]
    assert FAULTS.errors["artifacts"] == before + 1
