"""The part of IBM's service that qiskit-ibm-runtime asks for backends and jobs, on loopback."""

from __future__ import annotations

import base64
import json
import threading
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

BACKEND = "ibm_manila"
JOB = "d1abc0123456789"
_INSTANCE = "crn:v1:bluemix:public:quantum-computing:us-east:a/none:none::"
_API = "/experimental"  # an address that the package leaves as it is


class RuntimeService:
    """Answers by path.

    Attributes:
        answers: path below the API to what it answers.
    """

    def __init__(self) -> None:
        service = self
        self.answers: dict[str, Any] = {}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = urllib.parse.urlsplit(self.path).path
                answer = service.answers.get(path.removeprefix(_API))
                self._send(404 if answer is None else 200, answer or {"errors": [{"code": 1291, "message": "none"}]})

            def do_POST(self) -> None:  # a token, signed by nobody
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                until = int(time.time()) + 3600
                parts = {"alg": "HS256", "typ": "JWT"}, {"iat": until - 3600, "exp": until}
                encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
                token = ".".join([*encoded, "none"])
                self._send(200, {"access_token": token, "expires_in": 3600, "expiration": until})

            def _send(self, status: int, answer: Any) -> None:
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def serving(self, patch: pytest.MonkeyPatch) -> Iterator[RuntimeService]:
        """Serve, and be what the package asks."""
        patch.setenv("QISKIT_IBM_TOKEN", "none")
        patch.setenv("QISKIT_IBM_INSTANCE", _INSTANCE)
        patch.setenv("QISKIT_IBM_URL", self.url + _API)
        patch.setenv("IAM_URL", self.url)
        patch.setenv("QISKIT_FUNCTIONS_EXPERIMENTAL", "1")  # the instance is taken as given, not searched for
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()

    def job(self, status: str, **more: Any) -> None:
        """What is answered about the job from now on."""
        self.answers[f"/jobs/{JOB}"] = {
            "id": JOB,
            "backend": BACKEND,
            "program": {"id": "sampler"},
            "created": "2026-01-01T00:00:00.123456Z",
            "state": {"status": status, **more},
        }

    def metrics(self, **usage: Any) -> None:
        """What is answered about its times and its bill."""
        self.answers[f"/jobs/{JOB}/metrics"] = {
            "timestamps": {
                "created": "2026-01-01T00:00:00.123456Z",
                "running": "2026-01-01T01:00:00.123456789Z",
                "finished": "2026-01-01T01:00:12.123456Z",
            },
            "usage": usage,
        }
