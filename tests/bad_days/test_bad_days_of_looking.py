"""Disks, extras, ports, forks and files that spoil a look at a run: a sentence each, and the training goes on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

import quantum_monitor
from quantum_monitor import QuantumMonitor, QuantumVisualization, cli, compare_runs, plugins, viewing
from quantum_monitor.record import Record
from quantum_monitor.store.layout import run_directory
from quantum_monitor.store.reader import StoredRun
from quantum_monitor.store.writer import RunStore
from quantum_monitor.views.export import ImageError
from quantum_monitor.views.observed import observe
from quantum_monitor.views.static_dashboard import static_dashboard
from tests.server_process import eventually
from tests.store.test_stored_run import write_version_1

NewMonitor = Callable[..., QuantumMonitor]
Mount = Callable[..., Path]
Program = Callable[..., "subprocess.Popen[str]"]

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


def train(monitor: QuantumMonitor, steps: int) -> None:
    for step in range(steps):
        monitor.log_training_step(1.0 / (step + 1), np.ones(3), np.ones(3), step)
        monitor.log_quantum_state([0.6, 0.8], step)


def a_run(storage: Path, name: str = "a", *, losses: int = 5) -> Path:
    """A run that has ended."""
    store = RunStore(
        run_directory(storage, "h2", name), {"run_id": name, "name": name, "experiment": "h2", "status": "completed"}
    )
    for step in range(losses):
        store.put(Record("training", 1.7e9 + step, step, {"loss": 1.0 / (step + 1)}))
    assert store.close(20)
    return store.directory


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}-/healthy", timeout=30) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


# Extras


WITHOUT_EXTRAS = """
import contextlib, io, json, os, sys
sys.path[:0] = sys.argv[1:3]
import quantum_monitor as q
from quantum_monitor import cli

monitor = q.QuantumMonitor("h2", metrics_port=None, enable_mlflow=False, storage_path="s")
for name in ("a", "b"):
    with monitor.start_run(name):
        monitor.log_training_step(0.5, [0.1], [0.1], 0)
        monitor.log_quantum_state([0.6, 0.8], 0)

def calling(call):
    try:
        return ["", call()]
    except Exception as error:
        return [type(error).__name__, str(error)]

def command(*arguments):
    with contextlib.redirect_stderr(io.StringIO()) as told, contextlib.redirect_stdout(io.StringIO()):
        status = cli.main(arguments)
    return [status, told.getvalue()]

