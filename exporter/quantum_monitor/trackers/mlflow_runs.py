"""The run in MLflow: found again, attached to, or created, in an experiment that is created where there is none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quantum_monitor.trackers import mlflow_names as names
from quantum_monitor.trackers.mlflow_errors import EXISTS, MISSING, NOT_MLFLOW, MlflowError, code
from quantum_monitor.trackers.protocol import TrackedRun

_ALL = 3  # ViewType.ALL: the deleted ones too


def find_or_create(
    client: Any, run: TrackedRun, options: Mapping[str, Any], *, known: str | None = None
) -> tuple[Any, bool]:
    """The run as MLflow describes it, and whether it was created just now.

    Args:
        client: an ``MlflowClient``.
        run: the run to be tracked.
        options: of the tracker: ``attach_to``, ``experiment``, ``parent_run_id``.
        known: MLflow's id of the run, if there was one before.

    Raises:
        MlflowError: the run or its experiment was deleted in MLflow, or this is no MLflow.
    """
    found = _by_id(client, options.get("attach_to"), known)
    created = False
    if found is None:
        experiment_id = _experiment(client, str(options.get("experiment") or run.experiment))
        # A process may have been killed after it had created the run, and before anybody had written that down.
        found = _by_tag(client, experiment_id, run.run_id)
        created = found is None
        if found is None:
            name = names.clipped(run.name, names.RUN_NAME_LENGTH)
            tags = _first_tags(run, options.get("parent_run_id"))
            found = client.create_run(experiment_id, int(run.started * 1_000), tags, name)
    if not found.info.run_id:
        raise MlflowError(NOT_MLFLOW)
    if found.info.lifecycle_stage == "deleted":
        mend = f"`mlflow runs restore --run-id {found.info.run_id}` brings it back"
        raise MlflowError(f"the run {run.name!r} was deleted in MLflow: {mend}")
    return found, created


def _by_id(client: Any, attach_to: str | None, known: str | None) -> Any | None:
    if not (attach_to or known):
        return None
    try:
        return client.get_run(attach_to or known)
    except Exception as error:
        if attach_to or code(error) != MISSING:
            raise
        return None


def _by_tag(client: Any, experiment_id: str, run_id: str) -> Any | None:
    quote = '"' if "'" in run_id else "'"
    condition = f"tags.`quantum.run_id` = {quote}{run_id}{quote}"
    return next(iter(client.search_runs([experiment_id], condition, _ALL, max_results=1)), None)


def _experiment(client: Any, given: str) -> str:
    """The id of the experiment of this name."""
    name = names.clipped(given, names.EXPERIMENT_LENGTH) or "unnamed"
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            return str(client.create_experiment(name))
        except Exception as error:
            if code(error) != EXISTS:
                raise
        experiment = client.get_experiment_by_name(name)  # another process was faster
    if experiment is None or not experiment.experiment_id:
        raise MlflowError(NOT_MLFLOW)
    if experiment.lifecycle_stage == "deleted":
        mend = f"`mlflow experiments restore --experiment-id {experiment.experiment_id}` brings it back"
        raise MlflowError(f"the experiment {name!r} was deleted in MLflow: {mend}; or choose another name")
    return str(experiment.experiment_id)


def _first_tags(run: TrackedRun, parent: str | None) -> dict[str, str]:
    """What a run needs from its first moment on; all else comes with the deliveries."""
    environment = run.info.get("environment")
    environment = environment if isinstance(environment, Mapping) else {}
    git = environment.get("git")
    facts = {
        "quantum.run_id": run.run_id,
        "mlflow.user": environment.get("user"),
        "mlflow.source.name": environment.get("script"),
        "mlflow.source.type": "LOCAL" if environment.get("script") else None,
        "mlflow.source.git.commit": git.get("commit") if isinstance(git, Mapping) else None,
        "mlflow.parentRunId": parent,
    }
    return {name: names.clipped(str(fact), names.RUN_NAME_LENGTH) for name, fact in facts.items() if fact}
