"""W&B on bad days: processes that are killed, servers that refuse, hang or talk nonsense, packages that are missing."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import psutil
import pytest

from quantum_monitor.trackers.protocol import UnusableError
from quantum_monitor.trackers.wandb import tracker
from tests.server_process import eventually
from tests.trackers.wandb_files import files, logged, written
from tests.trackers.wandb_server import FakeWandb, fake_wandb

CHILD = Path(__file__).with_name("wandb_child.py")
KEY = "s3cr3t" * 7


class Child:
    """A delivery process."""

    def __init__(self, directory: Path, mode: str = "offline") -> None:
        directory.mkdir(exist_ok=True)
        self._errors = directory.with_name(f"{directory.name}.err")
        with self._errors.open("a") as errors:
            self._process = subprocess.Popen(
                [sys.executable, CHILD, directory, mode],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        said = self._read()
        self.cursor = int(said) if said else None  # None: it could not open the run

    @property
    def errors(self) -> str:
        self._process.wait(60)
        return self._errors.read_text()

    def do(self, command: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        return self._read()

    def kill(self) -> None:
        self._process.kill()
        self.end()

    def end(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@pytest.fixture
def start() -> Iterator[type[Child]]:
    """Starts delivery processes, and ends what is left of them."""
    started: list[Child] = []

    class Started(Child):
        def __init__(self, directory: Path, mode: str = "offline") -> None:
            super().__init__(directory, mode)
            started.append(self)

    yield Started
    for child in started:
        with contextlib.suppress(OSError):
            child.kill()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeWandb]:
    with fake_wandb() as started:
        monkeypatch.setenv("WANDB_BASE_URL", started.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        monkeypatch.setenv("WANDB_INIT_TIMEOUT", "2")
        yield started


@pytest.fixture(autouse=True)
def _cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))


def sequences(rows: list[dict[str, float]]) -> list[float]:
    return [line["step"] for line in rows]


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_delivery_process_that_is_killed_again_and_again_leaves_no_gap_and_no_double(
    tmp_path: Path, start: type[Child]
) -> None:
    run = tmp_path / "run"
    logged(run)
    handed = 0
    for count in (40, 400, 3):
        child = start(run)
        assert child.cursor is not None
        assert child.cursor <= handed
        handed = child.cursor + count
        assert child.do(f"rows {child.cursor + 1} {handed}") == "done"
        assert child.do("artifacts") == "done"
        child.kill()
    last = start(run)
    assert last.cursor is not None
    assert last.do(f"rows {last.cursor + 1} 500") == "done"
    assert last.do("close completed") == "done"
    found = written(run)
    assert sequences(found.rows) == list(range(1, 501))
    assert found.config["last"] == 500
    assert {artifact.name for artifact in found.artifacts} == {"vqe"}
    assert found.exit_codes == [0]


def test_parameters_and_artifacts_that_a_kill_swallowed_are_handed_over_by_the_next_session(
    tmp_path: Path, start: type[Child]
) -> None:
    run = tmp_path / "run"
    logged(run)
    child = start(run)
    child.do("rows 1 3")
    child.do("artifacts")
    child.kill()
    for file in files(run):
        file.unlink()  # nothing of it had been written yet
    last = start(run)
    assert last.cursor == 0
    last.do("close killed")
    found = written(run)
    assert found.config["last"] == 3
    assert [artifact.name for artifact in found.artifacts] == ["vqe"]


def test_a_run_that_was_moved_after_a_kill_has_its_artifacts_all_the_same(tmp_path: Path, start: type[Child]) -> None:
    run, moved = tmp_path / "run", tmp_path / "elsewhere"
    logged(run)
    (run / "trackers").mkdir()
    (run / "trackers/report.html").write_text("<p>report</p>")
    child = start(run)
    child.do("artifacts")
    child.do("report")
    child.kill()
    for file in files(run):
        file.unlink()  # nothing of it had been written yet
    run.rename(moved)
    start(moved).do("close killed")
    found = written(moved)
    assert [artifact.name for artifact in found.artifacts] == ["vqe"]
    assert [line for line in found.rows if "report/_type" in line]


def test_w_and_b_s_process_killed_is_an_error_at_once_and_delivery_goes_on(tmp_path: Path) -> None:
    script = """