print(json.dumps({
    "report": calling(monitor.generate_report),
    "static": calling(monitor.create_static_dashboard),
    "picture": calling(lambda: monitor.create_static_dashboard("png")),
    "live": calling(lambda: monitor.create_dashboard(port=0)),
    "figure": calling(lambda: q.QuantumVisualization.plot_training(monitor)),
    "cli report": command("report", "s", "--output", "reports"),
    "cli compare": command("compare", "a", "b", "--storage", "s", "--output", "compared.html"),
    "cli live": command("dashboard", "s", "--port", "0"),
    "page": open("compared.html").read(),
}))
monitor.close()
"""


def test_without_the_extras_every_way_to_look_says_the_pip_install_or_does_without(tmp_path: Path) -> None:
    bare = tmp_path / "bare"  # an environment that was installed without them
    bare.mkdir()
    unknown = ("plotly", "_plotly_utils", "kaleido", "choreographer", "dash")
    for folder in {Path(entry) for entry in sys.path if entry.endswith("-packages") and Path(entry).is_dir()}:
        for entry in folder.iterdir():
            if not entry.name.startswith(unknown) and not (bare / entry.name).exists():
                (bare / entry.name).symlink_to(entry)
    ours = Path(quantum_monitor.__file__).parents[1]
    command = [sys.executable, "-I", "-S", "-c", WITHOUT_EXTRAS, str(ours), str(bare)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)

    views, live = "pip install 'quantum-monitor[views]'", "pip install 'quantum-monitor[live]'"
    page = Path(told["report"][1]).read_text()
    assert views.replace("'", "&#x27;") in page
    assert "<script" not in page
    for surface in ("static", "picture", "figure"):
        assert told[surface][0] == "MissingExtraError"
        assert views in told[surface][1]
    assert told["live"][0] == "OSError"
    assert live in told["live"][1]
    assert told["cli report"] == [0, ""]
    assert len(list(Path("reports").glob("*.html"))) == 2
    assert told["cli compare"] == [0, ""]
    assert views.replace("'", "&#x27;") in told["page"]
    assert told["cli live"][0] == 1
    assert live in told["cli live"][1]
    assert told["cli live"][1].count("\n") == 1


def test_without_a_browser_the_facade_says_what_to_install_and_writes_the_page(
    new_monitor: NewMonitor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("BROWSER_PATH", str(tmp_path / "gone"))
    monitor = new_monitor()
    with monitor.start_run("a"):
        train(monitor, 2)
    with pytest.raises(ImageError, match=r"install one .* \.html works without a browser"):
        monitor.create_static_dashboard("png")
    with pytest.raises(ImageError, match="install one"):
        QuantumVisualization.plot_training(monitor, "loss.svg")
    assert Path(monitor.create_static_dashboard()).stat().st_size > 4e6
    assert QuantumVisualization.plot_training(monitor, "loss.html")
    assert {path.name for path in Path(str(monitor.run_path)).glob("dashboard*")} == {"dashboard.html"}


# Disks


def test_a_run_in_memory_is_drawn_and_where_a_file_cannot_be_written_it_says_what_can(
    new_monitor: NewMonitor, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monitor = new_monitor(storage_path=tmp_path / "file" / "runs").start_run("a")
    train(monitor, 3)
    stored = viewing.stored_run(monitor)
    assert stored.series("loss").value.tolist() == [1.0, 1 / 2, 1 / 3]
    assert len(QuantumVisualization.plot_training(stored).data[0].y) == 3
    for write in (monitor.generate_report, monitor.create_static_dashboard):
        with pytest.raises(
            OSError, match=r"cannot be written into .*: (Not a dir|path: there is no fold).*; export_metrics\(path\)"
        ):
            write()
    with pytest.raises(OSError, match=r"the live page did not start: its folder .*runs cannot be made: Not a dir"):
        monitor.create_dashboard(port=0)
    train(monitor, 1)
    assert monitor.get_metrics_summary()["loss"]["count"] == 4


def test_a_full_disk_keeps_what_was_there_and_the_run_goes_on(new_monitor: NewMonitor, mount: Mount) -> None:
    disk = mount("disk", "-t", "tmpfs", "-o", "size=2m", "tmpfs")
    monitor = new_monitor(storage_path=disk / "runs").start_run("a")
    train(monitor, 3)
    small = Path(monitor.generate_report(include_visualizations=False))
    before = small.read_text()
    for write, what in ((monitor.generate_report, "report"), (monitor.create_static_dashboard, "dashboard")):
        with pytest.raises(OSError, match=rf"the {what} cannot be written into .*: No space left on device; export_"):
            write()
    assert small.read_text() == before
    assert not list(small.parent.glob(".*"))
    train(monitor, 3)
    monitor.end_run()
    assert len(StoredRun(small.parent).series("loss").value) == 6


def test_a_read_only_storage_is_looked_at_and_nothing_is_written_there(
    new_monitor: NewMonitor, mount: Mount, capsys: pytest.CaptureFixture[str]
) -> None:
    disk = mount("disk", "-t", "tmpfs", "tmpfs")
    monitor = new_monitor(storage_path=disk / "runs")
    with monitor.start_run("a"):
        train(monitor, 3)
    run = Path(str(monitor.run_path))
    mount("disk", "-o", "remount,ro")
    there = sorted(path.name for path in run.iterdir())
    with pytest.raises(OSError, match=r"the report cannot be written into .*: Read-only file system; export_metrics"):
        monitor.generate_report()
    assert QuantumVisualization.plot_state_evolution(monitor)
    assert answers(monitor.create_dashboard(port=0))
    assert cli.main(["report", str(disk / "runs"), "--without-figures", "--output", "here.html"]) == 0
    assert cli.main(["report", str(run), "--output", str(disk / "there.html"), "--without-figures"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"there is no report of {run}: " in line
    assert sorted(path.name for path in run.iterdir()) == there


def test_a_run_whose_directory_was_deleted_meanwhile_is_told_as_gone(new_monitor: NewMonitor) -> None:
    monitor = new_monitor().start_run("a")
    train(monitor, 2)
    run = viewing.stored_run(monitor)
    shutil.rmtree(run.directory)
    for show in (monitor.generate_report, monitor.create_static_dashboard):
        with pytest.raises(FileNotFoundError, match=r"is gone: it was deleted or moved"):
            show()
    with pytest.raises(FileNotFoundError):
        static_dashboard(run, "a.html")
    with pytest.raises(FileNotFoundError):
        QuantumVisualization.plot_training(run)
    assert not Path("a.html").exists()
    train(monitor, 1)


# Runs in the middle of something


WRITES = """
import sys, time
from quantum_monitor import QuantumMonitor
monitor = QuantumMonitor("h2", metrics_port=None, enable_mlflow=False, storage_path=sys.argv[1])
monitor.start_run("goes-on")
step = 0
while True:
    monitor.log_training_step(1.0 / (step + 1), [0.5], [0.1], step)
    monitor.log_quantum_state([0.6, 0.8], step)
    step += 1
    if step == 1_000:
        print(monitor.run_path, flush=True)
    if step % 20 == 0:
        time.sleep(0.001)
