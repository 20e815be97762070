"""Those who are told, on loopback: an HTTP server for webhooks such as Slack's, and an SMTP server."""

from __future__ import annotations

import email
import email.policy
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.alerts.slack_contract import check_slack_payload


@dataclass(frozen=True)
class Request:
    """One POST: its path, its headers (names in lower case) and its body."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass
class Webhook:
    """A local HTTP server that records every POST and answers it as Slack does.

    Attributes:
        url: its address, without a path.
        status: what it answers from now on; 200 comes with the body `ok`.
    """

    url: str
    status: int = 200
    _received: list[Request] = field(default_factory=list)

    def received(self, path: str = "/") -> list[Request]:
        """What was posted to addresses that begin with `path`, oldest first."""
        return [request for request in list(self._received) if request.path.startswith(path)]

    def record(self, request: Request) -> None:
        """Remember a request."""
        self._received.append(request)


@contextmanager
def webhook() -> Iterator[Webhook]:
    """A `Webhook` on a free port of loopback; it is gone afterwards."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            sink.record(Request(self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            answer = b"ok" if sink.status == 200 else b"no"
            self.send_response(sink.status)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
            """Keep the test's output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    sink = Webhook(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="webhook", daemon=True)
    thread.start()
    try:
        yield sink
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


class Mailbox:
    """A local SMTP server, without TLS and password, that keeps every message.

    Attributes:
        smarthost: its address, as `host:port`.
    """

    def __init__(self) -> None:
        self.smarthost = ""
        self._messages: list[EmailMessage] = []

    def messages(self) -> list[EmailMessage]:
        """What arrived, oldest first, with encoded headers decoded."""
        return list(self._messages)

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        """Keep a message (called by aiosmtpd)."""
        content = envelope.original_content or b""
        self._messages.append(email.message_from_bytes(content, policy=email.policy.default))
        return "250 OK"


class _Controller(Controller):  # type: ignore[misc] # optional and untyped
    """Serves on any free port: the original knocks at the port it was given, even if that is 0."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@contextmanager
def mailbox() -> Iterator[Mailbox]:
    """A `Mailbox` on a free port of loopback; it is gone afterwards."""
    box = Mailbox()
    controller = _Controller(box, hostname="127.0.0.1", port=0, server_hostname="localhost", ready_timeout=30)
    controller.start()
    box.smarthost = f"127.0.0.1:{controller.port}"
    try:
        yield box
    finally:
        controller.stop()


def part(message: EmailMessage, kind: str) -> str:
    """The text (`plain`) or the HTML (`html`) of a message."""
    found = message.get_body((kind,))
    assert found is not None, f"the message has no {kind} part"
    return str(found.get_content())


def check_slack(payload: dict[str, Any]) -> None:
    """Assert that Slack takes what Alertmanager sends. An address is no text: there an `&` stays as it is."""
    (attachment,) = payload["attachments"]
    assert re.fullmatch(r"https?://[^\s<>]+", attachment["title_link"])
    check_slack_payload({**payload, "attachments": [{k: v for k, v in attachment.items() if k != "title_link"}]})
