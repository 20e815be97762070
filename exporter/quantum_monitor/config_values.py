"""Readers: each checks one kind of configured value and brings it into one form, or raises with the mend."""

from __future__ import annotations

import ipaddress
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from quantum_monitor.alerts.rules import WrongValueError, finite, read_alert_config, short
from quantum_monitor.config_file import Place
from quantum_monitor.names import label_value

Reader = Callable[[Any], Any]

RESERVED_LABELS = frozenset({
    "experiment", "run", "run_id", "framework", "version", "git_commit", "backend", "status", "currency", "kind",
    "operation", "name", "alert", "severity", "job", "instance", "le", "quantile", "sink", "reason", "where", "call",
    "python",
})  # fmt: skip
_LABELS_AT_MOST = 10
_LABEL_VALUE_LENGTH = 128
_BUCKETS_AT_MOST = 20
_SECRET_BYTES_AT_MOST = 4_096
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", re.ASCII)
_LABEL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


class WrongEntriesError(WrongValueError):
    """Several entries of a mapping are wrong: pairs of their place in it (empty for the whole) and a sentence."""

    def __init__(self, entries: list[tuple[Place, str]]) -> None:
        super().__init__("; ".join(": ".join(filter(None, (".".join(place), text))) for place, text in entries))
        self.entries = entries


def text(value: Any) -> str:
    """A text that is not empty."""
    if not isinstance(value, str):
        raise WrongValueError(f"{short(value)} is not a text; put it in quotes")
    if not value.strip():
        raise WrongValueError("is empty; give a text")
    return value


def secret_text(value: Any) -> str:
    """A text that may hold a secret, as the address of a server with a password in it does: never shown."""
    if not isinstance(value, str) or not value.strip():
        raise WrongValueError(f"is not a text with anything in it but {type(value).__name__}; give a text")
    return value


def flag(value: Any) -> bool:
    """True or False, and nothing that merely looks like it."""
    if not isinstance(value, bool):
        raise WrongValueError(f"{short(value)} is neither true nor false; give one of them")
    return value


def flag_word(word: str) -> bool:
    """A switch as people write it into an environment variable."""
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if word.strip().lower() not in words:
        raise WrongValueError(f"{short(word)} is neither true nor false; give one of {', '.join(words)}")
    return words[word.strip().lower()]


def one_of(*words: str) -> Reader:
    """One of some words."""

    def read(value: Any) -> str:
        if value not in words:
            raise WrongValueError(f"{short(value)} is not known; give one of {', '.join(words)}")
        return str(value)

    return read


def whole(low: int, high: int) -> Reader:
    """A whole number from ``low`` to ``high``."""

    def read(value: Any) -> int:
        mend = f"give a whole number from {low} to {high}"
        if isinstance(value, bool):
            raise WrongValueError(f"{short(value)} is not a whole number; {mend}")
        try:
            number = operator.index(value)
        except TypeError:
            raise WrongValueError(f"{short(value)} is not a whole number; {mend}") from None
        if not low <= number <= high:
            raise WrongValueError(f"{number} is out of range; {mend}")
        return number

    return read


def number(low: float, high: float) -> Reader:
    """A number from ``low`` to ``high``."""

    def read(value: Any) -> float:
        result = finite(value, f"give a number from {low:g} to {high:g}")
        if not low <= result <= high:
            raise WrongValueError(f"{short(value)} is out of range; give a number from {low:g} to {high:g}")
        return result

    return read


def optional(read: Reader) -> Reader:
    """None, or what ``read`` takes."""
    return lambda value: None if value is None else read(value)


def path(value: Any) -> Path:
    """A path; ``~`` is the home directory."""
    if not isinstance(value, str | Path) or not str(value).strip():
        raise WrongValueError(f"{short(value)} is not a path; give a text such as './runs'")
    if "\0" in str(value):
        raise WrongValueError("has a NUL character, which no path may have; leave it out")
    return Path(value).expanduser()


def existing_file(value: Any) -> Path:
    """The path of a file that is there and can be read."""
    file = path(value)
    try:
        with file.open("rb"):
            return file
    except OSError as error:
        raise WrongValueError(f"{short(str(file))} cannot be read: {error.strerror}; give the path of a file") from None


def first_line(file: Path) -> str:
    """The secret that a file holds in its first line."""
    try:
        with file.open("rb") as stream:
            line = stream.readline(_SECRET_BYTES_AT_MOST).decode().rstrip("\r\n")
    except OSError as error:
        raise WrongValueError(f"{short(str(file))} cannot be read: {error.strerror}; give a readable file") from None
    except UnicodeDecodeError:
        raise WrongValueError(f"{short(str(file))} is not UTF-8 text; write the secret there as text") from None
    if not line.strip():
        raise WrongValueError(f"{short(str(file))} has an empty first line; write the secret there")
    return line


