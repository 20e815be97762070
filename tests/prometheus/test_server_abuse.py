"""A scrape gets in whatever other clients do, and malformed requests are answered or dropped."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Gauge

from quantum_monitor.prometheus.server import Limits, MetricsServer, Tls

Ask = Callable[..., tuple[http.client.HTTPResponse, bytes]]
Clients = Callable[[MetricsServer], socket.socket]
Serve = Callable[..., MetricsServer]

GET = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"


def is_closed(sock: socket.socket) -> bool:
    """Tell whether the server has closed this connection, without waiting."""
    sock.setblocking(False)
    try:
        return sock.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def answer_to(sock: socket.socket, data: bytes) -> bytes:
    sock.sendall(data)
    received = b""
    while chunk := sock.recv(65_536):
        received += chunk
    return received


def test_a_client_that_drips_its_request_is_closed_while_scrapes_go_on(
    serve: Serve, ask: Ask, clients: Clients, eventually: Callable[..., None]
) -> None:
    server = serve(limits=Limits(head_seconds=0.5))
    slow = clients(server)

    def drip() -> bool:
        try:
            slow.sendall(b"X")
        except ConnectionError:
            return True
        assert ask(server)[0].status == 200
        return is_closed(slow)

    slow.sendall(b"GET /metrics HTTP/1.1\r\nX-Slow: ")
    eventually(drip)


def test_a_client_that_says_nothing_is_closed(serve: Serve, clients: Clients, eventually: Callable[..., None]) -> None:
    silent = clients(serve(limits=Limits(head_seconds=0.2)))
    eventually(lambda: is_closed(silent))


def test_a_client_that_stays_idle_between_requests_is_closed(
    serve: Serve, clients: Clients, eventually: Callable[..., None]
) -> None:
    idle = clients(serve(limits=Limits(idle_seconds=0.2)))
    idle.sendall(GET)
    assert idle.recv(65_536).startswith(b"HTTP/1.1 200 OK")
    eventually(lambda: is_closed(idle))


def test_an_unfinished_tls_handshake_holds_nobody_up(
    serve: Serve, ask: Ask, clients: Clients, certificates: Path, eventually: Callable[..., None]
) -> None:
    server = serve(tls=Tls(certificates / "server.pem", certificates / "server.key"), limits=Limits(head_seconds=1.0))
    stuck = [clients(server) for _ in range(5)]
    for client in stuck[1:]:
        client.sendall(b"\x16\x03\x01\x02\x00\x01")  # the others say hello, and no more
    trusting = ssl.create_default_context(cafile=certificates / "ca.pem")
    assert ask(server, tls=trusting)[0].status == 200
    assert not is_closed(stuck[-1])
    eventually(lambda: all(is_closed(client) for client in stuck))


def test_two_hundred_idle_connections_do_not_keep_a_scrape_out(serve: Serve, ask: Ask, clients: Clients) -> None:
    server = serve()
    idle = [clients(server) for _ in range(200)]
    for _ in range(5):
        response, body = ask(server)
        assert response.status == 200
        assert b"loss 0.5" in body
    workers = [thread for thread in threading.enumerate() if thread.name == "quantum-monitor-scrape"]
    assert len(workers) <= 70
    assert is_closed(idle[0])
    assert not is_closed(idle[-1])


def test_two_hundred_unfinished_tls_handshakes_do_not_keep_a_scrape_out(
    serve: Serve, ask: Ask, clients: Clients, certificates: Path
) -> None:
    server = serve(tls=Tls(certificates / "server.pem", certificates / "server.key"))
    idle = [clients(server) for _ in range(200)]
    assert ask(server, tls=ssl.create_default_context(cafile=certificates / "ca.pem"))[0].status == 200
    assert is_closed(idle[0])


@pytest.fixture
def large() -> CollectorRegistry:
    """More than the socket buffers of a loopback connection take."""
    registry = CollectorRegistry()
    gauge = Gauge("wide", "x" * 100, ["name"], registry=registry)
    for number in range(100):
        gauge.labels(str(number) + "y" * 200_000).set(number)
    return registry


def test_clients_that_do_not_read_their_answers_do_not_keep_a_scrape_out(
    serve: Serve, ask: Ask, clients: Clients, large: CollectorRegistry, eventually: Callable[..., None]
) -> None:
    server = serve(large, limits=Limits(connections=2))
    deaf = [clients(server) for _ in range(2)]
    for client in deaf:
        client.sendall(GET)
        eventually(lambda: client.recv(1, socket.MSG_PEEK))  # noqa: B023 - called at once
    assert ask(server, "/-/healthy")[0].status == 200


def test_a_client_that_does_not_read_its_answer_is_dropped(
    serve: Serve, clients: Clients, large: CollectorRegistry, eventually: Callable[..., None]
) -> None:
    seen: list[float] = []
    server = serve(large, limits=Limits(write_seconds=0.3), on_scrape=seen.append)
    clients(server).sendall(GET)
    eventually(lambda: any(thread.name == "quantum-monitor-scrape" for thread in threading.enumerate()))
    eventually(lambda: not any(thread.name == "quantum-monitor-scrape" for thread in threading.enumerate()))
    assert seen == []


def test_a_head_that_is_too_long_is_refused(serve: Serve, ask: Ask, clients: Clients) -> None:
    server = serve()
    assert answer_to(clients(server), GET[:-2] + b"X: " + b"y" * 100_000 + b"\r\n\r\n").startswith(b"HTTP/1.1 431 ")
    assert answer_to(clients(server), b"GET /" + b"y" * 100_000).startswith(b"HTTP/1.1 431 ")
    assert ask(server)[0].status == 200


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (b"GET /metrics\r\n\r\n", 400),
        (b"GET  /metrics HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET metrics HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET http://[ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nHost: a\x00\r\n\r\n", 400),
        (b"GET /metrics HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"\x00\xff\x13\r\n\r\n", 400),
        (b"\r\n\r\n", 400),
    ],
)
def test_a_malformed_request_is_refused(serve: Serve, clients: Clients, request_head: bytes, status: int) -> None:
    assert answer_to(clients(serve()), request_head).startswith(f"HTTP/1.1 {status} ".encode())


def test_an_old_client_is_served_and_let_go(serve: Serve, clients: Clients) -> None:
    received = answer_to(clients(serve()), b"GET http://localhost/metrics HTTP/1.0\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Connection: close\r\n" in received


def test_the_body_of_a_request_is_never_taken_for_another_request(serve: Serve, clients: Clients) -> None:
    for framing in (b"Content-Length: 44", b"Transfer-Encoding: chunked"):
        received = answer_to(
            clients(serve()), b"POST /metrics HTTP/1.1\r\nHost: localhost\r\n" + framing + b"\r\n\r\n" + GET
        )
        assert received.startswith(b"HTTP/1.1 405 ")
        assert received.count(b"HTTP/1.1") == 1


def test_requests_sent_together_are_answered_in_turn(serve: Serve, clients: Clients) -> None:
    healthy = b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n"
    last = b"GET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    received = answer_to(clients(serve()), healthy + GET + last)
    assert received.count(b"HTTP/1.1 200 OK") == 2
    assert b"HTTP/1.1 404 Not Found" in received


def test_a_failing_scrape_hook_costs_nobody_an_answer(serve: Serve, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QUANTUM_MONITOR_RAISE")

    def fail(_: Any) -> None:
        raise RuntimeError("hook")

    server = serve(on_scrape=fail)
    assert ask(server)[0].status == 200
    assert ask(server)[0].status == 200