"""


def test_a_run_that_another_process_writes_is_shown_as_far_as_it_goes(
    start_program: Program, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = a_run(tmp_path / "storage")
    process = start_program(WRITES, tmp_path / "storage")
    assert process.stdout is not None
    run = Path(process.stdout.readline().strip())
    eventually(lambda: StoredRun(run).last_sequence >= 1_000, what="a thousand records on disk")
    assert process.poll() is None
    command = ["report", str(tmp_path / "storage"), "--run", "goes-on", "--without-figures", "--output", "r.html"]
    assert cli.main(command) == 0
    assert "The run had not ended when this report was made." in Path("r.html").read_text()
    page = static_dashboard(StoredRun(run), "d.html").read_text()
    assert "<figcaption><strong>Loss</strong>" in page
    assert len(QuantumVisualization.plot_training(run).data[0].y) >= 500
    assert QuantumVisualization.plot_state_evolution(str(run))
    compared = compare_runs(ended, run, include=["running"]).to_text()
    assert "loss" in compared
    with pytest.raises(ValueError, match="running"):
        compare_runs(ended, run)
    assert process.poll() is None
    assert capsys.readouterr().err == ""


def test_runs_of_an_older_schema_are_drawn_reported_and_compared(tmp_path: Path) -> None:
    (tmp_path / "storage" / "h2").mkdir(parents=True)
    for name in ("a", "b"):
        write_version_1(tmp_path / "storage" / "h2" / name)
    run = tmp_path / "storage" / "h2" / "a"
    before = (run / "records.db").read_bytes()
    assert len(QuantumVisualization.plot_training(run).data[0].y) > 500
    with pytest.raises(ValueError, match="keeps no states"):
        QuantumVisualization.plot_state_evolution(run)
    assert cli.main(["report", str(run), "--format", "md", "--output", "a.md"]) == 0
    assert compare_runs(run, run.with_name("b"), include=["killed", "running", "failed"]).to_json()
    assert (run / "records.db").read_bytes() == before


def test_an_empty_run_and_one_of_one_step_are_no_error_anywhere(tmp_path: Path) -> None:
    empty, one = a_run(tmp_path / "s", "empty", losses=0), a_run(tmp_path / "s", "one", losses=1)
    assert cli.main(["report", str(tmp_path / "s"), "--without-figures", "--output", "reports"]) == 0
    assert cli.main(["compare", str(empty), str(one)]) == 0
    with pytest.raises(ValueError, match="nothing of it was logged"):
        QuantumVisualization.plot_training(empty)
    assert list(QuantumVisualization.plot_training(one).data[0].y) == [1.0]


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE blocks SET last = 0",  # a reader that goes on behind it would never end
        "UPDATE blocks SET last = 'x'",
        "UPDATE blocks SET last = 9223372036854775807",
        "UPDATE blocks SET data = 'text'",
        "UPDATE blocks SET data = substr(data, 1, 20)",
        f"UPDATE blocks SET data = x'{struct.pack('<4d', np.inf, 1, 1, 1).hex()}'",  # noqa: S608 - our own
        "UPDATE shapes SET labels = '5'",
        f"UPDATE shapes SET fields = '{'[' * 100_000}'",  # noqa: S608 - our own
        "DROP TABLE shapes",
    ],
    ids=lambda sql: sql[:45],
)
def test_a_database_that_a_stranger_made_up_is_one_sentence_and_no_endless_loop(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = a_run(tmp_path / "s")
    with sqlite3.connect(run / "records.db") as connection:
        connection.execute(damage)
    connection.close()
    signal.alarm(30)  # without a handler: the end of this process
    try:
        assert cli.main(["report", str(run), "--without-figures"]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"quantum-monitor: there is no report of {run}: ")
        with pytest.raises((sqlite3.DatabaseError, ValueError)):
            observe(StoredRun(run))
        with pytest.raises((sqlite3.DatabaseError, ValueError)):
            list(StoredRun(run).records())
    finally:
        signal.alarm(0)


def test_labels_that_are_no_text_are_read_as_text(tmp_path: Path) -> None:
    run = a_run(tmp_path / "s")
    with sqlite3.connect(run / "records.db") as connection:
        connection.execute("""UPDATE shapes SET labels = '{"backend": [1, null]}'""")
    connection.close()
    (loss,) = observe(StoredRun(run)).of("training", "loss")
    assert loss.labels == (("backend", "[1, None]"),)


# Signals and numbers


@pytest.fixture
def own() -> Iterator[list[Callable[[], object]]]:
    """What a figure of the user's own does when it is drawn."""
    doing: list[Callable[[], object]] = []

    @quantum_monitor.figure("own")
    def figure(run: StoredRun) -> None:
        for do in doing:
            do()

    yield doing
    plugins.unregister("own")


