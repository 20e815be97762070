"""A real MLflow tracking server on SQLite."""

from __future__ import annotations

import http.client
import sqlite3
import sys
from pathlib import Path
from typing import Any

import psutil

from tests.server_process import ServerProcess

# Nothing leaves loopback, and no processes beside the one that serves.
_ENVIRONMENT = ("MLFLOW_DISABLE_TELEMETRY=true", "DO_NOT_TRACK=true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false")


class MlflowServer(ServerProcess):
    """``mlflow server`` with one worker; `database` can be read while it runs."""

    def command(self) -> list[str | Path]:
        host, port = self.address.split(":")
        return [
            "env",
            *_ENVIRONMENT,
            sys.executable,
            *("-m", "mlflow", "server", "--host", host, "--port", port, "--workers", "1"),
            *("--uvicorn-opts", "--log-level warning"),
            *("--backend-store-uri", f"sqlite:///{self.database}"),
            *("--artifacts-destination", self._folder / "artifacts"),
        ]

    def kill(self) -> None:
        """End it with SIGKILL, the process that serves included."""
        assert self._process is not None
        starter = psutil.Process(self._process.pid)
        for process in [starter, *starter.children(recursive=True)]:
            process.kill()
        self._process.wait()
        self._process = None

    def is_ready(self) -> bool:
        try:
            return self.request("GET", "/health") == (200, b"OK")
        except (OSError, http.client.HTTPException):
            return False

    @property
    def uri(self) -> str:
        """Its tracking URI."""
        return f"http://{self.address}"

    @property
    def database(self) -> Path:
        """The SQLite file that holds what it was told."""
        return self._folder / "mlflow.db"

    def select(self, query: str, *values: Any) -> list[Any]:
        """What the database answers."""
        return select(self.database, query, *values)


def select(database: Path, query: str, *values: Any) -> list[Any]:
    """What an SQLite file answers to a query."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        return connection.execute(query, values).fetchall()
    finally:
        connection.close()
