"""Notifiers over HTTP and in the log: what receivers get, what they may do, and that secrets stay secret."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from quantum_monitor.alerts.delivery import Retry, Subscriber
from quantum_monitor.alerts.links import Links, dashboard_url, runbook_url
from quantum_monitor.alerts.notifiers.alertmanager import Alertmanager
from quantum_monitor.alerts.notifiers.log import Log
from quantum_monitor.alerts.notifiers.protocol import DeliveryError, Notifier
from quantum_monitor.alerts.notifiers.slack import Slack
from quantum_monitor.alerts.notifiers.webhook import Webhook
from quantum_monitor.alerts.notifiers.wording import one_line, span
from quantum_monitor.faults import FAULTS
from tests.alertmanager.alertmanager_process import Alertmanager as Server
from tests.alerts.notifier_receivers import HOSTILE, Answer, Receiver, an_alert, http_receiver, resolved
from tests.alerts.slack_contract import check_slack_payload
from tests.server_process import eventually


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with http_receiver() as one:
        yield one


@pytest.fixture(autouse=True)
def _no_secret_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.DEBUG)  # urllib3 tells the path of each request there
    yield
    logged = [record.getMessage() for record in caplog.get_records("call")]
    assert not [line for line in logged if "s3cret" in line]


def failure_of(notifier: Notifier, alert: dict[str, Any] | None = None) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        notifier.send(alert or an_alert())
    error = caught.value
    assert "s3cret" not in f"{error!r} {notifier!r}"
    assert error.__context__ is None, "the exception of requests tells the address"
    return error


# What may go wrong


@pytest.mark.parametrize(
    ("answer", "retry", "after"),
    [
        (Answer(400), False, None),
        (Answer(401), False, None),
        (Answer(404), False, None),
        (Answer(302, {"Location": "http://127.0.0.1:1/"}), False, None),
        (Answer(429, {"Retry-After": "30"}), True, 30.0),
        (Answer(429, {"Retry-After": "soon"}), True, None),
        (Answer(429, {"Retry-After": "-5"}), True, 0.0),
        (Answer(429, {"Retry-After": "nan"}), True, None),
        (Answer(500), True, None),
        (Answer(503, {"Retry-After": "2"}), True, 2.0),
        (Answer(0), True, None),
        (Answer(hangs=True), True, None),
    ],
    ids=lambda value: str(value) if isinstance(value, Answer) else "",
)
def test_a_receivers_answer_decides_whether_another_try_can_help(
    receiver: Receiver, answer: Answer, retry: bool, after: float | None
) -> None:
    receiver.answers.append(answer)
    error = failure_of(Webhook(receiver.url, timeout=0.5 if answer.hangs else 10.0))
    assert (error.retry, error.after) == (retry, after)


def test_a_date_in_retry_after_is_understood(receiver: Receiver) -> None:
    receiver.answers.append(Answer(503, {"Retry-After": formatdate(time.time() + 60, usegmt=True)}))
    after = failure_of(Webhook(receiver.url)).after
    assert after is not None
    assert 50 < after <= 60


def test_a_refused_connection_and_an_unknown_host_may_pass_and_are_named() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        refused = failure_of(Webhook(f"http://127.0.0.1:{sock.getsockname()[1]}/s3cret"))
    assert refused.retry
    assert "Connection refused" in str(refused)
    unknown = failure_of(Slack("http://no-such-host.invalid/s3cret"))
    assert unknown.retry
    assert "no connection" in str(unknown)


def test_a_password_file_of_the_person_does_not_overrule_the_header(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    Webhook(receiver.url).send(an_alert())
    Webhook(receiver.url, "Bearer s3cret").send(an_alert())
    assert [headers.get("Authorization") for _, headers, _ in receiver.requests] == [None, "Bearer s3cret"]


def test_a_receiver_that_stumbles_is_told_once_in_the_end(receiver: Receiver) -> None:
    receiver.answers.extend([Answer(500), Answer(0), Answer(429, {"Retry-After": "0"})])
    before = FAULTS.errors["notifier_webhook"]
    notifier = Webhook(receiver.url)
    subscriber = Subscriber(notifier.name, notifier.send, retry=Retry(first=0.01), where="notifier_webhook")
    subscriber.put(an_alert(value=1.0))
    eventually(lambda: len(receiver.requests) == 4, what="the fourth try")
    assert subscriber.close(20.0)
    assert FAULTS.errors["notifier_webhook"] == before + 3
    assert [body["value"] for body in receiver.bodies] == [1.0] * 4


# The webhook


def test_a_webhook_gets_the_alert_with_a_version_and_its_links(receiver: Receiver) -> None:
    alert = an_alert()
    Webhook(receiver.url, links=Links("https://grafana.example", "https://wiki.example")).send(alert)
    ((path, headers, body),) = receiver.requests
    assert path == "/services/T0/B0/s3cret"
    assert headers["Content-Type"] == "application/json"
    told = json.loads(body)
    assert told.pop("dashboard_url").startswith("https://grafana.example/d/quantum-training?")
    assert told.pop("runbook_url") == "https://wiki.example/gradient_explosion.md"
    assert told.pop("version") == 1
    assert told.pop("host") == socket.gethostname()
    assert told == alert


def test_what_json_cannot_say_becomes_null(receiver: Receiver) -> None:
    Webhook(receiver.url).send(an_alert(value=float("nan"), threshold=float("inf")))
    (told,) = receiver.bodies
    assert (told["value"], told["threshold"]) == (None, None)


# Slack


def texts_of(payload: dict[str, Any]) -> str:
    return json.dumps(payload, ensure_ascii=False)


def test_a_slack_message_says_what_where_how_bad_and_where_to_look(receiver: Receiver) -> None:
    Slack(receiver.url).send(an_alert())
    (payload,) = receiver.bodies
    check_slack_payload(payload)
    assert payload["text"] == "[FIRING critical] gradient_explosion: h2 / bond-0.74"
    told = texts_of(payload)
    for part in ("7200 (threshold 10)", "*Experiment*\\nh2", "*Run*\\nbond-0.74", "*Began*", "*For*\\n1 min", "team=x"):
        assert part in told
    buttons = payload["attachments"][0]["blocks"][-1]["elements"]
    assert {button["text"]["text"]: button["url"] for button in buttons} == {
        "Dashboard": "http://localhost:3000/d/quantum-training?var-experiment=h2&var-run=bond-0.74",
        "Runbook": "https://github.com/quantum-monitor/quantum-monitor/blob/main/docs/runbooks/gradient_explosion.md",
    }


def test_a_resolved_message_looks_different_and_says_how_long_it_lasted(receiver: Receiver) -> None:
    for alert in (an_alert(), resolved(an_alert())):
        Slack(receiver.url).send(alert)
    firing, over = receiver.bodies
    check_slack_payload(over)
    assert over["text"] == "[RESOLVED] gradient_explosion: h2 / bond-0.74"
    assert over["attachments"][0]["color"] != firing["attachments"][0]["color"]
    assert "*Lasted*\\n1 min" in texts_of(over)


@pytest.mark.parametrize("severity", ["high", "medium", "low"])
def test_each_severity_has_a_colour_of_its_own(receiver: Receiver, severity: str) -> None:
    Slack(receiver.url).send(an_alert(severity=severity))
    colours = {"high": "#d92d20", "medium": "#f0a30a", "low": "#3574e2"}
    assert receiver.bodies[0]["attachments"][0]["color"] == colours[severity]


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("state", ["firing", "resolved"])
def test_no_name_breaks_a_slack_message_or_calls_a_channel(receiver: Receiver, name: str, state: str) -> None:
    labels = {"experiment": name, "run": name, "backend": name, **{f"label{i}": name for i in range(10)}}
    Slack(receiver.url).send(an_alert(type=name, message=name, labels=labels, state=state))
    check_slack_payload(receiver.bodies[0])
    assert "\n" not in receiver.bodies[0]["text"]


# Alertmanager

ROUTES = """
route: {receiver: people, group_by: [alertname, run], group_wait: 1s, group_interval: 1s, repeat_interval: 1h}
receivers: [{name: people, webhook_configs: [{url: "%s", send_resolved: true}]}]
"""


@pytest.fixture
def alertmanager(server_binary: Callable[[str], Path], receiver: Receiver, tmp_path: Path) -> Iterator[Server]:
    config = tmp_path / "alertmanager.yml"
    config.write_text(ROUTES % receiver.url)
    with Server(server_binary("prometheus-alertmanager"), config) as server:
        yield server


def test_alertmanager_shows_an_alert_and_tells_of_its_end(alertmanager: Server, receiver: Receiver) -> None:
    notifier = Alertmanager(f"http://{alertmanager.address}", shown=0.0)
    alert = an_alert()
    notifier.send(alert)
    notifier.send(an_alert(started_at=alert["started_at"]))  # said again after a cooldown: the same alert
    (shown,) = alertmanager.ask("GET", "alerts")
    assert shown["labels"] == {
        "alertname": "QuantumGradientExplosion",
        "alert": "gradient_explosion",
        "severity": "critical",
        "experiment": "h2",
        "run": "bond-0.74",
        "team": "x",
    }
    assert (
        shown["annotations"].items()
        >= {
            "summary": "gradient_explosion: h2 / bond-0.74",
            "value": "7200",
            "threshold": "10",
            "dashboard_url": "http://localhost:3000/d/quantum-training?var-experiment=h2&var-run=bond-0.74",
            "runbook_url": runbook_url(alert),
        }.items()
    )
    assert shown["annotations"]["description"].startswith("gradient norm: 7200 is above 10. The Euclidean norm")
    eventually(lambda: receiver.requests, what="the message")
    notifier.send(resolved(alert))
    eventually(lambda: not alertmanager.ask("GET", "alerts"), what="the end")
    eventually(lambda: len(receiver.requests) == 2, what="the message of the end")
    assert [body["status"] for body in receiver.bodies] == ["firing", "resolved"]


def test_an_alert_that_was_over_before_its_group_was_sent_is_told_all_the_same(
    alertmanager: Server, receiver: Receiver
) -> None:
    notifier = Alertmanager(f"http://{alertmanager.address}", stands=6.0, shown=4.0)
    alert = an_alert(started_at=time.time(), duration=0.0)
    notifier.send(alert)
    notifier.send(resolved(alert))
    eventually(lambda: len(receiver.requests) == 2, what="beginning and end")
    assert [body["status"] for body in receiver.bodies] == ["firing", "resolved"]


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_alertmanager_takes_any_name(alertmanager: Server, name: str) -> None:
    labels = {"experiment": name, "run": name}
    notifier = Alertmanager(f"http://{alertmanager.address}")
    notifier.send(an_alert(type=name or "purity", message=name, labels=labels))
    (shown,) = alertmanager.ask("GET", "alerts")
    assert shown["labels"]["alertname"] == "QuantumCustomAlert"
    assert shown["annotations"]["runbook_url"].endswith("/custom_alert.md")


def test_basic_authentication_is_sent_to_alertmanager(receiver: Receiver) -> None:
    Alertmanager(receiver.url, "me", "s3cret").send(an_alert())
    ((path, headers, _),) = receiver.requests
    assert path.endswith("/api/v2/alerts")
    assert headers["Authorization"] == "Basic bWU6czNjcmV0"


# The log


def test_the_log_warns_of_what_fires_and_informs_of_its_end(caplog: pytest.LogCaptureFixture) -> None:
    Log().send(an_alert())
    Log().send(resolved(an_alert()))
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "[FIRING critical] gradient_explosion: h2 / bond-0.74: gradient norm: 7200 is above 10" in caplog.text


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_a_name_cannot_forge_a_line_of_the_log(caplog: pytest.LogCaptureFixture, name: str) -> None:
    Log().send(an_alert(type=name, message=name, labels={"run": name}))
    (record,) = caplog.records
    assert record.getMessage().isprintable()
    assert len(record.getMessage()) < 2_000


# Words and links


def test_durations_are_told_in_two_units() -> None:
    assert [span(s) for s in (0, 0.2, 45, 60, 200, 3_600, 7_500)] == [
        "0 s", "less than 1 s", "45 s", "1 min", "3 min 20 s", "1 h", "2 h 5 min",
    ]  # fmt: skip


def test_one_line_has_no_breaks_controls_or_direction_marks() -> None:
    assert one_line("a\r\nb\x00\u202ec") == "a  b??c"
    assert len(one_line("x" * 1_000)) == 200


def test_links_carry_names_percent_encoded_and_stay_short() -> None:
    hostile = an_alert(labels={"experiment": "a&var-run=b c", "run": "é"})
    assert dashboard_url(hostile, "http://g").endswith("?var-experiment=a%26var-run%3Db+c&var-run=%C3%A9")
    assert dashboard_url(an_alert(labels={"run": "\N{GRINNING FACE}" * 500})).endswith("/d/quantum-training")
    assert dashboard_url({"type": "hardware_temp", "labels": {}}).endswith("/d/quantum-overview")
    assert runbook_url({"type": "../../etc/passwd"}).endswith("/docs/runbooks/custom_alert.md")
