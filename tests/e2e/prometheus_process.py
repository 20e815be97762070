"""A real Prometheus on loopback, for as long as a test needs it."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.server_process import ServerProcess

Labels = frozenset[tuple[str, str]]


class Prometheus(ServerProcess):
    """A Prometheus and its HTTP API.

    Args:
        program: the server's program.
        folder: where its configuration, storage and log go.
        config: its configuration, given the port that it will have.
        options: further options of the program.
    """

    def __init__(self, program: Path, folder: Path, config: Callable[[int], str], *options: str) -> None:
        super().__init__(folder)
        self._program, self._config, self._options = program, config, options

    def command(self) -> list[str | Path]:
        """Its command, and its configuration written anew for the port."""
        config = self._folder / "prometheus.yml"
        config.write_text(self._config(self._port), encoding="utf-8")
        return [
            self._program, f"--config.file={config}", f"--storage.tsdb.path={self._folder / 'data'}",
            f"--web.listen-address={self.address}", "--log.level=warn", *self._options,
        ]  # fmt: skip

    def ask(self, path: str, **parameters: str) -> Any:
        """The `data` of an answer of the API."""
        status, body = self.request("GET", f"/api/v1/{path}?{urllib.parse.urlencode(parameters)}")
        answer = json.loads(body)
        assert status == 200, answer
        return answer["data"]

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
