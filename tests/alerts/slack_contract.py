"""What Slack takes as the payload of an incoming webhook, and refuses otherwise, as its documentation has it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_TOP = {"text", "mrkdwn", "blocks", "attachments", "channel", "username", "icon_emoji", "icon_url", "link_names",
        "unfurl_links", "unfurl_media", "thread_ts"}  # fmt: skip
_ATTACHMENT_TEXTS = {"title", "title_link", "text", "pretext", "fallback", "footer", "color", "callback_id",
                     "image_url", "thumb_url", "author_name"}  # fmt: skip
_NAMED_COLOURS = {"good", "warning", "danger"}
_MENTION = re.compile(r"<(?:!|@|#)[^>]*>")
_LINK = re.compile(r"<https?://[^<>|\s]+(?:\|[^<>]*)?>")


def check_slack_payload(payload: Mapping[str, Any]) -> None:
    """Assert that Slack would take the payload and that it mentions nobody.

    Takes messages with Block Kit and the older attachments with title, text, fields and actions, which is what
    Alertmanager sends.
    """
    assert set(payload) <= _TOP, f"Slack knows no {set(payload) - _TOP}"
    assert payload.get("text") or payload.get("blocks") or payload.get("attachments"), "no_text"
    _check_text(payload.get("text", ""), 40_000)
    assert len(payload.get("attachments", [])) <= 100, "too_many_attachments"
    blocks = list(payload.get("blocks", []))
    for attachment in payload.get("attachments", []):
        _check_attachment(attachment)
        blocks += attachment.get("blocks", [])
    assert len(blocks) <= 50, "a message has 50 blocks at most"
    for block in blocks:
        _check_block(block)


def _check_attachment(attachment: Mapping[str, Any]) -> None:
    for name in _ATTACHMENT_TEXTS & set(attachment):
        _check_text(attachment[name], 8_000)
    if colour := attachment.get("color"):
        assert colour in _NAMED_COLOURS or re.fullmatch(r"#[0-9a-fA-F]{6}", colour), f"color {colour!r}"
    if link := attachment.get("title_link"):
        _check_url(link)
    for field in attachment.get("fields") or []:
        assert set(field) <= {"title", "value", "short"}, field
        _check_text(field.get("title", ""), 2_000)
        _check_text(field.get("value", ""), 2_000)
    actions = attachment.get("actions") or []
    assert len(actions) <= 5, "an attachment has five actions at most"
    for action in actions:
        assert action["type"] == "button", action
        _check_text(action["text"], 75)
        _check_url(action["url"])
    assert any(attachment.get(name) for name in ("text", "title", "pretext", "fallback", "blocks", "fields")), "no_text"


def _check_block(block: Mapping[str, Any]) -> None:
    kind = block["type"]
    assert kind in {"section", "header", "actions", "context", "divider"}, f"unknown block {kind!r}"
    if kind == "header":
        assert block["text"]["type"] == "plain_text", "a header is plain text"
        _check_text_object(block["text"], 150)
    if kind == "section":
        assert block.get("text") or block.get("fields"), "a section has text or fields"
        if "text" in block:
            _check_text_object(block["text"], 3_000)
        assert len(block.get("fields", [])) <= 10, "a section has ten fields at most"
        for field in block.get("fields", []):
            _check_text_object(field, 2_000)
    if kind == "context":
        assert 1 <= len(block["elements"]) <= 10, "a context has one to ten elements"
        for element in block["elements"]:
            _check_text_object(element, 3_000)
    if kind == "actions":
        assert 1 <= len(block["elements"]) <= 25, "actions have one to 25 elements"
        for element in block["elements"]:
            assert element["type"] == "button", element
            assert element["text"]["type"] == "plain_text", "a button's text is plain"
            _check_text_object(element["text"], 75)
            _check_url(element["url"])


def _check_text_object(told: Mapping[str, Any], length: int) -> None:
    assert told["type"] in {"plain_text", "mrkdwn"}, told
    assert set(told) <= {"type", "text", "verbatim", "emoji"}, told
    assert told["text"], "a text is at least one character long"
    _check_text(told["text"], length)


def _check_text(told: object, length: int) -> None:
    assert isinstance(told, str), f"{told!r} is no text"
    assert len(told) <= length, f"a text of {len(told)} characters, {length} at most: {told[:80]!r}"
    assert not _MENTION.search(told), f"somebody is mentioned: {told[:200]!r}"
    assert not re.search(r"[<>]", _LINK.sub("", told)), f"not escaped: {told[:200]!r}"
    assert not re.search(r"&(?!amp;|lt;|gt;)", _LINK.sub("", told)), f"not escaped: {told[:200]!r}"
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", told), f"a control character: {told[:200]!r}"


def _check_url(url: object) -> None:
    assert isinstance(url, str), f"{url!r} is no address"
    assert len(url) <= 3_000, f"an address of {len(url)} characters"
    assert re.fullmatch(r"https?://[^\s<>\"]+", url), f"{url[:200]!r} is no address"
