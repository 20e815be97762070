"""Where W&B is for this person: online or offline, which server, whose account; no package, no network needed."""

from __future__ import annotations

import configparser
import netrc
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from quantum_monitor.trackers.protocol import UnusableError

_DEFAULT_URL = "https://api.wandb.ai"
_DEFAULT_ENTITY, _EXPERIMENT = "(default)", "(experiment)"
_MODES = {"online": "online", "run": "online", "shared": "online", "offline": "offline", "dryrun": "offline"}


class Place(NamedTuple):
    """Where runs go.

    Attributes:
        mode: ``online``, ``offline``, or ``disabled`` where the person has switched W&B off.
        url: the server's address; may hold a password.
        host: the server's name, with its port where it has one.
        entity: the user or team; empty for the key's own.
        project: the project; empty for the experiment's name.
        has_key: whether there is a key for the server.
    """

    mode: str
    url: str
    host: str
    entity: str
    project: str
    has_key: bool

    def __str__(self) -> str:
        project = self.project or _EXPERIMENT
        if self.mode != "online":
            return f"wandb {self.mode} {project}"
        return f"wandb online {self.host}/{self.entity or _DEFAULT_ENTITY}/{project}"


def find(options: Mapping[str, Any]) -> Place:
    """The place that options, environment and W&B's own settings files name, in that order.

    An option ``entity`` or ``project`` that is empty, not None, is decided too: the key's own, the experiment's name.

    Raises:
        UnusableError: the mode is none that there is, or the server's address is no address.
    """
    settings = _settings()
    url = _base_url(settings)
    given = options.get("base_url")
    if given and given != public(url):  # the same address may carry a password here
        url = str(given)
    host = _split(url).netloc.rpartition("@")[2]
    has_key = _has_key(host, settings)
    named = options.get("mode") or os.environ.get("WANDB_MODE") or settings.get("mode")
    mode = "disabled" if named == "disabled" else _MODES.get(str(named)) if named else None
    if named and mode is None:
        raise UnusableError(f"the W&B mode is {named!r}; give 'online' or 'offline' (option mode, or WANDB_MODE)")
    return Place(
        mode=mode or ("online" if has_key else "offline"),
        url=url,
        host=host,
        entity=_decided("entity", options, settings),
        project=_decided("project", options, settings),
        has_key=has_key,
    )


def public(url: str) -> str:
    """The address without user and password."""
    parts = _split(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def without_secrets(message: str, place: Place) -> str:
    """A message without the keys and passwords that W&B has for this server."""
    settings = _settings()
    user = urlsplit(place.url).netloc.rpartition("@")[0]
    password = user.partition(":")[2] or user
    secrets = {user, password, unquote(password), _netrc_password(place.host)}
    secrets |= {os.environ.get("WANDB_API_KEY", ""), settings.get("api_key", "")}
    for secret in sorted(secrets - {""}, key=len, reverse=True):
        message = message.replace(secret, "(key)")
    return message


def parsed(destination: str) -> dict[str, str]:
    """The options of a `Place` that was written as text, without its server; none where it is no such text."""
    kind, _, rest = destination.partition(" ")
    mode, _, project = rest.partition(" ")
    if kind != "wandb" or mode not in {"online", "offline"}:
        return {}
    found = {"mode": mode}
    if mode == "online":
        _, entity, project = (*project.split("/", 2), "", "")[:3]
        found["entity"] = "" if entity == _DEFAULT_ENTITY else entity
    return {**found, "project": "" if project == _EXPERIMENT else project}


def _decided(name: str, options: Mapping[str, Any], settings: Mapping[str, str]) -> str:
    given = options.get(name)
    return str(given if given is not None else os.environ.get(f"WANDB_{name.upper()}") or settings.get(name) or "")


def _base_url(settings: Mapping[str, str]) -> str:
    return os.environ.get("WANDB_BASE_URL") or settings.get("base_url") or _DEFAULT_URL


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:  # its text would show the password
        raise UnusableError("the address of W&B's server is none; mend WANDB_BASE_URL") from None


def _has_key(host: str, settings: Mapping[str, str]) -> bool:
    if any(os.environ.get(name) for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE")) or settings.get("api_key"):
        return True
    return bool(_netrc_password(host))


def _netrc_password(host: str) -> str:
    try:
        entries = netrc.netrc(_netrc_file())
    except (OSError, netrc.NetrcParseError, UnicodeDecodeError):
        return ""
    found = entries.authenticators(host)
    return (found[2] or "") if found else ""


def _netrc_file() -> Path:
    if given := os.environ.get("NETRC"):
        return Path(given).expanduser()
    usual = Path("~/.netrc").expanduser()
    return usual if usual.exists() else Path("~/_netrc").expanduser()


def _settings() -> dict[str, str]:
    """What ``wandb login`` and ``wandb offline`` wrote: the person's file, below that of the working folder."""
    home = Path(os.environ.get("WANDB_CONFIG_DIR") or "~/.config/wandb").expanduser() / "settings"
    here = Path(os.environ.get("WANDB_DIR") or ".") / "wandb" / "settings"
    found: dict[str, str] = {}
    for file in (home, here):
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read(file, encoding="utf-8")
        except (configparser.Error, OSError, UnicodeDecodeError):
            continue
        if parser.has_section("default"):
            found |= dict(parser["default"])
    return found
