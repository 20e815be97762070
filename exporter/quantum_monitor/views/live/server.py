"""The HTTP server of the live page: who may ask, and what a browser is told to allow."""

from __future__ import annotations

import errno
import ipaddress
import logging
import socket
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from quantum_monitor.extras import missing
from quantum_monitor.prometheus.discovery import target_address

if TYPE_CHECKING:
    from quantum_monitor.views.live.app import Page

HEALTHY = "/-/healthy"
PORT = 8050

_PORT_MAX = 65_535
_PORTS_TRIED = 100
_BACKLOG = 128
_SECONDS_OF_SILENCE = 60.0
_HEADERS = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Frame-Options", "DENY"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
_PICTURE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"

StartResponse = Callable[..., Any]
Application = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


class LiveServer:
    """The live page of a folder, served from `serve()` until `close()`.

    Args:
        folder: a storage folder, an experiment's folder or a run's directory; it may be empty.
        host: address to listen on; anything but loopback shows the runs to whoever reaches it.
        port: 0 to 65535; 0 takes any free port; a taken one makes it try the next 99.

    Attributes:
        url: where the page is.
        is_local: whether it listens on loopback.

    Raises:
        MissingExtraError: Dash is not installed.
        NotADirectoryError: the folder does not exist.
        ValueError: the port is out of range, or the address is not of this machine.
        OSError: none of the ports is free.
    """

    def __init__(self, folder: Path, *, host: str = "127.0.0.1", port: int = PORT) -> None:
        if not folder.is_dir():
            raise NotADirectoryError(f"{folder} is not a folder; give a storage folder, such as ./quantum_monitoring")
        page = _page(folder)
        from werkzeug.serving import WSGIRequestHandler, make_server

        class Handler(WSGIRequestHandler):  # type: ignore[misc]  # untyped, by the configuration
            """Says nothing of what it answers."""

            protocol_version = "HTTP/1.1"
            timeout = _SECONDS_OF_SILENCE  # each connection has a thread: one that says nothing gives it back

            def log(self, *_: Any) -> None:
                """A line for each request helps nobody."""

            def version_string(self) -> str:
                """What the header Server says: not which versions run here."""
                return "quantum-monitor"

        with _listening(host, port) as listener:
            address, self.port = listener.getsockname()[:2]
            self.is_local = ipaddress.ip_address(address.partition("%")[0]).is_loopback
            application = guarded(page.application, page.policy, _Names(host.lower(), self.is_local))
            self._server = make_server(
                address, self.port, application, threaded=True, request_handler=Handler, fd=listener.fileno()
            )
        self.url = f"http://{target_address('localhost' if host == 'localhost' else address, self.port)}/"
        logging.getLogger("werkzeug").setLevel(logging.ERROR)

    def serve(self) -> None:
        """Answer until `close` is called from another thread."""
        self._server.serve_forever(poll_interval=0.1)

    def close(self) -> None:
        """End `serve`, and free the port."""
        self._server.shutdown()
        self._server.server_close()


class _Names(NamedTuple):
    """Who may be meant by a ``Host`` header: the host that was asked for, addresses, this machine.

    A page on the internet can let a name of its own point to 127.0.0.1, and the browser would hand it our answers.
    """

    given: str
    is_local: bool

    def admit(self, header: str) -> bool:
        name = header.rpartition("]")[0].removeprefix("[") if header.startswith("[") else header.partition(":")[0]
        name = name.lower()
        if name in {self.given, "localhost"} or name.endswith(".localhost"):
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return not self.is_local and name == socket.gethostname().lower()
        return address.is_loopback or not self.is_local


def guarded(application: Application, policy: str, names: _Names) -> Application:
    """An application that answers only under these names, and tells browsers what to allow."""

    def answer(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if not names.admit(environ.get("HTTP_HOST", "")):
            sentence = b"This page answers to the address that it was started with, and to no other name.\n"
            return _say(start_response, "403 Forbidden", sentence)
        if environ.get("PATH_INFO") == HEALTHY:
            return _say(start_response, "200 OK", b"ok\n")

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            kind = next((value for name, value in headers if name.lower() == "content-type"), "")
            allowed = _PICTURE_POLICY if kind.startswith("image/svg") else policy
            return start_response(status, [*headers, *_HEADERS, ("Content-Security-Policy", allowed)], *rest)

        return application(environ, start)

    return answer


def _say(start_response: StartResponse, status: str, sentence: bytes) -> list[bytes]:
    length = ("Content-Length", str(len(sentence)))
    kind = ("Content-Type", "text/plain; charset=utf-8")
    start_response(status, [kind, ("Cache-Control", "no-store"), length, *_HEADERS])
    return [sentence]


def _page(folder: Path) -> Page:
    try:
        import dash  # noqa: F401 - to say in one sentence what is missing
    except ImportError as error:
        raise missing("live", "dash", "Live pages") from error
    from quantum_monitor.views.live.app import Page

    return Page(folder)


def _listening(host: str, port: int) -> socket.socket:
    """A socket that listens on the port, or on the next free one."""
    if not 0 <= port <= _PORT_MAX:
        raise ValueError(f"port: {port!r} is not a port; give 0 (any free one) to {_PORT_MAX}")
    try:
        found = socket.getaddrinfo(host or None, None, type=socket.SOCK_STREAM)
        # "localhost" may name ::1 first, and whoever types 127.0.0.1 would find nobody.
        family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    except (OSError, UnicodeError) as error:
        mend = "give an address of this machine, such as '127.0.0.1'"
        raise ValueError(f"host: {host!r} cannot be resolved ({error}); {mend}") from error
    for candidate in range(port, min(port + _PORTS_TRIED, _PORT_MAX + 1)):
        try:
            return socket.create_server((address[0], candidate), family=family, backlog=_BACKLOG)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or not port:
                told = f"the page cannot be served on {host!r}, port {candidate}: {error.strerror}"
                raise OSError(error.errno, told) from error
    told = f"port: {port} and the ports after it are taken on {host!r}; give another one, or 0 for any free one"
    raise OSError(errno.EADDRINUSE, told)
