from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from quantum_monitor import cli
from quantum_monitor.views.live import process
from quantum_monitor.views.live.process import Dashboard
from tests.server_process import eventually

OWN = """
import plotly.graph_objects as go
from quantum_monitor import plugins

@plugins.figure("my own <b>")
def mine(run):
    return go.Figure(go.Scatter(y=[1, 2, 3]))
"""


def answers(url: str, path: str = "/-/healthy") -> bool:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=30)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


@pytest.fixture
def dashboard(tmp_path: Path) -> Iterator[Dashboard]:
    started = process.start(tmp_path, port=0)
    yield started
    started.stop()


def test_the_page_is_served_from_a_modest_process_of_its_own_until_it_is_stopped(dashboard: Dashboard) -> None:
    assert answers(dashboard.url)
    assert answers(dashboard.url, "/_dash-layout")
    (child,) = [c for c in psutil.Process().children() if "views.live" in " ".join(c.cmdline())]
    assert child.nice() >= 10
    dashboard.stop()
    assert not answers(dashboard.url)
    assert not child.is_running()
    dashboard.stop()


def test_it_ends_without_force_though_a_fork_holds_its_input_open(dashboard: Dashboard) -> None:
    assert dashboard._process.stdin is not None
    held = os.dup(dashboard._process.stdin.fileno())  # as a fork of this process has it
    try:
        dashboard.stop()
        assert dashboard._process.returncode == -signal.SIGTERM
    finally:
        os.close(held)


def test_the_page_ends_with_a_parent_that_is_killed_even_if_a_fork_of_it_lives(tmp_path: Path) -> None:
    script = f"""
        import os, time
        from pathlib import Path
        from quantum_monitor.views.live import process
        dashboard = process.start(Path({str(tmp_path)!r}), port=0)
        if os.fork() == 0:
            os.close(1)
            time.sleep(120)
            os._exit(0)
        print(dashboard.url, flush=True)
        time.sleep(120)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as parent:
        assert parent.stdout is not None
        url = parent.stdout.readline().strip()
        assert answers(url)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        try:
            eventually(lambda: not answers(url))
        finally:
            os.killpg(parent.pid, signal.SIGKILL)


def test_a_port_in_use_makes_it_take_the_next_and_say_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        dashboard = process.start(tmp_path, port=port)
        try:
            assert urlsplit(dashboard.url).port != port
            assert answers(dashboard.url)
            assert f"port {port} is taken: the page is served on port" in caplog.text
        finally:
            dashboard.stop()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"port": 70_000}, "port: 70000 is not a port"),
        ({"host": "192.0.2.1"}, "192.0.2.1"),
        ({"host": "no such"}, "host: 'no such'"),
    ],
)
def test_what_cannot_be_served_is_told_to_the_parent(tmp_path: Path, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(OSError, match=f"the live page did not start: .*{re.escape(reason)}"):
        process.start(tmp_path, **{"port": 0, **options})
    assert not [child for child in psutil.Process().children() if "views.live" in " ".join(child.cmdline())]


def test_a_folder_that_does_not_exist_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(OSError, match="nowhere is not a folder"):
        process.start(tmp_path / "nowhere", port=0)
    assert cli.main(["dashboard", str(tmp_path / "nowhere")]) == 1
    assert "nowhere is not a folder; give a storage folder" in capsys.readouterr().err


def run_command(*arguments: str, cwd: Path, before: str = "pass") -> subprocess.Popen[str]:
    program = f"import sys; {before}; from quantum_monitor.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd)


def test_without_dash_the_command_says_what_to_install(tmp_path: Path) -> None:
    with run_command("dashboard", str(tmp_path), cwd=tmp_path, before="sys.modules['dash'] = None") as command:
        out, err = command.communicate(timeout=60)
    assert (command.returncode, out) == (1, "")
    assert "pip install 'quantum-monitor[live]'" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_it_is_asked_to_end_and_writes_nothing(tmp_path: Path, number: signal.Signals) -> None:
    folder = tmp_path / "runs"
    folder.mkdir()
    with run_command("dashboard", str(folder), "--port", "0", cwd=tmp_path) as command:
        assert command.stdout is not None
        line = command.stdout.readline()
        url = line.split(" is shown on ")[1].split()[0]
        assert answers(url)
        command.send_signal(number)
        out, err = command.communicate(timeout=60)
    assert (command.returncode, out, err) == (0, "The page is closed.\n", "")
    assert list(folder.iterdir()) == []


def test_everybody_is_warned_where_everybody_can_look(tmp_path: Path) -> None:
    with run_command("dashboard", str(tmp_path), "--port", "0", "--host", "0.0.0.0", cwd=tmp_path) as command:  # noqa: S104 - said so
        assert command.stdout is not None
        command.stdout.readline()
        command.send_signal(signal.SIGTERM)
        _, err = command.communicate(timeout=60)
    assert "whoever reaches this address sees the runs, for the page asks for no password" in err


def test_figures_of_ones_own_are_imported_from_modules_and_files(
    new_monitor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chromium: Any
) -> None:
    from tests.browser import page_of

    (tmp_path / "mine.py").write_text(OWN)
    monitor = new_monitor()
    with monitor.start_run("a"):
        run = monitor.current_run_id
    dashboard = process.start(monitor.storage_path, port=0, figures=[str(tmp_path / "mine.py"), "no_such_module"])
    try:
        with page_of(chromium, f"{dashboard.url}?run=h2/{run}&view=figures") as watched:
            watched.page.wait_for_selector("h2:has-text('my own <b>')")
            watched.page.wait_for_selector(".js-plotly-plot .trace")
            assert watched.complaints == []
    finally:
        dashboard.stop()


def test_a_module_without_figures_to_import_is_told_with_the_mend(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dashboard = process.start(tmp_path, port=0, figures=["no_such_module"])
    dashboard.stop()
    assert "no figures from no_such_module: ModuleNotFoundError" in caplog.text