import os, signal, sys
from pathlib import Path
import psutil
from quantum_monitor.trackers.protocol import Batch, Row, TrackedRun
from quantum_monitor.trackers.wandb import tracker
to = tracker({"mode": "offline", "project": "p"})
run = TrackedRun("core", "core", "h2", 1.0, Path(sys.argv[1]), {})
rows = lambda first, last: [Row(n, float(n), n, "training", {"loss": 1 / n}, {}) for n in range(first, last + 1)]
to.open(run, {})
to.deliver(Batch(rows(1, 10), {}, {}))
core, = psutil.Process().children()
core.kill()
core.wait()
try:
    to.deliver(Batch(rows(11, 20), {}, {}))
except ConnectionError:
    cursor = to.open(run, {}).cursor
    to.deliver(Batch(rows(cursor + 1, 20), {}, {}))
    to.close("completed", {}, ended=1.0)
    print("went on")
"""
    run = tmp_path / "run"
    run.mkdir()
    done = subprocess.run([sys.executable, "-c", script, run], capture_output=True, text=True, timeout=120, check=False)
    assert (done.stdout, done.returncode) == ("went on\n", 0), done.stderr
    assert sequences(written(run).rows) == list(range(1, 21))


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits of another process are Linux's")
def test_a_full_disk_is_an_error_at_the_end_and_all_of_it_is_written_when_there_is_room(
    tmp_path: Path, start: type[Child]
) -> None:
    child = start(tmp_path / "run")
    core = int(child.do("core"))
    # A file that may not grow stands for a disk without room: W&B's process writes no further, and says nothing.
    resource.prlimit(core, resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))
    child.do("rows 1 500")
    assert child.do("close completed") == ""
    assert "OSError: W&B wrote" in child.errors
    last = start(tmp_path / "run")
    assert last.cursor == 0
    last.do("rows 1 500")
    assert last.do("close completed") == "done"
    found = written(tmp_path / "run")
    assert sequences(found.rows) == list(range(1, 501))
    assert found.exit_codes == [0]


@pytest.mark.parametrize("how", ["kill", "leave"])
def test_w_and_b_s_process_ends_with_the_delivery_process(tmp_path: Path, start: type[Child], how: str) -> None:
    child = start(tmp_path / "run")
    core = int(child.do("core"))
    child.do("rows 1 100")
    if how == "kill":
        child.kill()
    else:
        child.do("leave")
    eventually(lambda: is_gone(core), seconds=20, what="the end of wandb-core")


def test_the_w_and_b_service_and_the_sweep_of_the_training_process_are_not_used(
    tmp_path: Path, start: type[Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_SERVICE", "3-1-unix-/nowhere")
    monkeypatch.setenv("WANDB_SWEEP_ID", "theirs")
    monkeypatch.setenv("WANDB_RUN_ID", "theirs")
    child = start(tmp_path / "run")
    child.do("rows 1 2")
    child.do("close completed")
    header = written(tmp_path / "run").runs[0]
    assert (header.run_id, header.project, header.sweep_id) == ("killed", "p", "")


def test_wandb_sync_puts_the_files_of_a_killed_run_together(
    tmp_path: Path, start: type[Child], server: FakeWandb
) -> None:
    child = start(tmp_path / "run")
    child.do("rows 1 400")
    child.kill()
    (torn,) = files(tmp_path / "run")
    os.truncate(torn, torn.stat().st_size - 5)  # in the middle of a record, as the end of a block often is
    assert written(tmp_path / "run").exit_codes == []
    last = start(tmp_path / "run")
    assert last.cursor is not None
    last.do(f"rows {last.cursor + 1} 450")
    last.do("close completed")
    last.end()
    subprocess.run(
        [sys.executable, "-m", "wandb", "sync", *(file.parent for file in files(tmp_path / "run"))],
        check=True,
        capture_output=True,
        timeout=120,
    )
    assert sequences(server.history("killed")) == list(range(1, 451))
    assert server.endings[-1] == 0


def test_online_a_killed_delivery_goes_on_after_what_the_server_holds(
    tmp_path: Path, start: type[Child], server: FakeWandb
) -> None:
    child = start(tmp_path / "run", "online")
    child.do("rows 1 100")
    eventually(lambda: server.history("killed"), what="the first upload")
    child.do("rows 101 200")
    child.kill()
    held = len(server.history("killed"))
    last = start(tmp_path / "run", "online")
    assert last.cursor == held
    last.do(f"rows {last.cursor + 1} 220")
    last.do("close completed")
    assert sequences(server.history("killed")) == list(range(1, 221))
    assert server.endings == [0]


@pytest.mark.parametrize("misbehaviour", ["refused", "500", "401", "garbage", "hang"])
def test_a_server_that_cannot_be_used_is_an_error_within_a_bound_and_the_key_is_told_to_nobody(
    tmp_path: Path, start: type[Child], server: FakeWandb, monkeypatch: pytest.MonkeyPatch, misbehaviour: str
) -> None:
    server.misbehaviour = misbehaviour
    if misbehaviour == "refused":
        server.misbehaviour = ""
        monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    child = start(tmp_path / "run", "online")
    assert child.cursor is None
    assert "ConnectionError: W&B could not open the run" in child.errors
    child.end()
    told = [file for file in tmp_path.rglob("*") if file.is_file() and KEY.encode() in file.read_bytes()]
    assert told == []
    assert server.keys <= {KEY}


def test_a_run_that_could_not_be_opened_can_be_opened_later_in_the_same_process(
    tmp_path: Path, server: FakeWandb
) -> None:
    script = """
