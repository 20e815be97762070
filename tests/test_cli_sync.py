"""`quantum-monitor sync` in a process of its own, with a tracker that a package brings, and once with MLflow itself."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from quantum_monitor.config import load_settings
from quantum_monitor.record import Record
from quantum_monitor.store.layout import run_directory
from quantum_monitor.store.reader import StoredRun
from quantum_monitor.store.writer import RunStore
from quantum_monitor.trackers import recorded
from quantum_monitor.trackers.state import StateFile
from tests.server_process import eventually

# A tracker that writes what it is handed into a file, loudly, and stumbles where its options say so.
SHELF = """
import json, os, socket, time
from pathlib import Path

from quantum_monitor.trackers.protocol import Opened, RejectedError, UnusableError


class Shelf:
    def __init__(self, options):
        self._options = options
        self._book = Path(options["book"])
        self.destination = f"shelf {self._book}"

    def open(self, run, known):
        print("shelf: noise on stdout")
        os.system("echo noise of a child; echo more of it >&2")
        if self._options.get("unusable"):
            raise UnusableError("the shelf is broken; pip install nails")
        if port := self._options.get("port"):
            socket.create_connection(("127.0.0.1", port), 5).close()
        if count := self._options.get("stumbles"):
            stumbled = self._book.with_suffix(".stumbled")
            before = int(stumbled.read_text()) if stumbled.exists() else 0
            stumbled.write_text(str(before + 1))
            if before < count:
                raise RuntimeError(f"stumble {before + 1}\\nover \\x1b[31m{run.name}")
        self._run = run.run_id
        return Opened({}, f"shelf://{run.name}")

    def deliver(self, batch):
        if gate := self._options.get("gate"):
            turns = 0
            while not Path(gate).exists():
                turns += 1
                Path(gate + ".turns").write_text(str(turns))
                time.sleep(0.01)
        if any("refused" in row.values for row in batch.rows):
            raise RejectedError("refused")
        self._write(rows=[row.sequence for row in batch.rows], params=dict(batch.params))

    def attach(self, artifact):
        self._write(artifact=artifact.name)

    def close(self, status, summary, *, ended):
        self._write(close=status)

    def _write(self, **entry):
        with self._book.open("a") as book:
            book.write(json.dumps({"run": self._run, **entry}) + "\\n")
