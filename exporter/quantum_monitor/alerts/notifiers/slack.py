"""Slack, through an incoming webhook."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from quantum_monitor.alerts.links import Links
from quantum_monitor.alerts.notifiers.http import TIMEOUT, post
from quantum_monitor.alerts.notifiers.wording import Message, describe

# Slack refuses a whole message for one text that is too long: 3,000 characters in a section, 2,000 in each of its ten
# fields. Escaping makes five characters of one at most, and the wording cuts names at 200 and sentences at 400.
_CONTEXT_LENGTH = 500


@dataclass(frozen=True)
class Slack:
    """Posts each alert as a message with a coloured attachment and buttons for dashboard and runbook.

    Attributes:
        webhook_url: the address of the incoming webhook: a secret, not in the repr.
        links: where dashboards and runbooks are.
        timeout: seconds, for the connection and for each part of the answer.
    """

    webhook_url: str = field(repr=False)
    links: Links = field(default=Links(), kw_only=True)
    timeout: float = field(default=TIMEOUT, kw_only=True)
    name: str = field(default="slack", init=False)

    def send(self, alert: Mapping[str, Any]) -> None:
        """Post the message.

        Raises:
            DeliveryError: it did not arrive.
        """
        post(self.webhook_url, payload(describe(alert, self.links)), timeout=self.timeout)


def payload(message: Message) -> dict[str, Any]:
    """The message as Slack wants it; the headline is what a notification shows."""
    blocks: list[dict[str, Any]] = [
        {"type": "section", "text": _markup(escaped(message.sentence))},
        {"type": "section", "fields": [_markup(f"*{name}*\n{escaped(told)}") for name, told in message.facts]},
    ]
    if message.more:
        blocks.append({"type": "context", "elements": [_markup(escaped(message.more[:_CONTEXT_LENGTH]))]})
    blocks.append(
        {
            "type": "actions",
            "elements": [_button("Dashboard", message.dashboard), _button("Runbook", message.runbook)],
        }
    )
    return {
        "text": escaped(message.headline),
        "mrkdwn": False,  # nothing in the headline is bold but what a name would make so
        "attachments": [{"color": message.colour, "fallback": escaped(message.headline), "blocks": blocks}],
    }


def escaped(untrusted: str) -> str:
    """Text in which Slack finds no mention, channel or link."""
    return untrusted.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _markup(told: str) -> dict[str, Any]:
    # Verbatim: Slack makes no links and mentions of what looks like one. It refuses empty texts.
    return {"type": "mrkdwn", "text": told if told.strip() else "-", "verbatim": True}


def _button(label: str, url: str) -> dict[str, Any]:
    return {"type": "button", "text": {"type": "plain_text", "text": label}, "url": url}
