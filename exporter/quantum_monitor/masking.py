"""Secrets that people put into parameters, tags and addresses, hidden in what is made to be shown to others."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

HIDDEN = "(hidden)"
"""What stands in the place of a secret."""

_WORD_BEGINS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_SECRET_NAME = re.compile(
    r"passw(or)?d|passphrase|secret|credential|api_?key|(access|private|secret|account|encryption|ssh|signing)_?key"
    r"|token(_|$)|(^|_)(pwd|pass|auth|authorization|bearer|cookie|jwt|dsn|sig|signature)(_|$)|webhook|connection_?string"
)
_ADDRESS = re.compile(r"(?P<begin>\b[A-Za-z][A-Za-z0-9+.-]{0,30}://)[^\s/?#@]*(?:@[^\s/?#@]*)*@")
_ASSIGNED = re.compile(r"""(?<![A-Za-z0-9_.])([A-Za-z][\w.-]{0,60})["']?[ ]?[=:][ ]?(?!//)""")
_ASSIGNED_VALUE = re.compile(
    r"""\[[^]]*]?|\{[^}]*}?|\([^)]*\)?|"[^"]*"?|'[^']*'?|(?:(?:Bearer|Basic)[ ]+)?[^\s&;,"']+"""
)
_KNOWN_SHAPES = re.compile(
    r"\b(?:gh[opsur]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{20,}|hf_\w{20,}|sk-[\w-]{20,}|xox[abeprs]-[\w-]{10,}"
    r"|(?:AKIA|ASIA)[0-9A-Z]{16}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*)"
    r"|(?<=hooks\.slack\.com/)[\w/]+|(?i:\bbearer )[\w.~+/=-]{8,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
)
_DEEPEST = 20


def is_secret(name: str) -> bool:
    """Whether a name says that its value is a secret: ``password``, ``IBM_TOKEN``, ``apiKey``; not ``max_tokens``."""
    words = _WORD_BEGINS.sub("_", name[:256]).lower()
    return _SECRET_NAME.search(re.sub(r"[^a-z0-9]+", "_", words).strip("_")) is not None


def text(told: str) -> str:
    """A text without the secrets in it.

    Hidden are user and password of an address, what ``password=``, ``token:`` and the like stand before, and keys whose
    shape gives them away, such as GitHub's.
    """
    told = _ADDRESS.sub(rf"\g<begin>{HIDDEN}@", told)
    return _KNOWN_SHAPES.sub(HIDDEN, "".join(_without_assigned(told)))


def values(given: Mapping[str, Any], *, depth: int = 0) -> dict[str, Any]:
    """A mapping, and those in it, without secrets: in the place of each stands `HIDDEN`. True, False and None stay."""
    return {
        name: HIDDEN if is_secret(str(name)) and not isinstance(value, (bool, type(None))) else _value(value, depth)
        for name, value in given.items()
    }


def _value(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return text(value)
    if depth >= _DEEPEST:
        return HIDDEN if isinstance(value, (Mapping, list, tuple)) else value
    if isinstance(value, Mapping):
        return values(value, depth=depth + 1)
    if isinstance(value, (list, tuple)):
        return [_value(item, depth + 1) for item in value]
    return value


def _without_assigned(told: str) -> Iterator[str]:
    """The pieces of a text, in the place of each value behind ``NAME=`` or ``NAME:`` the mark, if it is a secret's."""
    kept = 0
    for name in _ASSIGNED.finditer(told):
        value = _ASSIGNED_VALUE.match(told, name.end())
        if name.start() >= kept and value is not None and is_secret(name[1]):
            quote = value[0][0] if value[0][0] in "\"'" else ""
            yield f"{told[kept : name.end()]}{quote}{HIDDEN}{quote}"
            kept = value.end()
    yield told[kept:]