"""
IMPATIENT = """
import sys
from quantum_monitor import cli, cli_sync
cli_sync._PAUSES = (0.0,) * len(cli_sync._PAUSES)
sys.exit(cli.main())
"""

Completed = subprocess.CompletedProcess[str]
Sync = Callable[..., Completed]
MakeRun = Callable[..., Path]


@pytest.fixture
def environment(tmp_path: Path) -> Mapping[str, str]:
    """One in which the package with the tracker is installed."""
    site = tmp_path / "site"
    installed = site / "shelf-1.0.dist-info"
    installed.mkdir(parents=True)
    (site / "shelf.py").write_text(SHELF)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: shelf\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text("[quantum_monitor.trackers]\nshelf = shelf:Shelf\n")
    return {**os.environ, "PYTHONPATH": str(site), "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    return tmp_path / "storage"


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., Path]:
    """Writes a configuration with the options of the tracker."""

    def write(**options: Any) -> Path:
        file = tmp_path / "monitor.yml"
        file.write_text(json.dumps({"trackers": {"shelf": {"book": str(tmp_path / "book.jsonl"), **options}}}))
        return file

    return write


@pytest.fixture
def command(environment: Mapping[str, str], storage: Path, config: Callable[..., Path]) -> Callable[..., list[str]]:
    """The command, with what it is given unless the test says otherwise."""

    def line(*arguments: object, to: Path | None = None, **options: Any) -> list[str]:
        return [sys.executable, "-c", IMPATIENT, "sync", str(to or storage), "--config", str(config(**options)),
                *map(str, arguments)]  # fmt: skip

    return line


@pytest.fixture
def sync(command: Callable[..., list[str]], environment: Mapping[str, str]) -> Sync:
    def run(*arguments: object, **options: Any) -> Completed:
        line = command(*arguments, **options)
        return subprocess.run(line, env=environment, capture_output=True, text=True, timeout=120, check=False)

    return run


@pytest.fixture
def make_run(storage: Path) -> MakeRun:
    """Makes a run that was meant for the tracker and has ended, unless told otherwise."""

    def make(
        name: str, *, records: int = 3, field: str = "loss", age: float = 0.0, status: str = "completed", **changes: Any
    ) -> Path:
        began = time.time() - age
        info = {"run_id": f"id-{name}", "name": name, "experiment": "h2", "start_time": began, "params": {"seed": 3},
                "tracking": {"shelf": {}}}  # fmt: skip
        store = RunStore(run_directory(storage, "h2", f"id-{name}"), info)
        for step in range(records):
            store.put(Record("training", began, step, {field: float(step)}))
        store.describe(status=status)
        assert store.close(60)
        description = store.directory / "run.json"
        description.write_text(json.dumps({**json.loads(description.read_text()), **changes}))
        return store.directory

    return make


@pytest.fixture
def book(tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    """What the tracker was handed."""

    def read() -> list[dict[str, Any]]:
        file = tmp_path / "book.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    return read


def rows(entries: list[dict[str, Any]]) -> list[int]:
    return [row for entry in entries for row in entry.get("rows", ())]


def closings(entries: list[dict[str, Any]]) -> list[str]:
    return [entry["close"] for entry in entries if "close" in entry]


def on_another_host(**more: Any) -> dict[str, Any]:
    return {"status": "running", "writer": {"pid": 1, "started": "1", "host": "the-cluster"}, **more}


# What is delivered


def test_what_a_run_holds_is_delivered_once(make_run: MakeRun, sync: Sync, book: Any) -> None:
    make_run("a")
    first = sync()
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout == ("h2/a (id-a) to shelf: 3 records, 0 artifacts delivered, closed as completed; shelf://a\n")
    entries = book()
    assert rows(entries) == [1, 2, 3]
    assert [entry["params"] for entry in entries if entry.get("params")] == [{"seed": 3}]
    assert closings(entries) == ["completed"]
    second = sync()
    assert (second.returncode, second.stderr) == (0, "")
    assert second.stdout == "h2/a (id-a) to shelf: up to date, closed as completed; shelf://a\n"
    assert book() == entries


def test_what_is_refused_for_good_is_counted(make_run: MakeRun, sync: Sync) -> None:
    make_run("a", field="refused")
    completed = sync()
    assert completed.returncode == 0
    assert "3 records, 0 artifacts delivered, 3 refused for good, closed as completed" in completed.stdout


def test_only_the_chosen_run_is_delivered(make_run: MakeRun, sync: Sync, book: Any) -> None:
    make_run("a")
    make_run("b")
    completed = sync("--run", "b")
    assert completed.returncode == 0
    assert {entry["run"] for entry in book()} == {"id-b"}


def test_a_run_of_a_killed_process_is_closed_as_killed(make_run: MakeRun, sync: Sync, book: Any) -> None:
    make_run("a", status="running")
    assert "closed as killed" in sync().stdout
    assert closings(book()) == ["killed"]


def test_a_run_that_is_being_written_is_left_open_and_closed_later(storage: Path, sync: Sync, book: Any) -> None:
    info = {"run_id": "id-a", "name": "a", "experiment": "h2", "start_time": time.time(), "tracking": {"shelf": {}}}
    store = RunStore(run_directory(storage, "h2", "id-a"), info)
    try:
        store.put(Record("training", time.time(), 0, {"loss": 1.0}))
        assert store.flush()
        first = sync()
        assert first.returncode == 0
        assert "1 record, 0 artifacts delivered, left open, for it is being written; shelf://a" in first.stdout
        assert closings(book()) == ["running"]
        assert "up to date, left open" in sync().stdout
        store.put(Record("training", time.time(), 1, {"loss": 0.5}))
        store.describe(status="completed")
    finally:
        assert store.close(60)
    assert "1 record, 0 artifacts delivered, closed as completed" in sync().stdout
    assert rows(book()) == [1, 2]
    assert closings(book()) == ["running", "completed"]


def test_a_run_of_another_host_that_was_heard_of_just_now_is_left_open(
    make_run: MakeRun, sync: Sync, book: Any
) -> None:
    make_run("a", **on_another_host())
    first = sync()
    assert first.returncode == 0
    assert "3 records, 0 artifacts delivered, left open, for it reads as running on the-cluster" in first.stdout
    assert "--over" in first.stdout
    assert "closed as killed" in sync("--over").stdout
    assert rows(book()) == [1, 2, 3]
    assert closings(book()) == ["running", "killed"]


def test_a_run_of_another_host_that_is_silent_for_ten_minutes_is_over(make_run: MakeRun, sync: Sync) -> None:
    make_run("silent", age=11 * 60, **on_another_host())
    make_run("silent-before-it-began", records=0, age=11 * 60, **on_another_host())
    make_run("heard", age=9 * 60, **on_another_host())
    lines = sync().stdout.splitlines()
    assert ["closed as killed" in line for line in lines] == [True, True, False]


def test_a_run_that_another_process_delivers_is_skipped_and_is_no_failure(
    make_run: MakeRun, sync: Sync, book: Any, tmp_path: Path
) -> None:
    busy = make_run("a", age=10)
    make_run("b")
    other = StateFile(busy, "shelf", f"shelf {tmp_path / 'book.jsonl'}")
    other.lock()
    try:
        completed = sync()
    finally:
        other.unlock()
    assert (completed.returncode, completed.stderr) == (0, "")
    assert "h2/a (id-a) to shelf: skipped, for another process delivers it there at the moment\n" in completed.stdout
    assert {entry["run"] for entry in book()} == {"id-b"}
    assert sync().returncode == 0
    assert {entry["run"] for entry in book()} == {"id-a", "id-b"}


# Which trackers


def test_runs_that_were_meant_for_no_tracker_ask_for_to(make_run: MakeRun, sync: Sync, book: Any) -> None:
    make_run("a", tracking={})
    completed = sync()
    assert completed.returncode == 2
    assert "--to mlflow" in completed.stderr
    make_run("b")
    mixed = sync()
    assert (mixed.returncode, mixed.stderr) == (0, "")
    assert "1 run not meant for a tracker; --to names one\n" in mixed.stdout
    assert sync("--to", "shelf").returncode == 0
    assert {entry["run"] for entry in book()} == {"id-a", "id-b"}


def test_a_tracker_that_nobody_brings_is_misuse(make_run: MakeRun, sync: Sync) -> None:
    make_run("a")
    completed = sync("--to", "shelve")
    assert completed.returncode == 2
    assert "there is no tracker 'shelve' here; there are mlflow, wandb, shelf" in completed.stderr


def test_a_tracking_uri_for_others_than_mlflow_is_misuse(make_run: MakeRun, sync: Sync) -> None:
    make_run("a")
    completed = sync("--to", "shelf", "--tracking-uri", "http://127.0.0.1:1")
    assert completed.returncode == 2
    assert "add --to mlflow" in completed.stderr


def test_options_of_a_plugin_that_a_run_tells_are_not_used(
    make_run: MakeRun, environment: Mapping[str, str], storage: Path, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    make_run("a", tracking={"shelf": {"book": str(victim)}})
    line = [sys.executable, "-m", "quantum_monitor.cli", "sync", str(storage)]
    completed = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert completed.returncode == 1
    assert "give the options of shelf with --config" in completed.stderr
    assert not victim.exists()


# What goes wrong


def test_a_short_trouble_is_tried_again(make_run: MakeRun, sync: Sync, book: Any) -> None:
    make_run("a")
    completed = sync(stumbles=2)
    assert (completed.returncode, completed.stderr) == (0, "")
    assert rows(book()) == [1, 2, 3]


def test_a_run_that_fails_is_one_line_and_the_next_is_delivered(make_run: MakeRun, sync: Sync, book: Any) -> None:
    make_run("a\x1b[2J", age=10)
    make_run("b")
    completed = sync(stumbles=4)
    assert completed.returncode == 1
    assert completed.stderr.count("\n") == 1
    assert completed.stderr.startswith("quantum-monitor: h2/a?[2J (")
    assert "to shelf: RuntimeError: stumble 4?over ?[31ma?[2J; what was delivered stays delivered" in completed.stderr
    assert {entry["run"] for entry in book()} == {"id-b"}
    assert sync().returncode == 0
    assert len(rows(book())) == 6


def test_a_damaged_run_is_one_line_and_the_next_is_delivered(make_run: MakeRun, sync: Sync, book: Any) -> None:
    for number, more in enumerate(({}, on_another_host())):
        (make_run(f"a-{number}", age=10, **more) / "records.db").write_bytes(b"this is no database" * 1_000)
    (make_run("b", age=5) / "run.json").write_text("{")
    make_run("c")
    completed = sync()
    assert completed.returncode == 1
    assert completed.stderr.count("\n") == 3
    assert {entry["run"] for entry in book()} == {"id-c"}


@pytest.fixture
def closed_port() -> Iterator[socket.socket]:
    """A port of ours that nobody listens on, until `listen` is called."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        yield door


