"""What a stored run says of its trackers: which it was meant for, where they are, and whether it is over."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from quantum_monitor.config import Settings
from quantum_monitor.store import runfile
from quantum_monitor.store.reader import StoredRun
from quantum_monitor.trackers import mlflow_uri
from quantum_monitor.trackers.finding import OURS
from quantum_monitor.trackers.state import destinations

SILENCE_SECONDS = 600.0
"""A run that reads as running on another host is over when it has recorded nothing for so long."""

_OF_ONE_SERVER = frozenset({"attach_to", "parent_run_id"})


class UndecidedError(Exception):
    """The run went to several places, and nothing says which is meant. The text names them and the mend."""


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
        UndecidedError: MLflow, and the run went to several places.
    """
    if name not in OURS:
        return dict((settings.trackers or {}).get(name, {}))
    told = _mapping(_mapping(run.info.get("tracking")).get(name))
    kept = {key: value for key, value in told.items() if isinstance(value, str)}
    return _mlflow(kept, run, settings.tracking_uri) if name == "mlflow" else {**kept, **_wandb(settings)}


def elsewhere(run: StoredRun) -> Elsewhere | None:
    """Whether a run reads as running on another host; None where it is over, or this host can tell."""
    info = run.info
    if info.get("status", "running") != "running" or runfile.writer_state(info) != "unknown":
        return None
    last = max((record.time for _, record in run.records(after=run.last_sequence - 1)), default=info.get("start_time"))
    silent = time.time() - last if isinstance(last, (int, float)) else float("inf")
    return Elsewhere(str(_mapping(info.get("writer")).get("host")), silent)


def _wandb(settings: Settings) -> dict[str, Any]:
    given = {
        "project": settings.wandb_project,
        "entity": settings.wandb_entity,
        "group": settings.wandb_group,
        "mode": settings.wandb_mode,
    }
    return {key: value for key, value in given.items() if value is not None}


def _mlflow(told: Mapping[str, str], run: StoredRun, given: str | None) -> dict[str, Any]:
    recorded = told.get("tracking_uri")
    uri = given or _where_it_went(recorded, run)
    found = {**told, "tracking_uri": uri}
    if given and (recorded is None or _public(given) != _public(recorded)):
        return {key: value for key, value in found.items() if key not in _OF_ONE_SERVER}
    return found


def _where_it_went(recorded: str | None, run: StoredRun) -> str | None:
    """The tracking URI that a run was delivered to, whatever the working folder is now; None for MLflow's default."""
    if recorded is None or mlflow_uri.resolved(recorded) != recorded:  # which it was depended on the working folder
        known = destinations(run.directory, "mlflow")
        if len(known) > 1:
            raise UndecidedError(f"it went to {' and '.join(known)}; say which with --tracking-uri")
        recorded = known[0] if known else recorded
    here = os.environ.get("MLFLOW_TRACKING_URI")
    if here and recorded and _public(here) == _public(recorded):
        return here  # the same place, and it may carry the password that the run does not tell
    return recorded


def _public(uri: str) -> str:
    return mlflow_uri.public(mlflow_uri.resolved(uri))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
