"""A real Prometheus on loopback, for as long as a test needs it."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

Labels = frozenset[tuple[str, str]]

_PORTS_TRIED = 5


def eventually(holds: Callable[[], object], *, seconds: float = 60, what: str = "it") -> None:
    """Wait until something holds, against a deadline that a busy machine meets as well."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not come true within {seconds} s"
        time.sleep(0.05)


class Prometheus:
    """A Prometheus and its HTTP API: `start` and `stop` as often as needed, on the same port and with the same data.

    Args:
        program: the server's program.
        folder: where its configuration, storage and log go.
        config: its configuration, given the port that it will have.
        options: further options of the program.
    """

    def __init__(self, program: Path, folder: Path, config: Callable[[int], str], *options: str) -> None:
        self._program, self._folder, self._config, self._options = program, folder, config, options
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    def __enter__(self) -> Prometheus:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def address(self) -> str:
        """Where it listens, as `host:port`."""
        return f"127.0.0.1:{self._port}"

    @property
    def log(self) -> str:
        """What it has said since it was started last."""
        return (self._folder / "prometheus.log").read_text(errors="replace")

    def start(self) -> None:
        """Start it and wait until it is ready."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for _ in range(_PORTS_TRIED):  # between finding a free port and listening on it, another process may take it
            self._port = self._port or _free_port()
            self._process = self._spawned()
            if self._comes_up(self._process):
                return
            assert "address already in use" in self.log, self.log
            self._port = 0
        raise AssertionError(f"none of {_PORTS_TRIED} ports was still free")

    def stop(self) -> None:
        """End it, as a service manager would."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def ask(self, path: str, **parameters: str) -> Any:
        """The `data` of an answer of the API."""
        status, body = self._get(f"/api/v1/{path}?{urllib.parse.urlencode(parameters)}")
        answer = json.loads(body)
        assert status == 200, answer
        return answer["data"]

    def is_ready(self) -> bool:
        """Whether it answers queries."""
        try:
            return self._get("/-/ready")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def targets(self) -> dict[str, str]:
        """The label `instance` of each active target, with its health: unknown, up or down."""
        return {target["labels"]["instance"]: target["health"] for target in self.ask("targets")["activeTargets"]}

    def last_error(self, job: str) -> str:
        """Why the last scrape of a job failed; empty if it did not."""
        return next((t["lastError"] for t in self.ask("targets")["activeTargets"] if t["labels"]["job"] == job), "")

    def by_run(self, metric: str) -> dict[str, float]:
        """The last value of a metric by the label `run`, also of targets that are gone; one series a run."""
        found = self.series(f"last_over_time({metric}[15m])")
        runs = {series["metric"]["run"]: float(series["value"][1]) for series in found}
        assert len(runs) == len(found), f"{metric} has several series a run"
        return runs

    def series(self, query: str) -> list[dict[str, Any]]:
        """What a query finds now: series with `metric`, their labels, and `value`, time and value as a text."""
        found: list[dict[str, Any]] = self.ask("query", query=query)["result"]
        return found

    def samples(self, selector: str) -> list[tuple[float, float]]:
        """Unix time and value of every sample of one series, of none if there is no such series."""
        found = self.ask("query", query=f"{selector}[15m]")["result"]
        assert len(found) <= 1, f"{selector} is several series"
        return [(at, float(value)) for series in found for at, value in series["values"]]

    def _get(self, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def _comes_up(self, process: subprocess.Popen[bytes]) -> bool:
        try:
            eventually(lambda: process.poll() is not None or self.is_ready(), what="the start of Prometheus")
        except BaseException:
            self.stop()
            raise
        return process.poll() is None

    def _spawned(self) -> subprocess.Popen[bytes]:
        config = self._folder / "prometheus.yml"
        config.write_text(self._config(self._port), encoding="utf-8")
        with (self._folder / "prometheus.log").open("wb") as log:
            return subprocess.Popen(
                [self._program, f"--config.file={config}", f"--storage.tsdb.path={self._folder / 'data'}",
                 f"--web.listen-address={self.address}", "--log.level=warn", *self._options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip


@contextmanager
def running(program: Path, folder: Path, scrape_configs: list[dict[str, Any]]) -> Iterator[Prometheus]:
    """Start Prometheus with these scrape configurations, everything of it in a folder; it is gone afterwards."""
    interval = {"scrape_interval": "1s", "scrape_timeout": "1s"}
    config = yaml.safe_dump({"global": interval, "scrape_configs": scrape_configs})
    with Prometheus(program, folder, lambda _: config) as prometheus:
        yield prometheus


def watching(folder: Path, *, job: str = "quantum", **options: Any) -> dict[str, Any]:
    """The scrape configuration of a discovery folder."""
    return {"job_name": job, "file_sd_configs": [{"files": [f"{folder}/*.json"], "refresh_interval": "1s"}], **options}


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
