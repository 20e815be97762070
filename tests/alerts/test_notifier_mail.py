"""E-mail: what stands in it, what a server may do, and when it is sent without encryption."""

from __future__ import annotations

import logging
import re
import socket
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from quantum_monitor.alerts.notifiers.protocol import DeliveryError
from quantum_monitor.alerts.notifiers.smtp import Smtp
from tests.alertmanager.receivers import part
from tests.alerts.notifier_receivers import HOSTILE, Post, an_alert, resolved, smtp_receiver

PEOPLE = ("one@example.org", "two@example.org")


@pytest.fixture(autouse=True)
def _no_secret_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.DEBUG)
    yield
    logged = [record.getMessage() for record in caplog.get_records("call")]
    assert not [line for line in logged if "s3cret" in line]


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Post]:
    with smtp_receiver(tmp_path, tls="none") as post:
        yield post


def mail_to(post: Post, **options: Any) -> Smtp:
    return Smtp(**{"host": "localhost", "sender": "monitor@example.org", "to": PEOPLE, "port": post.port, **options})


def failure_of(notifier: Smtp) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        notifier.send(an_alert())
    assert "s3cret" not in f"{caught.value!r} {notifier!r}"
    assert caught.value.__context__ is None
    return caught.value


# How it is sent


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_an_e_mail_is_sent_encrypted_and_logged_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tls: str) -> None:
    with smtp_receiver(tmp_path, tls=tls, password="s3cret") as post:
        monkeypatch.setenv("SSL_CERT_FILE", str(post.authority))
        mail_to(post, tls=tls, user="monitor", password="s3cret").send(an_alert())
        (mail,) = post.box.messages()
    assert mail["To"] == ", ".join(PEOPLE)
    assert post.logins == [b"monitor"]


def test_a_wrong_password_is_told_and_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with smtp_receiver(tmp_path, password="right") as post:
        monkeypatch.setenv("SSL_CERT_FILE", str(post.authority))
        error = failure_of(mail_to(post, user="monitor", password="s3cret"))
    assert not error.retry
    assert str(error) == "the server answered 535 to user and password"


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_a_certificate_of_an_unknown_authority_is_refused(tmp_path: Path, tls: str) -> None:
    with smtp_receiver(tmp_path, tls=tls) as post:
        error = failure_of(mail_to(post, tls=tls))
        assert post.box.messages() == []
    assert not error.retry
    assert "certificate" in str(error)


def test_nothing_is_sent_in_the_clear_unless_asked_for(plain: Post) -> None:
    error = failure_of(mail_to(plain))
    assert not error.retry
    assert "STARTTLS" in str(error)
    assert plain.box.messages() == []
    mail_to(plain, tls="none").send(an_alert())
    assert len(plain.box.messages()) == 1


def test_a_server_that_is_not_there_or_says_nothing_may_come_back() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        nobody = Smtp("127.0.0.1", "monitor@example.org", PEOPLE, sock.getsockname()[1], timeout=0.3)
        refused = failure_of(nobody)
        sock.listen()
        silent = failure_of(nobody)
    assert refused.retry
    assert "Connection refused" in str(refused)
    assert silent.retry
    assert str(silent) == "no answer within 0.3 s"


@pytest.mark.parametrize(("code", "retry"), [(451, True), (550, False)])
def test_a_reply_decides_whether_another_try_can_help(
    plain: Post, monkeypatch: pytest.MonkeyPatch, code: int, retry: bool
) -> None:
    async def refuse(*_: object) -> str:
        return f"{code} no"

    monkeypatch.setattr(plain.box, "handle_RCPT", refuse, raising=False)
    error = failure_of(mail_to(plain, tls="none"))
    assert error.retry is retry
    assert str(code) in str(error)


# What stands in it


def test_an_e_mail_says_what_where_how_bad_and_where_to_look(plain: Post) -> None:
    mail_to(plain, tls="none").send(an_alert())
    (mail,) = plain.box.messages()
    assert mail["Subject"] == "[FIRING critical] gradient_explosion: h2 / bond-0.74"
    assert mail["Auto-Submitted"] == "auto-generated"
    for kind in ("plain", "html"):
        told = part(mail, kind)
        for fact in ("7200 (threshold 10)", "critical", "bond-0.74", "1 min", "team=x", "/d/quantum-training?",
                     "docs/runbooks/gradient_explosion.md"):  # fmt: skip
            assert fact in told


def test_the_end_of_an_alert_stands_in_the_thread_of_its_beginning(plain: Post) -> None:
    alert, other = an_alert(), an_alert(labels={"run": "b"})
    for told in (alert, resolved(alert), other):
        mail_to(plain, tls="none").send(told)
    begin, end, elsewhere = plain.box.messages()
    assert begin["References"] == end["References"] != elsewhere["References"]
    assert begin["Message-ID"] != end["Message-ID"]
    assert end["Subject"] == "[RESOLVED] gradient_explosion: h2 / bond-0.74"
    assert "Lasted" in part(end, "plain")


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002 - the base's
        self.seen.append(tag)


def tags_of(page: str) -> list[str]:
    parser = _Tags()
    parser.feed(page)
    return parser.seen


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_no_name_adds_a_header_a_recipient_or_a_tag(plain: Post, name: str) -> None:
    labels = {"experiment": name, "run": name, "team": name}
    for kind in (name, "harmless"):
        labels = {"experiment": kind, "run": kind, "team": kind}
        mail_to(plain, tls="none").send(an_alert(message=kind, labels=labels))
    hostile, harmless = plain.box.messages()
    assert hostile.keys() == harmless.keys()
    assert hostile["To"] == harmless["To"] == ", ".join(PEOPLE)
    assert len(hostile["Subject"]) <= 200
    assert tags_of(part(hostile, "html")) == tags_of(part(harmless, "html"))
    lines = [len(part(mail, "plain").splitlines()) for mail in (hostile, harmless)]
    assert lines[0] == lines[1], "a name cannot forge a line"
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", part(hostile, "plain"))
