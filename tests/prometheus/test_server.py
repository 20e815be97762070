"""What the endpoint answers, where it listens, and what it says of a wrong configuration."""

from __future__ import annotations

import http.client
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric

from quantum_monitor.prometheus import listener
from quantum_monitor.prometheus.server import MetricsServer

Ask = Callable[..., tuple[http.client.HTTPResponse, bytes]]
Serve = Callable[..., MetricsServer]


class RaisingCollector:
    """A foreign collector that fails."""

    def collect(self) -> Iterator[Metric]:
        raise RuntimeError("sensor unplugged")


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def test_metrics_are_served_on_loopback(serve: Serve, ask: Ask) -> None:
    server = serve()
    assert server.url == f"http://127.0.0.1:{server.port}/metrics"
    response, body = ask(server)
    assert response.status == 200
    assert b"loss 0.5" in body


def test_a_collector_that_raises_does_not_fail_the_scrape(registry: CollectorRegistry, serve: Serve, ask: Ask) -> None:
    registry.register(RaisingCollector())
    response, body = ask(serve())
    assert response.status == 200
    assert b"loss 0.5" in body


def test_formats_encodings_and_filters_are_negotiated(serve: Serve, ask: Ask) -> None:
    response, body = ask(
        serve(), "/metrics?name[]=loss", Accept="application/openmetrics-text;version=1.0.0", Accept_Encoding="gzip"
    )
    assert response.headers["Content-Type"].startswith("application/openmetrics-text")
    assert response.headers["Content-Encoding"] == "gzip"
    assert body[:2] == b"\x1f\x8b"
    assert ask(serve(), "/metrics?name[]=steps_total")[1].count(b"\n") == 3


def test_head_gives_the_headers_of_get(serve: Serve, ask: Ask) -> None:
    server = serve()
    response, body = ask(server, method="HEAD")
    assert response.status == 200
    assert body == b""
    assert response.headers["Content-Length"] == str(len(ask(server)[1]))


@pytest.mark.parametrize("path", ["/metricsx", "/metrics/", "/favicon.ico", "/../etc/passwd", "/-/reload", "//"])
def test_other_paths_are_not_found(serve: Serve, ask: Ask, path: str) -> None:
    assert ask(serve(), path)[0].status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"])
def test_other_methods_are_not_allowed(serve: Serve, ask: Ask, method: str) -> None:
    response, _ = ask(serve(), method=method)
    assert response.status == 405
    assert response.headers["Allow"] == "GET, HEAD"


def test_health_is_answered(serve: Serve, ask: Ask) -> None:
    response, body = ask(serve(), "/-/healthy")
    assert (response.status, body) == (200, b"ok\n")


def test_the_index_page_escapes_what_it_shows(serve: Serve, ask: Ask) -> None:
    evil = "<script>alert('&')</script>\ud800"
    response, body = ask(serve(about=lambda: {evil: evil}), "/")
    assert response.status == 200
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert b'<a href="metrics">' in body
    assert b"<script" not in body
    assert body.count(b"&lt;script&gt;alert(&#x27;&amp;&#x27;)&lt;/script&gt;") == 2


