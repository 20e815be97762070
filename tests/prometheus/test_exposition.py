"""What a scrape shows, whoever serves it: formats, filters, collectors that fail."""

from __future__ import annotations

import asyncio
import gzip
import logging
from collections.abc import Iterable, Iterator
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from quantum_monitor.faults import FAULTS
from quantum_monitor.prometheus.exposition import asgi_app, expose, wsgi_app

OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"


class Broken:
    """A foreign collector that gives one family and then fails."""

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("given_before", "Given before the failure.", value=1)
        raise RuntimeError("sensor unplugged")


class Unrenderable:
    """A foreign collector whose second family no encoder can write."""

    def collect(self) -> Iterable[Metric]:
        bad = GaugeMetricFamily("bad", "A label that is no text.", labels=["qubit"])
        bad.add_metric([None], 1.0)  # type: ignore[list-item]
        return [GaugeMetricFamily("good", "Rendered.", value=2), bad]


class NoFamilies:
    """A foreign collector that gives something else than metric families."""

    def collect(self) -> Any:
        return ["loss 1"]


def samples(body: bytes) -> dict[str, float]:
    return {sample.name: sample.value for family in parse_text(body.decode()) for sample in family.samples}


def test_a_collector_that_raises_costs_only_its_own_values(
    registry: CollectorRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    registry.register(Broken())
    Gauge("registered_later", "After the broken one.", registry=registry).set(7)
    before = FAULTS.errors["collector"]
    with caplog.at_level(logging.WARNING, "quantum_monitor"):
        found = samples(expose(registry)[1])
    assert found["loss"] == 0.5
    assert found["registered_later"] == 7
    assert found["given_before"] == 1
    assert FAULTS.errors["collector"] == before + 1
    assert any("Broken: RuntimeError: sensor unplugged" in message for message in caplog.messages)


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_a_family_that_cannot_be_rendered_costs_only_itself(registry: CollectorRegistry, accept: str) -> None:
    registry.register(Unrenderable())
    before = FAULTS.errors["collector"]
    body = expose(registry, accept=accept)[1]
    assert b"good 2.0" in body
    assert b"loss 0.5" in body
    assert b"bad{" not in body
    assert FAULTS.errors["collector"] == before + 1


def test_a_collector_that_gives_no_families_costs_only_itself(registry: CollectorRegistry) -> None:
    registry.register(NoFamilies())
    before = FAULTS.errors["collector"]
    assert samples(expose(registry)[1])["loss"] == 0.5
    assert FAULTS.errors["collector"] == before + 1


def test_anything_with_collect_can_be_exposed() -> None:
    assert samples(expose(Broken())[1]) == {"given_before": 1}


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_no_created_series_are_shown(registry: CollectorRegistry, accept: str) -> None:
    body = expose(registry, accept=accept)[1]
    assert b"duration_seconds_count" in body
    assert b"_created" not in body


def test_leaving_out_created_series_changes_nothing_in_the_collector() -> None:
    family = Metric("steps", "Steps done.", "counter")
    family.add_sample("steps_total", {}, 3)
    family.add_sample("steps_created", {}, 1.7e9)

    class Cached:
        def collect(self) -> Iterable[Metric]:
            return [family]

    expose(Cached())
    assert len(family.samples) == 2


def test_a_gauge_may_end_in_created(registry: CollectorRegistry) -> None:
    Gauge("circuits_created", "Circuits made so far.", registry=registry).set(4)
    assert samples(expose(registry)[1])["circuits_created"] == 4


def test_plain_text_is_the_default(registry: CollectorRegistry) -> None:
    headers, body = expose(registry)
    assert dict(headers)["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert samples(body)["steps_total"] == 3


def test_openmetrics_is_given_to_whoever_asks(registry: CollectorRegistry) -> None:
    headers, body = expose(registry, accept=OPENMETRICS)
    assert dict(headers)["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    parse: Any = openmetrics.text_string_to_metric_families
    assert {family.name for family in parse(body.decode())} == {"loss", "steps", "duration_seconds"}


@pytest.mark.parametrize(
    "accept", ["text/plain;version=abc", "application/openmetrics-text;version=1.x", "text/plain;version=\xe9", ";;,="]
)
def test_a_senseless_accept_header_gets_plain_text(registry: CollectorRegistry, accept: str) -> None:
    headers, body = expose(registry, accept=accept)
    dict(headers)["Content-Type"].encode("ascii")
    assert samples(body)["loss"] == 0.5


@pytest.mark.parametrize("accept_encoding", ["gzip", "br, GZIP;q=0.8"])
def test_gzip_is_used_where_accepted(registry: CollectorRegistry, accept_encoding: str) -> None:
    headers, body = expose(registry, accept_encoding=accept_encoding)
    assert ("Content-Encoding", "gzip") in headers
    assert gzip.decompress(body) == expose(registry)[1]


@pytest.mark.parametrize("accept_encoding", ["", "identity", "gzip;q=0", "br, gzip; q=0.0"])
def test_gzip_is_not_used_where_refused(registry: CollectorRegistry, accept_encoding: str) -> None:
    assert "Content-Encoding" not in dict(expose(registry, accept_encoding=accept_encoding)[0])


def test_names_leave_only_those_samples(registry: CollectorRegistry) -> None:
    assert samples(expose(registry, names=["loss", "steps_total"])[1]) == {"loss": 0.5, "steps_total": 3}
    assert expose(registry, names=["nothing"])[1] == b""


def test_target_info_is_shown(registry: CollectorRegistry) -> None:
    registry.set_target_info({"service": "qml"})
    assert b'target_info{service="qml"} 1.0' in expose(registry)[1]


def call_wsgi(registry: CollectorRegistry, **environ: str) -> tuple[str, dict[str, str], bytes]:
    full: dict[str, Any] = {"SCRIPT_NAME": "/metrics", "PATH_INFO": "", "QUERY_STRING": "", **environ}
    setup_testing_defaults(full)
    answer: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], _: Any = None) -> Any:
        answer.extend((status, dict(headers)))
        return [].append

    chunks = validator(wsgi_app(registry))(full, start_response)
    try:
        body = b"".join(chunks)
    finally:
        chunks.close()  # type: ignore[attr-defined]
    return answer[0], answer[1], body


@pytest.mark.parametrize("path", ["", "/"])
def test_a_wsgi_application_serves_where_it_is_mounted(registry: CollectorRegistry, path: str) -> None:
    status, headers, body = call_wsgi(registry, PATH_INFO=path)
    assert status == "200 OK"
    assert headers["Content-Length"] == str(len(body))
    assert samples(body)["loss"] == 0.5


def test_a_wsgi_application_negotiates_and_filters(registry: CollectorRegistry) -> None:
    _, headers, body = call_wsgi(
        registry, HTTP_ACCEPT=OPENMETRICS, HTTP_ACCEPT_ENCODING="gzip", QUERY_STRING="name[]=loss&name%5B%5D=x"
    )
    assert headers["Content-Type"].startswith("application/openmetrics-text")
    assert gzip.decompress(body).decode().splitlines()[-2:] == ["loss 0.5", "# EOF"]


def test_a_wsgi_application_answers_nothing_else(registry: CollectorRegistry) -> None:
    assert call_wsgi(registry, PATH_INFO="/other")[0] == "404 Not Found"
    status, headers, _ = call_wsgi(registry, REQUEST_METHOD="POST")
    assert status == "405 Method Not Allowed"
    assert headers["Allow"] == "GET, HEAD"
    status, headers, body = call_wsgi(registry, REQUEST_METHOD="HEAD")
    assert status == "200 OK"
    assert int(headers["Content-Length"]) > 100
    assert body == b""


def call_asgi(registry: CollectorRegistry, *messages: dict[str, Any], **scope: Any) -> list[Any]:
    waiting = list(messages)
    sent: list[Any] = []

    async def receive() -> Any:
        return waiting.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    full = {"type": "http", "method": "GET", "path": "/metrics", "root_path": "/metrics", "headers": [], **scope}

    async def call() -> None:
        await asgi_app(registry)(full, receive, send)

    asyncio.run(call())
    return sent


@pytest.mark.parametrize(
    ("root_path", "path"), [("/metrics", "/metrics/"), ("/a/metrics", "/a/metrics"), ("", "/"), ("", "/metrics")]
)
def test_an_asgi_application_serves_where_it_is_mounted(registry: CollectorRegistry, root_path: str, path: str) -> None:
    start, body = call_asgi(registry, root_path=root_path, path=path)
    assert start["status"] == 200
    assert samples(body["body"])["loss"] == 0.5


def test_an_asgi_application_negotiates_and_filters(registry: CollectorRegistry) -> None:
    start, body = call_asgi(
        registry,
        headers=[(b"accept", OPENMETRICS.encode()), (b"Accept-Encoding", b"gzip")],
        query_string=b"name[]=loss",
    )
    assert dict(start["headers"])[b"content-encoding"] == b"gzip"
    assert gzip.decompress(body["body"]).decode().splitlines()[-2:] == ["loss 0.5", "# EOF"]


def test_an_asgi_application_answers_nothing_else(registry: CollectorRegistry) -> None:
    assert call_asgi(registry, path="/metrics/other")[0]["status"] == 404
    assert call_asgi(registry, method="DELETE")[0]["status"] == 405
    assert call_asgi(registry, type="websocket") == [{"type": "websocket.close"}]


def test_an_asgi_application_can_be_served_on_its_own(registry: CollectorRegistry) -> None:
    messages = ({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    sent = call_asgi(registry, *messages, type="lifespan")
    assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
