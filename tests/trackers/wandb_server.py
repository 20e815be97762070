"""A server with as much of W&B's interface as a run needs, on loopback, that can be told to misbehave."""

from __future__ import annotations

import base64
import gzip
import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ENTITY = "somebody"


class FakeWandb(ThreadingHTTPServer):
    """What it was told stays with it.

    Attributes:
        misbehaviour: empty, ``500``, ``401``, ``garbage`` or ``hang``.
        refused: which paths it misbehaves at; all of them if empty.
        rows: the history lines of each run, by their place.
        runs: the last variables of each run's `UpsertBucket`.
        endings: the exit codes, in order.
        keys: the keys it was shown.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.misbehaviour = ""
        self.refused = ""
        self.rows: defaultdict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
        self.runs: dict[str, dict[str, Any]] = {}
        self.endings: list[int] = []
        self.alerts: list[dict[str, Any]] = []
        self.keys: set[str] = set()
        self.operations: list[str] = []
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def history(self, run: str) -> list[dict[str, Any]]:
        return [line for _, line in sorted(self.rows[run].items())]

    def answer(self, operation: str, variables: dict[str, Any]) -> Any:
        """The data of a GraphQL operation."""
        if operation == "UpsertBucket":
            name = variables.get("name") or variables["id"]
            known = self.runs.setdefault(name, {})
            inserted = not known
            known.update({key: value for key, value in variables.items() if value is not None})
            project = {"name": known.get("project", "p"), "entity": {"id": "1", "name": ENTITY}, "id": "1"}
            bucket = {
                "id": name,
                "name": name,
                "displayName": known.get("displayName", name),
                "description": "",
                "config": known.get("config", "{}"),
                "sweepName": None,
                "project": project,
                "historyLineCount": len(self.rows[name]),
            }
            return {"upsertBucket": {"bucket": bucket, "inserted": inserted}}
        if operation == "RunResumeStatus":
            return {
                "model": {"id": "1", "name": "p", "entity": {"id": "1", "name": ENTITY}, "bucket": self._run(variables)}
            }
        if operation == "Viewer":
            teams: dict[str, Any] = {"edges": []}
            return {
                "viewer": {"id": "1", "entity": ENTITY, "username": ENTITY, "flags": "{}", "teams": teams, "email": ""}
            }
        if operation == "ServerFeaturesQuery":
            return {"serverInfo": {"features": []}}
        if operation == "NotifyScriptableRunAlert":
            self.alerts.append(variables)
            return {"notifyScriptableRunAlert": {"success": True}}
        return None

    def _run(self, variables: dict[str, Any]) -> dict[str, Any] | None:
        name = variables["name"]
        if name not in self.runs:
            return None
        lines = self.history(name)
        return {
            "id": name,
            "name": name,
            "summaryMetrics": "{}",
            "displayName": name,
            "logLineCount": 0,
            "historyLineCount": len(lines),
            "eventsLineCount": 0,
            "historyTail": json.dumps([json.dumps(line) for line in lines[-1:]]),
            "eventsTail": "[]",
            "config": self.runs[name].get("config", "{}"),
            "tags": self.runs[name].get("tags") or [],
            "wandbConfig": json.dumps({"t": {"1": 1}}),
        }

    def stream(self, run: str, body: dict[str, Any]) -> None:
        """A piece of a run's files."""
        history = body.get("files", {}).get("wandb-history.jsonl")
        if history:
            for place, line in enumerate(history["content"], history["offset"]):
                self.rows[run][place] = json.loads(line)
        if "exitcode" in body:
            self.endings.append(body["exitcode"])


class _Handler(BaseHTTPRequestHandler):
    server: FakeWandb
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        scheme, _, secret = self.headers.get("Authorization", "").partition(" ")
        if scheme == "Basic":
            self.server.keys.add(base64.b64decode(secret).decode().partition(":")[2])
        if self.server.misbehaviour and self.server.refused in self.path:
            self._misbehave()
            return
        if self.path.startswith("/graphql"):
            asked = json.loads(body)
            operation = asked.get("operationName") or asked["query"].split("(")[0].split("{")[0].split()[-1]
            self.server.operations.append(operation)
            data = self.server.answer(operation, asked.get("variables") or {})
            said = {"data": data} if data else {"errors": [{"message": f"no {operation} here"}]}
            self._say(200, json.dumps(said).encode())
        else:
            run = self.path.split("/")[-2]
            self.server.stream(run, json.loads(body))
            self._say(200, b'{"limits": {}}')

    do_GET = do_PUT = do_POST  # noqa: N815 - the base class looks for these names

    def _misbehave(self) -> None:
        if self.server.misbehaviour == "hang":
            self.server.closing.wait()
            self.close_connection = True
        elif self.server.misbehaviour == "garbage":
            self._say(200, b"\x00\xff<html>")
        else:
            self._say(int(self.server.misbehaviour), b'{"errors": [{"message": "no"}]}')

    def _say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def fake_wandb() -> Iterator[FakeWandb]:
    """A server for the length of a block."""
    with FakeWandb() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            server.shutdown()
            thread.join()
