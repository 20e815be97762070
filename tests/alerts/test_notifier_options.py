"""The setting `notifiers`: what is refused and how, where secrets come from, and that nobody sees them."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from quantum_monitor import QuantumMonitor
from quantum_monitor.alerts.notifiers.alertmanager import Alertmanager
from quantum_monitor.alerts.notifiers.building import build
from quantum_monitor.alerts.notifiers.log import Log
from quantum_monitor.alerts.notifiers.slack import Slack
from quantum_monitor.alerts.notifiers.smtp import Smtp
from quantum_monitor.alerts.notifiers.webhook import Webhook
from quantum_monitor.config import ConfigurationError, Settings, check, load_settings
from quantum_monitor.faults import FAULTS
from tests.alerts.notifier_receivers import Receiver, an_alert, http_receiver

URL = "https://hooks.example/services/s3cret"
MAIL = {"host": "mail.example.org", "sender": "a@b.org", "to": ["c@d.org"]}


@pytest.fixture
def secret(tmp_path: Path) -> Callable[..., str]:
    def write(content: str | bytes = "s3cret", name: str = "secret") -> str:
        file = tmp_path / name
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(file)

    return write


def load(notifiers: object, environ: Mapping[str, str] | None = None) -> Settings:
    return load_settings({"notifiers": notifiers}, environ=environ or {})


def problems_of(notifiers: object, environ: Mapping[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(notifiers, environ)
    assert "s3cret" not in str(caught.value)
    return caught.value.problems


def test_nobody_is_notified_unless_asked_for() -> None:
    assert build(load_settings({}, environ={"QUANTUM_MONITOR_SLACK_WEBHOOK_URL": URL})) == []


def test_every_kind_is_built_with_its_secrets_from_files(secret: Callable[..., str]) -> None:
    settings = load(
        {
            "slack": {"webhook_url_file": secret(f"{URL}\r\nmore", "slack")},
            "smtp": {**MAIL, "port": 2525, "user": "u", "password_file": secret("s3cret ", "smtp"), "tls": "implicit"},
            "webhook": {"url_file": secret(URL, "hook"), "authorization_file": secret("Bearer s3cret", "token")},
            "alertmanager": {"url": "http://127.0.0.1:9093/am/", "user": "u", "password_file": secret("pw", "am")},
            "log": None,
        }
    )
    assert build(settings) == [
        Slack(URL),
        Smtp("mail.example.org", "a@b.org", ("c@d.org",), 2525, "implicit", "u", "s3cret "),
        Webhook(URL, "Bearer s3cret"),
        Alertmanager("http://127.0.0.1:9093/am", "u", "pw"),
        Log(),
    ]
    assert build(pickle.loads(pickle.dumps(settings))) == build(settings)  # noqa: S301 - our own bytes


def test_secrets_come_from_the_environment_and_a_file_is_stronger(secret: Callable[..., str]) -> None:
    environ = {
        "QUANTUM_MONITOR_NOTIFIERS": "{slack: {}, smtp: {host: mail, sender: a@b.org, to: [c@d.org], user: u},"
        " webhook: {url: 'https://x.example'}, alertmanager: {url: 'http://am:9093', user: u}}",
        "QUANTUM_MONITOR_SLACK_WEBHOOK_URL": URL,
        "QUANTUM_MONITOR_SMTP_PASSWORD": "pw1",
        "QUANTUM_MONITOR_WEBHOOK_AUTHORIZATION": "Bearer b",
        "QUANTUM_MONITOR_ALERTMANAGER_PASSWORD": "pw2",
    }
    before = FAULTS.errors["environment"]
    slack, smtp, webhook, alertmanager = build(load_settings({}, environ=environ))
    assert FAULTS.errors["environment"] == before, "no variable is taken for a misspelt one"
    assert slack == Slack(URL)
    assert isinstance(smtp, Smtp)
    assert smtp.password == "pw1"
    assert webhook == Webhook("https://x.example", "Bearer b")
    assert alertmanager == Alertmanager("http://am:9093", "u", "pw2")
    file = secret("https://other.example/s3cret")
    assert build(load({"slack": {"webhook_url_file": file}}, environ)) == [Slack("https://other.example/s3cret")]


def test_links_go_where_the_settings_say() -> None:
    given = {"notifiers": {"log": {}}, "grafana_url": "https://g.example/", "runbook_url": "https://wiki/x"}
    (log,) = build(load_settings(given, environ={}))
    assert isinstance(log, Log)
    assert (log.links.grafana, log.links.runbooks) == ("https://g.example", "https://wiki/x")


def test_a_notifier_is_spared_lesser_alerts_than_it_asked_for() -> None:
    with http_receiver() as receiver:
        (webhook,) = build(load({"webhook": {"url": receiver.url, "min_severity": "medium"}}))
        for severity in ("low", "medium", "high"):
            webhook.send(an_alert(severity=severity))
        assert [body["severity"] for body in receiver.bodies] == ["medium", "high"]
        assert webhook.name == "webhook"


@pytest.mark.parametrize(
    ("notifiers", "told"),
    [
        (["slack"], "notifiers: is not a mapping"),
        ({"slak": {}}, "notifiers.slak: there is no such notifier; did you mean slack?"),
        ({"log": "yes"}, "notifiers.log: is not a mapping of options"),
        ({"log": {"min_severty": "low"}}, "did you mean min_severity?"),
        ({"log": {"min_severity": "critical"}}, "'critical' is unknown; give one of high, medium, low"),
        ({"slack": {"webhook_url": URL}}, "a secret does not belong here; write it into a file and name that in web"),
        ({"slack": {"url": URL}}, "notifiers.slack.url: there is no such option of slack; known are webhook_url_file"),
        ({"slack": {}}, "notifiers.slack.webhook_url: is missing; name a file in webhook_url_file, or set QUANTUM_"),
        ({"webhook": {"url": "hooks.example/s3cret"}}, "notifiers.webhook.url: is no web address"),
        ({"webhook": {"url": "https://me:s3cret@hooks.example"}}, "has a user or password in it"),
        ({"webhook": {"url": "https://a b.example/s3cret"}}, "is no web address"),
        ({"webhook": {"url": "https://x:99999/s3cret"}}, "is no web address"),
        ({"webhook": {"url": "https://x/\r\ns3cret"}}, "is no web address"),
        ({"smtp": {**MAIL, "password": "s3cret"}}, "notifiers.smtp.password: a secret does not belong here"),
        ({"smtp": {**MAIL, "user": "u"}}, "notifiers.smtp.password: is missing"),
        ({"smtp": {**MAIL, "tls": False}}, "False is unknown; give one of starttls, implicit, none"),
        ({"smtp": {**MAIL, "port": 0}}, "notifiers.smtp.port: 0 is out of range"),
        ({"smtp": {**MAIL, "host": "mail:25"}}, "'mail:25' is no host"),
        ({"smtp": {**MAIL, "to": "c@d.org"}}, "'c@d.org' is no list"),
        ({"smtp": {**MAIL, "to": []}}, "is no list"),
        ({"smtp": {**MAIL, "to": ["c@d.org\nBcc: e@f.org"]}}, "is no e-mail address"),
        ({"smtp": {**MAIL, "sender": "Me <a@b.org>"}}, "is no e-mail address"),
        ({"smtp": {"sender": "a@b.org", "to": ["c@d.org"]}}, "notifiers.smtp: has no host"),
        ({"alertmanager": {}}, "notifiers.alertmanager: has no url"),
        ({"alertmanager": {"url": "http://am:9093/?s3"}}, "has a query or fragment"),
    ],
)
def test_what_cannot_be_used_is_told_with_its_field_and_the_mend(notifiers: object, told: str) -> None:
    (problem,) = problems_of(notifiers)
    assert told in problem
    assert problem.startswith("notifiers")


@pytest.mark.parametrize("content", ["", "\n", " \ns3cret", b"\xff", "s3cret", "http://me:s3cret@x"])
def test_a_wrong_secret_file_is_told_with_file_and_field(secret: Callable[..., str], content: str | bytes) -> None:
    file = secret(content, "hook")
    (problem,) = problems_of({"slack": {"webhook_url_file": file}})
    assert problem.startswith("notifiers.slack.webhook_url_file: ")
    assert "hook" in problem


def test_a_missing_file_and_a_directory_are_told(tmp_path: Path) -> None:
    assert "No such file" in problems_of({"slack": {"webhook_url_file": str(tmp_path / "nothing")}})[0]
    assert "Is a directory" in problems_of({"slack": {"webhook_url_file": str(tmp_path)}})[0]


def test_a_secret_given_twice_or_without_a_user_is_refused(secret: Callable[..., str]) -> None:
    assert "keep one" in problems_of({"webhook": {"url": "https://x.example", "url_file": secret(URL)}})[0]
    assert "without a user" in problems_of({"smtp": {**MAIL, "password_file": secret()}})[0]


def test_check_tells_every_problem_with_its_line_and_asks_for_no_variable(tmp_path: Path) -> None:
    file = tmp_path / "monitor.yml"
    file.write_text(
        "notifiers:\n"
        "  slack: {webhook_url_fil: x}\n"
        "  smtp:\n"
        "    host: mail\n"
        "    tls: tls\n"
        "  pager: {}\n"
        "grafana_url: localhost:3000\n"
    )
    assert [problem.split(": ")[:2] for problem in check(file)] == [
        ["line 2", "notifiers.slack.webhook_url_fil"],
        ["line 3", "notifiers.smtp"],
        ["line 3", "notifiers.smtp"],
        ["line 5", "notifiers.smtp.tls"],
        ["line 6", "notifiers.pager"],
        ["line 7", "grafana_url"],
    ]
    file.write_text("notifiers: {slack: {}, webhook: {}}\n")
    assert check(file) == []
    file.write_text("notifiers: {slack: {webhook_url_file: /no/such/file}}\n")
    assert "notifiers.slack.webhook_url_file: '/no/such/file' cannot be read" in check(file)[0]


def test_no_secret_stands_in_a_repr_a_run_or_an_export(
    new_monitor: Callable[..., QuantumMonitor], secret: Callable[..., str], tmp_path: Path
) -> None:
    with http_receiver() as receiver:
        _no_secret_anywhere(receiver, new_monitor, secret(), tmp_path)


def _no_secret_anywhere(receiver: Receiver, new_monitor: Callable[..., Any], file: str, tmp_path: Path) -> None:
    notifiers = {"webhook": {"url": receiver.url, "authorization_file": file}}
    settings = load(notifiers)
    assert "s3cret" not in repr(settings) + repr(build(settings))
    monitor = new_monitor(notifiers=notifiers)
    with monitor.start_run("a"):
        monitor.log_training_step(0.5, [1e9], [0.1], 0)
    monitor.export_metrics(tmp_path / "export.json", "comprehensive")
    written = [path for path in tmp_path.rglob("*") if path.is_file() and str(path) != file]
    assert written
    assert not [path for path in written if b"s3cret" in path.read_bytes()]
    assert "s3cret" not in json.dumps(monitor.get_comprehensive_summary(), default=str)
