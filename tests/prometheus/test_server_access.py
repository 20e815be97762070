"""Who gets in: TLS, client certificates, basic authentication, names of other people."""

from __future__ import annotations

import base64
import http.client
import logging
import socket
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quantum_monitor.prometheus.server import BasicAuth, MetricsServer, Tls

Ask = Callable[..., tuple[http.client.HTTPResponse, bytes]]
Serve = Callable[..., MetricsServer]


def basic(credentials: str) -> str:
    return "Basic " + base64.b64encode(credentials.encode()).decode()


@pytest.fixture
def tls(certificates: Path) -> Tls:
    return Tls(certificates / "server.pem", certificates / "server.key")


@pytest.fixture
def mutual(certificates: Path) -> Tls:
    return Tls(certificates / "server.pem", certificates / "server.key", certificates / "ca.pem")


@pytest.fixture
def trusting(certificates: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificates / "ca.pem")


def test_metrics_are_served_over_tls(serve: Serve, ask: Ask, tls: Tls, trusting: ssl.SSLContext) -> None:
    server = serve(tls=tls)
    assert server.url == f"https://127.0.0.1:{server.port}/metrics"
    response, body = ask(server, tls=trusting)
    assert response.status == 200
    assert b"loss 0.5" in body


def test_tls_below_1_2_is_refused(serve: Serve, tls: Tls) -> None:
    assert tls.context().minimum_version is ssl.TLSVersion.TLSv1_2


def test_plain_http_to_a_tls_port_gets_nothing(
    serve: Serve, ask: Ask, tls: Tls, trusting: ssl.SSLContext, clients: Callable[[MetricsServer], socket.socket]
) -> None:
    server = serve(tls=tls)
    client = clients(server)
    client.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
    received = b""
    try:
        while chunk := client.recv(4096):
            received += chunk
    except ConnectionResetError:
        pass
    assert b"loss" not in received
    assert ask(server, tls=trusting)[0].status == 200


def test_a_client_without_a_certificate_is_turned_away(
    serve: Serve, ask: Ask, mutual: Tls, trusting: ssl.SSLContext
) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)):
        ask(serve(tls=mutual), tls=trusting)


def test_a_client_with_a_certificate_gets_in(
    serve: Serve, ask: Ask, mutual: Tls, trusting: ssl.SSLContext, certificates: Path
) -> None:
    trusting.load_cert_chain(certificates / "client.pem", certificates / "client.key")
    assert ask(serve(tls=mutual), tls=trusting)[0].status == 200


def test_a_client_with_a_certificate_of_strangers_is_turned_away(
    serve: Serve, ask: Ask, mutual: Tls, trusting: ssl.SSLContext, tmp_path: Path
) -> None:
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout own.key -out own.pem"
    subprocess.run([*command.split(), "-subj", "/CN=client"], cwd=tmp_path, check=True, capture_output=True)
    trusting.load_cert_chain(tmp_path / "own.pem", tmp_path / "own.key")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        ask(serve(tls=mutual), tls=trusting)


@pytest.mark.parametrize("field", ["cert_file", "key_file", "client_ca_file"])
def test_a_missing_certificate_file_is_refused_by_name(serve: Serve, certificates: Path, field: str) -> None:
    files: dict[str, Any] = {
        "cert_file": certificates / "server.pem",
        "key_file": certificates / "server.key",
        field: "absent.pem",
    }
    with pytest.raises(ValueError, match=f"tls_{field}: no such file: 'absent.pem'; give"):
        serve(tls=Tls(**files))


def test_a_key_of_another_certificate_is_refused(serve: Serve, certificates: Path) -> None:
    with pytest.raises(ValueError, match=r"tls_cert_file, tls_key_file: cannot use .* give a PEM certificate"):
        serve(tls=Tls(certificates / "server.pem", certificates / "client.key"))


def test_an_authority_file_without_certificates_is_refused(serve: Serve, certificates: Path) -> None:
    with pytest.raises(ValueError, match="tls_client_ca_file: cannot use"):
        serve(tls=Tls(certificates / "server.pem", certificates / "server.key", certificates / "server.key"))


def test_a_key_with_a_passphrase_is_refused_without_asking_for_it(
    serve: Serve, certificates: Path, tmp_path: Path
) -> None:
    locked = tmp_path / "locked.key"
    subprocess.run(
        ["openssl", "ec", "-aes128", "-passout", "pass:secret", "-in", certificates / "server.key", "-out", locked],
        check=True,
        capture_output=True,
    )
    with pytest.raises(ValueError, match="unencrypted key"):
        serve(tls=Tls(certificates / "server.pem", locked))


def test_the_right_password_gets_in(serve: Serve, ask: Ask) -> None:
    server = serve(basic_auth=BasicAuth("ada", "pass:wört"))
    assert ask(server, Authorization=basic("ada:pass:wört"))[0].status == 200
    assert ask(server, "/", Authorization=basic("ada:pass:wört").replace("Basic", "bASIC"))[0].status == 200


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Basic",
        "Basic !!",
        "Basic \xe9",
        "Bearer x",
        *map(basic, ("ada:wrong", "eve:secret", "ada", "", "ada:secret2")),
    ],
)
def test_a_wrong_password_stays_outside(serve: Serve, ask: Ask, authorization: str) -> None:
    server = serve(basic_auth=BasicAuth("ada", "secret"))
    for path in ("/metrics", "/", "/nothing"):
        response, body = ask(server, path, Authorization=authorization)
        assert response.status == 401
        assert response.headers["WWW-Authenticate"].startswith("Basic realm=")
        assert b"loss" not in body


def test_health_needs_no_password(serve: Serve, ask: Ask) -> None:
    assert ask(serve(basic_auth=BasicAuth("ada", "secret")), "/-/healthy")[0].status == 200


def test_the_password_is_not_in_the_repr() -> None:
    assert "secret" not in repr(BasicAuth("ada", "secret"))


@pytest.mark.parametrize(
    ("user", "password", "wrong"), [("", "x", "user"), ("a:b", "x", "user"), ("a", "", "password")]
)
def test_credentials_that_http_cannot_carry_are_refused(user: str, password: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=rf"basic_auth_{wrong}: .* give"):
        BasicAuth(user, password)


def test_a_password_in_the_clear_on_a_network_is_warned_of(
    serve: Serve, tls: Tls, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "quantum_monitor"):
        serve(basic_auth=BasicAuth("ada", "secret"))
        serve(basic_auth=BasicAuth("ada", "secret"), addr="0.0.0.0", tls=tls)  # noqa: S104 - what is tested
        assert caplog.messages == []
        serve(basic_auth=BasicAuth("ada", "secret"), addr="0.0.0.0")  # noqa: S104 - what is tested
    assert "the password can be read on the way" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize("host", ["evil.example", "evil.example:9888", "127.0.0.1.evil.example"])
def test_a_server_on_loopback_does_not_answer_to_a_strangers_name(serve: Serve, ask: Ask, host: str) -> None:
    response, body = ask(serve(), Host=host)
    assert response.status == 421
    assert b"loss" not in body


@pytest.mark.parametrize(
    "host", ["localhost:1", "127.0.0.1", "[::1]:9888", "10.0.0.7:80", "host.docker.internal:9888", "training-box", ""]
)
def test_a_server_on_loopback_answers_to_local_names(serve: Serve, ask: Ask, host: str) -> None:
    assert ask(serve(), Host=host)[0].status == 200
