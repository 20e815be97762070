"""The clients that are connected at the moment: a bounded number, in which the idle make room for the new."""

from __future__ import annotations

import socket
import threading
import time

from quantum_monitor.prometheus.wire import Connection, Phase


class ConnectionTable:
    """At most ``limit`` connections; a new one displaces the one that has waited longest without a request."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._changed = threading.Condition()
        self._connections: set[Connection] = set()

    def admit(self, connection: Connection) -> bool:
        """Take a connection in; False when all others are being answered."""
        with self._changed:
            if len(self._connections) >= self._limit and not self._give_up_one():
                return False
            self._connections.add(connection)
            return True

    def enter(self, connection: Connection, phase: Phase) -> None:
        """Note what a connection is busy with from now on."""
        with self._changed:
            connection.phase = phase
            connection.since = time.monotonic()

    def give_up_one(self) -> bool:
        """Close the connection that is missed least; False when there is none."""
        with self._changed:
            return self._give_up_one()

    def remove(self, connection: Connection) -> None:
        """Forget a connection. Only after this may its socket be closed: until then another thread may wake it."""
        with self._changed:
            self._connections.discard(connection)
            self._changed.notify_all()

    def finish(self, seconds: float) -> None:
        """End all connections: those without a request at once, the others after so many seconds at most."""
        with self._changed:
            for connection in self._connections:
                if connection.phase is Phase.WAITING:
                    connection.interrupt()
            self._changed.wait_for(lambda: not self._connections, timeout=seconds)
            for connection in self._connections:
                connection.interrupt()

    def sockets_after_fork(self) -> list[socket.socket]:
        """Return the inherited sockets, without the lock, which a thread of the parent may have held."""
        return [connection.socket for connection in self._connections]

    def _give_up_one(self) -> bool:
        candidates = [connection for connection in self._connections if connection.phase is not Phase.RENDERING]
        if not candidates:
            return False
        victim = min(candidates, key=lambda connection: (connection.phase, connection.since))
        victim.interrupt()
        self._connections.discard(victim)
        return True
