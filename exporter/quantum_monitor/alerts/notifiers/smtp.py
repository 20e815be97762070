"""E-mail, through an SMTP server."""

from __future__ import annotations

import hashlib
import html
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import TYPE_CHECKING, Any, Literal

from quantum_monitor.alerts.links import Links
from quantum_monitor.alerts.notifiers.http import TIMEOUT
from quantum_monitor.alerts.notifiers.options import PORTS
from quantum_monitor.alerts.notifiers.protocol import DeliveryError
from quantum_monitor.alerts.notifiers.wording import Message, describe, one_line

if TYPE_CHECKING:
    import smtplib

Tls = Literal["starttls", "implicit", "none"]

_PAGE = """\
<!DOCTYPE html>
<html><body style="font-family: sans-serif">
<h2 style="border-left: 8px solid {colour}; padding-left: 8px">{headline}</h2>
<p>{sentence}</p>
<table cellpadding="4">{rows}</table>
<p><a href="{dashboard}">Dashboard</a> &middot; <a href="{runbook}">Runbook</a></p>
</body></html>
"""


@dataclass(frozen=True)
class Smtp:
    """Sends each alert as an e-mail, as text and as HTML.

    Attributes:
        host: the server.
        sender: the address that the e-mail comes from.
        to: the addresses that it goes to.
        port: of the server; None for the usual one of ``tls``.
        tls: ``starttls`` (the connection must become encrypted before anything is said), ``implicit`` (it is from the
            start) or ``none``. The certificate must be valid for the host; SSL_CERT_FILE names further authorities.
        user: to log in as; None for no login.
        password: that goes with the user. Not in the repr.
        links: where dashboards and runbooks are.
        timeout: seconds, for the connection and for each answer.
    """

    host: str
    sender: str
    to: tuple[str, ...]
    port: int | None = None
    tls: Tls = "starttls"
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    links: Links = field(default=Links(), kw_only=True)
    timeout: float = field(default=TIMEOUT, kw_only=True)
    name: str = field(default="smtp", init=False)

    def send(self, alert: Mapping[str, Any]) -> None:
        """Send the e-mail.

        Raises:
            DeliveryError: it was not taken, or not for everybody. An answer of 4xx and troubles of the network can be
                tried again; a wrong password, certificate or address cannot.
        """
        import smtplib

        mail = self._mail(alert)
        try:
            with self._connected() as server:
                refused = server.send_message(mail, self.sender, self.to)
                failure = _partly(len(refused), len(self.to)) if refused else None
        except (smtplib.SMTPException, OSError, ValueError) as error:
            failure = _trouble(error, self.timeout)
        if failure is not None:
            raise failure  # out here, so that it does not carry the answer of the server

    def _connected(self) -> smtplib.SMTP:
        """A connection, encrypted and logged in as was asked for."""
        import smtplib

        port = self.port or PORTS[self.tls]
        # Else smtplib asks the name service who we are, which may take longer than any timeout.
        ourselves = socket.gethostname()
        if self.tls == "implicit":
            context = ssl.create_default_context()
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                self.host, port, local_hostname=ourselves, timeout=self.timeout, context=context
            )
        else:
            server = smtplib.SMTP(self.host, port, local_hostname=ourselves, timeout=self.timeout)
        try:
            if self.tls == "starttls":
                server.starttls(context=ssl.create_default_context())
            if self.user is not None:
                server.login(self.user, self.password or "")
        except BaseException:
            server.close()
            raise
        return server

    def _mail(self, alert: Mapping[str, Any]) -> EmailMessage:
        message = describe(alert, self.links)
        mail = EmailMessage()
        domain = self.sender.rpartition("@")[2]
        mail["From"] = self.sender
        mail["To"] = ", ".join(self.to)
        mail["Subject"] = one_line(message.headline)
        mail["Date"] = formatdate()
        mail["Message-ID"] = make_msgid(domain=domain)
        mail["References"] = f"<{_episode(alert)}@{domain}>"  # shows the end of an alert in the thread of its beginning
        mail["Auto-Submitted"] = "auto-generated"  # no answer from those who are on holiday
        mail.set_content(_as_text(message))
        mail.add_alternative(_as_html(message), subtype="html")
        return mail


def _episode(alert: Mapping[str, Any]) -> str:
    """The same word for all messages about one alert, from its beginning to its end."""
    told = repr((alert["type"], sorted((alert.get("labels") or {}).items()), alert["started_at"]))
    return hashlib.sha256(told.encode("utf-8", "backslashreplace")).hexdigest()[:32]


def _as_text(message: Message) -> str:
    facts = [f"{name + ':':<12} {told}" for name, told in _rows(message)]
    links = [f"Dashboard:   {message.dashboard}", f"Runbook:     {message.runbook}"]
    return "\n".join([message.sentence, "", *facts, "", *links, ""])


def _as_html(message: Message) -> str:
    cells = (f"<tr><th align='left'>{name}</th><td>{html.escape(told)}</td></tr>" for name, told in _rows(message))
    return _PAGE.format(
        colour=message.colour,
        headline=html.escape(message.headline),
        sentence=html.escape(message.sentence),
        rows="".join(cells),
        dashboard=html.escape(message.dashboard),
        runbook=html.escape(message.runbook),
    )


def _rows(message: Message) -> list[tuple[str, str]]:
    return [*message.facts, *([("Labels", message.more)] if message.more else [])]


def _partly(refused: int, asked: int) -> DeliveryError:
    return DeliveryError(f"the server took the e-mail, but refused {refused} of {asked} recipients", retry=False)


def _trouble(error: Exception, timeout: float) -> DeliveryError:  # noqa: PLR0911 - one line for each kind of trouble
    """What went wrong, in words that hold no secret, and whether it may pass."""
    import smtplib

    if isinstance(error, smtplib.SMTPRecipientsRefused):
        codes = sorted({code for code, _ in error.recipients.values()})
        told = ", ".join(map(str, codes))
        return DeliveryError(f"the server answered {told} to every recipient", retry=_passing(codes[0]))
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return DeliveryError(
            f"the server answered {error.smtp_code} to user and password", retry=_passing(error.smtp_code)
        )
    if isinstance(error, smtplib.SMTPResponseException):
        return DeliveryError(f"the server answered {error.smtp_code}", retry=_passing(error.smtp_code))
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return DeliveryError("the server offers no STARTTLS or no login; see the setting tls", retry=False)
    if isinstance(error, ssl.SSLCertVerificationError):
        return DeliveryError(f"the server's certificate is refused: {error.verify_message}", retry=False)
    if isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError):
        return DeliveryError(f"no answer within {timeout:g} s", retry=True)
    if isinstance(error, smtplib.SMTPServerDisconnected):
        return DeliveryError("the server closed the connection", retry=True)
    if isinstance(error, OSError) and not isinstance(error, smtplib.SMTPException):
        return DeliveryError(f"no connection ({error.strerror or type(error).__name__})", retry=True)
    return DeliveryError(f"the e-mail cannot be sent ({type(error).__name__})", retry=False)


def _passing(code: int) -> bool:
    """Whether a reply code stands for trouble that passes."""
    return 400 <= code < 500 or code == -1  # smtplib's own, for an answer that was none
