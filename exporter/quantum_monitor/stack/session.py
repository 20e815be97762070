"""From the first check to the last child: one foreground session of Prometheus and Alertmanager."""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from quantum_monitor import assets
from quantum_monitor.stack import StackError, configuration
from quantum_monitor.stack.ports import LOOPBACK, free_port
from quantum_monitor.stack.programs import ALERTMANAGER, PROMETHEUS, find_all
from quantum_monitor.stack.server import Server
from quantum_monitor.stack.signals import EndingSignals

_PORT_RACES = 10
_POLL_SECONDS = 0.1
_ENDING_SECONDS = 30.0


@dataclass(frozen=True)
class Options:
    """What a session runs with.

    Attributes:
        data: the folder of both databases, logs and rendered configuration; made if it does not exist.
        discovery: the folder in which training processes announce themselves; made if it does not exist.
        prometheus_port: wanted; the next free one where it is taken, any free one for 0.
        alertmanager_port: likewise.
        scrape_interval: seconds; None for that of prometheus.yml.
        slack_webhook_file: file with the address of a Slack webhook; None tells nobody, alerts show on the pages.
        alertmanager_config: a configuration of the person's own, taken as it is; None for that of this version.
    """

    data: Path
    discovery: Path
    prometheus_port: int = 9090
    alertmanager_port: int = 9093
    scrape_interval: int | None = None
    slack_webhook_file: Path | None = None
    alertmanager_config: Path | None = None


@dataclass(frozen=True)
class Running:
    """What is up.

    Attributes:
        prometheus: its address.
        alertmanager: its address.
        told: the receivers that send something.
    """

    prometheus: str
    alertmanager: str
    told: tuple[str, ...]


def run(options: Options, *, when_up: Callable[[Running], object]) -> None:
    """Run both servers until Ctrl-C, SIGTERM or SIGHUP; when this returns or raises, both have ended.

    Args:
        options: what to run them with.
        when_up: called once both answer.

    Raises:
        StackError: a program is missing, the folder is in use, a server does not start or has ended by itself.
    """
    programs = find_all((PROMETHEUS, ALERTMANAGER))
    servers: list[Server] = []
    with _claimed(options), EndingSignals() as signals:
        try:
            running = _start(options, programs, servers, signals)
            if running is not None:
                when_up(running)
            while not signals.received:
                _check(servers)
                time.sleep(_POLL_SECONDS)
        finally:
            _end(servers, signals)


def _start(
    options: Options, programs: dict[str, Path], servers: list[Server], signals: EndingSignals
) -> Running | None:
    """Start both, Alertmanager first, whose port Prometheus has to know; None if told to end meanwhile."""
    assets_root = assets.root()
    own = options.alertmanager_config
    if own is not None:
        routing, config = configuration.own_routing(own), own
    else:
        routing = configuration.alertmanager(assets_root, slack_webhook_file=options.slack_webhook_file)
        config = _written(options.data / "alertmanager.yml", routing.text)

    def start_alertmanager(port: int) -> Server:
        command: list[str | Path] = [
            programs[ALERTMANAGER],
            f"--config.file={config}",
            f"--storage.path={options.data / 'alertmanager'}",
            f"--web.listen-address={LOOPBACK}:{port}",
            f"--web.external-url=http://{LOOPBACK}:{port}",
            "--cluster.listen-address=",  # a single one has no cluster, and no port open for it
        ]
        return Server(ALERTMANAGER, command, port=port, log=options.data / "alertmanager.log")

    alertmanager = _up(start_alertmanager, options.alertmanager_port, servers, signals)

    def start_prometheus(port: int) -> Server:
        text = configuration.prometheus(
            assets_root,
            discovery=options.discovery,
            addresses={"prometheus": f"{LOOPBACK}:{port}", "alertmanager": f"{LOOPBACK}:{alertmanager.port}"},
            scrape_interval=options.scrape_interval,
        )
        command: list[str | Path] = [
            programs[PROMETHEUS],
            f"--config.file={_written(options.data / 'prometheus.yml', text)}",
            f"--storage.tsdb.path={options.data / 'prometheus'}",
            f"--web.listen-address={LOOPBACK}:{port}",
            f"--web.external-url=http://{LOOPBACK}:{port}",
        ]
        return Server(PROMETHEUS, command, port=port, log=options.data / "prometheus.log")

    prometheus = _up(start_prometheus, options.prometheus_port, servers, signals)
    if signals.received:
        return None
    return Running(prometheus.url, alertmanager.url, routing.told)


def _up(start: Callable[[int], Server], wanted: int, servers: list[Server], signals: EndingSignals) -> Server:
    """Start a server and wait until it answers, or is to end; where its port was snatched away, on the next one."""
    for _ in range(_PORT_RACES):
        server = start(free_port(wanted))
        servers.append(server)
        while not signals.received and server.status is None and not server.is_ready():
            time.sleep(_POLL_SECONDS)
        if not server.found_its_port_taken():
            _check(servers)
            return server
        servers.remove(server)
    raise StackError(f"{server.name} found its port taken {_PORT_RACES} times; name another one")


def _check(servers: list[Server]) -> None:
    for server in servers:
        if server.status is not None:
            raise StackError(
                "\n".join([
                    f"{server.name} ended by itself with status {server.status}; the end of {server.log}:",
                    *(f"  {line}" for line in server.last_lines() or ["(it wrote nothing: is the disk full?)"]),
                ])
            )  # fmt: skip


def _end(servers: list[Server], signals: EndingSignals) -> None:
    """Let the servers write what they hold and end; kill those that take too long, or all on a second Ctrl-C."""
    for server in servers:
        server.ask_to_end()
    asked, deadline = signals.received, time.monotonic() + _ENDING_SECONDS
    while any(server.status is None for server in servers):
        if signals.received > max(asked, 1) or time.monotonic() > deadline:
            for server in servers:
                server.kill()
        time.sleep(_POLL_SECONDS)


@contextlib.contextmanager
def _claimed(options: Options) -> Iterator[None]:
    """Make the folders, and hold the data folder against a second session."""
    for folder in (options.data, options.discovery):
        folder.mkdir(parents=True, exist_ok=True)
    with (options.data / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StackError(f"{options.data} is in use by another stack; end that one, or give --data") from error
        yield


def _written(path: Path, text: str) -> Path:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:  # a full disk names no file
        raise StackError(f"{path} cannot be written: {error.strerror or error}; mend that, or give --data") from error
    return path
