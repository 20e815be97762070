"""Any text as what MLflow takes: names that its validators and databases accept, values within their limits."""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from typing import Any

PARAM_LENGTH, TAG_LENGTH, EXPERIMENT_LENGTH, RUN_NAME_LENGTH = 6_000, 8_000, 500, 250
_KEY_LENGTH = 250
_SLUG_LENGTH = 200

# Word characters beyond the basic plane are valid to MLflow, but not to every database behind it.
_WORD = r"[^\W\U00010000-\U0010ffff]"
_VALID_KEY = re.compile(rf"(?:{_WORD}|[/.\- :])+")
_INVALID_IN_KEY = re.compile(rf"(?:(?!{_WORD})[^.\- :])+")
_INVALID_IN_MODEL = re.compile(rf"(?:(?!{_WORD})[^.\- ])+")
_LOOKS_HASHED = re.compile(r"-[0-9a-f]{12}\Z")


def key(name: str) -> str:
    """A name of a metric, parameter or tag as MLflow takes it: the name itself, else a readable part and a hash.

    MLflow allows letters, digits and ``_ - . / :`` and spaces, 250 characters at most, and nothing that as a path
    would be another path. Two names never give the same key, see `quantum_monitor.store.layout.safe_name`.

    Example:
        >>> key("circuit/ibm_brisbane/depth")
        'circuit/ibm_brisbane/depth'
        >>> key("<loss>")
        'loss-91838b858625'
    """
    fits = len(name) <= _KEY_LENGTH and _VALID_KEY.fullmatch(name) and name == name.strip()
    if fits and not _resolves_elsewhere(name) and not _LOOKS_HASHED.search(name):
        return name
    parts = (_INVALID_IN_KEY.sub("_", part).strip("_. ") for part in name[:_SLUG_LENGTH].split("/"))
    return _hashed("/".join(filter(None, parts)), name)


def model(name: str) -> str:
    """A name of a registered model as MLflow takes it: like `key`, and without slashes and colons."""
    if key(name) == name and not _INVALID_IN_MODEL.search(name):
        return name
    return _hashed(_INVALID_IN_MODEL.sub("_", name[:_SLUG_LENGTH]).strip("_. "), name)


def value(given: Any) -> str:
    """A parameter's value as text: as ``str`` has it, lists and mappings as JSON."""
    text = json.dumps(given, ensure_ascii=False) if isinstance(given, (dict, list, tuple)) else str(given)
    return clipped(text, PARAM_LENGTH)


def clipped(text: str, length: int) -> str:
    """A text that databases can hold, cut to a length; what was cut says how long it was, and its hash."""
    text = text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
    if len(text) <= length:
        return text
    note = f" [cut from {len(text)} characters, SHA-256 {_digest(text)}]"
    return text[: length - len(note)] + note


def _resolves_elsewhere(name: str) -> bool:
    path = posixpath.normpath(name)
    return path != name or path == "." or path.startswith(("..", "/"))


def _hashed(slug: str, name: str) -> str:
    return f"{slug or 'unnamed'}-{_digest(name)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