def address(value: Any) -> str:
    """An IP address or host name to listen on."""
    name = text(value)
    if not _is_host(name):
        mend = "such as '127.0.0.1', or '0.0.0.0' to let other machines in; the port is metrics_port"
        raise WrongValueError(f"{short(name)} is no address; give one {mend}")
    return name


def host(value: Any) -> str:
    """An IP address or host name to connect to."""
    name = text(value)
    if not _is_host(name):
        raise WrongValueError(f"{short(name)} is no host; give one such as 'mail.example.org', without a port")
    return name


def _is_host(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return _HOST_NAME.fullmatch(name) is not None and re.fullmatch(r"[0-9.]+", name) is None
    return True


def web_address(value: Any) -> str:
    """The http or https address of a server, which paths are appended to: without a slash at its end."""
    url = text(value)
    wrong = _wrong_web_address(url) or ("has a query or fragment; leave it out" if re.search(r"[?#]", url) else None)
    if wrong:
        raise WrongValueError(wrong if "@" in url else f"{short(url)} {wrong}")
    return url.rstrip("/")


def secret_web_address(value: Any) -> str:
    """An http or https address whose path or query is a secret: never shown."""
    url = secret_text(value).strip()
    if wrong := _wrong_web_address(url):
        raise WrongValueError(wrong)
    return url


def _wrong_web_address(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and _is_host(parts.hostname or "") and parts.port != 0
    except ValueError:
        good = False
    if not good or not url.isascii() or not url.isprintable() or " " in url:
        return "is no web address; give one such as 'https://host.example/path'"
    return "has a user or password in it; leave them out" if "@" in parts.netloc else None


def header(value: Any) -> str:
    """The secret value of an HTTP header: never shown."""
    line = secret_text(value).strip()
    if not line.isascii() or not line.isprintable():
        raise WrongValueError("has characters that a header cannot carry; give one line of ASCII text")
    return line


def user_name(value: Any) -> str:
    """A user of basic authentication."""
    name = text(value)
    if ":" in name:
        raise WrongValueError(f"{short(name)} has a colon, which HTTP cannot carry in a user; leave it out")
    return name


def buckets(value: Any) -> tuple[float, ...]:
    """Upper bounds of a histogram: positive, rising."""
    mend = "give rising positive numbers, such as [0.1, 1, 10]"
    if isinstance(value, str | Mapping) or not isinstance(value, Iterable):
        raise WrongValueError(f"{short(value)} is not a list; {mend}")
    bounds = tuple(finite(bound, mend) for bound in value)
    if not 1 <= len(bounds) <= _BUCKETS_AT_MOST:
        raise WrongValueError(f"has {len(bounds)} buckets, but each is a series; give 1 to {_BUCKETS_AT_MOST}")
    if bounds[0] <= 0 or any(high <= low for low, high in pairwise(bounds)):
        raise WrongValueError(f"{short(value)} does not rise from above 0; {mend}")
    return bounds


def retention(value: Any) -> str | int:
    """An age such as "30d", or the number of runs to keep."""
    from quantum_monitor.store.retention import parse_retention

    mend = 'give an age such as "12h", "30d" or "2w", or the number of runs to keep'
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise WrongValueError(f"{short(value)} is no retention; {mend}")
    try:
        parse_retention(value)
    except ValueError:
        raise WrongValueError(f"{short(value)} is no retention; {mend}") from None
    return value


def labels(value: Any) -> dict[str, str]:
    """Constant labels of every series."""
    if not isinstance(value, Mapping):
        raise WrongValueError(f'{short(value)} is not a mapping; give one such as {{"team": "x"}}')
    checked = ((str(name)[:_LABEL_VALUE_LENGTH], _wrong_label(name, content)) for name, content in value.items())
    problems: list[tuple[Place, str]] = [((name,), wrong) for name, wrong in checked if wrong]
    if len(value) > _LABELS_AT_MOST:
        problems.append(((), f"has {len(value)} labels; give at most {_LABELS_AT_MOST}"))
    if problems:
        raise WrongEntriesError(problems)
    return {name: label_value(content) for name, content in value.items()}


def _wrong_label(name: object, content: object) -> str | None:
    if not isinstance(name, str) or _LABEL_NAME.fullmatch(name) is None or name.startswith("__"):
        return "is no label name; give letters, digits and underscores, such as 'team', and no '__' in front"
    if len(name) > _LABEL_VALUE_LENGTH:
        return f"is a name of {len(name)} characters; give at most {_LABEL_VALUE_LENGTH}"
    if name in RESERVED_LABELS:
        return f"is a label that the exporter or Prometheus sets; choose another name, such as 'my_{name}'"
    if not isinstance(content, str):
        return f"{short(content)} is not a text; put it in quotes, for a number such as 1.10 would lose its zero"
    return None


def alerts(value: Any) -> dict[str, Any]:
    """An ``alert_config``."""
    entries, problems = read_alert_config(value)
    if problems:
        raise WrongEntriesError([((key,) if key else (), text) for key, text in problems])
    return dict(entries)
