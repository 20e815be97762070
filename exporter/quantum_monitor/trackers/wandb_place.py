"""Where W&B is for this person: online or offline, which server, whose account; no package, no network needed."""

from __future__ import annotations

import configparser
import netrc
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from quantum_monitor.trackers.protocol import UnusableError

_DEFAULT_URL = "https://api.wandb.ai"
_MODES = {"online": "online", "run": "online", "shared": "online", "offline": "offline", "dryrun": "offline"}


class Place(NamedTuple):
    """Where runs go.

    Attributes:
        mode: ``online``, ``offline``, or ``disabled`` where the person has switched W&B off.
        host: the server's name, with its port where it has one.
        entity: the user or team; empty for the key's own.
        project: the project; empty for the experiment's name.
        has_key: whether there is a key for the server.
    """

    mode: str
    host: str
    entity: str
    project: str
    has_key: bool

    def __str__(self) -> str:
        project = self.project or "(experiment)"
        if self.mode != "online":
            return f"wandb {self.mode} {project}"
        return f"wandb online {self.host}/{self.entity or '(default)'}/{project}"


def find(options: Mapping[str, Any]) -> Place:
    """The place that options, environment and W&B's own settings files name, in that order.

    Raises:
        UnusableError: the mode is none that there is.
    """
    settings = _settings()
    parts = urlsplit(os.environ.get("WANDB_BASE_URL") or settings.get("base_url") or _DEFAULT_URL)
    host = parts.netloc.rpartition("@")[2]
    has_key = _has_key(host, settings)
    named = options.get("mode") or os.environ.get("WANDB_MODE") or settings.get("mode")
    mode = "disabled" if named == "disabled" else _MODES.get(str(named)) if named else None
    if named and mode is None:
        raise UnusableError(f"the W&B mode is {named!r}; give 'online' or 'offline' (option mode, or WANDB_MODE)")
    return Place(
        mode=mode or ("online" if has_key else "offline"),
        host=host,
        entity=str(options.get("entity") or os.environ.get("WANDB_ENTITY") or settings.get("entity") or ""),
        project=str(options.get("project") or os.environ.get("WANDB_PROJECT") or settings.get("project") or ""),
        has_key=has_key,
    )


def _has_key(host: str, settings: Mapping[str, str]) -> bool:
    if any(os.environ.get(name) for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE")) or settings.get("api_key"):
        return True
    try:
        entries = netrc.netrc(_netrc_file())
    except (OSError, netrc.NetrcParseError, UnicodeDecodeError):
        return False
    found = entries.authenticators(host)
    return bool(found and found[2])


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
