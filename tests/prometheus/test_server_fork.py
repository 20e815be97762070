"""In a forked child the endpoint is gone, and the parent's goes on."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable

import pytest

from quantum_monitor.prometheus.server import MetricsServer

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this machine")

Ask = Callable[..., tuple[http.client.HTTPResponse, bytes]]
Serve = Callable[..., MetricsServer]

# The child outlives its parent and waits to be ended.
ORPHAN = """
import os, signal, time, warnings
from prometheus_client import CollectorRegistry
from quantum_monitor.prometheus.server import MetricsServer

warnings.simplefilter("ignore")  # threads and fork: what is tested
server = MetricsServer(CollectorRegistry(), port=0)
ready_reader, ready_writer = os.pipe()
child = os.fork()
if child == 0:
    os.write(ready_writer, b"x")
    signal.pause()
os.read(ready_reader, 1)
print(server.port, child, flush=True)
signal.pause()
"""


def in_child(work: Callable[[], bool]) -> bool:
    """Run something in a forked child and tell whether it held there."""
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if work() else 1)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_the_parent_is_still_served_after_a_child_came_and_went(serve: Serve, ask: Ask) -> None:
    server = serve()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request("GET", "/metrics")
    connection.getresponse().read()

    def child() -> bool:
        server.close()  # harmless: what is the parent's is left alone
        return server.closed

    assert in_child(child)
    connection.request("GET", "/metrics")
    assert connection.getresponse().read().count(b"loss 0.5") == 1
    connection.close()
    assert ask(server)[0].status == 200
    assert not server.closed


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_holds_none_of_the_parents_sockets(
    serve: Serve, clients: Callable[[MetricsServer], socket.socket]
) -> None:
    server = serve()
    client = clients(server)
    client.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n")
    client.recv(1000)
    theirs = [server._listener, *server._connections.sockets_after_fork()]
    assert len(theirs) == 2

    assert in_child(lambda: all(sock.fileno() == -1 for sock in theirs))
    assert all(sock.fileno() != -1 for sock in theirs)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_can_have_a_server_of_its_own(serve: Serve, ask: Ask) -> None:
    parent = serve()

    def child() -> bool:
        own = serve(port=parent.port)
        return own.port != parent.port and ask(own)[0].status == 200

    assert in_child(child)


def test_the_port_is_free_once_the_parent_is_dead_though_a_child_lives() -> None:
    parent = subprocess.Popen([sys.executable, "-c", ORPHAN], stdout=subprocess.PIPE, text=True)
    child = 0
    try:
        assert parent.stdout is not None
        port, child = map(int, parent.stdout.readline().split())
        parent.kill()
        parent.wait(20)
        os.kill(child, 0)  # alive
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=20)
        with socket.create_server(("127.0.0.1", port)):
            pass
    finally:
        parent.kill()
        parent.wait(20)
        if parent.stdout is not None:
            parent.stdout.close()
        if child:
            os.kill(child, signal.SIGKILL)
