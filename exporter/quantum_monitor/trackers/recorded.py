"""What a stored run says of its trackers: which it was meant for, where they are, and whether it is over."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from quantum_monitor.config import Settings
from quantum_monitor.store import runfile
from quantum_monitor.store.reader import StoredRun
from quantum_monitor.trackers import mlflow_uri, wandb_place
from quantum_monitor.trackers.finding import OURS
from quantum_monitor.trackers.state import destinations

SILENCE_SECONDS = 600.0
"""A run that reads as running on another host is over when it has recorded nothing for so long."""

_OF_ONE_SERVER = frozenset({"attached_to", "parent_run_id"})


class UndecidedError(Exception):
    """Where the run is meant to go cannot be told, or not be trusted. The text says why, and names the mend."""


class Elsewhere(NamedTuple):
    """A run that reads as running on another host.

    Attributes:
        host: the host's name, as the run tells it.
        silent: seconds since its last record; without one, since its start.
    """

    host: str
    silent: float


def trackers(info: Mapping[str, Any]) -> list[str]:
    """The trackers that a run was meant for when it started."""
    return list(_mapping(info.get("tracking")))


def options(name: str, run: StoredRun, settings: Settings) -> dict[str, Any]:
    """The options of a tracker for a stored run: those that are set now, else those of its start.

    Of a plug-in, only what is set now: the run tells no more than its name. What a run tells may come from anywhere.

    Raises:
        UndecidedError: MLflow, and the run went to several places, or to another server than the environment names,
            or nothing tells where; W&B likewise.
        UnusableError: W&B, and what the environment says of it is no mode or no address.
    """
    if name not in OURS:
        return dict((settings.trackers or {}).get(name, {}))
    told = _mapping(_mapping(run.info.get("tracking")).get(name))
    kept = {key: value for key, value in told.items() if isinstance(value, str)}
    return _mlflow(kept, run, settings.tracking_uri) if name == "mlflow" else _wandb(kept, run, settings)


def elsewhere(run: StoredRun) -> Elsewhere | None:
    """Whether a run reads as running on another host; None where it is over, or this host can tell."""
    info = run.info
    if info.get("status", "running") != "running" or runfile.writer_state(info) != "unknown":
        return None
    last = max((record.time for _, record in run.records(after=run.last_sequence - 1)), default=info.get("start_time"))
    silent = time.time() - last if isinstance(last, (int, float)) else float("inf")
    return Elsewhere(str(_mapping(info.get("writer")).get("host")), silent)


def _wandb(told: Mapping[str, str], run: StoredRun, settings: Settings) -> dict[str, Any]:
    set_now = {
        "project": settings.wandb_project,
        "entity": settings.wandb_entity,
        "group": settings.wandb_group,
        "mode": settings.wandb_mode,
    }
    given = {key: value for key, value in set_now.items() if value is not None}
    server = told.get("base_url")
    if server is None and not given.keys() - {"group"}:  # what the environment of its start said is not told
        known = destinations(run.directory, "wandb")
        if len(known) > 1:
            raise UndecidedError(f"it went to {' and '.join(known)}; say which with wandb_project and wandb_mode")
        told = {**told, **(wandb_place.parsed(known[0]) if known else {})}
    # Never the server that a run names: it would be shown the key of the one that is set now.
    found = {key: value for key, value in told.items() if key != "base_url"}
    if found.get("mode") not in {"online", "offline"}:
        found.pop("mode", None)
    found |= given
    here = wandb_place.find(found)
    if server and here.mode == "online" and not os.environ.get("WANDB_BASE_URL"):
        theirs = wandb_place.public(server)
        if theirs != wandb_place.public(here.url):
            raise UndecidedError(f"it names {theirs}, and W&B's server is {here.host} here; say which: WANDB_BASE_URL")
    return found


def _mlflow(told: Mapping[str, str], run: StoredRun, given: str | None) -> dict[str, Any]:
    recorded = told.get("tracking_uri")
    uri = given or _where_it_went(recorded, run)
    found = {**told, "tracking_uri": uri}
    if "attach_to" in found:  # to be used only if the training did get to it: what a run tells may come from anywhere
        found["attached_to"] = found.pop("attach_to")
    if given and (recorded is None or _public(given) != _public(recorded)):
        return {key: value for key, value in found.items() if key not in _OF_ONE_SERVER}
    return found


def _where_it_went(recorded: str | None, run: StoredRun) -> str | None:
    """The tracking URI that a run was delivered to, whatever the working folder is now; None for MLflow's default."""
    here = os.environ.get("MLFLOW_TRACKING_URI")
    if recorded == "":
        if here:
            return here
        raise UndecidedError("its address is not kept, for it may hold a password; say it with --tracking-uri")
    if recorded is None or mlflow_uri.resolved(recorded) != recorded:  # which it was depended on the working folder
        known = destinations(run.directory, "mlflow")
        if len(known) > 1:
            raise UndecidedError(f"it went to {' and '.join(known)}; say which with --tracking-uri")
        recorded = known[0] if known else recorded
    if here and recorded:
        if _public(here) == _public(recorded):
            return here  # the same place, and it may carry the password that the run does not tell
        if None not in (ours := _server(here), theirs := _server(recorded)) and ours != theirs:
            # Passwords and tokens of the environment are for the server that it names, not for whichever a run names.
            raise UndecidedError(
                f"it names {_public(recorded)}, MLFLOW_TRACKING_URI {_public(here)}; say which with --tracking-uri"
            )
    return recorded


def _server(uri: str) -> tuple[str, str] | None:
    """Scheme, host and port of a server; None of what is none."""
    parts = urlsplit(_public(uri))
    scheme = parts.scheme.lower()
    port = {"http": ":80", "https": ":443"}.get(scheme)
    return None if port is None else (scheme, parts.netloc.lower().removesuffix(port))


def _public(uri: str) -> str:
    return mlflow_uri.public(mlflow_uri.resolved(uri))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
