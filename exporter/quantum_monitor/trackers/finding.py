"""Trackers by name: ours, and those of installed packages."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, cast

from quantum_monitor.alerts.rules import WrongValueError, nearest
from quantum_monitor.config_file import Place
from quantum_monitor.config_values import WrongEntriesError
from quantum_monitor.trackers.protocol import Tracker, UnusableError

ENTRY_POINT_GROUP = "quantum_monitor.trackers"
OURS = ("mlflow", "wandb")
_TAKEN = frozenset({"store", "entropies", "alerts", "artifacts", "params", "tags"})
_SETTINGS = {"mlflow": "enable_mlflow and tracking_uri", "wandb": "enable_wandb and wandb_project"}

Factory = Callable[[Mapping[str, Any]], Tracker]


def names() -> list[str]:
    """The trackers that can be asked for here."""
    return [*OURS, *sorted({entry.name for entry in entry_points(group=ENTRY_POINT_GROUP)} - set(OURS))]


def read_trackers(value: Any) -> dict[str, dict[str, Any]]:
    """Options by tracker, as configuration gives them.

    Raises:
        WrongEntriesError: an entry that cannot be used; the mend is named.
    """
    if not isinstance(value, Mapping):
        raise WrongValueError("is no mapping of trackers to their options; give {name: {option: value}}")
    wrong: list[tuple[Place, str]] = []
    for name, options in value.items():
        if name in OURS:
            wrong.append(((str(name),), f"has settings of its own; set {_SETTINGS[name]}"))
        elif name in _TAKEN:
            wrong.append(((str(name),), "is a sink of our own; the package has to name its tracker otherwise"))
        elif name not in (known := names()):
            wrong.append(((str(name),), f"no package brings this tracker; {nearest(str(name), tuple(known))}"))
        elif not (options is None or isinstance(options, Mapping)):
            wrong.append(((str(name),), "its options are no mapping; give {option: value}"))
        else:
            try:
                json.dumps(options)
            except (TypeError, ValueError) as error:
                wrong.append(
                    ((str(name),), f"its options cannot be told to another process ({error}); give plain values")
                )
    if wrong:
        raise WrongEntriesError(wrong)
    return {name: dict(options or {}) for name, options in value.items()}


def make(name: str, options: Mapping[str, Any]) -> Tracker:
    """A tracker for one run.

    Raises:
        UnusableError: there is none of that name, or it could not be loaded.
    """
    return _factory(name)(options)


def _factory(name: str) -> Factory:
    if name in OURS:
        return cast("Factory", import_module(f"quantum_monitor.trackers.{name}").tracker)
    for entry in entry_points(group=ENTRY_POINT_GROUP, name=name):
        try:
            return cast("Factory", entry.load())
        except (Exception, SystemExit) as error:
            raise UnusableError(f"the tracker {name!r} ({entry.value}) cannot be loaded: {error!r}") from error
    raise UnusableError(f"there is no tracker {name!r} here; there are {', '.join(names())}")