import sys
from pathlib import Path
from quantum_monitor.trackers.protocol import TrackedRun
from quantum_monitor.trackers.wandb import tracker
to = tracker({"mode": "online"})
run = TrackedRun("later", "later", "h2", 1.0, Path(sys.argv[1]), {})
for _ in range(2):
    try:
        to.open(run, {})
    except ConnectionError:
        print("no", flush=True)
        sys.stdin.readline()
to.close("completed", {}, ended=1.0)
print("yes")
"""
    server.misbehaviour = "401"
    process = subprocess.Popen(
        [sys.executable, "-c", script, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "no\n"
    server.misbehaviour = ""
    assert process.communicate("\n", timeout=60)[0] == "yes\n"
    assert server.endings == [0]


@pytest.mark.parametrize(
    ("misbehaviour", "error"), [("401", "ConnectionError"), ("500", "TimeoutError"), ("hang", "TimeoutError")]
)
def test_an_upload_that_does_not_arrive_is_an_error_at_the_end_and_arrives_later(
    tmp_path: Path, start: type[Child], server: FakeWandb, misbehaviour: str, error: str
) -> None:
    server.misbehaviour, server.refused = misbehaviour, "file_stream"
    child = start(tmp_path / "run", "online")
    child.do("rows 1 10")
    assert child.do("close completed") == ""
    assert f"{error}: W&B" in child.errors
    server.misbehaviour = ""
    last = start(tmp_path / "run", "online")
    assert last.cursor == 0
    last.do("rows 1 10")
    assert last.do("close completed") == "done"
    assert sequences(server.history("killed")) == list(range(1, 11))


def test_a_package_that_is_missing_names_the_pip_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UnusableError, match=r"pip install 'quantum-monitor\[wandb\]'"):
        tracker({"mode": "offline"}).open(SimpleNamespace(), {})  # type: ignore[arg-type]


def test_a_package_that_is_too_old_names_its_version_and_the_pip_install(monkeypatch: pytest.MonkeyPatch) -> None:
    old = ModuleType("wandb")
    old.__version__ = "0.15.0"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", old)
    with pytest.raises(UnusableError, match=r"W&B 0\.15\.0 is too old.*pip install"):
        tracker({"mode": "offline"}).open(SimpleNamespace(), {})  # type: ignore[arg-type]


def test_w_and_b_switched_off_is_left_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    with pytest.raises(UnusableError, match="switched off"):
        tracker({}).open(SimpleNamespace(), {})  # type: ignore[arg-type]
    assert os.environ["WANDB_MODE"] == "disabled"