def test_ctrl_c_during_a_report_leaves_the_old_one_and_the_run(
    new_monitor: NewMonitor, own: list[Callable[[], object]]
) -> None:
    monitor = new_monitor().start_run("a")
    train(monitor, 3)
    before = Path(monitor.generate_report(include_visualizations=False)).read_text()
    own.append(lambda: signal.raise_signal(signal.SIGINT))
    for show in (monitor.generate_report, monitor.create_static_dashboard):
        with pytest.raises(KeyboardInterrupt):
            show()
    own.clear()
    run = Path(str(monitor.run_path))
    assert (run / "report.html").read_text() == before
    assert not list(run.glob(".*"))
    assert not (run / "dashboard.html").exists()
    train(monitor, 3)
    assert len(viewing.stored_run(monitor).series("loss").value) == 6
    assert monitor.is_running


def test_a_signal_handler_in_the_middle_of_a_log_call_may_write_a_report(
    new_monitor: NewMonitor,
) -> None:
    monitor = new_monitor().start_run("a")
    train(monitor, 3)
    written: list[str] = []
    before = signal.signal(
        signal.SIGUSR1, lambda *_: written.append(monitor.generate_report(include_visualizations=False))
    )

    @quantum_monitor.state_metric("asks")
    def asks(state: object) -> float:
        signal.raise_signal(signal.SIGUSR1)
        return 1.0

    try:
        monitor.log_quantum_state([0.6, 0.8], 3)
    finally:
        plugins.unregister("asks")
        signal.signal(signal.SIGUSR1, before)
    assert [Path(path).name for path in written] == ["report.html"]
    assert monitor.get_metrics_summary()["loss"]["count"] == 3


def test_numpy_told_to_raise_and_the_largest_numbers_cost_no_report(new_monitor: NewMonitor) -> None:
    monitor = new_monitor().start_run("a")
    for step, loss in enumerate([1.7e308, -1.7e308, 1e-310] * 1_000):
        monitor.log_training_step(loss, None, None, step)
    with np.errstate(all="raise"):
        assert "1.7e+308" in Path(monitor.generate_report()).read_text()
        assert Path(monitor.create_static_dashboard()).exists()


# Ports and processes


def pages() -> list[psutil.Process]:
    """The live pages that this process serves."""
    children = psutil.Process().children()
    return [child for child in children if "views.live" in " ".join(child.cmdline())]


def test_a_taken_port_makes_both_live_pages_take_the_next_and_say_so(
    new_monitor: NewMonitor, start_program: Program, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = "import sys; from quantum_monitor.cli import main; sys.exit(main(sys.argv[1:]))"
        process = start_program(command, "dashboard", tmp_path, "--port", port)
        url = new_monitor().create_dashboard(port=port)
        assert answers(url)
        assert f":{port}/" not in url
        assert f"port {port} is taken: the page is served on port" in caplog.text
        assert process.stdout is not None
        assert f":{port}/" not in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert errors.startswith(f"quantum-monitor: port {port} is taken: the page is served on port ")
    assert errors.count("\n") == 1


@needs_fork
def test_a_page_is_one_process_that_survives_forks_is_served_again_and_ends_with_the_monitor(
    new_monitor: NewMonitor,
) -> None:
    monitor = new_monitor()
    url = monitor.create_dashboard(port=0)
    child = os.fork()
    if not child:
        status = 1
        try:
            monitor.close()
            status = 7
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert answers(url)  # the child's close was not the page's end
    assert monitor.create_dashboard(port=0) == url
    (page,) = pages()
    page.kill()
    page.wait(20)
    again = monitor.create_dashboard(port=0)
    assert answers(again)
    assert len(pages()) == 1
    monitor.close()
    assert not pages()
    assert answers(monitor.create_dashboard(port=0))  # nobody forbids to look at what is done
    monitor.close()
    assert not pages()
