"""Which trackers a run goes to, with what options: decided in the training process, which imports none of them."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Mapping
from typing import Any

from quantum_monitor.config import Settings
from quantum_monitor.faults import FAULTS
from quantum_monitor.log import LOG
from quantum_monitor.names import text
from quantum_monitor.trackers import mlflow_uri
from quantum_monitor.trackers.finding import OURS

Options = dict[str, Any]


def chosen(settings: Settings) -> dict[str, Options]:
    """Tracker to options, for a run that starts now.

    MLflow is on by default: where it is not installed that is one line at info level, and a warning only if it was
    asked for. W&B and plug-ins are always asked for.
    """
    trackers: dict[str, Options] = {}
    asked = settings.enable_mlflow is True or settings.tracking_uri is not None
    if settings.enable_mlflow is not False and _installed("mlflow", asked=asked):
        trackers["mlflow"] = _mlflow(settings)
    if settings.enable_wandb and _installed("wandb", asked=True):
        trackers["wandb"] = _wandb(settings)
    for name, options in (settings.trackers or {}).items():
        trackers[name] = dict(options)
    return trackers


def without_secrets(trackers: Mapping[str, Options]) -> dict[str, Options]:
    """The choice as ``run.json`` may keep it for a later ``sync``: no passwords, and of plug-ins the names alone."""
    kept: dict[str, Options] = {}
    for name, options in trackers.items():
        kept[name] = {key: value for key, value in options.items() if value is not None} if name in OURS else {}
        if "tracking_uri" in kept[name]:
            kept[name]["tracking_uri"] = mlflow_uri.public(kept[name]["tracking_uri"])
    return kept


def _installed(package: str, *, asked: bool) -> bool:
    try:
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.origin is not None:  # a mere folder of that name, such as W&B leaves, has none
            return True
    except (ImportError, ValueError):
        pass
    mend = f"{package} is not installed; runs stay in the store; pip install 'quantum-monitor[{package}]' brings it"
    if asked:
        FAULTS.rejected(package, mend)
    else:
        LOG.info("%s", mend)
    return False


def _mlflow(settings: Settings) -> Options:
    active, fluent_uri = _fluent()
    # In full, since `sync` may be called from another folder one day.
    uri = mlflow_uri.resolved(settings.tracking_uri or fluent_uri)
    options: Options = {"tracking_uri": uri}
    if active and (fluent_uri is None or mlflow_uri.resolved(fluent_uri) == uri):
        options["parent_run_id" if settings.mlflow_nested else "attach_to"] = active
    return options


def _wandb(settings: Settings) -> Options:
    """The place as it is now: the delivery process has the environment of an earlier run."""
    from quantum_monitor.trackers import wandb_place
    from quantum_monitor.trackers.protocol import UnusableError

    set_now: Options = {
        "project": settings.wandb_project,
        "entity": settings.wandb_entity,
        "group": settings.wandb_group,
        "mode": settings.wandb_mode,
    }
    try:
        place = wandb_place.find(set_now)
        base_url = wandb_place.public(place.url)
    except UnusableError as error:  # which the tracker says again, and stays off
        FAULTS.rejected("wandb", error)
        return {**set_now, "mode": set_now["mode"] or os.environ.get("WANDB_MODE")}
    return {
        **set_now,
        "project": place.project,
        "entity": place.entity,
        "mode": place.mode,
        "base_url": base_url,
    }


def _fluent() -> tuple[str | None, str | None]:
    """The active run and the server of the person's own MLflow, if this process has imported it; we never do."""
    fluent = sys.modules.get("mlflow.tracking.fluent")
    if fluent is None:
        return None, None
    try:
        run = fluent.active_run()
        uri = sys.modules["mlflow.tracking"].get_tracking_uri()
        return (None if run is None else str(run.info.run_id)), (str(uri) if uri else None)
    except Exception as error:  # noqa: BLE001 - somebody else's library, in the middle of whatever it does
        FAULTS.rejected("mlflow", f"its active run cannot be told: {text(error)}")
        return None, None
