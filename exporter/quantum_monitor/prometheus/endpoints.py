"""Endpoints: the addresses that a registry is served at, and where they are announced."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from quantum_monitor.faults import FAULTS
from quantum_monitor.prometheus.discovery import Announcement, announce

if TYPE_CHECKING:
    from quantum_monitor.config import Settings
    from quantum_monitor.prometheus.server import MetricsServer


@dataclass
class Endpoint:
    """A served address, shared by the monitors that asked for it."""

    server: MetricsServer
    announcement: Announcement | None
    users: int = 1


class Endpoints:
    """The endpoints of one registry; monitors that ask for the same one share it.

    Args:
        registry: what is served.
        on_scrape: told of each complete scrape, with the ``time.monotonic()`` of its start.
        about: the lines of the index page, by title.
    """

    def __init__(
        self, registry: CollectorRegistry, on_scrape: Callable[[float], None], about: Callable[[], dict[str, str]]
    ) -> None:
        self.registry, self.on_scrape, self.about = registry, on_scrape, about
        self.renew()

    def renew(self) -> None:
        """Begin anew: at construction, and in a forked child, where the servers are the parent's."""
        self._lock = threading.RLock()
        self._served: dict[tuple[object, ...], Endpoint] = {}

    def serve(self, settings: Settings) -> Endpoint | None:
        """The endpoint that the settings ask for.

        None where they ask for none, or where the machine has nothing left to serve it with, which is counted.

        Raises:
            ValueError: an address that is not of this machine, a certificate that cannot be read, and the like.
        """
        if settings.metrics_port is None:
            return None
        key = _endpoint_key(settings)
        with self._lock:
            endpoint = self._served.get(key)
            if endpoint is not None:
                endpoint.users += 1
                return endpoint
            try:
                server = _start_server(self, settings, settings.metrics_port)
            except (OSError, RuntimeError) as error:  # no port, file descriptor or thread left
                FAULTS.rejected("endpoint", error)
                return None
            endpoint = self._served[key] = Endpoint(server, _announce(server, settings))
            return endpoint

    def release(self, endpoint: Endpoint) -> None:
        """Give an endpoint back; the last user closes it."""
        with self._lock:
            endpoint.users -= 1
            if endpoint.users > 0:
                return
            self._served = {key: other for key, other in self._served.items() if other is not endpoint}
        if endpoint.announcement is not None:
            endpoint.announcement.withdraw()
        endpoint.server.close()


def _endpoint_key(settings: Settings) -> tuple[object, ...]:
    return (
        settings.metrics_addr,
        settings.metrics_port,
        settings.tls_cert_file,
        settings.tls_key_file,
        settings.tls_client_ca_file,
        settings.basic_auth_user,
        settings.basic_auth_password,
        settings.discovery_dir,
    )


def _start_server(endpoints: Endpoints, settings: Settings, port: int) -> MetricsServer:
    # Not at the top: server, TLS and text format are a sixth of the import of all of ours.
    from quantum_monitor.prometheus.access import BasicAuth, Tls
    from quantum_monitor.prometheus.server import MetricsServer

    tls = auth = None
    if settings.tls_cert_file is not None:
        tls = Tls(settings.tls_cert_file, settings.tls_key_file, settings.tls_client_ca_file)
    if settings.basic_auth_user is not None and settings.basic_auth_password is not None:
        auth = BasicAuth(settings.basic_auth_user, settings.basic_auth_password)
    return MetricsServer(
        endpoints.registry,
        addr=settings.metrics_addr,
        port=port,
        tls=tls,
        basic_auth=auth,
        on_scrape=endpoints.on_scrape,
        about=endpoints.about,
    )


def _announce(server: MetricsServer, settings: Settings) -> Announcement | None:
    if settings.discovery_dir is None:
        return None
    return announce(settings.discovery_dir, host=server.addr, port=server.port, scheme=server.scheme)
