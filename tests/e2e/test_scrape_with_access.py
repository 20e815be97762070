"""Prometheus gets in with the right password over TLS, and nobody gets in with a wrong one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quantum_monitor import QuantumMonitor
from tests.e2e.prometheus_process import Prometheus, watching
from tests.server_process import eventually

trustme = pytest.importorskip("trustme")


def test_prometheus_scrapes_over_tls_with_a_password(
    start_prometheus: Callable[..., Prometheus], new_monitor: Callable[..., QuantumMonitor], tmp_path: Path
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server.pem"))
    (tmp_path / "password").write_text("open sesame\n")

    def job(name: str, password: str, **tls: str) -> dict[str, Any]:
        access = {"basic_auth": {"username": "prometheus", "password": password}, "tls_config": tls}
        return watching(tmp_path / "targets", job=name, **access)

    trusted = {"ca_file": str(tmp_path / "ca.pem")}
    prometheus = start_prometheus(
        job("right", "open sesame", **trusted), job("wrong", "guess", **trusted), job("strange", "open sesame")
    )
    monitor = new_monitor(
        metrics_port=0,
        discovery_dir=tmp_path / "targets",
        tls_cert_file=tmp_path / "server.pem",
        basic_auth_user="prometheus",
        basic_auth_password_file=tmp_path / "password",
    )
    with monitor.start_run("a"):
        monitor.log_training_step(-1.5, None, None, 0)
        eventually(lambda: "a" in prometheus.by_run('quantum_training_loss{job="right"}'), what="the scrape")
    assert prometheus.by_run("quantum_training_loss") == {"a": -1.5}
    eventually(lambda: prometheus.last_error("wrong") and prometheus.last_error("strange"), what="the refusals")
    assert "401" in prometheus.last_error("wrong")
    assert "certificate" in prometheus.last_error("strange")
