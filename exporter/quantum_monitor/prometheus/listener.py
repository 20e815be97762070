"""The listening socket: on the port asked for, or on the next free one."""

from __future__ import annotations

import errno
import os
import socket

from quantum_monitor.log import LOG

_PORT_MAX = 65_535
_PORTS_TRIED = 100
_BACKLOG = 128


def listen(addr: str, port: int) -> socket.socket:
    """Return a non-blocking socket that listens on this address and port, or on one of the 99 ports that follow.

    Raises:
        ValueError: the port is out of range or reserved, or the address is not of this machine.
        OSError: none of the ports is free.
    """
    if type(port) is not int or not 0 <= port <= _PORT_MAX:
        raise ValueError(f"metrics_port: {port!r} is not a port; give 0 (any free one) to {_PORT_MAX}")
    family, host = _resolve(addr)
    for candidate in range(port, min(port + _PORTS_TRIED, _PORT_MAX + 1)):
        try:
            listener = _bind(family, host, candidate)
        except OSError as error:
            if error.errno == errno.EADDRINUSE and port:
                continue
            raise _explained(error, addr, candidate) from error
        if port and candidate != port:
            LOG.warning("port %d is taken: the metrics are served on port %d", port, candidate)
        return listener
    raise OSError(
        errno.EADDRINUSE,
        f"metrics_port: {port} and the ports after it are taken on {addr!r}; give another port, or 0 for any free one",
    )


def _resolve(addr: str) -> tuple[socket.AddressFamily, str]:
    if not addr:  # Python would take it for every interface
        raise ValueError(f"metrics_addr: {addr!r} is no address; give '127.0.0.1', or '0.0.0.0' for every interface")
    try:
        found = socket.getaddrinfo(addr, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError, TypeError) as error:
        raise ValueError(
            f"metrics_addr: {addr!r} cannot be resolved ({error}); give an address of this machine, such as '127.0.0.1'"
        ) from error
    # "localhost" may name ::1 first, and whoever types 127.0.0.1 would find nobody.
    family, _, _, _, sockaddr = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return family, str(sockaddr[0])


def _bind(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":  # on Windows this option lets two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # "::" means every interface, so IPv4 as well.
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(host != "::"))
        listener.bind((host, port))
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def _explained(error: OSError, addr: str, port: int) -> Exception:
    if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
        return ValueError(
            f"metrics_addr: {addr!r} is not an address of this machine ({error.strerror}); give one of its own, such"
            " as '127.0.0.1', or '0.0.0.0' for every interface"
        )
    if error.errno == errno.EACCES:
        return ValueError(f"metrics_port: {port} is reserved ({error.strerror}); give a port from 1024 to {_PORT_MAX}")
    return error
