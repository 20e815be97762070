"""A registry to serve, servers that are closed after the test, and certificates."""

from __future__ import annotations

import http.client
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from quantum_monitor.prometheus.server import MetricsServer


@pytest.fixture
def registry() -> CollectorRegistry:
    """A gauge, a counter and a histogram, one sample each."""
    registry = CollectorRegistry()
    Gauge("loss", "The loss.", registry=registry).set(0.5)
    Counter("steps", "Steps done.", registry=registry).inc(3)
    Histogram("duration_seconds", "Time a step took.", registry=registry, buckets=(1.0,)).observe(0.5)
    return registry


@pytest.fixture
def serve(registry: CollectorRegistry) -> Iterator[Callable[..., MetricsServer]]:
    """Start a server on a free port; it is closed after the test."""
    servers: list[MetricsServer] = []

    def start(of: Any = None, **options: Any) -> MetricsServer:
        servers.append(MetricsServer(of or registry, **{"port": 0, **options}))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def clients() -> Iterator[Callable[[MetricsServer], socket.socket]]:
    """Connect a bare socket to a server; it is closed after the test."""
    sockets: list[socket.socket] = []

    def connect(server: MetricsServer) -> socket.socket:
        sockets.append(socket.create_connection((server.addr, server.port), timeout=20))
        return sockets[-1]

    yield connect
    for sock in sockets:
        sock.close()


@pytest.fixture
def ask() -> Callable[..., tuple[http.client.HTTPResponse, bytes]]:
    """Send one request on a connection of its own; returns the answer and its body."""

    def request(
        server: MetricsServer, path: str = "/metrics", *, method: str = "GET", tls: Any = None, **headers: str
    ) -> tuple[http.client.HTTPResponse, bytes]:
        connection: http.client.HTTPConnection
        if tls:
            connection = http.client.HTTPSConnection(server.addr, server.port, timeout=20, context=tls)
        else:
            connection = http.client.HTTPConnection(server.addr, server.port, timeout=20)
        try:
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, headers=names)
            response = connection.getresponse()
            return response, response.read()
        finally:
            connection.close()

    return request


@pytest.fixture
def eventually() -> Callable[[Callable[[], object]], None]:
    """Wait until something holds, at most 20 seconds."""

    def wait(holds: Callable[[], object]) -> None:
        deadline = time.monotonic() + 20
        while not holds():
            assert time.monotonic() < deadline, "did not come true in time"
            time.sleep(0.01)

    return wait


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority (ca), and a server's and a client's certificate signed by it: NAME.pem, NAME.key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl here to make certificates with")
    folder = tmp_path_factory.mktemp("certificates")
    (folder / "server.ext").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    (folder / "client.ext").write_text("extendedKeyUsage=clientAuth\n")
    authority = "-CA ca.pem -CAkey ca.key -CAcreateserial"
    key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    commands = [f"req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=authority"]
    for name in ("server", "client"):
        commands += [
            f"req -new {key} -keyout {name}.key -out {name}.csr -subj /CN={name}",
            f"x509 -req -in {name}.csr -out {name}.pem -days 2 -extfile {name}.ext {authority}",
        ]
    for command in commands:
        subprocess.run([openssl, *command.split()], cwd=folder, check=True, capture_output=True)
    return folder
