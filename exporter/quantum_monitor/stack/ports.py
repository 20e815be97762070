"""Free ports on loopback."""

from __future__ import annotations

import socket

from quantum_monitor.stack import StackError

LOOPBACK = "127.0.0.1"
_TRIED = 100


def free_port(wanted: int) -> int:
    """The port wanted, or the next free one; any free one for 0.

    It may be taken before somebody listens on it, so whoever starts a server has to be ready to ask again.

    Raises:
        StackError: the next hundred are taken as well.
    """
    for port in range(wanted, min(wanted + _TRIED, 65_536)) if wanted else (0,):
        with socket.socket() as sock:
            # As servers do: the remains of closed connections do not make a port a taken one, a listener does.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind((LOOPBACK, port))
            except OSError:
                continue
            found: int = sock.getsockname()[1]
            return found
    raise StackError(f"port {wanted} and the {_TRIED - 1} after it are taken; name another one")
