"""The metrics endpoint: a small threaded HTTP server that a slow or hostile client cannot keep from being scraped."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from prometheus_client.registry import Collector

from quantum_monitor.faults import FAULTS
from quantum_monitor.log import LOG
from quantum_monitor.prometheus.access import BasicAuth, Tls
from quantum_monitor.prometheus.collector import SCRAPE_THREAD
from quantum_monitor.prometheus.connections import ConnectionTable
from quantum_monitor.prometheus.discovery import target_address
from quantum_monitor.prometheus.exposition import expose, names_in
from quantum_monitor.prometheus.index_page import index_page
from quantum_monitor.prometheus.listener import listen
from quantum_monitor.prometheus.wire import Connection, Phase, Request, RequestError, Response, parse_head

__all__ = ["BasicAuth", "Limits", "MetricsServer", "Tls"]

_TEXT = ("Content-Type", "text/plain; charset=utf-8")
_HTML = ("Content-Type", "text/html; charset=utf-8")
_CHALLENGE = ("WWW-Authenticate", 'Basic realm="metrics", charset="UTF-8"')
_CLOSE_GRACE_SECONDS = 1.0


@dataclass(frozen=True)
class Limits:
    """What one client, or all of them together, may take.

    Attributes:
        connections: held at the same time; one more, and the one that has waited longest without a request is closed.
        head_seconds: from connecting (TLS handshake included) or from a request's first byte to the end of its head.
        head_bytes: length of a request head.
        idle_seconds: between two requests of a connection; above the usual scrape intervals, so that it stays open.
        write_seconds: for taking a whole answer.
    """

    connections: int = 64
    head_seconds: float = 10.0
    head_bytes: int = 16_384
    idle_seconds: float = 90.0
    write_seconds: float = 30.0


class MetricsServer:
    """Serves ``/metrics``, ``/-/healthy`` and an index page from construction until ``close()``.

    With ``basic_auth`` only ``/-/healthy`` stays open. Over plain HTTP on an address that is not loopback, basic
    authentication is allowed, with a warning: behind a TLS proxy or on a closed container network it is better than
    none. A server on loopback answers only requests whose ``Host`` is an address, ``localhost`` or this machine's
    name, so that a web page cannot reach it through a name of its own that it lets point to 127.0.0.1.

    In a forked child the server is gone and its sockets are closed; the parent's server does not notice.

    Args:
        registry: a ``CollectorRegistry``, or anything with ``collect()``.
        addr: address or host name to listen on; ``0.0.0.0`` and ``::`` are every interface.
        port: 0 to 65535; 0 takes any free port; a taken one makes the server try the next 99.
        tls: certificate files; None serves plain HTTP.
        basic_auth: user and password; None asks for none.
        on_scrape: called with the monotonic time at which rendering began, after a whole ``/metrics`` answer with
            status 200 was handed to the operating system.
        about: called for the index page; names and texts to show there (they are escaped).
        limits: bounds on clients.

    Attributes:
        addr: the address that is listened on.
        port: the port that is listened on.
        scheme: ``http`` or ``https``.
        closed: True after ``close()``, and in a forked child.

    Raises:
        ValueError: the port is out of range, the address is not of this machine, a TLS file cannot be used.
        OSError: none of the ports is free.
    """

    def __init__(
        self,
        registry: Collector,
        *,
        addr: str = "127.0.0.1",
        port: int = 9888,
        tls: Tls | None = None,
        basic_auth: BasicAuth | None = None,
        on_scrape: Callable[[float], None] | None = None,
        about: Callable[[], Mapping[str, str]] | None = None,
        limits: Limits = Limits(),
    ) -> None:
        self._registry = registry
        self._basic_auth = basic_auth
        self._on_scrape = on_scrape
        self._about = about
        self._limits = limits
        self._tls = tls.context() if tls else None
        self._listener = listen(addr, port)
        self.addr, self.port = self._listener.getsockname()[:2]
        self.scheme = "https" if tls else "http"
        self.closed = False
        self._is_loopback = _is_loopback(self.addr)
        self._connections = ConnectionTable(limits.connections)
        self._wake_reader, self._wake_writer = socket.socketpair()
        if basic_auth and not tls and not self._is_loopback:
            LOG.warning(
                "basic_auth on %s without tls: the password can be read on the way; give tls, or listen on 127.0.0.1",
                self.addr,
            )
        self._thread = threading.Thread(target=self._accept_until_closed, name="quantum-monitor-server", daemon=True)
        _LIVE.add(self)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where the metrics are, such as ``http://127.0.0.1:9888/metrics``."""
        return f"{self.scheme}://{target_address(self.addr, self.port)}/metrics"

    def close(self) -> None:
        """Free the port; an answer under way has a second to get through. A second call is harmless."""
        if self.closed:
            return
        self.closed = True
        _LIVE.discard(self)
        self._wake_writer.send(b"x")
        self._thread.join(_CLOSE_GRACE_SECONDS)
        for sock in (self._listener, self._wake_reader, self._wake_writer):
            sock.close()
        self._connections.finish(_CLOSE_GRACE_SECONDS)

    def _vanish_after_fork(self) -> None:
        # Closed, never shut down: shutting down would act on the connections that the parent still uses.
        self.closed = True
        for sock in (self._listener, self._wake_reader, self._wake_writer, *self._connections.sockets_after_fork()):
            sock.close()

    def _accept_until_closed(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._wake_reader, selectors.EVENT_READ)
            while not self.closed:
                if any(key.fileobj is self._listener for key, _ in selector.select()) and not self.closed:
                    self._accept()

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except (BlockingIOError, ConnectionError):
            return  # the client has gone again
        except OSError as error:
            # Out of file descriptors: the listener stays readable, so give others time to close some.
            FAULTS.rejected("server", error)
            self._connections.give_up_one()
            time.sleep(0.1)
            return
        try:
            self._begin(sock)
        except OSError:
            sock.close()  # the client has gone again

    def _begin(self, sock: socket.socket) -> None:
        """Give a new client a thread of its own; no bytes are exchanged in this one, not even a TLS handshake."""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(self._limits.head_seconds)
        if self._tls:
            sock = self._tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        connection = Connection(sock)
        if not self._connections.admit(connection):
            FAULTS.rejected("server", f"a client was turned away: {self._limits.connections} are being answered")
            sock.close()
            return
        worker = threading.Thread(target=self._serve, args=(connection,), name=SCRAPE_THREAD, daemon=True)
        try:
            worker.start()
        except RuntimeError as error:  # no more threads
            FAULTS.rejected("server", error)
            self._connections.remove(connection)
            sock.close()

    def _serve(self, connection: Connection) -> None:
        try:
            if isinstance(connection.socket, ssl.SSLSocket):
                connection.socket.do_handshake()  # its timeout is that of the socket, for the whole of it
            self._answer_requests(connection)
        except OSError:
            pass  # the client has gone, was too slow, or does not speak TLS: nothing of ours is wrong
        except Exception as error:  # noqa: BLE001 - counted; the server goes on
            FAULTS.internal("server", error)
        finally:
            self._connections.remove(connection)
            connection.socket.close()

    def _answer_requests(self, connection: Connection) -> None:
        limits = self._limits
        first = limits.head_seconds - (time.monotonic() - connection.since)
        while not self.closed:
            try:
                head = connection.read_head(first=first, whole=limits.head_seconds, at_most=limits.head_bytes)
                if head is None:
                    return
                request = parse_head(head)
            except RequestError as error:
                self._send(connection, _plain(error.status), head_only=False, keep_alive=False)
                return
            self._connections.enter(connection, Phase.RENDERING)
            started = time.monotonic()
            response = self._respond(request)
            keep_alive = request.keep_alive and not self.closed
            self._send(connection, response, head_only=request.method == "HEAD", keep_alive=keep_alive)
            if request.path == "/metrics" and request.method == "GET" and response.status is HTTPStatus.OK:
                self._note_scrape(started)
            if not keep_alive:
                return
            self._connections.enter(connection, Phase.WAITING)
            first = limits.idle_seconds

    def _send(self, connection: Connection, response: Response, *, head_only: bool, keep_alive: bool) -> None:
        self._connections.enter(connection, Phase.WRITING)
        data = response.encode(head_only=head_only, keep_alive=keep_alive)
        connection.send(data, seconds=self._limits.write_seconds)
        if not keep_alive:
            connection.drain()

    def _respond(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            return _plain(HTTPStatus.METHOD_NOT_ALLOWED, ("Allow", "GET, HEAD"))
        if self._is_loopback and not _is_local_name(request.headers.get("host", "")):
            return _plain(HTTPStatus.MISDIRECTED_REQUEST)
        if request.path == "/-/healthy":
            return Response(HTTPStatus.OK, (_TEXT,), b"ok\n")
        if self._basic_auth and not self._basic_auth.admits(request.headers.get("authorization", "")):
            return _plain(HTTPStatus.UNAUTHORIZED, _CHALLENGE)
        page = {"/metrics": self._metrics, "/": self._index}.get(request.path)
        return page(request) if page else _plain(HTTPStatus.NOT_FOUND)

    def _metrics(self, request: Request) -> Response:
        headers, body = expose(
            self._registry,
            accept=request.headers.get("accept", ""),
            accept_encoding=request.headers.get("accept-encoding", ""),
            names=names_in(request.query),
        )
        return Response(HTTPStatus.OK, tuple(headers), body)

    def _index(self, _: Request) -> Response:
        try:
            about = self._about() if self._about else {}
        except Exception as error:  # noqa: BLE001 - the page without its table
            FAULTS.internal("index", error)
            about = {}
        return Response(HTTPStatus.OK, (_HTML,), index_page(about))

    def _note_scrape(self, started: float) -> None:
        if self._on_scrape is None:
            return
        try:
            self._on_scrape(started)
        except Exception as error:  # noqa: BLE001 - the scraper has its answer
            FAULTS.internal("on_scrape", error)


def _plain(status: HTTPStatus, *headers: tuple[str, str]) -> Response:
    return Response(status, (_TEXT, *headers), f"{status.phrase}\n".encode())


def _is_loopback(addr: str) -> bool:
    return ipaddress.ip_address(addr.partition("%")[0]).is_loopback


def _is_local_name(host: str) -> bool:
    """Tell whether a ``Host`` header is an address or a name that no stranger can register."""
    name = host.rpartition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]
    name = name.lower()
    if "." not in name or name.endswith((".localhost", ".internal")) or name == socket.gethostname().lower():
        return True
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(name)
        return True
    return False


_LIVE: set[MetricsServer] = set()


def _leave_to_parent() -> None:
    for server in list(_LIVE):
        server._vanish_after_fork()
    _LIVE.clear()


os.register_at_fork(after_in_child=_leave_to_parent)
