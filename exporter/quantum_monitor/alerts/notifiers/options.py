"""The setting ``notifiers``: how it is checked, and where the secrets in it come from."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantum_monitor import config_values as values
from quantum_monitor.alerts.rules import SEVERITIES, WrongValueError, nearest, short
from quantum_monitor.config_file import Place

_ADDRESS = re.compile(r"[^\s@<>,;:\"()\[\]\\]{1,64}@[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?")
_RECIPIENTS_AT_MOST = 50

PORTS: Mapping[str, int] = {"starttls": 587, "implicit": 465, "none": 25}
"""How an e-mail server is reached, with the usual port of each way."""


@dataclass(frozen=True)
class Secret:
    """A value that comes from a file or the environment, and never stands in a configuration.

    Attributes:
        variable: the environment variable.
        read: how it is checked.
        needed: whether the notifier cannot do without; a mapping key that makes it so, as ``user`` does for a password.
        plain: whether it may stand in the configuration as well, since it often is no secret.
    """

    variable: str
    read: values.Reader = values.secret_text
    needed: bool | str = True
    plain: bool = False


def _address(value: Any) -> str:
    mail = values.text(value)
    if len(mail) > 254 or _ADDRESS.fullmatch(mail) is None or not mail.isascii():
        raise WrongValueError(f"{short(mail)} is no e-mail address; give one such as 'me@example.org'")
    return mail


def _addresses(value: Any) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, list | tuple) or not 1 <= len(value) <= _RECIPIENTS_AT_MOST:
        raise WrongValueError(
            f"{short(value)} is no list of 1 to {_RECIPIENTS_AT_MOST} addresses; give one such as ['me@example.org']"
        )
    return tuple(_address(entry) for entry in value)


def _one_of(words: Mapping[str, object]) -> values.Reader:
    def read(value: Any) -> str:
        if not isinstance(value, str) or value not in words:
            raise WrongValueError(f"{short(value)} is unknown; give one of {', '.join(words)}")
        return value

    return read


_OPTIONS: Mapping[str, Mapping[str, values.Reader]] = {
    "webhook": {},
    "slack": {},
    "smtp": {"host": values.host, "port": values.whole(1, 65_535), "sender": _address, "to": _addresses,
             "user": values.text, "tls": _one_of(PORTS)},
    "alertmanager": {"url": values.web_address, "user": values.user_name},
    "log": {},
}  # fmt: skip
_NEEDED = {"smtp": ("host", "sender", "to"), "alertmanager": ("url",)}
SECRETS: Mapping[str, Mapping[str, Secret]] = {
    "webhook": {
        "url": Secret("QUANTUM_MONITOR_WEBHOOK_URL", values.secret_web_address, plain=True),
        "authorization": Secret("QUANTUM_MONITOR_WEBHOOK_AUTHORIZATION", values.header, needed=False),
    },
    "slack": {"webhook_url": Secret("QUANTUM_MONITOR_SLACK_WEBHOOK_URL", values.secret_web_address)},
    "smtp": {"password": Secret("QUANTUM_MONITOR_SMTP_PASSWORD", needed="user")},
    "alertmanager": {"password": Secret("QUANTUM_MONITOR_ALERTMANAGER_PASSWORD", needed="user")},
}
"""By notifier and option."""

VARIABLES: Mapping[str, str] = {
    secret.variable: "https://in-the-environment" for secrets in SECRETS.values() for secret in secrets.values()
}
"""The variables that hold secrets, each with a value that passes, for a check that has not the environment."""


def read_notifiers(value: Any) -> dict[str, dict[str, Any]]:
    """Check the setting ``notifiers``; secrets are not looked for yet.

    Args:
        value: options by kind of notifier: ``{"slack": {"webhook_url_file": "/run/secrets/slack"}, "log": {}}``.

    Raises:
        WrongEntriesError: all that is wrong.
    """
    if not isinstance(value, Mapping):
        raise WrongValueError("is not a mapping of notifiers; give one such as {'log': {}}")
    problems: list[tuple[Place, str]] = []
    chosen = {}
    for kind, given in value.items():
        if kind not in _OPTIONS:
            problems.append(((str(kind)[:80],), f"there is no such notifier; {nearest(str(kind), _OPTIONS)}"))
        elif given is not None and not isinstance(given, Mapping):
            problems.append(((kind,), f"is not a mapping of options but {type(given).__name__}; give one such as {{}}"))
        else:
            chosen[kind] = _read_options(kind, given or {}, problems)
    if problems:
        raise values.WrongEntriesError(problems)
    return chosen


def _read_options(kind: str, given: Mapping[Any, Any], problems: list[tuple[Place, str]]) -> dict[str, Any]:
    secrets = SECRETS.get(kind, {})
    readers: dict[str, values.Reader] = {
        **_OPTIONS[kind],
        **{f"{name}_file": values.path for name in secrets},
        **{name: secret.read for name, secret in secrets.items() if secret.plain},
        "min_severity": _one_of(SEVERITIES),
    }
    chosen: dict[str, Any] = {}
    for name, value in given.items():
        place = (kind, str(name)[:80])
        if name in secrets and name not in readers:
            mend = f"write it into a file and name that in {name}_file, or set {secrets[name].variable}"
            problems.append((place, f"a secret does not belong here; {mend}"))
        elif name not in readers:
            problems.append((place, f"there is no such option of {kind}; {nearest(str(name), readers)}"))
        elif value is not None:
            try:
                chosen[name] = readers[name](value)
            except ValueError as error:
                problems.append((place, str(error)))
    problems.extend(((kind,), f"has no {name}; give one") for name in _NEEDED.get(kind, ()) if given.get(name) is None)
    return chosen


def with_secrets(
    chosen: Mapping[str, Mapping[str, Any]], environ: Mapping[str, str] = os.environ
) -> tuple[dict[str, dict[str, Any]], list[tuple[Place, str]]]:
    """Put the secrets into checked options: from the file that an option names, else from the environment.

    Args:
        chosen: what ``read_notifiers`` returned.
        environ: the environment.

    Returns:
        The options that each kind of notifier is made with, and what is wrong, by kind and option.
    """
    problems: list[tuple[Place, str]] = []
    complete: dict[str, dict[str, Any]] = {}
    for kind, options in chosen.items():
        complete[kind] = dict(options)
        for name, secret in SECRETS.get(kind, {}).items():
            file = complete[kind].pop(f"{name}_file", None)
            place = (kind, f"{name}_file" if file else name)
            try:
                found = _found(name, secret, file, complete[kind], environ)
            except ValueError as error:
                problems.append((place, str(error)))
            else:
                complete[kind] |= {} if found is None else {name: found}
    return complete, problems


def _found(name: str, secret: Secret, file: Path | None, options: Mapping[str, Any], environ: Mapping[str, str]) -> Any:
    needed = secret.needed if isinstance(secret.needed, bool) else secret.needed in options
    if file is not None:
        if name in options:
            raise WrongValueError(f"is given beside {name}; keep one of them")
        if isinstance(secret.needed, str) and not needed:
            raise WrongValueError(f"is of no use without a {secret.needed}; set {secret.needed}")
        return _checked(secret.read, values.first_line(file), f"what stands in {short(str(file))} ")
    told = environ.get(secret.variable, "")
    if name in options or (isinstance(secret.needed, str) and not needed):
        return options.get(name)
    if told.strip():
        return _checked(secret.read, told, f"what stands in {secret.variable} ")
    if needed:
        mend = f"give one, name a file in {name}_file," if secret.plain else f"name a file in {name}_file,"
        raise WrongValueError(f"is missing; {mend} or set {secret.variable}")
    return None


def _checked(read: values.Reader, secret: str, where: str) -> Any:
    try:
        return read(secret)
    except ValueError as error:
        raise WrongValueError(f"{where}{error}") from None