def test_a_service_that_three_runs_did_not_reach_is_not_tried_further(
    make_run: MakeRun, sync: Sync, book: Any, closed_port: socket.socket
) -> None:
    for number in range(5):
        make_run(f"run-{number}", age=10 - number)
    port = closed_port.getsockname()[1]
    completed = sync(port=port)
    assert completed.returncode == 1
    *lines, last = completed.stderr.splitlines()
    assert len(lines) == 3
    assert all("to shelf: ConnectionRefusedError: " in line for line in lines)
    assert last.endswith("book.jsonl): 2 more runs not tried; sync again once it can be used")
    assert book() == []
    closed_port.listen()
    again = sync(port=port)
    assert (again.returncode, again.stderr) == (0, "")
    assert len(rows(book())) == 15


def test_a_tracker_that_cannot_work_here_is_tried_once(make_run: MakeRun, sync: Sync) -> None:
    make_run("a", age=10)
    make_run("b")
    completed = sync(unusable=True)
    assert completed.returncode == 1
    first, second = completed.stderr.splitlines()
    assert first == "quantum-monitor: h2/a (id-a) to shelf: the shelf is broken; pip install nails"
    assert "1 more run not tried" in second


# Ctrl-C


@pytest.fixture
def interrupt(command: Any, environment: Mapping[str, str], tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Presses Ctrl-C while a piece is delivered, once or twice: exit status and stdout."""
    gate, turns = tmp_path / "gate", tmp_path / "gate.turns"

    def turned() -> int:
        return int(turns.read_text() or 0) if turns.exists() else 0

    def a_turn_goes_by() -> None:  # so whatever signal came before it was heard
        before = turned()
        eventually(lambda: turned() > before + 1, what="the delivery of a piece")

    def press(times: int) -> tuple[int, str]:
        line = command(gate=str(gate))
        with subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, text=True) as process:
            try:
                a_turn_goes_by()
                process.send_signal(signal.SIGINT)
                a_turn_goes_by()
                if times > 1:
                    process.send_signal(signal.SIGINT)
                else:
                    gate.touch()
                output, _ = process.communicate(timeout=60)
            finally:
                process.kill()
        return process.returncode, output

    return press


def test_ctrl_c_keeps_the_piece_under_way_and_leaves_the_run_to_be_gone_on_with(
    make_run: MakeRun, sync: Sync, interrupt: Callable[..., tuple[int, str]], book: Any
) -> None:
    make_run("a", records=15_000)
    status, output = interrupt(1)
    assert status == 130
    assert output == (
        "h2/a (id-a) to shelf: interrupted, 10000 records, 0 artifacts delivered until then; "
        "sync again brings the rest\n"
    )
    assert closings(book()) == ["running"]
    assert "5000 records" in sync().stdout
    assert rows(book()) == list(range(1, 15_001))
    assert closings(book()) == ["running", "completed"]


def test_ctrl_c_twice_waits_for_nothing(
    make_run: MakeRun, sync: Sync, interrupt: Callable[..., tuple[int, str]], book: Any
) -> None:
    make_run("a")
    status, _ = interrupt(2)
    assert status == 130
    assert book() == []
    assert "3 records" in sync().stdout
    assert rows(book()) == [1, 2, 3]


# The bar


def test_a_terminal_sees_a_bar_and_results_stay_clean(
    make_run: MakeRun, command: Any, environment: Mapping[str, str]
) -> None:
    make_run("a\x1b[2J")
    ours, theirs = pty.openpty()
    try:
        line = command(stumbles=1)
        with subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, stderr=theirs, text=True) as process:
            output, _ = process.communicate(timeout=120)
        seen = b""
        while select.select([ours], [], [], 0)[0]:
            seen += os.read(ours, 65_536)
    finally:
        os.close(ours)
        os.close(theirs)
    assert b"h2/a?[2J (" in seen
    assert b"] 0/3 records, 0/s" in seen
    assert b"to shelf: RuntimeError; tries again in 0 s\r\n" in seen
    assert seen.endswith(b"\r\x1b[K")
    assert b"noise" not in seen
    assert output.count("\n") == 1


# Where MLflow is


def mlflow_options(run: Path, **settings: Any) -> dict[str, Any]:
    return recorded.options("mlflow", StoredRun(run), load_settings(settings))


def test_a_run_goes_where_it_went_whatever_the_working_folder_is(make_run: MakeRun) -> None:
    run = make_run("a", tracking={"mlflow": {"tracking_uri": "sqlite:///mlflow.db"}})
    went = StateFile(run, "mlflow", "sqlite:////data/mlflow.db")
    (run / "trackers").mkdir()
    went.save(went.load())
    assert mlflow_options(run)["tracking_uri"] == "sqlite:////data/mlflow.db"
    assert mlflow_options(run, tracking_uri="http://127.0.0.1:5000")["tracking_uri"] == "http://127.0.0.1:5000"


def test_a_run_that_went_to_two_places_asks_which_is_meant(make_run: MakeRun, sync: Sync) -> None:
    run = make_run("a", tracking={"mlflow": {}})
    (run / "trackers").mkdir()
    for place in ("sqlite:////data/mlflow.db", "http://127.0.0.1:5000"):
        went = StateFile(run, "mlflow", place)
        went.save(went.load())
    completed = sync()
    assert completed.returncode == 1
    places = "http://127.0.0.1:5000 and sqlite:////data/mlflow.db"
    assert completed.stderr.endswith(f" to mlflow: it went to {places}; say which with --tracking-uri\n")


def test_the_password_that_a_run_does_not_tell_comes_from_the_environment(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run("a", tracking={"mlflow": {"tracking_uri": "http://tracking.test/x"}})
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@tracking.test/x")
    assert mlflow_options(run)["tracking_uri"] == "http://me:secret@tracking.test/x"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@tracking.test:80/y")
    assert mlflow_options(run)["tracking_uri"] == "http://tracking.test/x"


@pytest.mark.parametrize(
    "here", ["http://me:s3cret@elsewhere.test", "https://tracking.test", "http://tracking.test:81"]
)
def test_what_the_environment_has_for_one_server_goes_to_no_other_that_a_run_names(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, here: str
) -> None:
    run = make_run("a", tracking={"mlflow": {"tracking_uri": "http://tracking.test"}})
    monkeypatch.setenv("MLFLOW_TRACKING_URI", here)
    with pytest.raises(recorded.UndecidedError, match=r"names http://tracking\.test, .*--tracking-uri") as raised:
        mlflow_options(run)
    assert "s3cret" not in str(raised.value)
    assert mlflow_options(run, tracking_uri="http://tracking.test")["tracking_uri"] == "http://tracking.test"


def test_an_address_that_was_not_kept_is_asked_for_unless_the_environment_has_it(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run("a", tracking={"mlflow": {"tracking_uri": ""}})
    with pytest.raises(recorded.UndecidedError, match="--tracking-uri"):
        mlflow_options(run)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking.test")
    assert mlflow_options(run)["tracking_uri"] == "http://tracking.test"


def test_a_run_of_the_persons_own_is_attached_to_on_its_own_server_only(make_run: MakeRun) -> None:
    told = {"tracking_uri": "http://tracking.test", "attach_to": "f00", "experiment": "h2"}
    run = make_run("a", tracking={"mlflow": told})
    assert mlflow_options(run) == {"tracking_uri": "http://tracking.test", "attached_to": "f00", "experiment": "h2"}
    assert mlflow_options(run, tracking_uri="http://me:secret@tracking.test")["attached_to"] == "f00"
    elsewhere = mlflow_options(run, tracking_uri="http://elsewhere.test")
    assert elsewhere == {"tracking_uri": "http://elsewhere.test", "experiment": "h2"}


@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")  # MLflow's use of SQLAlchemy
def test_a_store_of_artifacts_that_takes_nothing_does_not_keep_a_run_open_in_mlflow(
    make_run: MakeRun, sync: Sync, tmp_path: Path
) -> None:
    mlflow = pytest.importorskip("mlflow")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    (tmp_path / "file").touch()
    client = mlflow.MlflowClient(uri)
    experiment = client.create_experiment("h2", f"file://{tmp_path}/file/below")
    make_run("a", summary={"best": 1})
    completed = sync("--to", "mlflow", "--tracking-uri", uri)
    assert "quantum_monitor/summary.json cannot be uploaded: NotADirectoryError" in completed.stderr
    runs = "SELECT status, value FROM runs JOIN latest_metrics USING (run_uuid) WHERE experiment_id = ?"
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
        assert connection.execute(runs, (experiment,)).fetchall() == [("FINISHED", 2.0)]
    assert "up to date" in sync("--to", "mlflow", "--tracking-uri", uri).stdout


KILLED_TRAINING = """
import os, signal, sys, time
from quantum_monitor.record import Record
from quantum_monitor.store.writer import RunStore

info = {"run_id": "f00", "name": "a", "experiment": "h2", "start_time": time.time(), "tracking": {"mlflow": {}}}
store = RunStore(sys.argv[1], info)
for step in range(2_500):
    store.put(Record("training", time.time(), step, {"loss": 1.0 / (step + 1)}))
assert store.flush(60)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_training_comes_to_mlflow_exactly_once_from_whatever_folder(
    storage: Path, environment: Mapping[str, str], tmp_path: Path
) -> None:
    pytest.importorskip("mlflow")
    run = run_directory(storage, "h2", "f00")
    run.parent.mkdir(parents=True)
    killed = subprocess.run([sys.executable, "-c", KILLED_TRAINING, run], timeout=120, check=False)
    assert killed.returncode == -signal.SIGKILL
    for folder, outcome in (("first", "2500 records, 0 artifacts delivered"), ("second", "up to date")):
        (tmp_path / folder).mkdir()
        line = [sys.executable, "-m", "quantum_monitor.cli", "sync", str(storage)]
        completed = subprocess.run(
            line, env=environment, cwd=tmp_path / folder, capture_output=True, text=True, timeout=120, check=False
        )
        assert (completed.returncode, completed.stderr) == (0, "")
        database = tmp_path / "first" / "mlflow.db"
        assert completed.stdout == f"h2/a (f00) to mlflow: {outcome}, closed as killed; sqlite:///{database}\n"
        connection = sqlite3.connect(database)
        try:
            count = "SELECT count(*), count(DISTINCT step) FROM metrics WHERE key = 'loss'"
            assert connection.execute(count).fetchall() == [(2_500, 2_500)]
            assert connection.execute("SELECT status FROM runs").fetchall() == [("KILLED",)]
        finally:
            connection.close()
    assert not (tmp_path / "second" / "mlflow.db").exists()
