"""`quantum-monitor stack` with the real Prometheus and Alertmanager: what it starts, shows, and leaves behind."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from quantum_monitor import QuantumMonitor
from tests.server_process import eventually
from tests.stack.stack_process import COMMAND, Stack

StartStack = Callable[..., Stack]


@pytest.fixture(autouse=True, scope="module")
def _programs(server_binary: Callable[[str], Path]) -> None:
    for program in ("prometheus", "prometheus-alertmanager"):
        server_binary(program)


@pytest.fixture
def start_stack(tmp_path: Path) -> Iterator[StartStack]:
    """Starts stacks in folders of their own; what a test leaves running ends with it."""
    started: list[Stack] = []

    def start(*arguments: object, folder: str = "stack") -> Stack:
        started.append(Stack(tmp_path / folder, *arguments))
        return started[-1]

    yield start
    for stack in started:
        if stack.process.poll() is None:
            stack.end(signal.SIGTERM)
        for server in stack.servers:
            if server.is_running():
                server.kill()


@dataclass(frozen=True)
class Session:
    """A session that has ended: what was seen while a training process was scraped, and how it went.

    Attributes:
        stack: the stack, as it was left.
        targets: what Prometheus scraped.
        groups: the rules that it had loaded.
        alertmanagers: whom it told.
        scraped_at: where the training process was to be scraped.
        status: the exit status after Ctrl-C.
    """

    stack: Stack
    targets: list[dict[str, Any]]
    groups: list[dict[str, Any]]
    alertmanagers: list[dict[str, Any]]
    scraped_at: str
    status: int


@pytest.fixture(scope="module")
def session(_programs: None, tmp_path_factory: pytest.TempPathFactory) -> Session:
    """One for all that only look: Prometheus takes five seconds to its first scrape."""
    stack = Stack(tmp_path_factory.mktemp("session"))

    def targets() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = stack.ask("Prometheus", "/api/v1/targets")["data"]["activeTargets"]
        return found

    def all_are_up() -> bool:
        health = {target["labels"]["job"]: target["health"] for target in targets()}
        return set(health) == {"quantum-monitor", "prometheus", "alertmanager"} and set(health.values()) == {"up"}

    options: dict[str, Any] = {"discovery_dir": stack.data / "targets", "enable_mlflow": False}
    storage = stack.data.parent / "runs"
    try:
        with QuantumMonitor(
            "h2", metrics_port=0, storage_path=storage, registry=CollectorRegistry(), **options
        ) as monitor:
            eventually(all_are_up, what="the scrape of the monitor and of both servers")
            scraped_at = str(monitor.metrics_url)
            groups = stack.ask("Prometheus", "/api/v1/rules")["data"]["groups"]
            alertmanagers = stack.ask("Prometheus", "/api/v1/alertmanagers")["data"]["activeAlertmanagers"]
            seen = targets()
    finally:
        status = stack.end()
    return Session(stack, seen, groups, alertmanagers, scraped_at, status)


def refused(*arguments: object) -> str:
    """What the command complains of, ending with status 1."""
    done = subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert all(line.startswith("quantum-monitor: ") for line in done.stderr.splitlines()), done.stderr
    return done.stderr


def test_a_training_process_is_scraped_rules_are_loaded_and_alertmanager_is_known(session: Session) -> None:
    assert f"export QUANTUM_MONITOR_DISCOVERY={session.stack.data / 'targets'}" in session.stack.output
    assert "export QUANTUM_MONITOR_FINAL_SCRAPE_TIMEOUT=60\n" in session.stack.output
    [scraped] = [target for target in session.targets if target["labels"]["job"] == "quantum-monitor"]
    assert scraped["scrapeUrl"] == session.scraped_at
    loaded = {rule["name"] for group in session.groups for rule in group["rules"]}
    assert {"QuantumGradientExplosion", "QuantumRunVanished"} <= loaded
    [known] = session.alertmanagers
    assert known["url"].startswith(session.stack.url("Alertmanager"))
    assert session.status == 0
    assert session.stack.has_left_nothing()


def test_everything_listens_on_loopback_only_and_nothing_listens_that_was_not_printed(start_stack: StartStack) -> None:
    stack = start_stack()
    listening = {
        (connection.laddr.ip, connection.laddr.port)
        for server in stack.servers
        for connection in server.net_connections()
        if connection.status == "LISTEN"
    }
    printed = {int(stack.url(server).rpartition(":")[2]) for server in ("Prometheus", "Alertmanager")}
    assert listening == {("127.0.0.1", port) for port in printed}


def test_a_taken_port_makes_way_for_the_next_free_one(start_stack: StartStack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        taken = (one.getsockname()[1], other.getsockname()[1])
        stack = start_stack("--prometheus-port", taken[0], "--alertmanager-port", taken[1])
        given = [int(stack.url(server).rpartition(":")[2]) for server in ("Prometheus", "Alertmanager")]
    assert given[0] > taken[0]
    assert given[1] > taken[1]


def test_the_folder_that_processes_announce_themselves_in_already_is_the_one_that_is_watched(
    start_stack: StartStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    discovery = tmp_path / "my targets"
    monkeypatch.setenv("QUANTUM_MONITOR_DISCOVERY", str(discovery))
    stack = start_stack()
    assert f"export QUANTUM_MONITOR_DISCOVERY='{discovery}'" in stack.output
    config = yaml.safe_load(stack.ask("Prometheus", "/api/v1/status/config")["data"]["yaml"])
    assert f"{discovery}/*.json" in str(config["scrape_configs"])
    assert discovery.is_dir()


def test_a_webhook_makes_alertmanager_tell_slack(start_stack: StartStack, tmp_path: Path) -> None:
    webhook = tmp_path / "webhook"
    webhook.write_text("http://127.0.0.1:9/hook\n", encoding="utf-8")
    stack = start_stack("--slack-webhook-file", webhook)
    assert "Tells         Slack, for critical, warning, info" in stack.output
    assert stack.ask("Alertmanager", "/api/v2/status")["config"]["original"].count("slack_configs") >= 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_polite_signal_ends_both_in_good_order(start_stack: StartStack, number: signal.Signals) -> None:
    stack = start_stack()
    assert stack.end(number) == 0
    assert stack.has_left_nothing()
    assert "Both have ended." in stack.output
    assert stack.errors == ""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells a child of its parent's death")
def test_a_stack_that_was_killed_leaves_no_server_behind(start_stack: StartStack) -> None:
    stack = start_stack()
    assert stack.end(signal.SIGKILL) == -signal.SIGKILL
    eventually(stack.has_left_nothing, what="the end of both servers")


def test_a_server_that_dies_ends_the_stack_with_its_last_words(start_stack: StartStack) -> None:
    stack = start_stack()
    stack.server("prometheus").kill()
    assert stack.process.wait(60) == 1
    assert f"Prometheus ended by itself with status -{signal.SIGKILL.value}" in stack.errors
    assert "Server is ready to receive web requests" in stack.errors
    assert stack.has_left_nothing()


def test_a_server_that_cannot_start_ends_the_stack_with_the_reason(start_stack: StartStack, tmp_path: Path) -> None:
    own = tmp_path / "alertmanager.yml"
    own.write_text("route: {receiver: nobody}\nreceivers: []\n", encoding="utf-8")
    stack = start_stack("--alertmanager-config", own)
    assert stack.process.wait(60) == 1
    assert "undefined receiver" in stack.errors


def test_a_server_that_ends_without_a_word_may_have_met_a_full_disk(tmp_path: Path) -> None:
    """The database and the log of Prometheus lead to a disk, seen by this stack only, that is full."""
    private = ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*private, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no disk can be mounted here")
    full, data = tmp_path / "full", tmp_path / "data"
    data.mkdir()
    full.mkdir()
    for name in ("prometheus", "prometheus.log"):
        (data / name).symlink_to(full / name)
    fill = 'mount -t tmpfs -o size=4k tmpfs "$0" && mkdir "$0/prometheus" && ! head -c 9999 /dev/zero 2>&- >"$0/filler"'
    stack: list[str | Path] = [*COMMAND, "--data", data, "--prometheus-port", "0", "--alertmanager-port", "0"]
    command: list[str | Path] = [*private, "sh", "-c", f'{fill} && exec "$@"', full, *stack]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    first, second = done.stderr.splitlines()
    assert first.startswith("quantum-monitor: Prometheus ended by itself with status ")
    assert second == "quantum-monitor:   (it wrote nothing: is the disk full?)"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_a_configuration_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "alertmanager.yml").symlink_to("/dev/full")
    told = refused("--data", tmp_path)
    assert f"{tmp_path}/alertmanager.yml cannot be written: No space left on device" in told
    assert "--data" in told


def test_a_configuration_of_ones_own_is_taken_as_it_is(start_stack: StartStack, tmp_path: Path) -> None:
    own = tmp_path / "alertmanager.yml"
    receivers = "receivers: [{name: hook, webhook_configs: [{url: 'http://127.0.0.1:1/'}]}]\n"
    own.write_text(f"route: {{receiver: hook}}\n{receivers}", encoding="utf-8")
    stack = start_stack("--alertmanager-config", own)
    assert "Tells         hook\n" in stack.output
    assert "127.0.0.1:1/" in stack.ask("Alertmanager", "/api/v2/status")["config"]["original"]


def test_a_second_stack_on_the_same_data_is_refused(start_stack: StartStack) -> None:
    stack = start_stack()
    assert "is in use by another stack" in refused("--data", stack.data)
    assert stack.process.poll() is None


def test_data_is_kept_from_one_session_to_the_next(session: Session, start_stack: StartStack, tmp_path: Path) -> None:
    shutil.copytree(session.stack.data, tmp_path / "stack/data")
    stack = start_stack()
    found = stack.ask("Prometheus", "/api/v1/query?query=last_over_time(up[10m])")["data"]["result"]
    assert {target["labels"]["instance"] for target in session.targets} <= {s["metric"]["instance"] for s in found}


@pytest.mark.parametrize("content", [None, "", "not an address\n"], ids=["missing", "empty", "no address"])
def test_a_wrong_webhook_file_is_told_before_anything_starts(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "webhook"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    told = refused("--data", tmp_path / "data", "--slack-webhook-file", file)
    assert f"--slack-webhook-file: {file}" in told
    assert "not an address" not in told  # what stands in it may be a secret


def test_a_missing_program_is_named_with_every_way_to_get_it(tmp_path: Path) -> None:
    """As installed outside of a checkout, on a machine with nothing on PATH."""
    code = (
        "import pathlib, sys; from quantum_monitor.stack import programs; from quantum_monitor.cli import main;"
        f"programs._CHECKOUT = pathlib.Path({str(tmp_path)!r}); sys.exit(main(['stack']))"
    )
    environ = {**os.environ, "PATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no Prometheus and no Alertmanager here" in done.stderr
    assert "alertmanager or prometheus-alertmanager" in done.stderr
    assert all(way in done.stderr for way in ("make servers", "Debian", "https://prometheus.io/download/"))
    assert not (tmp_path / "quantum_stack").exists()


def test_a_folder_that_prometheus_would_read_as_a_pattern_is_refused(tmp_path: Path) -> None:
    assert "as a pattern" in refused("--data", tmp_path / "data", "--discovery", tmp_path / "runs[1]")
