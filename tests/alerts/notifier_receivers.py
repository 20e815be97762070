"""Receivers that misbehave as they are told: an HTTP server, and an SMTP server with TLS and a login."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from tests.alertmanager.receivers import Mailbox

HOSTILE = [
    "<b>bold</b><script>alert(1)</script>",
    "<!channel> <@U123> <https://evil.example|click>",
    "*bold* _italic_ `code` ~gone~",
    "a\r\nBcc: everybody@example.org\r\n\r\nbody",
    '{{ template "evil" . }} {{ .CommonLabels }} $value %s {0}',
    "x" * 10_000,
    "\N{GRINNING FACE}" * 10_000,
    "&" * 10_000,
    "\x00\x07\x1b[31m\u202egnp.exe\ud800",
    '"; drop table runs; --',
    "",
]


def an_alert(**changes: Any) -> dict[str, Any]:
    """A gradient that exploded a minute ago."""
    now = time.time()
    return {
        "type": "gradient_explosion",
        "severity": "high",
        "message": "gradient norm: 7200 is above 10",
        "timestamp": now,
        "value": 7200.0,
        "threshold": 10.0,
        "state": "firing",
        "labels": {"experiment": "h2", "run": "bond-0.74", "team": "x"},
        "started_at": now - 60.0,
        "duration": 60.0,
        **changes,
    }


def resolved(alert: dict[str, Any]) -> dict[str, Any]:
    """The end of an alert, now."""
    now = time.time()
    over = {"state": "resolved", "timestamp": now, "duration": now - alert["started_at"], "value": 0.5}
    return {**alert, **over, "message": "gradient norm: 0.5 is no longer above 10"}


@dataclass(frozen=True)
class Answer:
    """What the HTTP server does with a request: answer, or close the connection or say nothing (status 0)."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    hangs: bool = False


@dataclass
class Receiver:
    """An HTTP server that keeps what was posted.

    Attributes:
        url: its address, with a path that is a secret.
        answers: what it does with the next requests; afterwards it takes everything.
        requests: path, headers and body of each request.
    """

    url: str = ""
    answers: deque[Answer] = field(default_factory=deque)
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    @property
    def bodies(self) -> list[Any]:
        """What was posted, from JSON."""
        return [json.loads(body) for _, _, body in list(self.requests)]


@contextmanager
def http_receiver() -> Iterator[Receiver]:
    """A `Receiver` on a free port of loopback; it is gone afterwards."""
    receiver = Receiver()
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            receiver.requests.append((self.path, dict(self.headers), body))
            answer = receiver.answers.popleft() if receiver.answers else Answer()
            if answer.hangs:
                over.wait(60)
            if answer.status == 0 or answer.hangs:
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Keep the test's output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}/services/T0/B0/s3cret"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        over.set()
        server.shutdown()
        server.server_close()
        thread.join(10)


class _Controller(Controller):  # type: ignore[misc] # optional and untyped
    """Serves on any free port: the original knocks at the port it was given, even if that is 0."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@dataclass(frozen=True)
class Post:
    """An SMTP server and what it needs to be believed.

    Attributes:
        box: what arrived.
        port: on loopback, by the name `localhost`.
        authority: PEM file of the authority that signed its certificate.
        logins: the users that tried to log in.
    """

    box: Mailbox
    port: int
    authority: Path
    logins: list[bytes]


@contextmanager
def smtp_receiver(folder: Path, *, tls: str = "starttls", password: str | None = None) -> Iterator[Post]:
    """An SMTP server on a free port of loopback, gone afterwards.

    Args:
        folder: where the certificate goes.
        tls: `starttls` (required before anything else), `implicit` or `none`.
        password: of the user `monitor`; None asks for no login.
    """
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    file = folder / "authority.pem"
    authority.cert_pem.write_to_path(file)

    logins: list[bytes] = []

    def admit(_server: Any, _session: Any, _envelope: Any, _mechanism: str, given: LoginPassword) -> AuthResult:
        logins.append(given.login)
        right = given.login == b"monitor" and given.password == (password or "").encode()
        return AuthResult(success=right, handled=False)

    options: dict[str, Any] = {"hostname": "127.0.0.1", "port": 0, "ready_timeout": 30, "server_hostname": "localhost"}
    if password is not None:
        # aiosmtpd takes a connection that is encrypted from the start for a plain one.
        encrypted = {"auth_required": True} if tls == "starttls" else {"auth_require_tls": False}
        options |= {"authenticator": admit, **encrypted}
    if tls == "starttls":
        options |= {"tls_context": context, "require_starttls": True}
    if tls == "implicit":
        options |= {"ssl_context": context}
    box = Mailbox()
    controller = _Controller(box, **options)
    controller.start()
    try:
        yield Post(box, controller.port, file, logins)
    finally:
        controller.stop()
