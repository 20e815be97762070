"""A port before a real server, where requests reach it, get lost on the way, or are answered by something else."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable, Mapping
from typing import NamedTuple

_PATIENCE = 60.0  # seconds for anything on loopback


class Request(NamedTuple):
    """A request at a door.

    Attributes:
        head: its first line and headers.
        body: its body.
        client: where to answer.
        over: set when the door behaves otherwise from now on.
    """

    head: bytes
    body: bytes
    client: socket.socket
    over: threading.Event

    @property
    def path(self) -> str:
        """What it asks for."""
        return self.head.split(b" ", 2)[1].decode()


Behaviour = Callable[["Door", Request], None]


class Door:
    """Listens on a port of its own, and treats each request as the behaviour of the hour says.

    Args:
        behind: the ``host:port`` of the real server.
    """

    def __init__(self, behind: str) -> None:
        self._behind = behind
        self._place = _bound(0)  # never listens: the port stays ours, and refuses, while nobody else does
        self.port: int = self._place.getsockname()[1]
        self.seen: list[Request] = []
        self._over = threading.Event()
        self._behaviour: Behaviour | None = None
        self._listening: socket.socket | None = None
        self.become(forward)

    @property
    def uri(self) -> str:
        """The tracking URI that leads through this door."""
        return f"http://127.0.0.1:{self.port}"

    def become(self, behaviour: Behaviour | None) -> None:
        """Behave like this from now on, as a server that was restarted: whoever waits is cut off; None refuses."""
        over, self._over = self._over, threading.Event()
        self._behaviour = behaviour
        over.set()
        if behaviour is None and self._listening is not None:
            self._listening.shutdown(socket.SHUT_RDWR)
            self._listening.close()
            self._listening = None
        elif behaviour is not None and self._listening is None:
            self._listening = _bound(self.port)
            self._listening.listen()
            threading.Thread(target=self._serve, args=(self._listening,), daemon=True).start()

    def close(self) -> None:
        """Be a door no longer."""
        self.become(None)
        self._place.close()

    def ask(self, request: Request) -> bytes:
        """What the real server answers."""
        host, port = self._behind.split(":")
        head = re.sub(rb"(?im)^connection:.*\r\n", b"", request.head)
        with socket.create_connection((host, int(port)), _PATIENCE) as server:
            server.sendall(head[:-2] + b"Connection: close\r\n\r\n" + request.body)
            answer = b""
            while piece := server.recv(65_536):
                answer += piece
        return answer

    def _serve(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):  # it has been closed
            while True:
                client, _ = listening.accept()
                threading.Thread(target=self._treat, args=(client,), daemon=True).start()

    def _treat(self, client: socket.socket) -> None:
        behaviour, over = self._behaviour, self._over
        with client, contextlib.suppress(OSError):
            client.settimeout(_PATIENCE)
            request = _read(client, over)
            if request is not None and behaviour is not None:
                self.seen.append(request)
                behaviour(self, request)


def _bound(port: int) -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("127.0.0.1", port))
    return made


def _read(client: socket.socket, over: threading.Event) -> Request | None:
    received = b""
    while b"\r\n\r\n" not in received:
        if not (piece := client.recv(65_536)):
            return None
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    while len(body) < int(length[1] if length else 0):
        if not (piece := client.recv(65_536)):
            return None
        body += piece
    return Request(head + b"\r\n\r\n", body, client, over)


# Behaviours


def forward(door: Door, request: Request) -> None:
    """Bring it to the real server, and its answer back."""
    request.client.sendall(door.ask(request))


def lose_the_answer(door: Door, request: Request) -> None:
    """Bring it to the real server, and hang up when that has done it."""
    door.ask(request)


def hang(_: Door, request: Request) -> None:
    """Never answer."""
    request.over.wait(_PATIENCE)


def drip(_: Door, request: Request) -> None:
    """Answer a byte a second."""
    for byte in b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}":
        request.client.sendall(bytes([byte]))
        if request.over.wait(1):
            return


def answer(status: int, content: bytes, headers: Mapping[str, str] | None = None) -> Behaviour:
    """Answer this to everything."""
    lines = {"Content-Length": str(len(content)), "Connection": "close", "Content-Type": "text/html", **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())

    def say(_: Door, request: Request) -> None:
        request.client.sendall(f"HTTP/1.1 {status} So\r\n{head}\r\n".encode() + content)

    return say


def unless(holds: Callable[[Request], object], otherwise: Behaviour, then: Behaviour = forward) -> Behaviour:
    """Treat a request one way, unless something holds for it."""

    def choose(door: Door, request: Request) -> None:
        (otherwise if holds(request) else then)(door, request)

    return choose
