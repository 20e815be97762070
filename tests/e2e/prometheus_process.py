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
    """The HTTP API of a running Prometheus."""

    def __init__(self, port: int) -> None:
        self._port = port

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
        found = self.ask("query", query=f"last_over_time({metric}[15m])")["result"]
        runs = {series["metric"]["run"]: float(series["value"][1]) for series in found}
        assert len(runs) == len(found), f"{metric} has several series a run"
        return runs

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


@contextmanager
def running(program: Path, folder: Path, scrape_configs: list[dict[str, Any]]) -> Iterator[Prometheus]:
    """Start Prometheus with its configuration, storage and log in a folder; it is gone afterwards."""
    interval = {"scrape_interval": "1s", "scrape_timeout": "1s"}
    folder.mkdir(parents=True)
    (folder / "prometheus.yml").write_text(yaml.safe_dump({"global": interval, "scrape_configs": scrape_configs}))
    process, prometheus = _started(program, folder)
    try:
        yield prometheus
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def watching(folder: Path, *, job: str = "quantum", **options: Any) -> dict[str, Any]:
    """The scrape configuration of a discovery folder."""
    return {"job_name": job, "file_sd_configs": [{"files": [f"{folder}/*.json"], "refresh_interval": "1s"}], **options}


def _started(program: Path, folder: Path) -> tuple[subprocess.Popen[bytes], Prometheus]:
    for _ in range(_PORTS_TRIED):  # between finding a free port and listening on it, another process may take it
        port = _free_port()
        log = folder / f"{port}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [program, f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}",
                 f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"],
                stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
            )  # fmt: skip
        prometheus = Prometheus(port)
        try:
            _wait_for_start(process, prometheus)
        except BaseException:
            process.kill()
            process.wait()
            raise
        if process.poll() is None:
            return process, prometheus
        told = log.read_text(errors="replace")
        assert "address already in use" in told, told
    raise AssertionError(f"none of {_PORTS_TRIED} ports was still free")


def _wait_for_start(process: subprocess.Popen[bytes], prometheus: Prometheus) -> None:
    eventually(lambda: process.poll() is not None or prometheus.is_ready(), what="the start of Prometheus")


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