def test_the_index_page_survives_a_failing_table(serve: Serve, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QUANTUM_MONITOR_RAISE")

    def about() -> dict[str, str]:
        raise RuntimeError("no runs")

    assert ask(serve(about=about), "/")[0].status == 200


def test_answers_carry_security_headers_and_no_version(serve: Serve, ask: Ask) -> None:
    server = serve()
    for path in ("/metrics", "/", "/nothing"):
        headers = ask(server, path)[0].headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["Server"] is None
        assert "Python" not in str(headers)


def test_a_connection_serves_many_scrapes(serve: Serve) -> None:
    server = serve()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.connect()
    sock = connection.sock
    for _ in range(3):
        connection.request("GET", "/metrics")
        assert connection.getresponse().read().count(b"loss 0.5") == 1
        assert connection.sock is sock
    connection.close()


def test_requests_on_standard_error_are_not_logged(serve: Serve, ask: Ask, capfd: pytest.CaptureFixture[str]) -> None:
    server = serve()
    ask(server)
    ask(server, "/nothing")
    assert capfd.readouterr() == ("", "")


def test_a_complete_scrape_is_reported_with_the_time_it_began(
    serve: Serve, ask: Ask, eventually: Callable[..., None]
) -> None:
    seen: list[float] = []
    server = serve(on_scrape=seen.append)
    before = time.monotonic()
    ask(server)
    eventually(lambda: seen)
    assert before <= seen[0] <= time.monotonic()


def test_only_a_complete_scrape_is_reported(serve: Serve, ask: Ask) -> None:
    seen: list[float] = []
    server = serve(on_scrape=seen.append)
    for path in ("/", "/-/healthy", "/nothing"):
        ask(server, path)
    ask(server, method="HEAD")
    ask(server, method="POST")
    server.close()
    assert seen == []


def test_a_taken_port_means_the_next_free_one(serve: Serve, ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
    first = serve()
    with caplog.at_level(logging.INFO, "quantum_monitor"):
        second = serve(port=first.port)
    assert first.port < second.port < first.port + 100
    assert f"port {first.port} is taken: the metrics are served on port {second.port}" in caplog.messages
    assert ask(second)[0].status == 200


def test_no_free_port_is_an_error_that_names_the_mend(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve()
    monkeypatch.setattr(listener, "_PORTS_TRIED", 1)
    with pytest.raises(OSError, match=f"metrics_port: {server.port} .* give another port, or 0"):
        serve(port=server.port)


@pytest.mark.parametrize("port", [-1, 65_536, "9888", 9888.0, True, None])
def test_a_port_out_of_range_is_refused(serve: Serve, port: Any) -> None:
    with pytest.raises(ValueError, match=r"metrics_port: .* give 0 \(any free one\) to 65535"):
        serve(port=port)


@pytest.mark.parametrize("addr", ["192.0.2.1", "no such host", "", "2001:db8::1", "a" * 300, None, 5])
def test_an_address_of_another_machine_is_refused(serve: Serve, addr: Any) -> None:
    with pytest.raises(ValueError, match=r"metrics_addr: .* give .*127\.0\.0\.1"):
        serve(addr=addr)


def test_localhost_is_reachable_at_127_0_0_1(serve: Serve, ask: Ask) -> None:
    server = serve(addr="localhost")
    assert server.addr == "127.0.0.1"
    assert ask(server)[0].status == 200


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 on this machine")
def test_ipv6_works(serve: Serve, ask: Ask) -> None:
    server = serve(addr="::1")
    assert server.url == f"http://[::1]:{server.port}/metrics"
    assert ask(server)[0].status == 200


def test_every_interface_is_shown_by_the_name_of_the_machine(serve: Serve) -> None:
    server = serve(addr="0.0.0.0")  # noqa: S104 - what is tested
    assert server.url == f"http://{socket.gethostname()}:{server.port}/metrics"


def test_closing_frees_the_port_and_ends_waiting_clients(
    serve: Serve, clients: Callable[[MetricsServer], socket.socket], eventually: Callable[..., None]
) -> None:
    server = serve()
    client = clients(server)
    client.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert client.recv(100).startswith(b"HTTP/1.1 200 OK")
    server.close()
    server.close()
    while client.recv(1000):
        pass
    with socket.create_server(("127.0.0.1", server.port)):
        pass
    ours = {"quantum-monitor-server", "quantum-monitor-scrape"}
    eventually(lambda: not ours & {thread.name for thread in threading.enumerate()})


def test_a_scrape_under_way_gets_through_when_the_server_is_closed(serve: Serve, ask: Ask) -> None:
    begun, closing = threading.Event(), threading.Event()

    class Slow:
        def collect(self) -> Iterator[Metric]:
            begun.set()
            closing.wait(10)
            yield Metric("late", "Rendered while closing.", "gauge")

    server = serve(Slow())
    answers: list[bytes] = []
    scrape = threading.Thread(target=lambda: answers.append(ask(server)[1]))
    scrape.start()
    assert begun.wait(10)
    threading.Timer(0.1, closing.set).start()
    server.close()
    scrape.join(10)
    assert b"# TYPE late gauge" in answers[0]
