"""HTTP/1.1 on one socket: request heads read against a deadline, answers written against a deadline.

``http.server`` sets a timeout on each ``recv`` only, so a client that sends a byte now and then holds its thread for
ever. Here the whole head has one deadline, and so has the whole answer.
"""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate
from enum import IntEnum
from http import HTTPStatus
from urllib.parse import urlsplit

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_FORBIDDEN_IN_VALUE = re.compile(r"[\x00\r\n]")
_HEAD_END = b"\r\n\r\n"
_DRAIN_SECONDS = 1.0
_DRAIN_BYTES = 1 << 20
# Metrics are data, for the eyes of whoever asked: never sniffed, stored, framed or embedded elsewhere.
_ALWAYS = (
    "X-Content-Type-Options: nosniff\r\n"
    "Cache-Control: no-store\r\n"
    "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'\r\n"
    "Cross-Origin-Resource-Policy: same-origin\r\n"
    "Referrer-Policy: no-referrer\r\n"
)


class RequestError(Exception):
    """A request that is answered with an error status, after which the connection is closed."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


class Phase(IntEnum):
    """What a connection is busy with, in the order in which connections are given up when there are too many."""

    WAITING = 0
    WRITING = 1
    RENDERING = 2


@dataclass(frozen=True)
class Request:
    """The head of a request; header names in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    keep_alive: bool


@dataclass(frozen=True)
class Response:
    """What is sent back; length, date and security headers are added on the way out."""

    status: HTTPStatus
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def encode(self, *, head_only: bool, keep_alive: bool) -> bytes:
        """Return the bytes to send."""
        lines = [f"HTTP/1.1 {self.status.value} {self.status.phrase}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        lines += [f"Content-Length: {len(self.body)}", f"Date: {formatdate(usegmt=True)}"]
        if not keep_alive:
            lines.append("Connection: close")
        head = ("\r\n".join(lines) + "\r\n" + _ALWAYS + "\r\n").encode("latin-1")
        return head if head_only else head + self.body


class Connection:
    """A client's socket, what it is busy with, and since when (monotonic seconds)."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.phase = Phase.WAITING
        self.since = time.monotonic()
        self._received = bytearray()

    def read_head(self, *, first: float, whole: float, at_most: int) -> bytes | None:
        """Return the next request head, or None when the client has gone.

        Args:
            first: seconds to wait for the first byte.
            whole: seconds from the first byte to the last.
            at_most: bytes.

        Raises:
            RequestError: the head is longer than ``at_most``.
            OSError: the deadline has passed, or the connection broke.
        """
        deadline = time.monotonic() + (whole if self._received else first)
        while (end := self._received.find(_HEAD_END)) < 0 and len(self._received) <= at_most:
            received = self._receive(deadline)
            if not received:
                return None
            if not self._received:
                deadline = min(deadline, time.monotonic() + whole)
            self._received += received
        if not 0 <= end <= at_most:
            raise RequestError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        head = bytes(self._received[:end])
        del self._received[: end + len(_HEAD_END)]
        return head

    def send(self, data: bytes, *, seconds: float) -> None:
        """Send all of it within so many seconds, or raise OSError."""
        deadline = time.monotonic() + seconds
        view = memoryview(data)
        while view:
            self._set_timeout(deadline)
            view = view[self.socket.send(view) :]

    def drain(self) -> None:
        """Say that nothing more will be sent and read what is still on its way, for a moment.

        Closing a socket with unread bytes resets the connection, and the client would lose the answer.
        """
        deadline, left = time.monotonic() + _DRAIN_SECONDS, _DRAIN_BYTES
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.socket, socket.SHUT_WR)
            while left > 0 and (received := self._receive(deadline)):
                left -= len(received)

    def interrupt(self) -> None:
        """Wake whoever waits on this connection; called from another thread.

        The base class's method, because the one of ``SSLSocket`` takes away the TLS state that the other thread uses.
        """
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.socket, socket.SHUT_RDWR)

    def _receive(self, deadline: float) -> bytes:
        self._set_timeout(deadline)
        return self.socket.recv(8192)

    def _set_timeout(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.socket.settimeout(left)


def parse_head(head: bytes) -> Request:
    """Parse a request head.

    Raises:
        RequestError: what was received is not a well-formed HTTP/1.0 or 1.1 request.
    """
    start, *lines = head.decode("latin-1").lstrip("\r\n").split("\r\n")
    words = start.split(" ")
    if len(words) != 3 or not _NAME.fullmatch(words[0]):
        raise RequestError(HTTPStatus.BAD_REQUEST)
    method, target, version = words
    if version not in ("HTTP/1.0", "HTTP/1.1"):
        raise RequestError(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
    headers = _parse_headers(lines)
    if version == "HTTP/1.1" and "host" not in headers:
        raise RequestError(HTTPStatus.BAD_REQUEST)
    path, query = _parse_target(target)
    # Bodies are never read: after a request that announces one, nothing on the connection can be trusted.
    has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
    closes = "close" in headers.get("connection", "").lower()
    return Request(method, path, query, headers, keep_alive=version == "HTTP/1.1" and not closes and not has_body)


def _parse_headers(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not _NAME.fullmatch(name) or _FORBIDDEN_IN_VALUE.search(value):
            raise RequestError(HTTPStatus.BAD_REQUEST)
        name, value = name.lower(), value.strip(" \t")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _parse_target(target: str) -> tuple[str, str]:
    if target.startswith("/"):
        path, _, query = target.partition("?")
        return path, query
    try:
        parts = urlsplit(target)  # the absolute form, as proxies send it
    except ValueError:
        raise RequestError(HTTPStatus.BAD_REQUEST) from None
    if parts.scheme not in ("http", "https"):
        raise RequestError(HTTPStatus.BAD_REQUEST)
    return parts.path or "/", parts.query
